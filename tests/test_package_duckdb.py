"""The bundle for DuckDB: unpacked in an empty folder and run as its README says, it finds what `countersign scan` finds."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import duckdb
import lake
import pytest

from backends.duckdb.register_script import literal
from backends.package import NotAllowed, load
from backends.register import Register

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("lake")

PACKAGE = load("duckdb")
FINDINGS = "SELECT rule, hits, first_seen, last_seen, sentence, chain_id FROM countersign_findings"


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> lake.Attacked:
    return lake.attacked(tmp_path_factory.mktemp("attacked"))


@pytest.fixture(scope="module")
def bundle(attacked: lake.Attacked, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lake.unpacked("duckdb", tmp_path_factory.mktemp("duckdb"), attacked.register)


@pytest.fixture(scope="module")
def database(attacked: lake.Attacked, bundle: Path) -> Path:
    done = run(bundle, str(attacked.log), "--database", "findings.duckdb")
    assert done.returncode == 0, done.stderr
    return bundle / "findings.duckdb"


def run(bundle: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The driver as a person starts it: nothing of ours on the path but the bundle."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "countersign_duckdb.py", *arguments]
    return subprocess.run(command, cwd=bundle, env=environment, capture_output=True, text=True, check=False)


def asked(database: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.execute(query).fetchall()


def said(database: Path) -> Counter[tuple[Any, ...]]:
    def written(moment: Any) -> str:
        return str(moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))

    return Counter(
        (rule, hits, written(first), written(last), sentence, None if chain == "(several)" else chain)
        for rule, hits, first, last, sentence, chain in asked(database, FINDINGS)
    )


def few(folder: Path, *wanted: str) -> tuple[str, str]:
    """Options that turn off all rules but one in eight, and those that are wanted: each is a query to plan."""
    (folder / "few").mkdir()
    (folder / "few" / "settings.csv").write_text("rule,enabled\n" + off(*wanted), encoding="utf-8")
    return "--own", str(folder / "few")


def off(*wanted: str, more: str = "") -> str:
    """Lines of settings that turn off all rules but one in eight and those that are wanted."""
    stems = [rule.stem for rule in lake.made("duckdb").rules]
    return "".join(f"{stem},false{more}\n" for stem in stems if stem not in {*stems[::8], *wanted})


def some(folder: Path, *records: dict[str, Any]) -> str:
    path = folder / "some.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


CALL = {
    "@timestamp": "2026-10-05T09:00:00Z",
    "chain": {"stage": "tool_call"},
    "mcp": {"server": {"name": "crm", "auth": "api_key"}},
    "gen_ai": {"agent": {"id": "agent-1"}, "tool": {"name": "read"}},
}


def test_the_bundle_finds_what_the_scan_finds_of_every_rule(attacked: lake.Attacked, database: Path) -> None:
    rules = {rule.stem for rule in lake.made("duckdb").rules}
    assert {finding["rule"]["stem"] for finding in attacked.findings} == rules - {lake.BEYOND}
    assert said(database) == attacked.said()


def test_the_one_rule_that_no_generated_log_attacks_fires_on_its_case(bundle: Path, tmp_path: Path) -> None:
    options = ("--database", str(tmp_path / "f.db"), *few(tmp_path, lake.BEYOND))
    assert run(bundle, some(tmp_path, *lake.beyond()), *options).returncode == 0
    assert lake.BEYOND in {rule for rule, *_ in asked(tmp_path / "f.db", FINDINGS)}


def test_a_second_run_doubles_nothing(attacked: lake.Attacked, bundle: Path, database: Path) -> None:
    before = asked(database, "SELECT * EXCLUDE (updated_at) FROM countersign_findings ORDER BY finding_id")
    assert run(bundle, str(attacked.log), "--database", "findings.duckdb").returncode == 0
    assert asked(database, "SELECT * EXCLUDE (updated_at) FROM countersign_findings ORDER BY finding_id") == before


def test_parquet_and_dotted_names_read_alike(attacked: lake.Attacked, bundle: Path, tmp_path: Path) -> None:
    lines = attacked.log.read_text(encoding="utf-8").splitlines()[:300]
    nested, dotted = tmp_path / "nested.jsonl.gz", tmp_path / "dotted.jsonl"
    nested.write_bytes(gzip.compress("\n".join(lines).encode()))
    dotted.write_text("".join(json.dumps(flat(json.loads(line))) + "\n" for line in lines), encoding="utf-8")
    columns = "SELECT * FROM read_json(?, union_by_name = true, maximum_depth = 1, format = 'newline_delimited')"
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS " + columns.replace("?", f"'{dotted}'"))
        connection.execute(f"COPY t TO '{tmp_path / 'p.parquet'}' (FORMAT parquet)")
    found, options = [], few(tmp_path)
    for number, file in enumerate((nested, dotted, tmp_path / "p.parquet")):
        assert run(bundle, str(file), "--database", str(tmp_path / f"{number}.db"), *options).returncode == 0
        found.append(said(tmp_path / f"{number}.db"))
    assert found[0]
    assert found[0] == found[1] == found[2]


def flat(record: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in record.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return found


def test_lines_that_cannot_be_read_are_rejected_with_their_place_and_the_others_judged(
    bundle: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    good = json.dumps(CALL).encode()
    log.write_bytes(
        b"\n".join([good, b"not json", b'{"\xff": 1}', b'{"chain": 1}', b"", good.replace(b"09:00", b"10:00")])
    )
    done = run(bundle, str(log), "--database", str(tmp_path / "f.db"), *few(tmp_path))
    assert done.returncode == 1
    rejected = asked(tmp_path / "f.db", "SELECT record, reason FROM countersign_rejected ORDER BY record")
    assert [record for record, _ in rejected] == [2, 3, 4]
    assert "UTF-8" in rejected[1][1]
    assert asked(tmp_path / "f.db", "SELECT count(*) FROM countersign_events") == [(2,)]


def test_what_is_a_teams_own_survives_an_upgrade(bundle: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "rules").mkdir(parents=True)
    log = some(
        tmp_path,
        CALL,
        {**CALL, "gen_ai": {"agent": {"id": "agent-2"}}, "mcp": {"server": {"name": "erp", "auth": "api_key"}}},
    )
    (own / "settings.csv").write_text(
        "rule,enabled,least,level\nstatic_api_key,,1,low\ntool_call_without_prompt,false,,\n"
        + off("static_api_key", "tool_call_without_prompt", "call_without_correlation_id", more=",,")
    )
    (own / "exceptions.csv").write_text("rule,field,value,until,reason\nstatic_api_key,mcp.server.name,E*P,,ours\n")
    (own / "rules" / "call_without_correlation_id.sql").write_text("SELECT * FROM countersign_events WHERE false")

    def findings(home: Path, name: str, *more: str) -> set[tuple[Any, ...]]:
        assert run(home, log, "--database", str(tmp_path / name), *more).returncode == 0
        return set(asked(tmp_path / name, "SELECT rule, level, server FROM countersign_findings"))

    plain = findings(bundle, "plain.db")
    assert {("static_api_key", "high", "crm"), ("static_api_key", "high", "erp")} <= plain
    assert {"tool_call_without_prompt", "call_without_correlation_id"} <= {rule for rule, *_ in plain}
    mine = findings(bundle, "mine.db", "--own", str(own))
    assert {row for row in mine if row[0] == "static_api_key"} == {("static_api_key", "low", "crm")}
    assert not {"tool_call_without_prompt", "call_without_correlation_id"} & {rule for rule, *_ in mine}
    (tmp_path / "next").mkdir()
    after = lake.unpacked("duckdb", tmp_path / "next")  # version N+1, in another folder, over the same database
    assert findings(after, "mine.db", "--own", str(own)) == mine


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("settings.csv", "rule,enabled\nno_such,false\n", "no rule"),
        ("settings.csv", "rule,least\nstatic_api_key,0\n", "above zero"),
        ("settings.csv", "rules\nx\n", "its columns are"),
        ("exceptions.csv", "rule,field,value\n*,user.nam,x\n", "no field"),
        ("exceptions.csv", "rule,field,value\n*,user.id,*\n", "turn the rule off"),
        ("exceptions.csv", "rule,field,value,until\n*,user.id,x,soon\n", "a day or a time"),
        ("rules/no_such.sql", "SELECT 1", "no such rule"),
        ("register/servers.csv", "name,approval\ncrm,maybe\n", "servers.csv:2"),
    ],
)
def test_a_mistake_in_the_teams_folder_stops_the_run_with_one_sentence(
    bundle: Path, tmp_path: Path, file: str, text: str, message: str
) -> None:
    (tmp_path / "own" / file).parent.mkdir(parents=True)
    (tmp_path / "own" / file).write_text(text)
    done = run(bundle, some(tmp_path, CALL), "--database", str(tmp_path / "f.db"), "--own", str(tmp_path / "own"))
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_hostile_value_of_an_exception_is_a_value(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "exceptions.csv").write_text("rule,field,value\n*,user.id,\"x') OR true OR ('%_!\"\n")
    arguments = (some(tmp_path, CALL), "--database", str(tmp_path / "f.db"), "--own", str(tmp_path / "own"))
    assert run(bundle, *arguments).returncode == 0
    assert asked(tmp_path / "f.db", "SELECT count(*) > 0 FROM countersign_findings") == [(True,)]


@pytest.mark.parametrize("value", ["it's", 'say "x"', "a\nb", "a;\nDROP TABLE x;\n", "\\", "$(id)", "ü"])
def test_a_text_of_the_register_is_a_text(value: str) -> None:
    with duckdb.connect() as connection:
        assert connection.execute(f"SELECT {literal(value)}, {literal([value])}").fetchone() == (value, [value])


def test_the_register_in_the_bundle_is_the_teams(attacked: lake.Attacked, bundle: Path) -> None:
    assert lake.tables(bundle / "register") == Register.load(attacked.register).tables


def test_a_title_ends_no_comment_and_a_stem_leaves_no_folder() -> None:
    made = lake.made("duckdb")
    title = "x\n; DROP TABLE countersign_events; -- ]</script> | `$(id)`"
    files = PACKAGE.files(replace(made, rules=(replace(made.rules[0], title=title),)))
    (query,) = [text for path, text in files.items() if path.startswith("rules/")]
    assert next(line for line in str(query).splitlines() if not line.startswith("--")).startswith("SELECT")
    with pytest.raises(NotAllowed, match="call it by letters"):
        PACKAGE.files(replace(made, rules=(replace(made.rules[0], stem="../x"),)))
