"""A finding: its id stays, its incident has one leader, and its JSON is what the schema describes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sigma.rule import SigmaRule

from backends.vocabulary import Vocabulary
from harness.finding import (
    KINDS_SHOWN,
    LEVELS,
    RECORDS_SHOWN,
    Blind,
    ChainRef,
    Finding,
    RecordRef,
    Rejected,
    RuleRef,
    ScanResult,
    Summary,
    Who,
    by_level,
    finding_id,
    led,
    level_rank,
    named,
)
from harness.naming import VALUES_SHOWN, Namer
from harness.paths import Root
from harness.ruleset import Rule

ROOT = Root.default()
SCHEMA = json.loads((ROOT.schemas / "finding.schema.json").read_text(encoding="utf-8"))
VALID = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
UUID = "8b0f5c8e-7e0b-4c07-9d8e-0d3b7d7d5a11"
AT = "2026-10-05T09:00:00.000000Z"


def finding(
    stem: str = "some_rule",
    level: str = "low",
    *,
    at: str = AT,
    kind: str = "incident",
    chain: str | None = None,
    group: dict[str, Any] | None = None,
    number: int | None = None,
) -> Finding:
    rule = RuleRef(UUID, stem, stem.title(), level, "scope", kind, number)
    identity = finding_id(stem, {"chain": chain, **(group or {})}, at)
    ref = ChainRef(chain, "trace") if chain else None
    return Finding(identity, rule, "It happened.", at, at, chain=ref, group=group or {})


def order(*findings: Finding) -> list[str]:
    return [f.rule.stem for f in led(findings)]


def leaders(*findings: Finding) -> dict[str, tuple[str, ...]]:
    return {f.rule.stem: f.also for f in led(findings) if f.led_by is None}


def test_the_id_is_written_down_so_that_a_release_does_not_change_it() -> None:
    assert finding_id(UUID, {"user.id": "u-ana", "mcp.server.name": "crm-mcp"}, AT) == "ca5522add05e585692c1"


def test_the_id_does_not_depend_on_the_order_of_the_group() -> None:
    assert finding_id(UUID, {"a": "1", "b": "2"}, AT) == finding_id(UUID, {"b": "2", "a": "1"}, AT)


@pytest.mark.parametrize(
    "other", [("x", {"a": "1"}, AT), (UUID, {"a": "2"}, AT), (UUID, {"b": "1"}, AT), (UUID, {"a": "1"}, AT[:-2] + "1Z")]
)
def test_another_rule_group_or_period_is_another_finding(other: tuple[str, dict[str, str], str]) -> None:
    assert finding_id(*other) != finding_id(UUID, {"a": "1"}, AT)


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3))
def test_any_text_of_a_log_has_an_id(group: dict[str, str]) -> None:
    assert len(finding_id(UUID, {**group, "lone": "\ud800"}, AT)) == 20


def test_the_highest_level_leads_its_chain_and_names_the_others() -> None:
    low, high, medium = (
        finding("low", chain="c"),
        finding("high", "high", chain="c"),
        finding("medium", "medium", chain="c"),
    )
    first, *others = led([low, high, medium])
    assert (first.rule.stem, first.also, first.led_by) == ("high", ("medium", "low"), None)
    assert [(f.rule.stem, f.also, f.led_by) for f in others] == [("medium", (), high.id), ("low", (), high.id)]


def test_what_is_led_follows_its_leader() -> None:
    assert order(finding("b", "high", chain="2"), finding("a", "low", chain="1"), finding("c", "low", chain="2")) == [
        "b",
        "c",
        "a",
    ]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (finding("first", "high"), finding("second", "low")),
        (finding("first", at=AT), finding("second", at="2026-10-05T09:00:01.000000Z")),
        (finding("first", number=2), finding("second", number=10)),
        (finding("first", number=99), finding("second")),
        (finding("a"), finding("b")),
    ],
    ids=["level", "time", "number", "no number", "stem"],
)
def test_findings_are_ordered_by(one: Finding, two: Finding) -> None:
    assert order(one, two) == order(two, one) == [one.rule.stem, two.rule.stem]


def test_findings_of_different_chains_lead_themselves() -> None:
    assert leaders(finding("a", chain="1"), finding("b", chain="2")) == {"a": (), "b": ()}


def test_a_rule_that_fires_twice_in_a_chain_is_named_once() -> None:
    twice = finding("b", chain="c"), finding("b", chain="c", at="2026-10-05T09:00:01.000000Z")
    assert leaders(finding("a", "high", chain="c"), *twice) == {"a": ("b",)}


def test_a_rule_does_not_name_itself() -> None:
    assert leaders(finding("a", chain="c"), finding("a", chain="c", at="2026-10-05T09:00:01.000000Z")) == {"a": ()}


def test_posture_findings_of_one_group_and_day_belong_together_and_not_to_a_chain() -> None:
    group = {"mcp.server.name": "crm"}
    postures = [finding(stem, kind="posture", chain="c", group=group) for stem in ("p", "q")]
    assert leaders(*postures, finding("i", chain="c", group=group)) == {"i": (), "p": ("q",)}


@pytest.mark.parametrize(
    "other",
    [
        finding("q", kind="posture", group={"a": "2"}),
        finding("q", kind="posture", group={"a": "1"}, at="2026-10-06T09:00:00.000000Z"),
    ],
    ids=["group", "day"],
)
def test_posture_findings_of_another_group_or_day_are_apart(other: Finding) -> None:
    assert leaders(finding("p", kind="posture", group={"a": "1"}), other) == {"p": (), "q": ()}


def test_findings_without_group_or_chain_are_apart() -> None:
    assert leaders(finding("a"), finding("b")) == {"a": (), "b": ()}


@given(
    st.permutations(
        [
            finding(s, lv, chain=c)
            for s, lv, c in (
                ("a", "low", "1"),
                ("b", "high", "1"),
                ("c", "high", "2"),
                ("d", "low", "2"),
                ("e", "low", None),
            )
        ]
    )
)
def test_the_order_of_the_findings_changes_nothing(findings: list[Finding]) -> None:
    assert led(findings) == led(sorted(findings, key=lambda f: f.id))


def test_leading_twice_is_leading_once() -> None:
    once = led([finding("a", "high", chain="c"), finding("b", chain="c")])
    assert led(once) == once


def test_levels_are_counted_highest_first() -> None:
    counts = by_level([finding(level="low"), finding(level="low"), finding(level="critical")])
    assert list(counts.items()) == [("critical", 1), ("high", 0), ("medium", 0), ("low", 2), ("informational", 0)]
    assert [level_rank(level) for level in LEVELS] == [0, 1, 2, 3, 4]


FULL = replace(
    finding(chain="c", group={"user.id": "ana"}, number=53),
    who=Who("ana", "svc", "service"),
    agent="agent-a",
    server="crm",
    tool="export",
    system="crm",
    fields={"oauth.scope.presented": ["a"], "chain.prompt.id": None, "oauth.token.expired": True, "n": 1.5},
    records=tuple(RecordRef("log.jsonl", line) for line in range(1, 31)),
    records_total=1_000,
    also=("other_rule",),
    tags=("owasp.mcp08-2025",),
)


@pytest.mark.parametrize("one", [finding(), FULL, replace(FULL, led_by=FULL.id, also=())], ids=["bare", "full", "led"])
def test_its_json_is_what_the_schema_describes(one: Finding) -> None:
    document = json.loads(json.dumps(one.to_dict()))
    assert [error.message for error in VALID.iter_errors(document)] == []
    assert document == one.to_dict()


def test_the_schema_refuses_another_form() -> None:
    """Else the test above would prove nothing."""
    assert not VALID.is_valid({**FULL.to_dict(), "extra": 1})
    assert not VALID.is_valid({**FULL.to_dict(), "first_seen": "yesterday"})


def test_records_beyond_the_limit_are_counted_not_listed() -> None:
    document = FULL.to_dict()
    assert (len(document["records"]), document["records_total"]) == (RECORDS_SHOWN, 1_000)
    assert replace(FULL, records_total=0).to_dict()["records_total"] == 30


def test_a_rule_without_a_number_has_none() -> None:
    assert "number" not in finding().to_dict()["rule"]


def test_the_whole_document_counts_what_it_holds() -> None:
    summary = Summary(stages={"tool_call": 2, "": 1}, rejected={"it is not JSON": 4})
    spot = Blind("contextforge", "tool_call", "prompt", 6, ("a_rule",), "Turn it on.")
    document = ScanResult((FULL,), (spot,), (Rejected("log.jsonl", 2, "it is not JSON"),), summary).to_dict()
    assert {k: document["summary"][k] for k in ("records", "rejected_total")} == {"records": 3, "rejected_total": 4}
    assert document["summary"]["findings"]["low"] == 1
    assert document["blind"][0]["rules"] == ("a_rule",)
    assert document["rejected"] == [{"file": "log.jsonl", "line": 2, "reason": "it is not JSON"}]


def test_names_that_a_log_makes_up_cannot_swell_the_report() -> None:
    counts = {f"source-{number}": 1 for number in range(1_000)} | {"contextforge": 500}
    shown = named(counts)
    assert (len(shown), sum(shown.values())) == (KINDS_SHOWN + 1, 1_500)
    assert shown["contextforge"] == 500


def test_a_few_names_are_shown_as_they_are() -> None:
    assert named({"b": 1, "a": 2}) == {"b": 1, "a": 2}


EVENTS = Vocabulary.load(ROOT.event_schema)


def rule(template: str, *group_by: str, reads: str = "oauth.scope.presented") -> Rule:
    sigma = SigmaRule.from_yaml(
        f"title: T\nid: {UUID}\nlevel: low\ntags: [owasp.mcp08-2025]\nlogsource: {{product: mcp, service: event}}\n"
        f"detection:\n    selection:\n        {reads}|exists: true\n    condition: selection\n"
    )
    return Rule("a_rule", ROOT.rules, "scope", "event", "low", sigma, "incident", group_by, 3600, template, 7)


def event(*records: dict[str, Any], about: Rule, chain: tuple[str, str] | None = None) -> Finding:
    return Namer(EVENTS).event_finding(
        about, records, [("log.jsonl", n + 1) for n in range(len(records))],
        count=len(records), places_total=len(records), seen=(AT, AT), period=AT, chain=chain,
    )  # fmt: skip


def test_a_finding_of_records_names_what_they_share_and_nothing_they_do_not() -> None:
    one = {"user.id": "u-ana", "mcp.server.name": "crm", "gen_ai.tool.name": "read"}
    found = event(one, {**one, "gen_ai.tool.name": "write"}, about=rule("{user.id} did it.", "user.id"))
    assert (found.who.user, found.server, found.tool, found.agent) == ("u-ana", "crm", None, None)
    assert (found.count, found.group, found.sentence) == (2, {"user.id": "u-ana"}, "u-ana did it.")
    assert [error.message for error in VALID.iter_errors(found.to_dict())] == []


def test_what_the_rule_read_and_did_not_find_is_null() -> None:
    assert event({}, about=rule("It.", reads="chain.prompt.id")).fields == {"chain.prompt.id": None}


def test_a_long_list_is_cut_in_the_fields_and_counted_in_the_sentence() -> None:
    scopes = [f"s{n}" for n in range(40)]
    found = event({"oauth.scope.presented": scopes}, about=rule("{oauth.scope.presented}."))
    assert found.fields == {"oauth.scope.presented": scopes[:VALUES_SHOWN]}
    assert found.sentence == "s0, s1, s2 and 37 more."


def test_a_number_that_json_has_no_word_for_is_text() -> None:
    found = event({"event.duration": float("inf")}, about=rule("{event.duration}.", reads="event.duration"))
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["fields"] == {"event.duration": "inf"}


def test_a_finding_in_one_chain_groups_by_the_chains_id() -> None:
    found = event({"user.id": "u-ana"}, about=rule("It.", "chain.id"), chain=("trace-1", "trace"))
    assert (found.chain, found.group) == (ChainRef("trace-1", "trace"), {"chain.id": "trace-1"})
