"""The bytes of a log: plain, gzip or zstd, told apart by content.

A file may grow while it is read. Its size when it was opened is where the reading ends, so that a log that never stops
growing is read once; a line that lies across that place is read to its end if the end is there.
"""

from __future__ import annotations

import io
import os
import re
from typing import IO, TYPE_CHECKING, Any

from backends.duckdb.compressed import HEAD, PIECE, Packed, is_compressed, unpacked

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 16 << 20
"""Bytes that are handed on at once. DuckDB takes them 2,048 lines at a time, and the last few as dearly as many."""
LONGEST_LINE = 32 << 20
MARK = b"\xef\xbb\xbf"
UNFINISHED = "the line is unfinished: the log ends in the middle of it"

PARQUET, ENCRYPTED_PARQUET = b"PAR1", b"PARE"

_NEWLINE = b"\n"
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)


def opened(path: Path) -> IO[bytes]:
    """The unpacked bytes, from the start: `Packed`, or the file itself, unbuffered."""
    raw = path.open("rb", buffering=0)
    head = raw.read(HEAD)
    raw.seek(0)
    return unpacked(head, AsItWas(raw)) if is_compressed(head) else raw


def is_parquet(head: bytes) -> bool:
    """Whether a file begins as Parquet does, which is no stream of lines."""
    return head.startswith((PARQUET, ENCRYPTED_PARQUET))


def as_it_was(path: Path) -> IO[bytes]:
    """The unpacked bytes up to where the file ends now, its last line whole if its end is there."""
    stream = opened(path)
    return AsItWas(stream, lines=True) if isinstance(stream, io.FileIO) else stream  # type: ignore[return-value]


def unfinished(line: bytes) -> bool:
    """Whether a line is the beginning of an object whose end is missing: more is opened than closed."""
    if not line.lstrip(b" \t\r").removeprefix(MARK).startswith(b"{"):
        return False
    bare = _TEXT.sub(b"", line)
    return bare.count(b"{") + bare.count(b"[") > bare.count(b"}") + bare.count(b"]")


class AsItWas(io.RawIOBase):
    """A file up to the size that it has now.

    Attributes:
        lines: read on to the end of the line that lies across that place, if it has an end and is not too long.
    """

    def __init__(self, raw: io.FileIO, *, lines: bool = False) -> None:
        self._raw, self.lines = raw, lines
        self._size = os.fstat(raw.fileno()).st_size
        self._last = _NEWLINE

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes; none where the file ended when it was opened."""
        left = self._size - self._raw.tell()
        if left > 0:
            found = self._raw.read(left if size < 0 else min(size, left)) or b""
        elif self.lines and self._last != _NEWLINE and left > -LONGEST_LINE:
            found = self._raw.read(PIECE if size < 0 else min(size, PIECE)) or b""
            found = found[: found.find(_NEWLINE) + 1 or None]
        else:
            return b""
        self._last = found[-1:] or self._last
        return found

    def readinto(self, buffer: Any) -> int:
        """Up to as many bytes as the buffer holds."""
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is: what is packed is read again from its start."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte."""
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        """Bytes from the start."""
        return self._raw.tell()

    def close(self) -> None:
        """Close the file."""
        self._raw.close()
        super().close()


def read_chunk(stream: IO[bytes], size: int = CHUNK) -> tuple[bytes, str]:
    """Up to ``size`` bytes, and what is wrong with the compressed data if it ends in damage.

    What could be unpacked before the damage is returned; the next call gives no bytes.
    """
    if not is_packed(stream):
        return stream.read(size), ""
    pieces: list[bytes] = []
    held = 0
    while held < size:
        try:
            piece = stream.read1(min(size - held, PIECE))  # type: ignore[attr-defined]
        except OSError as broken:
            return b"".join(pieces), str(broken)
        if not piece:
            break
        pieces.append(piece)
        held += len(piece)
    return b"".join(pieces), ""


def is_packed(stream: object) -> bool:
    """Whether a stream of `opened` unpacks what it reads: it buffers, and going back costs."""
    return isinstance(stream, Packed)


def position(stream: IO[bytes]) -> int:
    """Bytes read of the file as it lies on disk."""
    return stream.packed.tell() if isinstance(stream, Packed) else stream.tell()
