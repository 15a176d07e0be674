"""KQL that really runs: duckdb-kql executes it on DuckDB, and Microsoft's own parser and binder checks names and types.

The runner stands for a workspace: it fills the table and the watchlists, and puts a table in the place of each
``_GetWatchlist('name')``, whose columns no binder can know. Everything else is executed as it stands in the views and
queries; what duckdb-kql doesn't know, it raises on.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb_kql
import pyarrow as pa
from duckdb_kql.engine import schema
from duckdb_kql.stored_functions import parse_functions

from backends.absence import WrongType, flatten, normalise
from backends.correlation import Correlation
from backends.sentinel.backend import SentinelBackend
from backends.sentinel.columns import ROW, TABLE, fields_of, table_schema
from backends.sentinel.correlate import statements
from backends.sentinel.register import KEY, SHAPES, watchlists
from backends.sentinel.target import CHAINS, EVENTS, VIEWS, checked
from harness.case import moment
from harness.matrix import Verdicts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from duckdb_kql.stored_functions import StoredFunction
    from sigma.rule import SigmaRule

    from backends.duckdb.target import Sources
    from backends.vocabulary import Field, Vocabulary
    from harness.case import Tables

GRACE = timedelta(minutes=5)
SQL_TYPES = {
    "string": "VARCHAR",
    "real": "DOUBLE",
    "long": "BIGINT",
    "bool": "BOOLEAN",
    "datetime": "TIMESTAMP",
    "dynamic": "JSON",
}
BINDER = Path(__file__).parent / "binder"
_WATCHLIST = re.compile(r"_GetWatchlist\('(countersign_\w+)'\)")


def as_table(query: str) -> str:
    """The query with tables in the place of watchlists."""
    return _WATCHLIST.sub(r"\1", query)


_COLUMNS: dict[str, str] = {}
"""The columns that a view gives, with their types, by its text."""


@cache
def _parsed(function: str) -> StoredFunction:
    """A function, parsed once: many queries call it, and of a view it takes a second."""
    ((found,),) = (names.values() for names in (parse_functions([function]) or {}).values())
    return found


def parsed(functions: Iterable[str]) -> dict[str | None, dict[str, StoredFunction]]:
    """Functions of the workspace, as duckdb-kql takes them."""
    return {None: {function.name: function for function in map(_parsed, functions)}}


@lru_cache(maxsize=500)
def _translated(query: str, tables: tuple[tuple[str, tuple[str, ...]], ...], functions: tuple[str, ...]) -> str:
    """What duckdb-kql makes of a query; of a view it takes seconds."""
    known = {table: list(names) for table, names in tables}
    return str(duckdb_kql.to_sql(query, schema=known, functions=parsed(functions)))


class Kql:
    """A workspace with the project's tables, functions and rules. Use it as a context.

    Args:
        rules: by stem.
        events: the event's fields.
        chains: the chain's fields.
        sources: what the source maps say: blind concepts and ids that a client may set.

    Chains are judged where a rule is of chains: the planning of that view takes seconds for each data set.
    """

    def __init__(
        self,
        rules: Mapping[str, SigmaRule | Correlation],
        events: Vocabulary,
        chains: Vocabulary,
        sources: Sources,
    ) -> None:
        self.rules, self.events, self.chains, self.sources = rules, events, chains, sources
        singles = [rule for rule in rules.values() if not isinstance(rule, Correlation)]
        self.chain_view = any(rule.logsource.service == "chain" for rule in singles)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Create the tables and translate the queries; prepared ones would be planned here, and at each run again."""
        self.connection = duckdb_kql.connect()
        run = self.connection.execute
        run("SET threads = 2")
        columns = table_schema(self.events).items()
        run(f"CREATE TABLE {TABLE} ({', '.join(f'{name} {SQL_TYPES[kind]}' for name, kind in columns)})")
        for name, more in SHAPES.items():
            run(f"CREATE TABLE countersign_{name} ({', '.join(f'{column} VARCHAR' for column in (KEY, *more))})")
        self._fill({}, [])
        self._facts = self._made("facts", VIEWS["events"])
        self._functions = ["function countersign_events() { facts }"]
        if self.chain_view:
            self._chain_rows = self._made("chains", VIEWS["chain"])
            self._functions.append("function countersign_chains() { chains }")
        self._hits = self._queries()
        return self

    def __exit__(self, *_raised: object) -> None:
        """Close the database."""
        self.connection.close()

    def _made(self, table: str, view: str) -> str:
        """Create the table of a view; the SQL that fills it. To plan it takes seconds: its columns are found once."""
        run = self.connection.execute
        columns = _COLUMNS.get(view)
        sql = self.sql(view)
        if columns is None:
            run(f"CREATE TABLE {table} AS {sql}")
            described = run(f"DESCRIBE {table}").fetchall()
            columns = _COLUMNS[view] = ", ".join(f'"{name}" {kind}' for name, kind, *_ in described)
        else:
            run(f"CREATE TABLE {table} ({columns})")
        return f"INSERT INTO {table} {sql}"

    def sql(self, query: str) -> str:
        """What duckdb-kql makes of a query. Raises its `KqlError` on what it does not know."""
        functions = getattr(self, "_functions", [f"function countersign_events() {{ {as_table(VIEWS['events'])} }}"])
        columns = tuple((table, tuple(names)) for table, names in schema(self.connection).items())
        return _translated(as_table(query), columns, tuple(functions))

    def _queries(self) -> list[str]:
        """SQL that gives (stem, id) of all hits: event rules, correlations, chain rules."""
        singles = {stem: r for stem, r in self.rules.items() if not isinstance(r, Correlation)}
        found = []
        for of_chains, vocabulary, source, row in (
            (False, self.events, EVENTS, ROW),
            (True, self.chains, CHAINS, "chain_id"),
        ):
            mine = {s: r for s, r in singles.items() if (r.logsource.service == "chain") is of_chains}
            if not mine or (of_chains and not self.chain_view):
                continue
            backend, parts = SentinelBackend(vocabulary, source, row), []
            for stem, rule in mine.items():
                checked(rule)
                parts.append(f"{stem} = {backend.expression(rule)}")
            query = "\n".join([*backend.lets, f"{source} | project {row}, {', '.join(parts)}"])
            found.append(self.sql(query))
        for stem, judged in self.rules.items():
            if isinstance(judged, Correlation):
                lets, hits = statements(judged, self.events, EVENTS)
                found.append(self.sql("\n".join([*lets, f"{hits} | project {ROW}, {stem} = true"])))
        return found

    def hits(self, query: str) -> set[str]:
        """Ids of the rows that a pasted query gives over the data set judged last."""
        with self._lock:
            result = self.connection.execute(self.sql(query))
            names = [column[0] for column in result.description]
            return {row[names.index("chain_id" if ROW not in names else ROW)] for row in result.fetchall()}

    def judge(self, records: Sequence[dict[str, Any]], tables: Tables, now: datetime | None) -> Verdicts:
        """All rules over one data set with one register, as `harness.judging.duckdb` gives them."""
        with self._lock:
            self._fill(tables, records)
            run = self.connection.execute
            run("DELETE FROM facts")
            run(self._facts)
            by_column = fields_of(self.events)
            events: list[dict[str, Any] | None] = [None] * len(records)
            result = run("SELECT * FROM facts")
            for row in _records(result, by_column):
                events[int(row.pop(ROW))] = row
            chains: dict[str, dict[str, Any]] = {}
            if self.chain_view:
                chains = self._chains(events, now)
            event_hits: dict[str, set[int]] = {stem: set() for stem in self.rules}
            chain_hits: dict[str, set[str]] = {stem: set() for stem in self.rules}
            for query in self._hits:
                result = run(query)
                (row_name, *_), *_more = result.description
                for key, *fired in result.fetchall():
                    for (stem, *_), hit in zip(result.description[1:], fired, strict=True):
                        if hit is None:
                            raise ValueError(f"the condition of {stem} is null")
                        if hit and row_name == ROW:
                            event_hits[stem].add(int(key))
                        elif hit and key in chains:
                            chain_hits[stem].add(key)
            return Verdicts(events, chains, event_hits, chain_hits)

    def _chains(self, events: Sequence[dict[str, Any] | None], now: datetime | None) -> dict[str, dict[str, Any]]:
        """The chain view's rows by id, settled ones only; each event learns its chain."""
        run = self.connection.execute
        run("DELETE FROM chains")
        run(self._chain_rows)
        found = {}
        for row in _records(run("SELECT * FROM chains"), {**fields_of(self.chains), "x_members": None}):
            members = [json.loads(pair) for pair in row.pop("x_members")]
            for member in members:
                key, source = member
                event = events[int(key)]
                if event is not None:
                    event.update({"chain.id": row["chain.id"], "chain.id_source": source})
            if now is None or moment(row["chain.end"]) < now - GRACE:
                found[row["chain.id"]] = row
        return found

    def _fill(self, tables: Tables, records: Sequence[dict[str, Any]]) -> None:
        """Put the records that the ingest accepts into the table, and the register into the watchlists."""
        lists = watchlists(tables, self.sources.never, self.sources.client_ids)
        for name, rows in lists.items():
            self._insert(f"countersign_{name}", {KEY: "string"} | dict.fromkeys(SHAPES[name], "string"), rows)
        rows = []
        for at, record in enumerate(records):
            try:
                rows.append({ROW: str(at)} | _row(record, self.events))
            except WrongType:
                continue
        self._insert(TABLE, table_schema(self.events), rows)

    def _insert(self, table: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> None:
        self.connection.execute(f"DELETE FROM {table}")
        if not rows:
            return
        kinds = {"real": pa.float64(), "long": pa.int64(), "bool": pa.bool_(), "datetime": pa.timestamp("us")}
        arrow = pa.table(
            {n: pa.array([row.get(n) for row in rows], kinds.get(k, pa.string())) for n, k in columns.items()}
        )
        self.connection.register("filling", arrow)
        self.connection.execute(f"INSERT INTO {table} SELECT * FROM filling")
        self.connection.unregister("filling")


def _row(record: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """A record as a data collection rule would send it: typed columns, no item of a list null or empty.

    Raises:
        WrongType: a field holds what it can't.
    """
    row: dict[str, Any] = {}
    for name, value in normalise(flatten(record, vocabulary), vocabulary).items():
        field = vocabulary.fields[name]
        column = "TimeGenerated" if name == "@timestamp" else name.replace(".", "_")
        if field.array:
            row[column] = json.dumps(value, ensure_ascii=False)
        elif field.kind == "time":
            row[column] = moment(value).replace(tzinfo=None)
        else:
            row[column] = value
    return row


def _records(result: Any, fields: Mapping[str, Field | None]) -> Iterable[dict[str, Any]]:
    """Flat records by dotted name, without what is absent; ``_ItemId`` stays."""
    names = [column[0] for column in result.description]
    for row in result.fetchall():
        record: dict[str, Any] = {}
        for column, value in zip(names, row, strict=True):
            if column not in fields:
                if column == ROW:
                    record[column] = value
                continue
            field = fields[column]
            if value is None or value == "":
                continue
            if field is None:
                record[column] = value
            elif field.array:
                if items := json.loads(value):
                    record[field.name] = items
            elif field.kind == "time":
                record[field.name] = f"{value.replace(tzinfo=UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
            else:
                record[field.name] = int(value) if isinstance(value, float) and value.is_integer() else value
        yield record


_BOUND: dict[Path, dict[str, tuple[list[str], dict[str, str]]]] = {}
"""What the binder says of the views, by the folder that it is in: it takes seconds, and many tests ask."""


class Binder:
    """Microsoft's parser and binder, installed by npm from the committed lock file.

    Args:
        folder: where ``node_modules`` goes.
    """

    def __init__(self, folder: Path, events: Vocabulary) -> None:
        self.folder, self.events = folder, events
        if not (folder / "node_modules" / "@kusto").is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(BINDER / name, folder)
            npm = shutil.which("npm")
            if npm is None:
                raise FileNotFoundError("npm is needed for Microsoft's KQL binder")
            subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=folder, check=True, capture_output=True)  # noqa: S603

    @property
    def views(self) -> dict[str, tuple[list[str], dict[str, str]]]:
        """For each saved function what the binder has against it, and the columns that it gives, name → type."""
        if self.folder not in _BOUND:
            _BOUND[self.folder] = self._views()
        return _BOUND[self.folder]

    def _views(self) -> dict[str, tuple[list[str], dict[str, str]]]:
        events = f"let countersign_events = () {{\n{as_table(VIEWS['events'])}}};\n"
        asked = [as_table(VIEWS["events"]), events + as_table(VIEWS["chain"])]
        return dict(zip(("countersign_events", "countersign_chains"), self._asked(asked, {}), strict=True))

    def check(self, queries: Sequence[str]) -> list[tuple[list[str], dict[str, str]]]:
        """The same for queries over these functions, whose columns are those that the binder found."""
        given = {f"{name}_gives": columns for name, (_, columns) in self.views.items()}
        functions = "".join(f"let {name} = () {{ {name}_gives }};\n" for name in self.views)
        return self._asked([functions + as_table(query) for query in queries], given)

    def _asked(
        self, queries: Sequence[str], more: Mapping[str, Mapping[str, str]]
    ) -> list[tuple[list[str], dict[str, str]]]:
        tables = {TABLE: table_schema(self.events), **more}
        tables |= {f"countersign_{name}": dict.fromkeys((KEY, *own), "string") for name, own in SHAPES.items()}
        shown = {name: f"({', '.join(f'{c}: {k}' for c, k in columns.items())})" for name, columns in tables.items()}
        node = shutil.which("node")
        if node is None:
            raise FileNotFoundError("node is needed for Microsoft's KQL binder")
        done = subprocess.run(  # noqa: S603
            [node, str(BINDER / "check.js"), str(self.folder.resolve())],
            input=json.dumps({"tables": shown, "queries": queries}),
            capture_output=True,
            text=True,
            check=True,
        )
        return [(answer["messages"], answer["columns"]) for answer in json.loads(done.stdout)]


__all__ = ["Binder", "Kql", "as_table", "parsed"]
