"""Spark itself, in this process's own Java: the committed views and the rules as `compile` writes them."""

from __future__ import annotations

import os
import re
import threading
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from backends.absence import WrongType, flatten, normalise
from backends.correlation import Correlation
from backends.duckdb.chain_records import rfc3339
from backends.spark.backend import condition
from backends.spark.correlate import correlated
from backends.spark.register import assigned, rows
from backends.spark.target import GRACE_US, VIEWS, checked
from backends.spark.views import CHAINS, EVENTS, RECORDS, columns
from harness.case import moment
from harness.engines.java import java_options
from harness.matrix import Verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import DataFrame, SparkSession
    from sigma.rule import SigmaRule

    from backends.duckdb.target import Sources
    from backends.vocabulary import Vocabulary
    from harness.case import Tables

PLACE = "countersign_place"
"""A column of the runner's own beside the fields: where a record stands in the input."""

EVER = 1 << 61
"""Microseconds: before and after all that is judged."""

JAVA = ("-XX:+UseSerialGC", *java_options())
"""Options of Spark's Java: what it plans is small, and one thread collects that sooner than many."""

_TABLE = re.compile(r"CREATE OR REPLACE TABLE (\w+) AS\n(.*)", re.DOTALL)
_ARROW = {"keyword": pa.string(), "number": pa.float64(), "integer": pa.float64(), "boolean": pa.bool_()}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@cache
def session(master: str = "local[2]") -> SparkSession:
    """The Spark of this process, started once; it listens on loopback only and ends with the process."""
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    from pyspark.sql import SparkSession  # noqa: PLC0415 - it takes seconds

    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        # a proof runs wide plans over few rows: to generate and compile code for each costs more than to interpret it
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.shuffle.partitions": "1",
        "spark.default.parallelism": "1",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.maxPlanStringLength": "0",
        "spark.log.structuredLogging.enabled": "false",
        "spark.driver.extraJavaOptions": " ".join(JAVA),
        "spark.executor.extraJavaOptions": " ".join(JAVA),
    }
    builder = SparkSession.builder.master(master).appName("countersign")
    for name, value in settings.items():
        builder = builder.config(name, value)
    found = builder.getOrCreate()
    found.sparkContext.setLogLevel("OFF")
    return found


class Spark:
    """Spark with the project's views and rules. Use it as a context.

    Args:
        rules: by stem.
        events: the event's fields.
        chains: the chain's fields.
        sources: what the source maps say: blind concepts and ids that a client may set.

    Chains are judged where a rule is of chains.
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
        self._lock, self._made_up = threading.Lock(), set[str]()

    def __enter__(self) -> Self:
        """Start Spark where this process has none yet, and declare the variables."""
        self.spark = session().newSession()
        for statement in _statements("variables.sql"):
            self.spark.sql(statement)
        return self

    def __exit__(self, *_raised: object) -> None:
        """Forget the tables; Spark itself ends with the process."""
        for name in self._made_up:
            self.spark.catalog.dropTempView(name)

    def judge(self, records: Sequence[dict[str, Any]], tables: Tables, now: datetime | None) -> Verdicts:
        """Judge one data set with one register; of chains, those that have settled by ``now``."""
        with self._lock:
            self._fill(records, tables, now)
            self._made("events.sql")
            places = {}
            events: list[dict[str, Any] | None] = [None] * len(records)
            for row in self._rows(f"SELECT * FROM {EVENTS}"):
                places[row["rid"]] = row[PLACE]
                events[row[PLACE]] = _record(row, self.events)
            event_hits = self._event_hits(places)
            chains: dict[str, dict[str, Any]] = {}
            chain_hits: dict[str, set[str]] = {}
            if self.chain_view:
                self._made("chain.sql")
                chains, chain_hits = self._chains(events, places, now)
            return Verdicts(events, chains, event_hits, chain_hits)

    def pasted(self, query: str, column: str) -> set[Any]:
        """What one query as `compile` writes it gives in a column, over the data set that was judged last."""
        return {row[column] for row in self._rows(query)}

    def _fill(self, records: Sequence[dict[str, Any]], tables: Tables, now: datetime | None) -> None:
        until = EVER if now is None else (now - _EPOCH) // timedelta(microseconds=1)
        for statement in assigned(tables, self.sources.client_ids, -EVER, until):
            self.spark.sql(statement)
        for name, table in rows(tables, self.sources.never).items():
            self.spark.createDataFrame(table).createOrReplaceTempView(name)
        kept: dict[str, list[Any]] = {name: [] for name in (PLACE, *columns(self.events))}
        for place, record in enumerate(records):
            try:
                present = normalise(flatten(record, self.events), self.events)
            except WrongType:
                continue
            for name, values in kept.items():
                value = present.get(name)
                if name == PLACE:
                    value = place
                elif value is not None and self.events.fields[name].kind == "time":
                    value = moment(str(value))
                values.append(value)
        kinds = {name: pa.list_(pa.string()) if f.array else _arrow(f.kind) for name, f in self.events.raw.items()}
        schema = pa.schema([(PLACE, pa.int64()), *kinds.items()])
        self.spark.createDataFrame(pa.table(kept, schema=schema)).createOrReplaceTempView(RECORDS)

    def _made(self, file: str) -> None:
        """Run a view's steps, each over the results of those before it."""
        for statement in _statements(file):
            found = _TABLE.fullmatch(statement)
            assert found, statement  # noqa: S101 - a view is a list of tables
            self._kept(found[1], self.spark.sql(found[2]))

    def _kept(self, name: str, frame: DataFrame) -> None:
        self._made_up.add(name)
        # through Arrow, so that no plan grows from step to step; a local checkpoint of some unions fails in 4.3
        self.spark.createDataFrame(frame.toArrow()).createOrReplaceTempView(name)

    def _rows(self, query: str) -> list[dict[str, Any]]:
        return [row.asDict() for row in self.spark.sql(query).collect()]

    def _event_hits(self, places: Mapping[int, int]) -> dict[str, set[int]]:
        hits: dict[str, set[int]] = {stem: set() for stem in self.rules}
        singles = {}
        for stem, rule in self.rules.items():
            if isinstance(rule, Correlation):
                query = correlated(rule, [checked(step.rule, self.events) for step in rule.steps])
                hits[stem] = {places[row["rid"]] for row in self._rows(query)}
            elif rule.logsource.service != "chain":
                singles[stem] = checked(rule, self.events)
        for stem, rid in self._fired(singles, EVENTS, "rid"):
            hits[stem].add(places[rid])
        return hits

    def _fired(self, conditions: Mapping[str, str], table: str, key: str) -> list[tuple[str, Any]]:
        """Rule and key of each row that it fires for: all rules in one query."""
        if not conditions:
            return []
        each = ",\n".join(conditions.values())
        stems = list(conditions)
        found = []
        for row in self._rows(f"SELECT `{key}` AS key, array({each}) AS fired FROM {table}"):
            if None in row["fired"]:
                raise ValueError(f"the condition of {stems[row['fired'].index(None)]} is null")
            found += [(stem, row["key"]) for stem, fired in zip(stems, row["fired"], strict=True) if fired]
        return found

    def _chains(
        self, events: Sequence[dict[str, Any] | None], places: Mapping[int, int], now: datetime | None
    ) -> tuple[dict[str, dict[str, Any]], dict[str, set[str]]]:
        ids, found = {}, {}
        for row in self._rows(f"SELECT * FROM {CHAINS}"):
            record = _record(row, self.chains)
            ids[row["chain"]] = record["chain.id"]
            if now is None or moment(record["chain.end"]) < now - timedelta(microseconds=GRACE_US):
                found[record["chain.id"]] = record
        for row in self._rows("SELECT rid, chain, source FROM placed"):
            event = events[places[row["rid"]]]
            if event is not None:
                event.update({"chain.id": ids[row["chain"]], "chain.id_source": row["source"]})
        for row in self._rows("SELECT rid, sequence_gap, hash_broken FROM evidence"):
            event = events[places[row["rid"]]]
            known = {"event.sequence_gap": row["sequence_gap"], "event.hash_broken": row["hash_broken"]}
            if event is not None:
                event.update({name: value for name, value in known.items() if value is not None})
        conditions = {
            stem: condition(rule, self.chains)
            for stem, rule in self.rules.items()
            if not isinstance(rule, Correlation) and rule.logsource.service == "chain"
        }
        hits: dict[str, set[str]] = {stem: set() for stem in conditions}
        for stem, chain in self._fired(conditions, CHAINS, "chain.id"):
            if chain in found:
                hits[stem].add(chain)
        return found, hits


def _arrow(kind: str) -> pa.DataType:
    return pa.timestamp("us", tz="UTC") if kind == "time" else _ARROW[kind]


def _statements(file: str) -> list[str]:
    """The statements of a script, without its head."""
    _, _, body = VIEWS[file].partition("\n")
    return [statement.strip() for statement in body.split(";\n") if statement.strip()]


def _record(row: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """A flat record without what is absent; times as RFC 3339, whole numbers without a fraction."""
    record: dict[str, Any] = {}
    for name, field in vocabulary.fields.items():
        value = row.get(name)
        if value is None:
            continue
        if field.kind == "time":
            record[name] = rfc3339(value)
        elif isinstance(value, float) and value.is_integer():
            record[name] = int(value)
        else:
            record[name] = value
    return record
