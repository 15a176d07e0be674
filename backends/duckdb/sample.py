"""Which fields does a log hold? A look at a few places of it, so that the pass reads no more than what is there."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import orjson

from backends.duckdb.unpacked import read_chunk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from backends.duckdb.columns import Seen
    from backends.duckdb.lines import LogFile
    from backends.vocabulary import Vocabulary

PLACES, BYTES = 32, 128 << 10
"""A large file is looked at in this many places, evenly spread, of so many bytes each."""


@dataclass
class Sample:
    """What a look at a log told.

    Attributes:
        seen: names of the known fields that it holds, dotted keys and derived fields included.
        dotted: some field was named by one dotted key.
        lines: how many were looked at.
        whole: these are all.
    """

    seen: Seen
    dotted: bool = False
    lines: int = 0
    whole: bool = True


def sampled(files: Sequence[LogFile], vocabulary: Vocabulary, *, whole: bool = False) -> Sample:
    """Look at a few places of each file.

    A field that it misses is found later: a line that holds it is suspect and read again with all fields.

    Args:
        files: logs in schema form.
        vocabulary: the event fields.
        whole: look at every line; for the few that are read a second time.
    """
    found: set[str] = set()
    sample = Sample(frozenset())
    spaces = {name[:at] for name in vocabulary.fields for at, letter in enumerate(name) if letter == "."}
    for file in files:
        with file.open() as stream:
            packed, size = not isinstance(stream, io.RawIOBase), file.path.stat().st_size
            spread = size > PLACES * BYTES and not packed
            sample.whole &= whole or not (packed or spread)
            for line in io.BufferedReader(stream) if whole else _places(stream, size if spread else 0):  # type: ignore[type-var]
                sample.lines += 1
                try:
                    record = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue
                if isinstance(record, dict):
                    _note(record, "", vocabulary.fields, spaces, found)
                    sample.dotted = sample.dotted or any("." in key for key in record)
    sample.seen = frozenset(found)
    return sample


def _places(stream: IO[bytes], spread: int) -> Iterator[bytes]:
    """Lines of the beginning; of a file of so many bytes, if any are given, lines of places all over it."""
    for start in [spread * place // PLACES for place in range(PLACES)] if spread else [0]:
        if start:
            stream.seek(start)
        lines = read_chunk(stream, BYTES if spread else PLACES * BYTES)[0].split(b"\n")
        yield from lines[1:] if start else lines


def _note(record: Mapping[str, Any], above: str, fields: Mapping[str, Any], spaces: set[str], found: set[str]) -> None:
    """Add the fields that a record holds."""
    for key, value in record.items():
        name = above + key
        if name in fields:
            found.add(name)
        elif isinstance(value, dict) and name in spaces:
            _note(value, f"{name}.", fields, spaces, found)
