"""The package for Elasticsearch, as it is in the archive: a node takes it, its rules fire there, and an upgrade keeps.

The node of the tests has no data streams and no ingest processors: it gets a copy of the index template without that
stanza, and records as the pipeline leaves them (its script runs in test_package_opensearch.py). Kibana is a model
(tests/kibana.py).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from kibana import LIST_SCHEMA, RULE_SCHEMA, Kibana, asked
from sampling import one_in

from backends.absence import WrongType
from backends.elastic import assets
from backends.elastic.attack import TACTICS, TECHNIQUES, threat
from backends.elastic.dashboards import dashboards
from backends.elastic.detection_rule import plain
from backends.elastic.ingest import prepared
from backends.elastic.register import SHAPES, mapping
from backends.elastic.rule_query import GROUP, JOINING, grouping, schedule
from backends.elastic.target import VIEWS
from backends.elastic.template import template
from backends.errors import Mistakes
from backends.package import Content, NotAllowed, load
from backends.sources import SourceMaps
from harness.building import build, content
from harness.case import Bases, moment
from harness.engines import elastic as engine
from harness.engines.node.start import NodeError
from harness.judging import sources_of, subjects_of
from harness.matrix import AS_WRITTEN, Cell, Verdicts
from harness.own import chosen
from harness.paths import Root
from harness.proof import judged_cells
from harness.variants import Same, Variant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from harness.matrix import Subject

pytestmark = pytest.mark.xdist_group("elastic")

ROOT = Root.default()
PACKAGE = load("elastic")
TOP = "countersign-elastic/"
CHAINED = "chain.esql" in VIEWS
RULES = [rule for rule in chosen(ROOT, ()) if rule.service == "event" or CHAINED]
SUBJECTS, EVENTS, CHAINS = subjects_of(ROOT, ROOT.rules)
SOURCES = sources_of(SUBJECTS, SourceMaps.load(ROOT.sources))
SINGLE = [s for s in SUBJECTS if not s.of_chains and not s.correlates]
ALONE = [s for s in SUBJECTS if s.correlates or (s.of_chains and CHAINED)]
BASES = Bases.honest()
HOSTILE = (
    'a "quoted" title',
    "it's | take 1",
    "closing ] and )",
    "</script><b>",
    "back`tick` $(id) ${x} {{x}}",
    "!{investigate{}} [a](https://evil.example)",
    '\\ backslash \\" more // comment',
)


@cache
def made() -> Content:
    """The pack, with the sources that cases make up beside those of the maps."""
    whole = content(ROOT, PACKAGE, RULES)
    return replace(whole, never=SOURCES.never, client_ids=SOURCES.client_ids)


def opened(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as packed:
        return {name.removeprefix(TOP): packed.read(name).decode() for name in packed.namelist()}


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(PACKAGE, made(), tmp_path_factory.mktemp("elastic")).path


@pytest.fixture(scope="session")
def files(archive: Path) -> dict[str, str]:
    return opened(archive)


@pytest.fixture(scope="session")
def lines(files: dict[str, str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in files["rules.ndjson"].split("\n") if line]


@pytest.fixture(scope="session")
def rules(lines: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Stem → the object that is imported."""
    return {one["meta"]["countersign"]["stem"]: one for one in lines if "rule_id" in one}


def unpacked(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path) as packed:
        packed.extractall(folder)
    return folder / TOP


def changed(**more: Any) -> Content:
    """The first rule alone, bent."""
    return replace(made(), rules=(replace(made().rules[0], **more),))


def installed(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "install.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


# The shape.


def test_every_rule_has_the_shape_that_kibana_publishes(lines: list[dict[str, Any]]) -> None:
    assert len(lines) == len(RULES) + 1
    for one in lines[:-1]:
        jsonschema.validate(one, RULE_SCHEMA)
    jsonschema.validate(lines[-1], LIST_SCHEMA)
    assert len({one["rule_id"] for one in lines[:-1]}) == len({one["name"] for one in lines[:-1]}) == len(RULES)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("severity", "informational"),
        ("risk_score", 101),
        ("query", ""),
        ("from", "65m"),
        ("unknown", 1),
        ("alert_suppression", {"group_by": ["a", "b", "c", "d"]}),
        ("threat", [{"framework": "MITRE ATT&CK", "tactic": {"id": "TA0001"}}]),
    ],
)
def test_the_shape_refuses_what_kibana_would(key: str, value: Any, rules: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**next(iter(rules.values())), key: value}, RULE_SCHEMA)


def test_a_rule_is_the_packs_own_and_refers_to_the_shared_exceptions(
    rules: dict[str, dict[str, Any]], lines: list[dict[str, Any]]
) -> None:
    for rule in made().rules:
        one = rules[rule.stem]
        assert (one["rule_id"], one["version"], one["name"]) == (rule.id, rule.version, rule.title)
        assert [each["list_id"] for each in one["exceptions_list"]] == [lines[-1]["list_id"]]
        assert set(rule.tags) < set(one["tags"])
        assert plain(rule.description) in one["note"]
        assert all(table in one["setup"] for table in rule.needs_register)
        suppressed = one.get("alert_suppression", {"group_by": []})
        assert suppressed["group_by"] == grouping(rule)


def test_a_period_of_grouping_is_the_duration_of_suppression(rules: dict[str, dict[str, Any]]) -> None:
    sizes = {"s": 1, "m": 60, "h": 3600}
    for rule in made().rules:
        if "alert_suppression" in rules[rule.stem]:
            duration = rules[rule.stem]["alert_suppression"]["duration"]
            assert duration["value"] * sizes[duration["unit"]] == rule.period_sec


def test_every_tag_of_attack_is_in_the_threat_mapping(rules: dict[str, dict[str, Any]]) -> None:
    for rule in made().rules:
        said = json.dumps(rules[rule.stem]["threat"])
        for tag in rule.tags:
            if re.fullmatch(r"attack\.t\d{4}(\.\d{3})?", tag):
                number = {"T1684.001": "T1656"}.get(tag[7:].upper(), tag[7:].upper())
                assert f'"id": "{number}"' in said, (rule.stem, tag)
        for one in rules[rule.stem]["threat"]:
            assert (one["tactic"]["id"], one["tactic"]["name"]) in TACTICS.values()
            assert len({technique["id"] for technique in one["technique"]}) == len(one["technique"])
    assert all(set(tactics) <= set(TACTICS) for _, tactics in TECHNIQUES.values())


def test_a_technique_that_nobody_named_a_tactic_for_is_shown_under_its_own() -> None:
    (one,) = threat(["attack.t1078.004", "owasp.mcp01-2025", "attack.t9999"])
    assert one["tactic"]["name"] == "Defense Evasion"
    assert one["technique"][0]["subtechnique"][0]["name"] == "Cloud Accounts"


def test_required_fields_are_sent_ones_with_the_type_that_the_template_gives(
    rules: dict[str, dict[str, Any]], files: dict[str, str]
) -> None:
    stored = json.loads(files["templates/countersign-events-mappings.json"])["template"]["mappings"]
    for one in rules.values():
        assert {"name": "@timestamp", "type": "date_nanos"} in one["required_fields"] or "chain" in one["query"]
        for field in one["required_fields"]:
            node = stored
            for key in EVENTS.fields[field["name"]].path:
                node = node["properties"][key]
            assert node["type"] == field["type"], field
            assert not EVENTS.fields[field["name"]].derived


# Time: Kibana's filter, and the query's own.


def test_an_event_rule_leaves_the_time_to_kibana_and_the_others_look_back_as_far_as_their_query(
    rules: dict[str, dict[str, Any]],
) -> None:
    for rule in made().rules:
        one, (interval, back) = rules[rule.stem], schedule(rule)
        bounds = [int(n) for n in re.findall(r"@timestamp >= NOW\(\) - (\d+) minutes", one["query"])]
        assert one["from"] == f"now-{back}m"
        assert back > interval
        if rule.service == "event" and not rule.window_sec:
            assert "NOW()" not in one["query"]
        else:
            assert len(bounds) == 1
            assert back >= bounds[0]
            assert interval < 60
        assert not one["query"].splitlines()[-1].startswith("//"), "Kibana appends to the last line"


# Loaded into the node.


class Loaded:
    """The node with the package's own assets."""

    def __init__(self, files: Mapping[str, str], folder: Path) -> None:
        self.files, self.folder, self.node = files, folder, engine.node()
        self.rows: dict[str, str] = {}
        self.held: list[str] = []

    def put(self) -> None:
        """Everything, as install.py does it, but the data stream and the pipelines."""
        sys.path.insert(0, str(self.folder))
        import rest  # noqa: PLC0415 - of the package

        self.rest, self.server = rest, rest.Server(self.node.url)
        self.node.call("DELETE", f"/countersign-events,{assets.SEES}?ignore_unavailable=true")
        for name in SHAPES:  # the node made these of the very same bodies; making them again takes a second each
            assert json.loads(self.files[f"lookups/{name}.json"]) == mapping(name)
        for step in rest.steps({"put", "index", "rows"}, self.folder):
            if step["path"].startswith("_ingest/"):
                continue
            if step["path"].startswith("_index_template/"):
                self.node.call("PUT", f"/{step['path']}", without_stream(json.loads(self.files[step["file"]])))
            else:
                rest.do(self.server, step, self.folder)
        self.node.call("PUT", "/countersign-events")

    def register(self, tables: Any) -> None:
        """Rows of another register, as the package would hold them."""
        for name, rows in assets.lookup_rows(replace(made(), register=tables)).items():
            if self.rows.get(name) == rows:
                continue
            self.rows[name] = rows
            key = next(iter(assets.lookup_mappings()[name]["mappings"]["properties"]))
            self.rest._rows(self.server, name, key, rows)

    def index(self, records: Sequence[dict[str, Any]], arrived: datetime) -> None:
        """Records as the pipeline leaves them."""
        said = [json.dumps({"delete": {"_id": place}}) for place in self.held]
        self.held = []
        for place, record in enumerate(records):
            try:
                document = prepared(record, EVENTS)
            except WrongType:
                continue
            document["event.ingested"] = arrived.isoformat()
            said += [json.dumps({"create": {"_id": str(place)}}), json.dumps(document, ensure_ascii=False)]
            self.held.append(str(place))
        body = ("\n".join(said) + "\n").encode()
        done = self.node.call("POST", "/countersign-events/_bulk?refresh=true&pipeline=_none", body)
        assert not done["errors"]

    def ask(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Rows, and that the node has nothing to warn of is not asked: a warning is a line of the answer's head."""
        said = self.node.call("POST", "/_query", body)
        names = [column["name"] for column in said["columns"]]
        return [{n: v for n, v in zip(names, row, strict=True) if v is not None} for row in said["values"]]

    def run(self, rule: dict[str, Any], excepted: Sequence[dict[str, Any]] = ()) -> list[dict[str, Any]]:
        """What Kibana would get for a rule now."""
        now = datetime.now(UTC)
        back = timedelta(minutes=int(re.findall(r"\d+", rule["from"])[0]))
        return self.ask(asked(rule, (now - back).isoformat(), now.isoformat(), list(excepted)))

    def clear(self) -> None:
        """Leave the node as its other users know it."""
        sys.path.remove(str(self.folder))
        self.node.call("DELETE", f"/countersign-events,{assets.SEES}?ignore_unavailable=true")
        for name in SHAPES:
            pairs = [line for line in self.rows.get(name, self.files[f"lookups/{name}.ndjson"]).split("\n") if line]
            ids = (json.loads(line)["index"]["_id"] for line in pairs[::2])
            engine.LOOKED_UP[name] = dict(zip(ids, pairs[1::2], strict=True))
        self.node.call("PUT", "/_index_template/countersign-events", template(EVENTS))


def without_stream(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != "data_stream"}


@pytest.fixture(scope="session")
def loaded(archive: Path, files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    held = Loaded(files, unpacked(archive, tmp_path_factory.mktemp("loaded")))
    held.put()
    yield held
    held.clear()


def test_the_node_holds_what_the_files_say_and_lacks_the_data_stream_alone(
    loaded: Loaded, files: dict[str, str]
) -> None:
    shipped = json.loads(files["templates/index/countersign-events.json"])
    assert shipped["data_stream"] == {}
    assert {*shipped} - {*without_stream(shipped)} == {"data_stream"}
    (held,) = loaded.node.call("GET", "/_index_template/countersign-events")["index_templates"]
    assert {k: v for k, v in held["index_template"].items() if k != "template"} == without_stream(shipped)
    for part in ("settings", "mappings"):
        (found,) = loaded.node.call("GET", f"/_component_template/countersign-events-{part}")["component_templates"]
        said = json.loads(files[f"templates/countersign-events-{part}.json"])["template"]
        if part == "mappings":
            assert found["component_template"]["template"]["mappings"] == said["mappings"]
        else:
            settings = found["component_template"]["template"]["settings"]["index"]
            assert settings["default_pipeline"] == said["settings"]["index.default_pipeline"]
    # the node reads that stanza too, and only makes no stream of it
    elsewhere = {**shipped, "index_patterns": ["countersign-stream*"]}
    loaded.node.call("PUT", "/_index_template/countersign-stream", elsewhere)
    with pytest.raises(NodeError):
        loaded.node.call("PUT", "/_data_stream/countersign-stream")
    loaded.node.call("DELETE", "/_index_template/countersign-stream")


def test_the_index_that_the_templates_make_maps_each_field_as_the_schema_says(loaded: Loaded) -> None:
    loaded.index([], datetime.now(UTC)) if False else loaded.node.call(
        "DELETE", "/countersign-events?ignore_unavailable=true"
    )
    loaded.node.call("PUT", "/countersign-events")
    made_ = loaded.node.call("GET", "/countersign-events/_mapping")["countersign-events"]["mappings"]
    wanted = template(EVENTS)["template"]["mappings"]
    assert made_["properties"]["event"]["properties"].pop("ingested") == {"type": "date"}
    assert made_["properties"] == json.loads(json.dumps(wanted["properties"]))


def test_the_lookup_indices_hold_the_rows_of_the_files(loaded: Loaded, files: dict[str, str]) -> None:
    for name in (*SHAPES, assets.SEES):
        rows = [line for line in files[f"lookups/{name}.ndjson"].split("\n") if line][1::2]
        found = loaded.node.call("GET", f"/{name}/_search?size=1000")["hits"]["hits"]
        assert sorted(json.dumps(hit["_source"], sort_keys=True) for hit in found) == sorted(
            json.dumps(json.loads(row), sort_keys=True) for row in rows
        )
        assert loaded.node.call("GET", f"/{name}/_settings")[name]["settings"]["index"]["mode"] == "lookup"


# Hit by attack data.

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def later(node: Any, by: timedelta) -> Any:
    """Records or tables, every time of them moved."""
    if isinstance(node, dict):
        return {key: later(value, by) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [later(value, by) for value in node]
    if isinstance(node, str) and _TIME.fullmatch(node):
        return (moment(node) + by).astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return node


def by_register(subjects: Sequence[Subject], *, whole: bool) -> list[list[Cell]]:
    """Cases as they are written, those of one register together; the first of each kind of a rule, or all."""
    found: dict[str, list[Cell]] = {}
    for subject in subjects:
        for fires in (True, False):
            cases = [case for case in subject.cases if case.fires is fires]
            for case in cases if whole else cases[:1]:
                records = case.records(BASES)
                cell = Cell(subject, case, Variant(AS_WRITTEN, records, Same.AS_CASE), records)
                found.setdefault(json.dumps(case.tables(BASES), sort_keys=True, default=str), []).append(cell)
    return list(found.values())


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["first", "all"])
def test_every_event_rule_fires_on_its_attacks_and_stays_quiet_by_the_query_of_the_archive(
    *, whole: bool, loaded: Loaded, rules: dict[str, dict[str, Any]]
) -> None:
    fired = set()
    for cells in by_register(SINGLE, whole=whole):
        stems = {cell.subject.stem for cell in cells}

        def judge(records: Any, tables: Any, _now: Any, stems: set[str] = stems) -> Verdicts:
            loaded.register(tables)
            loaded.index(records, datetime.now(UTC))
            every = {stem: {**rules[stem], "max_signals": 10_000} for stem in stems}
            hits = {stem: {int(row["_id"]) for row in loaded.run(rule)} for stem, rule in every.items()}
            return Verdicts([{} for _ in records], {}, hits, {})

        for verdicts, placed in judged_cells(cells, BASES, judge, EVENTS):
            for number, start in placed:
                cell = cells[number]
                own = range(start, start + len(cell.records))
                hit = bool(verdicts.event_hits[cell.subject.stem] & set(own))
                assert hit is cell.case.fires, (cell.subject.stem, cell.case.sentence)
                if hit:
                    fired.add(cell.subject.stem)
    assert fired == {s.stem for s in SINGLE}


@pytest.mark.parametrize("fires", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["attack", "quiet"])
@pytest.mark.parametrize("stem", one_in(4, [s.stem for s in ALONE]))
def test_every_other_rule_fires_and_stays_quiet_too(
    stem: str, *, fires: bool, loaded: Loaded, rules: dict[str, dict[str, Any]]
) -> None:
    subject = next(s for s in ALONE if s.stem == stem)
    case = next(case for case in subject.cases if case.fires is fires)
    records = case.records(BASES)
    last = max(moment(record["@timestamp"]) for record in records)
    # a chain settles ten minutes after its last record; the hour before the last five minutes is judged
    by = datetime.now(UTC) - timedelta(minutes=20) - last
    loaded.register(later(case.tables(BASES), by))
    loaded.index(later(records, by), datetime.now(UTC))
    rows = loaded.run(rules[stem])
    assert bool(rows) is fires, case.sentence
    groups = rules[stem].get("alert_suppression", {"group_by": []})["group_by"]
    for row in rows:
        assert not any(name.startswith("cs_") for name in row)
        assert set(groups) & set(row) or not groups
    if subject.of_chains:
        assert {"chain.id", "chain.start", "chain.end"} <= set(
            rows[0] if rows else ["chain.id", "chain.start", "chain.end"]
        )


def first_attack(loaded: Loaded, subject: Subject) -> None:
    case = next(case for case in subject.cases if case.fires)
    loaded.register(case.tables(BASES))
    loaded.index(case.records(BASES), datetime.now(UTC))


def test_an_exception_takes_the_records_away_and_leaves_the_register_alone(
    loaded: Loaded, rules: dict[str, dict[str, Any]]
) -> None:
    subject = SINGLE[0]
    first_attack(loaded, subject)
    rows = loaded.run(rules[subject.stem])
    field = next(n for n in ("gen_ai.agent.id", "mcp.server.name", "oauth.client.id") if n in rows[0])
    assert not loaded.run(rules[subject.stem], [{"term": {field: rows[0][field]}}])
    assert loaded.run(rules[subject.stem], [{"term": {field: "somebody else"}}])


def test_records_that_came_before_the_run_looks_back_are_not_seen_again(
    loaded: Loaded, rules: dict[str, dict[str, Any]]
) -> None:
    subject = SINGLE[0]
    case = next(case for case in subject.cases if case.fires)
    loaded.index(case.records(BASES), datetime.now(UTC) - timedelta(minutes=76))
    assert not loaded.run(rules[subject.stem])


def test_more_than_three_groups_are_one_column_that_the_row_has(
    loaded: Loaded, rules: dict[str, dict[str, Any]]
) -> None:
    rule = next(r for r in made().rules if len(r.group_by) > 3 and r.service == "event")
    first_attack(loaded, next(s for s in SINGLE if s.stem == rule.stem))
    assert rules[rule.stem]["alert_suppression"]["group_by"] == [GROUP]
    (row, *_) = loaded.run(rules[rule.stem])
    assert row[GROUP] == " | ".join(str(row.get(name, "-")) for name in rule.group_by)


def test_a_record_whose_chain_is_not_known_is_grouped_by_the_ids_that_join_it(
    loaded: Loaded, rules: dict[str, dict[str, Any]]
) -> None:
    rule = next(r for r in made().rules if r.group_by == ("chain.id",) and r.service == "event")
    case = next(c for s in SINGLE if s.stem == rule.stem for c in s.cases if c.fires)
    loaded.register(case.tables(BASES))
    whole = prepared(case.records(BASES)[-1], EVENTS)
    record = {name: value for name, value in whole.items() if name not in JOINING and name in EVENTS.raw}
    loaded.index([record | ({JOINING[0]: one} if one else {}) for one in ("p1", "p1", "p2", "")], datetime.now(UTC))
    rows = loaded.run(rules[rule.stem])
    assert rules[rule.stem]["alert_suppression"]["group_by"] == [GROUP]
    assert sorted(row[GROUP] for row in rows) == ["3", "p1", "p1", "p2"]


# Views and dashboards.


@pytest.mark.parametrize("name", sorted(n for n in ("events", *(("chain-8.19",) if CHAINED else ()))))
def test_a_view_is_run_as_it_is_shipped(name: str, loaded: Loaded, files: dict[str, str]) -> None:
    first_attack(loaded, SINGLE[0])
    assert loaded.ask({"query": files[f"views/{name}.esql"] + "| LIMIT 10\n"})


def alerts(loaded: Loaded) -> None:
    loaded.node.call("DELETE", "/.alerts-security.alerts-default?ignore_unavailable=true")
    words = (
        "kibana.alert.rule.name",
        "kibana.alert.rule.tags",
        "kibana.alert.severity",
        "kibana.alert.reason",
        "user.id",
    )
    properties = {name: {"type": "keyword"} for name in words} | {"@timestamp": {"type": "date"}}
    index = "/.alerts-security.alerts-default"
    loaded.node.call("PUT", index, {"mappings": {"properties": properties}})
    for ours in (True, False):
        said = {"@timestamp": datetime.now(UTC).isoformat(), "kibana.alert.rule.name": "A rule", "user.id": "ana"}
        said |= {"kibana.alert.rule.tags": ["x", "Countersign"] if ours else ["x"], "kibana.alert.severity": "high"}
        loaded.node.call("POST", f"{index}/_doc?refresh=true", {**said, "kibana.alert.reason": "because"})


def test_every_panel_of_a_dashboard_gives_the_columns_that_it_shows(loaded: Loaded, files: dict[str, str]) -> None:
    first_attack(loaded, SINGLE[0])
    row = dict.fromkeys(("kind", "agent", "trusted", "domains", "first_seen"))
    loaded.register({"clients": [{**row, "id": "svc", "kind": "service"}]})
    alerts(loaded)
    pages = [json.loads(line) for line in files["dashboards.ndjson"].split("\n") if line]
    assert [page["id"] for page in pages] == [f"countersign-{p.name}" for p in dashboards(EVENTS, CHAINS)]
    kinds = {"date": {"date", "date_nanos"}, "number": {"long", "double", "integer"}, "boolean": {"boolean"}}
    for page in pages:
        for panel in json.loads(page["attributes"]["panelsJSON"]):
            state = panel["embeddableConfig"]["attributes"]["state"]
            ((_, layer),) = state["datasourceStates"]["textBased"]["layers"].items()
            assert layer["query"] == state["query"]
            said = loaded.node.call("POST", "/_query", {"query": layer["query"]["esql"]})
            found = {column["name"]: column["type"] for column in said["columns"]}
            assert sorted(found) == sorted(column["fieldName"] for column in layer["columns"]), panel["title"]
            for column in layer["columns"]:
                kind = column["meta"]["type"]
                assert found[column["fieldName"]] in kinds.get(kind, {"keyword", "text"}), (panel["title"], column)
            assert said["values"], panel["title"]
            assert {c["columnId"] for c in state["visualization"]["columns"]} == set(found)
            assert layer["index"] in state["adHocDataViews"]
    overview = json.loads(pages[0]["attributes"]["panelsJSON"])[0]["embeddableConfig"]["attributes"]["state"]
    assert loaded.ask({"query": overview["query"]["esql"]}) == [{"findings": 1, "severity": "high"}]
    loaded.node.call("DELETE", "/.alerts-security.alerts-default")


def test_no_two_panels_lie_over_each_other() -> None:
    for page in dashboards(EVENTS, CHAINS):
        for at, one in enumerate(page.panels):
            assert one.place[0] + one.place[2] <= 48
            for other in page.panels[at + 1 :]:
                apart = any(
                    a.place[side] + a.place[side + 2] <= b.place[side]
                    for side in (0, 1)
                    for a, b in ((one, other), (other, one))
                )
                assert apart, (one.title, other.title)


# Installing and upgrading.


def newer(stem: str) -> Content:
    """The next version: every rule has a new date, one a new query, one is gone, one is new."""
    rules_ = [replace(rule, version=rule.version + 1) for rule in made().rules]
    rules_ = [replace(r, description="Said better.") if r.stem == stem else r for r in rules_[1:]]
    fresh = replace(rules_[-1], id="00000000-0000-4000-8000-000000000001", stem="brand_new", title="Brand New")
    return replace(made(), version="0.2.0", rules=(*rules_, fresh))


@pytest.fixture(scope="session")
def upgrade(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Folders of N and N+1, and the rule that says something else."""
    stem = made().rules[5].stem
    path = build(PACKAGE, newer(stem), tmp_path_factory.mktemp("newer")).path
    return unpacked(archive, tmp_path_factory.mktemp("n")), unpacked(path, tmp_path_factory.mktemp("n1")), stem


def tuned(kibana: Kibana, stems: Sequence[str]) -> None:
    """What an admin changes by hand."""
    by_stem = {one["meta"]["countersign"]["stem"]: one for one in kibana.rules.values()}
    by_stem[stems[0]] |= {"enabled": False, "interval": "5m", "from": "now-3h", "severity": "low", "risk_score": 5}
    by_stem[stems[0]] |= {"actions": [{"id": "mail"}], "tags": [*by_stem[stems[0]]["tags"], "team-a"], "max_signals": 7}
    by_stem[stems[0]]["exceptions_list"].append(
        {"id": "x", "list_id": "own", "type": "rule_default", "namespace_type": "single"}
    )
    by_stem[stems[1]]["query"] = by_stem[stems[1]]["query"].replace("| LIMIT 10000", "| LIMIT 9")
    by_stem[stems[2]]["from"] = "now-10m"
    by_stem[stems[2]]["query"] = by_stem[stems[2]]["query"].strip().replace("\n", "\r\n")
    del by_stem[stems[2]]["alert_suppression"]
    kibana.lists["own"] = {"items": []}
    kibana.lists["countersign-exceptions"]["items"].append({"field": "user.id", "value": "ana"})


@pytest.mark.parametrize("road", ["script", "by hand"])
def test_an_upgrade_keeps_what_the_admin_changed(road: str, upgrade: tuple[Path, Path, str], tmp_path: Path) -> None:
    old, new, stem = upgrade
    stems = [stem, made().rules[6].stem, made().rules[7].stem]
    with Kibana() as kibana:
        assert installed(old, "rules", "--kibana", kibana.url).returncode == 0
        assert len(kibana.rules) == len(RULES)
        assert len(kibana.objects) == 3
        tuned(kibana, stems)
        before = json.loads(json.dumps(kibana.rules))
        if road == "script":
            done = installed(new, "rules", "--kibana", kibana.url)
            said = done.stdout
        else:
            export = tmp_path / "export.ndjson"
            export.write_text(
                "".join(json.dumps(one) + "\n" for one in [*kibana.rules.values(), {"exported_count": 1}])
            )
            done = installed(new, "merge", "--installed", str(export), "--out", str(tmp_path / "merged.ndjson"))
            said = done.stdout
            kibana.imported((tmp_path / "merged.ndjson").read_text(), overwrite="true")
        assert done.returncode == 0, done.stderr
        after = {one["meta"]["countersign"]["stem"]: one for one in kibana.rules.values()}
        for one in kibana.rules.values():
            jsonschema.validate({k: v for k, v in one.items() if k not in ("id", "immutable", "actions")}, RULE_SCHEMA)
        first = after[stems[0]]
        was = before[first["rule_id"]]
        for key in (
            "enabled",
            "interval",
            "from",
            "severity",
            "risk_score",
            "actions",
            "max_signals",
            "exceptions_list",
        ):
            assert (
                sorted(first[key], key=str) == sorted(was[key], key=str)
                if isinstance(was[key], list)
                else first[key] == was[key]
            ), key
        assert "team-a" in first["tags"]
        assert first["description"] == "Said better."
        assert first["version"] == was["version"] + 1
        assert after[stems[1]]["query"].endswith("| LIMIT 9\n")
        third = after[stems[2]]
        assert "alert_suppression" not in third
        assert third["query"].count(str(third["version"])) >= 1, "a query whose line ends alone changed is renewed"
        assert third["from"] != "now-10m", "it would no longer see what it must"
        assert kibana.lists["countersign-exceptions"]["items"] == [{"field": "user.id", "value": "ana"}]
        gone = made().rules[0]
        assert kibana.rules[gone.id] == before[gone.id]
        assert f"{gone.title}: no longer in the package" in said
        assert f"{made().rules[6].title}: its query was changed" in said
        assert "Brand New: new" in said
        assert sum("its query was changed" in line for line in said.splitlines()) == 1


def test_importing_the_bare_file_over_installed_rules_puts_settings_back_so_the_guide_warns(
    upgrade: tuple[Path, Path, str],
) -> None:
    old, new, _ = upgrade
    with Kibana() as kibana:
        installed(old, "rules", "--kibana", kibana.url)
        rule = kibana.rules[made().rules[3].id]
        rule["enabled"] = False
        kibana.imported((new / "rules.ndjson").read_text(), overwrite="true")
        assert kibana.rules[made().rules[3].id]["enabled"] is True
    assert "puts every setting back" in (new / "README.md").read_text()


def test_a_dry_run_changes_nothing_and_a_key_is_never_printed(
    upgrade: tuple[Path, Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSIGN_API_KEY", "c2VjcmV0")
    with Kibana() as kibana:
        done = installed(upgrade[0], "rules", "--kibana", kibana.url, "--dry-run")
        assert done.returncode == 0
        assert not kibana.rules
        assert any(value == "ApiKey c2VjcmV0" for head in kibana.headers for value in head.values())
        assert "c2VjcmV0" not in done.stdout + done.stderr
        wrong = installed(upgrade[0], "assets", "--elasticsearch", f"{kibana.url}/x")
        assert "c2VjcmV0" not in wrong.stdout + wrong.stderr


def test_assets_are_put_again_over_those_that_are_there_and_old_rows_go(loaded: Loaded) -> None:
    two = {"clients": [{"id": one, "kind": "service"} for one in ("one", "two")]}
    empty = dict.fromkeys(made().register, ())
    columns = dict.fromkeys(("kind", "agent", "trusted", "domains", "first_seen"))
    loaded.register({**empty, "clients": [columns | row for row in two["clients"]]})
    loaded.node.call("PUT", "/_component_template/countersign-events@custom", {"template": {}})
    assert loaded.rest.held_in(loaded.server, "countersign-services", "cr_identity") != set()
    for step in loaded.rest.steps({"index", "rows"}, loaded.folder):
        loaded.rest.do(loaded.server, step, loaded.folder)
    loaded.rows.clear()
    assert loaded.rest.held_in(loaded.server, "countersign-services", "cr_identity") == set()
    assert loaded.node.call("GET", "/_component_template/countersign-events@custom")["component_templates"]
    loaded.node.call("DELETE", "/_component_template/countersign-events@custom")


def test_removing_leaves_records_and_exceptions(upgrade: tuple[Path, Path, str]) -> None:
    with Kibana() as kibana:
        installed(upgrade[0], "rules", "--kibana", kibana.url)
        done = installed(upgrade[0], "remove", "--kibana", kibana.url)
        assert done.returncode == 0, done.stderr
        assert not kibana.rules
        assert not kibana.objects
        assert kibana.lists


# Hostile names, and what is refused.


@pytest.mark.parametrize("title", HOSTILE)
def test_a_hostile_title_is_text_everywhere(title: str, tmp_path: Path, rules: dict[str, dict[str, Any]]) -> None:
    bent = changed(title=title, description=f"It says {title}", sentence=title, falsepositives=(title,))
    found = opened(build(PACKAGE, bent, tmp_path).path)
    (one, _) = [json.loads(line) for line in found["rules.ndjson"].split("\n") if line]
    assert one["name"] == title
    assert one["query"] == rules[made().rules[0].stem]["query"]
    assert "!{" not in one["note"]
    assert not re.search(r"(?<!\\)[\[<]", one["note"])
    assert title not in found["README.md"]
    for name, text in found.items():
        if name.endswith((".json", ".ndjson")):
            for part in text.split("\n") if name.endswith(".ndjson") else [text]:
                json.loads(part) if part else None


@pytest.mark.parametrize(
    ("bent", "said"),
    [
        ({"title": "two\nlines"}, "holds the character"),
        ({"title": " "}, "no title"),
        ({"title": "x" * 257}, "shorten it"),
        ({"stem": "../x"}, "rename its file"),
        ({"description": "a\u202eb"}, "holds the character"),
    ],
)
def test_what_kibana_cannot_take_is_refused_and_the_good_package_stays(
    bent: dict[str, Any], said: str, tmp_path: Path
) -> None:
    good = build(PACKAGE, changed(), tmp_path).path.read_bytes()
    with pytest.raises(Mistakes, match=said):
        build(PACKAGE, changed(**bent), tmp_path)
    assert (tmp_path / f"countersign-elastic-{made().version}.zip").read_bytes() == good


def test_two_rules_of_one_title_are_refused() -> None:
    twice = replace(made(), rules=(made().rules[0], replace(made().rules[1], title=made().rules[0].title.upper())))
    with pytest.raises(NotAllowed, match="two rules have the title"):
        PACKAGE.files(twice)


def test_a_hostile_register_is_a_row_and_one_that_is_too_long_is_refused(loaded: Loaded) -> None:
    name = 'x"},{"delete":{}}\n\u2028|`$(id)'
    row = dict.fromkeys(("kind", "agent", "trusted", "domains", "first_seen"))
    loaded.register({"clients": [{**row, "id": name, "kind": "service"}]})
    (hit,) = loaded.node.call("GET", "/countersign-services/_search")["hits"]["hits"]
    assert hit["_source"]["cr_identity"] == name.lower()
    with pytest.raises(NotAllowed, match="shorten it"):
        assets.lookup_rows(replace(made(), register={"clients": [{**row, "id": "x" * 9000, "kind": "service"}]}))


def test_two_builds_are_the_same_bytes_and_list_what_is_inside(archive: Path, tmp_path: Path) -> None:
    again = build(PACKAGE, made(), tmp_path / "elsewhere").path
    assert again.read_bytes() == archive.read_bytes()
    found = opened(again)
    assert len(json.loads(found["rules.json"])["rules"]) == len(RULES)
    steps = json.loads(found["install.json"])["steps"]
    assert {step["file"] for step in steps} == {
        name for name in found if name.startswith(("templates/", "pipelines/", "lookups/"))
    }
