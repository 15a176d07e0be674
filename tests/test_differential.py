"""The differential fuzzer: random rules on random records, each engine beside the oracle.

The oracle judges the records as `backends.absence` gives them, so it needs nothing of the engine under test. What it
has found stands as rows of `semantics.ROWS`.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from random_rules import Example, examples
from sampling import engines

from backends.absence import flatten, normalise
from backends.duckdb.target import Sources
from backends.vocabulary import Vocabulary
from harness.engines.listed import ENGINES
from harness.oracle import matches
from harness.paths import Root

BRIEFLY = {"duckdb": 6, "spark": 1, "elastic": 1, "opensearch2": 1, "opensearch3": 1, "spl": 30, "kql": 1}
"""Examples in CI, by engine: as many as are drawn in some ten seconds. Lucene's words say a part of the language only,
so its rules are those of `semantics.ROWS`."""

ROOT = Root.default()
EVENTS, CHAINS = Vocabulary.load(ROOT.event_schema), Vocabulary.load(ROOT.chain_schema)


def disagreements(engine: str, drawn: Example) -> list[str]:
    """Rule, record and what each says, wherever engine and oracle differ."""
    rules = drawn.parsed()
    sent = [
        {"@timestamp": f"2026-05-04T10:00:{n:02}Z", "event.id": f"e{n}", **record}
        for n, record in enumerate(drawn.records)
    ]
    with ENGINES[engine].start(rules, EVENTS, CHAINS, Sources()) as running:
        verdicts = running.judge(sent, {}, None)
    found = []
    for stem, rule in rules.items():
        for n, record in enumerate(sent):
            oracle = matches(rule, normalise(flatten(record, EVENTS), EVENTS))
            if (n in verdicts.event_hits[stem]) is not oracle:
                detection = drawn.rules[int(stem[1:])]
                found.append(f"{detection} on {drawn.records[n]}: the oracle says {oracle}, {engine} says {not oracle}")
    return found


def fuzz(engine: str, count: int) -> None:
    """Draw and compare; hypothesis shrinks what differs."""

    @settings(
        max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(examples())
    @example(Example(({"a": {"user.name": "ana"}, "condition": "not a"},), ({}, {"user.name": "ANA"})))
    def same(drawn: Example) -> None:
        assert disagreements(engine, drawn) == []

    same()


@pytest.mark.parametrize("engine", engines(BRIEFLY))
def test_a_random_rule_gets_the_oracles_verdict(engine: str) -> None:
    fuzz(engine, BRIEFLY[engine])


@pytest.mark.parametrize("engine", engines(BRIEFLY, slow=BRIEFLY))
def test_many_random_rules_get_the_oracles_verdict(engine: str) -> None:
    fuzz(engine, 300)
