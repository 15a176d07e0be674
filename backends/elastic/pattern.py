"""Regular expressions of Sigma's flavour as those of RLIKE: Lucene's, over a whole value, always with letter case."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sigma.types import SigmaRegularExpression, SigmaRegularExpressionFlag

from backends.opensearch.expression import lucene

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = re.compile(r"\\.|\[\^?(?:\\.|[^\]\\])+\]|.", re.DOTALL)
_IN_CLASS = re.compile(r"(\\.|[^\\])-(\\.|[^\\])|(\\.|[^\\])", re.DOTALL)


def whole(name: str, value: SigmaRegularExpression, *, item: bool = False) -> str:
    """Lucene's pattern for the whole of a value.

    Args:
        name: the field, for a refusal.
        value: the expression; with the flag ``i`` every letter is written in both cases.
        item: whether the value is one item of a joined list: then nothing matches the mark between items.

    Raises:
        Inexpressible: an anchor stands elsewhere than at the end of a branch.
    """
    pattern, ignoring_case = lucene(name, value)
    if ignoring_case and SigmaRegularExpressionFlag.IGNORECASE in value.flags:
        pattern = "".join(_both_cases(pattern))
    return f"({pattern})&[^␟]*" if item else pattern


def _both_cases(pattern: str) -> Iterator[str]:
    for piece in _PIECE.findall(pattern):
        if piece.startswith("["):
            head = "[^" if piece[1] == "^" else "["
            yield head + "".join(_class(piece[len(head) : -1])) + "]"
        elif len(piece) == 1 and piece.isascii() and piece.isalpha():
            yield f"[{piece.lower()}{piece.upper()}]"
        else:
            yield piece


def _class(body: str) -> Iterator[str]:
    """Members of a class and, of ASCII letters, their other case."""
    for first, last, single in _IN_CLASS.findall(body):
        if single:
            yield single
            yield single.swapcase() if single.isascii() and single.isalpha() else ""
            continue
        yield f"{first}-{last}"
        between = (chr(n) for n in range(ord(first[-1]), ord(last[-1]) + 1))
        yield "".join(letter.swapcase() for letter in between if letter.isascii() and letter.isalpha())


def literal(text: str) -> str:
    """A text as a pattern that only it matches."""
    return "".join(f"\\{letter}" if letter in '.?+*|{}[]()"\\#@&<>~^$-' else letter for letter in text)
