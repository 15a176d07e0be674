"""Changes of one field that might turn a verdict: proposals, in the order in which a person would try them.

Which of them turn it is for an engine to say. Proposals come from the terms themselves, from what the rule's own cases
set, and from the honest record of the same stage.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from backends.absence import absent, read
from harness.case import moment, rfc3339
from harness.oracle import Atom, Either, Every, Not
from harness.variants import other

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from backends.vocabulary import Field, Vocabulary
    from harness.case import Bases, Case
    from harness.oracle import Term
    from harness.terms import Told

MOST = 300
"""Proposals that are tried."""

WHAT_IT_IS = ("chain.stage", "@timestamp", "event.dataset")
"""Another stage, time or source makes another record of it: proposed only where a term asks for it."""

_SPANS = (timedelta(minutes=1), timedelta(hours=1), timedelta(days=2))


@dataclass(frozen=True)
class Change:
    """One field of a record that is otherwise.

    Attributes:
        field: dotted name.
        value: what it holds then; None where it is taken away.
    """

    field: str
    value: Any = None

    def of(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The flat record with the change."""
        changed = {name: value for name, value in record.items() if name != self.field}
        return changed if self.value is None else {**changed, self.field: self.value}


@dataclass(frozen=True)
class Lessons:
    """What a rule's cases say about its fields.

    Attributes:
        cases: the cases.
        bases: honest records.
        vocabulary: the event's fields.
    """

    cases: Sequence[Case]
    bases: Bases
    vocabulary: Vocabulary

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields that any case sets, in the order of the cases."""
        return tuple(dict.fromkeys(name for case in self.cases for bend in case.bends for name in bend.set))

    def of(self, verdict: bool, stage: str | None) -> Iterator[Change]:  # noqa: FBT001 - fires, or stays quiet
        """What cases of this verdict set on records of a stage."""
        for case in self.cases:
            if case.fires is verdict:
                for bend in case.bends:
                    if bend.base == stage:
                        yield from (Change(name, value) for name, value in bend.set.items())

    def honest(self, stage: str | None) -> Mapping[str, Any]:
        """The honest record of a stage, flat."""
        known = self.vocabulary.fields["chain.stage"].enum
        return read(self.bases.event(stage), self.vocabulary) if stage in known else {}

    def values(self, name: str) -> Iterator[Any]:
        """Values that cases give a field, and the schema's example."""
        for case in self.cases:
            for bend in case.bends:
                if not absent(bend.set.get(name)):
                    yield bend.set[name]
        field = self.vocabulary.fields[name]
        yield from field.enum
        yield field.example


def proposals(
    record: Mapping[str, Any],
    told: Sequence[Told],
    lessons: Lessons,
    *,
    to_fire: bool,
    stage: str | None = None,
    others: Sequence[Mapping[str, Any]] = (),
) -> tuple[Change, ...]:
    """Changes of one field of a flat record, likeliest first, at most ``MOST``.

    Args:
        record: its raw fields.
        told: what the rule lacks, or where it fired, what it met.
        lessons: what the rule's cases say.
        to_fire: whether the rule shall fire; else it shall stay quiet.
        stage: the record's stage.
        others: records of the same chain; what is theirs may be this one's.
    """
    found: dict[str, Change] = {}
    asked = {name for each in told for name in each.fields}
    for change in chain(_of_others(record, others, lessons), _all(record, told, lessons, to_fire, stage)):
        field = lessons.vocabulary.raw.get(change.field)
        if field is None or (change.field in WHAT_IT_IS and (not to_fire or change.field not in asked)):
            continue
        if change.of(record) == dict(record) or (absent(change.value) and absent(record.get(change.field))):
            continue
        found.setdefault(json.dumps([change.field, change.value], sort_keys=True, default=str), change)
        if len(found) == MOST:
            break
    return tuple(found.values())


def _of_others(record: Mapping[str, Any], others: Sequence[Mapping[str, Any]], lessons: Lessons) -> Iterator[Change]:
    """What another record of the chain holds in a field that cases set."""
    for name in lessons.fields:
        for each in others:
            if not absent(each.get(name)) and each[name] != record.get(name):
                yield Change(name, each[name])


def _all(
    record: Mapping[str, Any],
    told: Sequence[Told],
    lessons: Lessons,
    to_fire: bool,  # noqa: FBT001
    stage: str | None,
) -> Iterator[Change]:
    if to_fire:
        yield from _by_terms(record, told, lessons, stage, turned=False)
        yield from lessons.of(True, stage)  # noqa: FBT003
    else:
        for name in dict.fromkeys(name for each in told for name in each.fields):
            yield from (change for change in lessons.of(False, stage) if change.field == name)  # noqa: FBT003
        yield from _by_terms(record, told, lessons, stage, turned=True)
        yield from lessons.of(False, stage)  # noqa: FBT003
    honest = lessons.honest(stage)
    names = dict.fromkeys([*lessons.fields, *(name for each in told for name in each.fields)])
    fields = [lessons.vocabulary.raw[name] for name in names if name in lessons.vocabulary.raw]
    for some in zip_longest(*(_otherwise(field, record, lessons, honest) for field in fields)):
        yield from (change for change in some if change is not None)


def _by_terms(
    record: Mapping[str, Any], told: Sequence[Told], lessons: Lessons, stage: str | None, *, turned: bool
) -> Iterator[Change]:
    """What the terms themselves say: a value that makes a test true, or that makes it false."""
    honest = lessons.honest(stage)
    for each in told:
        for atom, wanted in _atoms(each.term, wanted=each.wanted is not turned):
            field = lessons.vocabulary.raw.get(atom.field)
            if field is None:
                continue
            for value in _values(atom, record, lessons, honest, wanted=wanted):
                yield Change(field.name, _shaped(field, value))


def _atoms(term: Term, *, wanted: bool) -> Iterator[tuple[Atom, bool]]:
    if isinstance(term, Atom):
        yield term, wanted
    elif isinstance(term, Not):
        yield from _atoms(term.term, wanted=not wanted)
    elif isinstance(term, Every | Either):
        for part in term.terms:
            yield from _atoms(part, wanted=wanted)


def _values(
    atom: Atom, record: Mapping[str, Any], lessons: Lessons, honest: Mapping[str, Any], *, wanted: bool
) -> Iterator[Any]:
    """Values of the atom's field that may give it the truth that is wanted, absence (None) among them."""
    proposed: list[Any] = [None] if atom.holds({}) is wanted else []
    if wanted:
        proposed += [*atom.met_by, *(record.get(name) for name in atom.reads[1:])]
    if not absent(honest.get(atom.field)):
        proposed.append(honest[atom.field])
    proposed += lessons.values(atom.field)
    if not wanted and not absent(record.get(atom.field)):
        proposed.append(_other(record[atom.field]))
    for value in proposed:
        if atom.holds({**record, atom.field: value}) is wanted:
            yield value


def _otherwise(
    field: Field, record: Mapping[str, Any], lessons: Lessons, honest: Mapping[str, Any]
) -> Iterator[Change]:
    """A field taken away, as an honest record has it, as cases have it, as another field, or just otherwise."""
    here = record.get(field.name)
    yield Change(field.name)
    values: list[Any] = [honest.get(field.name), *lessons.values(field.name)]
    if field.kind == "time" and not absent(record.get("@timestamp")):
        values += _times(record["@timestamp"])
    elif field.kind == "boolean":
        values += [True, False]
    elif not absent(here):
        values.append(_other(here))
        values += [here + 1, here - 1, here * 2, here // 2] if isinstance(here, int) else []
    if field.kind == "keyword":
        values += [text for text in record.values() if isinstance(text, str)]
    yield from (Change(field.name, _shaped(field, value)) for value in values if not absent(value))


def _times(text: Any) -> Iterable[str]:
    try:
        time = moment(str(text))
    except ValueError:
        return ()
    return [rfc3339(each) for span in _SPANS for each in (time - span, time + span)]


def _other(value: Any) -> Any:
    return [other(each) for each in value] if isinstance(value, list) else other(value)


def _shaped(field: Field, value: Any) -> Any:
    """A value in the field's own form: many values in an array, one elsewhere."""
    if absent(value):
        return None
    if field.array:
        return list(value) if isinstance(value, list) else [value]
    return value[0] if isinstance(value, list) else value
