"""Texts as rules compare them, for every target; the oracle has words of its own for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sigma.types import SigmaString


def plain_text(value: SigmaString) -> str:
    """The text of a value without wildcards."""
    return "".join(str(part) for part in value.s)


def fold(text: str) -> str:
    """In lower case, character by character, as engines do: Python's whole-string form knows a final sigma."""
    return "".join(character.lower()[0] for character in text)
