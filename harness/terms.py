"""A rule's terms under the names of its selections and filters: which of them held, and which first did not.

The verdict is the oracle's (`harness.oracle`); what is added here are the names that the rule's author gave.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sigma.conditions import ConditionAND, ConditionIdentifier, ConditionNOT, ConditionOR, ConditionSelector
from sigma.rule import SigmaDetections

from harness.oracle import Atom, Either, Every, Not, Term, fields_read, meaning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sigma.rule import SigmaRule

    from harness.atom import Record


@dataclass(frozen=True)
class Part(Every):
    """A selection or filter, by its name; its one term is what it asks."""

    name: str = ""


@dataclass(frozen=True)
class Told:
    """One thing that a rule asks of a record.

    Attributes:
        part: the selection or filter that it stands in.
        term: the test, or the tests that stand or fall together.
        wanted: whether the rule asks that it is true; False for what exempts a record.
        others: how many other ways there are, any of which would do as well.
    """

    part: str
    term: Term
    wanted: bool
    others: int = 0

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that it reads, in alphabetical order."""
        return tuple(sorted(fields_read(self.term)))


def by_name(rule: SigmaRule) -> Term:
    """What the rule means, its selections and filters kept as parts.

    Raises:
        Unsupported: see `harness.oracle.matches`.
    """
    meaning(rule)  # refuses what the oracle does not know, before anything is taken apart
    conditions = tuple(_named(condition.parse(False), rule) for condition in rule.detection.parsed_condition)  # noqa: FBT003
    return conditions[0] if len(conditions) == 1 else Either(conditions)


def unmet(term: Term, record: Record) -> tuple[Told, ...]:
    """What would have to be otherwise for the term to be true, in the rule's own order; nothing where it is true.

    Of alternatives that all failed the one is told that lacks least.
    """
    return () if term.holds(record) else tuple(_failed(term, record, ""))


def met(term: Term, record: Record, hidden: frozenset[str] = frozenset()) -> tuple[Told, ...]:
    """What made the term true, in the rule's own order.

    Args:
        term: it held when the record was whole.
        record: flat facts.
        hidden: fields whose values are masked, so that a test of them cannot be asked again.
    """
    return tuple(_held(term, record, "", hidden))


def words(term: Term) -> str:
    """The term as a person would say it; several values of one field are one list."""
    if isinstance(term, Not):
        return f"not ({words(term.term)})"
    if isinstance(term, Either):
        said = [words(part) for part in term.terms]
        if _of_one_field(term):
            start = f"{next(iter(fields_read(term)))} equals "
            if all(each.startswith(start) for each in said):
                said = [said[0], *(each.removeprefix(start) for each in said[1:])]
        return " or ".join(said)
    if isinstance(term, Every):
        parts = (words(part) for part in term.terms)
        return " and ".join(f"({each})" if len(term.terms) > 1 and " or " in each else each for each in parts)
    return term.text


def _named(condition: Any, rule: SigmaRule) -> Term:
    match condition:
        case ConditionIdentifier():
            return part_of(condition.identifier, rule)
        case ConditionSelector():
            names = [each.identifier for each in condition.resolve_referenced_detections(rule.detection)]
            parts = tuple(part_of(name, rule) for name in names)
            return Either(parts) if condition.cond_class is ConditionOR else Every(parts)
        case ConditionNOT():
            return Not(_named(condition.args[0], rule))
        case ConditionAND() | ConditionOR():
            terms = tuple(_named(each, rule) for each in condition.args)
            return Every(terms) if isinstance(condition, ConditionAND) else Either(terms)
    raise TypeError(f"a condition of type {type(condition).__name__}")


def part_of(name: str, rule: SigmaRule) -> Part:
    """One selection or filter of a rule, by its name."""
    alone = copy.copy(rule)
    alone.detection = SigmaDetections(rule.detection.detections, [name])
    return Part((meaning(alone),), name)


def _failed(term: Term, record: Record, part: str) -> Iterator[Told]:
    """What a false term lacks."""
    if isinstance(term, Not):
        yield from _exempting(term.term, record, part)
    elif isinstance(term, Every):
        for each in term.terms:
            if not each.holds(record):
                yield from _failed(each, record, _name(term, part))
    elif isinstance(term, Either) and not _of_one_field(term):
        ways = [list(_failed(each, record, part)) for each in term.terms]
        least = min(ways, key=len)
        yield from (replace(told, others=told.others + len(ways) - 1) for told in least)
    else:
        yield Told(part, term, wanted=True)


def _exempting(term: Term, record: Record, part: str) -> Iterator[Told]:
    """What makes a term true that the rule wants to be false."""
    if isinstance(term, Not):
        yield from _failed(term.term, record, part)
    elif isinstance(term, Part):
        yield Told(term.name, term.terms[0], wanted=False)
    elif isinstance(term, Either):
        for each in term.terms:
            if each.holds(record):
                yield from _exempting(each, record, part)
    elif isinstance(term, Every) and any(isinstance(each, Part) for each in term.terms):
        first, *others = term.terms
        yield from (replace(t, others=t.others + len(others)) for t in _exempting(first, record, part))
    else:
        yield Told(part, term, wanted=False)


def _held(term: Term, record: Record, part: str, hidden: frozenset[str]) -> Iterator[Told]:
    if isinstance(term, Not):
        name = term.term.name if isinstance(term.term, Part) else part
        inner = term.term.terms[0] if isinstance(term.term, Part) else term.term
        if isinstance(inner, Either) and any(isinstance(each, Part) for each in inner.terms):
            for each in inner.terms:
                yield from _held(Not(each), record, name, hidden)
        else:
            yield Told(name, inner, wanted=False)
    elif isinstance(term, Every):
        for each in term.terms:
            yield from _held(each, record, _name(term, part), hidden)
    elif isinstance(term, Either) and not _of_one_field(term):
        true = [each for each in term.terms if each.holds(record)]
        unsure = [each for each in term.terms if fields_read(each) & hidden]
        for each in true or unsure or term.terms:
            yield from _held(each, record, part, hidden)
    else:
        yield Told(part, term, wanted=True)


def _name(term: Term, part: str) -> str:
    return term.name if isinstance(term, Part) else part


def _of_one_field(term: Either) -> bool:
    """Whether it is a list of values for one field, which a reader takes for one test."""
    return all(isinstance(each, Atom) for each in term.terms) and len(fields_read(term)) == 1
