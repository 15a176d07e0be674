"""The package for OpenSearch, as it is in the archive: nodes of 2 and 3 take it and its monitors' searches fire there.

Alerting and Security Analytics are not on the nodes: monitors are executed as Alerting does (the run's time filled in, the
search run, the trigger's script run by Painless), and their storing is a model. The pipelines of the package for
Elasticsearch run here too: its own test node has no ingest processors.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from datetime import timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
import yaml
from sigma.rule import SigmaRule

from backends.absence import WrongType
from backends.elastic.ingest import prepared
from backends.errors import Mistakes
from backends.opensearch.custom_rules import KNOWN, custom_rules
from backends.opensearch.monitor import EXCEPTIONS, excepting, monitor
from backends.opensearch.package import events_pipeline
from backends.package import Content, NotAllowed, load
from backends.sources import SourceMaps
from backends.vocabulary import Vocabulary
from harness.building import build, content
from harness.case import Bases, moment
from harness.engines.node.start import OPENSEARCH_2, OPENSEARCH_3
from harness.engines.opensearch import node as started
from harness.judging import sources_of, subjects_of
from harness.matrix import AS_WRITTEN, Cell, Verdicts
from harness.own import chosen
from harness.paths import Root
from harness.proof import judged_cells
from harness.variants import Same, Variant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.engines.node.start import Node
    from harness.matrix import Subject

pytestmark = pytest.mark.xdist_group("opensearch")

ROOT = Root.default()
PACKAGE = load("opensearch")
TOP = "countersign-opensearch/"
EVERY, EVENTS, _ = subjects_of(ROOT, ROOT.rules)
SOURCES = sources_of(EVERY, SourceMaps.load(ROOT.sources))
SINGLE = [s for s in EVERY if not s.of_chains and not s.correlates]
CORRELATED = [s for s in EVERY if s.correlates]
BASES = Bases.honest()
INDEX = "countersign-events"


@cache
def made() -> Content:
    """The pack, with the sources that cases make up beside those of the maps."""
    whole = content(ROOT, PACKAGE, list(chosen(ROOT, ())))
    return replace(whole, never=SOURCES.never, client_ids=SOURCES.client_ids)


def opened(path: Path, top: str = TOP) -> dict[str, str]:
    with zipfile.ZipFile(path) as packed:
        return {name.removeprefix(top): packed.read(name).decode() for name in packed.namelist()}


def unpacked(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path) as packed:
        packed.extractall(folder)
    return folder / TOP


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(PACKAGE, made(), tmp_path_factory.mktemp("opensearch")).path


@pytest.fixture(scope="session")
def files(archive: Path) -> dict[str, str]:
    return opened(archive)


def installed(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "install.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


class Loaded:
    """A node that install.py filled from the archive."""

    def __init__(self, node: Node, folder: Path, files: dict[str, str]) -> None:
        self.node, self.files = node, files
        self.clear()
        done = installed(folder, "assets", "--opensearch", node.url)
        assert done.returncode == 0, done.stdout + done.stderr

    def clear(self) -> None:
        """Take out what was indexed."""
        for name in (f"{INDEX}*", EXCEPTIONS):
            self.node.call("DELETE", f"/{name}?ignore_unavailable=true&allow_no_indices=true")

    def index(self, records: Any, tables: Any = None) -> None:
        """Records, through the pipeline with this register, as the package would hold it."""
        if tables is not None:
            text = events_pipeline(replace(made(), register=tables))
            self.node.call("PUT", f"/_ingest/pipeline/{INDEX}", json.loads(text))
        self.node.call("DELETE", f"/{INDEX}?ignore_unavailable=true")
        self.node.call("PUT", f"/{INDEX}")
        for first in range(0, len(records), 1000):
            lines = []
            for place, record in enumerate(records[first : first + 1000], first):
                lines += [json.dumps({"create": {"_id": str(place)}}), json.dumps(record, ensure_ascii=False)]
            self.node.call("POST", f"/{INDEX}/_bulk", ("\n".join(lines) + "\n").encode())
        self.node.call("POST", f"/{INDEX}/_refresh")

    def run(self, stem: str, end: Any, size: int = 0) -> tuple[bool, set[int]]:
        """Whether a monitor's trigger fires in the run that ends then, and the records of its search."""
        return self.run_text(self.files[f"monitors/{stem}.json"], end, size)

    def runs(self, stem: str, ends: list[Any]) -> set[int]:
        """Records that the runs of a monitor find."""
        found: set[int] = set()
        for end in ends:
            fires, places = self.run(stem, end, size=10_000)
            assert fires is bool(places)
            found |= places
        return found

    def run_text(self, text: str, end: Any, size: int = 0) -> tuple[bool, set[int]]:
        """The same of a monitor's text."""
        search = json.loads(text)["inputs"][0]["search"]
        assert search["indices"] == [INDEX]
        body = json.loads(json.dumps(search["query"]).replace("{{period_end}}", str(int(end.timestamp() * 1000))))
        if size:
            body["size"] = size
        said = self.node.call("POST", f"/{INDEX}/_search", body)
        (one,) = json.loads(text)["triggers"]
        condition = one["query_level_trigger"]["condition"]["script"]
        assert condition["lang"] == "painless"
        answer = {"hits": {"total": said["hits"]["total"]}, "aggregations": said.get("aggregations", {})}
        context = {"params": {"ctx": {"results": [answer]}}}
        source = condition["source"]
        if "fired(ctx" in source:
            before, _, after = source.rpartition("fired(ctx")
            source = f"{before}fired(params.ctx{after}"
        else:
            source = source.replace("ctx.", "params.ctx.")
        if not source.rstrip().endswith(";"):
            source = f"return {source};"
        fired = self.node.call("POST", "/_scripts/painless/_execute", {"script": {"source": source, **context}})[
            "result"
        ]
        return fired == "true", {int(hit["_id"]) for hit in said["hits"]["hits"]}


@pytest.fixture(scope="session", params=[OPENSEARCH_2, OPENSEARCH_3], ids=lambda release: release.name)
def loaded(
    request: pytest.FixtureRequest, archive: Path, files: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Loaded]:
    held = Loaded(started(request.param), unpacked(archive, tmp_path_factory.mktemp("loaded")), files)
    yield held
    held.clear()


# Loaded.


def test_every_asset_that_a_node_can_hold_is_there_as_it_is_in_the_file(loaded: Loaded, files: dict[str, str]) -> None:
    steps = json.loads(files["install.json"])["steps"]
    assert {step["file"] for step in steps} == {
        name for name in files if name.startswith("pipelines/") or name in ("template.json", "exceptions.json")
    }
    for step in steps:
        said = json.loads(files[step["file"]])
        if step["path"].startswith("_ingest/"):
            (held,) = loaded.node.call("GET", f"/{step['path']}").values()
            assert held == said
        elif step["path"].startswith("_index_template/"):
            (one,) = loaded.node.call("GET", f"/{step['path']}")["index_templates"]
            assert one["index_template"]["template"]["mappings"] == json.loads(json.dumps(said["template"]["mappings"]))
        else:
            assert loaded.node.call("GET", f"/{step['path']}/_mapping")


def by_register(*, whole: bool) -> list[list[Cell]]:
    """Cases as they are written, those of one register together; the first of each kind of a rule, or all."""
    found: dict[str, list[Cell]] = {}
    for subject in SINGLE:
        for fires in (True, False):
            cases = [case for case in subject.cases if case.fires is fires]
            for case in cases if whole else cases[:1]:
                records = case.records(BASES)
                cell = Cell(subject, case, Variant(AS_WRITTEN, records, Same.AS_CASE), records)
                found.setdefault(json.dumps(case.tables(BASES), sort_keys=True, default=str), []).append(cell)
    return list(found.values())


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["first", "all"])
def test_every_monitor_on_single_records_finds_its_attacks_and_nothing_else(*, whole: bool, loaded: Loaded) -> None:
    fired = set()
    for cells in by_register(whole=whole):
        stems = {cell.subject.stem for cell in cells}

        def judge(records: Any, tables: Any, _now: Any, stems: set[str] = stems) -> Verdicts:
            loaded.index(records, tables)
            runs = ending(records)
            hits = {stem: loaded.runs(stem, runs) for stem in stems}
            return Verdicts([{} for _ in records], {}, hits, {})

        for verdicts, placed in judged_cells(cells, BASES, judge, EVENTS):
            for number, start in placed:
                cell = cells[number]
                hit = bool(verdicts.event_hits[cell.subject.stem] & set(range(start, start + len(cell.records))))
                assert hit is cell.case.fires, (cell.subject.stem, cell.case.sentence)
                if hit:
                    fired.add(cell.subject.stem)
    assert fired == {s.stem for s in SINGLE}


def ending(records: Any) -> list[Any]:
    """Ends of hourly runs, where there are records."""
    ends: list[Any] = []
    for time in sorted({moment(record["@timestamp"]) for record in records if record.get("@timestamp")}, reverse=True):
        if not ends or time <= ends[-1] - timedelta(minutes=65):
            ends.append(time + timedelta(minutes=6))
    return ends


@pytest.mark.parametrize("subject", CORRELATED, ids=lambda s: s.stem)
def test_every_monitor_that_correlates_fires_and_stays_quiet(subject: Subject, loaded: Loaded) -> None:
    for fires in (True, False):
        case = next(case for case in subject.cases if case.fires is fires)
        records = case.records(BASES)
        loaded.index(records, case.tables(BASES))
        end = max(moment(record["@timestamp"]) for record in records) + timedelta(minutes=6)
        assert loaded.run(subject.stem, end)[0] is fires, case.sentence


def test_an_exception_is_read_when_a_monitor_runs(loaded: Loaded) -> None:
    rule = next(r for r in made().rules if r.stem == "service_actor_without_user")
    case = next(c for s in SINGLE if s.stem == rule.stem for c in s.cases if c.fires)
    records = case.records(BASES)
    loaded.index(records, case.tables(BASES))
    end = max(moment(record["@timestamp"]) for record in records) + timedelta(minutes=6)
    (place,) = loaded.run(rule.stem, end)[1]
    source = loaded.node.call("GET", f"/{INDEX}/_doc/{place}")["_source"]
    field = next(name for name in excepting(rule, EVENTS) if isinstance(source.get(name), str))
    for document in (rule.stem, "all_rules"):
        for values, left in (([source[field].upper()], False), (["somebody else"], True)):
            loaded.node.call("PUT", f"/{EXCEPTIONS}/_doc/{document}?refresh=true", {field: values})
            assert loaded.run(rule.stem, end)[0] is left, (document, values)
        loaded.node.call("DELETE", f"/{EXCEPTIONS}/_doc/{document}?refresh=true")
    assert loaded.run(rule.stem, end)[0]


def test_the_assets_of_the_next_version_go_over_those_that_are_there_and_exceptions_stay(
    loaded: Loaded, tmp_path: Path
) -> None:
    loaded.node.call("PUT", f"/{EXCEPTIONS}/_doc/all_rules?refresh=true", {"user.id": ["ana"]})
    row = dict.fromkeys(("kind", "agent", "trusted", "domains", "first_seen"))
    register = {"clients": [{**row, "id": "svc", "kind": "service"}]}
    newer = build(PACKAGE, replace(made(), version="0.2.0", register=register), tmp_path / "b").path
    assert installed(unpacked(newer, tmp_path), "assets", "--opensearch", loaded.node.url).returncode == 0
    held = loaded.node.call("GET", f"/_ingest/pipeline/{INDEX}")[INDEX]
    assert held["processors"][2]["script"]["params"]["services"]["svc"]["kind"] == "service"
    assert loaded.node.call("GET", f"/{EXCEPTIONS}/_doc/all_rules")["_source"] == {"user.id": ["ana"]}
    loaded.node.call("DELETE", f"/{EXCEPTIONS}/_doc/all_rules?refresh=true")


# The package for Elasticsearch: its pipelines.


def test_the_pipeline_of_the_package_for_elasticsearch_makes_what_its_tests_index(
    loaded: Loaded, tmp_path: Path
) -> None:
    other = load("elastic")
    found = opened(build(other, replace(made(), rules=(), refused={}), tmp_path).path, "countersign-elastic/")
    records = [record for s in SINGLE for case in s.cases if case.fires for record in case.records(BASES)][:150]
    records.append({**records[0], "event.ingested": "1999-01-01T00:00:00Z", "user.id": "a␟b"})
    asked = {"pipeline": json.loads(found[f"pipelines/{INDEX}.json"]), "docs": [{"_source": r} for r in records]}
    said = loaded.node.call("POST", "/_ingest/pipeline/_simulate", asked)["docs"]
    for record, answer in zip(records, said, strict=True):
        try:
            wanted = prepared(record, EVENTS)
        except WrongType:
            assert "error" in answer
            continue
        made_ = answer["doc"]["_source"]
        assert made_["event"]["ingested"] > "2000"
        assert {name: value for name, value in made_.items() if name in wanted} == wanted
    for name, text in found.items():
        if name.startswith("pipelines/"):
            loaded.node.call("PUT", f"/_ingest/pipeline/check-{Path(name).stem}", json.loads(text))
            loaded.node.call("DELETE", f"/_ingest/pipeline/check-{Path(name).stem}")


# Monitors, stored by a model of Alerting.


class Alerting:
    """Monitors over HTTP, as "Alerting API" says: bodies come back with what the server adds; and plain documents."""

    def __init__(self) -> None:
        self.monitors: dict[str, dict[str, Any]] = {}
        self.documents: dict[str, dict[str, Any]] = {}
        self.rules: dict[str, str] = {}
        self.others: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Serve on a free port of loopback."""
        alerting = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                status, said = alerting.take(self.command, self.path.lstrip("/"), body)
                data = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - the server's names

            def log_message(self, *_said: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_raised: object) -> None:
        """Stop."""
        self.server.shutdown()
        self.server.server_close()

    def take(self, method: str, path: str, body: bytes) -> tuple[int, Any]:  # noqa: PLR0911 - one return a request
        """One request."""
        place, _, _options = path.partition("?")
        if place.startswith("_plugins/_security_analytics/"):
            return 200, self.analytics(method, place.split("/", 2)[2], body)
        if place == "_plugins/_alerting/monitors/_search":
            if not self.monitors:
                return 404, {"error": "no such index [.opendistro-alerting-config]"}
            hits = [{"_id": identity, "_source": one} for identity, one in self.monitors.items()]
            return 200, {"hits": {"hits": hits}}
        if place.startswith("_plugins/_alerting/monitors"):
            identity = place.partition("monitors/")[2] or f"m{len(self.monitors)}"
            if method in ("POST", "PUT"):
                self.monitors[identity] = stored(json.loads(body))
            if method == "DELETE":
                self.monitors.pop(identity)
                return 200, {}
            return 200, {"_id": identity, "monitor": self.monitors[identity]}
        index, _, rest = place.partition("/")
        if rest == "_search":
            if not self.documents:
                return 404, {"error": "no such index"}
            return 200, {"hits": {"hits": [{"_id": key, "_source": one} for key, one in self.documents.items()]}}
        if method == "PUT" and rest.startswith("_doc/"):
            self.documents[rest.removeprefix("_doc/").replace("%20", " ")] = json.loads(body)
        assert index == "countersign-installed" or method == "DELETE"
        return 200, {}

    def analytics(self, method: str, what: str, body: bytes) -> Any:
        """Security Analytics: rules in YAML, everything else in JSON."""
        if what == "rules":
            document = yaml.safe_load(body)
            self.rules[f"r{len(self.rules)}"] = document["title"]
            return {"_id": f"r{len(self.rules) - 1}"}
        if what == "rules/_search":
            hits = [{"_id": i, "_source": {"title": t, "category": "countersign"}} for i, t in self.rules.items()]
            return {"hits": {"hits": hits}}
        if what.endswith("/_search"):
            kind = what.split("/", maxsplit=1)[0]
            return {"hits": {"hits": [{"_id": kind, "_source": self.others[kind]}] if kind in self.others else []}}
        if method in ("POST", "PUT") and not what.startswith("rules/"):
            self.others[what.split("/", maxsplit=1)[0]] = json.loads(body)
        return {"_id": what}


def stored(monitor_: dict[str, Any]) -> dict[str, Any]:
    """A monitor as the server gives it back: defaults are written out, ids are made."""
    made_ = json.loads(json.dumps(monitor_))
    made_["schema_version"] = 8
    made_["inputs"][0]["search"]["query"]["query"]["bool"]["boost"] = 1.0
    for at, one in enumerate(made_["triggers"]):
        one["query_level_trigger"].setdefault("id", f"t{at}")
    return made_


def bent(made_: Content, stem: str) -> Content:
    """The next version: one rule is gone, another asks for something else."""
    rules = tuple(
        replace(rule, query=rule.query.replace('"size": 100', '"size": 99')) if rule.stem == stem else rule
        for rule in made_.rules[1:]
    )
    return replace(made_, version="0.2.0", rules=rules)


def test_an_upgrade_keeps_what_the_admin_changed(archive: Path, tmp_path: Path) -> None:
    stem = made().rules[5].stem
    mine, disabled = made().rules[6].stem, made().rules[7].stem
    threshold = next(rule.stem for rule in made().rules if rule.window_sec)
    newer = build(PACKAGE, bent(made(), stem), tmp_path / "n1.d").path
    old, new = unpacked(archive, tmp_path / "n"), unpacked(newer, tmp_path / "n1")
    with Alerting() as alerting:
        assert installed(old, "monitors", "--opensearch", alerting.url).returncode == 0
        by_name = {one["name"]: one for one in alerting.monitors.values()}
        assert len(by_name) == len(made().rules)
        by_name[f"countersign {disabled}"] |= {
            "enabled": False,
            "schedule": {"period": {"interval": 5, "unit": "HOURS"}},
        }
        action = {"name": "mail", "destination_id": "d"}
        for one in (disabled, stem):
            by_name[f"countersign {one}"]["triggers"][0]["query_level_trigger"] |= {
                "actions": [action],
                "severity": "5",
            }
        search = by_name[f"countersign {mine}"]["inputs"][0]["search"]["query"]
        search["query"]["bool"]["must_not"].append({"term": {"user.id": "ana"}})
        script = by_name[f"countersign {threshold}"]["triggers"][0]["query_level_trigger"]["condition"]["script"]
        script["source"] = re.sub(r"'least': \d+", "'least': 99", script["source"])
        before = json.loads(json.dumps(alerting.monitors))
        for _ in range(2):  # what was kept is kept the second time too
            done = installed(new, "monitors", "--opensearch", alerting.url)
            assert done.returncode == 0, done.stderr
            after = {one["name"]: one for one in alerting.monitors.values()}
            assert after[f"countersign {disabled}"]["enabled"] is False
            assert after[f"countersign {disabled}"]["schedule"]["period"]["unit"] == "HOURS"
            changed = after[f"countersign {stem}"]
            assert changed["inputs"][0]["search"]["query"]["size"] == 99
            assert changed["triggers"][0]["query_level_trigger"]["actions"] == [action]
            assert changed["triggers"][0]["query_level_trigger"]["severity"] == "5"
            kept = after[f"countersign {mine}"]["inputs"][0]["search"]["query"]["query"]["bool"]["must_not"]
            assert {"term": {"user.id": "ana"}} in kept
            kept = after[f"countersign {threshold}"]["triggers"][0]["query_level_trigger"]["condition"]["script"]
            assert "'least': 99" in kept["source"]
            assert f"countersign {mine}: its search was changed" in done.stdout
            assert f"countersign {threshold}: its condition was changed" in done.stdout
            assert done.stdout.count("was changed") == 2
            assert f"countersign {made().rules[0].stem}: no longer in the package" in done.stdout
        assert len(alerting.monitors) == len(before)
        assert installed(new, "remove", "--opensearch", alerting.url).returncode == 0
        assert not alerting.monitors


def test_a_monitor_that_somebody_imported_by_hand_keeps_its_settings(archive: Path, tmp_path: Path) -> None:
    with Alerting() as alerting:
        by_hand = json.loads(opened(archive)[f"monitors/{made().rules[0].stem}.json"])
        alerting.monitors["hand"] = stored(by_hand) | {"enabled": False}
        done = installed(unpacked(archive, tmp_path), "monitors", "--opensearch", alerting.url)
        assert alerting.monitors["hand"]["enabled"] is False
        assert "was not put by this script" in done.stdout


def test_a_dry_run_makes_nothing(archive: Path, tmp_path: Path) -> None:
    with Alerting() as alerting:
        done = installed(unpacked(archive, tmp_path), "monitors", "--opensearch", alerting.url, "--dry-run")
        assert done.returncode == 0
        assert not alerting.monitors
        assert not alerting.documents


# Security Analytics.


def test_custom_rules_hold_what_its_parser_knows_and_say_why_not_the_others(files: dict[str, str]) -> None:
    held = {Path(name).stem: text for name, text in files.items() if name.startswith("security-analytics/rules/")}
    refused = json.loads(files["security-analytics/not_held.json"])
    assert held.keys() | refused.keys() == {rule.stem for rule in made().rules} | set(made().refused)
    assert not held.keys() & refused.keys()
    assert {"token_in_url", "runaway_calls", "correlation_id_flawed"} <= refused.keys()
    for stem, text in held.items():
        document = yaml.safe_load(text)
        words = set(re.findall(r"\|([a-z0-9]+)", json.dumps(list(_keys(document["detection"])))))
        assert words <= KNOWN, stem
        assert document["logsource"] == {"product": "countersign", "category": "countersign"}
        assert text.startswith("title: ")
        SigmaRule.from_yaml(text)


def _keys(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from _keys(value)
    if isinstance(node, list):
        for one in node:
            yield from _keys(one)


def test_a_custom_rule_means_what_the_rule_means(files: dict[str, str]) -> None:
    from harness.oracle import matches  # noqa: PLC0415

    wrong = []
    for subject in SINGLE:
        text = files.get(f"security-analytics/rules/{subject.stem}.yml")
        if text is None:
            continue
        rule = SigmaRule.from_yaml(text)
        for case in subject.cases:
            for record in case.records(BASES):
                try:
                    facts = prepared(record, EVENTS)
                except WrongType:
                    continue
                if matches(rule, facts) != matches(subject.rule, facts):
                    wrong.append((subject.stem, case.sentence))
    assert wrong == []


def test_security_analytics_is_filled_twice_without_doubles(archive: Path, tmp_path: Path) -> None:
    folder = unpacked(archive, tmp_path)
    rules = len(list((folder / "security-analytics" / "rules").glob("*.yml")))
    with Alerting() as alerting:
        for _ in range(2):
            done = installed(folder, "security-analytics", "--opensearch", alerting.url)
            assert done.returncode == 0, done.stdout + done.stderr
            held = alerting.others["detectors"]["inputs"][0]["detector_input"]
            assert len(held["custom_rules"]) == len(alerting.rules) == rules
            assert alerting.others["logtype"]["name"] == "countersign"


# Hostile names, and what is refused.


@pytest.mark.parametrize(
    "title", ['a "quote"', "x | y", "</script>", "back`tick` $(id)", "two: colons", "a\\b", "{{x}}"]
)
def test_a_hostile_title_is_text_or_not_held(title: str, tmp_path: Path) -> None:
    rule = made().rules[0]
    source = yaml.safe_load(rule.source) | {"title": title}
    changed = replace(rule, title=title, description=title, source=yaml.safe_dump(source))
    found = opened(build(PACKAGE, replace(made(), rules=(changed,)), tmp_path).path)
    assert json.loads(found[f"monitors/{rule.stem}.json"])["name"] == f"countersign {rule.stem}"
    assert title not in found["README.md"]
    held = found.get(f"security-analytics/rules/{rule.stem}.yml")
    assert (
        yaml.safe_load(held)["title"] == title
        if held
        else rule.stem in json.loads(found["security-analytics/not_held.json"])
    )


def test_a_value_that_alerting_would_fill_in_is_refused_and_the_good_package_stays(tmp_path: Path) -> None:
    rule = made().rules[0]
    good = build(PACKAGE, replace(made(), rules=(rule,)), tmp_path).path.read_bytes()
    for changed, said in (
        (replace(rule, query=rule.query.replace('"service"', '"{{ctx}}"')), "fill in"),
        (replace(rule, stem="../x"), "rename its file"),
    ):
        with pytest.raises(Mistakes, match=said):
            build(PACKAGE, replace(made(), rules=(changed,)), tmp_path)
    assert (tmp_path / f"countersign-opensearch-{made().version}.zip").read_bytes() == good


def test_a_register_that_is_too_large_for_the_clusters_state_is_refused() -> None:
    row = dict.fromkeys(("kind", "agent", "trusted", "domains", "first_seen"))
    many = {"clients": [{**row, "id": f"{n:0>100}", "kind": "service"} for n in range(30_000)]}
    with pytest.raises(NotAllowed, match="shorten it"):
        PACKAGE.files(replace(made(), register=many))


def test_two_builds_are_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    assert build(PACKAGE, made(), tmp_path / "b").path.read_bytes() == archive.read_bytes()


def test_a_search_of_a_monitor_is_the_compiled_one_with_exceptions() -> None:
    for rule in made().rules:
        body = json.loads(rule.query.split("\n", 1)[1])["inputs"][0]["search"]["query"]
        said = monitor(rule, EVENTS)["inputs"][0]["search"]["query"]
        taken = said["query"]["bool"].pop("must_not")
        assert said == body
        assert {name for one in taken for name in one["terms"]} <= set(rule.group_by)
    assert isinstance(EVENTS, Vocabulary)
    assert custom_rules(made())[0]
