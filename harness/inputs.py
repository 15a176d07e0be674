"""The inputs of a scan: standard input kept, Parquet written as lines, sources recognised, native logs assembled."""

from __future__ import annotations

import json
import shutil
import sys
from collections import defaultdict
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from backends.duckdb.assemble import assemble
from backends.duckdb.compressed import HEAD
from backends.duckdb.lines import BadLine, LogFile
from backends.duckdb.parquet import Form, ParquetLog
from backends.duckdb.unpacked import is_parquet, read_chunk
from backends.errors import Mistake, Mistakes
from backends.vocabulary import closest
from harness.extent import Extent, Watched
from harness.options import STANDARD_INPUT, Progress, Report, ScanOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from backends.sources import SourceMaps
    from backends.vocabulary import Vocabulary
    from harness.carry import Carry

SAMPLE = 200
"""Lines that a source is recognised by."""


def known_source(name: str, maps: SourceMaps) -> None:
    """Check that a source map has this name.

    Raises:
        Mistakes: none has; the sentence says which is closest.
    """
    if name not in maps:
        near = closest(name, maps)
        hint = f"did you mean {near}?" if near else f"there are {', '.join(maps)}"
        raise Mistakes([Mistake(name, 0, f"no source map has this name; {hint}")])


class Inputs:
    """The logs of one scan.

    Attributes:
        files: what the engine reads: logs in schema form, the assembled ones, and what an earlier scan left open.
        names: index → what a person is shown.
        by_index: index → where its lines lie.
        bad: lines that assembling set aside, and rows that can't be read.
        lines, bytes: what the engine reads beyond a person's own files is taken off, what assembling read is added.
        by_content: a log keeps its records in columns, so that they have no text to be told by.
    """

    def __init__(
        self,
        options: ScanOptions,
        maps: SourceMaps,
        vocabulary: Vocabulary,
        folder: Path,
        progress: Report,
        carry: Carry,
    ) -> None:
        """Look at every log.

        Raises:
            Mistakes: no source map has the given name, Parquet holds what no log does, or a log changes meanwhile.
        """
        if options.source:
            known_source(options.source, maps)
        self.names: dict[int, str] = {}
        self.by_index: dict[int, LogFile] = {}
        self.bad: list[BadLine] = []
        self.files: list[LogFile] = []
        self.lines = self.bytes = 0
        self.by_content = False
        self._maps, self._folder, self._source = maps, folder, options.source
        self._memory = options.memory or "600MB"
        self._structured = vocabulary.structured
        self._progress, self._done = progress, 0
        self._watched: dict[int, Watched] = {}
        native = self._recognise([LogFile(at, _path(log, folder), log) for at, log in enumerate(options.logs)])
        self._total = sum(file.path.stat().st_size for file in self.by_index.values())
        with self.standing():
            for at, (source, some) in enumerate(sorted(native.items())):
                self._assemble(source, some, len(options.logs) + at)
        carried = carry.load(len(options.logs) + len(native), folder, self.by_index)
        if carried:
            self.files.append(carried)
            with carried.open() as stream:
                self.lines -= sum(1 for _ in stream)
            self.bytes -= carried.path.stat().st_size

    def advanced(self, read: int) -> None:
        """Tell how far the reading is."""
        self._done += read
        self._progress(Progress("reading", self._done, self._total))

    @contextmanager
    def standing(self) -> Iterator[None]:
        """What is read within is still there at its end, or a person is told.

        Raises:
            Mistakes: every log that was cut or replaced meanwhile: what was read of it fits nothing.
        """
        try:
            yield
        except Mistakes:
            raise
        except Exception:
            self.check()  # lines that are no longer there lead anywhere
            raise
        self.check()

    def check(self) -> None:
        """Whether the logs are still those that were read; they may have grown.

        Raises:
            Mistakes: they are not.
        """
        message = "it was cut or replaced while it was read; scan again, with the file that it was moved to if it was"
        gone = [index for index, watched in self._watched.items() if not watched.stands()]
        if gone:
            raise Mistakes([Mistake(self.names[index], 0, message) for index in gone])
        self._watched = {index: Watched.of(watched.path) for index, watched in self._watched.items()}

    def extents(self) -> dict[int, Extent]:
        """What every log is, by index.

        Raises:
            Mistakes: see `check`.
        """
        self.check()
        return {index: Extent.of(file.path) for index, file in self.by_index.items()}

    def _recognise(self, given: list[LogFile]) -> dict[str, list[LogFile]]:
        """Native logs by source; those in schema form are put among the files."""
        native: dict[str, list[LogFile]] = defaultdict(list)
        wrong: list[Mistake] = []
        for log in given:
            self.names[log.index] = log.name
            try:
                file, source = self._as_lines(log)
            except Mistakes as found:
                wrong += found.found
                continue
            self.by_index[file.index] = file
            if self._maps[source].schema_form:
                self.files.append(file)
            else:
                native[source].append(file)
        if wrong:
            raise Mistakes(wrong)
        return native

    def _as_lines(self, file: LogFile) -> tuple[LogFile, str]:
        """The log as lines, and its source.

        Raises:
            Mistakes: it is Parquet that holds what no log does.
        """
        with file.path.open("rb") as stream:
            head = stream.read(HEAD)
        if not is_parquet(head):
            self._watched[file.index] = Watched.of(file.path)
            sample = list(islice(_sample(file), SAMPLE))
            return file, self._source or self._maps.detect(sample) or "countersign"
        self._progress(Progress("unpacking Parquet"))
        with closing(ParquetLog(file, self._folder, self._memory, self._structured)) as rows:
            lines, source, bad = as_lines(rows, file, self._folder, self._source, self._maps)
            self.bad += bad
            self.by_content |= self._maps[source].schema_form and not rows.record
        return lines, source

    def _assemble(self, source: str, some: list[LogFile], index: int) -> None:
        self._progress(Progress(f"assembling {source}"))
        out = self._folder / f"{source}.jsonl"
        report = assemble(self._maps, source, some, out)
        self.bad += report.bad
        self.files.append(LogFile(index, out, f"({source}, assembled)", ours=True))
        self.lines += report.lines - report.events
        self.bytes += report.bytes - out.stat().st_size


def as_lines(
    rows: ParquetLog, file: LogFile, folder: Path, source: str | None, maps: SourceMaps
) -> tuple[LogFile, str, list[BadLine]]:
    """A Parquet log as a log of lines in ``folder``, a line a row; its source; what can't be read of it.

    Raises:
        Mistakes: it holds what no log does.
    """
    form, source = _form(rows, source, maps)
    out = folder / f"{file.index}.jsonl"
    return LogFile(file.index, out, file.name), source, rows.write(out, form)


def _form(rows: ParquetLog, source: str | None, maps: SourceMaps) -> tuple[Form, str]:
    """What makes the rows of a Parquet file records, and of which source.

    Raises:
        Mistakes: it holds the tables of a source that tells them by their columns, one beside the other.
    """
    records, table = rows.sample(Form.RECORD, SAMPLE), rows.sample(Form.TABLE, SAMPLE)
    name = source or maps.detect(table) or maps.detect(records) or "countersign"
    if maps[name].schema_form:
        return Form.NESTED, name
    kinds = [tuple(maps[name].kinds_of(row) for row in some) for some in (records, table)]
    both = list(zip(*kinds, strict=True))
    if all(one == other for one, other in both if one):
        return Form.TABLE, name
    if all(one for one, other in both if other):
        return Form.RECORD, name
    message = f"its rows are of several tables of {name}; write each to a file of its own"
    raise Mistakes([Mistake(rows.name, 0, message)])


def _path(log: str, folder: Path) -> Path:
    if log != STANDARD_INPUT:
        return Path(log)
    kept = folder / "standard-input"  # what is flagged is read a second time
    with kept.open("wb") as out:
        shutil.copyfileobj(sys.stdin.buffer, out)
    return kept


def _sample(file: LogFile) -> Iterator[Mapping[str, Any]]:
    with file.open() as stream:
        head, _ = read_chunk(stream, 1 << 20)
    if is_parquet(head):
        raise Mistakes([Mistake(file.name, 0, "it is Parquet within a packed file; unpack it first")])
    for line in head.split(b"\n"):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            yield record
