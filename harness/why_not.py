"""Why a rule does not fire on a record: the first term that failed, and the smallest change that would turn it.

Nothing is claimed that was not judged: a change is named only after the engine has judged the record with it, in the
same surroundings, and the rule fired. The questions to the engine are yielded, so that many can be asked at once.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backends.absence import WrongType, absent, flatten
from backends.concepts import CONCEPTS
from harness.filter_file import part_in_words
from harness.flip import proposals
from harness.masking import masked
from harness.naming import Namer
from harness.terms import by_name, unmet, words

if TYPE_CHECKING:
    from backends.vocabulary import Vocabulary
    from harness.flip import Change, Lessons
    from harness.ruleset import Rule
    from harness.terms import Told

TRIED_AGAIN = 3
"""Changes that turned the verdict among others and are judged once more, alone; the first that turns it is told."""

AROUND_IT = "The log is long: the 2,000 events before it and after it were judged, and no others."
"""What is said where not all of a log was judged."""

Record = bytes | Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What the engine says of some records judged together, for one rule.

    Attributes:
        events: flat facts of each; None where it was rejected.
        hits: indices of the records for which the rule fires; of chains, those of all their records.
        chains: flat chain records with ``countersign.members``.
        rejected: index to reason.
    """

    events: Sequence[Mapping[str, Any] | None]
    hits: frozenset[int] = frozenset()
    chains: Sequence[Mapping[str, Any]] = ()
    rejected: Mapping[int, str] = field(default_factory=dict)

    def reason(self, index: int) -> str:
        """Why there are no facts of a record."""
        copied = "the very same record is there before, and counts once: ask about the first"
        return masked(self.rejected.get(index, copied))


Asking = Generator[Sequence[Record], Verdict, "WhyNot"]
"""Yields records to judge together; at last returns the answer."""


@dataclass(frozen=True)
class Seen:
    """A field of a term that failed: its value, masked, or why there is none."""

    field: str
    value: Any = None
    absent: str = ""


@dataclass(frozen=True)
class Lack:
    """A term that failed, or a filter that exempts the record.

    Attributes:
        part: selection or filter, in words.
        asks: the term in words.
        exempts: True for a filter: it applies, and would have to not.
        seen: the fields that it reads.
        others: other ways that would do as well.
    """

    part: str
    asks: str
    exempts: bool
    seen: tuple[Seen, ...]
    others: int = 0


@dataclass(frozen=True)
class Flip:
    """A change of one field that turns the verdict; the engine has judged it.

    Attributes:
        field: dotted name.
        was, value: before and after, masked; None is absent.
        place: the record that it is a change of.
    """

    field: str
    was: Any
    value: Any
    place: str


@dataclass(frozen=True)
class ChainSeen:
    """The chain of a record: its id, what joined it, and where its records are."""

    id: str
    source: str | None
    places: tuple[str, ...]


@dataclass(frozen=True)
class Reach:
    """How far a correlation came.

    Attributes:
        counts: what is counted, in words.
        reached, needed: how many there are in the best window with this record, and how many it takes.
        group: the group's fields and values, masked.
        window_sec: length of the window.
        missing: steps of which the window holds no record.
        places: the records in that window.
    """

    counts: str
    reached: int
    needed: int
    group: Mapping[str, Any]
    window_sec: int
    missing: tuple[str, ...]
    places: tuple[str, ...]


@dataclass(frozen=True)
class WhyNot:
    """The answer for one rule and one record.

    Attributes:
        rule: stem.
        title: Sigma's title.
        record: where the record is.
        stage: the record's stage, if it has one.
        fires: whether the rule fires on it (for a correlation: whether a window that it takes part in is complete).
        rejected: why the record could not be read; "" when it could.
        lacks: what failed, in the rule's order.
        flip: a verified change of one field; None when none was found.
        tried: changes that were judged.
        chain: for a chain rule.
        reach: for a correlation.
        notes: what bears on the answer.
    """

    rule: str
    title: str
    record: str
    stage: str | None = None
    fires: bool = False
    rejected: str = ""
    lacks: tuple[Lack, ...] = ()
    flip: Flip | None = None
    tried: int = 0
    chain: ChainSeen | None = None
    reach: Reach | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inquiry:
    """What is asked, and what is known about it.

    Attributes:
        rule: the rule, with the filters that were asked for.
        lessons: what its cases say.
        namer: masks values of the records that the rule judges.
        missing_tables: tables of the register that the rule needs and does not get.
        record: where the record is.
        settings: by source, what would supply a concept that it can never say.
    """

    rule: Rule
    lessons: Lessons
    namer: Namer
    missing_tables: tuple[str, ...] = ()
    record: str = "-"
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def vocabulary(self) -> Vocabulary:
        """The event's fields."""
        return self.lessons.vocabulary

    def answer(self, **values: Any) -> WhyNot:
        """An answer about this rule and record."""
        notes = tuple(values.pop("notes", ()))
        if self.missing_tables and not values.get("fires"):
            tables = " and ".join(self.missing_tables)
            notes = (*notes, f"The rule needs the register's {tables}, and none is given: --register DIR gives one.")
        return WhyNot(self.rule.stem, self.rule.title, self.record, notes=notes, **values)

    def lacks(self, told: Sequence[Told], facts: Mapping[str, Any]) -> tuple[Lack, ...]:
        """What failed, with what the record holds, masked."""
        return tuple(
            Lack(
                part=part_in_words(each.part),
                asks=words(each.term),
                exempts=not each.wanted,
                seen=tuple(self.seen(name, facts) for name in each.fields),
                others=each.others,
            )
            for each in told
        )

    def remedies(self, told: Sequence[Told], facts: Mapping[str, Any]) -> list[str]:
        """The blindness that exempts a record, and what would mend it."""
        source = str(facts.get("event.dataset"))
        known = self.settings.get(source, {})
        blind = facts.get("event.blind") or ()
        asked = [each for each in told if not each.wanted and "event.blind" in each.fields]
        concepts = [concept for concept in blind if any(each.term.holds({"event.blind": concept}) for each in asked)]
        return [f"By its source map {source} can never say {each}. {known.get(each, '')}".rstrip() for each in concepts]

    def seen(self, name: str, facts: Mapping[str, Any]) -> Seen:
        """A field's value, masked, or why it has none."""
        value = facts.get(name)
        if not absent(value):
            return Seen(name, self.namer.shown(name, value))
        return Seen(name, absent=self._why_absent(name, facts))

    def _why_absent(self, name: str, facts: Mapping[str, Any]) -> str:
        blind = facts.get("event.blind") or facts.get("chain.blind") or ()
        concepts = {concept.rpartition(".")[2] for concept in blind}
        if any(name in CONCEPTS[concept] for concept in concepts if concept in CONCEPTS):
            source = facts.get("event.dataset")
            return f"{masked(str(source))}, its source, can never say it" if source else "its source can never say it"
        known = self.vocabulary.fields.get(name)
        if known is not None and not known.derived:
            return ""
        if self.missing_tables:
            return f"it is computed with the register's {' and '.join(self.missing_tables)}, which is not there"
        used = set(self.lessons.fields)  # what the rule's cases set is what its facts are computed from
        wanting = sorted(each for each in blind if used & set(CONCEPTS.get(each.rpartition(".")[2], ())))
        if wanting:
            return f"it is computed, and the source can never say {', '.join(wanting)}"
        return "it is computed, and nothing here says it"

    def flip(self, change: Change, record: Mapping[str, Any], place: str) -> Flip:
        """A verified change as it is told."""
        was, vocabulary = record.get(change.field), self.vocabulary  # an event's field, whatever the rule judges
        ours = change.value in list(self.lessons.values(change.field))  # no content of anybody's, but the cases' own
        before = None if absent(was) else Namer(vocabulary).shown(change.field, was)
        after = Namer(vocabulary, show_sensitive=ours).shown(change.field, change.value)
        return Flip(change.field, before, after, place)


def of_record(inquiry: Inquiry, line: Record) -> Asking:
    """Why an event rule does not fire on one record, which is judged by itself."""
    verdict = yield [line]
    facts = verdict.events[0]
    if facts is None:
        return inquiry.answer(rejected=verdict.reason(0))
    stage = facts.get("chain.stage")
    if verdict.hits:
        return inquiry.answer(fires=True, stage=stage)
    told = unmet(by_name(inquiry.rule.parts[0]), facts)
    record = raw(line, inquiry.vocabulary)
    changes = proposals(record, told, inquiry.lessons, to_fire=True, stage=stage)
    flip = yield from turned(inquiry, record, changes, to_fire=True)
    notes = inquiry.remedies(told, facts)
    return inquiry.answer(stage=stage, lacks=inquiry.lacks(told, facts), flip=flip, tried=len(changes), notes=notes)


def turned(
    inquiry: Inquiry, record: Mapping[str, Any], changes: Sequence[Change], *, to_fire: bool
) -> Generator[Sequence[Record], Verdict, Flip | None]:
    """The first change of a record that turns an event rule's verdict: found among all, then judged alone."""
    if not changes:
        return None
    among = yield [change.of(record) for change in changes]
    good = [c for at, c in enumerate(changes) if among.events[at] is not None and (at in among.hits) is to_fire]
    for change in good[:TRIED_AGAIN]:
        alone = yield [change.of(record)]
        if alone.events[0] is not None and bool(alone.hits) is to_fire:
            return inquiry.flip(change, record, inquiry.record)
    return None


def raw(line: Record, vocabulary: Vocabulary) -> dict[str, Any]:
    """The raw fields of a record as they were sent, by dotted name; none of one that is no record."""
    try:
        record = json.loads(line) if isinstance(line, bytes) else line
        flat = flatten(record, vocabulary)
    except (ValueError, RecursionError, AttributeError, WrongType):
        return {}
    return {name: value for name, value in flat.items() if name in vocabulary.raw and not absent(value)}
