"""Chunks of lines as they are kept: plain, gzip or zstd. A packed chunk stands alone, so that any process can pack it.

Sources: RFC 1952 §2.2 and §2.3 (members of a gzip file), RFC 8878 §3.1 (frames of a zstd file).
"""

from __future__ import annotations

import struct
import zlib

GZIP_LEVEL, ZSTD_LEVEL = 6, 3
_MEMBER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Deflate, no flags, no time, no extra flags, an unknown system: zlib would write its own."""


def plain(lines: bytes) -> bytes:
    """The lines."""
    return lines


def gzipped(lines: bytes) -> bytes:
    """One gzip member."""
    deflate = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    end = struct.pack("<II", zlib.crc32(lines), len(lines) & 0xFFFFFFFF)
    return _MEMBER + deflate.compress(lines) + deflate.flush() + end


def zstd(lines: bytes) -> bytes:
    """One zstd frame."""
    import pyarrow as pa  # noqa: PLC0415 - it takes a moment, and most logs need it not

    packed: bytes = pa.Codec("zstd", compression_level=ZSTD_LEVEL).compress(lines, asbytes=True)
    return packed
