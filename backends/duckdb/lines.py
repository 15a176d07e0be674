"""Log lines as Arrow batches: where a line begins is known before anything has parsed it.

A batch holds ``line`` (text), ``shape`` (`backends.duckdb.shape`), ``file`` (index into the inputs), ``offset`` (bytes
from the start of the decompressed stream) and ``number`` (1-based). Lines that no engine should see (invalid UTF-8, longer than
``LONGEST_LINE``, not an object, unfinished) are set aside as `BadLine`, never dropped. There is no Python loop over
lines: numpy finds the line ends of a chunk, Arrow borrows the chunk's memory.

Source of the layout: Arrow columnar format 1.5, "Variable-size Binary Layout".
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa

from backends.duckdb.shape import places_of, shapes
from backends.duckdb.unpacked import (
    LONGEST_LINE,
    MARK,
    UNFINISHED,
    as_it_was,
    is_packed,
    opened,
    position,
    read_chunk,
    unfinished,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from pathlib import Path

PICKED = 2048
"""Lines of a batch that are read again."""

SCHEMA = pa.schema(
    [
        ("line", pa.string()),
        ("shape", pa.int32()),
        ("file", pa.int32()),
        ("offset", pa.int64()),
        ("number", pa.int64()),
    ],
)
_NEWLINE, _BRACE = ord("\n"), ord("{")


@dataclass(frozen=True)
class LogFile:
    """One input.

    Attributes:
        index: position among the inputs of a run.
        path: where the bytes lie.
        name: what a person is shown (``-`` for standard input).
        ours: we wrote it, so what its lines say under ``countersign`` (where they come from) is believed.
    """

    index: int
    path: Path
    name: str
    ours: bool = False

    def open(self) -> IO[bytes]:
        """The unpacked bytes; gzip and zstd are recognised by their content, not by a name."""
        return opened(self.path)


@dataclass(frozen=True, order=True)
class BadLine:
    """A line that was set aside.

    Attributes:
        file: index of the input.
        number: 1-based line number, 0 for the whole file.
        offset: byte offset of its start in the decompressed stream.
        length: bytes.
        reason: a phrase that completes "this line was set aside: …".
        lines: how many lines from this one on are meant.
    """

    file: int
    number: int
    offset: int
    length: int
    reason: str
    lines: int = 1


@dataclass
class LineReader:
    """Reads inputs one after the other; counts what it saw.

    Attributes:
        files: the inputs, in order.
        longest: longest line in bytes that is handed on.
        progress: called with the number of (compressed) bytes read since the last call.
        bad, lines, size: lines set aside, lines that are not blank, unpacked bytes.
    """

    files: Sequence[LogFile]
    longest: int = LONGEST_LINE
    progress: Callable[[int], None] = lambda _read: None
    bad: list[BadLine] = field(default_factory=list)
    lines: int = 0
    size: int = 0
    _damage: str = field(default="", init=False)

    def reader(self) -> pa.RecordBatchReader:
        """A stream that DuckDB scans by name; it can be read once."""
        return pa.RecordBatchReader.from_batches(SCHEMA, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for file in self.files:
            yield from self._file(file)

    def _file(self, file: LogFile) -> Iterator[pa.RecordBatch]:
        offset, number = 0, 1
        with as_it_was(file.path) as stream:
            for piece in self._pieces(stream):
                if isinstance(piece, int):
                    self._set_aside(file, number, offset, piece, self._too_long(piece))
                    offset, number = offset + piece + 1, number + 1
                elif piece.endswith(b"\n"):
                    lines = yield from self._chunk(file, piece, offset, number)
                    offset, number = offset + len(piece), number + lines
                else:
                    if unfinished(piece):
                        reason = self._damage or UNFINISHED
                        self._set_aside(file, number, offset, len(piece), reason)
                        self._damage = ""
                    else:
                        yield from self._chunk(file, piece + b"\n", offset, number)
                    offset, number = offset + len(piece), number + 1
        if self._damage:
            self.bad.append(BadLine(file.index, number, offset, 0, self._damage))
        self.size += offset

    def _pieces(self, stream: IO[bytes]) -> Iterator[bytes | int]:
        """Whole lines, then what follows the last line end; for a line too long to be held, the number of its bytes."""
        told = size = 0
        begun: list[bytes] = []  # of the line that no end was read of, ``size`` bytes
        self._damage = damage = ""
        while not damage:
            read, damage = read_chunk(stream)
            at = position(stream)
            self.progress(at - told)
            told = at
            if not read:
                break
            cut = read.rfind(b"\n") + 1
            if cut and size > self.longest:
                end = read.find(b"\n")
                yield size + end
                read, cut, begun, size = read[end + 1 :], cut - end - 1, [], 0
            if cut:
                yield b"".join([*begun, memoryview(read)[:cut]])
                begun, size = [], 0
            size += len(read) - cut
            begun = [*begun, read[cut:]] if size <= self.longest else []
        if damage:
            self._damage = f"the compressed data is damaged from here on ({damage})"
        if size:
            yield b"".join(begun) or size

    def _set_aside(self, file: LogFile, number: int, offset: int, length: int, reason: str) -> None:
        self.lines += 1
        self.bad.append(BadLine(file.index, number, offset, length, reason))

    def _too_long(self, length: int) -> str:
        return f"the line has {length:,} bytes, more than {self.longest:,}"

    def _chunk(self, file: LogFile, chunk: bytes, offset: int, number: int) -> Generator[pa.RecordBatch, None, int]:
        """Yield the batches of one chunk that ends with a newline; return the number of its lines."""
        array = np.frombuffer(chunk, dtype=np.uint8)
        ends = places_of(_NEWLINE, array)
        starts = np.empty_like(ends)
        starts[0], starts[1:] = 0, ends[:-1] + 1
        count = len(ends)
        first = array[starts]
        odd = np.flatnonzero((first != _BRACE) | (ends - starts > self.longest))
        drop = np.zeros(count, dtype=bool)
        blank = 0
        for row in odd.tolist():  # only lines that do not begin as an object does
            text = chunk[starts[row] : ends[row]]
            body = text.lstrip(b" \t\r")
            reason = None
            if not body:
                drop[row] = True
                blank += 1
            elif len(text) > self.longest:
                reason = self._too_long(len(text))
            elif not body.startswith(b"{"):
                body = body.removeprefix(MARK)  # a byte order mark is no fault of the record
                if not body.startswith(b"{"):
                    reason = "it is not a JSON object"
                else:
                    starts[row] += len(text) - len(body)
            if reason:
                drop[row] = True
                self.bad.append(BadLine(file.index, number + row, offset + int(starts[row]), len(text), reason))
        if not _utf8(chunk):
            self._undecodable(file, chunk, starts, ends, drop, offset, number)
        self.lines += count - blank
        yield from _arrow(file.index, chunk, starts, ends, drop, offset, number)
        return count

    def _undecodable(
        self,
        file: LogFile,
        chunk: bytes,
        starts: np.ndarray,
        ends: np.ndarray,
        drop: np.ndarray,
        offset: int,
        number: int,
    ) -> None:
        for row in range(len(ends)):  # a chunk with broken bytes is rare: here the lines are looked at singly
            if drop[row]:
                continue
            text = chunk[starts[row] : ends[row]]
            try:
                text.decode("utf-8")
            except UnicodeDecodeError as broken:
                drop[row] = True
                reason = f"byte {broken.start + 1} of the line is not UTF-8"
                self.bad.append(BadLine(file.index, number + row, offset + int(starts[row]), len(text), reason))


def _arrow(
    file: int,
    chunk: bytes,
    starts: np.ndarray,
    ends: np.ndarray,
    drop: np.ndarray,
    offset: int,
    number: int,
) -> Iterator[pa.RecordBatch]:
    """One batch that borrows the chunk: each string is a line with its newline, which JSON allows."""
    count = len(ends)
    offsets = np.empty(count + 1, dtype=np.int32)
    offsets[0], offsets[1:] = 0, ends + 1
    gaps = offsets[:-1] != starts
    lines = pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(chunk))
    batch = pa.record_batch(
        [
            lines,
            pa.array(shapes(np.frombuffer(chunk, dtype=np.uint8), starts)),
            pa.array(np.full(count, file, dtype=np.int32)),
            pa.array(offset + starts.astype(np.int64)),
            pa.array(np.arange(number, number + count, dtype=np.int64)),
        ],
        schema=SCHEMA,
    )
    if gaps.any():  # a byte order mark was stepped over
        column = pa.array([chunk[s:e].decode("utf-8", "replace") for s, e in zip(starts, ends, strict=True)])
        batch = batch.set_column(0, "line", column)
    if drop.any():
        batch = batch.filter(pa.array(~drop))
    yield batch


def _utf8(chunk: bytes) -> bool:
    """Whether the bytes are UTF-8; looked at in place, since decoding would copy them."""
    if chunk.isascii():
        return True
    whole = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, len(chunk)], dtype=np.int32)), pa.py_buffer(chunk))
    try:
        whole.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


@dataclass
class PickedReader:
    """Reads single lines again, by their places, as batches of the same form.

    Attributes:
        files: index → input.
        places: (file, offset, number) in ascending order.
    """

    files: Mapping[int, LogFile]
    places: Sequence[tuple[int, int, int]]

    def reader(self) -> pa.RecordBatchReader:
        """A stream that DuckDB scans by name; it can be read once."""
        return pa.RecordBatchReader.from_batches(SCHEMA, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for index, of_file in groupby(self.places, lambda place: place[0]):
            some = list(of_file)
            lines = read_lines(self.files[index], [(offset, 0) for _, offset, _ in some])
            found = zip(some, lines, strict=True)
            while picked := list(islice(found, PICKED)):
                texts = [line + b"\n" for _, (_, line) in picked]  # as in a batch: it tells the record
                starts = np.cumsum([0, *map(len, texts[:-1])])
                yield pa.record_batch(
                    [
                        pa.array([line.decode() for line in texts]),
                        pa.array(shapes(np.frombuffer(b"".join(texts), dtype=np.uint8), starts)),
                        pa.array(np.full(len(picked), index, dtype=np.int32)),
                        pa.array([offset for (_, offset, _), _ in picked], pa.int64()),
                        pa.array([number for (_, _, number), _ in picked], pa.int64()),
                    ],
                    schema=SCHEMA,
                )


def read_lines(file: LogFile, places: Sequence[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
    """The lines that begin at the given places: the second read, of only the flagged and rejected records.

    Args:
        file: the input.
        places: (offset, longest length to read or 0 for a whole line), in ascending order.

    Yields:
        (offset, bytes without the newline).
    """
    with file.open() as raw:
        stream: IO[bytes] = raw if is_packed(raw) else io.BufferedReader(raw)  # type: ignore[type-var]
        for offset, length in places:
            try:
                stream.seek(offset)
                line = stream.read(length) if length else stream.readline()
            except OSError:  # the damage lies in this line: what could be unpacked of it
                stream.seek(offset)
                line = read_chunk(stream, length or LONGEST_LINE)[0].split(b"\n")[0]
            yield offset, line.rstrip(b"\n")
