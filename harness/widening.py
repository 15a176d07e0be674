"""One test of one field, asked a little less strictly: what mutation does to the values of a rule."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from sigma.exceptions import SigmaRegularExpressionError
from sigma.types import (
    SigmaBool,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaRegularExpressionFlag,
    SigmaString,
    SpecialChars,
)

from backends.concepts import CONCEPTS
from harness.atom import Atom, atom
from harness.oracle import Either, Not

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from backends.vocabulary import Field
    from harness.oracle import Term

    Words = tuple[str, ...]

ANY = SpecialChars.WILDCARD_MULTI

STAGES = ("prompt", "decision", "tool_call", "tool_response", "token", "consent", "access", "change")
BLIND = {
    "event.blind": tuple(CONCEPTS),
    "chain.blind": (*STAGES, *(f"{stage}.{concept}" for stage in STAGES for concept in CONCEPTS)),
}
"""What the views can write into these two, which the schema does not list."""


def widened(test: Atom, fields: Mapping[str, Field]) -> Iterator[tuple[str, Term]]:
    """Every way to ask less of one field, in words.

    Args:
        test: as the rule has it.
        fields: the vocabulary; where a field's values are listed there, a part of one is another one or none.
    """
    for kind, ways in _WAYS:
        if isinstance(test.value, kind):
            yield from ways(test, _words(fields.get(test.field)))


def of_any_value(tests: Sequence[Atom], fields: Mapping[str, Field]) -> Iterator[tuple[str, Term]]:
    """The field is there, whatever it says: instead of one test of it, or of several of which any may hold."""
    name = tests[0].field
    if any(test.value is None or isinstance(test.value, SigmaExists | SigmaNull) for test in tests):
        return
    made = atom("", name, SigmaExists(exists=True))
    words = _words(fields.get(name))
    if not words or any(_differ(Either(tuple(tests)), made, {name: word}) for word in words):
        yield f"{name} has any value instead of {' or '.join(test.text for test in tests)}", made


def _words(field: Field | None) -> tuple[str, ...]:
    """All values that a field can have; none where any is possible."""
    return () if field is None else BLIND.get(field.name) or field.enum


def _differ(one: Term, other: Term, record: Mapping[str, Any]) -> bool:
    return one.holds(record) != other.holds(record)


def _boolean(test: Atom, _words: Words) -> Iterator[tuple[str, Term]]:
    """What is unknown counts too: the mistake that Sigma's two truth values invite."""
    other = atom("", test.field, SigmaBool(not test.value.boolean))
    yield f"{test.text}, or it is absent", Not(other)


def _string(test: Atom, words: Words) -> Iterator[tuple[str, Term]]:
    """``contains`` instead of equality, ``startswith`` or ``endswith``; the rule's own wildcards stay."""
    parts = list(test.value.s)
    if parts[0] == ANY and parts[-1] == ANY:
        return
    wider = type(test.value)()
    wider.s = [*([] if parts[0] == ANY else [ANY]), *parts, *([] if parts[-1] == ANY else [ANY])]
    made = atom("", test.field, wider)
    if not words or any(_differ(test, made, {test.field: word}) for word in words):
        yield f"{test.field} contains {str(test.value).strip('*')!r} instead of {test.text}", made


def _comparison(test: Atom, _words: Words) -> Iterator[tuple[str, Term]]:
    for step in (-1, 1):
        bound = SigmaNumber(test.value.number.number + step)
        made = atom("", test.field, replace(test.value, number=bound))
        yield f"{made.text} instead of {test.text}", made


def _reference(test: Atom, _words: Words) -> Iterator[tuple[str, Term]]:
    if not (test.value.starts_with and test.value.ends_with):
        made = atom("", test.field, replace(test.value, starts_with=True, ends_with=True))
        yield f"{made.text} instead of {test.text}", made


def _network(test: Atom, _words: Words) -> Iterator[tuple[str, Term]]:
    network = ip_network(test.value.cidr)
    if network.prefixlen:
        made = atom("", test.field, SigmaCIDRExpression(str(network.supernet())))
        yield f"{made.text} instead of {test.text}", made


def _expression(test: Atom, _words: Words) -> Iterator[tuple[str, Term]]:
    """Without each alternative, without each option, and with the letter case compared."""
    pattern, flags = str(test.value.regexp), set(test.value.flags)
    if SigmaRegularExpressionFlag.IGNORECASE in flags:
        strict = SigmaRegularExpression(pattern, flags - {SigmaRegularExpressionFlag.IGNORECASE})
        yield f"{test.field} in this letter case", atom("", test.field, strict)
    for words, other in without_a_part(pattern):
        try:
            made = atom("", test.field, SigmaRegularExpression(other, flags))
        except SigmaRegularExpressionError:
            continue
        yield f"{test.field} without {words}", made


_ALTERNATIVE = re.compile(r"\\.|\[\^?\]?[^\]]*\]|[^|()\[\]]")
"""An escape, a class, or a plain character: what has no alternatives of its own."""


def without_a_part(pattern: str) -> Iterator[tuple[str, str]]:
    """The expression without one alternative of a group, or with one ``?`` taken as always there; the part in words."""
    for begin, end in _groups(pattern):
        parts = _split(pattern[begin:end])
        at = begin
        for part in parts:
            if len(parts) > 1:
                left = [each for each in parts if each is not part]
                yield repr(part), pattern[:begin] + "|".join(left) + pattern[end:]
            at += len(part) + 1
    for match in re.finditer(_ALTERNATIVE, pattern):
        if pattern[match.end() : match.end() + 1] == "?":
            yield f"the option of {match[0]!r}", pattern[: match.end()] + pattern[match.end() + 1 :]


def _groups(pattern: str) -> Iterator[tuple[int, int]]:
    """Begin and end of what each pair of parentheses holds, and of the whole."""
    yield 0, len(pattern)
    opened, at = [], 0
    while at < len(pattern):
        match = _ALTERNATIVE.match(pattern, at)
        if match is None and pattern[at] == "(":
            opened.append(at + 1)
        elif match is None and pattern[at] == ")" and opened:
            yield opened.pop(), at
        at = match.end() if match else at + 1


def _split(text: str) -> list[str]:
    """The alternatives at the top of a text, groups and classes left whole."""
    parts, depth, at = [""], 0, 0
    while at < len(text):
        match = _ALTERNATIVE.match(text, at)
        piece = match[0] if match else text[at]
        depth += (match is None) * ((piece == "(") - (piece == ")"))
        if match is None and piece == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += piece
        at += len(piece)
    return parts


_WAYS: tuple[tuple[type[Any], Callable[[Atom, Words], Iterator[tuple[str, Term]]]], ...] = (
    (SigmaBool, _boolean),
    (SigmaString, _string),
    (SigmaCompareExpression, _comparison),
    (SigmaFieldReference, _reference),
    (SigmaCIDRExpression, _network),
    (SigmaRegularExpression, _expression),
)
"""pySigma's value kinds; of others nothing weaker can be asked than to leave them out."""
