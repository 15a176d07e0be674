"""What a Sigma rule means: a small evaluator that every engine is compared with.

Written from the Sigma specification, not from a backend: "Sigma Rules Specification" 2.0.0 (2024-08-08; its
sections are cited as *Rules*) and "Sigma Modifiers" 2.1.0 (2025-08-02; *Modifiers*). pySigma parses; nothing here
compiles to a query language. Records are flat: ``{dotted field name: value}``, as `backends.absence` gives them.

Where the specification leaves a choice, the project has made it, and each engine must follow:

* Two truth values. A test of an absent field is false; NOT of it is true. null, "" and [] are absent, so a rule's
  ``null`` and ``''`` both mean "absent" (*Rules*, Special Field Values: "depends on the target system").
* A list in a record matches when any of its items does; NOT and ``neq`` then mean that none does.
* Letter case is compared by Unicode's simple lower case, character by character.
* Numbers and booleans equal the text that JSON would write (*Rules*, General: "all values are treated as
  case-insensitive strings"): 5 equals '5', not '5.0' or '05', and true is not 1. ``lt``, ``lte``, ``gt`` and ``gte``
  hold for numbers only (*Modifiers*, Numeric Modifiers).
* Regular expressions match anywhere in the value and know only the metacharacters of *Modifiers*, Regular Expression.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.modifiers import SigmaCaseSensitiveModifier, SigmaFieldReferenceModifier
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaRule

from harness.atom import Atom, Unsupported, atom

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.atom import Record

__all__ = ["Atom", "Either", "Every", "Not", "Term", "Unsupported", "deciding", "fields_read", "matches", "meaning"]


@dataclass(frozen=True)
class Every:
    """AND."""

    terms: tuple[Term, ...]

    def holds(self, record: Record) -> bool:
        """Whether it is true of the record."""
        return all(term.holds(record) for term in self.terms)


@dataclass(frozen=True)
class Either:
    """OR."""

    terms: tuple[Term, ...]

    def holds(self, record: Record) -> bool:
        """Whether it is true of the record."""
        return any(term.holds(record) for term in self.terms)


@dataclass(frozen=True)
class Not:
    """NOT."""

    term: Term

    def holds(self, record: Record) -> bool:
        """Whether it is true of the record."""
        return not self.term.holds(record)


Term = Atom | Every | Either | Not


def matches(rule: SigmaRule, record: Record) -> bool:
    """Whether the rule fires on one flat record.

    Raises:
        Unsupported: the rule uses what this evaluator does not know, whatever the record.
    """
    return meaning(rule).holds(record)


def meaning(rule: SigmaRule) -> Term:
    """The rule as one term; parse once, ask often.

    Raises:
        Unsupported: see `matches`.
    """
    if not isinstance(rule, SigmaRule):
        raise Unsupported(str(getattr(rule, "title", rule)), "a correlation rule")
    if rule.errors:
        raise Unsupported(rule.title, f"a broken rule ({rule.errors[0]})")
    for item in _detection_items(rule):
        if {SigmaCaseSensitiveModifier, SigmaFieldReferenceModifier} <= set(item.modifiers):
            raise Unsupported(rule.title, f"|cased with |fieldref on {item.field}")  # pySigma forgets the case
    # Rules, Condition: "The condition can be a list … logically linked with OR"
    conditions = tuple(_term(rule.title, condition.parsed) for condition in rule.detection.parsed_condition)
    return conditions[0] if len(conditions) == 1 else Either(conditions)


def fields_read(term: Term) -> frozenset[str]:
    """Every field that a term tests; a referenced field is read too."""
    if isinstance(term, Atom):
        return frozenset(term.reads or (term.field,))
    if isinstance(term, Not):
        return fields_read(term.term)
    return frozenset().union(*(fields_read(part) for part in term.terms))


def deciding(term: Term, record: Record) -> Iterator[tuple[Atom, bool]]:
    """The atoms that make the verdict what it is, with the truth of each: had they differed, so might the verdict."""
    if isinstance(term, Atom):
        yield term, term.holds(record)
    elif isinstance(term, Not):
        yield from deciding(term.term, record)
    else:
        decided_by = isinstance(term, Either)  # one true part decides OR, one false part decides AND
        telling = [part for part in term.terms if part.holds(record) is decided_by][:1] or term.terms
        for part in telling:
            yield from deciding(part, record)


def _detection_items(rule: SigmaRule) -> Iterator[SigmaDetectionItem]:
    waiting: list[SigmaDetection | SigmaDetectionItem] = list(rule.detection.detections.values())
    while waiting:
        part = waiting.pop()
        if isinstance(part, SigmaDetection):
            waiting.extend(part.detection_items)
        else:
            yield part


def _term(rule: str, condition: Any) -> Term:
    match condition:
        case ConditionAND():
            return Every(tuple(_term(rule, part) for part in condition.args))
        case ConditionOR():
            return Either(tuple(_term(rule, part) for part in condition.args))
        case ConditionNOT():
            return Not(_term(rule, condition.args[0]))
        case ConditionFieldEqualsValueExpression():
            return atom(rule, condition.field, condition.value)
        case ConditionValueExpression():
            raise Unsupported(rule, f"the keyword search for {str(condition.value)!r} (name a field)")
    raise Unsupported(rule, "an empty condition")
