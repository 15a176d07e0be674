"""Stock queries on the engines that run ours, over the data set that was judged last and the views that are ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import duckdb
import duckdb_kql

from backends.sentinel.columns import ROW
from backends.spark.views import CHAINS, EVENTS
from harness.engines.node.start import NodeError
from harness.engines.spark import PLACE
from harness.engines.spl.expression import STARTED
from harness.engines.spl.judge import LAST, dated, indexed
from harness.engines.spl.run import piped
from harness.engines.spl.search import PLACES
from harness.engines.spl.search import piped as searched
from harness.engines.spl.text import commands
from harness.engines.spl.values import Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from harness.case import Tables
    from harness.engines.elastic import Elastic, Lucene
    from harness.engines.kql import Kql
    from harness.engines.opensearch import OpenSearch
    from harness.engines.spark import Spark
    from harness.engines.spl.judge import Spl
    from harness.stock import Query

Left = tuple[dict[str, set[Any]], dict[str, str]]


class OnSpl:
    """The interpreter, with the commands that only the stock backend uses."""

    def __init__(self, running: Spl) -> None:
        self.running = running

    def left(
        self, queries: Mapping[str, Query], records: Sequence[dict[str, Any]], tables: Tables, now: datetime | None
    ) -> Left:
        """See `harness.stock.Runner`."""
        tabled = self.running.lookups(tables)
        rows = piped(indexed(records), self.running.view, tabled)
        STARTED.set((now or LAST).timestamp())
        chains = piped([dict(row) for row in rows], self.running.chain_view, tabled)
        for row in rows:
            row["_time"] = int(float(row["cs_ts"])) // 1_000_000
        found: dict[str, set[Any]] = {}
        failed: dict[str, str] = {}
        for stem, query in queries.items():
            own = [command for command in commands(query.text)[1:] if not command.startswith("`")]
            try:
                kept = searched(chains if query.of_chains else rows, own)
            except Unknown as wrong:
                failed[stem] = str(wrong)
                continue
            found[stem] = (
                {dated(row["chain.id"]) for row in kept}
                if query.of_chains
                else {int(place) for row in kept for place in row.get(PLACES) or [row["_place"]]}
            )
        return found, failed


class OnKql:
    """duckdb-kql over the tables that the runner made of the views."""

    def __init__(self, running: Kql) -> None:
        self.running, self._sql = running, dict[str, str]()

    def left(
        self, queries: Mapping[str, Query], _records: Sequence[dict[str, Any]], _tables: Tables, _now: datetime | None
    ) -> Left:
        """See `harness.stock.Runner`."""
        found: dict[str, set[Any]] = {}
        failed: dict[str, str] = {}
        for stem, query in queries.items():
            column = "chain_id" if query.of_chains else ROW
            try:
                if stem not in self._sql:
                    self._sql[stem] = self.running.sql(f"{query.text} | project {column}")
                rows = self.running.connection.execute(self._sql[stem]).fetchall()
            except (duckdb_kql.KqlError, duckdb.Error) as wrong:
                failed[stem] = _first(str(wrong))
                continue
            found[stem] = {key if query.of_chains else int(key) for (key,) in rows}
        return found, failed


class OnSpark:
    """Spark: all queries as conditions of one, since each costs it a second."""

    def __init__(self, running: Spark) -> None:
        self.running, self._sound = running, set[str]()

    def left(
        self, queries: Mapping[str, Query], _records: Sequence[dict[str, Any]], _tables: Tables, _now: datetime | None
    ) -> Left:
        """See `harness.stock.Runner`."""
        from pyspark.errors import PySparkException  # noqa: PLC0415 - it takes seconds

        failed: dict[str, str] = {}
        for stem in [stem for stem in queries if stem not in self._sound]:
            try:
                self.running.spark.sql(queries[stem].text)  # names and types are looked at, nothing is run
                self._sound.add(stem)
            except PySparkException as wrong:
                failed[stem] = _first(str(wrong))
        found: dict[str, set[Any]] = {stem: set() for stem in queries if stem not in failed}
        for of_chains, table, key in ((False, EVENTS, PLACE), (True, CHAINS, "chain.id")):
            stems = [stem for stem in found if queries[stem].of_chains is of_chains]
            # a query keeps no row of which its condition is null
            tests = ",\n".join(f"coalesce({_condition(queries[stem].text)}, false)" for stem in stems)
            rows = self.running.spark.sql(f"SELECT `{key}`, array({tests}) FROM {table}").collect() if stems else ()
            for place, fired in rows:
                for stem, hit in zip(stems, fired, strict=True):
                    if hit:
                        found[stem].add(place)
        return found, failed


class OnElastic:
    """ES|QL on the node: our view stands between the index and the stock condition."""

    def __init__(self, running: Elastic) -> None:
        self.running = running
        self._views: dict[bool, str] = {}

    def left(
        self, queries: Mapping[str, Query], _records: Sequence[dict[str, Any]], _tables: Tables, _now: datetime | None
    ) -> Left:
        """See `harness.stock.Runner`."""
        found: dict[str, set[Any]] = {}
        failed: dict[str, str] = {}
        for stem, query in queries.items():
            try:
                rows = list(self.running.held.rows(self._over_view(query)))
            except NodeError as wrong:
                failed[stem] = _first(_reason(str(wrong)))
                continue
            found[stem] = {key for row in rows for key in self._keys(row, of_chains=query.of_chains)}
        return found, failed

    def _over_view(self, query: Query) -> str:
        """The stock query over all facts; a group of it says which records it holds."""
        if query.of_chains not in self._views:
            self._views[query.of_chains] = self.running.view(of_chains=query.of_chains)
        _, condition = re.split(r"(?=\| where )", query.text, maxsplit=1)
        counted = re.sub(r"\| stats ", "| stats cs_records=values(_id), ", condition)
        return f"{self._views[query.of_chains]}{counted}\n"

    @staticmethod
    def _keys(row: Mapping[str, Any], *, of_chains: bool) -> list[Any]:
        if of_chains:
            return [row["chain.id"]]
        ids = row.get("cs_records", row.get("_id"))
        return [int(one) for one in (ids if isinstance(ids, list) else [ids])]


class OnQueryStrings:
    """Query strings on a node that holds records with their facts, or as they were sent."""

    def __init__(self, running: Lucene | OpenSearch) -> None:
        self.running = running

    def left(
        self, queries: Mapping[str, Query], _records: Sequence[dict[str, Any]], _tables: Tables, _now: datetime | None
    ) -> Left:
        """See `harness.stock.Runner`."""
        found: dict[str, set[Any]] = {}
        failed: dict[str, str] = {}
        for stem, query in queries.items():
            try:
                found[stem] = self.running.found(query.text)
            except NodeError as wrong:
                failed[stem] = _first(_reason(str(wrong)))
        return found, failed


def _reason(said: str) -> str:
    """The reason that a node gives, without the request."""
    given = re.search(r'"reason":"((?:[^"\\]|\\.)*)"', said)
    return given[1].replace("\\n", " ") if given else said


def _condition(query: str) -> str:
    """What stands after WHERE; the stock backend with our pipeline writes one table and one condition."""
    return re.sub(r"^SELECT \* FROM \w+ WHERE ", "", query)


def _first(message: str) -> str:
    """A message's first sentence, on one line."""
    line = " ".join(message.split())
    return re.split(r"(?<=\.) | SQLSTATE|; line ", line)[0][:400].rstrip(". ")
