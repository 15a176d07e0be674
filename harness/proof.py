"""The proof of a rule: every case and every variant of it, judged by the engine, compared with the oracle.

A cell is one rule on one case or variant. Cells are executed in few, large data sets: cells that share a register go
into one, kept apart by keys of their own (`harness.isolation`). The oracle judges the facts that the engine's own view
gave, so that a cell tells whether the rule was compiled rightly; the case's own expectation tells whether rule and
facts are right. A second data set holds all cases of all rules at the same time: what leaks between cases shows there,
and each rule is judged on every other rule's cases too.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backends.absence import ARGUMENTS, WrongType, read
from harness.isolation import APART, may_move, moved, own_keys
from harness.matrix import AS_WRITTEN, Answer, Cell, Failure, Proof, Subject, Verdicts, failure, word
from harness.variants import Same, Variant, variants

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from backends.vocabulary import Vocabulary
    from harness.case import Bases, Tables
    from harness.matrix import Judge

BATCH = 4000
"""Cells in one data set."""

NAMES = ("gen_ai.agent.id", "service.target.name", "service.target.id")
"""By these a chain learns what others of the same agent or system log."""

JOINING = ("chain.prompt.id", "trace.id", "user.id", "gen_ai.agent.id")
"""What chains are made of: a chain rule reads none of it itself, so these vary in form in each of its cases."""


def prove(
    subjects: Sequence[Subject],
    judge: Judge,
    bases: Bases,
    vocabulary: Vocabulary,
    inputs: Mapping[str, Collection[str]] | None = None,
) -> list[Proof]:
    """Execute every cell.

    Args:
        subjects: the rules.
        judge: runs all of them over one data set with one register; called a few times.
        bases: honest records and register.
        vocabulary: the event's fields.
        inputs: raw fields that a derived field is computed from; they are bent too.

    Raises:
        Unsupported: a rule that the oracle does not know how to judge.
    """
    proofs = {subject.stem: Proof(subject.stem, len(subject.cases)) for subject in subjects}
    everything = []
    for subject in subjects:
        cells = list(_cells(subject, bases, vocabulary, inputs or {}))
        proofs[subject.stem].variants = len(cells) - len(subject.cases)
        everything += cells
    answers: dict[int, Answer] = {}
    for verdicts, placed in _judged(everything, judge, bases, vocabulary, together=False):
        for number, start in placed:
            cell = everything[number]
            answers[number] = _answer(cell.subject, cell, verdicts, start)
            proofs[cell.subject.stem].cells += 1
    for stem, found in _compared(everything, answers, vocabulary):
        proofs[stem].failures.append(found)
    for stem, wrong in _together(subjects, everything, judge, bases, vocabulary):
        proofs[stem].cells += 1
        proofs[stem].failures += wrong
    return list(proofs.values())


def _cells(
    subject: Subject, bases: Bases, vocabulary: Vocabulary, inputs: Mapping[str, Collection[str]]
) -> Iterator[Cell]:
    for case in subject.cases:
        records = case.records(bases)
        matter = set(subject.fields) | {name for bend in case.bends for name in bend.set}
        matter |= {name for fact in subject.fields for name in inputs.get(fact, ())}
        yield Cell(subject, case, Variant(AS_WRITTEN, records, Same.AS_CASE), records)
        forms = JOINING if subject.of_chains else ()
        for variant in variants(records, matter, vocabulary, cased=subject.cased, forms=forms):
            yield Cell(subject, case, variant, variant.records)


def _judged(
    cells: Sequence[Cell], judge: Judge, bases: Bases, vocabulary: Vocabulary, *, together: bool
) -> Iterator[tuple[Verdicts, list[tuple[int, int]]]]:
    """Data sets that are judged, each with its cells: (number of the cell, index of its first record)."""
    for tables, now, numbers in _data_sets(cells, bases, together=together):
        records: list[dict[str, Any]] = []
        placed = []
        for turn, number in enumerate(numbers):
            cell = cells[number]
            placed.append((number, len(records)))
            chains = cell.subject.of_chains
            own = own_keys(
                list(cell.records),
                f"c{number}",
                keep=() if chains else cell.subject.fields,
                also=NAMES if chains and together and not tables else (),
            )
            if chains and turn and not together:
                own = moved(own, APART * turn, vocabulary)
            records += own
        yield judge(records, tables, now), placed


def _data_sets(
    cells: Sequence[Cell], bases: Bases, *, together: bool
) -> Iterator[tuple[Tables, datetime | None, list[int]]]:
    groups: dict[tuple[str, Any, bool, int], list[int]] = defaultdict(list)
    start = bases.start.isoformat()
    for number, cell in enumerate(cells):
        tables = cell.case.tables(bases)
        chains = cell.subject.of_chains and not together
        fixed = chains and (cell.case.now is not None or not may_move(tables, start))
        groups[json.dumps(tables, sort_keys=True), cell.case.now, chains, number if fixed else -1].append(number)
    for (tables_text, now, *_), numbers in groups.items():
        for first in range(0, len(numbers), BATCH):
            yield json.loads(tables_text), now, numbers[first : first + BATCH]


def _answer(subject: Subject, cell: Cell, verdicts: Verdicts, start: int) -> Answer:
    places = range(start, start + len(cell.records))
    events = [verdicts.events[place] for place in places]
    if not subject.of_chains:
        hits = verdicts.event_hits.get(subject.stem, ())
        oracle = any(subject.term.holds(facts) for facts in events if facts is not None)
        return Answer(any(place in hits for place in places), oracle, tuple(events))
    ids = dict.fromkeys(facts["chain.id"] for facts in events if facts is not None and facts.get("chain.id"))
    chains = [verdicts.chains[chain] for chain in ids if chain in verdicts.chains]
    hits_of_chains = verdicts.chain_hits.get(subject.stem, ())
    rejected = [facts for facts in events if facts is None]
    return Answer(
        any(chain in hits_of_chains for chain in ids),
        any(subject.term.holds(chain) for chain in chains),
        (*chains, *rejected),
    )


def _compared(
    cells: Sequence[Cell], answers: Mapping[int, Answer], vocabulary: Vocabulary
) -> Iterator[tuple[str, Failure]]:
    written: dict[tuple[str, str], Answer] = {}
    forms: dict[tuple[str, str, str], tuple[Cell, Answer]] = {}
    for number, cell in enumerate(cells):
        answer, key = answers[number], (cell.subject.stem, cell.case.sentence)
        if cell.variant.name == AS_WRITTEN:
            written[key] = answer
        found = list(_wrong(cell, answer, written[key], vocabulary))
        if cell.variant.same is Same.IN_GROUP:
            first, said = forms.setdefault((*key, cell.variant.group), (cell, answer))
            if answer.engine != said.engine:
                problem = f"the forms of absence differ: {first.variant.name} is another verdict"
                found.append(failure(cell, answer, problem, expected=word(fires=said.engine)))
        for wrong in found:
            yield cell.subject.stem, wrong


def _wrong(cell: Cell, answer: Answer, written: Answer, vocabulary: Vocabulary) -> Iterator[Failure]:
    rejected = None in answer.facts
    if rejected != (cell.variant.same is Same.REJECTED):
        problem, expected = ("a good record", "accepted") if rejected else ("a record of the wrong type", "rejected")
        yield replace(failure(cell, answer, problem, expected=expected), got="rejected" if rejected else "accepted")
        return
    if answer.engine != answer.oracle:
        problem = "engine and oracle differ on the same facts"
        yield failure(cell, answer, problem, expected=word(fires=answer.oracle))
    elif cell.variant.name == AS_WRITTEN and answer.engine != cell.case.fires:
        yield failure(cell, answer, "not what the case expects", expected=word(fires=cell.case.fires))
    elif answer.engine != written.engine and _must_stay(cell, answer, written, vocabulary):
        problem = "another verdict than the case as written"
        yield failure(cell, answer, problem, expected=word(fires=written.engine))
    if not cell.subject.of_chains and not rejected:
        yield from _misread(cell, answer, vocabulary)


def _must_stay(cell: Cell, answer: Answer, written: Answer, vocabulary: Vocabulary) -> bool:
    if cell.variant.same is not Same.AS_FACTS:
        return cell.variant.same is Same.AS_CASE
    derived = sorted(name for name in cell.subject.fields if name not in vocabulary.raw)
    now, then = ([[(f or {}).get(name) for name in derived] for f in each.facts] for each in (answer, written))
    return now == then


def _misread(cell: Cell, answer: Answer, vocabulary: Vocabulary) -> Iterator[Failure]:
    """Fields that the view gives otherwise than the record says; it may move ``user.*``, and only that."""
    for record, facts in zip(cell.records, answer.facts, strict=True):
        try:
            said = read(record, vocabulary)
        except WrongType:
            continue
        for name in sorted(cell.subject.fields & set(vocabulary.raw) - {ARGUMENTS}):
            if name.startswith("user.") or vocabulary.fields[name].kind == "time":
                continue
            got = (facts or {}).get(name)
            if said.get(name) != got:
                found = failure(cell, answer, f"the view misread {name}", expected=repr(said.get(name)))
                yield replace(found, got=repr(got))


def _together(
    subjects: Sequence[Subject], cells: Sequence[Cell], judge: Judge, bases: Bases, vocabulary: Vocabulary
) -> Iterator[tuple[str, list[Failure]]]:
    """All cases at the same time: every rule on every case, its own and the others'."""
    cases = [cell for cell in cells if cell.variant.name == AS_WRITTEN]
    for verdicts, placed in _judged(cases, judge, bases, vocabulary, together=True):
        for number, start in placed:
            cell = cases[number]
            for subject in subjects:
                answer = _answer(subject, cell, verdicts, start)
                at, wrong = replace(cell, subject=subject), []
                if answer.engine != answer.oracle:
                    problem = "engine and oracle differ, all cases together"
                    wrong.append(failure(at, answer, problem, expected=word(fires=answer.oracle)))
                elif subject is cell.subject and answer.engine != cell.case.fires:
                    problem = "another verdict when all cases run together: something leaks between them"
                    wrong.append(failure(at, answer, problem, expected=word(fires=cell.case.fires)))
                yield subject.stem, wrong
