"""A matrix that was stopped goes on where it was, and never with what was said of other rules or by other code."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from harness import matrix_kept
from harness.case import Bases
from harness.engine_matrix import DIFFERS, EQUAL, Stand, run
from harness.engines.listed import ENGINES
from harness.matrix import Failure
from harness.matrix_kept import Kept
from harness.paths import Root
from harness.stock import Said

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROOT = Root.default()
FAILURE = Failure("a", "One.", "null", "a.cases.json:3", "differs", "fire", "quiet", ({"user.id": "ä", "n": [1]},), "t")
STANDS = [
    Stand("a", "kql", DIFFERS, 7, (FAILURE,), "why", Said("1 of 2 differ", "", 2, ("One.",))),
    Stand("b", "kql", EQUAL, 3),
]


def kept(folder: Path, *asked: Any) -> Kept:
    return Kept(folder, ROOT, asked)


def test_what_was_kept_is_read_as_it_was(tmp_path: Path) -> None:
    kept(tmp_path / "new").put("kql", STANDS)
    assert kept(tmp_path / "new").of("kql") == STANDS
    assert kept(tmp_path / "new").of("spl") is None


def test_of_another_question_it_says_nothing(tmp_path: Path) -> None:
    kept(tmp_path, "a*", 100).put("kql", STANDS)
    assert kept(tmp_path, "a*", 10).of("kql") is None
    assert kept(tmp_path, "a*", 100).of("kql") == STANDS


@pytest.mark.parametrize("change", ["changed", "added", "renamed", "gone"])
def test_of_other_rules_or_code_it_says_nothing(change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "view.sql").write_text("SELECT 1")
    monkeypatch.setattr(matrix_kept, "CODE", [code])
    kept(tmp_path / "kept").put("kql", STANDS)
    doing: dict[str, Callable[[], object]] = {
        "changed": lambda: (code / "view.sql").write_text("SELECT 2"),
        "added": lambda: (code / "more.sql").write_text(""),
        "renamed": lambda: (code / "view.sql").rename(code / "other.sql"),
        "gone": (code / "view.sql").unlink,
    }
    doing[change]()
    assert kept(tmp_path / "kept").of("kql") is None


def test_a_file_that_was_cut_is_as_none(tmp_path: Path) -> None:
    kept(tmp_path).put("kql", STANDS)
    file = tmp_path / "kql.json"
    file.write_text(file.read_text(encoding="utf-8")[:100], encoding="utf-8")
    assert kept(tmp_path).of("kql") is None


def test_an_engine_that_has_spoken_is_not_started_again(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"selectors": ("static_api_key",), "one_in": 0, "stock": False}
    first = run(ROOT, [ENGINES["duckdb"]], Bases.honest(), kept=kept(tmp_path), **asked)
    broken = replace(ENGINES["duckdb"], place=("no.such.module", "Engine"))
    again = run(ROOT, [broken], Bases.honest(), kept=kept(tmp_path), **asked)
    assert again.stands == first.stands
    assert [stand.state for stand in first.stands] == [EQUAL]
    with pytest.raises(ModuleNotFoundError):
        run(ROOT, [broken], Bases.honest(), kept=kept(tmp_path, "other"), **asked)
