"""The proof of a rule: every case and every variant of it, judged by the engine, compared with the oracle.

A cell is one rule on one case or variant. Cells are executed in few, large data sets: cells that share a register go
into one, kept apart by keys of their own (`harness.isolation`). The oracle judges the facts that the engine's own view
gave, so that a cell tells whether the rule was compiled rightly; the case's own expectation tells whether rule and
facts are right. Each rule is judged on every other rule's cases too. Cells of event rules share one time and are told
apart only by their keys; those of chain rules are moved in time, and run once more at the same time: what leaks between
cases shows there.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from zlib import crc32

from backends.absence import ARGUMENTS, WrongType, read
from harness.isolation import APART, may_move, moved, own_keys
from harness.matrix import AS_WRITTEN, Answer, Cell, Failure, Proof, Subject, Verdicts, failure, word
from harness.portions import portions
from harness.variants import Same, Variant, variants

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from backends.vocabulary import Vocabulary
    from harness.case import Bases, Case, Tables
    from harness.matrix import Judge

BATCH = 2000
"""Records in one data set, but for a cell that has more: what an engine holds of a query grows with them."""

MANY = 10
"""Records of a case beyond which variants are made of the first case only that fires: its terms are those of all."""

SEVERAL = 2
"""Records of a correlation's case that are all bent; of more, the first is."""

WORKERS = 2
"""Data sets judged at the same time: an engine spends seconds on planning, whatever the size."""

NAMES = (
    *("gen_ai.agent.id", "chain.agent.parent_id", "oauth.act.sub", "oauth.act.chain"),
    *("service.target.name", "service.target.id"),
)
"""By these a chain learns what others of the same agent or system log; an agent is named in four places."""

NAMING = frozenset({"chain.agents", "chain.systems"})
"""Chain fields that hold these names: a rule that reads one means these and no others."""

JOINING = ("chain.prompt.id", "trace.id", "user.id", "gen_ai.agent.id")
"""What chains are made of: a chain rule reads none of it itself, so these vary in form in each of its cases."""


def prove(
    subjects: Sequence[Subject],
    judge: Judge,
    bases: Bases,
    vocabulary: Vocabulary,
    inputs: Mapping[str, Collection[str]] | None = None,
    one_in: int = 1,
    least: int = 1,
) -> list[Proof]:
    """Execute every cell.

    Args:
        subjects: the rules.
        judge: runs all of them over one data set with one register; called a few times.
        bases: honest records and register.
        vocabulary: the event's fields.
        inputs: raw fields that a derived field is computed from; they are bent too.
        one_in: of so many variants one is executed, always the same ones; cases as written all are.
        least: so many cases must share a register and a time, else none of their variants is executed, and they are not
            executed once more at one time: few cells take an engine as long as many.

    Raises:
        Unsupported: a rule that the oracle does not know how to judge.
    """
    proofs = {subject.stem: Proof(subject.stem, len(subject.cases)) for subject in subjects}
    everything = []
    keys = Counter(data_set(case.tables(bases), case.now) for subject in subjects for case in subject.cases)
    for subject in subjects:

        def drawn(case: Case, variant: str, stem: str = subject.stem) -> bool:
            if crc32(f"{stem}|{case.sentence}|{variant}".encode()) % one_in:
                return False
            return least == 1 or keys[data_set(case.tables(bases), case.now)] >= least

        cells = list(_cells(subject, bases, vocabulary, inputs or {}, drawn))
        proofs[subject.stem].variants = len(cells) - len(subject.cases)
        everything += cells
    answers: dict[int, Answer] = {}
    for verdicts, placed in judged_cells(everything, bases, judge, vocabulary):
        for number, start in placed:
            cell = everything[number]
            answers[number] = _answer(cell.subject, cell, verdicts, start)
            proofs[cell.subject.stem].cells += 1
            if cell.variant.name == AS_WRITTEN:
                # at one time with other cells, the keys that a correlation groups by may be theirs too
                alone = _alone(cell)
                others = [s for s in subjects if s is not cell.subject and (alone or not s.correlates)]
                _cross(cell, others, verdicts, start, proofs)
    for stem, found in _compared(everything, answers, vocabulary):
        proofs[stem].failures.append(found)
    written = [cell for cell in everything if cell.variant.name == AS_WRITTEN and not cell.subject.correlates]
    single = [subject for subject in subjects if not subject.correlates]
    written = [cell for cell in written if not cell.subject.fields & NAMING]
    together = [data for data in _together(written, bases) if len(data.numbers) >= least]
    for verdicts, placed in _judged(written, together, judge, vocabulary):
        for number, start in placed:
            _cross(written[number], single, verdicts, start, proofs)
    return list(proofs.values())


def as_written(
    subjects: Sequence[Subject], judge: Judge, bases: Bases, vocabulary: Vocabulary
) -> Iterator[tuple[Cell, Answer]]:
    """Every case without its variants, with the facts and the verdict that the engine gave."""
    cells = [
        Cell(subject, case, Variant(AS_WRITTEN, records, Same.AS_CASE), records)
        for subject in subjects
        for case in subject.cases
        for records in [case.records(bases)]
    ]
    for verdicts, placed in judged_cells(cells, bases, judge, vocabulary):
        for number, start in placed:
            yield cells[number], _answer(cells[number].subject, cells[number], verdicts, start)


def judged_cells(
    cells: Sequence[Cell], bases: Bases, judge: Judge, vocabulary: Vocabulary
) -> Iterator[tuple[Verdicts, list[tuple[int, int]]]]:
    """Verdicts of few, large data sets, each with its cells: (number of the cell, index of its first record)."""
    return _judged(cells, _apart(cells, bases), judge, vocabulary)


def _cells(
    subject: Subject,
    bases: Bases,
    vocabulary: Vocabulary,
    inputs: Mapping[str, Collection[str]],
    drawn: Callable[[Case, str], bool],
) -> Iterator[Cell]:
    for case in subject.cases:
        records = case.records(bases)
        matter = set(subject.fields) | {name for bend in case.bends for name in bend.set}
        matter |= {name for fact in subject.fields for name in inputs.get(fact, ())}
        yield Cell(subject, case, Variant(AS_WRITTEN, records, Same.AS_CASE), records)
        if len(records) > MANY and case is not next((each for each in subject.cases if each.fires), None):
            continue
        forms = JOINING if subject.of_chains else ()
        ends = {0} if subject.correlates and len(records) > SEVERAL else None
        some = partial(drawn, case)
        for variant in variants(records, matter, vocabulary, cased=subject.cased, forms=forms, only=ends, drawn=some):
            yield Cell(subject, case, variant, variant.records)


@dataclass(frozen=True)
class DataSet:
    """Cells that are judged in one go.

    Attributes:
        tables: the register.
        now: end of what is judged.
        numbers: the cells, by number.
        apart: whether each cell has a time of its own.
        named: whether chains also get agents and systems of their own; a register's names must stay.
    """

    tables: Tables
    now: datetime | None
    numbers: Sequence[int]
    apart: bool = False
    named: bool = False

    def records(self, cells: Sequence[Cell], vocabulary: Vocabulary) -> tuple[list[dict[str, Any]], list[int]]:
        """The records of all cells, and the index of each cell's first."""
        records: list[dict[str, Any]] = []
        starts = []
        for turn, number in enumerate(self.numbers):
            cell = cells[number]
            chains = cell.subject.of_chains
            keep, also = (() if chains else cell.subject.fields), (NAMES if chains and self.named else ())
            own = own_keys(list(cell.records), f"c{number}", keep, also)
            starts.append(len(records))
            records += moved(own, APART * turn, vocabulary) if self.apart and turn else own
        return records, starts


def _judged(
    cells: Sequence[Cell], data_sets: Sequence[DataSet], judge: Judge, vocabulary: Vocabulary
) -> Iterator[tuple[Verdicts, list[tuple[int, int]]]]:
    """Verdicts of each data set, with its cells: (number of the cell, index of its first record)."""

    def one(data: DataSet) -> tuple[Verdicts, list[tuple[int, int]]]:
        records, starts = data.records(cells, vocabulary)
        return judge(records, data.tables, data.now), list(zip(data.numbers, starts, strict=True))

    with ThreadPoolExecutor(WORKERS) as pool:
        yield from pool.map(one, data_sets)


def _apart(cells: Sequence[Cell], bases: Bases) -> list[DataSet]:
    """Event cells with one register; chain cells with one register, moved in time where the register allows it."""
    groups: dict[tuple[str, Any, bool, int], list[int]] = defaultdict(list)
    start = bases.start.isoformat()
    for number, cell in enumerate(cells):
        tables, chains = cell.case.tables(bases), _alone(cell)
        fixed = chains and (cell.case.now is not None or not may_move(tables, start))
        groups[*data_set(tables, cell.case.now), chains, number if fixed else -1].append(number)
    return [
        DataSet(json.loads(tables_text), now, batch, apart=chains)
        for (tables_text, now, chains, _), numbers in groups.items()
        for batch in portions(numbers, BATCH, lambda number: len(cells[number].records))
    ]


def data_set(tables: Tables, now: datetime | None) -> tuple[str, Any]:
    """What all cells of a data set have in common, as a key."""
    return json.dumps(tables, sort_keys=True), now


def _alone(cell: Cell) -> bool:
    """Whether the cell has a time of its own: that of a chain rule or correlation, which look beyond one record."""
    return cell.subject.of_chains or cell.subject.correlates


def _together(cells: Sequence[Cell], bases: Bases) -> list[DataSet]:
    """Cases with one register at the same time, where a chain rule's are among them."""
    groups: dict[tuple[str, Any], list[int]] = defaultdict(list)
    for number, cell in enumerate(cells):
        groups[data_set(cell.case.tables(bases), cell.case.now)].append(number)
    return [
        DataSet(json.loads(tables_text), now, numbers, named=tables_text == "{}")
        for (tables_text, now), numbers in groups.items()
        if len(numbers) > 1 and any(cells[number].subject.of_chains for number in numbers)
    ]


def _cross(
    cell: Cell, subjects: Sequence[Subject], verdicts: Verdicts, start: int, proofs: Mapping[str, Proof]
) -> None:
    """Every rule on one case, its own or another's."""
    for subject in subjects:
        answer = _answer(subject, cell, verdicts, start)
        at, proof = replace(cell, subject=subject), proofs[subject.stem]
        proof.cells += 1
        if not answer.agrees:
            problem = "engine and oracle differ on the same facts, among other cases"
            proof.failures.append(failure(at, answer, problem, expected=word(fires=answer.oracle)))
        elif subject is cell.subject and answer.engine != cell.case.fires:
            problem = "another verdict when all cases run together: something leaks between them"
            proof.failures.append(failure(at, answer, problem, expected=word(fires=cell.case.fires)))


def _answer(subject: Subject, cell: Cell, verdicts: Verdicts, start: int) -> Answer:
    places = range(start, start + len(cell.records))
    events = [verdicts.events[place] for place in places]
    if not subject.of_chains:
        event_hits = verdicts.event_hits.get(subject.stem, ())
        return Answer(
            tuple(place in event_hits for place in places),
            subject.verdicts(events),
            tuple(events),
        )
    ids = dict.fromkeys(facts["chain.id"] for facts in events if facts is not None and facts.get("chain.id"))
    chain_hits = verdicts.chain_hits.get(subject.stem, ())
    chains = {chain: verdicts.chains[chain] for chain in ids if chain in verdicts.chains}
    return Answer(
        tuple(chain in chain_hits for chain in chains),
        subject.verdicts(list(chains.values())),
        (*chains.values(), *(facts for facts in events if facts is None)),
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
    if not answer.agrees:
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


def _same(value: Any) -> Any:
    """What a field holds: of many values which ones. Engines keep them in an order of their own; no rule reads it."""
    return set(value) if isinstance(value, list) else value


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
            if _same(said.get(name)) != _same(got):
                found = failure(cell, answer, f"the view misread {name}", expected=repr(said.get(name)))
                yield replace(found, got=repr(got))
