"""What a line is made of, counted without parsing it: its keys, and how many of them hold an array or an object.

The typed reading finds known fields and says nothing of the rest. Beside these counts it can be checked: a line with more
keys, arrays or objects than were found in it holds an unknown field, a duplicate, a dotted name, or a value of another
kind. The counts are one number, so that the check is one comparison.

A colon after a quote ends a key, unless the quote is escaped: then it is text. What no common writer puts around a colon
(blanks before it, more than one blank after it) makes the number ``UNCOUNTED``: it equals no other.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from backends.duckdb.columns import ARRAY, KEY, OBJECT

MOST: Final = {KEY: ARRAY // KEY - 1, ARRAY: OBJECT // ARRAY - 1, OBJECT: (1 << 30) // OBJECT - 1}
"""How many of each a number can tell."""

UNCOUNTED: Final = -1

BLOCK = 256 << 10
"""Bytes that are looked at in one go: as many as a processor keeps near."""

_COLON, _QUOTE, _ESCAPE, _ARRAY, _OBJECT = b':"\\[{'
_BLANKS = b" \t\r"


def shapes(text: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The number of each line.

    Args:
        text: bytes of whole lines, the last one ends with a newline too.
        starts: where each line begins, ascending.

    Returns:
        int32, one a line.
    """
    colons = places_of(_COLON, text)
    before = text[colons - 1]
    odd = [colons[before == blank] for blank in _BLANKS]
    keys = colons[before == _QUOTE]
    escaped = text[keys - 2] == _ESCAPE
    keys = keys[~escaped] if escaped.any() else keys
    after = text[keys + 1]  # a newline follows the last colon, if nothing else does
    if (spaced := after == _BLANKS[0]).any():
        after = text[keys + 1 + spaced]
    odd += [keys[after == blank] for blank in _BLANKS]
    counts = [_counted(places, starts) for places in (keys, keys[after == _ARRAY], keys[after == _OBJECT])]
    told = np.zeros(len(starts), dtype=np.int64)
    for weight, count in zip(MOST, counts, strict=True):
        told += weight * count
    told[np.any([count > most for most, count in zip(MOST.values(), counts, strict=True)], axis=0)] = UNCOUNTED
    for places in odd:
        if len(places):
            told[_counted(places, starts) > 0] = UNCOUNTED
    return told.astype(np.int32)


def places_of(byte: int, text: np.ndarray) -> np.ndarray:
    """Where the byte is, ascending."""
    found = [np.flatnonzero(text[at : at + BLOCK] == byte) + at for at in range(0, len(text), BLOCK)]
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def _counted(places: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """How many of the places, ascending, lie in each line."""
    return np.diff(np.searchsorted(places, starts), append=len(places))


def shape(line: str) -> str:
    """SQL for the same number, where no reader of ours cuts the lines."""
    keys = f"""len(string_split({line}, '":')) - CASE WHEN contains({line}, '\\":') THEN len(string_split({line}, '\\":')) ELSE 1 END"""
    arrays, objects = (f"""len(regexp_extract_all({line}, '[^\\\\]": ?\\{bracket}'))""" for bracket in "[{")
    odd = f"""regexp_matches({line}, '[ \\t\\r]:|[^\\\\]":( ?[\\t\\r]|  )')"""
    most = " OR ".join(
        f"({count}) > {MOST[weight]}" for count, weight in ((keys, KEY), (arrays, ARRAY), (objects, OBJECT))
    )
    return f"CASE WHEN {odd} OR {most} THEN {UNCOUNTED} ELSE ({keys}) * {KEY} + {arrays} * {ARRAY} + {objects} * {OBJECT} END"
