"""The Sentinel target: analytic rules in KQL over two saved functions.

Time: an analytic rule's query period bounds ``TimeGenerated``, so no query here names a time. For a correlation the
period is its span and the rule's frequency; for a chain rule the lookback of the chains.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from backends.correlation import Correlation
from backends.sentinel.backend import SentinelBackend
from backends.sentinel.columns import column
from backends.sentinel.correlate import statements
from backends.target import Inexpressible, Target, Wanted, fields_read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sigma.rule import SigmaRule

    from backends.vocabulary import Vocabulary

EVENTS, CHAINS = "countersign_events()", "countersign_chains()"
VIEWS: Mapping[str, str] = MappingProxyType(
    {path.stem: path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parent / "views").glob("*.kql"))}
)
LATE = frozenset({"chain.id", "chain.id_source"})
"""Event fields that only joining says: `countersign_chains()` reads the event view, so that can't read it back."""

LACKS: Mapping[str, str] = MappingProxyType({})
"""Chain fact → why the chain view can't give it, and the nearest that works."""


def checked(rule: SigmaRule) -> None:
    """Refuse what a rule reads that no view gives.

    Raises:
        Inexpressible: one sentence.
    """
    of_chains, read = rule.logsource.service == "chain", fields_read(rule)
    if late := [] if of_chains else sorted(read & LATE):
        raise Inexpressible(
            f"rule {rule.title!r} reads {late[0]}, which only a chain has; write it with service: chain"
        )
    if lacking := sorted(read & set(LACKS)) if of_chains else []:
        raise Inexpressible(f"rule {rule.title!r} reads {lacking[0]}: {LACKS[lacking[0]]}")


def compile_rule(wanted: Wanted, events: Vocabulary, chains: Vocabulary) -> str:
    """One query, ready to paste into an analytic rule.

    Raises:
        Inexpressible: one sentence that names rule, construct and the nearest that works.
    """
    for part in wanted.parts:
        checked(part)
    if isinstance(wanted.judged, Correlation):
        if wanted.of_chains:
            raise Inexpressible(f"rule {wanted.judged.rule.title!r} is correlated and judges chains; correlate events")
        lets, hits = statements(wanted.judged, events, EVENTS)
        return "\n".join([*lets, f"{EVENTS}\n| where _ItemId in ({hits})"]) + "\n"
    vocabulary, source, row = (chains, CHAINS, "chain_id") if wanted.of_chains else (events, EVENTS, "_ItemId")
    backend = SentinelBackend(vocabulary, source, row)
    condition = backend.expression(wanted.judged)
    return "\n".join([*backend.lets, f"{source}\n| where {condition}"]) + "\n"


TARGET = Target(
    name="sentinel",
    product="Microsoft Sentinel (Log Analytics), KQL",
    language="Kusto Query Language",
    suffix=".kql",
    comment=lambda text: "".join(f"// {line}".rstrip() + "\n" for line in text.splitlines()),
    change=MappingProxyType(
        {
            "countersign_events": "the saved function of views/events.kql, which reads the table CountersignEvents_CL",
            "countersign_chains": "the saved function of views/chain.kql",
            "_ItemId": "Log Analytics' own id of a record; nothing to change",
        }
    ),
    compile=compile_rule,
    views=MappingProxyType({f"{name}.kql": text for name, text in VIEWS.items()}),
    spelled=column,
)
