"""What a scan is asked to do: the command fills it in, the engine reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from harness.paths import Root

STANDARD_INPUT = "-"

LINES = (".jsonl", ".ndjson", ".json", ".log")
LOGS = (*(ending + packed for packed in ("", ".gz", ".zst") for ending in LINES), ".parquet")
"""Endings of the files that a folder is searched for; what they are is told by their content."""

NO_LOGS = f"no file in it ends in {', '.join(LINES)}, these with .gz or .zst, or .parquet"


@dataclass(frozen=True)
class Progress:
    """How far a scan is: the work in hand in a few words, and bytes done of all bytes (None: unknown)."""

    doing: str
    done: int = 0
    total: int | None = None


Report = Callable[[Progress], None]
"""The engine calls it now and then, at most some ten times a second, from one thread."""


@dataclass(frozen=True)
class ScanOptions:
    """The options of ``countersign scan``.

    Attributes:
        logs: files to read in a fixed order: each an existing file (packed or not, or Parquet) or ``-``. Folders and globs are
            resolved before.
        root: where rules and schemas lie.
        source: name of a source map for every log; None: detect it, file by file.
        sources: folders of source maps beside the pack's.
        rules: selectors (stem, number, glob of stems, id or path), and folders of rules; empty: all rules of the pack.
        filters: folders of Sigma filters that are laid over the rules.
        levels: levels to judge; empty: all.
        chapters: chapters to judge; empty: all.
        register: folder of register tables; None: no register.
        since: judge records and chains from here on (aware, UTC); None: from the first record.
        until: judge only what had settled by then; None: the end of the logs is settled.
        carry: open chains are read from here and written here.
        rejects: where rejected lines are kept, byte for byte; None: nowhere.
        lookback: how far records may lie apart and still join.
        grace: how long a chain may still grow after its last record.
        show_sensitive: show fields that may hold personal data or content. Secrets stay masked.
        memory: DuckDB's memory limit, such as ``800MB``; None: the engine's own default.
        threads: worker threads; None: one a core.
    """

    logs: tuple[str, ...]
    root: Root
    source: str | None = None
    sources: tuple[Path, ...] = ()
    rules: tuple[str, ...] = ()
    filters: tuple[Path, ...] = ()
    levels: tuple[str, ...] = ()
    chapters: tuple[str, ...] = ()
    register: Path | None = None
    since: datetime | None = None
    until: datetime | None = None
    carry: Path | None = None
    rejects: Path | None = None
    lookback: timedelta = timedelta(hours=24)
    grace: timedelta = timedelta(minutes=5)
    show_sensitive: bool = False
    memory: str | None = None
    threads: int | None = None


def is_log(file: Path) -> bool:
    """Whether a file in a folder is taken for a log."""
    return file.name.lower().endswith(LOGS) and file.is_file()
