"""The quality page: it tells of every rule, and what it tells is measured with seeds that are used nowhere else."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from typing import TYPE_CHECKING

import pytest

from harness.meant import MEANT
from harness.paths import Root
from harness.quality import SEEDS, measure, page
from harness.ruleset import load_rules

if TYPE_CHECKING:
    from harness.quality import Measured

pytestmark = pytest.mark.xdist_group("hardness")

ROOT = Root.default()
PAGE = (ROOT.path / "docs" / "quality.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([a-z0-9_]+)(?: \*)? \| (?:critical|high|medium|low) \| \d+ \| (\S+) \|", PAGE, re.MULTILINE)
OTHER = {"labelled": 5, "benign": 6}


@cache
def small() -> Measured:
    return measure(ROOT, {"labelled": 60_000, "benign": 60_000}, OTHER)


def test_every_rule_finds_all_attacks_that_are_meant_for_it() -> None:
    assert {one.stem for one in small().rules if one.found < one.attacks} == set()
    assert {one.stem for one in small().rules if one.attacks} == set(MEANT.values())


def test_no_incident_lies_in_honest_work() -> None:
    incidents = [one for one in small().rules if one.kind == "incident"]
    assert {one.stem for one in incidents if one.true < one.findings or one.benign} == set()


def test_what_no_filter_exempts_is_counted_without_register_and_maps() -> None:
    assert sum(one.first_day for one in small().rules if one.kind == "incident") > 0


def test_the_page_has_a_row_for_every_rule_and_no_other() -> None:
    assert [row[0] for row in ROWS] == [rule.stem for rule in load_rules(ROOT.rules, ROOT.schemas)]


def test_the_page_promises_what_it_must() -> None:
    assert {recall for _, recall in ROWS} == {"1.000", "–"}
    assert "With a full register the benign log gives no incident." in PAGE


def test_its_seeds_are_used_nowhere_else() -> None:
    files = subprocess.run(
        ["git", "-C", str(ROOT.path), "grep", "-lwE", "|".join(f"{seed}|{seed:_}" for seed in SEEDS.values())],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert set(files) == {"harness/quality.py", "docs/quality.md"}


@pytest.mark.slow
def test_the_page_says_what_is_measured() -> None:
    assert PAGE.split("\n", 1)[1] == page(measure(ROOT))
