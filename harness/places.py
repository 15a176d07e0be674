"""Where records lie: byte offsets become file names and line numbers."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from backends.duckdb.unpacked import is_packed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from backends.duckdb.engine import Engine
    from backends.duckdb.lines import LogFile


class Places:
    """File and line of places: (input index, byte offset), or (-1 - k, line) for the k-th log of a carry file."""

    def __init__(self, engine: Engine, names: Mapping[int, str], carried: Sequence[str]) -> None:
        self._engine, self._names, self._carried = engine, names, carried
        self._numbers: dict[tuple[int, int], int] = {}

    def learn(self, origins: Iterable[Sequence[tuple[int, int]]]) -> None:
        """Find the numbers of all these places together: one read at most of each file, however many there are."""
        self._count((int(file), int(at)) for places in origins for file, at in places)

    def resolve(self, places: Sequence[tuple[int, int]]) -> list[tuple[str, int]]:
        """(name, 1-based line number) of each place, in the same order."""
        self._count(places)
        return [
            (self._names.get(file, "-"), self._numbers[file, offset])
            if file >= 0
            else (self._carried[-1 - file], offset)
            for file, offset in places
        ]

    def _count(self, places: Iterable[tuple[int, int]]) -> None:
        """Line numbers: what the scan kept; else newlines before an offset, counted once from the start."""
        wanted: dict[int, set[int]] = {}
        for place in places:
            if place[0] < 0 or place in self._numbers:
                continue
            if place in self._engine.numbers:
                self._numbers[place] = self._engine.numbers[place]
            else:
                wanted.setdefault(place[0], set()).add(place[1])
        for file, offsets in wanted.items():
            line, at = 1, 0
            with self._engine.files[file].open() as stream:
                for offset in sorted(offsets):
                    while at < offset:
                        chunk = stream.read(min(1 << 20, offset - at))
                        if not chunk:
                            break
                        line += chunk.count(b"\n")
                        at += len(chunk)
                    self._numbers[file, offset] = line


def offsets(file: LogFile, lines: Iterable[int]) -> dict[int, int]:
    """Where lines begin: line number → byte offset; without those that the file has not."""
    wanted, found, at = set(lines), {}, 0
    with file.open() as stream:
        for number, line in enumerate(stream if is_packed(stream) else io.BufferedReader(stream), 1):  # type: ignore[type-var]
            if number in wanted:
                found[number] = at
            if len(found) == len(wanted):
                break
            at += len(line)
    return found
