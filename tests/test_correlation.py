"""Correlations: what a file may say, when one fires, and that engine and oracle agree on any records whatever.

The oracle is written from the specification; the engine slides windows in SQL. Random records with few keys, few values
and many equal times are judged by both.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.duckdb.target import judge
from backends.errors import Mistakes
from backends.vocabulary import Vocabulary
from harness.correlating import fires
from harness.options import ScanOptions
from harness.paths import Root
from harness.ruleset import load_rules
from harness.scan import scan

if TYPE_CHECKING:
    from pathlib import Path

    from backends.correlation import Correlation

ROOT = Root.default()
EVENTS, CHAINS = Vocabulary.load(ROOT.event_schema), Vocabulary.load(ROOT.chain_schema)
START = datetime(2026, 3, 2, 8, tzinfo=UTC)
HEAD = {"status": "experimental", "author": "countersign contributors", "date": "2026-03-02"}


def base(name: str, letter: str, **more: Any) -> dict[str, Any]:
    return {
        "title": f"Base {name}",
        "id": f"8b0f5c8e-7e0b-4c07-9d8e-0d3b7d7d5a{letter * 2}",
        "name": name,
        **HEAD,
        "logsource": {"product": "mcp", "service": "event"},
        "detection": {"selection": {"event.code|contains": letter}, "condition": "selection"},
        "level": "informational",
        **more,
    }


def document(kind: str, rules: list[str], **more: Any) -> dict[str, Any]:
    said = {"type": kind, "rules": rules, "group-by": ["user.id"], "timespan": "10s", **more}
    return {
        "title": "Correlation",
        "id": "8b0f5c8e-7e0b-4c07-9d8e-0d3b7d7d5aff",
        **HEAD,
        "correlation": {key: value for key, value in said.items() if value is not None},
        "level": "high",
    }


def home(folder: Path, *documents: dict[str, Any], name: str = "correlation_mcp_under_test.yml") -> Path:
    (folder / "rules" / "audit").mkdir(parents=True, exist_ok=True)
    (folder / "rules" / "audit" / name).write_text(yaml.safe_dump_all(documents, sort_keys=False))
    return folder


def loaded(folder: Path, *documents: dict[str, Any], **more: str) -> Correlation:
    (rule,) = load_rules(home(folder, *documents, **more) / "rules", ROOT.schemas)
    assert rule.correlation is not None
    return rule.correlation


def record(number: int, seconds: float, code: str, **fields: Any) -> dict[str, Any]:
    flat = {"event.id": f"e{number}", "event.code": code, "chain.stage": "tool_call", "user.id": "ana", **fields}
    when = (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    return {"@timestamp": when, **{name: value for name, value in flat.items() if value is not None}}


def both(correlation: Correlation, records: list[dict[str, Any]]) -> list[int]:
    """Where the correlation fires: engine and oracle must say the same."""
    judged = judge(records, rules={"it": correlation}, vocabulary=EVENTS, chain_vocabulary=CHAINS)
    said = [number for number, fired in enumerate(fires(correlation, judged.events)) if fired]
    assert sorted(judged.event_hits["it"]) == said
    return said


A, B, C = base("first", "a"), base("second", "b"), base("third", "c")
COUNT = document("event_count", ["first"], condition={"gte": 3})
VALUES = document("value_count", ["first"], condition={"gte": 3, "field": "gen_ai.tool.name"})
TOGETHER = document("temporal", ["first", "second"])
ORDERED = document("temporal_ordered", ["first", "second", "third"])


@pytest.mark.parametrize(
    ("said", "stories"),
    [
        (
            COUNT,
            [
                ([(0, "a"), (5, "a"), (10, "a")], [2]),
                ([(0, "a"), (5, "a"), (10.000001, "a")], []),
                ([(0, "a"), (0, "a"), (0, "a")], [0, 1, 2]),
                ([(0, "a"), (5, "b"), (10, "a")], []),
                ([(10, "a"), (0, "a"), (5, "a")], [0]),
            ],
        ),
        (
            TOGETHER,
            [
                ([(10, "a"), (0, "b")], [0]),
                ([(0, "ab")], [0]),
                ([(0, "a"), (11, "b")], []),
            ],
        ),
        (
            ORDERED,
            [
                ([(0, "a"), (1, "b"), (2, "c")], [2]),
                ([(0, "b"), (1, "a"), (2, "c")], []),
                ([(0, "a"), (9, "b"), (11, "c")], []),
                ([(0, "a"), (3, "a"), (9, "b"), (12, "c")], [3]),
                ([(0, "abc")], []),
                ([(0, "abc"), (0, "abc"), (0, "abc")], [0, 1, 2]),
                ([(0, "a"), (1, "bc"), (2, "c")], [2]),
            ],
        ),
    ],
    ids=["event_count", "temporal", "temporal_ordered"],
)
def test_a_window_is_closed_slides_and_keeps_order(
    tmp_path: Path, said: dict[str, Any], stories: list[tuple[list[tuple[float, str]], list[int]]]
) -> None:
    """Stories a day apart, judged in one go: in each, the records at which the rule fires, by their place in it."""
    correlation = loaded(tmp_path, said, *(b for b in (A, B, C) if b["name"] in said["correlation"]["rules"]))
    records, fired = [], []
    for day, (times, expected) in enumerate(stories):
        fired += [len(records) + place for place in expected]
        for at, code in times:
            records.append(record(len(records), 86_400 * day + at, code))
    assert both(correlation, records) == fired


KEYS = st.sampled_from(["ana", "ANA", "bob", None])
RECORDS = st.lists(
    st.tuples(
        st.sampled_from([0, 0.5, 1, 4, 5, 9, 10, 10.000001, 11, 15, 20, 20.5, 31]),
        st.sampled_from(["a", "b", "c", "ab", "bc", "abc", "x"]),
        KEYS,
        st.sampled_from(["read", "READ", "write", "delete", None]),
    ),
    max_size=14,
)
KINDS = [
    (COUNT, (A,)),
    (document("event_count", ["first", "second"], condition={"gt": 2}), (A, B)),
    (document("event_count", ["first"], condition={"gte": 4}, **{"group-by": None}), (A,)),
    (VALUES, (A,)),
    (document("value_count", ["first"], condition={"gte": 2, "field": "user.id"}, **{"group-by": None}), (A,)),
    (TOGETHER, (A, B)),
    (document("temporal", ["first", "second", "third"], condition={"gte": 2}), (A, B, C)),
    (document("temporal_ordered", ["first", "second"]), (A, B)),
    (ORDERED, (A, B, C)),
    (
        document(
            "temporal",
            ["first", "second"],
            aliases={"who": {"first": "user.id", "second": "gen_ai.tool.name"}},
            **{"group-by": ["who"]},
        ),
        (A, B),
    ),
    (document("event_count", ["first"], condition={"gte": 2}, **{"group-by": ["user.id", "gen_ai.tool.name"]}), (A,)),
]


@pytest.mark.parametrize(
    ("said", "bases"), KINDS, ids=[f"{k['correlation']['type']}-{n}" for n, (k, _) in enumerate(KINDS)]
)
def test_engine_and_oracle_agree_on_any_records(
    tmp_path_factory: pytest.TempPathFactory, said: dict[str, Any], bases: tuple[dict[str, Any], ...]
) -> None:
    correlation = loaded(tmp_path_factory.mktemp("rules"), said, *bases)

    @settings(max_examples=2, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.lists(RECORDS, min_size=40, max_size=40))
    def agree(groups: list[list[tuple[float, str, str | None, str | None]]]) -> None:
        records = []
        for turn, group in enumerate(groups):  # a day apart, so that one judgement tries many stories
            for at, code, who, tool in group:
                more = {"user.id": who, "gen_ai.tool.name": tool}
                records.append(record(len(records), at + 86_400 * turn, code, **more))
        if records:
            both(correlation, records)

    agree()


def test_an_attack_that_lies_across_every_hour_is_seen(tmp_path: Path) -> None:
    """A window slides: wherever on the clock three records within ten seconds lie, they are found."""
    correlation = loaded(tmp_path, COUNT, A)
    records = []
    for turn in range(40):
        begin = 3600 * (turn + 1) - 10 + turn * 0.25
        records += [record(len(records) + n, begin + 5 * n, "a") for n in range(3)]
    assert both(correlation, records) == list(range(2, 120, 3))


@pytest.mark.parametrize(
    ("documents", "says"),
    [
        ([COUNT], "no rule of this file is called 'first'"),
        ([COUNT, A, B], "the rule 'second' of this file takes no part"),
        ([document("event_count", ["first"], condition={"lt": 3}), A], "the condition is gte or gt"),
        ([document("event_count", ["first"], condition={"gte": 0}), A], "the count is one or more"),
        ([document("value_sum", ["first"], condition={"gte": 3, "field": "x"}), A], "the type is one of event_count"),
        ([document("value_count", ["first"], condition={"gte": 3}), A], "without field reference"),
        ([document("temporal", ["first"]), A], "needs two rules or more"),
        ([document("temporal", ["first", "second"], condition="first and second"), A, B], "in words is not supported"),
        ([document("temporal_ordered", ["first", "second"], condition={"gte": 1}), A, B], "needs all its rules"),
        ([document("event_count", ["first"], condition={"gte": 2}, timespan="soon"), A], "Timespan 'soon' is invalid"),
        ([document("event_count", ["first"], condition={"gte": 2}, **{"group-by": ["user.idd"]}), A], "did you mean"),
        (
            [document("event_count", ["first"], condition={"gte": 2}, **{"group-by": ["oauth.scope.granted"]}), A],
            "'oauth.scope.granted' holds many values",
        ),
        (
            [document("event_count", ["first"], condition={"gte": 2}, aliases={"who": {"second": "user.id"}}), A],
            "the alias 'who' has no field for the rule 'first'",
        ),
        (
            [document("event_count", ["first"], condition={"gte": 2}, aliases={"user.id": {"first": "user.id"}}), A],
            "the alias 'user.id' is also a field",
        ),
        ([COUNT, A, TOGETHER], "a file holds one correlation"),
        (
            [COUNT, {**A, "logsource": {"product": "mcp", "service": "chain"}}],
            "a correlation counts events, not chains",
        ),
        ([COUNT, {k: v for k, v in A.items() if k != "name"}], "a base rule has a name"),
        ([A, B], "a file holds one rule"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, documents: list[dict[str, Any]], says: str) -> None:
    name = "mcp_two_rules.yml" if documents == [A, B] else "correlation_mcp_under_test.yml"
    with pytest.raises(Mistakes) as wrong:
        load_rules(home(tmp_path, *documents, name=name) / "rules", ROOT.schemas)
    named = [mistake for mistake in wrong.value.found if says in mistake.message]
    assert named, wrong.value.found
    assert named[0].line > 0


def test_the_file_of_a_correlation_bears_the_name_that_sigmahq_asks_for(tmp_path: Path) -> None:
    with pytest.raises(Mistakes, match=r"correlation_mcp_<stem>\.yml"):
        load_rules(home(tmp_path, COUNT, A, name="mcp_under_test.yml") / "rules", ROOT.schemas)


def log(folder: Path, records: list[dict[str, Any]], name: str = "log.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return path


def told(folder: Path, period: str) -> None:
    """Parameters of a root of its own."""
    defaults = {"all": {"kind": "incident", "group_by": ["chain.id"], "period": "1d"}}
    own = {"sentence": "{user.id} did it {correlation.count} times.", "period": period}
    path = folder / "rules" / "parameters.json"
    path.write_text(json.dumps({"defaults": defaults, "rules": {"under_test": own}}))


def scanned(folder: Path, path: Path, **options: Any) -> list[dict[str, Any]]:
    (folder / "schemas").exists() or (folder / "schemas").symlink_to(ROOT.schemas)
    result = scan(ScanOptions((str(path),), Root(folder), **options))
    return [finding.to_dict() for finding in result.findings]


def test_a_finding_names_the_records_of_its_window_and_what_they_share(tmp_path: Path) -> None:
    home(tmp_path, COUNT, A)
    told(tmp_path, "1h")
    records = [
        record(0, 0, "x"),
        *(record(n, n * 4, "a") for n in range(1, 5)),
        record(5, 20, "a", **{"user.id": "bob"}),
    ]
    (found,) = scanned(tmp_path, log(tmp_path, records))
    assert found["sentence"] == "ana did it 4 times."
    assert [place["line"] for place in found["records"]] == [2, 3, 4, 5]
    assert (found["count"], found["records_total"]) == (4, 4)
    assert found["group"] == {"user.id": "ana"}
    assert (found["first_seen"][11:19], found["last_seen"][11:19]) == ("08:00:04", "08:00:16")


def test_two_scans_so_chained_give_the_findings_of_one(tmp_path: Path) -> None:
    """Bursts of three lie at every distance from the end of the first scan; none is lost, none is told twice."""
    home(tmp_path, document("event_count", ["first"], condition={"gte": 3}, timespan="10m"), A)
    told(tmp_path, "10m")
    records = []
    for who in range(60):
        for n in range(3):
            when = 3600 * 23 + who * 120 + n * 290
            records.append(record(len(records), when, "a", **{"user.id": f"u{who}", "transaction.id": f"t{who}"}))
    records.sort(key=lambda each: each["@timestamp"])
    whole = scanned(tmp_path, log(tmp_path, records))
    assert len(whole) == 60
    until = START + timedelta(days=1)
    early = [each for each in records if datetime.fromisoformat(each["@timestamp"]) < until]
    late = [each for each in records if datetime.fromisoformat(each["@timestamp"]) >= until]
    carry = tmp_path / "carry.jsonl"
    first = scanned(tmp_path, log(tmp_path, early, "early.jsonl"), until=until, carry=carry)
    second = scanned(tmp_path, log(tmp_path, late, "late.jsonl"), until=until + timedelta(days=9), carry=carry)
    assert first
    assert second
    assert sorted(f["id"] for f in first + second) == sorted(f["id"] for f in whole)
