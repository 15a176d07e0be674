"""What a log was when it was read, so that it is known again: grown, cut, or moved to another name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

EDGE = 4096
"""Bytes at the beginning and at the end by which a log is known."""


@dataclass(frozen=True)
class Extent:
    """A log up to where it ended.

    Attributes:
        size: bytes.
        edges: a digest of the first and the last of them.
    """

    size: int
    edges: str

    @classmethod
    def of(cls, path: Path, size: int | None = None) -> Extent:
        """The file as it is, or its first ``size`` bytes."""
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size if size is None else size
            digest = blake2b(stream.read(min(EDGE, size)), digest_size=16)
            stream.seek(max(0, size - EDGE))
            digest.update(stream.read(min(EDGE, size)))
        return cls(size, digest.hexdigest())

    def begins(self, path: Path) -> bool:
        """Whether a file is this log, perhaps grown."""
        return path.stat().st_size >= self.size and Extent.of(path, self.size) == self


@dataclass(frozen=True)
class Watched:
    """A file that must stay what it is while it is read.

    Attributes:
        path: where it lies.
        file: device and inode.
        extent: what it held.
    """

    path: Path
    file: tuple[int, int]
    extent: Extent

    @classmethod
    def of(cls, path: Path) -> Watched:
        """The file as it is."""
        now = path.stat()
        return cls(path, (now.st_dev, now.st_ino), Extent.of(path))

    def stands(self) -> bool:
        """Whether it is the same file, at most grown."""
        try:
            now = self.path.stat()
            return (now.st_dev, now.st_ino) == self.file and self.extent.begins(self.path)
        except OSError:
            return False
