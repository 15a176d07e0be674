"""Source maps as ingest pipelines: nodes of OpenSearch 2 and 3 make of each record what the embedded engine makes of it alone."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import test_sources
from sampling import one_in

from backends.duckdb.assemble import assemble
from backends.duckdb.assemble_expressions import pointers_of
from backends.duckdb.lines import LogFile
from backends.duckdb.target import Sources
from backends.opensearch.register import pipeline as facts
from backends.opensearch.source_patterns import program
from backends.opensearch.sources import FACTS, VIEW, beyond, pipeline, pipeline_id, source_pipelines
from backends.otlp import MEMBERS, SIGNALS
from backends.sources import SourceMap, SourceMaps
from backends.target import Inexpressible
from backends.vocabulary import Vocabulary
from harness.engines.node.start import OPENSEARCH_2, OPENSEARCH_3, Node, Release
from harness.engines.opensearch import OpenSearch, OpenSearch3
from harness.engines.opensearch import node as started
from harness.paths import Root

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("opensearch")

ROOT = Root.default()
MAPS = SourceMaps.load(ROOT.sources)
EVENTS = Vocabulary.load(ROOT.event_schema)
NATIVE = [name for name, source in MAPS.items() if source.kinds]
UNKNOWN = "it fits no kind"
Made = dict[str, Any] | str | None
"""An event, the reason why a record is refused, or None where it makes no event."""


@pytest.fixture(scope="session", params=[OPENSEARCH_2, OPENSEARCH_3], ids=lambda release: release.name)
def node(request: pytest.FixtureRequest) -> Node:
    release: Release = request.param
    return started(release)


def records(source: str) -> list[dict[str, Any]]:
    """Every record of a sample as a document: an export of many as exports of one."""
    return [one for line in test_sources.sample(source) for one in exports(line)]


def exports(line: dict[str, Any]) -> Iterator[dict[str, Any]]:
    found = False
    for signal, (scopes, items) in SIGNALS.items():
        for resource in line.get(signal, ()):
            for scope in resource[scopes]:
                for record in scope[items]:
                    found = True
                    yield {signal: [resource | {scopes: [scope | {items: [record]}]}]}
    if not found:
        yield line


def ingested(node: Node, source: SourceMap, documents: Sequence[Mapping[str, Any]]) -> list[Made]:
    """What the pipeline makes of documents."""
    made: list[Made] = []
    body = pipeline(source, EVENTS, None)
    for first in range(0, len(documents), 500):
        docs = [{"_source": document} for document in documents[first : first + 500]]
        said = node.call("POST", "/_ingest/pipeline/_simulate", {"pipeline": body, "docs": docs})["docs"]
        assert len(said) == len(docs)
        made += [
            None if one is None else refusal(one["error"]) if "error" in one else one["doc"]["_source"] for one in said
        ]
    return made


def refusal(error: Mapping[str, Any]) -> str:
    while "caused_by" in error:
        error = error["caused_by"]
    return str(error["reason"])


def embedded(source: SourceMap, documents: Sequence[Mapping[str, Any] | str], folder: Path) -> list[Made]:
    """What the embedded engine's map makes of each record alone: no kind takes from another."""
    single = replace(source, kinds=tuple(replace(kind, takes=()) for kind in source.kinds))
    log, out = folder / "log.jsonl", folder / "events.jsonl"
    texts = [document if isinstance(document, str) else json.dumps(document) for document in documents]
    places, offset = [], 0
    for text in texts:
        places.append(offset)
        offset += len(text.encode()) + 1
    log.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    report = assemble({source.name: single}, source.name, [LogFile(0, log, "log")], out)
    found: dict[int, Made] = {bad.offset: bad.reason for bad in report.bad}
    for line in out.read_bytes().splitlines():
        event = json.loads(line)
        ((_, offset),) = event.pop("countersign")["records"]
        found[offset] = event
    return [found.get(place) for place in places]


def told(made: Made) -> Any:
    """Fields by dotted name, without what is absent; JSON as what it says; a reason or None as it is."""
    return dict(_leaves(made, "")) if isinstance(made, dict) else made


def _leaves(node: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if above == "" and name == "countersign":
            continue
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{name}.")
        elif value not in (None, "", []):
            yield f"{above}{name}", _json(value)


def _json(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except ValueError:
            pass
    return value


def alike(node: Node, source: SourceMap, documents: Sequence[Any], folder: Path) -> list[Made]:
    """Both make the same of all documents; returns what the node makes."""
    mine = ingested(node, source, documents)
    wrong = []
    for document, own, other in zip(documents, mine, embedded(source, documents, folder), strict=True):
        if told(own) != told(other) and not left_out(source, document, own, other):
            wrong.append((json.dumps(document)[:3000], told(own), told(other)))
    assert wrong == [], f"{len(wrong)} of {len(documents)} differ"
    return mine


def left_out(source: SourceMap, document: Mapping[str, Any], own: Made, other: Made) -> bool:
    """Whether both make no event, for reasons that only one of them looks at."""
    if isinstance(own, str) and own.startswith(UNKNOWN):
        return other is None  # counted by a scan, refused at ingest
    giving = {kind.name for kind in source.kinds if kind.event == "never"}
    return own is None and isinstance(other, str) and set(source.kinds_of(document)) <= giving


# What is made of real records.


@pytest.mark.parametrize("name", NATIVE)
def test_each_record_of_a_sample_makes_what_the_embedded_engine_makes_of_it_alone(
    node: Node, name: str, tmp_path: Path
) -> None:
    documents = records(name)
    made = alike(node, MAPS[name], documents, tmp_path)
    kinds = {one["countersign"]["kind"] for one in made if isinstance(one, dict)}
    of = [kind for line in documents for kind in MAPS[name].kinds_of(line)]
    assert kinds == {kind.name for kind in MAPS[name].kinds if kind.stage and kind.event != "never"} & set(of)
    assert not any(isinstance(one, str) for one in made)


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NATIVE)
def test_a_record_alone_in_a_log_makes_what_it_makes_where_no_kind_takes(name: str, every: int, tmp_path: Path) -> None:
    """So what the pipeline is compared with is what the embedded engine makes of one record."""
    firsts: dict[str, dict[str, Any]] = {}
    for record in records(name):
        firsts.setdefault(*MAPS[name].kinds_of(record), record)
    alone = list(firsts.values())[::every]
    for record, one in zip(alone, embedded(MAPS[name], alone, tmp_path), strict=True):
        events, _ = test_sources.run(tmp_path, name, [record])
        assert [told(event) for event in events] == ([told(one)] if one else [])


@pytest.mark.parametrize("name", [name for name in NATIVE if MAPS[name].unpack])
def test_a_record_of_an_export_says_the_same_when_it_is_flat(node: Node, name: str, tmp_path: Path) -> None:
    flat = [
        dict.fromkeys(MEMBERS) | dict(record)
        for line in test_sources.sample(name)
        for record in MAPS[name].records(line)
    ]
    made = alike(node, MAPS[name], flat, tmp_path)
    assert [told(one) for one in made] == [told(one) for one in ingested(node, MAPS[name], records(name))]


HOSTILE: list[Any] = [
    "' OR 1=1; DROP TABLE record; --",
    '"},{"user":{"id":"admin"}}',
    '\\"}\n{"a":1}\t\x01\x7f',
    "${jndi:ldap://x} {{ctx.user}} {{{_source}}} #{x} params.kinds ctx._index %s{0}$1 \u202e\u2028\U0001f600",
    "'); ctx._index = 'other'; //",
    "x" * 70_000,
    "",
    " ",
    "api",
    "a@b.example\n",
    "1e400",
    "NaN",
    "infinity",
    "12345678901234567890123",
    "2026-11-23T08:00:00+02:00",
    5,
    -1.5e-7,
    10**17,
    True,
    False,
    None,
    [],
    {},
    [1, [2]],
    {"a": {"b": "c"}},
]


def with_value(record: Mapping[str, Any], pointer: str, value: Any) -> dict[str, Any]:
    """A copy with a value at a pointer; in an export, in its record, its resource or its scope."""
    copy: dict[str, Any] = json.loads(json.dumps(record))
    *above, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    node = copy
    for part in above:
        inner = node.get(part)
        node[part] = node = inner if isinstance(inner, dict) else {}
    node[last] = value
    return copy


@pytest.mark.parametrize("name", one_in(2, NATIVE))
def test_a_hostile_or_wrong_value_anywhere_breaks_nothing_and_says_the_same(
    node: Node, name: str, tmp_path: Path
) -> None:
    source = MAPS[name]
    flat = replace(source, unpack=None)  # values are set at the map's pointers
    samples = [dict(one) for line in test_sources.sample(name) for one in source.records(line)]
    seen: dict[str, dict[str, Any]] = {}
    for record in samples:
        for kind in flat.kinds_of(record):
            seen.setdefault(kind, record)
    documents = [
        with_value(record, pointer, value)
        for kind, record in seen.items()
        for pointer in pointers_in(source, kind)
        for value in HOSTILE
    ]
    made = alike(node, flat, documents, tmp_path)
    reasons = {one for one in made if isinstance(one, str)}
    assert all(one.startswith((UNKNOWN, "a text is expected at /", "its time cannot be read")) for one in reasons)
    assert {type(one) for one in made} >= {dict, str}


def pointers_in(source: SourceMap, name: str) -> list[str]:
    """Where the map looks for something in a record of a kind."""
    kind = next(one for one in source.kinds if one.name == name)
    expressions = [*([] if kind.ignored else [kind.at]), *kind.fields.values(), *kind.marks.values()]
    return list(dict.fromkeys([*kind.recognised.values, *(p for one in expressions for p in pointers_of(one))]))


ODD = {
    "surrogate": '"\\ud800"',
    "beyond 64 bits": "1" + "0" * 30,
    "deep": "[" * 900 + "]" * 900,
    "long": json.dumps("x" * 1_500_000 + "invoked successfully"),
    "of the node": '"", "_index": "other", "_id": "mine", "_version": "x", "countersign_left_out": "web_log", "countersign": 5',
}


def test_an_odd_record_is_indexed_or_refused_by_itself_and_goes_nowhere_else(node: Node) -> None:
    """Through the bulk request, which is how records come."""
    call = test_sources.invoked(10.0, 50, test_sources.ANA)
    texts = [json.dumps(call)[:-1] + f', "odd": {value}}}' for value in ODD.values()]
    texts += [json.dumps(call), json.dumps(call | {"user_id": {"a": 1}})]
    with index(node, "contextforge", None) as name:
        items = bulk(node, name, "contextforge", texts)
        assert {item["_index"] for item in items} == {name}
        assert [item["status"] for item in items] == [201, 400, 201, 201, 201, 201, 400]
        found = hits(node, name)
        assert {json.dumps(told(one), sort_keys=True) for one in found} == {json.dumps(told(found[0]), sort_keys=True)}
        assert {one["countersign"]["kind"] for one in found} == {"call"}


@pytest.mark.parametrize("broken", ['{"component": "tool_ser', '{"component": "a", "component": "b"}'])
def test_what_the_node_cannot_parse_costs_the_others_of_its_request_and_says_so(node: Node, broken: str) -> None:
    """A node parses all that a request brings to a pipeline, before any processor runs: a shipper must know."""
    call = json.dumps(test_sources.invoked(10.0, 50, test_sources.ANA))
    with index(node, "contextforge", None) as name:
        said = bulk(node, name, "contextforge", [call, broken, call])
        assert [item["status"] for item in said] == [400] * 3
        assert {item["error"]["type"] for item in said} == {"parse_exception"}
        one_by_one = [
            item["status"] for text in (call, broken, call) for item in bulk(node, name, "contextforge", [text])
        ]
        assert one_by_one == [201, 400, 201]


class index:  # noqa: N801 - used as a function
    """An index with a source's pipeline; both are removed."""

    def __init__(self, node: Node, source: str, then: str | None, name: str = "native-records") -> None:
        self.node, self.source, self.then, self.name = node, source, then, name

    def __enter__(self) -> str:
        made = pipeline(MAPS[self.source], EVENTS, self.then)
        self.node.call("PUT", f"/_ingest/pipeline/{pipeline_id(self.source)}", made)
        return self.name

    def __exit__(self, *_raised: object) -> None:
        self.node.call("DELETE", f"/{self.name}?ignore_unavailable=true")
        self.node.call("DELETE", f"/_ingest/pipeline/{pipeline_id(self.source)}")


def bulk(node: Node, name: str, source: str, texts: Sequence[str]) -> list[dict[str, Any]]:
    lines = "".join(f'{{"index":{{}}}}\n{text}\n' for text in texts)
    said = node.call("POST", f"/{name}/_bulk?refresh=true&pipeline={pipeline_id(source)}", lines.encode())
    return [item["index"] for item in said["items"]]


def hits(node: Node, name: str) -> list[dict[str, Any]]:
    found = node.call("POST", f"/{name}/_search", {"size": 1000})["hits"]["hits"]
    return [hit["_source"] for hit in found]


def test_what_makes_no_event_is_dropped_and_counted_by_its_kind(node: Node) -> None:
    sample = test_sources.sample("contextforge")
    kinds = [kind for line in sample for kind in MAPS["contextforge"].kinds_of(line)]
    with index(node, "contextforge", None) as name:
        bulk(node, name, "contextforge", [json.dumps(line) for line in sample])
        (stats,) = node.call("GET", "/_nodes/stats/ingest")["nodes"].values()
        steps = stats["ingest"]["pipelines"][pipeline_id("contextforge")]["processors"]
        counted = {step.removeprefix("drop:"): one["stats"]["count"] for each in steps for step, one in each.items()}
        events = len(hits(node, name))
    counted.pop("script")
    assert {kind: count for kind, count in counted.items() if count} == {
        kind: kinds.count(kind) for kind in kinds if kind in counted
    }
    assert events + sum(counted.values()) == len(sample)


def test_the_facts_of_a_native_record_are_those_of_its_event(node: Node, tmp_path: Path) -> None:
    """The source's pipeline hands on to the one that computes facts."""
    product = OpenSearch if node.release is OPENSEARCH_2 else OpenSearch3
    sample = test_sources.sample("contextforge")
    events = [one for one in embedded(MAPS["contextforge"], sample, tmp_path) if isinstance(one, dict)]
    with product({}, EVENTS, Vocabulary.load(ROOT.chain_schema), Sources()) as engine:
        expected = engine.judge(events, {}, None).events
        node.call("PUT", f"/_ingest/pipeline/{FACTS}", facts(EVENTS, {}))
        with index(node, "contextforge", FACTS, f"{FACTS}-native") as name:
            bulk(node, name, "contextforge", [json.dumps(line) for line in sample])
            found = [engine._record(one) for one in hits(node, name)]
    assert sorted(map(_sorted, found)) == sorted(map(_sorted, expected))
    assert any(name in one for one in found for name in EVENTS.derived)


def _sorted(event: Mapping[str, Any] | None) -> str:
    return json.dumps({k: v for k, v in (event or {}).items() if v not in (None, [])}, sort_keys=True)


# Words of a map.

AT = "2026-11-23T08:00:00Z"


def mine(folder: Path, expression: Any, field: str = "user.id") -> SourceMap:
    """The map of `test_sources` with one expression."""
    shape = test_sources.changed("kinds/call/fields", {field: expression})
    return SourceMaps.load(test_sources.folder_with(folder, mine=shape))["mine"]


def of_value(value: Any) -> dict[str, Any]:
    return {"a": 1, "t": AT, "v": value}


VALUES: list[Any] = [
    *[
        "text",
        "",
        " ",
        "0",
        "1",
        1,
        0,
        -1,
        1.0,
        1.5,
        -0.0,
        1e7,
        1.25e-5,
        1e-7,
        123456789.125,
        1e20,
        1e21,
        1.5e300,
        True,
        False,
    ],
    *[
        None,
        [],
        {},
        [1, "x", None, 2.5],
        {"b": [1, {"a": '\u00e9\n"\\\\/\x01\u2028'}], "a": {}},
        "abc",
        "ABC",
        "a c",
        "a,b,,c,",
    ],
]
WORDS: list[Any] = [
    "/v",
    "/v/0",
    "/v/00",
    "/v/b/1/a",
    "/v/3",
    {"value": "always"},
    {"value": 5},
    {"value": 1.5},
    {"value": True},
    {"first": ["/w", "/v/b", "/v"]},
    {"lookup": {"of": "/v", "in": {"1": "one", "true": "yes", "1.0": "float", "abc": 5, "0": False}}},
    {"lookup": {"of": "/v", "in": {"1": "one"}, "else": True}},
    {"capture": {"of": "/v", "pattern": "^a(.)c$"}},
    {"capture": {"of": {"first": ["/w", "/v"]}, "pattern": "(?i)(b)"}},
    {"json": "/v"},
    {"json": "/v/b"},
    {"scale": {"of": "/v", "by": 1000000}},
    {"scale": {"of": "/v", "by": 0.001}},
    {"time": {"of": "/v", "form": "epoch_s"}},
]


@pytest.mark.parametrize("expression", WORDS, ids=json.dumps)
def test_a_word_gives_what_it_gives_there(node: Node, expression: Any, tmp_path: Path) -> None:
    alike(node, mine(tmp_path, expression), [of_value(value) for value in VALUES], tmp_path)


@pytest.mark.parametrize(
    ("field", "expression"),
    [
        ("oauth.scope.presented", {"split": {"of": "/v", "at": ","}}),
        ("oauth.scope.presented", {"split": {"of": "/v", "at": "b,"}}),
        ("oauth.scope.presented", {"value": ["a", "b"]}),
        ("event.duration", "/v"),
        ("http.response.status_code", "/v"),
        ("oauth.act.present", "/v"),
        ("oauth.token.expires_at", {"time": {"of": "/v", "form": "utc"}}),
        ("event.duration", {"span": {"from": "/t", "to": "/v", "form": "utc"}}),
        ("event.duration", {"span": {"from": "/a", "to": "/v", "form": "epoch_ns"}}),
    ],
    ids=str,
)
def test_a_field_of_another_type_gets_what_it_gets_there(
    node: Node, field: str, expression: Any, tmp_path: Path
) -> None:
    alike(node, mine(tmp_path, expression, field), [of_value(value) for value in [*VALUES, *TIMES, *NUMBERS]], tmp_path)


NUMBERS = [
    *[
        "1.5",
        "2.5",
        "0.5",
        "-0.5",
        " 5 ",
        "1_000",
        "1__0",
        "_1",
        ".5",
        "5.",
        "+5",
        "1d",
        "-3.5",
        "1,5",
        "\u0663",
        "1e18",
        "1e19",
    ],
    *[
        "9223372036854775807",
        "9223372036854775808",
        "-",
        "e5",
        "1.5.2",
        "1e",
        "1e400",
        "1e-400",
        "1 2",
        "0x",
        "inf",
        "NaN",
    ],
    *[
        "1795420800",
        "1795420800.5",
        "1795420800500",
        "1795420800500000",
        "1795420800500000001",
        "1" * 300,
        "true",
        "Yes",
        "f",
    ],
]
TIMES = [
    *[
        "2026-11-23",
        "2026-11-23 08:00",
        "2026-11-23T08:00Z",
        AT,
        "2026-11-23T08:00:00.123456789Z",
        "2026-11-23 08:00:00.1234565",
    ],
    *["2026-11-23T08:00:00+0200", "2026-11-23T08:00:00+02", "2026-11-23T08:00:00-00:30", "2026-11-23T08:00:00 Z"],
    *[
        " 2026-11-23T08:00:00Z",
        "2026-11-23T08:00:00Z ",
        "2026-11-23T24:00:00Z",
        "2026-11-23T08:60:00Z",
        "2026-11-23T08:00:60Z",
    ],
    *[
        "2026-02-30T08:00:00Z",
        "2024-02-29T08:00:00Z",
        "2026-1-3T8:0:0Z",
        "2026-11-23T08:00:00.Z",
        "2026-11-23T08:00:00,5Z",
    ],
    *[
        "2026-11-23t08:00:00z",
        "2026-11-23 08",
        "2026-11-23 08:00:00 ",
        "2026-11-23T",
        "2026-11-23  08:00:00",
        "2026-13-01",
    ],
    *[
        "2026-11-23x08:00:00",
        "2026-11-23 08:00:0",
        "20261123",
        "1-2-3",
        "1969-12-31T23:59:59.999999Z",
        "noon",
        "2026-11-23T08:00:00Zx",
    ],
]


@pytest.mark.parametrize("form", ["utc", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns"])
def test_a_time_is_read_as_it_is_there(node: Node, form: str, tmp_path: Path) -> None:
    shape = test_sources.changed("kinds/call/at", {"time": {"of": "/v", "form": form}})
    source = SourceMaps.load(test_sources.folder_with(tmp_path, mine=shape))["mine"]
    numbers = [1795420800, 1795420800.5, 1795420800500, 1795420800500000, 1795420800500000001]
    made = alike(node, source, [of_value(value) for value in [*numbers, *TIMES, *NUMBERS]], tmp_path)
    assert any(isinstance(one, dict) and one["@timestamp"].startswith("2026-11-23T08:00:00") for one in made)


def test_a_zones_name_or_what_else_stands_behind_a_time_makes_it_none(node: Node, tmp_path: Path) -> None:
    source = mine(tmp_path, {"time": {"of": "/v", "form": "utc"}})
    texts = ["2026-11-23 08:00:00 Europe/Berlin", "2026-11-23 08:00:00 UTC", "2026-11-23T08:00:00+02:00:30"]
    made = alike(node, source, [of_value(text) for text in texts], tmp_path)
    assert [test_sources.get(one, "user.id") for one in made if isinstance(one, dict)] == [None] * 3


INNER = [
    *[
        '{"a":"x"}',
        ' {"a" : "x" } ',
        '{"a":1}',
        '{"a":1.50}',
        '{"a":-0.5e3}',
        '{"a":true}',
        '{"a":null}',
        '{"a":""}',
        '{"A":1}',
    ],
    *[
        '{"a":{"b":[1,"\u00e9"]}}',
        '{"a":[]}',
        '{"a":"x"} x',
        '{"a":"x"}}',
        '{"a":"x"}]',
        '{"a":"x"},0',
        '{"b":{},"a":"y"}',
    ],
    *[
        '{"a":"x","a":"y"}',
        "{a:1}",
        "{'a':1}",
        '{"a":"\t"}',
        '{"a":01}',
        '{"a":.5}',
        '{"a":+1}',
        '{"a":1.}',
        '{"a":1e}',
        "[1]",
    ],
    *[
        '"x"',
        "1",
        "nul",
        "{",
        "[",
        '{"a"',
        '{"a":',
        '{"a":"',
        '{"a":"\\',
        '{"a":tru}',
        '{"a":trueish}',
        '/**/{"a":1}',
        "\ufeff{}",
    ],
    *[
        '{"a":"\\n\\t\\"\\\\\\/\\b\\f\\r\\u00e9\\ud83d\\ude00"}',
        '{"a":"\\ud800"}',
        '{"a":"\\udc00x"}',
        '{"a":"\\x"}',
        '{"a":"\\u12"}',
    ],
    *[
        '{"a":12345678901234567890123}',
        '{"a":18446744073709551615}',
        '{"b":' + "[" * 150 + "]" * 150 + ',"a":1}',
        '{"a":"' + "z" * 70_000 + '"}',
    ],
]


def test_a_text_that_is_json_is_read_as_it_is_there(node: Node, tmp_path: Path) -> None:
    source = mine(tmp_path, {"parsed": {"of": "/v", "at": "/a"}})
    made = alike(node, source, [of_value(text) for text in INNER], tmp_path)
    assert sum("user" in one for one in made if isinstance(one, dict)) > 10


# Patterns.

PATTERNS = [
    *[
        "a",
        "^a",
        "a$",
        "^a$",
        "a.b",
        "a|bc",
        "^(a|ab)(c|bcd)$",
        "(a+)(b?)",
        "(a*?)b",
        "^(.+?)__",
        "^.*(b+)",
        "[^a]",
        "[a-c]{2,3}",
    ],
    *[
        "(a{2})",
        "(?:ab)+(c)",
        "(?P<x>b)",
        "\\s",
        "\\S+(\\d)",
        "[\\w-]+",
        "\\.",
        "[]a]",
        "[^]a]",
        "a{0}b",
        "(a|)b",
        "((a)|b)*c",
        "\\bx",
    ],
    *[
        "\\Bb",
        "^$",
        "",
        "(?i)aB",
        "(?i)[^k]",
        "(?s)a.b",
        "(?m)^b$",
        "(?i:a)B",
        "x*",
        "(x*)*y",
        "(a|b)*?c",
        "\\x41",
        "a\\tb",
        "(^a|b$)",
        "a{,2}",
    ],
]
LETTERS = "aabbcABxk_1. \n\r\t\x0b\u00e9\u017f\u212a\u2028\U0001f600-]__"


def test_a_pattern_finds_and_captures_what_re2_does(node: Node, tmp_path: Path) -> None:
    """RE2 as DuckDB has it, on random texts."""
    dice = random.Random(5)  # noqa: S311 - repeatable
    texts = ["", *("".join(dice.choices(LETTERS, k=dice.randrange(1, 12))) for _ in range(150)), "ab" * 3000 + "c"]
    base = mine(tmp_path, {"capture": {"of": "/v", "pattern": "(a)"}})
    (call, _) = base.kinds
    fields = [
        name
        for name, (kind, array) in base.types.items()
        if kind == "keyword" and not array and name[:5] not in {"chain", "event"}
    ]
    asked = [*PATTERNS, *(f"({pattern})" for pattern in PATTERNS)]
    source = replace(
        base,
        kinds=(
            replace(
                call,
                fields={
                    name: {"capture": {"of": "/v", "pattern": pattern}}
                    for name, pattern in zip(fields[: len(asked)], asked, strict=True)
                    if "(" in pattern.replace("(?", "")
                },
            ),
        ),
    )
    for text, one in zip(texts, ingested(node, source, [of_value(text) for text in texts]), strict=True):
        assert isinstance(one, dict)
        for name, expression in source.kinds[0].fields.items():
            pattern = expression["capture"]["pattern"]
            quoted = pattern.replace("'", "''")
            (found,) = re2(f"nullif(regexp_extract(?, '{quoted}', 1), '')", text)
            assert test_sources.get(one, name) == found, (pattern, text[:50])


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_recognises_what_re2_does(node: Node, pattern: str, tmp_path: Path) -> None:
    dice = random.Random(7)  # noqa: S311 - repeatable
    texts = ["", *("".join(dice.choices(LETTERS, k=dice.randrange(1, 12))) for _ in range(100))]
    base = mine(tmp_path, "/v")
    recognised = replace(base.kinds[0].recognised, values={"/v": {"pattern": pattern}})
    source = replace(base, kinds=(replace(base.kinds[0], recognised=recognised),))
    made = ingested(node, source, [of_value(text) for text in texts])
    quoted = pattern.replace("'", "''")
    assert [isinstance(one, dict) for one in made] == [re2(f"regexp_matches(?, '{quoted}')", text)[0] for text in texts]


@cache
def re2(sql: str, text: str) -> tuple[Any, ...]:
    row = duckdb.execute(f"SELECT {sql}", [text]).fetchone()
    assert row is not None
    return tuple(row)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(?=a)", "holds (?="),
        ("(a)\\1", "holds \\1"),
        ("[[:alpha:]]", "by name"),
        ("\\pL", "holds \\p"),
        ("(a", "not closed"),
        ("a)", "closes that none opened"),
        ("[a", "ends too early"),
        ("*a", "before a repetition"),
        ("a{2000}", "beyond 1000"),
        ("(a{100}){100}", "more than 2000 steps"),
    ],
)
def test_a_pattern_that_cannot_be_run_is_refused_in_one_sentence(pattern: str, said: str) -> None:
    with pytest.raises(Inexpressible) as refused:
        program(pattern)
    assert said in str(refused.value)
    assert repr(pattern) in str(refused.value)


# Exports.


def export(**record: Any) -> dict[str, Any]:
    shape = {
        "timeUnixNano": "1795420800200000000",
        "attributes": [{"key": "event.name", "value": {"stringValue": "user_prompt"}}],
    }
    return {"resourceLogs": [{"resource": {}, "scopeLogs": [{"scope": {}, "logRecords": [shape | record]}]}]}


def named(*pairs: Any) -> list[Any]:
    return [{"key": "event.name", "value": {"stringValue": "user_prompt"}}, *pairs]


MUDDLED = [
    export(),
    export(timeUnixNano=1795420800200000000),
    export(attributes=named({"key": "prompt_length", "value": {"intValue": 7}})),
    export(attributes=named({"key": "prompt_length", "value": {"doubleValue": 7.0}})),
    export(attributes=named({"key": "session.id", "value": {"boolValue": False}})),
    export(attributes=named({"key": "session.id", "value": {"arrayValue": {"values": []}}})),
    export(attributes=named({"key": "session.id", "value": {}})),
    export(attributes=named({"key": "session.id", "value": "plain"})),
    export(attributes=named({"key": "session.id"})),
    export(attributes=named({"value": {"stringValue": "x"}})),
    export(attributes=named({"key": "event.name", "value": {"stringValue": "x"}})),
    export(attributes=named(5)),
    export(attributes={"event.name": "user_prompt"}),
    export(attributes=5),
    export(attributes=None),
    export(traceId={"a": 1}),
    export(body={"stringValue": 5}),
    {"resourceLogs": []},
    {"resourceLogs": [{}]},
    {"resourceLogs": [{"scopeLogs": [{"logRecords": []}]}]},
    {"resourceLogs": 5},
    {"resourceLogs": [5]},
    {"resourceLogs": [{"scopeLogs": 5}]},
    {"resourceLogs": [{"scopeLogs": [5]}]},
    {"resourceLogs": [{"scopeLogs": [{"logRecords": {}}]}]},
    {"resourceLogs": [{"scopeLogs": [{"logRecords": [5]}]}]},
    {"resourceLogs": [{"resource": {"attributes": 5}, "scopeLogs": []}]},
]


def test_a_muddled_export_is_refused_for_the_same_reason(node: Node, tmp_path: Path) -> None:
    alike(node, MAPS["claude_code_otel"], MUDDLED, tmp_path)


def test_an_export_of_many_records_is_refused_with_what_to_do(node: Node) -> None:
    (many, *_) = [line for line in test_sources.sample("claude_code_otel") if len(list(exports(line))) > 1]
    (said,) = ingested(node, MAPS["claude_code_otel"], [many])
    assert "ship one record a document" in str(said)


def test_a_span_of_times_too_far_apart_is_none(node: Node, tmp_path: Path) -> None:
    """Nanoseconds of more than 292 years are no 64-bit integer."""
    source = mine(tmp_path, {"span": {"from": "/t", "to": "/v", "form": "utc"}}, "event.duration")
    made = alike(node, source, [of_value("9999-12-31T23:59:59Z"), of_value("2026-11-23T08:00:00.5Z")], tmp_path)
    assert [test_sources.get(one, "event.duration") for one in made if isinstance(one, dict)] == [None, 500_000_000]


# What is written.


def test_no_text_of_a_record_or_of_a_map_is_part_of_a_script() -> None:
    for name in NATIVE:
        (first, *rest) = pipeline(MAPS[name], EVENTS, "next")["processors"]
        assert first["script"]["source"] == VIEW.read_text(encoding="utf-8")
        kinds = {kind.name for kind in MAPS[name].kinds} | {"empty_export"}
        for step in rest[:-1]:
            assert step["drop"]["if"] == f"ctx.countersign_left_out == '{step['drop']['tag']}'"
            assert step["drop"]["tag"] in kinds
            assert step["drop"]["description"]
        assert rest[-1] == {"pipeline": {"name": "next"}}


def test_only_what_both_products_have_is_used() -> None:
    used = {
        step for text in source_pipelines(ROOT.path).values() for one in json.loads(text)["processors"] for step in one
    }
    assert used == {"script", "drop", "pipeline"}


def test_each_map_that_reads_records_has_a_pipeline_and_the_node_takes_it(node: Node) -> None:
    made = source_pipelines(ROOT.path)
    assert sorted(made) == [f"countersign-source-{name}.json" for name in NATIVE]
    for file, text in made.items():
        node.call("PUT", f"/_ingest/pipeline/{file.removesuffix('.json')}", json.loads(text))
        node.call("DELETE", f"/_ingest/pipeline/{file.removesuffix('.json')}")


@pytest.mark.parametrize("name", sorted(set(MAPS) - set(NATIVE)))
def test_a_map_that_reads_no_record_has_none(name: str) -> None:
    with pytest.raises(ValueError, match="needs no pipeline"):
        pipeline(MAPS[name], EVENTS)


# What takes several records.


@pytest.mark.parametrize("name", NATIVE)
def test_what_an_assembled_event_says_beyond_its_own_record_is_named(name: str, tmp_path: Path) -> None:
    lines = test_sources.sample(name)
    joined, _ = test_sources.run(tmp_path, name, lines)
    text = (tmp_path / "0.jsonl").read_bytes()
    said = beyond(MAPS[name])
    compared = 0
    for event in joined:
        ((_, offset), *others) = event["countersign"]["records"]
        record = json.loads(text[offset:].split(b"\n")[0])
        kinds = MAPS[name].kinds_of(record)
        if len(kinds) > 1 or event["chain"]["stage"] != next(k for k in MAPS[name].kinds if k.name == kinds[0]).stage:
            continue  # an export of many, which nothing joins; a record that became an event because others dispute it
        (single,) = embedded(MAPS[name], [record], tmp_path)
        both = dict(told(single)), dict(told(event))
        for field in {field for field in both[1] if both[1][field] != both[0].get(field)}:
            compared += 1
            assert any(f"kind '{kinds[0]}'" in sentence and field in sentence for sentence in said), (kinds, field)
        assert set(both[0]) <= set(both[1])
        assert others or both[0] == both[1]
    assert compared or not any(kind.takes for kind in MAPS[name].kinds)


@pytest.mark.parametrize("name", NATIVE)
def test_what_takes_several_records_is_named_with_what_works_and_stands_in_the_pipeline(name: str) -> None:
    said = beyond(MAPS[name])
    for kind in MAPS[name].kinds:
        alone = [one for one in said if f"kind '{kind.name}'" in one]
        assert bool(alone) == bool(kind.takes or kind.event == "alone" or (kind.event == "never" and not kind.ignored))
    assert all("assemble before shipping" in one or "one record a document" in one for one in said)
    assert all(one in pipeline(MAPS[name], EVENTS)["description"] for one in said)
