"""Replay kits: sent to real nodes, or to stubs that take only the documented form, every rule fires on its attack.

Splunk and Sentinel are stubs here, written from their documentation: the interpreter of our SPL and duckdb-kql answer
for them, over what was received. Elasticsearch and OpenSearch are real; before Elasticsearch stands a relay that does
what the ingest pipeline does, since the node has no ingest processors.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
from sampling import one_in
from siem_stub import Asked, served

from backends.elastic.ingest import prepared
from backends.elastic.register import SHAPES, mapping
from backends.elastic.template import template as elastic_template
from backends.errors import Mistakes
from backends.opensearch.template import template as opensearch_template
from backends.register import Register
from backends.sentinel.columns import table_schema
from backends.sources import SourceMaps
from backends.target import load
from backends.vocabulary import Vocabulary
from harness import cli
from harness.case import Bases, moment
from harness.engines.spl.expression import STARTED
from harness.own import chosen
from harness.paths import Root
from harness.replay.choosing import PREFIX, Maker
from harness.replay.forms import FORMS
from harness.replay.writing import files, written
from harness.scan import sources_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.replay.choosing import Plan
    from harness.ruleset import Rule

ROOT = Root.default()
AT = datetime(2026, 11, 23, 8, tzinfo=UTC)
EVENTS, CHAINS = Vocabulary.load(ROOT.event_schema), Vocabulary.load(ROOT.chain_schema)
SOURCES = sources_of(SourceMaps.load(ROOT.sources))
HEC_TOKEN = "12345678-1234-1234-1234-1234567890ab"  # noqa: S105 - of nobody
SECRET = "secret-that-nobody-may-see"  # noqa: S105 - of nobody
SOME = (
    *("static_api_key", "server_review_expired", "unregistered_server_called", "tool_definition_changed"),
    *("tools_enumerated", "scope_escalated_without_consent", "delegation_dropped", "source_blind_to_user"),
)
"""Event rules, correlations and a chain rule, with and without a register: what the slower stubs are asked."""


FEW = SOME[:3]


@cache
def rules(*stems: str) -> tuple[Rule, ...]:
    return tuple(chosen(ROOT, stems))


@cache
def plan(*stems: str) -> Plan:
    schema = ROOT.schemas / "cases.schema.json"
    return Maker(rules(*stems), EVENTS, CHAINS, SOURCES, Bases.honest(), schema, AT, "proof").plan()


def kit(
    target: str, folder: Path, *stems: str, made: Plan | None = None, asked: tuple[Rule, ...] | None = None
) -> Path:
    """A kit of these rules, or of all; ``asked`` are those that are asked for, where not all are."""
    wanted = rules(*stems) if asked is None else asked
    texts, _ = files(made or plan(*stems), FORMS[target], load(target), wanted, (EVENTS, CHAINS), SOURCES, "0.1.0")
    written(texts, folder)
    return folder


def run(folder: Path, program: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A program of a kit as its user runs it: nothing of this project can be imported."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **variables}
    code = f"import runpy, sys; sys.path.insert(0, {str(folder)!r}); sys.argv = {[program, *arguments]!r}; "
    code += f"runpy.run_path({str(folder / program)!r}, run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=580,
    )


def of_kit(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "kit.json").read_text())


# What a kit holds.


@pytest.mark.xdist_group("opensearch")  # with the node that is sent the whole plan
def test_every_rule_has_an_attack_and_honest_work_beside_it() -> None:
    made = plan()
    assert set(made.left_out) == {"source_blind_to_correlation/attack"}  # no source of the pack is blind so
    for case in made.cases:
        assert (case.stem in made.expected[case.label]) == case.fires, case.label
    assert len(made.cases) == 2 * len(rules()) - 1


@pytest.mark.xdist_group("opensearch")
def test_every_record_is_marked_and_is_in_one_case_and_one_chain_of_it() -> None:
    made = plan()
    ids = [record["event"]["id"] for case in made.cases for record in case.records]
    assert len(set(ids)) == len(ids)
    assert {record["organization"]["id"] for case in made.cases for record in case.records} == {f"{PREFIX}proof"}
    assert all(one.startswith(f"{PREFIX}proof-") for one in ids)
    assert set(made.chains.values()) == {case.label for case in made.cases}
    begins = [min(moment(record["@timestamp"]) for record in case.records) for case in made.cases]
    assert len(set(begins)) == len(begins)


@pytest.mark.xdist_group("opensearch")
def test_the_last_record_of_each_case_is_of_the_time_that_was_asked_for() -> None:
    for case in plan().cases:
        times = [moment(record["@timestamp"]) for record in case.records]
        assert AT - timedelta(seconds=1) < max(times) <= AT
        assert min(times) > AT - timedelta(days=2), case.label  # Azure Monitor dates older records anew


def test_a_kit_is_the_same_each_time_and_another_time_moves_all_of_it() -> None:
    def texts(at: datetime) -> dict[str, str]:
        schema = ROOT.schemas / "cases.schema.json"
        made = Maker(rules(*FEW), EVENTS, CHAINS, SOURCES, Bases.honest(), schema, at, "proof").plan()
        return files(made, FORMS["splunk"], load("splunk"), rules(*FEW), (EVENTS, CHAINS), SOURCES, "0.1.0")[0]

    once = texts(AT)
    assert texts(AT) == once
    other = json.loads(texts(AT + timedelta(days=1))["kit.json"])
    same = json.loads(once["kit.json"])
    assert {**other, "at": 0, "first": 0} == {**same, "at": 0, "first": 0}
    assert other["at"] > same["at"]


def test_the_register_of_a_kit_is_one_that_every_command_reads(tmp_path: Path) -> None:
    folder = kit("splunk", tmp_path / "kit", *FEW)
    tables = Register.load(folder / "register").tables
    assert {name: rows for name, rows in tables.items() if rows} == {n: r for n, r in plan(*FEW).tables.items() if r}


def test_a_kit_with_a_register_of_ones_own_adds_nothing_to_it() -> None:
    schema, own = ROOT.schemas / "cases.schema.json", {"servers": [{"name": "crm-mcp", "approval": "approved"}]}
    own = {name: list(rows) for name, rows in Register.of(own).tables.items()}
    made = Maker(rules(*FEW), EVENTS, CHAINS, SOURCES, Bases.honest(), schema, AT, "own", own).plan()
    assert made.tables == own
    assert "server_review_expired/attack" in made.left_out
    assert "static_api_key" in made.expected["static_api_key/attack"]


@pytest.mark.parametrize("siem", FORMS)
def test_the_programs_of_a_kit_import_the_standard_library_and_each_other_alone(siem: str, tmp_path: Path) -> None:
    folder = kit(siem, tmp_path / "kit", "static_api_key")
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(), feature_version=(3, 9))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.partition(".")[0] in {*sys.stdlib_module_names, "siem", "transport", "dates"}, (path, name)


def test_no_sentence_of_a_case_gets_out_of_its_cell(tmp_path: Path) -> None:
    made = plan("static_api_key")
    hostile = "a | b <script> `x`\n# head \\"
    bent = replace(made, cases=tuple(replace(case, sentence=hostile) for case in made.cases))
    folder = kit("splunk", tmp_path / "kit", "static_api_key", made=bent)
    (row,) = [one for one in (folder / "README.md").read_text().splitlines() if one.startswith("| static_api_key")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 4
    assert "<script" not in row


# Splunk: the HTTP Event Collector and search jobs, from their documentation.


class Splunk:
    """A stub of the collector and of oneshot searches; the interpreter of our SPL searches what was received."""

    def __init__(self, folder: Path) -> None:
        from harness.engines.spl.judge import Spl, indexed  # noqa: PLC0415 - slow to import
        from harness.engines.spl.run import run as searched  # noqa: PLC0415

        self.events: list[dict[str, Any]] = []
        self.spl, self.indexed, self.searched = Spl({}, EVENTS, CHAINS, SOURCES), indexed, searched
        self.lookups = {
            path.stem: list(csv.DictReader(io.StringIO(path.read_text())))
            for path in (folder / "register-splunk").glob("*.csv")
        }

    def __call__(self, asked: Asked) -> tuple[int, Any]:  # noqa: D102 - answers
        if asked.path == "/services/collector/event":
            return self.collected(asked)
        assert asked.path == "/servicesNS/nobody/countersign/search/jobs"
        assert asked.headers["authorization"] == f"Bearer {SECRET}"
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        assert form["exec_mode"] == "oneshot"
        assert form["output_mode"] == "json"
        first, last = float(form["earliest_time"]), float(form["latest_time"])
        rows = self.indexed([one["event"] for one in self.events if first <= one["time"] < last])
        STARTED.set(datetime(9999, 1, 1, tzinfo=UTC).timestamp())
        search = form["search"].replace("`countersign_index`", "`countersign_index` earliest=-1h latest=now", 1)
        found = self.searched(search, {"mcp": rows}, self.spl.macros, self.lookups)
        return 200, {"results": found, "messages": []}

    def collected(self, asked: Asked) -> tuple[int, Any]:
        """What the collector checks, and its words and codes for what it refuses."""
        if asked.headers.get("authorization") != f"Splunk {HEC_TOKEN}":
            return 403, {"text": "Invalid token", "code": 4}
        if len(asked.body) > 1_000_000:
            return 413, {"text": "content length too large"}
        decoder, text, place, found = json.JSONDecoder(), asked.body.decode(), 0, []
        while place < len(text.rstrip()):
            try:
                event, place = decoder.raw_decode(text, place)
            except ValueError:
                return 400, {"text": "Invalid data format", "code": 6, "invalid-event-number": len(found)}
            place += len(text[place:]) - len(text[place:].lstrip())
            if not event.get("event"):
                return 400, {"text": "Event field is required", "code": 12, "invalid-event-number": len(found)}
            if (
                set(event) - {"time", "host", "source", "sourcetype", "index", "event", "fields"}
                or event["index"] != "mcp"
            ):
                return 400, {"text": "Incorrect index", "code": 7, "invalid-event-number": len(found)}
            found.append(event)
        self.events += found
        return 200, {"text": "Success", "code": 0}


@pytest.mark.xdist_group("splunk_app")
def test_splunk_takes_the_kit_and_every_rule_fires_on_its_attack_alone(tmp_path: Path) -> None:
    folder = kit("splunk", tmp_path / "kit", *SOME)
    with served(Splunk(folder)) as stub:
        sent = run(folder, "send.py", "--url", stub.url, COUNTERSIGN_HEC_TOKEN=HEC_TOKEN)
        assert (sent.returncode, sent.stderr) == (0, "")
        early = run(folder, "check.py", "--url", stub.url, COUNTERSIGN_TOKEN=SECRET)
        assert early.returncode == 1
        assert "too early for delegation_dropped" in early.stdout
        past = json.loads((folder / "sent.json").read_text())
        assert moment(past["last"]) > datetime.now(UTC) - timedelta(minutes=5)
        (folder / "sent.json").unlink()
        stubbed = stub.asked
        sent = run(folder, "send.py", "--url", stub.url, "--at", "kit", COUNTERSIGN_HEC_TOKEN=HEC_TOKEN)
        assert sent.returncode == 0, sent.stderr
        checked = run(folder, "check.py", "--url", stub.url, COUNTERSIGN_TOKEN=SECRET)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert f"{len(SOME)} of {len(SOME)} rules as they must be" in checked.stdout
        assert all(SECRET.encode() not in one.body for one in stubbed)


@pytest.mark.xdist_group("splunk_app")
def test_a_rule_that_does_not_fire_is_a_difference(tmp_path: Path) -> None:
    folder = kit("splunk", tmp_path / "kit", *FEW)
    splunk = Splunk(folder)
    splunk.lookups = {name: [] for name in splunk.lookups}  # the register was never installed
    with served(splunk) as stub:
        assert run(folder, "send.py", "--url", stub.url, "--at", "kit", COUNTERSIGN_HEC_TOKEN=HEC_TOKEN).returncode == 0
        checked = run(folder, "check.py", "--url", stub.url, COUNTERSIGN_TOKEN=SECRET)
        assert checked.returncode == 1
        assert re.search(r"^unregistered_server_called +MISSING +quiet$", checked.stdout, re.MULTILINE)
        assert re.search(r"^static_api_key +fired +quiet$", checked.stdout, re.MULTILINE)
        bare = run(folder, "check.py", "--url", stub.url, "--without-register", COUNTERSIGN_TOKEN=SECRET)
        assert bare.returncode == 0, bare.stdout
        said = run(folder, "check.py", "--url", stub.url, "--format", "json", COUNTERSIGN_TOKEN=SECRET)
        wrong = {row["rule"]: row["missing"] for row in json.loads(said.stdout)["rules"] if not row["right"]}
        assert "unregistered_server_called/attack" in wrong["unregistered_server_called"]
        assert "static_api_key" not in wrong


# Sentinel: the Logs Ingestion API and the query API, from their documentation.


class Sentinel:
    """A stub of both; duckdb-kql executes the queries over what was received."""

    rule = "dcr-0123456789abcdef0123456789abcdef"
    workspace = "01234567-89ab-cdef-0123-456789abcdef"

    def __init__(self, folder: Path, stems: tuple[str, ...]) -> None:
        self.rows: list[dict[str, Any]] = []
        self.columns = table_schema(EVENTS)
        self.stems, self.kql, self.folder = stems, None, folder

    def __call__(self, asked: Asked) -> tuple[int, Any]:  # noqa: D102 - answers
        assert asked.headers["authorization"] == f"Bearer {SECRET}"
        if asked.path.startswith("/dataCollectionRules/"):
            assert asked.path == f"/dataCollectionRules/{self.rule}/streams/Custom-CountersignEvents"
            assert asked.query == {"api-version": "2023-01-01"}
            assert asked.headers["content-type"] == "application/json"
            assert len(asked.body) <= 1_000_000
            rows = asked.document
            assert isinstance(rows, list)
            for row in rows:
                self.checked(row)
            self.rows += rows
            return 204, None
        assert asked.path == f"/v1/workspaces/{self.workspace}/query"
        first, last = asked.document["timespan"].split("/")
        assert all(first <= row["TimeGenerated"] <= last for row in self.rows)
        return 200, {"tables": [{"name": "PrimaryResult", "columns": [], "rows": self.found(asked.document["query"])}]}

    def checked(self, row: dict[str, Any]) -> None:
        """A column that the table has not would be dropped in silence, so here it is a failure."""
        python = {"string": str, "real": (int, float), "long": int, "bool": bool, "datetime": str, "dynamic": list}
        for name, value in row.items():
            assert isinstance(value, python[self.columns[name]]), name
            assert value not in ("", [])
        assert moment(row["TimeGenerated"]) > datetime.now(UTC) - timedelta(days=2)

    def found(self, query: str) -> list[list[Any]]:
        """Rows of a query."""
        from harness.engines.kql import Kql  # noqa: PLC0415 - slow to import

        if self.kql is None:
            tables = Register.load(self.folder / "register").tables
            of_chains = {rule.stem: rule.judged for rule in rules(*self.stems) if rule.service == "chain"}
            self.kql = Kql(of_chains, EVENTS, CHAINS, SOURCES).__enter__()
            by_column = {name.replace(".", "_"): name for name in EVENTS.raw} | {"TimeGenerated": "@timestamp"}
            records = [{by_column[name]: value for name, value in row.items()} for row in self.rows]
            self.kql.judge(records, {name: list(rows) for name, rows in tables.items()}, None)
        with self.kql._lock:
            rows = self.kql.connection.execute(self.kql.sql(query)).fetchall()
        return [[f"{v.isoformat()}Z" if isinstance(v, datetime) else v for v in row] for row in rows]


@pytest.mark.xdist_group("kql")
@pytest.mark.parametrize(
    "stems",
    [
        pytest.param(SOME[:6], id="events"),
        pytest.param(("delegation_dropped",), id="chains", marks=pytest.mark.slow),  # minutes to plan its view
    ],
)
def test_sentinel_takes_the_kit_and_every_rule_fires_on_its_attack_alone(
    stems: tuple[str, ...], tmp_path: Path
) -> None:
    folder = kit("sentinel", tmp_path / "kit", *stems)
    with served(Sentinel(folder, stems)) as stub:
        sent = run(folder, "send.py", "--url", stub.url, "--rule", Sentinel.rule, COUNTERSIGN_TOKEN=SECRET)
        assert (sent.returncode, sent.stderr) == (0, ""), sent.stdout
        asked = ("--url", stub.url, "--workspace", Sentinel.workspace, "--timeout", "500")
        checked = run(folder, "check.py", *asked, COUNTERSIGN_TOKEN=SECRET)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert f"{len(stems)} of {len(stems)} rules as they must be" in checked.stdout


# Elasticsearch and OpenSearch: real nodes.


SOME_CHAINS = ("delegation_dropped", "chain_without_prompt")
"""Chains with ids and without: a query that builds chains takes seconds, so only the slow test asks all."""


@pytest.fixture(params=["some chains", pytest.param("all", marks=pytest.mark.slow)])
def elasticsearch(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Any]]:
    """The kit, and a relay before the node that does what the ingest pipeline does."""
    from harness.engines.elastic import LOOKED_UP, node  # noqa: PLC0415 - only where a node runs

    every = request.param == "all"
    asked = tuple(rule for rule in rules() if every or rule.service == "event" or rule.stem in SOME_CHAINS)
    folder, running = kit("elastic", tmp_path / "kit", asked=asked), node()
    running.call("PUT", "/_index_template/countersign-events", elastic_template(EVENTS))
    running.call("DELETE", "/countersign-events?ignore_unavailable=true")
    for name in SHAPES:
        running.call("DELETE", f"/{name}?ignore_unavailable=true")
        running.call("PUT", f"/{name}", mapping(name))
        LOOKED_UP[name] = {}

    def relayed(asked: Asked) -> tuple[int, Any]:
        assert asked.headers["authorization"] == f"ApiKey {SECRET}"
        if asked.path == "/countersign-events/_bulk":
            assert asked.headers["content-type"] == "application/x-ndjson"
            lines = asked.body.decode().removesuffix("\n").split("\n")
            for place in range(0, len(lines), 2):
                assert list(json.loads(lines[place])) == ["create"]  # all that a data stream takes
                lines[place + 1] = json.dumps(prepared(json.loads(lines[place + 1]), EVENTS))
            return 200, running.call(
                "POST", f"{asked.path}?refresh=true&pipeline=_none", ("\n".join(lines) + "\n").encode()
            )
        return 200, running.call(asked.method, asked.path, asked.document)

    with served(relayed) as stub:
        yield folder, (stub, running)
    running.call("DELETE", "/countersign-events?ignore_unavailable=true")
    for name in SHAPES:
        running.call("DELETE", f"/{name}")
        running.call("PUT", f"/{name}", mapping(name))


@pytest.mark.xdist_group("elastic")
def test_on_elasticsearch_every_rule_fires_on_its_attack_and_not_on_honest_work(elasticsearch: Any) -> None:
    folder, (stub, running) = elasticsearch
    sent = run(folder, "send.py", "--url", stub.url, COUNTERSIGN_TOKEN=SECRET)
    assert (sent.returncode, sent.stderr) == (0, ""), sent.stdout
    running.call("POST", "/_bulk?refresh=true", (folder / "register-elastic" / "lookups.ndjson").read_bytes())
    checked = run(folder, "check.py", "--url", stub.url, COUNTERSIGN_TOKEN=SECRET)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    count = len(json.loads((folder / "queries.json").read_text()))
    assert f"{count} of {count} rules as they must be" in checked.stdout
    said = of_kit(folder)
    body = {"query": {"term": {"organization.id": f"{said['prefix']}{said['mark']}"}}}
    assert running.call("POST", "/countersign-events/_count", body)["count"] == said["records"]


@pytest.mark.xdist_group("opensearch")
def test_on_opensearch_every_rule_fires_on_its_attack_and_not_on_honest_work(tmp_path: Path) -> None:
    from harness.engines.node.start import OPENSEARCH_2  # noqa: PLC0415 - only where a node runs
    from harness.engines.opensearch import node  # noqa: PLC0415

    folder, running = kit("opensearch", tmp_path / "kit"), node(OPENSEARCH_2)
    running.call("DELETE", "/countersign-events*?ignore_unavailable=true&allow_no_indices=true")
    running.call("PUT", "/_index_template/countersign-events", opensearch_template(EVENTS))
    pipeline = json.loads((folder / "register-opensearch" / "pipeline-countersign-events.json").read_text())
    running.call("PUT", "/_ingest/pipeline/countersign-events", pipeline)
    try:
        sent = run(folder, "send.py", "--url", running.url)
        assert (sent.returncode, sent.stderr) == (0, ""), sent.stdout
        checked = run(folder, "check.py", "--url", running.url)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        count = len(json.loads((folder / "queries.json").read_text()))
        assert f"{count} of {count} rules as they must be" in checked.stdout
        assert count >= 35
        said = of_kit(folder)
        body = {"query": {"term": {"organization.id": f"{said['prefix']}{said['mark']}"}}}
        assert running.call("POST", "/countersign-events/_count", body)["count"] == said["records"]
    finally:
        running.call("DELETE", "/countersign-events*?ignore_unavailable=true&allow_no_indices=true")


# Mistakes, refusals, and what a server says.


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["replay", *arguments])
    out, err = capsys.readouterr()
    return int(stopped.value.code or 0), out, err


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit("splunk", tmp_path_factory.mktemp("small") / "kit", "static_api_key")


@pytest.fixture
def fresh(small: Path, tmp_path: Path) -> Path:
    """A kit that nothing was sent from."""
    return Path(shutil.copytree(small, tmp_path / "kit"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("elastik", "static_api_key"), "is not one of"),
        (("splunk", "static_api_keys"), "did you mean static_api_key"),
        (("splunk", "static_api_key", "--at", "yesterday"), "is no time"),
        (("splunk", "static_api_key", "--at", "1969-12-31T00:00:00Z"), "outside the years"),
        (("splunk", "static_api_key", "--mark", "A b"), "is no mark"),
        (("splunk", "static_api_key", "--mark", "x" * 41), "is no mark"),
        (("splunk", "static_api_key", "--register", "there/is/none"), "there is no such folder"),
    ],
)
def test_a_mistake_of_the_call_is_a_sentence_and_nothing_is_written(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = told(capsys, *arguments, "-o", str(tmp_path / "kit"))
    assert code == 2
    assert sentence in err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_left_alone_and_an_older_kit_is_replaced_whole(
    small: Path, tmp_path: Path
) -> None:
    texts = {"kit.json": "{}", "new.txt": ""}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(Mistakes, match="is no kit"):
        written(texts, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "file").write_text("")
    with pytest.raises(Mistakes, match=r"is no kit|can't be written"):
        written(texts, tmp_path / "file")
    older = Path(shutil.copytree(small, tmp_path / "older"))
    written(texts, older)
    assert {path.name for path in older.iterdir()} == set(texts)
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "file", "older"}


def test_a_dry_run_asks_nobody_and_says_what_would_be_sent(fresh: Path) -> None:
    with served(lambda _asked: (200, {})) as stub:
        done = run(fresh, "send.py", "--dry-run", "--url", stub.url, "--at", "2026-11-30T00:00:00Z")
    assert done.returncode == 0
    assert "2 records of 1 attacks and 1 honest cases" in done.stdout
    assert "2026-11-30T00:00:00.000000Z" in done.stdout
    assert stub.asked == []
    assert not (fresh / "sent.json").exists()


def test_a_kit_is_sent_once_and_not_without_an_address(fresh: Path) -> None:
    with served(lambda _asked: (200, {"text": "Success", "code": 0})) as stub:
        assert "--url is needed" in run(fresh, "send.py").stderr
        assert run(fresh, "send.py", "--url", stub.url, COUNTERSIGN_HEC_TOKEN=HEC_TOKEN).returncode == 0
        again = run(fresh, "send.py", "--url", stub.url, COUNTERSIGN_HEC_TOKEN=HEC_TOKEN)
        assert again.returncode == 2
        assert "was sent" in again.stderr
        count = len(stub.asked)
        assert run(fresh, "send.py", "--url", stub.url, "--again", COUNTERSIGN_HEC_TOKEN=HEC_TOKEN).returncode == 0
        assert len(stub.asked) == 2 * count
        rows = [json.loads(line) for line in stub.asked[-1].body.splitlines()]
    last = max(row["time"] for row in rows)
    assert abs(last - datetime.now(UTC).timestamp()) < 120
    assert all(moment(row["event"]["@timestamp"]).timestamp() == pytest.approx(row["time"], abs=0.001) for row in rows)


def test_a_token_is_sent_and_never_shown(fresh: Path) -> None:
    with served(lambda asked: (403, {"text": f"Invalid token {asked.headers['authorization']}", "code": 4})) as stub:
        done = run(fresh, "send.py", "--url", stub.url, COUNTERSIGN_HEC_TOKEN=HEC_TOKEN)
    assert done.returncode == 2
    assert "403 Invalid token Splunk …" in done.stderr
    assert HEC_TOKEN not in done.stdout + done.stderr
    assert stub.asked[-1].headers["authorization"] == f"Splunk {HEC_TOKEN}"
    assert not (fresh / "sent.json").exists()


def test_a_server_that_is_busy_is_asked_again(fresh: Path) -> None:
    turns = iter([503, 429, 200])
    with served(lambda _asked: (next(turns), {"text": "Server is busy", "code": 0})) as stub:
        done = run(fresh, "send.py", "--url", stub.url, COUNTERSIGN_HEC_TOKEN=HEC_TOKEN, COUNTERSIGN_PATIENCE="0.01")
    assert done.returncode == 0, done.stderr
    assert len({one.body for one in stub.asked}) == 1


def test_a_record_that_is_not_taken_is_named(tmp_path: Path) -> None:
    folder = kit("elastic", tmp_path / "kit", "static_api_key")

    def half(asked: Asked) -> tuple[int, Any]:
        ids = [json.loads(line)["create"]["_id"] for line in asked.body.splitlines()[::2]]
        error = {"type": "illegal_argument_exception", "reason": "user.id must be text\x1b[2J"}
        items = [{"create": {"_id": one, **({"error": error} if "attack" in one else {"status": 201})}} for one in ids]
        return 200, {"errors": True, "items": items}

    with served(half) as stub:
        done = run(folder, "send.py", "--url", stub.url)
    assert done.returncode == 1
    assert "static_api_key-attack-000: " in done.stderr
    assert "\x1b" not in done.stderr
    assert "1 records taken" in done.stdout


ODD = (b"<html>", b"[]", b"null", b'{"results": 5}', b'{"columns": [], "values": [[1]]}')


@pytest.mark.parametrize("said", one_in(3, product(ODD, FORMS)), ids="{0[1]} {0[0]}".format)
def test_an_answer_of_another_form_is_a_sentence(said: tuple[bytes, str], tmp_path: Path) -> None:
    answer, siem = said
    folder = kit(siem, tmp_path / "kit", "static_api_key")
    times = {"first": "2026-11-23T08:00:00Z", "last": "2026-11-23T08:00:00Z"}
    (folder / "sent.json").write_text(json.dumps(times))
    more = ("--workspace", Sentinel.workspace) if siem == "sentinel" else ()
    with served(lambda _asked: (200, answer)) as stub:
        for mode in ((), ("--alerts",)):
            done = run(folder, "check.py", "--url", stub.url, *more, *mode)
            assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stdout + done.stderr


def test_what_was_not_sent_and_what_is_not_in_the_kit_is_not_asked_for(fresh: Path) -> None:
    assert "run send.py first" in run(fresh, "check.py", "--url", "http://127.0.0.1:9").stderr
    (fresh / "sent.json").write_text(json.dumps({"first": "2026-11-23T08:00:00Z", "last": "2026-11-23T08:00:00Z"}))
    assert "has no rule tools" in run(fresh, "check.py", "--url", "http://127.0.0.1:9", "--rule", "tools").stderr
    done = run(fresh, "check.py", "--url", "http://127.0.0.1:9")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_other_records_of_the_index_are_no_difference(fresh: Path) -> None:
    (fresh / "sent.json").write_text(json.dumps({"first": "2026-11-23T08:00:00Z", "last": "2026-11-23T08:00:00Z"}))
    said = of_kit(fresh)
    rows = [{"event.id": f"{said['prefix']}{said['mark']}-static_api_key-attack-000"}]
    rows += [{"event.id": "a real one"}, {"event.id": f"{said['prefix']}other-static_api_key-benign-000"}]
    with served(lambda _asked: (200, {"results": rows, "messages": []})) as stub:
        assert run(fresh, "check.py", "--url", stub.url).returncode == 0
        rows.append({"event.id": f"{said['prefix']}{said['mark']}-static_api_key-benign-000"})
        done = run(fresh, "check.py", "--url", stub.url)
    assert done.returncode == 1
    assert re.search(r"^static_api_key +fired +FIRED$", done.stdout, re.MULTILINE)


def test_rules_without_an_alert_are_named(fresh: Path) -> None:
    (fresh / "sent.json").write_text(json.dumps({"first": "2026-11-23T08:00:00Z", "last": "2026-11-23T08:00:00Z"}))
    rows: list[dict[str, str]] = []
    with served(lambda _asked: (200, {"results": rows, "messages": []})) as stub:
        done = run(fresh, "check.py", "--url", stub.url, "--alerts")
        assert (done.returncode, "static_api_key  MISSING" in done.stdout) == (1, True)
        rows.append({"countersign_rule": "static_api_key", "count": "1"})
        assert run(fresh, "check.py", "--url", stub.url, "--alerts").returncode == 0
