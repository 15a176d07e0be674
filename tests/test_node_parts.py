"""A node's parts are kept where one says, whatever folder one stands in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.engines.node import start

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest


def test_a_relative_cache_is_filled_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Maven and the compiler run in folders of their own, and write where they are told."""

    def run(command: Sequence[str], folder: Path) -> None:
        out = next(one.removeprefix("-DoutputDirectory=") for one in [*command, command[-2]] if "/" in one)
        (folder / out).mkdir(parents=True)
        (folder / out / command[0]).touch()

    monkeypatch.setattr(start, "run", run)
    monkeypatch.chdir(tmp_path)
    home = start.fetched(start.OPENSEARCH_2, Path("cache"))
    assert home == tmp_path / "cache" / "opensearch2-2.19.1.0"
    assert {path.name for path in home.rglob("*")} >= {".ready", "mvn", "javac"}
    assert (home / "jars" / "mvn").exists()
