"""Weaken one term of a rule and a case must fail: what survives is a term that no case proves."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from backends.correlation import ORDERED, Correlation
from harness.correlating import fires
from harness.oracle import Either, Every, Not

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from harness.matrix import Answer, Cell, Subject
    from harness.oracle import Term

    Facts = Mapping[str, Any]


def weakened(term: Term) -> Iterator[tuple[str, Term]]:
    """Every way to leave out one part of the term, with that part in words.

    A part of an AND is left out as if it were true, a part of an OR as if it were false.
    """
    if isinstance(term, Not):
        for words, inner in weakened(term.term):
            yield words, Not(inner)
    elif isinstance(term, Every | Either):
        for number, part in enumerate(term.terms):
            before, after = term.terms[:number], term.terms[number + 1 :]
            yield in_words(part), replace(term, terms=before + after)
            for words, inner in weakened(part):
                yield words, replace(term, terms=(*before, inner, *after))


def survivors(answers: Iterable[tuple[Cell, Answer]]) -> dict[str, list[str]]:
    """Parts of each rule that can be left out without a case of it failing, in words, by the rule's stem.

    Args:
        answers: each rule's cases as written, with the facts that the engine gave.
    """
    told: dict[str, list[tuple[Cell, Answer]]] = {}
    for cell, answer in answers:
        told.setdefault(cell.subject.stem, []).append((cell, answer))
    return {
        stem: [words for words, weak in _weak(mine[0][0].subject) if not _fails(weak, mine)]
        for stem, mine in told.items()
    }


def _weak(subject: Subject) -> Iterator[tuple[str, Callable[[Sequence[Facts | None]], bool]]]:
    """Every weaker form of a rule, with what was left out in words."""
    for at, term in enumerate(subject.terms):
        for words, weak in weakened(term):
            terms = (*subject.terms[:at], weak, *subject.terms[at + 1 :])
            yield words, partial(_by_terms, subject, terms)
    if isinstance(subject.rule, Correlation):
        for words, looser in _looser(subject.rule):
            yield words, partial(_by_correlation, looser, subject.terms)


def _by_terms(subject: Subject, terms: Sequence[Term], facts: Sequence[Facts | None]) -> bool:
    return any(subject.verdicts(facts, terms))


def _by_correlation(correlation: Correlation, terms: Sequence[Term], facts: Sequence[Facts | None]) -> bool:
    return any(fires(correlation, facts, terms))


def _looser(correlation: Correlation) -> Iterator[tuple[str, Correlation]]:
    """A correlation that asks for less: one record fewer, a field of the key fewer, more time, no order."""
    if correlation.kind in {"event_count", "value_count"}:
        yield f"{correlation.least} of {correlation.kind}", replace(correlation, least=correlation.least - 1)
    if correlation.kind == ORDERED:
        yield "the order", replace(correlation, kind="temporal")
    yield "the window", replace(correlation, window_us=correlation.window_us * 100)
    for at, name in enumerate(correlation.steps[0].key):
        steps = tuple(replace(step, key=step.key[:at] + step.key[at + 1 :]) for step in correlation.steps)
        yield f"group by {name}", replace(correlation, steps=steps)


def _fails(weak: Callable[[Sequence[Facts | None]], bool], mine: Sequence[tuple[Cell, Answer]]) -> bool:
    return any(weak(answer.facts) != cell.case.fires for cell, answer in mine)


def in_words(term: Term) -> str:
    """The term in words, close to the rule's own."""
    if isinstance(term, Not):
        return f"not ({in_words(term.term)})"
    if isinstance(term, Every | Either):
        return (" and " if isinstance(term, Every) else " or ").join(in_words(part) for part in term.terms)
    return term.text
