"""Weaken one term of a rule and a case must fail: what survives is a term that no case proves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.oracle import Either, Every, Not

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from harness.matrix import Answer, Cell
    from harness.oracle import Term


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
        stem: [words for words, weak in weakened(mine[0][0].subject.term) if not _fails(weak, mine)]
        for stem, mine in told.items()
    }


def _fails(weak: Term, mine: Sequence[tuple[Cell, Answer]]) -> bool:
    return any(_fires(weak, answer.facts) != cell.case.fires for cell, answer in mine)


def _fires(term: Term, facts: Sequence[Mapping[str, Any] | None]) -> bool:
    return any(term.holds(record) for record in facts if record is not None)


def in_words(term: Term) -> str:
    """The term in words, close to the rule's own."""
    if isinstance(term, Not):
        return f"not ({in_words(term.term)})"
    if isinstance(term, Every | Either):
        return (" and " if isinstance(term, Every) else " or ").join(in_words(part) for part in term.terms)
    return term.text
