"""Assemble native records into events: one event may be spread over several records, and over several tables.

A source map says which records make one event (`backends.sources`). The log is read once, parsed in DuckDB, matched
in sets, and written as canonical schema-form JSON Lines. Every event carries ``countersign.records``, the places of
the native records that it was made of: ``[[index of the input, byte offset], ...]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

import duckdb

from backends.duckdb.assemble_expressions import Pointers, column, moment, pointers_of, quoted, recognises, stamp, text
from backends.duckdb.assemble_joins import join
from backends.duckdb.assemble_unpack import records
from backends.duckdb.lines import BadLine, LineReader, LogFile

if TYPE_CHECKING:
    from backends.sources import RecordKind, SourceMap

UNKNOWN = "unknown"
"""The report's name for records that fit no kind."""


class Input(Protocol):
    """One native log."""

    @property
    def index(self) -> int:
        """Position among the inputs of a run."""

    @property
    def path(self) -> Path:
        """A JSON Lines file, plain or gzip."""


@dataclass(frozen=True)
class KindReport:
    """What became of the records of one kind.

    Attributes:
        read: records of the kind.
        used: those that are an event or gave something to one.
        ignored: those that are neither, for ``reason``.
        ambiguous: those (of ``used`` or ``ignored``) for which several records qualified or whose people differ, so
            that nothing was taken from the others.
        reason: why the ignored ones are, None when there are none.
    """

    read: int
    used: int
    ignored: int
    ambiguous: int
    reason: str | None


@dataclass(frozen=True)
class AssemblyReport:
    """What was read and what came of it.

    Attributes:
        source: name of the map.
        events: events written.
        stages: events by stage.
        kinds: by kind, in the map's order, those that occurred; `UNKNOWN` for records that fit none.
        bad: lines that were set aside, by input and line.
        lines: lines read, without blank ones.
        bytes: bytes read, decompressed.
    """

    source: str
    events: int
    stages: Mapping[str, int]
    kinds: Mapping[str, KindReport]
    bad: Sequence[BadLine] = field(default_factory=list)
    lines: int = 0
    bytes: int = 0

    @property
    def ambiguous(self) -> int:
        """Records for which nobody can say what belongs to them."""
        return sum(kind.ambiguous for kind in self.kinds.values())


def assemble(
    maps: Mapping[str, SourceMap],
    name: str,
    inputs: Iterable[Input],
    out_path: Path,
    *,
    memory_limit: str = "700MB",
) -> AssemblyReport:
    """Write the events of native logs.

    Args:
        maps: all source maps.
        name: the map that reads these inputs.
        inputs: the logs, with all tables that tell of the same calls.
        out_path: where the events go, one nested JSON object a line, by time.
        memory_limit: DuckDB's, beyond which it spills to a temporary folder.

    Raises:
        ValueError: the source's records are events already.
        OSError: an input can't be read.
    """
    source = maps[name]
    if source.schema_form:
        raise ValueError(f"records of '{name}' are events already")
    files = [LogFile(one.index, Path(one.path), str(one.path)) for one in inputs]
    reader = LineReader(files)
    with TemporaryDirectory(prefix="countersign-") as spill, duckdb.connect() as connection:
        connection.execute(f"SET temp_directory = {quoted(spill)}")
        connection.execute(f"SET memory_limit = {quoted(memory_limit)}")
        connection.register("log_line", reader.reader())
        connection.execute(_record_table(source))
        connection.execute("UPDATE record SET row = rowid")  # in the order of reading; a line may hold many records
        connection.unregister("log_line")
        join(connection, source)
        connection.execute(f"CREATE TEMP TABLE emitted AS {_emitted(source)}")
        connection.execute(
            f"COPY (SELECT {_event(source)} FROM record JOIN emitted USING (row) ORDER BY moment, row) "
            f"TO {quoted(str(out_path))} (FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\x01')",
        )
        return _report(connection, source, reader)


def _record_table(source: SourceMap) -> str:
    """Parse every line once: kind, time, interval, and the values of its kind's fields and marks."""
    pointers = Pointers()
    kinds = " ".join(
        f"WHEN {recognises(kind.recognised, pointers)} THEN {number}" for number, kind in enumerate(source.kinds, 1)
    )
    used = [(number, kind) for number, kind in enumerate(source.kinds, 1) if kind.ignored is None]
    at = " ".join(f"WHEN {number} THEN {moment(kind.at, pointers)}" for number, kind in used)
    end = ", ".join(str(number) for number, kind in used if kind.written_at_end) or "0"
    columns = [f"{value} AS {column(name)}" for name, value in _columns(source, used, pointers).items()]
    longest = int(source.longest_seconds * 1_000_000)
    shapes = " ".join(f"WHEN {number} THEN {_misshapen(kind, pointers)}" for number, kind in used)
    took = 'least(greatest(try_cast(try_cast("event.duration" AS DOUBLE) / 1000 AS BIGINT), 0), ' + f"{longest})"
    return f"""
        CREATE TEMP TABLE record AS
        WITH parsed AS (
          SELECT file, "offset", number, misread, hash(doc) AS print, json_keys(doc) AS keys,
            json_extract_string(doc, {pointers.sql()}) AS found,
            json_type(doc, {pointers.sql()}) AS shapes
          FROM ({records(source)})
        ), sorted AS (
          SELECT *, CASE WHEN keys IS NULL THEN NULL {kinds} ELSE 0 END AS kind FROM parsed
        ), valued AS (
          SELECT file, "offset", number, kind, misread, print,
            CASE kind {at} END AS moment,
            CASE kind {shapes} END AS misshapen,
            {", ".join(columns)}
          FROM sorted
        ), timed AS (
          SELECT *, to_microseconds(coalesce({took}, 0)) AS took FROM valued
        )
        SELECT * EXCLUDE (misread, misshapen, took), 0::BIGINT AS row,
          coalesce(misread, 'a text is expected at ' || misshapen, CASE WHEN moment IS NULL AND kind IN ({", ".join(str(n) for n, _ in used)})
            THEN 'its time cannot be read' END) AS bad,
          CASE WHEN kind IN ({end}) THEN moment - took ELSE moment END AS begins,
          CASE WHEN kind IN ({end}) THEN moment ELSE moment + took END AS ends,
          [[file::BIGINT, "offset"]] AS records,
          false AS taken, false AS claimed, false AS ambiguous, false AS named, NULL::VARCHAR AS witness
        FROM timed
    """


def _misshapen(kind: RecordKind, pointers: Pointers) -> str:
    """SQL that gives the first pointer of a kind at which an object or a list stands for a text, else null."""
    expected = dict.fromkeys(p for expression in _expressions(kind) for p in pointers_of(expression))
    cases = (f"WHEN shapes[{pointers.place(p)}] IN ('OBJECT', 'ARRAY') THEN {quoted(p)}" for p in expected)
    return f"CASE {' '.join(cases)} END"


def _expressions(kind: RecordKind) -> list[Any]:
    return [kind.at, *kind.fields.values(), *kind.marks.values()]


def _columns(source: SourceMap, used: list[tuple[int, RecordKind]], pointers: Pointers) -> dict[str, str]:
    """SQL by column: every field of any kind, and every mark as ``mark:name``."""
    values: dict[str, list[str]] = {name: [] for name in ["event.duration", *_fields(source)]}
    for number, kind in used:
        for name, expression in kind.fields.items():
            values[name].append(f"WHEN {number} THEN {text(expression, pointers)}")
        for name, expression in kind.marks.items():
            values.setdefault(f"mark:{name}", []).append(f"WHEN {number} THEN {text(expression, pointers)}")
    return {
        name: f"CASE kind {' '.join(cases)} END" if cases else f"NULL::VARCHAR{'[]' if _is_array(source, name) else ''}"
        for name, cases in values.items()
    }


def _fields(source: SourceMap) -> list[str]:
    """Fields that any kind gives, in the order of the schema."""
    named = {name for kind in source.kinds for name in kind.fields}
    return [name for name in source.types if name in named]


def _is_array(source: SourceMap, name: str) -> bool:
    return name in source.types and source.types[name][1]


def _emitted(source: SourceMap) -> str:
    """Rows that become events, with their stage."""
    always = [number for number, kind in enumerate(source.kinds, 1) if kind.event == "always"]
    alone = [number for number, kind in enumerate(source.kinds, 1) if kind.event == "alone"]
    stages = " ".join(f"WHEN {n} THEN {quoted(kind.stage)}" for n, kind in enumerate(source.kinds, 1) if kind.stage)
    return f"""
        SELECT row, coalesce(CASE WHEN own THEN CASE kind {stages or "WHEN 0 THEN NULL"} END END, witness) AS stage
        FROM (SELECT row, kind, witness, named, taken, claimed,
                kind IN ({_listed(always)}) OR (kind IN ({_listed(alone)}) AND NOT claimed) AS own
              FROM record WHERE bad IS NULL)
        WHERE own OR (witness IS NOT NULL AND NOT named AND NOT taken)
    """


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers)) or "-1"


def _event(source: SourceMap) -> str:
    """One event as JSON text without absent members."""
    tree: dict[str, Any] = {
        "@timestamp": stamp("moment"),
        "event": {"dataset": _dataset(source)},
        "chain": {"stage": "stage"},
    }
    for name in _fields(source):
        kind, array = source.types[name]
        sql = column(name)
        if not array and kind == "boolean":
            sql = f"try_cast({sql} AS BOOLEAN)"
        elif not array and kind == "integer":
            sql = f"try_cast(try_cast({sql} AS DOUBLE) AS BIGINT)"
        elif not array and kind == "number":
            sql = f"try_cast({sql} AS DOUBLE)"
        *above, last = name.split(".")
        branch = tree
        for part in above:
            branch = branch.setdefault(part, {})
        branch[last] = sql
    tree["countersign"] = {"records": "records"}
    return f"json_merge_patch('{{}}', to_json({_struct(tree)}))"


def _dataset(source: SourceMap) -> str:
    others = [(n, kind.speaks_as) for n, kind in enumerate(source.kinds, 1) if kind.speaks_as]
    cases = " ".join(f"WHEN {number} THEN {quoted(name)}" for number, name in others)
    return f"CASE kind {cases} ELSE {quoted(source.name)} END" if cases else quoted(source.name)


def _struct(tree: Mapping[str, Any], *, optional: bool = False) -> str:
    members = (f"{quoted(k)}: {_struct(v, optional=True) if isinstance(v, Mapping) else v}" for k, v in tree.items())
    struct = "{" + ", ".join(members) + "}"
    return (
        f"CASE WHEN {' OR '.join(f'{leaf} IS NOT NULL' for leaf in _leaves(tree))} THEN {struct} END"
        if optional
        else struct
    )


def _leaves(tree: Mapping[str, Any]) -> list[str]:
    return [leaf for v in tree.values() for leaf in (_leaves(v) if isinstance(v, Mapping) else [v])]


def _report(connection: duckdb.DuckDBPyConnection, source: SourceMap, reader: LineReader) -> AssemblyReport:
    rows = connection.execute("""
        SELECT kind, count(*), count(*) FILTER (WHERE taken OR e.row IS NOT NULL),
          count(*) FILTER (WHERE ambiguous AND NOT taken)
        FROM record LEFT JOIN emitted e USING (row) WHERE bad IS NULL GROUP BY kind ORDER BY kind = 0, kind
    """).fetchall()
    kinds = {}
    for number, read, used, ambiguous in rows:
        kind = source.kinds[number - 1] if number else None
        reason = (kind.ignored or kind.unused) if kind else "it fits no kind of this map"
        kinds[kind.name if kind else UNKNOWN] = KindReport(
            read, used, read - used, ambiguous, reason if read > used else None
        )
    stages = connection.execute("SELECT stage, count(*) FROM emitted GROUP BY stage ORDER BY stage").fetchall()
    bad = connection.execute('SELECT file, number, "offset", 0, bad FROM record WHERE bad IS NOT NULL').fetchall()
    return AssemblyReport(
        source=source.name,
        events=sum(count for _, count in stages),
        stages=dict(stages),
        kinds=kinds,
        bad=sorted([*reader.bad, *(BadLine(*row) for row in bad)]),
        lines=reader.lines,
        bytes=reader.size,
    )
