"""The Splunk target: what a rule looks like in SPL, and what lies beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from backends.correlation import Correlation
from backends.splunk.backend import expression
from backends.splunk.correlate import correlated
from backends.target import Inexpressible, Target, Wanted, fields_read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sigma.rule import SigmaRule

    from backends.vocabulary import Vocabulary

VIEWS = Path(__file__).parent / "views"
LATE = frozenset({"event.sequence_gap", "event.hash_broken", "chain.id", "chain.id_source"})
"""Event facts that only several records together say: no rule on single records reads them."""

LACKS: Mapping[str, str] = {}
"""Facts that SPL can't compute here, with the reason and the nearest that works."""

HOP_MINUTES, LATE_MINUTES = 60, 5
"""A search runs each hour, over the hour that ended five minutes before: by then late records are in."""


CHAIN_TIME = "earliest=-176700s@s latest=now"
"""Chains are searched each hour: a day of lookback before the day that a chain may take, the hour, and five minutes."""


def compiled(wanted: Wanted, events: Vocabulary, chains: Vocabulary) -> str:
    """One search, ready to paste: index, time, view, rule.

    Raises:
        Inexpressible: one sentence that names rule, construct and the nearest that works.
    """
    judged = wanted.judged
    if wanted.of_chains and isinstance(judged, Correlation):
        raise Inexpressible(
            f"rule {wanted.stem!r} is correlated and judges chains; correlate events, or group findings"
        )
    if wanted.of_chains:
        lines = [
            f"search `countersign_index` {CHAIN_TIME}",
            *("`countersign_events`", "`countersign_chains`"),
            f"where {condition(wanted.parts[0], chains)}",
            "fields - cs_* cr_*",
        ]
        return "\n| ".join(lines)
    if isinstance(judged, Correlation):
        rest = correlated(judged, [condition(step.rule, events) for step in judged.steps])
        reach = judged.window_us // 1_000_000
    else:
        rest, reach = [f"where {condition(judged, events)}"], 0
    lines = [f"search `countersign_index` {schedule(reach)}", "`countersign_events`", *rest, "fields - cs_* cr_*"]
    return "\n| ".join(lines)


def condition(rule: SigmaRule, vocabulary: Vocabulary) -> str:
    """A rule's condition of `where`; raises `Inexpressible`."""
    read = fields_read(rule)
    if late := sorted(read & LATE) if rule.logsource.service != "chain" else []:
        raise Inexpressible(f"rule {rule.title!r} reads {late[0]}, which only an emitter's records together say")
    if lacking := sorted(read & set(LACKS)):
        raise Inexpressible(f"rule {rule.title!r} reads {lacking[0]}: {LACKS[lacking[0]]}")
    return expression(rule, vocabulary)


def schedule(reach_sec: int) -> str:
    """The time that a search reads: its hour, and what a window reaches back."""
    earliest = (HOP_MINUTES + LATE_MINUTES) * 60 + reach_sec
    return f"earliest=-{earliest}s@s latest=-{LATE_MINUTES * 60}s@s"


def comment(said: str) -> str:
    """A text as a comment; what would end it is taken out."""
    return f"``` {said.replace('`', chr(39))} ```"


def views() -> dict[str, str]:
    """The views by the name of their macro, and ``macros.conf`` with the macros that take arguments."""
    files = {
        **{f"countersign_{name}": name for name in ("fields", "events", "evidence")},
        "countersign_chains": "chain",
    }
    found = {name: (VIEWS / f"{file}.spl").read_text(encoding="utf-8") for name, file in files.items()}
    return {**found, "macros.conf": (VIEWS / "macros.conf").read_text(encoding="utf-8")}


def macros(texts: Mapping[str, str]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Every macro: name → its text and the names of its arguments, from `views`."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {
        name: (said, ()) for name, said in texts.items() if name != "macros.conf"
    }
    for stanza in re.split(r"^\[", texts["macros.conf"], flags=re.MULTILINE)[1:]:
        head, _, body = stanza.partition("]")
        name = head.partition("(")[0]
        lines = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", body, flags=re.MULTILINE)).strip().splitlines()
        said = dict(line.split(" = ", 1) for line in lines if line.strip())
        found[name] = (
            said["definition"],
            tuple(part.strip() for part in said.get("args", "").split(",") if part.strip()),
        )
    return found


TARGET = Target(
    name="splunk",
    product="Splunk Enterprise 9 and Splunk Cloud",
    language="SPL",
    suffix=".spl",
    comment=comment,
    change={"countersign_index": "the macro that names your index", "earliest": "how often your schedule runs"},
    compile=compiled,
    views={name if "." in name else f"{name}.spl": text for name, text in views().items()},
)
