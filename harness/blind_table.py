"""Rule by source: what each rule still sees when a source's records are all there is.

Nothing is argued: every case on which a rule fires is cut down to what the source's map says that its records can hold,
and judged by the embedded engine. What the map cannot say is gone, and its ``never`` is known to the engine.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.matrix import Cell
from harness.proof import judged_cells
from harness.variants import Same, Variant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from backends.sources import SourceMaps
    from backends.vocabulary import Vocabulary
    from harness.case import Bases
    from harness.matrix import Judge, Subject

FIRES, POSTURE, BLIND = "fires", "posture only", "blind"
"""The rule fires; it does not, but a rule on blindness tells of the gap; nothing tells."""

TELLING = "source_blind_to_"
"""Stems of the rules that report what a source cannot say."""

ALWAYS = frozenset({"@timestamp", "chain.stage", "event.dataset"})


@dataclass(frozen=True)
class Seen:
    """What a rule sees of a source.

    Attributes:
        stem: the rule.
        source: the map.
        word: one of ``FIRES``, ``POSTURE``, ``BLIND``.
        cases: how many of the rule's firing cases still fire, and how many there are.
    """

    stem: str
    source: str
    word: str
    cases: tuple[int, int]


FILE = "blindness.json"
"""Beside the rules: the table by stem and source, for packages; `countersign matrix` writes it."""


def as_json(seen: Sequence[Seen]) -> str:
    """Text of ``FILE``."""
    found: dict[str, dict[str, str]] = {}
    for one in seen:
        found.setdefault(one.stem, {})[one.source] = one.word
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


def sayable(maps: SourceMaps) -> dict[str, dict[str, frozenset[str]]]:
    """By source, by stage: the dotted fields that its records can hold."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name, source in maps.items():
        for kind in source.kinds:
            if kind.stage and kind.event != "never":
                given = {field for take in kind.takes for field in take.gives}
                found[kind.speaks_as or name][kind.stage] |= {*kind.fields, *given}
    return {
        name: {stage: frozenset(fields) | ALWAYS for stage, fields in found[name].items()}
        for name in maps
        if name in found
    }


def table(
    subjects: Sequence[Subject], judge: Judge, bases: Bases, vocabulary: Vocabulary, maps: SourceMaps
) -> list[Seen]:
    """Judge every firing case as each source would have logged it; in order of rules, then sources."""
    able = sayable(maps)
    cells, of = [], []
    for source, stages in able.items():
        for subject in subjects:
            for case in subject.cases:
                records = list(_cut(case.records(bases), source, stages)) if case.fires else []
                if records:
                    cells.append(Cell(subject, case, Variant(source, records, Same.FREE), records))
                    of.append(source)
    fired: dict[tuple[str, str], int] = defaultdict(int)
    told: dict[tuple[str, str], bool] = defaultdict(bool)
    telling = [subject.stem for subject in subjects if subject.stem.startswith(TELLING)]
    for verdicts, placed in judged_cells(cells, bases, judge, vocabulary):
        for number, start in placed:
            cell, key = cells[number], (cells[number].subject.stem, of[number])
            places = range(start, start + len(cell.records))
            if cell.subject.of_chains:
                chains = {(verdicts.events[at] or {}).get("chain.id") for at in places}
                fired[key] += bool(chains & set(verdicts.chain_hits.get(cell.subject.stem, ())))
            else:
                fired[key] += any(at in verdicts.event_hits.get(cell.subject.stem, ()) for at in places)
            told[key] |= any(at in verdicts.event_hits.get(stem, ()) for stem in telling for at in places)
    out = []
    for subject in subjects:
        count = sum(case.fires for case in subject.cases)
        for source in able:
            key = (subject.stem, source)
            word = FIRES if fired[key] else POSTURE if told[key] else BLIND
            out.append(Seen(subject.stem, source, word, (fired[key], count)))
    return out


def _cut(
    records: Sequence[Mapping[str, Any]], source: str, stages: Mapping[str, frozenset[str]]
) -> Iterator[dict[str, Any]]:
    """The records of stages that the source has, with the fields that it can say."""
    for record in records:
        stage = str((record.get("chain") or {}).get("stage"))
        if stage in stages:
            kept = _kept(record, stages[stage])
            kept.setdefault("event", {})["dataset"] = source
            yield kept


def _kept(node: Mapping[str, Any], fields: frozenset[str], above: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in node.items():
        name = f"{above}{key}"
        if name in fields:
            out[key] = value
        elif isinstance(value, dict):
            below = _kept(value, fields, f"{name}.")
            if below:
                out[key] = below
    return out
