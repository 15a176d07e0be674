"""The committed matrix tells of every rule and every engine, and says of none what its target does not."""

from __future__ import annotations

import re

import pytest

from backends.target import Inexpressible, Wanted, load
from backends.vocabulary import Vocabulary
from harness.engines.listed import ENGINES
from harness.matrix_page import WORDS
from harness.paths import Root
from harness.ruleset import load_rules

ROOT = Root.default()
EVENTS, CHAINS = Vocabulary.load(ROOT.event_schema), Vocabulary.load(ROOT.chain_schema)
RULES = {rule.stem: rule for rule in load_rules(ROOT.rules, ROOT.schemas)}
PAGE = (ROOT.path / "docs" / "matrix.md").read_text(encoding="utf-8")
HTML = (ROOT.path / "docs" / "matrix.html").read_text(encoding="utf-8")
AGAIN = "run countersign matrix --one-in 100"

_HEAD, _, *_ROWS = re.split(r"\n\n", PAGE)[3].splitlines()
HEADS = [head.strip() for head in _HEAD.strip("|").split("|")][1:]
CELLS = {
    stem.strip(): [cell.strip() for cell in cells]
    for stem, *cells in (row.strip("|").split("|") for row in _ROWS)
    if "**" not in stem
}


def test_it_has_every_rule_and_every_engine() -> None:
    assert [engine.title for engine in ENGINES.values()] == HEADS, AGAIN
    assert list(CELLS) == list(RULES), AGAIN


def test_nothing_that_was_executed_differs() -> None:
    assert not [stem for stem, cells in CELLS.items() if any(cell.startswith("DIFFERS") for cell in cells)]
    assert re.search(r"\d{3} cells executed, 0 differ from the oracle", HTML)


@pytest.mark.parametrize("name", [name for name in ENGINES if name != "duckdb"])
def test_a_rule_is_said_not_to_be_expressible_where_its_target_refuses_it(name: str) -> None:
    target = load(ENGINES[name].target)
    column = HEADS.index(ENGINES[name].title)
    for stem, rule in RULES.items():
        try:
            target.compile(Wanted(stem, rule.judged, rule.group_by, rule.period_sec), EVENTS, CHAINS)
            refused = False
        except Inexpressible:
            refused = True
        said = CELLS[stem][column]
        assert said.startswith(WORDS["not expressible"]) is refused, (stem, AGAIN)
        assert refused or re.match(r"(equal|bounded) [\d,]+\b", said), (stem, said)
        assert f"<td>{stem}</td>" in HTML
