"""The quality page: what every rule finds and misses in logs made with seeds that no rule was written by.

In one log attacks are labelled: a rule's recall is the share of the attacks meant for it that it finds, its precision
the share of its findings that lie in attacked work. Another is benign. It is scanned as a careful team would,
with a full register and every source map, and as it is on the first day, with neither.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generator.attacks import attacks
from generator.clock import SECOND
from generator.plan import Plan
from generator.world import World
from generator.write import write, write_register, write_sources
from harness.meant import MEANT
from harness.options import ScanOptions
from harness.ruleset import load_rules
from harness.scan import scan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.finding import Finding
    from harness.paths import Root
    from harness.ruleset import RuleSet

SEEDS = {"labelled": 770_001, "benign": 770_002}
"""Used here and nowhere else, so that no rule is fitted to them."""

EVENTS = {"labelled": 300_000, "benign": 1_000_000}
RATE = 0.02
"""Attacked chains of the labelled log."""

MONDAY = 1_791_158_400 * SECOND  # 2026-10-05
DAYS = 7.0
WORKERS = 2


@dataclass(frozen=True)
class Quality:
    """One rule.

    Attributes:
        stem: of the rule, as are level and kind.
        attacks, found: attacks that are meant for it, and those that it found.
        findings, true: its findings in the labelled log, and those that lie in attacked work.
        benign: its findings in the benign log with a full register and all source maps.
        first_day: its findings in the same log with neither.
    """

    stem: str
    level: str
    kind: str
    attacks: int
    found: int
    findings: int
    true: int
    benign: int
    first_day: int


@dataclass(frozen=True)
class Measured:
    """All rules, and how many events each log had."""

    rules: tuple[Quality, ...]
    events: dict[str, int]


def measure(root: Root, events: dict[str, int] | None = None, seeds: dict[str, int] | None = None) -> Measured:
    """Make the logs, scan them, count.

    Args:
        root: where rules, schemas and source maps lie.
        events: how many events each log has, about; `EVENTS` if not given.
        seeds: `SEEDS` if not given.
    """
    sizes, seeds = events or EVENTS, seeds or SEEDS
    rules = load_rules(root.rules, root.schemas)
    with tempfile.TemporaryDirectory(prefix="countersign-quality-") as name:
        folder = Path(name)
        labelled, benign = folder / "labelled", folder / "benign"
        written = {
            "labelled": _generate(labelled, seeds["labelled"], sizes["labelled"], tuple(attacks())),
            "benign": _generate(benign, seeds["benign"], sizes["benign"], ()),
        }
        meant, found, marked = _attacked(root, labelled, rules)
        careful = _findings(root, benign, careful=True)
        first_day = _findings(root, benign, careful=False)
    counts = [Counter(finding.rule.stem for finding in some) for some in (careful, first_day)]
    return Measured(
        tuple(
            Quality(
                *(rule.stem, rule.level, rule.kind, meant[rule.stem], found[rule.stem]),
                *marked[rule.stem],
                *(count[rule.stem] for count in counts),
            )
            for rule in rules
        ),
        written,
    )


def _generate(folder: Path, seed: int, events: int, names: tuple[str, ...]) -> int:
    folder.mkdir()
    world = World(seed, own_sources=True)
    write_register(world.register, folder / "register")
    write_sources(folder / "sources")
    plan = Plan(events, seed, MONDAY, DAYS, names, RATE, world)
    with (folder / "log.jsonl").open("wb") as log, (folder / "labels.jsonl").open("wb") as labels:
        return write(plan, [log], labels, WORKERS).events


def _findings(root: Root, folder: Path, *, careful: bool) -> tuple[Finding, ...]:
    more: dict[str, Any] = {"register": folder / "register", "sources": (folder / "sources",)} if careful else {}
    return scan(ScanOptions((str(folder / "log.jsonl"),), root, **more)).findings


def _attacked(
    root: Root, folder: Path, rules: RuleSet
) -> tuple[Counter[str], Counter[str], defaultdict[str, tuple[int, int]]]:
    """By stem: attacks meant for it, those that it found, and its findings with those that lie in attacked work."""
    ids: list[str] = [json.loads(line)["event"]["id"] for line in (folder / "log.jsonl").open("rb")]
    labels = [json.loads(line) for line in (folder / "labels.jsonl").open("rb")]
    attacked = {event for label in labels for event in label["events"]}
    named: dict[str, set[str]] = defaultdict(set)
    marked: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for finding in _findings(root, folder, careful=True):
        events = {ids[record.line - 1] for record in finding.records}
        named[finding.rule.stem] |= events
        all_of_them, true = marked[finding.rule.stem]
        marked[finding.rule.stem] = all_of_them + 1, true + bool(events & attacked)
    posture = {rule.stem for rule in rules if rule.kind == "posture"}
    meant, found = Counter[str](), Counter[str]()
    for label in labels:
        stem = MEANT[label["attack"]]
        meant[stem] += 1
        # a posture is told once a day for its server or source, whichever of its calls are listed
        found[stem] += bool(named[stem] if stem in posture else named[stem] & set(label["events"]))
    return meant, found, marked


def page(measured: Measured) -> str:
    """The page, without its first line."""
    rows = "\n".join(_row(one, measured.events["benign"]) for one in measured.rules)
    careful = [one for one in measured.rules if one.kind == "incident" and one.benign]
    told = "no incident" if not careful else "; ".join(f"{one.benign} of {one.stem}" for one in careful)
    missing = sorted({one.stem for one in measured.rules if not one.attacks})
    last = f"No attack is made for {_and(missing)}." if missing else "Every rule has an attack."
    return f"""# Quality

What every rule finds and misses. The logs are synthetic: `countersign generate` made them with seeds that were
never used while rules were written ({_and(SEEDS.values())}). They say how well a rule tells the generator's
attacks from its honest work, and nothing about your logs; `countersign scan` does.

- **Attacks, recall**: {measured.events["labelled"]:,} events, one chain in {round(1 / RATE)} attacked. How many
  attacks are meant for the rule, and the share that it finds. A posture counts as found if its rule tells of it.
- **Precision**: of the rule's findings in the same log, the share that lies in attacked work. A posture rule also tells
  of what the organisation has by nature.
- **Benign**: findings in a million benign events, grouped as they are reported, with a full register and a source map
  for every log. The log is made hard: [`tests/test_hardness.py`](../tests/test_hardness.py) asserts how often each
  term of each rule is what spares honest work.
- **First day**: the same log without a register and with the pack's own source maps only. Here is what no filter can
  exempt: services that nobody registered, logs whose blindness nobody declared, names that two systems spell
  differently.

With a full register the benign log gives {told}.

| rule | level | attacks | recall | precision | benign, a million | first day, a million |
|---|---|--:|--:|--:|--:|--:|
{rows}

{last} Posture rules are marked with an asterisk.
"""


def _row(one: Quality, events: int) -> str:
    def share(some: int, of: int) -> str:
        return f"{some / of:.3f}" if of else "–"

    def a_million(count: int) -> str:
        return f"{count * 1e6 / events:,.0f}" if count else "0"

    name = one.stem + (" *" if one.kind == "posture" else "")
    return (
        f"| {name} | {one.level} | {one.attacks} | {share(one.found, one.attacks)} | {share(one.true, one.findings)} "
        f"| {a_million(one.benign)} | {a_million(one.first_day)} |"
    )


def _and(words: Iterable[object]) -> str:
    *some, last = map(str, words)
    return f"{', '.join(some)} and {last}" if some else last
