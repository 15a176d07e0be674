"""At which stages a rule can fire; what the engine leaves out by it changes no verdict."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import semantics

from backends.duckdb.engine import STAGES
from backends.duckdb.stages import stages_of
from backends.duckdb.target import judge
from backends.vocabulary import Vocabulary
from harness.oracle import matches
from harness.paths import Root
from harness.ruleset import load_rules

ROOT = Root.default()
EVENTS, CHAINS = Vocabulary.load(ROOT.event_schema), Vocabulary.load(ROOT.chain_schema)

WRITTEN: list[tuple[str, tuple[str, ...] | None]] = [
    ("{a: {chain.stage: Token, user.id: ana}, condition: a}", ("token",)),
    ("{a: {chain.stage: [token, access]}, condition: a}", ("token", "access")),
    ("{a: {chain.stage: token}, b: {user.id: ana}, condition: a or b}", None),
    ("{a: {chain.stage: token}, b: {chain.stage: access, user.id: ana}, condition: a or b}", ("token", "access")),
    ("{a: {chain.stage: token}, b: {user.id: ana}, condition: a and not b}", ("token",)),
    ("{a: {chain.stage: token}, condition: not a}", None),
    ("{a: {chain.stage: [token, access]}, b: {chain.stage: access}, condition: a and not b}", ("token",)),
    ("{a: {chain.stage: token}, b: {chain.stage: access}, condition: a and b}", ()),
    ("{a: {chain.stage: elsewhere}, condition: a}", None),
    ("{a: {chain.stage: tok*}, condition: a}", None),
    ("{a: {chain.stage|cased: token}, condition: a}", None),
    ("{a: {chain.stage: null}, condition: a}", None),
    ("{a: {chain.stage|startswith: t}, b: {chain.stage: token}, condition: a and b}", ("token",)),
    ("{a: {user.id: ana}, condition: a}", None),
]


@pytest.mark.parametrize(("detection", "expected"), WRITTEN, ids=str)
def test_the_stages_are_those_at_which_the_rule_can_fire(detection: str, expected: tuple[str, ...] | None) -> None:
    assert stages_of(semantics.rule(detection), STAGES) == expected


def test_what_is_left_out_changes_no_verdict() -> None:
    rules = {f"r{at}": semantics.rule(detection) for at, (detection, _) in enumerate(WRITTEN)}
    values = product([*STAGES, "TOKEN", "elsewhere", "tokens", None], ["ana", "bob", None])
    records: list[dict[str, Any]] = [
        {"@timestamp": "2026-05-04T10:00:00Z", "event.id": f"e{at}"}
        | ({"chain.stage": stage} if stage else {})
        | ({"user.id": user} if user else {})
        for at, (stage, user) in enumerate(values)
    ]
    judged = judge(records, rules=rules, vocabulary=EVENTS, chain_vocabulary=CHAINS)
    for name, rule in rules.items():
        said = {at for at, facts in enumerate(judged.events) if facts is not None and matches(rule, facts)}
        assert judged.event_hits[name] == said, name


def test_most_rules_of_the_pack_name_their_stage() -> None:
    found = [stages_of(part, STAGES) for rule in load_rules(ROOT.rules, ROOT.schemas) for part in rule.parts]
    assert sum(stages is not None for stages in found) > len(found) / 2
