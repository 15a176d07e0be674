"""Drift: a changed installation is told, the pack's own is not, nothing is changed there, and nobody sees who asked.

Elasticsearch and OpenSearch are real nodes. Kibana, Alerting, Splunk and Azure Resource Manager are stubs, written from
their documentation (the pages that harness/drift cites); they are no recordings of a running product.
"""

from __future__ import annotations

import copy
import csv
import io
import json
import ssl
import subprocess
import time
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from arm_deployment import Workspace
from siem_stub import Asked, served

from backends.package import load
from backends.splunk.conf import read
from harness import cli
from harness.building import content
from harness.commands import drift as command
from harness.drift.query_form import formed
from harness.drift.reading import Reader, differing
from harness.own import chosen
from harness.paths import Root
from harness.replay.kit import transport
from harness.replay.kit.transport import Connection, Refused, who

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from backends.package import Content, Package

ROOT = Root.default()
RULES = ("static_api_key", "tools_enumerated", "unregistered_server_called")
TOKEN = "sesame-0123456789"  # noqa: S105 - of nobody
WORKSPACE = (
    "/subscriptions/01234567-89ab-cdef-0123-456789abcdef/resourceGroups/soc"
    "/providers/Microsoft.OperationalInsights/workspaces/soc-logs"
)


@cache
def built(target: str) -> Content:
    """What the package is made from, without a register."""
    return content(ROOT, load(target), list(chosen(ROOT, RULES)))


def made(root: Root, package: Package, rules: Any, register: Path | None) -> Content:
    return content(root, package, rules, register) if register else built(package.target)


@cache
def package(target: str) -> dict[str, str]:
    """The package's files that are texts."""
    return {name: said for name, said in load(target).files(built(target)).items() if isinstance(said, str)}


class Told:
    """What one run said."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self) -> list[str]:
        """What differs."""
        return [line for line in self.out.splitlines() if line.startswith(("rule ", "asset "))]


@pytest.fixture
def drift(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Told]:
    """Runs the command for a few rules, with a token in the environment."""
    monkeypatch.setenv("COUNTERSIGN_TOKEN", TOKEN)
    monkeypatch.setattr(command, "content", made)  # once for all

    def run(target: str, *arguments: str) -> Told:
        named = [word for stem in RULES for word in ("--rule", stem)]
        with pytest.raises(SystemExit) as stopped:
            cli.main(["drift", target, *named, *arguments])
        out, err = capsys.readouterr()
        return Told(int(stopped.value.code or 0), out, err)

    return run


# The stubs: each is what an installation of the package would answer, and can be bent.


def kibana_rules() -> list[dict[str, Any]]:
    """Rules as ``_find`` lists them: what was imported, and what Kibana adds to it."""
    wanted = [json.loads(line) for line in package("elastic")["rules.ndjson"].split("\n") if line]
    more = {
        "id": "89761517-fdb0-4223-b67b-7621acc48f9e",
        "created_at": "2026-11-02T10:05:19.613Z",
        "created_by": "elastic",
        "updated_at": "2026-11-02T10:05:19.830Z",
        "updated_by": "elastic",
        "immutable": False,
        "rule_source": {"type": "internal"},
        "revision": 0,
        "output_index": "",
        "throttle": "no_actions",
    }
    return [{**rule, **more} for rule in wanted if "rule_id" in rule]


def kibana(rules: list[dict[str, Any]]) -> Callable[[Asked], tuple[int, Any]]:
    def answer(asked: Asked) -> tuple[int, Any]:
        assert asked.headers["authorization"] == f"ApiKey {TOKEN}"
        assert asked.path == "/s/soc/api/detection_engine/rules/_find"
        assert asked.query["filter"] == 'alert.attributes.tags: "Countersign"'
        page, size = int(asked.query["page"]), int(asked.query["per_page"])
        part = rules[(page - 1) * size : page * size]
        return 200, {"page": page, "perPage": size, "total": len(rules), "data": part}

    return answer


def splunk_entries() -> dict[str, list[dict[str, Any]]]:
    """Entries by endpoint, as ``output_mode=json`` gives them: booleans of some keys, texts of the others."""
    files = package("splunk")
    found = {}
    for endpoint, path in (
        ("saved/searches", "default/savedsearches.conf"),
        ("configs/conf-macros", "default/macros.conf"),
        ("data/transforms/lookups", "default/transforms.conf"),
    ):
        rows = []
        for name, settings in read(files[path]).items():
            said: dict[str, Any] = {**settings, "eai:acl": None, "disabled": settings.get("disabled") == "1"}
            if endpoint == "saved/searches":
                said |= {"is_scheduled": said.pop("enableSched") == "1", "alert.suppress": True}
            acl = {"app": "countersign", "owner": "nobody", "sharing": "global"}
            rows.append({"name": name, "acl": acl, "content": said})
        found[endpoint] = rows
    return found


def splunk(entries: dict[str, list[dict[str, Any]]]) -> Callable[[Asked], tuple[int, Any]]:
    def answer(asked: Asked) -> tuple[int, Any]:
        assert asked.headers["authorization"] == f"Bearer {TOKEN}"
        assert asked.query["output_mode"] == "json"
        rows = entries[asked.path.removeprefix("/servicesNS/-/countersign/")]
        first, count = int(asked.query["offset"]), int(asked.query["count"])
        paging = {"total": len(rows), "perPage": count, "offset": first}
        return 200, {"entry": rows[first : first + count], "paging": paging, "messages": []}

    return answer


def azure_lists() -> dict[str, Any]:
    """Path below the workspace → what Resource Manager gives, of the deployed template."""
    workspace = Workspace()
    workspace.deploy(json.loads(package("sentinel")["azuredeploy.json"]), workspace="soc-logs")

    def of(kind: str) -> list[dict[str, Any]]:
        return [
            {"name": name.rpartition("/")[2], "properties": copy.deepcopy(one["properties"])}
            for name, one in workspace.of(kind).items()
        ]

    lists = of("Microsoft.SecurityInsights/watchlists")
    insights = "/providers/Microsoft.SecurityInsights"
    found = {
        f"{insights}/alertRules": of("Microsoft.SecurityInsights/alertRules"),
        "/savedSearches": of("Microsoft.OperationalInsights/workspaces/savedSearches"),
        f"{insights}/watchlists": [{"name": one["name"], "properties": {}} for one in lists],
        "/tables/CountersignEvents_CL": of("Microsoft.OperationalInsights/workspaces/tables")[0],
    }
    for one in lists:
        rows = csv.DictReader(io.StringIO(one["properties"]["rawContent"]))
        found[f"{insights}/watchlists/{one['name']}/watchlistItems"] = [
            {"properties": {"itemsKeyValue": row}} for row in rows
        ]
    return found


def azure(found: dict[str, Any], elsewhere: str = "") -> Callable[[Asked], tuple[int, Any]]:
    """Lists in pages of two, each with the address of the next."""

    def answer(asked: Asked) -> tuple[int, Any]:
        assert asked.headers["authorization"] == f"Bearer {TOKEN}"
        assert asked.query["api-version"]
        said = found.get(asked.path.removeprefix(WORKSPACE))
        if said is None:
            return 404, {"error": {"code": "NotFound", "message": "no such thing"}}
        if isinstance(said, dict):
            return 200, said
        first = int(asked.query.get("$skipToken", "0"))
        more = {}
        if first + 2 < len(said):
            place = elsewhere or f"http://{asked.headers['host']}"
            more = {"nextLink": f"{place}{asked.path}?api-version=x&$skipToken={first + 2}"}
        return 200, {"value": said[first : first + 2], **more}

    return answer


def monitors() -> list[dict[str, Any]]:
    """Monitors as Alerting's search gives them: what was put, with every default of a search spelled out."""
    found = []
    for path, said in package("opensearch").items():
        if path.startswith("monitors/"):
            monitor = json.loads(said)
            monitor["inputs"][0]["search"]["query"] = spelled_out(monitor["inputs"][0]["search"]["query"])
            monitor["triggers"][0]["query_level_trigger"]["id"] = "E4sAoYkBQz"
            found.append({"_id": str(len(found)), "_source": {**monitor, "enabled_time": 1, "schema_version": 8}})
    return found


def spelled_out(node: Any, clause: str = "") -> Any:
    """A search as a server writes it that has read it."""
    if isinstance(node, list):
        return [spelled_out(one, clause) for one in node]
    if not isinstance(node, dict):
        return node
    found: dict[str, Any] = {}
    for key, value in node.items():
        name = "aggregations" if key == "aggs" else key
        if clause in {"term", "prefix", "wildcard"} and not isinstance(value, dict):
            found[name] = {"wildcard" if clause == "wildcard" else "value": value, "boost": 1.0}
        elif clause == "range":
            bounds = {"from": value.get("gte"), "to": value.get("lte"), "include_lower": True, "include_upper": True}
            found[name] = {**bounds, "format": value["format"], "boost": 1.0}
        elif name.endswith("_script"):
            found[name] = {"source": value, "lang": "painless"}
        elif name == "minimum_should_match":
            found[name] = str(value)
        else:
            found[name] = spelled_out(value, name)
    if clause == "bool":
        found |= {"adjust_pure_negative": True, "boost": 1.0}
    return found


def alerting(
    hits: list[dict[str, Any]], forward: Callable[[Asked], tuple[int, Any]]
) -> Callable[[Asked], tuple[int, Any]]:
    """Alerting's search from a list; everything else from a node."""

    def answer(asked: Asked) -> tuple[int, Any]:
        assert asked.headers["authorization"] == f"Bearer {TOKEN}"
        if asked.path == "/_plugins/_alerting/monitors/_search":
            return 200, {"hits": {"total": {"value": len(hits), "relation": "eq"}, "hits": hits}}
        return forward(asked)

    return answer


# Kibana.


def test_kibana_with_the_packs_rules_shows_no_drift(drift: Callable[..., Told]) -> None:
    with served(kibana(kibana_rules())) as stub:
        told = drift("elastic", "--kibana", stub.url, "--space", "soc")
    assert (told.code, told.lines) == (0, [])
    assert "not compared: templates, pipelines and lookups: --url is needed for them" in told.out
    assert told.out.endswith("no drift; 3 rules and 0 assets compared\n")


def test_kibana_tells_each_kind_of_drift(drift: Callable[..., Told]) -> None:
    one, two, three = kibana_rules()
    stems = {rule["meta"]["countersign"]["stem"]: rule for rule in (one, two, three)}
    rules = [rule for stem, rule in stems.items() if stem != "tools_enumerated"]
    stems["static_api_key"].update(enabled=False, severity="low", interval="5m")
    stems["static_api_key"]["query"] += "| WHERE false\n"
    stems["unregistered_server_called"].update(version=20200101, query="FROM countersign-events METADATA _id\n")
    with served(kibana(rules)) as stub:
        told = drift("elastic", "--kibana", stub.url, "--space", "soc")
        said = json.loads(drift("elastic", "--kibana", stub.url, "--space", "soc", "--format", "json").out)
    pack = json.loads(package("elastic")["rules.ndjson"].split("\n")[0])
    assert told.code == 1
    assert told.lines == [
        "rule static_api_key: changed (query, severity, interval)",
        "rule static_api_key: disabled",
        "rule tools_enumerated: missing",
        "rule unregistered_server_called: changed (query, edited where it is installed)",
        f"rule unregistered_server_called: old (20200101, the pack has {stems_version('unregistered_server_called')})",
    ]
    assert pack["version"] > 20200101
    assert said["drift"] == 5
    assert {(one["name"], one["what"]) for one in said["differences"]} >= {("tools_enumerated", "missing")}


def stems_version(stem: str) -> int:
    for line in package("elastic")["rules.ndjson"].split("\n"):
        rule = json.loads(line) if line else {}
        if rule.get("meta", {}).get("countersign", {}).get("stem") == stem:
            return int(rule["version"])
    raise AssertionError(stem)


def test_a_list_of_several_pages_is_read_to_its_end(drift: Callable[..., Told]) -> None:
    others = [{**kibana_rules()[0], "rule_id": f"own-{number}", "name": f"own {number}"} for number in range(150)]
    with served(kibana([*others, *kibana_rules()])) as stub:
        told = drift("elastic", "--kibana", stub.url, "--space", "soc")
    assert told.code == 0
    assert len(stub.asked) == 2


# Splunk.


def test_splunk_with_the_app_shows_no_drift(drift: Callable[..., Told]) -> None:
    with served(splunk(splunk_entries())) as stub:
        told = drift("splunk", "--url", stub.url)
    assert (told.code, told.lines) == (0, []), told.out


def test_splunk_tells_each_kind_of_drift_and_what_an_admin_set(drift: Callable[..., Told]) -> None:
    entries = splunk_entries()
    by_name = {row["name"]: row["content"] for rows in entries.values() for row in rows}
    entries["saved/searches"] = [one for one in entries["saved/searches"] if "tools_enumerated" not in one["name"]]
    by_name["Countersign - static_api_key - Rule"].update(disabled=True, cron_schedule="*/5 * * * *")
    metadata = json.dumps({"detection_version": "20200101"})
    by_name["Countersign - unregistered_server_called - Rule"]["action.correlationsearch.metadata"] = metadata
    by_name["countersign_index"]["definition"] = "index=agents"
    by_name["countersign_events"]["definition"] += "\n| eval x=1"
    by_name["countersign_rules"]["filename"] = "countersign_rules_00000000.csv"
    with served(splunk(entries)) as stub:
        told = drift("splunk", "--url", stub.url)
    assert told.code == 1
    assert [line.partition(" (")[0] for line in told.lines] == [
        "asset lookup countersign_rules: changed",
        "asset macro countersign_events: changed",
        "asset macro countersign_index: tuned",
        "rule static_api_key: changed",
        "rule static_api_key: disabled",
        "rule tools_enumerated: missing",
        "rule unregistered_server_called: old",
    ]
    assert "6 differences" in told.out  # what is tuned is no drift


# Sentinel.


def test_sentinel_as_deployed_shows_no_drift(drift: Callable[..., Told]) -> None:
    with served(azure(azure_lists())) as stub:
        told = drift("sentinel", "--url", stub.url, "--workspace", WORKSPACE)
    assert (told.code, told.lines) == (0, []), told.out


def test_sentinel_tells_each_kind_of_drift(drift: Callable[..., Told], tmp_path: Path) -> None:
    found = azure_lists()
    rules = found["/providers/Microsoft.SecurityInsights/alertRules"]
    stems = {rule["properties"]["description"].rpartition("(countersign ")[2].partition(",")[0]: rule for rule in rules}
    rules.remove(stems["tools_enumerated"])
    changed, old = stems["static_api_key"]["properties"], stems["unregistered_server_called"]["properties"]
    changed.update(enabled=False, query=changed["query"] + "| take 0", queryFrequency="PT5H", severity="Low")
    old["description"] = "(countersign unregistered_server_called, 20200101)"
    searches = found["/savedSearches"]
    searches[0]["properties"]["query"] += "// mine"
    found["/tables/CountersignEvents_CL"]["properties"]["schema"]["columns"].pop()
    gone = found["/providers/Microsoft.SecurityInsights/watchlists"].pop()["name"]
    (tmp_path / "servers.yml").write_text("- {name: crm-mcp}\n")
    with served(azure(found)) as stub:
        told = drift("sentinel", "--url", stub.url, "--workspace", WORKSPACE, "--register", str(tmp_path))
    assert told.code == 1
    assert {line.partition(" (")[0] for line in told.lines} >= {
        f"asset function {searches[0]['properties']['functionAlias']}: changed",
        "asset table CountersignEvents_CL: changed",
        f"asset watchlist {gone}: missing",
        "asset watchlist countersign_servers: changed",
        "rule static_api_key: changed",
        "rule static_api_key: disabled",
        "rule tools_enumerated: missing",
        "rule unregistered_server_called: old",
    }
    assert "rule static_api_key: changed (query, severity, queryFrequency)" in told.lines


def test_a_list_that_goes_on_at_another_server_is_not_followed(drift: Callable[..., Told]) -> None:
    with served(azure({})) as other, served(azure(azure_lists(), other.url)) as stub:
        told = drift("sentinel", "--url", stub.url, "--workspace", WORKSPACE)
    assert told.code == 2
    assert "goes on at another server" in told.err
    assert other.asked == []


# OpenSearch: templates and pipelines on the node; monitors by a stub of Alerting.


@pytest.mark.xdist_group("opensearch")
def test_opensearch_as_installed_shows_no_drift_and_what_is_changed_is_told(drift: Callable[..., Told]) -> None:
    from harness.engines.node.start import OPENSEARCH_2, NodeError  # noqa: PLC0415 - only where a node runs
    from harness.engines.opensearch import node  # noqa: PLC0415

    running, files = node(OPENSEARCH_2), package("opensearch")
    steps = json.loads(files["install.json"])["steps"]
    for step in steps:
        if step["kind"] == "index":
            running.call("DELETE", f"/{step['path']}?ignore_unavailable=true")
        running.call("PUT", f"/{step['path']}", json.loads(files[step["file"]]))
    hits = monitors()

    def node_s(asked: Asked) -> tuple[int, Any]:
        query = "&".join(f"{name}={value}" for name, value in asked.query.items())
        try:
            return 200, running.call(asked.method, f"{asked.path}?{query}", asked.document if asked.body else None)
        except NodeError as refused:
            if ": 404 " not in str(refused):
                raise
            return 404, {}

    try:
        with served(alerting(hits, node_s)) as stub:
            told = drift("opensearch", "--url", stub.url)
            assert (told.code, told.lines) == (0, []), told.out
            bent = {hit["_source"]["name"]: hit["_source"] for hit in hits}
            bent["countersign static_api_key"]["enabled"] = False
            bent["countersign tools_enumerated"]["schedule"]["period"]["interval"] = 5
            bent["countersign unregistered_server_called"]["inputs"][0]["search"]["query"]["query"]["bool"][
                "filter"
            ].pop()
            template = json.loads(files["template.json"])
            template["template"]["mappings"]["properties"]["user"]["properties"]["id"]["type"] = "text"
            running.call("PUT", "/_index_template/countersign-events", {**template, "template": {"settings": {}}})
            gone = next(
                step["path"] for step in steps if step["path"].startswith("_ingest") and "events" not in step["path"]
            )
            running.call("DELETE", f"/{gone}")
            told = drift("opensearch", "--url", stub.url)
        assert told.code == 1
        assert [line.partition(" (")[0] for line in told.lines] == [
            "asset _index_template/countersign-events: changed",
            f"asset {gone}: missing",
            "rule static_api_key: disabled",
            "rule tools_enumerated: changed",
            "rule unregistered_server_called: changed",
        ]
        assert only_reads(stub.asked)
    finally:
        for step in steps:
            try:
                running.call("DELETE", f"/{step['path']}")
            except NodeError as gone_already:
                assert "404" in str(gone_already)  # noqa: PT017


def test_a_search_is_the_same_however_it_is_written_and_another_is_not() -> None:
    for path, said in package("opensearch").items():
        if path.startswith("monitors/"):
            search = json.loads(said)["inputs"][0]["search"]["query"]
            assert differing(formed(search), formed(spelled_out(search))) == []
            other = json.loads(json.dumps(search).replace('"chain.stage"', '"chain.stages"', 1).replace("65m", "64m"))
            assert differing(formed(search), formed(spelled_out(other)))


# Elasticsearch: the node holds all but pipelines and data streams.


@pytest.mark.xdist_group("elastic")
def test_elasticsearch_as_installed_shows_no_drift_and_what_is_changed_is_told(
    drift: Callable[..., Told], tmp_path: Path
) -> None:
    from harness.engines.elastic import LOOKED_UP, node  # noqa: PLC0415 - only where a node runs
    from harness.engines.node.start import NodeError  # noqa: PLC0415

    running, files = node(), package("elastic")
    steps = json.loads(files["install.json"])["steps"]

    def loaded() -> None:
        running.call("DELETE", "/countersign-events?ignore_unavailable=true")
        for step in steps:
            body = files[step["file"]]
            if step["kind"] == "put" and not step["path"].startswith("_ingest"):
                said = json.loads(body)
                said.pop("data_stream", None)  # the node has none
                running.call("PUT", f"/{step['path']}", said)
            elif step["kind"] == "index":
                running.call("DELETE", f"/{step['path']}?ignore_unavailable=true")
                running.call("PUT", f"/{step['path']}", json.loads(body))
                LOOKED_UP.get(step["path"], {}).clear()
            elif step["kind"] == "rows" and body:
                running.call("POST", f"/{step['path']}/_bulk?refresh=true", body.encode())

    usual = {f"asset {step['path']}: missing" for step in steps if step["path"].startswith("_ingest")}
    usual.add("asset _index_template/countersign-events: changed (data_stream)")
    (tmp_path / "servers.yml").write_text("- {name: crm-mcp}\n")
    try:
        loaded()
        told = drift("elastic", "--url", running.url)
        assert told.code == 1  # the node has no ingest processors
        assert set(told.lines) == usual
        empty = drift("elastic", "--url", running.url, "--register", str(tmp_path))
        assert "asset rows of countersign-servers: changed (1 missing)" in empty.lines
        settings = next(step for step in steps if step["path"].endswith("events-settings"))
        bent = json.loads(files[settings["file"]])
        bent["template"]["settings"]["index.mapping.total_fields.limit"] = 3000
        running.call("PUT", f"/{settings['path']}", bent)
        running.call("DELETE", "/countersign-sees")
        told = drift("elastic", "--url", running.url)
        new = set(told.lines) - usual
        assert new == {
            f"asset {settings['path']}: changed (template.settings.index.mapping.total_fields.limit)",
            "asset countersign-sees: missing",
        }
    finally:
        for step in steps:
            if step["kind"] == "put" and not step["path"].startswith("_ingest"):
                try:
                    running.call("DELETE", f"/{step['path']}")
                except NodeError as kept:
                    assert "in use" in str(kept) or "404" in str(kept)  # noqa: PT017
        running.call("DELETE", "/_component_template/countersign-events-*")


# Reading alone.


def only_reads(asked: list[Asked]) -> bool:
    return all(one.method == "GET" or (one.method == "POST" and one.path.endswith("/_search")) for one in asked)


@pytest.mark.parametrize("target", ["elastic", "splunk", "sentinel"])
def test_nothing_but_reading_is_asked_for(target: str, drift: Callable[..., Told]) -> None:
    answering, arguments = {
        "elastic": (kibana(kibana_rules()), ("--space", "soc")),
        "splunk": (splunk(splunk_entries()), ()),
        "sentinel": (azure(azure_lists()), ("--workspace", WORKSPACE)),
    }[target]
    with served(answering) as stub:
        drift(target, "--kibana" if target == "elastic" else "--url", stub.url, *arguments)
    assert stub.asked
    assert {(one.method, one.body) for one in stub.asked} == {("GET", b"")}


@pytest.mark.parametrize(
    "path", ["/x/_delete_by_query", "/x/_search/../_bulk", "/_search?x", "/a/b/_search", "/_plugins/_alerting/monitors"]
)
def test_a_post_goes_to_a_search_alone(path: str) -> None:
    with served(lambda _asked: (200, {})) as stub:
        with pytest.raises(ValueError, match="is no search"):
            Reader(Connection(stub.url, {})).search(path, {})
        assert stub.asked == []


# Who asks.


def test_nobody_sees_who_asked(drift: Callable[..., Told], monkeypatch: pytest.MonkeyPatch) -> None:
    def repeated(asked: Asked) -> tuple[int, Any]:
        return 401, {"error": {"reason": f"not known: {asked.headers['authorization']}"}}

    with served(repeated) as stub:
        for extra in ((), ("--format", "json")):
            told = drift("splunk", "--url", stub.url, *extra)
            assert told.code == 2
            assert "401 not known: Bearer …" in told.err
            assert TOKEN not in told.out + told.err
        monkeypatch.delenv("COUNTERSIGN_TOKEN")
        monkeypatch.setenv("COUNTERSIGN_USER", "ana")
        monkeypatch.setenv("COUNTERSIGN_PASSWORD", "open-sesame-77")
        told = drift("splunk", "--url", stub.url)
        assert stub.asked[-1].headers["authorization"].startswith("Basic ")
        assert "open-sesame-77" not in told.out + told.err
        assert stub.asked[-1].headers["authorization"].partition(" ")[2] not in told.out + told.err


def test_nobody_sees_who_asked_in_a_traceback(tmp_path: Path) -> None:
    import os  # noqa: PLC0415
    import sys  # noqa: PLC0415

    with served(lambda _asked: (403, {"message": TOKEN})) as stub:
        command = [
            sys.executable,
            "-m",
            "harness.cli",
            "--debug",
            "drift",
            "splunk",
            "--rule",
            RULES[0],
            "--url",
            stub.url,
        ]
        environment = {**os.environ, "COUNTERSIGN_TOKEN": TOKEN, "PYTHONPATH": str(ROOT.path)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert stub.asked[-1].headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "ünicode"])
def test_a_token_that_no_header_takes_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(Refused) as refused:
        who({"COUNTERSIGN_TOKEN": token}, "Bearer")
    assert token not in str(refused.value)


def test_a_token_is_not_sent_over_plain_http_to_another_machine(drift: Callable[..., Told]) -> None:
    told = drift("splunk", "--url", "http://splunk.example:8089")
    assert told.code == 2
    assert "is not encrypted" in told.err


@pytest.mark.parametrize(
    "url",
    ["splunk.example", "ftp://x", "https://ana:secret-7@splunk.example", "https://x/?token=secret-7", "https://x y"],
)
def test_an_address_that_is_none_is_told_in_a_sentence_without_what_is_secret_in_it(
    url: str, drift: Callable[..., Told]
) -> None:
    told = drift("splunk", "--url", url)
    assert (told.code, len(told.err.splitlines())) == (2, 1)
    assert "ana:secret-7" not in told.err


def test_a_redirect_takes_the_token_nowhere(drift: Callable[..., Told]) -> None:
    with served(lambda _asked: (200, {"entry": []})) as other, served(lambda _a: (302, other.url.encode())) as stub:
        told = drift("splunk", "--url", stub.url)
    assert told.code == 2
    assert other.asked == []


# What does not answer, and what answers wrongly.


def test_a_server_that_is_not_there_is_a_sentence(drift: Callable[..., Told]) -> None:
    told = drift("splunk", "--url", "http://127.0.0.1:9")
    assert (told.code, len(told.err.splitlines())) == (2, 1)
    assert "no answer" in told.err


def test_a_server_that_is_slow_is_a_sentence(drift: Callable[..., Told]) -> None:
    def slow(_asked: Asked) -> tuple[int, Any]:
        time.sleep(1.5)
        return 200, {"entry": []}

    with served(slow) as stub:
        told = drift("splunk", "--url", stub.url, "--timeout", "0.3")
    assert (told.code, len(told.err.splitlines())) == (2, 1)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody trusts, and its key in one file."""
    path = tmp_path / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", str(tmp_path / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + (tmp_path / "cert.pem").read_text())
    return path


def test_a_certificate_that_is_not_trusted_is_refused_unless_its_file_is_named(
    certificate: Path, drift: Callable[..., Told]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with served(splunk(splunk_entries()), context) as stub:
        told = drift("splunk", "--url", stub.url)
        assert told.code == 2
        assert "certificate verify failed" in told.err
        assert stub.asked == []
        assert drift("splunk", "--url", stub.url, "--ca", str(certificate.with_name("cert.pem"))).code == 0
        assert drift("splunk", "--url", stub.url, "--insecure").code == 0
        told = drift("splunk", "--url", stub.url, "--ca", str(certificate.with_name("none.pem")))
        assert (told.code, len(told.err.splitlines())) == (2, 1)


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"entry": 5}', b'{"entry": [1]}', b"", b"[" * 100_000])
def test_an_answer_of_another_form_is_a_sentence(answer: bytes, drift: Callable[..., Told]) -> None:
    with served(lambda _asked: (200, answer)) as stub:
        told = drift("splunk", "--url", stub.url)
    assert (told.code, len(told.err.splitlines())) == (2, 1)


def test_an_answer_without_an_end_is_not_read_to_it(
    drift: Callable[..., Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MOST_BYTES", 1000)
    with served(lambda _asked: (200, b"[" + b"1," * 5000)) as stub:
        told = drift("splunk", "--url", stub.url)
    assert told.code == 2
    assert "larger than 1000 bytes" in told.err


@pytest.mark.parametrize("hostile", ["\x1b[2Jgone", "\u202eevil", "line\nrule x: missing", "a\x00b"])
def test_what_a_server_says_cannot_write_to_the_terminal(hostile: str, drift: Callable[..., Told]) -> None:
    entries = splunk_entries()
    for row in entries["data/transforms/lookups"]:
        row["content"]["filename"] = hostile
    row = copy.deepcopy(entries["saved/searches"][0])
    row["name"] = f"Countersign - {hostile} - Rule"
    entries["saved/searches"].append(row)
    with served(splunk(entries)) as stub:
        told = drift("splunk", "--url", stub.url)
    assert told.code == 1
    assert all(character.isprintable() for line in told.out.split("\n") for character in line)
    assert "rule x: missing" not in told.out.split("\n")
    with served(lambda _asked: (500, {"error": hostile})) as stub:
        told = drift("splunk", "--url", stub.url)
    assert (told.code, len(told.err.splitlines())) == (2, 1)
    assert all(character.isprintable() for line in told.err.split("\n") for character in line)


@pytest.mark.parametrize("target", ["elastic", "opensearch", "splunk", "sentinel"])
def test_without_an_address_or_a_workspace_the_sentence_says_what_is_needed(
    target: str, drift: Callable[..., Told]
) -> None:
    told = drift(target)
    assert (told.code, len(told.err.splitlines())) == (2, 1)
    assert "is needed" in told.err
