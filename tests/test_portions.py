"""What is taken portion by portion, so that memory does not grow with the log, finds what all of it at once finds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from backends.duckdb import engine
from harness import scan as scanning
from harness.commands.generate import command
from harness.options import ScanOptions
from harness.paths import Root
from harness.scan import ScanResult, scan

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = 2000


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("portions") / "log.jsonl"
    arguments = ["-o", str(path), "--events", str(EVENTS), "--attack-rate", "0.1"]
    assert CliRunner().invoke(command, arguments).exit_code == 0
    return path


def result(log: Path) -> ScanResult:
    found = scan(ScanOptions((str(log),), Root.default()))
    return replace(found, summary=replace(found.summary, seconds=0))


@pytest.mark.parametrize("slice_of", [97, pytest.param(1500, marks=pytest.mark.slow)])
def test_chains_that_are_built_slice_by_slice_are_the_same(
    log: Path, monkeypatch: pytest.MonkeyPatch, slice_of: int
) -> None:
    whole = result(log)
    assert len({finding.rule.stem for finding in whole.findings}) > 10
    monkeypatch.setattr(engine, "SLICE", slice_of)
    assert result(log) == whole


def test_findings_that_are_named_portion_by_portion_are_the_same(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = result(log)
    monkeypatch.setattr(scanning, "READ_AGAIN", 30)
    assert result(log) == whole
