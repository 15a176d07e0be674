"""The job for Spark and Databricks: ``spark-submit countersign_job.py --records TABLE``.

Reads the records of the time that is judged and of the lookback before it, runs the scripts of ``sql/`` and the queries
of ``rules/``, and merges what they find into ``countersign_found``; ``countersign_findings`` is the view to read. With
``--work PATH`` every step and the findings are Parquet below that path, for a Spark whose catalog can't replace tables.

Exit codes: 0 done; 2 an option, the source or a file of yours is mistaken.
"""

from __future__ import annotations

import argparse
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

    from backends.lake.loaded import Loaded

HOUR = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAME = re.compile(r"[\w-]+(\.[\w-]+){0,2}", re.ASCII)
MADE = re.compile(r"CREATE OR REPLACE TABLE (\w+) AS\n(.*)", re.DOTALL)
FORMATS = {"json": "json", "parquet": "parquet", "delta": "delta", "orc": "orc"}


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    here = globals().get("__file__")  # Databricks runs a file without telling it its name
    parser = argparse.ArgumentParser(description="Judge MCP and agent logs on Spark.")
    parser.add_argument("--records", required=True, help="your table (catalog.schema.table), or a path with --format")
    parser.add_argument("--format", choices=sorted(FORMATS), help="what lies at the path")
    parser.add_argument("--schema", help="catalog.schema that holds the steps and the findings; must be there")
    parser.add_argument("--work", help="instead: a path for steps and findings as Parquet")
    parser.add_argument("--own", help="your folder: settings.csv, exceptions.csv, rules/, register/")
    parser.add_argument("--hours", type=float, default=2, help="how far back hits are judged")
    parser.add_argument("--until", help="end of the time that is judged, RFC 3339; now by default")
    parser.add_argument("--lookback", type=float, default=24, help="hours that records may lie apart and still join")
    parser.add_argument("--package", type=Path, default=Path(here).resolve().parent if here else None)
    options = parser.parse_args(arguments)
    options.own = Path(options.own) if options.own else None
    if options.package is None:
        parser.error("--package is needed here: the folder that holds this file")
    for name in (options.schema, options.records if not options.format else None):
        if name is not None and not NAME.fullmatch(name):
            parser.error(f"{name[:80]!r} is no name such as catalog.schema.table")
    try:
        until = datetime.fromisoformat(options.until) if options.until else datetime.now(UTC)
    except ValueError:
        parser.error("--until is a time such as 2026-10-05T09:00:00Z")
    options.until = until.replace(tzinfo=until.tzinfo or UTC)
    if not 0 < options.hours <= 24 * 366 or not 0 < options.lookback <= 24 * 31:
        parser.error("--hours is up to a year, --lookback up to a month")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the exit code."""
    options = options_of(arguments)
    sys.path.insert(0, str(options.package))
    from pyspark.errors import PySparkException  # noqa: PLC0415
    from pyspark.sql import SparkSession  # noqa: PLC0415

    from backends.errors import Mistakes, visible  # noqa: PLC0415 - the package's own, found only now
    from backends.lake.loaded import Loaded  # noqa: PLC0415

    try:
        loaded = Loaded.read(options.package, options.own)
        spark = SparkSession.builder.appName("countersign").getOrCreate()
        Job(spark, loaded, options).run()
    except Mistakes as some:
        sys.stderr.write(f"{some}\n")
        return 2
    except PySparkException as wrong:
        sys.stderr.write(visible(str(wrong).splitlines()[0]) + "\n")
        return 2
    return 0


class Job:
    """One run."""

    def __init__(self, spark: SparkSession, loaded: Loaded, options: argparse.Namespace) -> None:
        self.spark, self.loaded, self.options = spark, loaded, options
        start = options.until - timedelta(hours=options.hours)
        # hours are judged whole, so that the row of an hour is the same whenever it is written
        self.since = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        self.lookback = timedelta(hours=options.lookback)

    def run(self) -> None:
        """Read, join, judge, write, and say what was found."""
        self.spark.conf.set("spark.sql.session.timeZone", "UTC")
        if self.options.schema:
            self.spark.sql(f"USE {self._name(self.options.schema)}")
        self.register()
        read, rejected = self.records()
        self.steps("events.sql")
        self.steps("chain.sql")
        new = self.found()
        self.write(new)
        said = f"{read} records read, {rejected} rejected; judged {self.since:%Y-%m-%dT%H:%MZ} to {self.options.until:%Y-%m-%dT%H:%MZ}"
        sys.stdout.write(said + "\n")
        counted = new.groupBy("level", "rule").agg({"finding_id": "count", "hits": "sum"}).collect()
        for row in sorted(counted, key=lambda row: (row["level"], row["rule"])):
            sys.stdout.write(f"{row['level']:<13} {row['rule']}: {row['sum(hits)']} hits\n")

    def register(self) -> None:
        """The register's tables and the session's variables."""
        from backends.concepts import bits  # noqa: PLC0415
        from backends.register_forms import SHAPES, rows  # noqa: PLC0415
        from backends.spark.variables import assigned, declared  # noqa: PLC0415

        types = {"text": "STRING", "texts": "ARRAY<STRING>", "number": "DOUBLE", "boolean": "BOOLEAN", "time": "BIGINT"}
        for name, found in rows(self.loaded.tables).items():
            shape = ", ".join(f"`{column}` {types[kind]}" for column, kind in SHAPES[name].items())
            values = [
                tuple(_double(row[c]) if k == "number" else row[c] for c, k in SHAPES[name].items()) for row in found
            ]
            self.spark.createDataFrame(values, shape).createOrReplaceTempView(f"reg_{name}")
        never = [(d, s, list(c), bits(c)) for d, s, c in self.loaded.said["never"]]
        shape = "dataset STRING, stage STRING, concepts ARRAY<STRING>, bits BIGINT"
        self.spark.createDataFrame(never, shape).createOrReplaceTempView("source_never")
        carried = "who BIGINT, stage BIGINT, slice BIGINT, first BIGINT, last BIGINT"
        self.spark.createDataFrame([], carried).createOrReplaceTempView("carried_slices")
        ids = [(dataset, name) for dataset, name in self.loaded.said["client_ids"]]
        since, until, lookback = (_us(each) for each in (self.since - EPOCH, self.options.until - EPOCH, self.lookback))
        for statement in (*declared(), *assigned(self.loaded.tables, ids, since, until, lookback)):
            self.spark.sql(statement)

    def records(self) -> tuple[int, int]:
        """Make `countersign_records`; how many were read, and how many are rejected."""
        from backends.spark.read import json_schema, records  # noqa: PLC0415

        kinds = {name: self.loaded.said["fields"]["event"][name] for name in self.loaded.said["read"]}
        reader, source = self.spark.read, self.options.records
        if self.options.format == "json":
            frame = reader.schema(json_schema(kinds)).json(source)
        elif self.options.format:
            frame = reader.format(FORMATS[self.options.format]).load(source)
        else:
            frame = reader.table(self._name(source))
        frame.createOrReplaceTempView("countersign_source")
        typed = records("countersign_source", frame.schema.jsonValue(), kinds)
        first, last = (
            f"timestamp_micros({_us(at - EPOCH)}L)" for at in (self.since - self.lookback, self.options.until)
        )
        within = self.spark.sql(
            f"SELECT * FROM (\n{typed}) WHERE cs_wrong <> '' OR `@timestamp` BETWEEN {first} AND {last}"
        )
        # read once: it is asked for more than once
        kept = self._kept("countersign_read", within)
        kept.where("cs_wrong = ''").drop("cs_wrong").createOrReplaceTempView("countersign_records")
        wrong = kept.where("cs_wrong <> ''")
        count = wrong.count()
        for row in wrong.groupBy("cs_wrong").count().orderBy("count", ascending=False).limit(10).collect():
            sys.stderr.write(f"{row['count']} records rejected, for what they hold in: {row['cs_wrong']}\n")
        return kept.count() - count, count

    def steps(self, file: str) -> None:
        """Run a view's steps, each over the results of those before it."""
        for statement in self.loaded.statements(file):
            made = MADE.search(statement)
            if made is None:
                raise ValueError(statement)
            self._kept(made[1], self.spark.sql(made[2]))

    def found(self) -> DataFrame:
        """The rows of every rule."""
        from pyspark.errors import PySparkException  # noqa: PLC0415

        from backends.errors import Mistake, Mistakes  # noqa: PLC0415
        from backends.lake.dialect import SPARK  # noqa: PLC0415

        now, frames = datetime.now(UTC), []
        for rule in self.loaded.rules():
            try:
                frames.append(self.spark.sql(self.loaded.found(rule, SPARK, now)))
            except PySparkException as wrong:
                message = str(wrong).splitlines()[0]
                raise Mistakes([Mistake(f"rules/{rule['stem']}.sql", 0, message)]) from wrong
        whole = frames[0]
        for frame in frames[1:]:
            whole = whole.unionAll(frame)
        return self._kept("countersign_new", whole)

    def write(self, new: DataFrame) -> None:
        """Merge the rows into those of earlier runs."""
        from backends.lake.findings import merge, summed  # noqa: PLC0415

        if not self.options.work:
            for statement in self.loaded.statements("findings.sql"):
                self.spark.sql(statement)
            self.spark.sql(merge("countersign_found", "countersign_new"))
            return
        self._merged(new)
        self.spark.read.parquet(self._path("countersign_found")).drop("part").createOrReplaceTempView(
            "countersign_found"
        )
        findings = self.spark.sql(summed("countersign_found"))
        findings.write.mode("overwrite").parquet(self._path("countersign_findings"))

    def _merged(self, new: DataFrame) -> None:
        """As MERGE does, by parts: each part that holds a new row is written anew, with what it held."""
        from backends.lake.findings import COLUMNS, KEPT  # noqa: PLC0415

        path, part = self._path("countersign_found"), "left(finding_id, 1) AS part"
        rows = new.selectExpr("*", part)
        try:
            old = self.spark.read.parquet(path)
        except Exception as missing:
            if "PATH_NOT_FOUND" not in str(missing):
                raise
            rows.write.partitionBy("part").parquet(path)
            return
        rows.createOrReplaceTempView("countersign_new")
        old.join(rows.select("part").distinct(), "part", "left_semi").createOrReplaceTempView("countersign_before")
        columns = []
        for name in COLUMNS:
            kept = KEPT.get(name, f"new.{name}").replace("old.", "before.")
            both = f"WHEN before.finding_id IS NOT NULL AND new.finding_id IS NOT NULL THEN {kept}"
            columns.append(f"CASE {both} WHEN new.finding_id IS NULL THEN before.{name} ELSE new.{name} END AS {name}")
        whole = self.spark.sql(
            f"SELECT {', '.join(columns)} FROM countersign_new new FULL JOIN countersign_before before\n"
            "ON before.finding_id = new.finding_id AND before.slice = new.slice"
        )
        merged = self._kept("countersign_merged", whole.selectExpr("*", part))
        merged.write.mode("overwrite").option("partitionOverwriteMode", "dynamic").partitionBy("part").parquet(path)

    def _kept(self, name: str, frame: DataFrame) -> DataFrame:
        """A step's result, written down, so that no plan grows from step to step."""
        if self.options.work:
            frame.write.mode("overwrite").parquet(self._path(name))
            frame = self.spark.read.parquet(self._path(name))
            frame.createOrReplaceTempView(name)
            return frame
        frame.createOrReplaceTempView("countersign_step")
        self.spark.sql(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM countersign_step")
        return self.spark.table(name)

    def _path(self, name: str) -> str:
        return f"{self.options.work.rstrip('/')}/{name}"

    def _name(self, dotted: str) -> str:
        return ".".join(f"`{part}`" for part in dotted.split("."))


def _us(length: timedelta) -> int:
    return length // timedelta(microseconds=1)


def _double(value: Any) -> float | None:
    return None if value is None else float(value)


if __name__ == "__main__":
    code = main()
    if code:  # Databricks takes any exit for a failure
        sys.exit(code)
