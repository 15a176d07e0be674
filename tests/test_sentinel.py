"""Microsoft Sentinel: what is pasted binds with Microsoft's own parser, runs in duckdb-kql, and says what the oracle says.

The engine of a test is `harness.engines.kql`. Marked slow: all variants, and the chain rules, whose view takes seconds to plan
for each register.
"""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from sigma.collection import SigmaCollection
from sigma.rule import SigmaRule

from backends.correlation import resolved
from backends.duckdb.target import Sources, judge
from backends.sentinel.columns import column, fields_of, network, table_schema, text, view_schema
from backends.sentinel.register import NONE, SHAPES, as_csv, watchlists
from backends.sentinel.target import EVENTS, TARGET
from backends.sources import SourceMaps
from backends.target import Inexpressible, Wanted, load
from harness.case import Bases
from harness.correlating import fires
from harness.engines.kql import Binder, Kql
from harness.judging import duckdb, subjects_of
from harness.oracle import matches
from harness.paths import Root
from harness.proof import as_written, prove

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from harness.matrix import Subject, Verdicts

pytestmark = pytest.mark.xdist_group("kql")

ROOT = Root.default()
SUBJECTS, EVENT_FIELDS, CHAIN_FIELDS = subjects_of(ROOT, ROOT.rules, ())
FACT_TABLES = sorted((ROOT.path / "tests" / "facts").glob("*.json"))
NEVER = (
    ("gateway", "tool_call", ("prompt", "scope", "agent")),
    ("gateway", "token", ("act",)),
    ("server", "tool_call", ("prompt", "user")),
)
JOINED = {"chain.id", "chain.id_source"}
START = datetime(2026, 3, 2, 8, tzinfo=UTC)
SAMPLE = 2
"""Registers that the quick run asks; the slow one asks all."""


def wanted(subject: Subject) -> Wanted:
    return Wanted(subject.stem, subject.rule)


def sources() -> Sources:
    maps = SourceMaps.load(ROOT.sources)
    never: dict[str, Any] = {name: source.never for name, source in maps.items()}
    never |= {name: stages for s in SUBJECTS for case in s.cases for name, stages in case.never.items()}
    return Sources(
        never=tuple((name, stage, tuple(what)) for name, stages in never.items() for stage, what in stages.items()),
        client_ids=tuple((name, key) for name, source in maps.items() for key in sorted(source.client_ids)),
    )


@pytest.fixture(scope="session")
def binder() -> Binder:
    return Binder(ROOT.path / ".cache" / "kql", EVENT_FIELDS)


@pytest.fixture(scope="session")
def events_only() -> Iterator[Kql]:
    """All event rules and correlations, without the chain view."""
    rules = {s.stem: s.rule for s in SUBJECTS if not s.of_chains}
    with Kql(rules, EVENT_FIELDS, CHAIN_FIELDS, sources()) as engine:
        yield engine


@pytest.fixture(scope="session")
def everything() -> Iterator[Kql]:
    with Kql({s.stem: s.rule for s in SUBJECTS}, EVENT_FIELDS, CHAIN_FIELDS, sources()) as engine:
        yield engine


# Names and types: Microsoft's binder.


def test_every_query_and_view_binds(binder: Binder) -> None:
    assert [messages for messages, _ in binder.views.values()] == [[], []]
    queries = [TARGET.compile(wanted(s), EVENT_FIELDS, CHAIN_FIELDS) for s in SUBJECTS]
    for query, (messages, _) in zip(queries, binder.check(queries), strict=True):
        assert not messages, query


def test_the_views_give_every_field_in_its_type(binder: Binder) -> None:
    (_, events), (_, chains) = binder.views.values()
    assert {name: events.get(name) for name in view_schema(EVENT_FIELDS)} == view_schema(EVENT_FIELDS)
    expected = {name: kind for name, kind in view_schema(CHAIN_FIELDS).items() if name != "_ItemId"}
    assert {name: chains.get(name) for name in expected} == expected


def test_what_does_not_bind_is_an_error(binder: Binder) -> None:
    wrong = ['nosuch =~ "a"', "user_id > 5 + nosuch", "nofunction(user_id)", 'user_id =~ "a']
    said = binder.check([f"{EVENTS} | where {each}" for each in wrong])
    assert [each for each, (messages, _) in zip(wrong, said, strict=True) if not messages] == []


# The table and the watchlists.


def test_a_column_leads_back_to_its_field() -> None:
    for vocabulary in (EVENT_FIELDS, CHAIN_FIELDS):
        assert len(fields_of(vocabulary)) == len(vocabulary.fields)
        assert {f.name for f in fields_of(vocabulary).values()} == set(vocabulary.fields)
    assert all(len(name) <= 45 and name.replace("_", "").isalnum() for name in table_schema(EVENT_FIELDS))


@pytest.mark.parametrize(
    ("cidr", "inside", "outside"),
    [
        ("10.0.0.0/8", "0000:0000:0000:0000:0000:ffff:0a01:0203", "0000:0000:0000:0000:0000:ffff:0b01:0203"),
        ("192.0.2.128/26", "0000:0000:0000:0000:0000:ffff:c000:02bf", "0000:0000:0000:0000:0000:ffff:c000:02c0"),
        ("2001:db8::/33", "2001:0db8:7fff:0000:0000:0000:0000:0001", "2001:0db8:8000:0000:0000:0000:0000:0001"),
        ("2001:db8::1/128", "2001:0db8:0000:0000:0000:0000:0000:0001", "2001:0db8:0000:0000:0000:0000:0000:0002"),
    ],
)
def test_a_network_is_a_pattern(cidr: str, inside: str, outside: str) -> None:
    import re  # noqa: PLC0415

    assert re.search(network(cidr), inside)
    assert not re.search(network(cidr), outside)


def test_each_watchlist_has_a_row_and_its_columns() -> None:
    lists = watchlists({}, (), ())
    assert {name: tuple(rows[0])[1:] for name, rows in lists.items()} == dict(SHAPES)
    assert all(rows[0]["SearchKey"] == NONE for rows in lists.values())
    hostile = watchlists({"agents": [{"id": 'A"\n,b', "tools": ['x"', "Y"]}]})["agents"]
    assert as_csv(hostile).splitlines()[0].startswith("SearchKey,id,")
    assert json.loads(hostile[1]["tools"]) == ['x"', "y"]


# Facts: each row of the hand-written truth tables, against DuckDB's.


def rows_of(path: Path) -> list[tuple[str, list[dict[str, Any]]]]:
    table = json.loads(path.read_text())
    registers = table.get("registers", {})
    return [
        (
            json.dumps(registers[row["register"]] if "register" in row else {}, sort_keys=True),
            row.get("records") or [row["given"]],
        )
        for row in table["rows"]
    ]


def fact_records(register: str) -> list[dict[str, Any]]:
    found = []
    for path in FACT_TABLES:
        for place, (mine, records) in enumerate(rows_of(path)):
            for index, given in enumerate(records if mine == register else ()):
                offset = timedelta(minutes=place, seconds=int(given.get("at", f"+{index}s").strip("+s")))
                flat = {
                    "@timestamp": (START + offset).isoformat(),
                    "event.id": f"{path.stem}/{place}/{index}",
                    "chain.stage": "tool_call",
                    **{name: value for name, value in given.items() if name != "at"},
                }
                if "observer.name" in flat:
                    flat["observer.name"] = f"{path.stem}/{place}/{flat['observer.name']}"
                found.append(flat)
    return found


REGISTERS = sorted({register for path in FACT_TABLES for register, _ in rows_of(path)})


@pytest.fixture(scope="session")
def facts_engine() -> Iterator[Kql]:
    with Kql({}, EVENT_FIELDS, CHAIN_FIELDS, Sources(never=NEVER)) as engine:
        yield engine


@pytest.mark.parametrize(
    "at", [pytest.param(at, marks=[pytest.mark.slow] if at >= SAMPLE else []) for at in range(len(REGISTERS))]
)
def test_every_fact_is_that_of_duckdb(facts_engine: Kql, at: int) -> None:
    records = fact_records(REGISTERS[at])
    tables = json.loads(REGISTERS[at])
    ours = facts_engine.judge(records, tables, None).events
    theirs = judge(
        records,
        rules={},
        vocabulary=EVENT_FIELDS,
        chain_vocabulary=CHAIN_FIELDS,
        register=tables,
        sources=Sources(never=NEVER),
    ).events
    assert any(record is not None for record in theirs)
    assert [record is None for record in ours] == [record is None for record in theirs]
    for given, mine, other in zip(records, ours, theirs, strict=True):
        for name in set(EVENT_FIELDS.derived) - JOINED if mine is not None and other is not None else ():
            assert comparable(mine.get(name)) == comparable(other.get(name)), (name, given)


def comparable(value: Any) -> Any:
    """A list's order says nothing; true is not 1."""
    return (type(value) is bool, sorted(value) if isinstance(value, list) else value)


# Rules.


def test_each_event_rule_says_of_its_cases_what_is_expected(events_only: Kql) -> None:
    """Cases without a register of their own, all in a few data sets; the slow proof judges all."""
    quick = [s for s in SUBJECTS if not s.of_chains]
    registers: set[str] = set()

    def first(records: Any, tables: Any, now: Any) -> Any:
        registers.add(json.dumps(tables, sort_keys=True, default=str))
        return events_only.judge(records, tables, now)

    plain = [type(s)(s.stem, s.rule, tuple(c for c in s.cases if c.register is None)) for s in quick]
    cells = list(as_written([s for s in plain if s.cases], first, Bases.honest(), EVENT_FIELDS))
    assert len(cells) > 50
    for cell, answer in cells:
        assert answer.agrees, (cell.subject.stem, cell.case.sentence)
        assert answer.engine is cell.case.fires, (cell.subject.stem, cell.case.sentence)


def test_the_pasted_query_of_each_rule_gives_the_same_hits(events_only: Kql) -> None:
    chosen = [s for s in SUBJECTS if not s.of_chains]
    records = [record for s in chosen for record in s.cases[0].records(Bases.honest())]
    verdicts = events_only.judge(records, {}, None)
    assert any(verdicts.event_hits.values())
    for subject in chosen:
        query = TARGET.compile(wanted(subject), EVENT_FIELDS, CHAIN_FIELDS)
        assert {int(key) for key in events_only.hits(query)} == verdicts.event_hits[subject.stem], query


@pytest.mark.slow
def test_every_cell_of_every_rule_is_equal(everything: Kql) -> None:
    proofs = prove(SUBJECTS, everything.judge, Bases.honest(), EVENT_FIELDS)
    assert sum(proof.cells for proof in proofs) > 0
    assert not [failure for proof in proofs for failure in proof.failures]


@pytest.mark.slow
def test_every_chain_fact_is_that_of_duckdb(everything: Kql) -> None:
    """Every case of a chain rule, kept apart by keys of its own; a chain is told by its records, not by its id."""
    chosen = [s for s in SUBJECTS if s.of_chains]
    theirs = duckdb(chosen, EVENT_FIELDS, CHAIN_FIELDS, SourceMaps.load(ROOT.sources), compiled=False)
    compared: list[tuple[int, ...]] = []

    def both(records: Any, tables: Any, now: Any) -> Any:
        ours = everything.judge(records, tables, now)
        mine, known = by_members(ours), by_members(theirs(records, tables, now))
        assert set(mine) == set(known)
        for members, chain in known.items():
            for name in set(CHAIN_FIELDS.fields) - {"chain.id"}:
                assert comparable(mine[members].get(name)) == comparable(chain.get(name)), (
                    name,
                    members,
                    records[members[0]],
                )
        compared.extend(known)
        return ours

    cells = list(as_written(chosen, both, Bases.honest(), EVENT_FIELDS))
    assert len(compared) >= len(cells) > 0
    for cell, answer in cells:
        assert answer.agrees, (cell.subject.stem, cell.case.sentence)
        assert answer.engine is cell.case.fires, (cell.subject.stem, cell.case.sentence)


def by_members(verdicts: Verdicts) -> dict[tuple[int, ...], Mapping[str, Any]]:
    found: dict[str, list[int]] = {}
    for at, event in enumerate(verdicts.events):
        if event and event.get("chain.id") in verdicts.chains:
            found.setdefault(event["chain.id"], []).append(at)
    return {tuple(places): verdicts.chains[chain] for chain, places in found.items()}


# The language: a condition, a record, and what the Sigma specification says of it.

SEMANTICS: list[tuple[str, dict[str, Any], bool]] = [
    ("user.id: ANA", {"user.id": "ana"}, True),
    ("user.id|cased: ANA", {"user.id": "ana"}, False),
    ("user.id: ÄRGER", {"user.id": "ärger"}, True),
    ("user.id: a?a", {"user.id": "aNa"}, True),
    ("user.id: a?a", {"user.id": "anna"}, False),
    ("user.id: 'a*a'", {"user.id": "a\nb a"}, True),
    (r"user.id: 'a\*a'", {"user.id": "aba"}, False),
    (r"user.id: 'a\*a'", {"user.id": "a*a"}, True),
    ("user.id: '*'", {}, False),
    ("user.id: '*'", {"user.id": "x"}, True),
    ("user.id|contains: 'a.c'", {"user.id": "xabcx"}, False),
    ("user.id|contains: 'a_c%'", {"user.id": "xabcx"}, False),
    ("user.id|re: '^a.c$'", {"user.id": "abc"}, True),
    ("user.id|re: '^A.c$'", {"user.id": "abc"}, False),
    ("user.id|re|i: '^A.c$'", {"user.id": "abc"}, True),
    ("user.id|re: '.*'", {}, False),
    (r"""user.id: 'q"uote''s \| {b} %s'""", {"user.id": """q"uote's \\| {b} %S"""}, True),
    ("user.id: null", {}, True),
    ("user.id: ''", {"user.id": "x"}, False),
    ("user.id|exists: true", {"user.id": "x"}, True),
    ("user.id|exists: false", {"user.id": "x"}, False),
    ("source.ip|cidr: 10.0.0.0/8", {"source.ip": "10.1.2.3"}, True),
    ("source.ip|cidr: 10.0.0.0/8", {"source.ip": "11.1.2.3"}, False),
    ("source.ip|cidr: 10.0.0.0/8", {"source.ip": "not an address"}, False),
    ("source.ip|cidr: 2001:db8::/33", {"source.ip": "2001:DB8:7000::1"}, True),
    ("source.ip|cidr: 2001:db8::/33", {"source.ip": "2001:db8:8000::1"}, False),
    ("http.response.status_code|gte: 400", {"http.response.status_code": 401}, True),
    ("http.response.status_code|gte: 400", {}, False),
    ("http.response.status_code: 401", {"http.response.status_code": 401}, True),
    ("http.response.status_code|startswith: '4'", {"http.response.status_code": 401}, True),
    ("chain.via_proxy: false", {}, False),
    ("chain.via_proxy: 'FALSE'", {"chain.via_proxy": False}, True),
    ("user.effective.id|fieldref: user.id", {"user.id": "Ana", "user.effective.id": "aNA"}, True),
    ("user.effective.id|fieldref: user.id", {}, False),
    ("user.effective.id|fieldref|startswith: user.id", {"user.id": "an", "user.effective.id": "Ana"}, True),
    ("oauth.scope.granted: B", {"oauth.scope.granted": ["a", "b"]}, True),
    ("oauth.scope.granted|cased: B", {"oauth.scope.granted": ["a", "b"]}, False),
    ("oauth.scope.granted: a,b", {"oauth.scope.granted": ["a", "b"]}, False),
    ("oauth.scope.granted|contains: '\",\"'", {"oauth.scope.granted": ["a", "b"]}, False),
    ("oauth.scope.granted|startswith: crm.", {"oauth.scope.granted": ["x", "CRM.read"]}, True),
    ("oauth.scope.granted|endswith: x", {"oauth.scope.granted": ["x.y"]}, False),
    ("oauth.scope.granted: null", {"oauth.scope.granted": [""]}, True),
    ("user.id: [ana, 'b*b', 5]", {"user.id": "BOB"}, True),
    ("user.id|contains|all: [a, n]", {"user.id": "bob"}, False),
]


def small(number: int, detection: str, condition: str) -> SigmaRule:
    return SigmaRule.from_yaml(
        f"title: Small {number}\nlogsource: {{product: mcp, service: event}}\n"
        f"detection:\n  selection:\n    {detection}\n  condition: {condition}\n"
    )


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_the_language_means_what_sigma_says(every: int) -> None:
    """Each test, and the NOT of one in so many, over every record: the specification's word for its own, else the oracle's."""
    rules = {f"r{at}": small(at, detection, "selection") for at, (detection, _, _) in enumerate(SEMANTICS)}
    denied = range(0, len(SEMANTICS), every)
    rules |= {f"n{at}": small(at, SEMANTICS[at][0], "not selection") for at in denied}
    records = [{"@timestamp": START.isoformat(), "chain.stage": "tool_call", **record} for _, record, _ in SEMANTICS]
    with Kql(rules, EVENT_FIELDS, CHAIN_FIELDS, Sources()) as engine:
        verdicts = engine.judge(records, {}, None)
    for at, (detection, record, expected) in enumerate(SEMANTICS):
        assert (at in verdicts.event_hits[f"r{at}"]) is expected, (detection, record)
        if at in denied:
            assert (at in verdicts.event_hits[f"n{at}"]) is not expected, ("not", detection, record)
    for name, rule in rules.items():
        said = {at for at, facts in enumerate(verdicts.events) if facts is not None and matches(rule, facts)}
        assert verdicts.event_hits[name] == said, name


@pytest.mark.parametrize(
    ("detection", "word"),
    [
        ("oauth.scope.granted|fieldref: user.id", "many values"),
        ("no.field: x", "not in the schema"),
        ("chain.id: x", "chain"),
    ],
)
def test_what_cannot_be_said_is_refused_in_one_sentence(detection: str, word: str) -> None:
    with pytest.raises(Inexpressible, match=word) as refused:
        TARGET.compile(Wanted("small", small(0, detection, "selection")), EVENT_FIELDS, CHAIN_FIELDS)
    assert "Small 0" in str(refused.value)


def test_a_literal_ends_where_it_ends(binder: Binder) -> None:
    hostile = ('a"b', "a\\", '\\" or true //', "a'b", "a\nb\rc\td", "{x}|take 1", "ä\U0001f600", "a\u2028b\x01")
    answers = binder.check([f"print x = {text(one)}" for one in hostile])
    assert [messages for messages, _ in answers] == [[]] * len(hostile)


# Correlations.


def correlation(kind: str, names: str, **more: Any) -> Any:
    letters = {"first": "a", "second": "b", "third": "c"}
    head = {"logsource": {"product": "mcp", "service": "event"}, "level": "low"}
    rules = [
        {"title": n, "name": n, **head, "detection": {"s": {"event.code|contains": letters[n]}, "condition": "s"}}
        for n in names.split()
    ]
    said = {"type": kind, "rules": names.split(), "group-by": ["user.id", "gen_ai.agent.id"], "timespan": "10s", **more}
    parsed = SigmaCollection.from_yaml(yaml.safe_dump_all([*rules, {"title": "Together", "correlation": said}]))
    return resolved(parsed.rules[-1], {rule.name: rule for rule in parsed.rules[:-1]})


CORRELATIONS = {
    "count": correlation("event_count", "first", condition={"gte": 3}),
    "values": correlation("value_count", "first", condition={"gte": 3, "field": "gen_ai.tool.name"}),
    "together": correlation("temporal", "first second"),
    "ordered": correlation("temporal_ordered", "first second third"),
}


@cache
def straddling() -> list[dict[str, Any]]:
    """For each second of a bin: three records over ten seconds, one microsecond more, and equal times; keys apart."""
    found = []
    for offset in range(10):
        for name, times in (("in", (0.0, 5.0, 10.0)), ("out", (0.0, 5.0, 10.000001)), ("same", (0.0, 0.0, 0.0))):
            for number, at in enumerate(times):
                for user in (f"{name}{offset}", None):  # a null group takes no part
                    found.append(  # noqa: PERF401
                        {
                            "@timestamp": (START + timedelta(seconds=offset + at)).isoformat(),
                            "chain.stage": "tool_call",
                            "event.code": "abc"[number] + "a",
                            "gen_ai.agent.id": "Agent" if number else "aGENT",
                            "gen_ai.tool.name": f"tool{number}",
                            **({"user.id": user.upper() if number == 1 else user} if user else {}),
                        }
                    )
    return found


def test_a_window_slides_over_every_edge() -> None:
    records = straddling()
    with Kql(CORRELATIONS, EVENT_FIELDS, CHAIN_FIELDS, Sources()) as engine:
        verdicts = engine.judge(records, {}, None)
        for name, one in CORRELATIONS.items():
            said = {number for number, fired in enumerate(fires(one, verdicts.events)) if fired}
            assert verdicts.event_hits[name] == said, name
            assert said, name
            query = TARGET.compile(Wanted(name, one), EVENT_FIELDS, CHAIN_FIELDS)
            assert {int(key) for key in engine.hits(query)} == said, name


# The stock command.


def test_the_pipeline_names_every_field() -> None:
    pipeline = yaml.safe_load((ROOT.path / "backends" / "sentinel" / "pipeline.yml").read_text())
    mapping = pipeline["transformations"][0]["mapping"]
    assert mapping == {name: column(name) for name in [*EVENT_FIELDS.fields, *CHAIN_FIELDS.fields]}


def converted(*paths: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT.path / ".venv" / "bin" / "sigma"), "convert", "-s", "-t", "kusto"]
    pipeline = ["-p", "backends/sentinel/pipeline.yml"]
    return subprocess.run([*command, *pipeline, *paths], cwd=ROOT.path, capture_output=True, text=True, check=False)


def test_stock_sigma_convert_takes_the_pipeline() -> None:
    paths = sorted(str(path) for path in ROOT.rules.rglob("mcp_*.yml"))
    done = converted(*paths)
    queries = [line for line in done.stdout.splitlines() if line.startswith("countersign_")]
    assert len(queries) == len(paths) == len([s for s in SUBJECTS if not s.correlates])


def test_stock_sigma_convert_has_no_correlations() -> None:
    for path in sorted(ROOT.rules.rglob("correlation_mcp_*.yml")):
        done = converted(str(path))
        assert "countersign_" not in done.stdout, path.name
        assert "not supported" in done.stderr + done.stdout, path.name


def test_the_target_is_found_by_its_name() -> None:
    assert load("sentinel") is TARGET
    assert TARGET.comment("a\n\nb") == "// a\n//\n// b\n"
