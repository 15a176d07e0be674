"""The real command starts, each subcommand by itself; and the ready one of the other tests says what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ready
from sampling import one_in

from generator.session import base_event
from harness.cli import COMMANDS

REAL = [str(Path(sys.executable).with_name("countersign"))]


def run(command: list[str], folder: Path, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    environment = {**os.environ, "COLUMNS": "100"}
    done = subprocess.run(
        [*command, *arguments], input=stdin, capture_output=True, text=True, check=False, cwd=folder, env=environment
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", one_in(3, COMMANDS))
def test_each_command_starts_by_itself(name: str, tmp_path: Path) -> None:
    code, out, err = run(REAL, tmp_path, name, "--help")

    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: countersign {name} ")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(("scan", "log.jsonl", "--rules", "53", "--format", "csv", "--fail-on", "low"), 1, id="a finding"),
        pytest.param(("scan", "-", "--rules", "53", "--format", "csv"), 0, id="standard input"),
        pytest.param(("scan", "log.jsonl", "--rules", "nosuch"), 2, id="a mistake"),
        pytest.param(("explain", "orphan_write", "--nosuch"), 2, id="a mistake of the call"),
    ],
)
def test_the_ready_command_says_and_writes_what_the_real_one_does(
    arguments: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    record = base_event("tool_call")
    del record["chain"]["prompt"]
    line = json.dumps(record) + "\n"
    (tmp_path / "log.jsonl").write_text(line)

    real = run(REAL, tmp_path, *arguments, stdin=line)

    assert real[0] == code
    assert run(ready.command(), tmp_path, *arguments, stdin=line) == real
