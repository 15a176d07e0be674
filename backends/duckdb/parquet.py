"""Parquet logs as lines of JSON, one a row and in the order of the rows, so that a row's number is its line's.

Rows that damage has made unreadable leave empty lines behind; all others are read.

Source of the layout: parquet-format 2.11, "File format" (magic, row groups, footer).
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from itertools import accumulate, chain, islice
from typing import IO, TYPE_CHECKING, Any

import duckdb
import orjson

from backends.duckdb.columns import text
from backends.duckdb.compressed import HEAD
from backends.duckdb.lines import BadLine
from backends.duckdb.parquet_rows import Column, Form, Rows, Unreadable, fixed_paths, one_line
from backends.duckdb.unpacked import ENCRYPTED_PARQUET
from backends.errors import Mistake, Mistakes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from backends.duckdb.lines import LogFile

__all__ = ["Form", "ParquetLog"]

RECORD_COLUMNS = ("line", "message", "raw", "_raw", "event")
"""Columns of text that may hold whole records, the likeliest first."""

LOOKED_AT = 100
"""Rows of which half must hold JSON objects for a column of text to be the record."""

FEWEST, PARTS = 1024, 512
"""Around damage rows are read in halves, and halves of these, down to so many rows or this part of a row group."""

GROUP = 122_880
"""Rows of a row group where the file does not say."""

MOST = 1000
"""Rows a byte that a damaged file is believed to have."""

PATIENCE = 4096
"""How often damage is met in one file before whole row groups are given up."""

_NO_FOOTER = re.compile(r"magic bytes|too small to be a Parquet file|footer length", re.IGNORECASE)
_OURS = re.compile(r"No space|[Ww]rit")


class Damaged(Exception):  # noqa: N818 - says what is wrong with the file
    """Some or all of the file can't be read; the message is what DuckDB says of it."""


@dataclass(frozen=True)
class _Lost:
    """Rows that can't be read: numbers of the first and the last, 1-based; where their empty lines begin; why."""

    first: int
    last: int
    offset: int
    reason: str


class ParquetLog:
    """One Parquet file; it is read by one thread, since two would hold far more of it to keep the order of its rows.

    Attributes:
        name: what a person is shown.
        record: the column of text that holds whole records, "" where the row is the record.
        broken: why nothing of the file can be read, "" where something can.
    """

    def __init__(
        self, file: LogFile, folder: Path, memory: str = "600MB", structured: Collection[str] = frozenset()
    ) -> None:
        """Open it.

        Args:
            file: the log.
            folder: takes what does not fit in ``memory``.
            memory: DuckDB's limit.
            structured: dotted names of the schema's objects and lists.

        Raises:
            Mistakes: it holds what no log does.
        """
        self.name, self._index, self._folder, self._memory = file.name, file.index, folder, memory
        self._path = folder / f"{file.index}.parquet"  # a name of ours, since a person's may look like a glob
        self._path.symlink_to(file.path.resolve())
        self._connect()
        self._patience, self._parts = PATIENCE, 0
        self.record = self.broken = ""
        with file.path.open("rb") as stream:
            encrypted = stream.read(HEAD) == ENCRYPTED_PARQUET
        try:
            types = self._ask(
                f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {self._rows()})"
            ).fetchall()
            tree = "SELECT name, coalesce(type, ''), coalesce(num_children, 0)"
            fixed = fixed_paths(self._ask(f"{tree} FROM parquet_schema({text(str(self._path))})").fetchall())
        except Damaged as damaged:
            self.broken = _why(str(damaged), encrypted=encrypted)
            return
        self._columns = {name: Column.of(name, self._connection.type(kind)) for name, kind in types}
        self._row = Rows(tuple(self._columns.values()), fixed, structured)
        self.record = next(filter(self._holds_records, RECORD_COLUMNS), "")

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def sample(self, form: Form, most: int) -> list[Mapping[str, Any]]:
        """The records of the first rows."""
        lines = self._first(self._line(form), most)
        return [record for line in lines if isinstance(record := _parsed(line), dict)]

    def write(self, out: Path, form: Form) -> list[BadLine]:
        """Write a line a row, as JSON Lines; return what can't be read."""
        if self.broken:
            out.touch()
            return [BadLine(self._index, 0, 0, 0, self.broken)]
        line = self._line(form)
        try:
            self._copy(line, "").rename(out)
        except Damaged as damaged:
            try:
                if "file_row_number" in self._columns:  # then DuckDB numbers no rows
                    raise
                lost = self._salvage(line, out)
            except Damaged:
                out.write_bytes(b"")
                return [BadLine(self._index, 0, 0, 0, _why(str(damaged)))]
            return [
                BadLine(self._index, one.first, one.offset, 0, _rows_lost(one), one.last - one.first + 1)
                for one in lost
            ]
        return []

    def _salvage(self, line: str, out: Path) -> list[_Lost]:
        """Write the rows that can be read, and an empty line for each of the others."""
        lost: list[_Lost] = []
        groups = self._row_groups()
        with out.open("wb") as lines:
            for first, past in groups:
                for one in self._halves(line, first, past, max(FEWEST, (past - first) // PARTS), lines):
                    before = lost[-1] if lost else None
                    if before and before.last + 1 == one.first:
                        lost[-1] = _Lost(before.first, one.last, before.offset, before.reason)
                    else:
                        lost.append(one)
        return lost

    def _halves(self, line: str, first: int, past: int, fewest: int, lines: IO[bytes]) -> Iterator[_Lost]:
        try:
            part = self._copy(line, _between(first, past))
        except Damaged as damaged:
            self._patience -= 1
            if past - first > fewest and self._patience > 0:
                half = (first + past) // 2
                yield from self._halves(line, first, half, fewest, lines)
                yield from self._halves(line, half, past, fewest, lines)
                return
            yield _Lost(first + 1, past, lines.tell(), str(damaged))
            for at in range(first, past, GROUP):
                lines.write(b"\n" * min(GROUP, past - at))
        else:
            with part.open("rb") as some:
                shutil.copyfileobj(some, lines)
            part.unlink()

    def _row_groups(self) -> list[tuple[int, int]]:
        """The number of the first row of each, from 0, and of the row after its last.

        Raises:
            Damaged: nobody can say how many rows there are.
        """
        file = text(str(self._path))
        (rows,) = self._ask(f"SELECT num_rows FROM parquet_file_metadata({file})").fetchone() or (0,)
        if not 0 <= rows <= MOST * self._path.stat().st_size:
            raise Damaged(f"it claims to have {rows:,} rows")
        try:
            query = f"SELECT DISTINCT row_group_id, row_group_num_rows FROM parquet_metadata({file}) ORDER BY ALL"
            counts = [int(count) for _, count in self._ask(query).fetchall()]
        except Damaged:  # what it says of its columns may be damaged too
            counts = []
        if sum(counts) != rows or min(counts, default=0) < 0:
            counts = [min(GROUP, rows - at) for at in range(0, rows, GROUP)]
        ends = list(accumulate(counts))
        return [(end - count, end) for end, count in zip(ends, counts, strict=True)]

    def _copy(self, line: str, between: str) -> Path:
        """Write lines to a new file: DuckDB may take one that it could not finish away later.

        Raises:
            Damaged: some can't be read.
        """
        self._parts += 1
        part = self._folder / f"{self._index}.part-{self._parts}"
        self._ask(
            f"COPY (SELECT {line} FROM {self._rows(between)} WHERE {between or 'true'}) TO {text(str(part))} "
            "(FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\x01')",
        )
        return part

    def _first(self, value: str, most: int, where: str = "true") -> list[Any]:
        """A value of the first rows that can be read."""
        if self.broken:
            return []

        def some(between: str) -> list[Any]:
            query = f"SELECT {value} FROM {self._rows(between)} WHERE {between or 'true'} AND {where} LIMIT {int(most)}"
            return [found for (found,) in self._ask(query).fetchall()]

        try:
            return some("")
        except Damaged:
            pass
        try:
            groups = self._row_groups()
        except Damaged:
            return []
        inside = (at for first, past in groups for at in range(first, past, max(FEWEST, (past - first) // PARTS)))
        for start in islice(chain((first for first, _ in groups), inside), PATIENCE):
            try:
                if found := some(_between(start, start + FEWEST)):
                    return found
            except Damaged:
                continue
        return []

    def _holds_records(self, name: str) -> bool:
        """Whether this column of text holds whole records: a row that names its own time is a record itself."""
        column = self._columns.get(name)
        if column is None or "@timestamp" in self._columns or column.kind.id not in {"varchar", "blob"}:
            return False
        found = [_parsed(line) for line in self._first(column.as_text, LOOKED_AT, f"{column.sql} IS NOT NULL")]
        return bool(found) and 2 * sum(isinstance(record, dict) for record in found) >= len(found)

    def _line(self, form: Form) -> str:
        """SQL: the line of a row."""
        if self.record:
            return one_line(self._columns[self.record].as_text)
        try:
            return "NULL" if self.broken else self._row.sql(form)
        except Unreadable as refused:
            raise Mistakes([Mistake(self.name, 0, str(refused))]) from None

    def _rows(self, between: str = "") -> str:
        numbered = ", file_row_number = true" if between else ""
        return f"read_parquet({text(str(self._path))}, hive_partitioning = false{numbered})"

    def _connect(self) -> None:
        self._connection = duckdb.connect()
        self._connection.execute(f"SET memory_limit = {text(self._memory)}")
        self._connection.execute("SET threads = 1")
        # DuckDB 2.0.0 waits for ever, now and then, for a reading of its own threads after a page that it can't decode
        self._connection.execute("SET async_threads = 0")
        self._connection.execute("SET enable_progress_bar = false")
        self._connection.execute(f"SET temp_directory = {text(str(self._folder / 'spill'))}")

    def _ask(self, query: str) -> duckdb.DuckDBPyConnection:
        """The answer to a query.

        Raises:
            Damaged: the file can't be read.
        """
        try:
            return self._connection.execute(query)
        except (duckdb.OutOfMemoryException, duckdb.BinderException):
            raise  # no fault of the file
        except duckdb.Error as broken:
            reason = _reason(str(broken), self._path)
            if isinstance(broken, duckdb.IOException) and _OURS.search(reason):
                raise
            if isinstance(broken, duckdb.FatalException | duckdb.InternalException):
                self._connect()  # it answers nothing more
            raise Damaged(reason) from broken


def _between(first: int, past: int) -> str:
    return f"file_row_number >= {first} AND file_row_number < {past}"


def _reason(message: str, path: Path) -> str:
    """What DuckDB says, without the kind of the error and the name of the file, which is ours."""
    said = re.sub(r"^[A-Z][\w ]* Error: ", "", message.strip().splitlines()[0])
    return re.sub(rf"""['"]?{re.escape(str(path))}['"]?""", "it", said.removeprefix(f'Failed to read file "{path}": '))


def _why(said: str, *, encrypted: bool = False) -> str:
    if encrypted:
        return "the Parquet file is encrypted; decrypt it first"
    if _NO_FOOTER.search(said):
        return "the Parquet file has no end: it was cut, or is still being written"
    return f"it begins as Parquet does and can't be read as such ({said})"


def _rows_lost(lost: _Lost) -> str:
    rows = f"row {lost.first:,}" if lost.first == lost.last else f"rows {lost.first:,} to {lost.last:,}"
    return f"the Parquet file is damaged: {rows} can't be read ({lost.reason})"


def _parsed(line: str | None) -> Any:
    try:
        return orjson.loads(line or "null")
    except orjson.JSONDecodeError:
        return None
