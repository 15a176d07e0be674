"""A record that a person names, such as ``gateway.jsonl:812``, brought into schema form with the log around it."""

from __future__ import annotations

import io
import json
import re
import sys
import tempfile
import zlib
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from backends.absence import PROVENANCE
from backends.duckdb.assemble import assemble
from backends.duckdb.compressed import HEAD
from backends.duckdb.lines import LogFile
from backends.duckdb.parquet import ParquetLog
from backends.duckdb.unpacked import is_parquet
from backends.errors import Mistake, Mistakes
from harness.finding import RecordRef
from harness.inputs import as_lines
from harness.masking import masked
from harness.options import STANDARD_INPUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from backends.sources import SourceMaps

AROUND = 2_000
"""Events on either side of the record that are taken for its surroundings."""

SAMPLE = 200
"""Lines that a source is recognised by."""

LONGEST = 32 << 20
"""Bytes of a record that comes alone."""

_LONG = 1 << 20
_PLACE = re.compile(r"(.+):([0-9]{1,12})", re.DOTALL)
_UNREADABLE = (OSError, EOFError, zlib.error)
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Given:
    """A record in the midst of its log.

    Attributes:
        name: as the person gave it.
        source: the source map that its log is read by.
        lines: events in schema form, in the order of the log (of time, where they were assembled).
        places: where each of them was logged; of an assembled one, its first native record.
        targets: indices of the events that the record is, or was made into.
        whole: whether the lines are all there are in the log.
    """

    name: str
    source: str
    lines: tuple[bytes, ...]
    places: tuple[RecordRef, ...]
    targets: tuple[int, ...]
    whole: bool = True

    @property
    def target(self) -> int:
        """The first of its events."""
        return self.targets[0]


@dataclass
class Finder:
    """Finds records in logs; a native log is assembled once, however many of its records are asked for.

    Attributes:
        maps: all source maps.
        source: the one that reads every log; None: each log's is detected.
        structured: dotted names of the schema's objects and lists.
    """

    maps: SourceMaps
    source: str | None = None
    structured: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self._assembled: dict[str, _Assembled] = {}
        self._unpacked: dict[str, LogFile] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="countersign-rows-")

    def named(self, name: str) -> Given:
        """A record as a person names it: ``file:line``, a file that holds one JSON record, or ``-``.

        Raises:
            Mistakes: there is no such file or line, or the source makes no event of it.
        """
        try:
            if name == STANDARD_INPUT:
                return self._alone(name, sys.stdin.buffer.read(LONGEST))
            if Path(name).is_file():
                return self._alone(name, _head(self._lines(LogFile(0, Path(name), name))))
        except _UNREADABLE as broken:
            raise Mistakes([Mistake(name, 0, f"it can't be read: {broken}")]) from broken
        place = _PLACE.fullmatch(name)
        if place and Path(place[1]).is_file():
            return self.at(place[1], int(place[2]))
        message = "there is no such file; name a record as FILE:LINE, as a file that holds one, or - for standard input"
        raise Mistakes([Mistake(name, 0, message)])

    def at(self, file: str, number: int) -> Given:
        """The record on a line of a log.

        Raises:
            Mistakes: as `named`.
        """
        if not Path(file).is_file():
            message = "it came from standard input" if file == STANDARD_INPUT else "there is no such file here any more"
            raise Mistakes([Mistake(file, 0, message)])
        try:
            return self._of_log(f"{file}:{number}", self._lines(LogFile(0, Path(file), file)), number)
        except _UNREADABLE as broken:
            raise Mistakes([Mistake(file, 0, f"it can't be read: {broken}")]) from broken

    def _lines(self, log: LogFile) -> LogFile:
        """The log as lines: of Parquet, one a row."""
        with log.path.open("rb") as stream:
            if not is_parquet(stream.read(HEAD)):
                return log
        if log.name not in self._unpacked:
            folder = Path(tempfile.mkdtemp(dir=self._folder.name))
            with closing(ParquetLog(log, folder, structured=self.structured)) as rows:
                self._unpacked[log.name], _, bad = as_lines(rows, log, folder, self.source, self.maps)
            if rows.broken:
                raise Mistakes([Mistake(log.name, 0, bad[0].reason)])
        return self._unpacked[log.name]

    def _alone(self, name: str, content: bytes) -> Given:
        """One record, on one line or on many."""
        content = content.removeprefix(_MARK)
        try:
            json.loads(content)
        except (ValueError, RecursionError):
            lines = [line for line in content.splitlines() if line.strip()]
            if len(lines) > 1:
                where = "" if name == STANDARD_INPUT else f"; say which is meant, as {name}:1"
                message = f"it is not one JSON record but {len(lines):,} lines{where}"
                raise Mistakes([Mistake(name, 0, message)]) from None
        with tempfile.TemporaryDirectory(prefix="countersign-why-") as folder:
            line = Path(folder) / "record.jsonl"
            line.write_bytes(content.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n")  # no JSON text holds a bare one
            return self._of_log(name, LogFile(0, line, name), 1)

    def _of_log(self, name: str, log: LogFile, number: int) -> Given:
        source = self.source or self.maps.detect(list(_objects(log))) or "countersign"
        if self.maps[source].schema_form:
            return _as_logged(name, source, log, number)
        key = str(log.path)
        if key not in self._assembled:
            self._assembled[key] = _Assembled.of(source, log, self.maps)
        return self._assembled[key].given(name, log, number, self.maps)


def _head(log: LogFile) -> bytes:
    with log.open() as stream:
        return _buffered(stream).read(LONGEST)


def _objects(log: LogFile) -> Iterator[Mapping[str, Any]]:
    with log.open() as stream:
        for line in islice(_buffered(stream), SAMPLE):
            record = _object(line)
            if record is not None:
                yield record


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line.removeprefix(_MARK))
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _as_logged(name: str, source: str, log: LogFile, number: int) -> Given:
    before: deque[tuple[int, bytes]] = deque(maxlen=AROUND)
    found: list[tuple[int, bytes]] = []
    whole, dropped = True, 0
    with log.open() as stream:
        for at, raw in enumerate(_buffered(stream), 1):
            line = raw.rstrip(b"\r\n").removeprefix(_MARK)
            if at == number:
                found = [*before, (at, line)]
                whole = dropped == 0
            elif at < number and line.strip() and len(line) < _LONG:
                dropped += len(before) == AROUND
                before.append((at, line))
            elif at > number + AROUND:
                whole = False
                break
            elif at > number and line.strip() and len(line) < _LONG:
                found.append((at, line))
    target = next((index for index, (at, _) in enumerate(found) if at == number), None)
    if target is None or not found[target][1].strip():
        raise Mistakes([Mistake(log.name, number, "there is no record on this line")])
    lines = tuple(_without_provenance(line) for _, line in found)
    places = tuple(RecordRef(log.name, at) for at, _ in found)
    return Given(name, source, lines, places, (target,), whole)


def _without_provenance(line: bytes) -> bytes:
    """The line without what only an assembled event says of itself: here a log would speak of places that are none."""
    if b'"' + PROVENANCE.encode() + b'"' not in line:
        return line
    record = _object(line)
    if record is None or PROVENANCE not in record:
        return line
    del record[PROVENANCE]
    return json.dumps(record, ensure_ascii=True).encode()


@dataclass(frozen=True)
class _Assembled:
    """A native log as events: each with the byte offsets of the records that it was made of; and the bad lines."""

    source: str
    events: tuple[tuple[tuple[int, ...], bytes], ...]
    bad: Mapping[int, str]

    @classmethod
    def of(cls, source: str, log: LogFile, maps: SourceMaps) -> _Assembled:
        with tempfile.TemporaryDirectory(prefix="countersign-why-") as folder:
            out = Path(folder) / "events.jsonl"
            report = assemble(maps, source, [log], out)
            events = tuple((_origins(line), line) for line in out.read_bytes().splitlines())
        return cls(source, events, {bad.number: bad.reason for bad in report.bad})

    def given(self, name: str, log: LogFile, number: int, maps: SourceMaps) -> Given:
        starts, asked = _start(log, number)
        if number in self.bad:
            raise Mistakes([Mistake(log.name, number, f"the line can't be read: {masked(self.bad[number])}")])
        targets = [at for at, (places, _) in enumerate(self.events) if starts & set(places)]
        if not targets:
            raise Mistakes([Mistake(log.name, number, _no_event(self.source, asked, maps))])
        low, high = max(0, targets[0] - AROUND), targets[-1] + AROUND + 1
        shown = self.events[low:high]
        numbers = _numbers(log, {places[0] for places, _ in shown if places})
        return Given(
            name,
            self.source,
            tuple(_without_provenance(line) for _, line in shown),
            tuple(RecordRef(log.name, numbers.get(places[0], 0) if places else 0) for places, _ in shown),
            tuple(at - low for at in targets),
            whole=low == 0 and high >= len(self.events),
        )


def _origins(line: bytes) -> tuple[int, ...]:
    return tuple(int(offset) for _, offset in json.loads(line)[PROVENANCE]["records"])


def _start(log: LogFile, number: int) -> tuple[set[int], bytes]:
    """Where a line may begin, with a byte order mark and without, and what it says."""
    offset = 0
    with log.open() as stream:
        for at, line in enumerate(_buffered(stream), 1):
            if at == number and line.strip():
                return {offset, offset + len(line) - len(line.removeprefix(_MARK))}, line
            offset += len(line)
    raise Mistakes([Mistake(log.name, number, "there is no record on this line")])


def _numbers(log: LogFile, offsets: set[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    offset = 0
    with log.open() as stream:
        for at, line in enumerate(_buffered(stream), 1):
            if offset in offsets or (at == 1 and line.startswith(_MARK) and offset + len(_MARK) in offsets):
                found[offset if offset in offsets else offset + len(_MARK)] = at
            offset += len(line)
            if len(found) == len(offsets):
                break
    return found


def _no_event(source: str, line: bytes, maps: SourceMaps) -> str:
    """Why a source makes no event of a line."""
    record = _object(line)
    of_line: Sequence[Mapping[str, Any]] = maps[source].records(record) if record else ()
    for one in of_line:
        for kind in maps[source].kinds:
            if kind.recognised.fits(one):
                return f"{source} makes no event of this line, which is of the kind {kind.name}: {_reason(kind)}"
    return f"{source} makes no event of this line: it fits no kind of that source map"


def _reason(kind: Any) -> str:
    return str(kind.ignored or kind.unused)


def _buffered(stream: IO[bytes]) -> IO[bytes]:
    return io.BufferedReader(stream) if isinstance(stream, io.RawIOBase) else stream
