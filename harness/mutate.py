"""Weaken one term of a rule: a mutant. A case of the rule must fail on it, else no case proves the term.

Mutants are judged by the oracle over facts that an engine gave once (`harness.survival`): facts do not depend on rules.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from backends.correlation import ORDERED, Correlation
from harness.correlating import fires
from harness.oracle import Atom, Either, Every, Not
from harness.widening import of_any_value, widened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from backends.vocabulary import Field
    from harness.matrix import Subject
    from harness.oracle import Term

    Facts = Mapping[str, Any]
    Verdict = Callable[[Sequence[Facts | None]], bool]

SECOND = 1_000_000
"""Microseconds: the unit in which Sigma gives a timespan."""


@dataclass(frozen=True)
class Mutant:
    """A rule with one term weakened.

    Attributes:
        words: what is different, and nothing else of the same rule is called so.
        fires: whether it fires on the facts of a case's records or chains.
    """

    words: str
    fires: Verdict


def mutants(subject: Subject, fields: Mapping[str, Field]) -> list[Mutant]:
    """Every mutant of a rule, in the order of its terms.

    Args:
        subject: the rule.
        fields: the vocabulary of the records that it judges.
    """
    found: list[Mutant] = []
    taken: dict[str, int] = {}
    for words, verdict in _mutated(subject, fields):
        taken[words] = taken.get(words, 0) + 1
        found.append(Mutant(words if taken[words] == 1 else f"{words} ({taken[words]})", verdict))
    return found


def weakened(term: Term, fields: Mapping[str, Field]) -> Iterator[tuple[str, Term]]:
    """Every way to weaken one part of a term, with what is different in words.

    A part of an AND is left out as if it were true, a part of an OR as if it were false; AND and OR change places; NOT
    is forgotten; a test of a field asks less.
    """
    if isinstance(term, Atom):
        yield from widened(term, fields)
        yield from of_any_value([term], fields)
    elif isinstance(term, Not):
        yield f"forgotten: {in_words(term)}", term.term
        for words, inner in weakened(term.term, fields):
            yield words, Not(inner)
    else:
        yield from _of_parts(term, fields)


def _of_parts(term: Every | Either, fields: Mapping[str, Field]) -> Iterator[tuple[str, Term]]:
    if len(term.terms) > 1:
        swapped = Either(term.terms) if isinstance(term, Every) else Every(term.terms)
        yield f"({in_words(swapped)}) instead of ({in_words(term)})", swapped
    together = _of_one_field(term)
    for tests in together:
        left = tuple(part for part in term.terms if part not in tests)
        for words, wider in of_any_value(tests, fields):
            yield words, replace(term, terms=(*left, wider))
    for number, part in enumerate(term.terms):
        before, after = term.terms[:number], term.terms[number + 1 :]
        yield f"without {in_words(part)}", replace(term, terms=before + after)
        if isinstance(part, Atom) and any(part in tests for tests in together):
            ways = widened(part, fields)
        else:
            ways = weakened(part, fields)
        yield from ((words, replace(term, terms=(*before, inner, *after))) for words, inner in ways)


def _of_one_field(term: Every | Either) -> list[list[Atom]]:
    """The values of a list: tests of one field of which any may hold."""
    by_field: dict[str, list[Atom]] = {}
    for part in term.terms if isinstance(term, Either) else ():
        if isinstance(part, Atom):
            by_field.setdefault(part.field, []).append(part)
    return [tests for tests in by_field.values() if len(tests) > 1]


def _mutated(subject: Subject, fields: Mapping[str, Field]) -> Iterator[tuple[str, Verdict]]:
    for at, term in enumerate(subject.terms):
        of = f"{subject.rule.steps[at].name}: " if isinstance(subject.rule, Correlation) else ""
        for words, weak in weakened(term, fields):
            terms = (*subject.terms[:at], weak, *subject.terms[at + 1 :])
            yield of + words, partial(_by_terms, subject, terms)
    if isinstance(subject.rule, Correlation):
        for words, looser, terms in _bent(subject.rule, subject.terms):
            yield words, partial(_by_correlation, looser, terms)


def _by_terms(subject: Subject, terms: Sequence[Term], facts: Sequence[Facts | None]) -> bool:
    return any(subject.verdicts(facts, terms))


def _by_correlation(correlation: Correlation, terms: Sequence[Term], facts: Sequence[Facts | None]) -> bool:
    return any(fires(correlation, facts, terms))


def _bent(correlation: Correlation, terms: tuple[Term, ...]) -> Iterator[tuple[str, Correlation, tuple[Term, ...]]]:
    """A correlation with another count, window, key or order."""
    steps = correlation.steps
    if correlation.kind in {"event_count", "value_count"}:
        for least in (correlation.least - 1, correlation.least + 1):
            yield f"gte {least} instead of {correlation.least}", replace(correlation, least=least), terms
    if correlation.kind == "value_count":
        yield "records counted instead of values", replace(correlation, kind="event_count"), terms
    if correlation.kind == ORDERED:
        yield "in any order", replace(correlation, kind="temporal"), terms
    for words, micros in (("longer", SECOND), ("shorter", -SECOND)):
        yield f"a second {words}", replace(correlation, window_us=correlation.window_us + micros), terms
    for at, step in enumerate(steps if len(steps) > 1 else ()):
        left = replace(correlation, steps=(*steps[:at], *steps[at + 1 :]), least=min(correlation.least, len(steps) - 1))
        yield f"without the rule {step.name}", left, (*terms[:at], *terms[at + 1 :])
    for at, name in enumerate(steps[0].key):
        keys = [step.key[:at] + step.key[at + 1 :] for step in steps]
        yield f"without group by {name}", _keyed(correlation, keys), terms
        if len({step.key[at] for step in steps}) > 1:
            keys = [(*step.key[:at], name, *step.key[at + 1 :]) for step in steps]
            yield f"without the alias of {name}", _keyed(correlation, keys), terms


def _keyed(correlation: Correlation, keys: Sequence[tuple[str, ...]]) -> Correlation:
    steps = tuple(replace(step, key=key) for step, key in zip(correlation.steps, keys, strict=True))
    return replace(correlation, steps=steps)


def in_words(term: Term) -> str:
    """The term in words, close to the rule's own."""
    if isinstance(term, Not):
        return f"not ({in_words(term.term)})"
    if isinstance(term, Every | Either):
        joined = " and " if isinstance(term, Every) else " or "
        return joined.join(
            f"({in_words(part)})" if isinstance(part, Every | Either) else in_words(part) for part in term.terms
        )
    return term.text
