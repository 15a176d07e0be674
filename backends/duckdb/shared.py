"""Parts that several rules have in common are judged once: copies of a rule for other values share nearly all of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OFTEN = 3
"""Rules that must share a part before a column is made of it: a part in a rule is only judged where the rule gets to it."""

LONG = 120
"""Characters of SQL below which a part is cheaper judged again."""

_BEFORE = ("", "(", " AND ", " OR ", "NOT ")
"""What stands before a part in `backend.expression`'s text; anything else before a bracket is a function's name."""


def shared(expressions: Sequence[str]) -> tuple[list[str], list[str]]:
    """Find common parts.

    Args:
        expressions: SQL booleans as `backend.expression` writes them.

    Returns:
        columns, as ``sql AS "shared 0"``; and the expressions in words of these columns.
    """
    counts: Counter[str] = Counter()
    for each in expressions:
        counts.update({each[first + 1 : last] for first, last in _parts(each) if last - first > LONG})
    common = {part for part, count in counts.items() if count >= OFTEN}
    names: dict[str, str] = {}
    written = []
    for each in expressions:
        out, at = [], 0
        for first, last in _parts(each):  # an outer part comes before what it holds
            if first >= at and each[first + 1 : last] in common:
                name = names.setdefault(each[first + 1 : last], f'"shared {len(names)}"')
                out += [each[at : first + 1], name]
                at = last
        written.append("".join([*out, each[at:]]))
    return [f"{part} AS {name}" for part, name in names.items()], written


def _parts(expression: str) -> Iterator[tuple[int, int]]:
    """Where bracketed booleans begin and end, by where they begin; brackets in quotes are text."""
    found, opened, quote = [], [], ""
    for at, letter in enumerate(expression):
        if quote:
            quote = "" if letter == quote else quote  # a doubled quote closes and opens again
        elif letter in "'\"":
            quote = letter
        elif letter == "(":
            opened.append(at)
        elif letter == ")":
            first = opened.pop()
            if any(expression[:first].endswith(before) if before else not first for before in _BEFORE):
                found.append((first, at))
    yield from sorted(found)
