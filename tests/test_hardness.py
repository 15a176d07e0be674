"""A benign log that is hard: every term of every rule is what spares some honest work, and nothing honest is found."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from harness.commands.generate import command
from harness.hardness import measure
from harness.options import ScanOptions
from harness.paths import Root
from harness.ruleset import load_rules
from harness.scan import scan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.finding import ScanResult
    from harness.hardness import Decided

pytestmark = pytest.mark.xdist_group("hardness")

ROOT = Root.default()
IDLE: dict[str, dict[str, str]] = json.loads((ROOT.rules / "idle.json").read_text())["idle"]
RULES = load_rules(ROOT.rules, ROOT.schemas)

DECIDES, EXEMPTS = 100, 500
"""Events, chains or windows in a million events that a term decides, and that a whole filter exempts."""

MEDIUM = 20
"""Findings of level medium in a million events, after grouping."""


@dataclass
class Benign:
    """A benign log, with the register and the source maps of a careful team."""

    folder: Path
    size: int

    @cached_property
    def decided(self) -> tuple[Decided, ...]:
        """What each term decides in it."""
        return measure([self.folder / "log.jsonl"], self.folder / "register", ROOT, [self.folder / "sources"]).decided

    @cached_property
    def result(self) -> ScanResult:
        """What a scan finds in it."""
        more = {"register": self.folder / "register", "sources": (self.folder / "sources",)}
        return scan(ScanOptions((str(self.folder / "log.jsonl"),), ROOT, **more))  # type: ignore[arg-type]

    @property
    def million(self) -> float:
        """Its share of a million events."""
        return self.size / 1_000_000

    @property
    def idle(self) -> dict[str, set[str]]:
        """Rule → terms that decide too little."""
        found: dict[str, set[str]] = {}
        for one in self.decided:
            if one.count < (EXEMPTS if one.exempts else DECIDES) * self.million:
                found.setdefault(one.rule, set()).add(one.term)
        return found


def generate(folder: Path, events: int, seed: int) -> Benign:
    outputs = ("-o", str(folder / "log.jsonl"), "--register-out", str(folder / "register"))
    options = ("--events", str(events), "--attacks", "none", "--seed", str(seed), "--shards", "2")
    more = ("--sources-out", str(folder / "sources"))
    result = CliRunner().invoke(command, [*outputs, *options, *more], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return Benign(folder, events)


@pytest.fixture(
    scope="module",
    params=[pytest.param(200_000, id="sample"), pytest.param(1_000_000, id="million", marks=pytest.mark.slow)],
)
def benign(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Benign]:
    folder = tmp_path_factory.mktemp("benign")
    yield generate(folder, request.param, seed=1)
    shutil.rmtree(folder)


def test_every_term_of_every_rule_decides_enough_honest_work_but_for_those_that_are_listed(benign: Benign) -> None:
    assert {rule: sorted(terms) for rule, terms in benign.idle.items()} == {
        rule: sorted(terms) for rule, terms in IDLE.items()
    }


def test_every_rule_is_measured(benign: Benign) -> None:
    assert {one.rule for one in benign.decided} == {rule.stem for rule in RULES}


def test_no_honest_work_is_an_incident_of_level_high_or_above(benign: Benign) -> None:
    levels = Counter(finding.rule.level for finding in benign.result.findings if finding.rule.kind == "incident")
    assert levels["high"] == levels["critical"] == 0
    assert levels["medium"] <= MEDIUM * benign.million


def test_a_posture_is_told_once_an_entity_and_day(benign: Benign) -> None:
    told = Counter(
        (finding.rule.stem, json.dumps(finding.group, sort_keys=True), finding.first_seen[:10])
        for finding in benign.result.findings
        if finding.rule.kind == "posture"
    )
    assert told
    assert max(told.values()) == 1


def test_the_list_of_idle_terms_has_its_form_and_names_rules() -> None:
    jsonschema.validate(
        json.loads((ROOT.rules / "idle.json").read_text()), json.loads((ROOT.schemas / "idle.schema.json").read_text())
    )
    assert set(IDLE) <= {rule.stem for rule in RULES}


def test_a_filter_that_nothing_needs_is_idle(tmp_path: Path) -> None:
    """The measurement can fail: a filter for a person whom nobody knows spares nothing."""
    home = tmp_path / "home"
    shutil.copytree(ROOT.schemas, home / "schemas")
    (home / "rules" / "audit").mkdir(parents=True)
    rule = yaml.safe_load((ROOT.rules / "audit" / "mcp_tool_call_without_prompt.yml").read_text())
    rule["detection"]["filter_main_stranger"] = {"user.name": "Nobody of This Name"}
    rule["detection"]["condition"] = "selection and not 1 of filter_main_*"
    (home / "rules" / "audit" / "mcp_tool_call_without_prompt.yml").write_text(yaml.safe_dump(rule, sort_keys=False))
    small = generate(tmp_path, 20_000, seed=1)
    decided = measure(
        [small.folder / "log.jsonl"], small.folder / "register", Root.at(home), [small.folder / "sources"]
    )
    counts = {one.term: one.count for one in decided.decided}
    assert counts["filter_main_stranger"] == 0
    assert counts["filter_main_blind"] > 0
