"""The differential fuzzer: random rules on random records, each engine beside the oracle.

The oracle judges the records as `backends.absence` gives them, so it needs nothing of the engine under test. What it
has found stands as rows of `semantics.ROWS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from random_rules import Example, examples
from sampling import engines

from backends.absence import flatten, normalise
from backends.duckdb.target import Sources
from backends.vocabulary import Vocabulary
from harness.engines.listed import ENGINES
from harness.oracle import matches
from harness.paths import Root

if TYPE_CHECKING:
    from collections.abc import Callable

BRIEFLY = {"duckdb": 25, "spark": 2, "elastic": 6, "opensearch2": 6, "opensearch3": 6, "spl": 20, "kql": 2}
"""Examples in CI, by engine, all in one data set: as many as are judged in some ten seconds. Lucene's words say a part
of the language only, so its rules are those of `semantics.ROWS`."""

ROOT = Root.default()
EVENTS, CHAINS = Vocabulary.load(ROOT.event_schema), Vocabulary.load(ROOT.chain_schema)


def disagreements(engine: str, drawn: Example) -> list[str]:
    """Rule, record and what each says, wherever engine and oracle differ."""
    rules = drawn.parsed()
    sent = [
        {"@timestamp": f"2026-05-04T10:{n // 60:02}:{n % 60:02}Z", "event.id": f"e{n}", **record}
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


def each(count: int, found: Callable[[Example], None]) -> None:
    """Draw examples, always the same ones; hypothesis shrinks one at which ``found`` raises."""

    @settings(
        max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(examples())
    def drawn(one: Example) -> None:
        found(one)

    drawn()


@pytest.mark.parametrize("engine", engines(BRIEFLY))
def test_a_random_rule_gets_the_oracles_verdict(engine: str) -> None:
    """Every rule on every record of them all: what differs is named by its rule and its record, and needs no shrinking."""
    drawn: list[Example] = []
    each(BRIEFLY[engine], drawn.append)
    rules = tuple(rule for one in drawn for rule in one.rules)
    assert len(rules) > 2 * len(drawn)
    assert disagreements(engine, Example(rules, tuple(record for one in drawn for record in one.records))) == []


@pytest.mark.parametrize("engine", engines(BRIEFLY, slow=BRIEFLY))
def test_many_random_rules_get_the_oracles_verdict(engine: str) -> None:
    def same(one: Example) -> None:
        assert disagreements(engine, one) == []

    each(300, same)
