"""A Sigma correlation, resolved: which records take part, by what key, within what time, and how many.

"Sigma Correlation Rules Specification" 2.1.0. Where it leaves a choice, the project has made it (docs/adr/0003):

* A window is closed and slides: records at most ``window_us`` apart lie in one, wherever a clock's hour ends.
* A record without one of the key's fields, or without the counted value, takes no part: what is unknown is not equal.
* Keys and values are compared without letter case, as rules are.
* In ``temporal_ordered`` two records of the same instant are in order; one record is never two steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sigma.correlations import SigmaCorrelationCondition, SigmaCorrelationConditionOperator, SigmaCorrelationType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sigma.correlations import SigmaCorrelationRule
    from sigma.rule import SigmaRule

    from backends.vocabulary import Vocabulary

KINDS = ("event_count", "value_count", "temporal", "temporal_ordered")
ORDERED = "temporal_ordered"


@dataclass(frozen=True)
class Step:
    """One base rule and the fields of its records.

    Attributes:
        name: what the correlation calls it.
        rule: the base rule.
        key: the fields that group its records, aliases resolved; as many for each step, in one order.
        value: the field whose values are counted, for ``value_count``.
    """

    name: str
    rule: SigmaRule
    key: tuple[str, ...]
    value: str | None = None


@dataclass(frozen=True)
class Correlation:
    """What must come together.

    Attributes:
        kind: one of ``KINDS``.
        steps: the base rules, in their order.
        window_us: length of the window, microseconds.
        least: records, values or steps that a window must hold.
        rule: the correlation as Sigma has it.
    """

    kind: str
    steps: tuple[Step, ...]
    window_us: int
    least: int
    rule: SigmaCorrelationRule

    @property
    def fields(self) -> frozenset[str]:
        """Fields that the correlation itself reads, beside what its base rules read."""
        values = {step.value for step in self.steps if step.value}
        return frozenset(name for step in self.steps for name in step.key) | values


def resolved(rule: SigmaCorrelationRule, bases: Mapping[str, SigmaRule]) -> Correlation:
    """The correlation over its base rules, by name or id; `mistakes` has found nothing against it."""
    names = [reference.reference for reference in rule.rules or ()]
    aliases = {
        alias.alias: {reference.reference: field for reference, field in alias.mapping.items()}
        for alias in rule.aliases
    }
    condition = rule.condition
    assert isinstance(condition, SigmaCorrelationCondition)  # noqa: S101 - mistakes() refuses any other
    value = condition.fieldref if isinstance(condition.fieldref, str) else None

    def of(field: str, name: str) -> str:
        return aliases[field][name] if field in aliases else field

    return Correlation(
        kind=rule.type.name.lower(),
        steps=tuple(
            Step(name, bases[name], tuple(of(field, name) for field in rule.group_by or ()), value and of(value, name))
            for name in names
        ),
        window_us=rule.timespan.seconds * 1_000_000,
        least=condition.count + (condition.op is SigmaCorrelationConditionOperator.GT),
        rule=rule,
    )


def mistakes(
    rule: SigmaCorrelationRule, bases: Mapping[str, SigmaRule], vocabulary: Vocabulary
) -> Iterator[tuple[str, str]]:
    """What is wrong with a correlation: (key under ``correlation``, sentence)."""
    names = [reference.reference for reference in rule.rules or ()]
    for name in names:
        if name not in bases:
            yield "rules", f"no rule of this file is called {name!r}; there are {', '.join(bases)}"
    for name in bases:
        if name not in names:
            yield "rules", f"the rule {name!r} of this file takes no part"
    if rule.type.name.lower() not in KINDS:
        yield "type", f"the type is one of {', '.join(KINDS)}"
        return
    yield from _condition(rule, len(names))
    yield from _fields(rule, names, vocabulary)


def _condition(rule: SigmaCorrelationRule, steps: int) -> Iterator[tuple[str, str]]:
    condition = rule.condition
    if not isinstance(condition, SigmaCorrelationCondition):
        yield "condition", "a condition in words is not supported; the rules of a temporal correlation are all needed"
        return
    if condition.op not in {SigmaCorrelationConditionOperator.GTE, SigmaCorrelationConditionOperator.GT}:
        yield "condition", "the condition is gte or gt: fewer records than a number is no evidence, logs arrive late"
    if rule.type is SigmaCorrelationType.TEMPORAL_ORDERED and condition.count != steps:
        yield "condition", "an ordered correlation needs all its rules"
    if condition.count < 1:
        yield "condition", "the count is one or more"
    if rule.type in {SigmaCorrelationType.TEMPORAL, SigmaCorrelationType.TEMPORAL_ORDERED} and steps < 2:  # noqa: PLR2004
        yield "rules", "a temporal correlation needs two rules or more"
    if rule.type is SigmaCorrelationType.VALUE_COUNT and not isinstance(condition.fieldref, str):
        yield "condition", "the values of one field are counted"


def _fields(rule: SigmaCorrelationRule, names: Sequence[str], vocabulary: Vocabulary) -> Iterator[tuple[str, str]]:
    mapped = {
        alias.alias: {reference.reference: field for reference, field in alias.mapping.items()}
        for alias in rule.aliases
    }
    yield from _aliases(mapped, names, vocabulary)
    used = [("group-by", field) for field in rule.group_by or ()]
    used += [("aliases", field) for fields in mapped.values() for field in fields.values()]
    if isinstance(rule.condition, SigmaCorrelationCondition) and isinstance(rule.condition.fieldref, str):
        used.append(("condition", rule.condition.fieldref))
    for key, name in used:
        field = vocabulary.fields.get(name)
        if field is None and name not in mapped:
            near = vocabulary.closest(name)
            yield key, f"{name!r} is not a field of an event" + (f"; did you mean {near}?" if near else "")
        elif field is not None and field.array:
            yield key, f"{name!r} holds many values; group by a field with one"


def _aliases(
    mapped: Mapping[str, Mapping[str, str]], names: Sequence[str], vocabulary: Vocabulary
) -> Iterator[tuple[str, str]]:
    for alias, fields in mapped.items():
        if alias in vocabulary.fields:
            yield "aliases", f"the alias {alias!r} is also a field; give it another name"
        for name in names:
            if name not in fields:
                yield "aliases", f"the alias {alias!r} has no field for the rule {name!r}"
        for name in fields:
            if name not in names:
                yield "aliases", f"the alias {alias!r} names {name!r}, which is no rule of this correlation"
