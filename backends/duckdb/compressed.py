"""Gzip and zstd, unpacked as a stream that tells all before damage, to the last byte, and then the damage.

Sources: RFC 1952 §2.2 and §2.3.1 (gzip members), RFC 8878 §3.1 (zstd frames and skippable frames).
"""

from __future__ import annotations

import io
import os
import zlib
from abc import abstractmethod
from typing import IO, Any

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
HEAD = 4
"""Bytes that a form is recognised by."""

PIECE = 1 << 16
CUT = "it ends in the middle: it was cut, or is still being written"

_SKIPPABLE = b"\x2a\x4d\x18"
_GZIP_FORM = 31
"""zlib's name for: a gzip member of any window, its checksum compared."""


def unpacked(head: bytes, packed: io.RawIOBase | IO[bytes]) -> Packed:
    """The unpacked bytes of a file that can be sought in and begins with ``head``."""
    return Packed(_Gzip(packed) if head.startswith(GZIP) else _Zstd(packed))


def is_compressed(head: bytes) -> bool:
    """Whether bytes begin as gzip or zstd does."""
    return head.startswith(GZIP) or _is_zstd(head)


def _is_zstd(head: bytes) -> bool:
    """Whether bytes begin as zstd does: with a frame, or with one that a reader skips (parallel writers begin so)."""
    return head.startswith(ZSTD) or (head[1:HEAD] == _SKIPPABLE and head[0] & 0xF0 == 0x50)  # noqa: PLR2004


class Packed(io.BufferedReader):
    """The unpacked bytes of gzip members or zstd frames, one after the other.

    All that lies before damage is given first; the read after that raises OSError with what is wrong.

    Attributes:
        packed: the compressed file.
    """

    def __init__(self, unpacked: _Unpacked) -> None:
        self.packed = unpacked.packed
        super().__init__(unpacked, PIECE)


class _Unpacked(io.RawIOBase):
    """`Packed` without its buffer.

    Attributes:
        packed: the compressed file, which can be sought in.
    """

    def __init__(self, packed: Any) -> None:
        self.packed = packed
        self._begin()

    @abstractmethod
    def _open(self) -> None:
        """Start to unpack, from the first byte of the file."""

    @abstractmethod
    def _some(self, most: int) -> bytes:
        """The next bytes; none at the end.

        Raises:
            OSError: the data is damaged.
        """

    @abstractmethod
    def _before_damage(self) -> bytes:
        """What can be unpacked of what the codec threw away when it met the damage."""

    def _begin(self) -> None:
        self.packed.seek(0)
        self._at, self._damage, self._rest = 0, "", b""
        self._open()

    def readinto(self, buffer: Any) -> int:
        """Up to 64 KiB.

        Raises:
            OSError: the data is damaged, and all that lies before the damage was read.
        """
        view = memoryview(buffer)[:PIECE]
        if not self._damage:
            try:
                found = self._some(len(view))
            except OSError as broken:
                self._damage = str(broken)
                self._rest = self._before_damage()
        if self._damage:
            if not self._rest:
                raise OSError(self._damage)
            found, self._rest = self._rest[: len(view)], self._rest[len(view) :]
        view[: len(found)] = found
        self._at += len(found)
        return len(found)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is, by unpacking again."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte of the unpacked data, or to its end if that comes first.

        Raises:
            OSError: the damage lies before it.
        """
        if whence == os.SEEK_CUR:
            offset += self._at
        elif whence != os.SEEK_SET:
            raise io.UnsupportedOperation("the end of compressed data is not known")
        if offset < self._at:
            self._begin()
        step = bytearray(PIECE)
        while self._at < offset and self.readinto(memoryview(step)[: offset - self._at]):
            pass
        return self._at

    def tell(self) -> int:
        """Bytes from the start of the unpacked data."""
        return self._at

    def close(self) -> None:
        """Close the file."""
        self.packed.close()
        super().close()


class _Gzip(_Unpacked):
    """Members of gzip; zeros after one are padding."""

    def _open(self) -> None:
        self._given = b""
        self._member: Any = None
        self._before: Any = None

    def _some(self, most: int) -> bytes:
        while True:
            self._given = self._given or self.packed.read(PIECE)
            at_end = not self._given
            if self._member is None:
                if at_end:
                    return b""
                self._given = self._given.lstrip(b"\0")
                self._member = zlib.decompressobj(_GZIP_FORM) if self._given else None
                continue
            self._before = self._member.copy()
            try:
                found: bytes = self._member.decompress(self._given, most)
            except zlib.error as broken:
                raise OSError(str(broken)) from broken
            if self._member.eof:
                self._given, self._member = self._member.unused_data, None
            else:
                self._given = self._member.unconsumed_tail
            if found:
                return found
            if at_end and self._member is not None:
                self._before = None
                raise OSError(CUT)

    def _before_damage(self) -> bytes:
        found = bytearray()
        try:
            for at in range(len(self._given) if self._before else 0):
                found += self._before.decompress(self._given[at : at + 1])
        except zlib.error:
            pass
        return bytes(found)


class _Zstd(_Unpacked):
    """Frames of zstd."""

    def _open(self) -> None:
        self._feed = _Feed(self.packed)
        self._stream = _codec(self._feed)

    def _some(self, most: int) -> bytes:
        try:
            found: bytes = self._stream.read(most)
        except OSError as broken:
            raise OSError(CUT if "Truncated" in str(broken) else str(broken)) from broken
        return found

    def _before_damage(self) -> bytes:
        """The file is unpacked again, the last piece of it byte by byte."""
        stream = _codec(_Feed(self.packed, self._feed.last))
        at, found = 0, bytearray()
        while at < self._at:
            at += len(stream.read(min(PIECE, self._at - at)))
        try:
            while byte := stream.read(1):
                found += byte
        except OSError:
            return bytes(found)
        return bytes(found)  # the file was mended meanwhile


class _Feed:
    """Hands compressed bytes to the codec; from ``singly`` on one at a time."""

    closed = False

    def __init__(self, packed: Any, singly: int | None = None) -> None:
        packed.seek(0)
        self._packed, self._singly = packed, singly
        self.last = self._at = 0

    def read(self, size: int) -> bytes:
        """The next bytes; `last` is where they begin."""
        self.last = self._at
        if self._singly is not None:
            size = 1 if self._at >= self._singly else min(size, self._singly - self._at)
        found: bytes = self._packed.read(size)
        self._at += len(found)
        return found

    def close(self) -> None:
        """Leave the file open: a damaged one is read again."""


def _codec(feed: _Feed) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - it takes a moment, and most logs need it not

    return pa.CompressedInputStream(pa.PythonFile(feed, mode="r"), "zstd")
