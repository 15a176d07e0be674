"""The package for Spark: unpacked in an empty folder and submitted as its README says, it finds what the scan finds."""

from __future__ import annotations

import io
import json
import os
import re
import runpy
import subprocess
import sys
from argparse import Namespace
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import lake
import pytest
import yaml

from backends.lake.findings import COLUMNS, merge, summed
from backends.package import NotAllowed, load
from backends.spark.job import Job, options_of
from backends.spark.read import json_schema, leaves, records
from harness.engines.spark import JAVA, session

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame

pytestmark = pytest.mark.xdist_group("spark")

ROOT = Path(__file__).parents[1]
PACKAGE = load("spark")
LOOPBACK = {"spark.ui.enabled": "false", "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
QUICK = {  # a proof runs wide plans over few rows: to compile code for each costs more than to interpret it
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.shuffle.partitions": "1",
    "spark.default.parallelism": "1",
    "spark.sql.adaptive.enabled": "false",
    "spark.log.level": "ERROR",
    "spark.driver.extraJavaOptions": " ".join(JAVA),
}
KINDS = {"@timestamp": "time", "user.id": "keyword", "a.n": "number", "a.b": "boolean", "a.list": "keyword[]"}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> lake.Attacked:
    return lake.attacked(tmp_path_factory.mktemp("attacked"))


@pytest.fixture(scope="module")
def package(attacked: lake.Attacked, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lake.unpacked("spark", tmp_path_factory.mktemp("spark"), attacked.register)


def submitted(package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``spark-submit`` as a person types it: nothing of ours on the path but the package."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    settings = [part for name, value in (LOOPBACK | QUICK).items() for part in ("--conf", f"{name}={value}")]
    submit = str(Path(sys.executable).with_name("spark-submit"))
    command = [submit, "--master", "local[2]", *settings, "countersign_job.py", *arguments]
    return subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, check=False)


def run_here(package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The job in this process and its Spark, which has planned such queries before; submitted, it plans each for the first time."""
    for copy in (package / "backends").rglob("*.py"):
        assert copy.read_bytes() == (ROOT / copy.relative_to(package)).read_bytes(), "else this is another job"
    session()
    driver = runpy.run_path(str(package / "countersign_job.py"))
    with redirect_stdout(io.StringIO()) as said, redirect_stderr(io.StringIO()) as complained:
        code = driver["main"](arguments)
    sys.path.remove(str(package))
    return subprocess.CompletedProcess(arguments, code, said.getvalue(), complained.getvalue())


def test_a_package_alone_in_a_folder_starts_and_says_what_is_wrong(package: Path) -> None:
    done = submitted(package, "--records", "log.jsonl", "--format", "json", "--work", "work", "--own", "nowhere")
    assert done.returncode == 2
    assert "nowhere: there is no such folder" in done.stdout  # where Spark prints what its driver complains of


@pytest.mark.timeout(1800)  # Spark plans a hundred wide queries: minutes of work, more where the machine is shared
@pytest.mark.parametrize(
    ("run", "every"), [(run_here, 16), pytest.param(submitted, 1, marks=pytest.mark.slow)], ids=["here", "submitted"]
)
def test_the_job_finds_what_the_scan_finds_of_every_rule(
    attacked: lake.Attacked,
    package: Path,
    tmp_path: Path,
    run: Callable[..., subprocess.CompletedProcess[str]],
    every: int,
) -> None:
    """Of every sixteenth rule in `make test`, the others turned off by the team's own settings."""
    stems = [rule.stem for rule in lake.made("spark").rules]
    judged = {*stems[::every], lake.BEYOND}
    (tmp_path / "own").mkdir()
    off = "".join(f"{stem},false,,\n" for stem in stems if stem not in judged)
    (tmp_path / "own" / "settings.csv").write_text(f"rule,enabled,least,level\n{off}", encoding="utf-8")
    said = Counter({found: count for found, count in attacked.said().items() if found[0] in judged})
    log, work = tmp_path / "log.jsonl", tmp_path / "work"
    extra = "".join(json.dumps(record) + "\n" for record in [*lake.beyond(), {"user": {"id": "no time"}}])
    log.write_text(attacked.log.read_text(encoding="utf-8") + extra, encoding="utf-8")
    options = ("--until", lake.UNTIL, "--hours", lake.HOURS, "--own", str(tmp_path / "own"))
    done = run(package, "--records", str(log), "--format", "json", "--work", str(work), *options)
    assert done.returncode == 0, done.stderr[-3000:]
    assert " 1 rejected" in done.stdout
    query = f"SELECT rule, hits, first_seen, last_seen, sentence, chain_id FROM '{work}/countersign_findings/*.parquet'"
    with duckdb.connect() as connection:
        found = connection.execute(query).fetchall()
    mine = Counter((r[0], r[1], stamp(r[2]), stamp(r[3]), r[4], None if r[5] == "(several)" else r[5]) for r in found)
    assert said - mine == Counter()
    assert {rule for rule, *_ in mine} == judged
    assert len(mine - said) <= 2 * len(lake.beyond()), "more than the records of the case can give"


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# Merging, with the very code of the driver.


def rows(*found: tuple[str, int, int, int]) -> DataFrame:
    """Rows of findings: id, slice, hits, hour of the first."""
    types = {
        "text": "STRING",
        "count": "BIGINT",
        "time": "TIMESTAMP",
        "map": "MAP<STRING, STRING>",
        "texts": "ARRAY<STRING>",
    }
    shape = ", ".join(f"{name} {types[kind]}" for name, kind in COLUMNS.items())
    values = []
    for identity, at, hits, hour in found:
        moment = datetime(2026, 10, 5, hour, tzinfo=UTC)
        known: dict[str, Any] = {"finding_id": identity, "slice": at, "hits": hits, "least": 2, "rule": "r"}
        known |= dict.fromkeys(("first_seen", "last_seen", "found_at", "updated_at"), moment)
        values.append(tuple(known.get(name) for name in COLUMNS))
    return session().createDataFrame(values, shape)


def job(work: Path) -> Job:
    options = Namespace(work=str(work), until=datetime(2026, 10, 6, tzinfo=UTC), hours=2, lookback=24)
    return Job(session().newSession(), None, options)  # type: ignore[arg-type]


def test_a_run_that_is_repeated_doubles_nothing_and_hours_add_up(tmp_path: Path) -> None:
    one = job(tmp_path)

    def run(*found: tuple[str, int, int, int]) -> dict[str, tuple[int, int]]:
        one.write(one.spark.createDataFrame(rows(*found).collect(), rows().schema))
        table = one.spark.read.parquet(str(tmp_path / "countersign_findings"))
        return {row["finding_id"]: (row["hits"], row["first_seen"].hour) for row in table.collect()}

    hour = 3_600_000_000
    assert run(("a", 0, 2, 9), ("b", 0, 1, 9)) == {"a": (2, 9)}, "b has fewer hits than make a finding"
    assert run(("a", 0, 2, 9), ("b", 0, 1, 9)) == {"a": (2, 9)}
    assert run(("a", hour, 3, 10), ("b", hour, 1, 10)) == {"a": (5, 9), "b": (2, 9)}
    assert run(("a", hour, 4, 10)) == {"a": (6, 9), "b": (2, 9)}, "a later look at an hour replaces the earlier"
    assert run(("c", 0, 9, 1)) == {"a": (6, 9), "b": (2, 9), "c": (9, 1)}


def test_the_statements_for_a_catalog_that_merges_are_spark_sql(package: Path) -> None:
    parser = session()._jsparkSession.sessionState().sqlParser()
    script = (package / "sql" / "findings.sql").read_text(encoding="utf-8")
    for statement in (
        merge("countersign_found", "countersign_new"),
        summed("x"),
        *filter(str.strip, script.split(";\n")),
    ):
        parser.parsePlan(statement)
    with pytest.raises(Exception, match="PARSE"):
        parser.parsePlan(merge("countersign_found", "new new new"))


# Reading a team's table.


def read(source: str) -> list[dict[str, Any]]:
    spark = session().newSession()
    spark.sql(source).createOrReplaceTempView("countersign_source")
    schema = spark.table("countersign_source").schema.jsonValue()
    return [row.asDict() for row in spark.sql(records("countersign_source", schema, KINDS)).collect()]


@pytest.mark.parametrize(
    "source",
    [
        "SELECT timestamp'2026-10-05 09:00:00Z' AS `@timestamp`, struct('u' AS id) AS user, struct(1.5D AS n, true AS b, array('x') AS list) AS a",
        "SELECT '2026-10-05T09:00:00Z' AS `@timestamp`, 'u' AS `user.id`, '1.5' AS `a.n`, 'TRUE' AS `a.b`, array('x') AS `a.list`",
        "SELECT 1791190800000 AS `@timestamp`, struct('u' AS id) AS user, 1.5F AS `a.n`, struct('true' AS b, 'x' AS list) AS a",
    ],
)
def test_nested_dotted_and_typed_columns_read_alike(source: str) -> None:
    (row,) = read(source)
    moment = row.pop("@timestamp").astimezone(UTC)
    assert moment == datetime(2026, 10, 5, 9, tzinfo=UTC)
    assert row == {"user.id": "u", "a.n": 1.5, "a.b": True, "a.list": ["x"], "cs_wrong": ""}


def test_a_value_of_another_type_rejects_its_record_by_the_fields_name() -> None:
    rows = read("SELECT '2026-10-05T09:00:00Z' AS `@timestamp`, 'maybe' AS `a.b`, 'many' AS `a.n`")
    assert [row["cs_wrong"] for row in rows] == ["a.n, a.b"]
    assert [row["cs_wrong"] for row in read("SELECT 'u' AS `user.id`")] == ["no @timestamp"]


def test_json_is_read_with_nested_and_dotted_names(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"@timestamp": "2026-10-05T09:00:00Z", "user.id": "u", "a": {"n": 2}}\nbroken\n')
    frame = session().read.schema(json_schema(KINDS)).json(str(tmp_path / "a.json"))
    assert leaves(frame.schema.jsonValue())["user.id"] == [(("user", "id"), "string"), (("user.id",), "string")]
    frame.createOrReplaceTempView("countersign_source")
    query = records("countersign_source", frame.schema.jsonValue(), KINDS)
    found = [row.asDict() for row in session().sql(query).collect()]
    assert [(row["user.id"], row["a.n"]) for row in found] == [("u", 2.0), (None, None)]
    assert "no such JSON" in found[1]["cs_wrong"]


# What is shipped.


@pytest.mark.parametrize("name", ["x; DROP TABLE y", "`a`.b", "a.b.c.d", "a b", ""])
def test_a_table_is_named_by_a_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options_of(["--records", "t", "--schema", name])
    assert "is no name" in capsys.readouterr().err


def test_the_asset_bundle_runs_the_driver_with_options_that_it_takes(package: Path) -> None:
    bundle = yaml.safe_load((package / "databricks.yml").read_text(encoding="utf-8"))
    (task,) = bundle["resources"]["jobs"]["countersign"]["tasks"]
    said = task["spark_python_task"]
    assert (package / said["python_file"]).is_file()
    given = {"records": "main.logs.t", "schema": "main.countersign", "hours": "2", "own": ""}
    given |= {"schedule": "0 7 * * * ?", "pause_status": "PAUSED"}
    assert set(bundle["variables"]) == set(given)
    text = json.dumps(bundle["resources"])
    assert set(re.findall(r"\$\{var\.(\w+)\}", text)) == set(given)
    arguments = [re.sub(r"\$\{[\w.]*?(\w+)\}", lambda v: given.get(v[1], str(package)), p) for p in said["parameters"]]
    options = options_of(arguments)
    assert (options.schema, options.package, options.own) == ("main.countersign", package, None)


def test_a_title_ends_no_comment_and_a_stem_leaves_no_folder() -> None:
    made = lake.made("spark")
    title = "x\n; DROP TABLE countersign_events; -- ]</script> | `$(id)`"
    files = PACKAGE.files(replace(made, rules=(replace(made.rules[0], title=title),)))
    (query,) = [text for path, text in files.items() if path.startswith("rules/")]
    assert next(line for line in str(query).splitlines() if not line.startswith("--")).startswith("SELECT")
    with pytest.raises(NotAllowed, match="call it by letters"):
        PACKAGE.files(replace(made, rules=(replace(made.rules[0], stem="../x"),)))
