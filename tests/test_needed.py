"""What the engines need of a machine is said in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.engines import needed

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_nothing_is_missing_where_the_tests_run() -> None:
    assert needed.missing() == ""


def test_what_is_missing_is_named_with_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert needed.missing() == (
        "the engines of the tests need java, javac, mvn, node, npm: "
        "apt-get install openjdk-17-jdk maven nodejs npm, or what your system calls it"
    )


def test_a_library_that_is_missing_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needed, "find_library", lambda _name: None)
    assert needed.missing() == (
        "the engines of the tests need libmagic: apt-get install libmagic1, or what your system calls it"
    )


def test_a_java_that_is_too_old_is_named_with_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, line in {
        "java": """echo 'openjdk version "1.8.0_402"' >&2""",
        **dict.fromkeys(("javac", "mvn", "node", "npm"), ":"),
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    said = needed.missing()
    assert "Java 17 or newer (this is 8)" in said
    assert said.count("\n") == 0
