"""A register is never complete and may be wrong: what each rule says with none, with less of one, and with the opposite.

Which rules read the register is found out, not listed: the same records are judged with every table taken away, and with
every table saying the opposite. What comes out must be what the table below says, which is written by hand.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest

from backends.register_tables import TABLES
from backends.sources import SourceMaps
from backends.vocabulary import Vocabulary
from harness.case import Bases
from harness.judging import duckdb
from harness.pairing import paired
from harness.paths import Root
from harness.proof import MANY, as_written
from harness.register_variants import ABSENT, CONTRADICTING, PARTIAL, opposite, register_variants
from harness.ruleset import load_rules

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from harness.case import Case, Tables
    from harness.register_variants import RegisterVariant

ROOT = Root.default()
EVENTS, CHAINS = Vocabulary.load(ROOT.event_schema), Vocabulary.load(ROOT.chain_schema)
RULES = {rule.stem: rule for rule in load_rules(ROOT.rules)}
FILES = {rule.path: rule.judged for rule in RULES.values()}
SUBJECTS = {s.stem: s for s in paired(FILES, ROOT.rules, ROOT.schemas / "cases.schema.json", EVENTS)}
BASES = Bases.honest()
FULL = BASES.register()

ACCUSES, EXCUSES = "accuses", "excuses"
BOTH = {ACCUSES, EXCUSES}

EFFECT: dict[str, dict[str, set[str]]] = {
    "service_actor_without_user": {"agents": BOTH, "clients": {ACCUSES}},
    "argument_names_other_user": {"tools": {ACCUSES}, "people": {EXCUSES}, "agents": {EXCUSES}},
    "argument_names_user_unauthenticated": {"tools": {ACCUSES}, "agents": BOTH, "clients": {ACCUSES}},
    "delegation_dropped": {"people": {ACCUSES}},
    "user_changed_along_chain": {"people": BOTH},
    "exchange_without_actor": {"agents": {ACCUSES}, "clients": {ACCUSES}},
    "token_for_other_audience": {"servers": BOTH},
    "token_request_without_resource": {"agents": {ACCUSES}, "clients": {ACCUSES}, "servers": {EXCUSES}},
    "client_credentials_by_interactive_agent": {"agents": {ACCUSES}, "clients": {EXCUSES}},
    "unscoped_tool_call": {"scopes": BOTH},
    "system_wide_scope_granted": {"scopes": BOTH, "agents": {ACCUSES}, "clients": {ACCUSES}},
    "call_without_required_scope": {"tools": {ACCUSES}, "scopes": {EXCUSES}},
    "scope_granted_beyond_request": {"scopes": {EXCUSES}, "agents": {ACCUSES}, "clients": {ACCUSES}},
    "tool_outside_grant": {"agents": BOTH},
    "long_lived_token": {"agents": BOTH, "clients": {ACCUSES}},
    "scope_escalated_without_consent": {"scopes": {ACCUSES}},
    "write_under_read_scope": {"scopes": BOTH},
    "write_by_read_only_tool": {"tools": BOTH},
    "tool_definition_changed": {"tools": {ACCUSES}},
    "runaway_calls": {"agents": {EXCUSES}},
    "chain_without_prompt": {"coverage": {ACCUSES}},
    "untrusted_prompt_wrote": {"people": BOTH},
    "call_never_answered": {"coverage": {ACCUSES}},
    "correlation_id_shared": {"people": BOTH, "agents": {EXCUSES}},
    "orphan_write": {"agents": {ACCUSES}, "coverage": {ACCUSES}},
    "write_without_known_authority": {"agents": {ACCUSES}, "coverage": {ACCUSES}},
    "server_exposed_to_internet": {"servers": {ACCUSES}},
    "unauthenticated_call_served": {"networks": {ACCUSES}},
    "call_past_the_proxy": {"clients": {EXCUSES}},
    "unregistered_server_called": {"servers": {ACCUSES}},
    "server_review_expired": {"servers": {ACCUSES}},
    "region_not_allowed": {"servers": {ACCUSES}},
    "restricted_data_shared": {"servers": {ACCUSES}},
    "agent_missing_downstream": {"agents": {EXCUSES}, "clients": {ACCUSES}},
}
"""Rule → table → what its rows do: where they accuse, less of them may make the rule quiet; where they excuse, fire."""

EVIDENCE = {
    "service_actor_without_user": "A service or workload is recorded as the actor, and no human: the register only tells a schedule.",
    "argument_names_other_user": "The record names somebody as signed in, and the arguments name another.",
    "argument_names_user_unauthenticated": "The arguments claim a person, and nobody is signed in: the register only tells a schedule.",
    "user_changed_along_chain": "Prompt and access name two people in one form; the register only tells that they are one.",
    "token_for_other_audience": "The audience is a URI, and not the one that was called.",
    "unscoped_tool_call": "A scope of one word names no operation on a resource.",
    "system_wide_scope_granted": "A scope of one word names no operation on a resource.",
    "call_without_required_scope": "The record says which scope was required, and the token presents another.",
    "tool_outside_grant": "The consent names the tools of the session, and the call is to another.",
    "write_under_read_scope": "The scope says by its name that it reads, and a write is recorded under it.",
    "write_by_read_only_tool": "The tool's own annotation says that it reads, and a write is recorded.",
    "untrusted_prompt_wrote": "The prompt says that it came from another agent, and who began the trace has another name.",
    "correlation_id_shared": "Two people in one form, or two agents without anybody, stand under one id.",
}
"""Incidents of level high and above that a register may excuse: what the log itself says where there is none."""


@dataclass(frozen=True)
class Trial:
    """One case of a rule under another register than its own.

    Attributes:
        stem: the rule.
        case: its sentence.
        words: what is different in the register.
        kind: one of the kinds of `register_variants`.
        changed: tables that say less, or the opposite.
        before: whether the rule fires under the register that the variant is made of.
        after: whether it fires under the variant.
    """

    stem: str
    case: str
    words: str
    kind: str
    changed: frozenset[str]
    before: bool
    after: bool

    def __str__(self) -> str:
        return f"{self.case} With {self.words}: {'fires' if self.after else 'quiet'}"


def read(stem: str) -> set[str]:
    """Tables that a rule is said to read."""
    return {*RULES[stem].needs_register, *RULES[stem].sharpened_by}


SOME, TABLES_OF_FULL, REST = (
    "some tables of the full register",
    "tables of the full register",
    "rows and other registers",
)
"""Parts of the work: each register is a data set by itself, so the quick run tries some."""


@cache
def trials(part: str) -> tuple[Trial, ...]:
    """Every case under every variant of its register: the full one table by table, or all the rest.

    A case without a register is tried under the full one and its variants: there a table shows that nobody thought of.
    """
    asked = []
    for stem, subject in SUBJECTS.items():
        for case in subject.cases:
            tables = case.tables(BASES)
            whole = tables or FULL
            if not tables and len(case.bends) > MANY:
                continue
            names = set(TABLES) if whole == FULL else read(stem)
            for variant in register_variants(whole, names):
                by_table = whole == FULL and " without " not in variant.words
                if by_table is not (part == REST) and (part != SOME or sampled(variant)):
                    asked.append((stem, case, whole, variant))
    fires = verdicts([(stem, case, tables) for stem, case, whole, v in asked for tables in (whole, v.tables)])
    return tuple(
        Trial(stem, case.sentence, v.words, v.kind, v.changed, fires[key(stem, case, whole)], fires[key(stem, case, v.tables)])
        for stem, case, whole, v in asked
    )  # fmt: skip


def sampled(variant: RegisterVariant) -> bool:
    """Whether the quick run tries it: some of them, always the same ones, the register's absence among them."""
    return variant.kind == ABSENT or crc32(variant.words.encode()) % 6 == 0


def key(stem: str, case: Case, tables: Tables) -> tuple[str, str, str]:
    return stem, case.sentence, json.dumps(tables, sort_keys=True)


def verdicts(asked: list[tuple[str, Case, Tables]]) -> dict[tuple[str, str, str], bool]:
    """What each case says of itself under its own register, and the oracle of the engine's facts under any other."""
    found, todo = {}, {}
    for stem, case, tables in asked:
        if tables == case.tables(BASES):
            found[key(stem, case, tables)] = case.fires
        elif key(stem, case, tables) not in todo:
            todo[key(stem, case, tables)] = replace(case, sentence=str(len(todo)), register=tables)
    turned = [
        replace(subject, cases=tuple(case for (stem, *_), case in todo.items() if stem == subject.stem))
        for subject in SUBJECTS.values()
    ]
    judge = duckdb(list(SUBJECTS.values()), EVENTS, CHAINS, SourceMaps.load(ROOT.sources), compiled=False)
    told = {}
    for cell, answer in as_written([subject for subject in turned if subject.cases], judge, BASES, EVENTS):
        assert None not in answer.facts, cell.case
        told[cell.subject.stem, cell.case.sentence] = any(cell.subject.verdicts(answer.facts))
    return found | {at: told[at[0], case.sentence] for at, case in todo.items()}


def of(stem: str, part: str) -> list[Trial]:
    return [trial for trial in trials(part) if trial.stem == stem]


EACH_RULE = pytest.mark.parametrize("stem", list(RULES))
REGISTERS = pytest.mark.parametrize(
    "part",
    [
        pytest.param(SOME, marks=pytest.mark.xdist_group("register")),
        pytest.param(TABLES_OF_FULL, marks=[pytest.mark.slow, pytest.mark.xdist_group("registers")]),
        pytest.param(REST, marks=[pytest.mark.slow, pytest.mark.xdist_group("registers")]),
    ],
)


@EACH_RULE
@REGISTERS
def test_less_of_a_register_changes_a_verdict_only_where_its_rows_accuse_or_excuse(stem: str, part: str) -> None:
    less = [t for t in of(stem, part) if t.kind != CONTRADICTING and t.before != t.after]
    unexpected = [str(t) for t in less if not does(stem, EXCUSES if t.after else ACCUSES, t.changed)]
    assert unexpected == []


@EACH_RULE
@REGISTERS
def test_the_opposite_changes_the_verdict_only_of_rules_that_read_the_table(stem: str, part: str) -> None:
    changed = [t for t in of(stem, part) if t.kind == CONTRADICTING and t.before != t.after]
    assert [str(t) for t in changed if not t.changed & set(EFFECT.get(stem, ()))] == []


def does(stem: str, effect: str, tables: Collection[str]) -> bool:
    return any(effect in EFFECT.get(stem, {}).get(table, ()) for table in tables)


@pytest.mark.slow
@pytest.mark.xdist_group("registers")
@pytest.mark.parametrize("stem", list(EFFECT))
def test_every_effect_shows_when_a_table_or_a_row_is_missing(stem: str) -> None:
    seen: dict[str, set[str]] = {}
    for trial in of(stem, REST) + of(stem, TABLES_OF_FULL):
        if trial.kind == PARTIAL and trial.before != trial.after:
            for table in trial.changed:
                seen.setdefault(table, set()).add(EXCUSES if trial.after else ACCUSES)
    assert seen == EFFECT[stem]


@pytest.mark.slow
@pytest.mark.xdist_group("registers")
@pytest.mark.parametrize(("stem", "table"), [(stem, table) for stem, tables in EFFECT.items() for table in tables])
def test_what_a_table_says_decides_and_not_only_that_it_is_there(stem: str, table: str) -> None:
    turned = [t for t in of(stem, REST) + of(stem, TABLES_OF_FULL) if t.kind == CONTRADICTING and table in t.changed]
    assert any(t.before != t.after for t in turned)


@EACH_RULE
def test_a_rule_declares_the_tables_that_it_reads(stem: str) -> None:
    assert read(stem) == set(EFFECT.get(stem, ()))


@pytest.mark.parametrize("stem", [stem for stem, rule in RULES.items() if rule.needs_register])
@REGISTERS
def test_a_rule_is_quiet_without_the_register_that_it_needs(stem: str, part: str) -> None:
    assert [str(t) for t in of(stem, part) if t.kind == ABSENT and t.after] == []


@pytest.mark.parametrize("stem", [stem for stem, rule in RULES.items() if rule.needs_register])
def test_a_table_that_a_rule_needs_excuses_nothing(stem: str) -> None:
    assert [table for table in RULES[stem].needs_register if EFFECT[stem][table] != {ACCUSES}] == []


def test_no_incident_of_level_high_fires_for_want_of_a_register_but_where_the_log_itself_is_the_evidence() -> None:
    excused = {
        stem
        for stem, effects in EFFECT.items()
        if any(EXCUSES in effect for effect in effects.values())
        and (RULES[stem].level, RULES[stem].kind) in {("high", "incident"), ("critical", "incident")}
    }
    assert excused == set(EVIDENCE)


# --- the cases that people wrote


@pytest.mark.parametrize("stem", list(EFFECT))
def test_the_cases_of_a_rule_that_reads_the_register_tell_it_absent_partial_and_contradicting(stem: str) -> None:
    told = [(case, case.tables(BASES)) for case in SUBJECTS[stem].cases]
    assert any(not tables for _, tables in told), ABSENT
    assert any(tables and any(says_less(name, tables) for name in read(stem)) for _, tables in told), PARTIAL
    assert any(
        one.fires != other.fires and (one.bends, one.never) == (other.bends, other.never)
        for name in read(stem)
        for one, here in told
        for other, there in told
        if here.get(name) and there.get(name) and here[name] != there[name]
    ), CONTRADICTING


def says_less(name: str, tables: Tables) -> bool:
    """Whether a table lacks a row of the full register's, a column of such a row, or an item of a list."""
    columns = TABLES[name].key or ("issuer", "id", "email")
    rows = {tuple(str(row.get(column)) for column in columns): row for row in tables.get(name, ())}
    for full in FULL[name]:
        row = rows.get(tuple(str(full.get(column)) for column in columns), {})
        if any(isinstance(value, list) and set(value) - set(row.get(column, ())) for column, value in full.items()):
            return True
        if set(full) - set(row):
            return True
    return False


# --- the variants themselves


def variants_of(**tables: list[dict[str, Any]]) -> Iterator[tuple[str, str, Tables]]:
    return ((v.kind, v.words, v.tables) for v in register_variants(tables, tables))


def test_a_register_is_taken_away_whole_then_by_tables_and_rows_and_then_turned_round() -> None:
    agents = [{"id": "a", "mode": "interactive"}, {"id": "b", "mode": "scheduled"}]
    networks = [{"cidr": "10.0.0.0/8"}]
    assert list(variants_of(agents=agents, networks=networks)) == [
        (ABSENT, "no register", {}),
        (PARTIAL, "no agents", {"agents": [], "networks": networks}),
        (PARTIAL, "agents without a", {"agents": agents[1:], "networks": networks}),
        (PARTIAL, "agents without b", {"agents": agents[:1], "networks": networks}),
        (
            CONTRADICTING,
            "agents say the opposite",
            {"agents": [{"id": "a", "mode": "scheduled"}, {"id": "b", "mode": "interactive"}], "networks": networks},
        ),
        (PARTIAL, "no networks", {"agents": agents, "networks": []}),
        (CONTRADICTING, "networks say the opposite", {"agents": agents, "networks": [{"cidr": "203.0.113.0/24"}]}),
    ]


def test_only_the_tables_that_matter_are_changed() -> None:
    tables = {"agents": [{"id": "a", "mode": "interactive"}], "servers": [{"name": "s", "party": "first"}]}
    assert {name for v in register_variants(tables, {"servers"}) if v.kind != ABSENT for name in v.changed} == {
        "servers"
    }


@pytest.mark.parametrize(
    ("table", "row", "turned"),
    [
        ("servers", {"name": "s", "party": "first", "approval": "pending"}, {"party": "third", "approval": "approved"}),
        ("servers", {"name": "s", "review_expires": "2027-06-30T00:00:00Z"}, {"review_expires": "2000-01-01T00:00:00Z"}),
        ("servers", {"name": "s", "revoked_at": "2026-01-01T00:00:00Z"}, {"revoked_at": "2100-01-01T00:00:00Z"}),
        ("servers", {"name": "s", "regions": ["*=eu-west-1"]}, {"regions": ["*=other-region"]}),
        ("agents", {"id": "a", "client_ids": ["c"]}, {"client_ids": ["other-c"]}),
        ("agents", {"id": "a", "max_token_lifetime_sec": 3600}, {"max_token_lifetime_sec": 10**9}),
        ("agents", {"id": "a", "max_token_lifetime_sec": 86400}, {"max_token_lifetime_sec": 1}),
        ("tools", {"server": "s", "name": "t", "risk": "write"}, {"risk": "read"}),
        ("scopes", {"scope": "x", "system_wide": True, "verb": "read"}, {"system_wide": False, "verb": "destructive"}),
        ("clients", {"id": "c", "kind": "agent", "agent": "a"}, {"kind": "human", "agent": "other-a"}),
        ("coverage", {"agent": "a", "stages": ["prompt", "token"]}, {"stages": ["decision", "tool_call", "tool_response", "consent", "access", "change"]}),
    ],
)  # fmt: skip
def test_a_row_keeps_its_key_and_says_the_opposite(table: str, row: dict[str, Any], turned: dict[str, Any]) -> None:
    assert opposite(table, [row]) == [row | turned]


@pytest.mark.parametrize(
    ("people", "turned"), [(["ana", "ana"], ["other-0", "other-1"]), (["ana", "bob"], ["other", "other"])]
)
def test_one_person_becomes_two_and_two_become_one(people: list[str], turned: list[str]) -> None:
    rows = [{"person": person, "email": f"{at}@corp.example"} for at, person in enumerate(people)]
    assert [row["person"] for row in opposite("people", rows)] == turned
