"""Judge logs with DuckDB alone: ``python countersign_duckdb.py LOG... --database findings.duckdb``.

Reads JSONL (also .gz and .zst) and Parquet in the form of the schema, runs the scripts of ``sql/`` and the queries of
``rules/``, and writes into the database: ``countersign_findings`` (a view), ``countersign_events`` and
``countersign_chains`` of this run, and ``countersign_rejected``. Needs Python 3.11 and the package duckdb 2.

Exit codes: 0 done; 1 some lines were rejected, the others were judged; 2 an input or a file of yours is mistaken.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from backends.absence import WrongType
from backends.duckdb.columns import quoted, text
from backends.duckdb.plain import Doubtful, plain
from backends.duckdb.register_script import script
from backends.errors import Mistake, Mistakes, visible
from backends.lake.dialect import DUCKDB
from backends.lake.findings import COLUMNS, merge, summed
from backends.lake.loaded import Loaded
from backends.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOME = Path(__file__).resolve().parent
SUFFIXES = (".jsonl", ".ndjson", ".json", ".gz", ".zst", ".parquet")
LONGEST = 32 << 20
"""Bytes of a line."""

_TYPES = {
    "text": "VARCHAR",
    "count": "BIGINT",
    "time": "TIMESTAMP",
    "map": "MAP(VARCHAR, VARCHAR)",
    "texts": "VARCHAR[]",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the exit code."""
    parser = argparse.ArgumentParser(description="Judge MCP and agent logs with DuckDB.")
    parser.add_argument("logs", nargs="+", type=Path, help="files or folders: JSONL, .gz, .zst, Parquet")
    parser.add_argument("--database", default="findings.duckdb", help="where findings are kept from run to run")
    parser.add_argument("--own", type=Path, help="your folder: settings.csv, exceptions.csv, rules/, register/")
    parser.add_argument("--lookback", type=float, default=24, help="hours that records may lie apart and still join")
    parser.add_argument("--memory", default="2GB", help="DuckDB's limit; it spills to disk beyond")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    try:
        files = list(found(options.logs))
        loaded = Loaded.read(HOME, options.own)
        with duckdb.connect(options.database) as connection, tempfile.TemporaryDirectory() as folder:
            run = Run(connection, loaded, Path(folder))
            run.set(options.memory, options.threads, int(options.lookback * 3_600_000_000))
            return run.judge(files)
    except Mistakes as some:
        sys.stderr.write(f"{some}\n")
    except duckdb.Error as wrong:
        sys.stderr.write(f"{visible(str(wrong))}\n")
    return 2


def found(paths: Sequence[Path]) -> Iterator[Path]:
    """The files, those of a folder in the order of their names; raises `Mistakes`."""
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES) if path.is_dir() else [path]
        if not inside or not all(file.is_file() for file in inside):
            raise Mistakes([Mistake(str(path), 0, "there is no log; name files, or a folder that holds some")])
        yield from inside


class Run:
    """One run on an open database."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, loaded: Loaded, folder: Path) -> None:
        self.sql, self.loaded, self.folder = connection.execute, loaded, folder
        self.vocabulary = Vocabulary.load(HOME / "schemas" / "event.schema.json")
        self.places: list[tuple[int, Path]] = []
        self.rejected: list[tuple[str, int, str]] = []

    def set(self, memory: str, threads: int, lookback_us: int) -> None:
        """Settings, the register, the words of the views."""
        for statement in (
            f"SET memory_limit = {text(memory)}",
            f"SET threads = {threads}",
            f"SET temp_directory = {text(str(self.folder / 'spill'))}",
            "SET TimeZone = 'UTC'",
            # logs have no known size: a join must not hash them and probe with the register
            "SET disabled_optimizers = 'join_order,build_side_probe_side'",
            *script(self.loaded.tables, self.loaded.said["never"], lookback_us),
            *self.loaded.statements("macros.sql"),
            'CREATE OR REPLACE TEMP TABLE lines (line VARCHAR, file INTEGER, "offset" BIGINT, number BIGINT)',
            "CREATE OR REPLACE TABLE countersign_rejected (file VARCHAR, record BIGINT, reason VARCHAR)",
        ):
            self.sql(statement)

    def judge(self, files: Sequence[Path]) -> int:
        """Read, join, judge, write, and say what was found."""
        for file in files:
            self.read(file)
        for statement in self.loaded.statements("events.sql"):
            self.sql(statement)
        self.sql("CREATE OR REPLACE TABLE countersign_events AS SELECT * FROM countersign_facts")
        self.settle()
        for statement in self.loaded.statements("chains.sql"):
            self.sql(statement)
        self.write()
        return self.told()

    def read(self, file: Path) -> None:
        """The lines of one file, numbered on from those before."""
        first = self._one("SELECT coalesce(max(number), 0) FROM lines")
        self.places.append((first, file))
        if file.suffix == ".parquet":
            lines = f"SELECT to_json({self._nested(file)})::VARCHAR AS line FROM read_parquet({text(str(file))})"
            self._take(lines, first)
            return
        try:
            self._take(_csv(file), first)
        except duckdb.InvalidInputException:  # not UTF-8 somewhere, or a line beyond all measure
            self.sql(f"DELETE FROM lines WHERE number > {first}")
            self._take(_csv(self._cleaned(file)), first)

    def _take(self, lines: str, first: int) -> None:
        numbered = f"SELECT line, 0 AS file, row_number() OVER () + {first} AS number FROM ({lines})"
        self.sql(f"INSERT INTO lines SELECT line, file, number, number FROM ({numbered}) WHERE trim(line) <> ''")

    def _nested(self, file: Path) -> str:
        """SQL of a record of nested fields, whatever form the columns have."""
        tree: dict[str, Any] = {}
        for (name,) in self.sql(f"SELECT column_name FROM (DESCRIBE FROM read_parquet({text(str(file))}))").fetchall():
            known = name in self.vocabulary.fields
            *parents, leaf = name.split(".") if known else [name]
            node = tree
            for key in parents:
                node = node.setdefault(key, {})
                if not isinstance(node, dict):
                    raise Mistakes([Mistake(str(file), 0, f"the columns {name} and {key} say one thing in two ways")])
            node[leaf] = quoted(name)

        def said(node: Any) -> str:
            if isinstance(node, str):
                return node
            return "{" + ", ".join(f"{text(key)}: {said(below)}" for key, below in node.items()) + "}"

        return said(tree)

    def _cleaned(self, file: Path) -> Path:
        """A copy without the lines that no reader takes, which are rejected."""
        copy = self.folder / "cleaned.jsonl"
        with file.open("rb") as lines, copy.open("wb") as out:
            for number, line in enumerate(lines, start=1):
                try:
                    line.decode()
                    reason = "the line is too long" if len(line) > LONGEST else ""
                except UnicodeDecodeError as broken:
                    reason = f"byte {broken.start + 1} of the line is not UTF-8"
                if reason:
                    self.rejected.append((str(file), number, reason))
                out.write(b"\n" if reason else line.rstrip(b"\r\n") + b"\n")
        return copy

    def settle(self) -> None:
        """What SQL could not read plainly is read in Python: dotted names, odd forms; the rest is rejected."""
        query = "SELECT number, line FROM lines WHERE number IN (SELECT number FROM countersign_events WHERE careful)"
        again = []
        for number, line in self.sql(f"{query} ORDER BY number").fetchall():
            try:
                nested = plain(line.encode(), self.vocabulary)
            except (Doubtful, WrongType) as doubt:
                self.rejected.append((*self.place(number), str(doubt)))
                continue
            nested["countersign"] = {"records": [[0, number]]}
            again.append((json.dumps(nested, ensure_ascii=False), number))
        self.sql("DELETE FROM countersign_events WHERE careful")
        if again:
            self.sql("DELETE FROM lines")
            records, numbers = zip(*again, strict=True)
            self.sql(
                "INSERT INTO lines SELECT unnest($1::VARCHAR[]), 1, unnest($2::BIGINT[]), unnest($2::BIGINT[])",
                [records, numbers],
            )
            self.sql("INSERT INTO countersign_events SELECT * FROM countersign_facts")
        if self.rejected:
            rejected = [list(column) for column in zip(*self.rejected, strict=True)]
            self.sql(
                "INSERT INTO countersign_rejected SELECT unnest($1::VARCHAR[]), unnest($2::BIGINT[]), unnest($3::VARCHAR[])",
                rejected,
            )

    def place(self, number: int) -> tuple[str, int]:
        """File and number of the line or row, from its number in the run."""
        first, file = max(place for place in self.places if place[0] < number)
        return str(file), number - first

    def write(self) -> None:
        """Every rule's findings, merged into those of earlier runs."""
        columns = ", ".join(f"{name} {_TYPES[kind]}" for name, kind in COLUMNS.items())
        self.sql(f"CREATE TABLE IF NOT EXISTS countersign_found ({columns})")
        self.sql(f"CREATE OR REPLACE TEMP TABLE countersign_new ({columns})")
        now = datetime.now(UTC)
        for rule in self.loaded.rules():
            try:
                self.sql(f"INSERT INTO countersign_new {self.loaded.found(rule, DUCKDB, now)}")
            except duckdb.Error as wrong:
                raise Mistakes([Mistake(f"rules/{rule['stem']}.sql", 0, str(wrong).splitlines()[0])]) from wrong
        self.sql(merge("countersign_found", "countersign_new"))
        self.sql(f"CREATE OR REPLACE VIEW countersign_findings AS {summed('countersign_found')}")

    def told(self) -> int:
        """Say what this run found; the exit code."""
        records, chains = (self._one(f"SELECT count(*) FROM countersign_{what}") for what in ("events", "chains"))
        sys.stdout.write(f"{records} records, {chains} chains, {len(self.rejected)} lines rejected\n")
        levels = "list_position(['critical', 'high', 'medium', 'low', 'informational'], level)"
        rows = self.sql(
            f"SELECT level, rule, count(DISTINCT finding_id), {levels} AS place FROM countersign_new GROUP BY ALL "
            "ORDER BY place, 3 DESC, rule"
        ).fetchall()
        for level, rule, count, _ in rows:
            sys.stdout.write(f"{level:<13} {count:>6}  {rule}\n")
        for file, record, reason in self.rejected[:20]:
            sys.stderr.write(visible(f"{file}:{record}: {reason}") + "\n")
        return 1 if self.rejected else 0

    def _one(self, query: str) -> int:
        row = self.sql(query).fetchone()
        return int(row[0]) if row else 0


def _csv(file: Path) -> str:
    """A query that gives the lines of a text file as they are: to CSV's reader no byte means anything but a line's end."""
    options = (
        "header = false, auto_detect = false, columns = {'line': 'VARCHAR'}, delim = chr(1), quote = '', escape = ''"
    )
    return f"SELECT line FROM read_csv({text(str(file))}, {options}, max_line_size = {LONGEST}, strict_mode = false)"


if __name__ == "__main__":
    sys.exit(main())
