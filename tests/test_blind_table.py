"""What each rule sees of each source: the committed table is what judging says today."""

from __future__ import annotations

import json

import pytest

from backends.sources import SourceMaps
from harness.blind_table import BLIND, FILE, FIRES, POSTURE, as_json, table
from harness.case import Bases
from harness.judging import duckdb, subjects_of
from harness.paths import Root

ROOT = Root.default()
SUBJECTS, EVENTS, CHAINS = subjects_of(ROOT, ROOT.rules)
COMMITTED = json.loads((ROOT.rules / FILE).read_text(encoding="utf-8"))


def judged(stems: set[str]) -> dict[str, dict[str, str]]:
    maps = SourceMaps.load(ROOT.sources)
    telling = {"source_blind_to_prompt", "source_blind_to_user", "source_blind_to_scope", "source_blind_to_response"}
    chosen = [s for s in SUBJECTS if s.stem in stems | telling | {"source_blind_to_correlation"}]
    seen = table(chosen, duckdb(chosen, EVENTS, CHAINS, maps), Bases.honest(), EVENTS, maps)
    found: dict[str, dict[str, str]] = json.loads(as_json([one for one in seen if one.stem in stems]))
    return found


def test_the_table_has_every_rule_and_source_in_one_of_three_words() -> None:
    assert set(COMMITTED) == {subject.stem for subject in SUBJECTS}
    assert {word for words in COMMITTED.values() for word in words.values()} == {FIRES, POSTURE, BLIND}
    assert len({tuple(sorted(words)) for words in COMMITTED.values()}) == 1


def test_a_sample_of_the_table_is_fresh() -> None:
    stems = {"tool_call_without_prompt", "argument_names_other_user", "orphan_write"}
    assert judged(stems) == {stem: COMMITTED[stem] for stem in stems}, "run countersign matrix"


@pytest.mark.slow
def test_the_table_is_fresh() -> None:
    assert judged({subject.stem for subject in SUBJECTS}) == COMMITTED, "run countersign matrix"
