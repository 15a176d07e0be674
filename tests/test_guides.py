"""The guides are true: their commands run as they stand, print what they show, and name only what there is.

In a guide a fenced block whose info string is `console` holds commands (``$ ``) and what they print; a line that is ``…``
alone stands for any lines, and ``…`` within a line for any text. A block whose info string names a file, as in
`csv register/servers.csv`, is that file. Both are used in their order, in a folder two levels below the checkout.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import ready

from backends.register_tables import TABLES
from backends.vocabulary import Vocabulary
from generator.chains import KINDS
from generator.oddities import oddities
from harness.paths import Root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT = Root.default()
DOCS = ROOT.path / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *(ROOT.path / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))])
GUIDES = [page for page in sorted(DOCS.glob("*.md")) if "```console" in page.read_text(encoding="utf-8")]
LIMIT_SEC = 120
BLOCK = re.compile(r"^```([^\n`]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NO_FIELDS = {"tools.identity_arguments", "people.id", "agents.service_identities"}


@dataclass(frozen=True)
class Command:
    """One command of a guide, and the lines that it prints there."""

    text: str
    shown: tuple[str, ...]


def steps(guide: str) -> Iterator[Command | tuple[str, str]]:
    """Commands, and files as (name, content), in the order of the guide."""
    for info, body in BLOCK.findall(guide):
        kind, _, name = info.partition(" ")
        if name:
            yield name, body
        elif kind == "console":
            for command in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                first, *shown = command.replace("\\\n", "").splitlines()
                yield Command(first, tuple(shown))


def pattern(shown: tuple[str, ...]) -> re.Pattern[str]:
    """What the shown lines stand for."""
    lines = [
        r"(?:.*\n)*?" if line.strip() == "…" else re.escape(line.rstrip()).replace("…", ".*") + r" *\n"
        for line in shown
    ]
    return re.compile("".join(lines))


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command as a person types it, with a `countersign` that is this checkout's."""
    binaries = folder.parents[1] / "bin"
    if not binaries.exists():
        binaries.mkdir()
        (binaries / "countersign").write_text(f'#!/bin/sh\nexec {shlex.join(ready.command())} "$@"\n')
        (binaries / "countersign").chmod(0o755)
    path = os.pathsep.join([str(binaries), os.path.dirname(sys.executable), os.environ["PATH"]])  # noqa: PTH120
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT.path), "COLUMNS": "110", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_SEC,
        check=False,
    )


@pytest.mark.parametrize("guide", GUIDES, ids=lambda page: page.stem)
def test_every_command_of_a_guide_runs_and_prints_what_is_shown(guide: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out" / guide.stem
    folder.mkdir(parents=True)
    for name in ("rules", "schemas"):
        shutil.copytree(getattr(ROOT, name), tmp_path / name)
    for step in steps(guide.read_text(encoding="utf-8")):
        if isinstance(step, tuple):
            file = folder / step[0]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(step[1], encoding="utf-8")
            continue
        done = run(step.text, folder)
        assert done.returncode == 0, f"$ {step.text}\n{done.stdout}"
        if step.shown:
            assert pattern(step.shown).fullmatch(done.stdout), f"$ {step.text}\n{done.stdout}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_within_the_checkout_leads_somewhere(page: Path) -> None:
    links = re.findall(r"(?<!\\)\]\(([^)#]+)(?:#[^)]*)?\)", BLOCK.sub("", page.read_text(encoding="utf-8")))

    assert [link for link in links if ":" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("guide", GUIDES, ids=lambda page: page.stem)
def test_a_guide_names_only_fields_tables_and_columns_that_there_are(guide: Path) -> None:
    fields = {
        name
        for schema in (ROOT.event_schema, ROOT.chain_schema)
        for field in Vocabulary.load(schema).fields
        for name in prefixes(field)
    }
    columns = {f"{table}.{column}" for table, form in TABLES.items() for column in form.columns}
    text = BLOCK.sub("", guide.read_text(encoding="utf-8"))
    named = {name for name in re.findall(r"`([a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+)`", text) if not is_file(name)}

    assert named - fields - columns == set()


def prefixes(field: str) -> Iterator[str]:
    """``oauth.token.hash`` and the namespaces around it."""
    parts = field.split(".")
    return (".".join(parts[: length + 1]) for length in range(len(parts)))


def is_file(name: str) -> bool:
    return name.rpartition(".")[2] in {"csv", "gz", "json", "jsonl", "md", "py", "sql", "yml", "yaml", "txt"}


def test_the_guide_to_the_register_names_every_table() -> None:
    guide = (DOCS / "the-register.md").read_text(encoding="utf-8")

    assert [table for table in TABLES if f"| `{table}` |" not in guide] == []


def test_the_guide_to_the_generator_names_every_common_kind_of_chain() -> None:
    guide = (DOCS / "generator.md").read_text(encoding="utf-8")
    kinds = [
        kind
        for row in re.findall(r"^\| ([a-z][\w, -]*(?:TLS)?) \| [A-Z]", guide, re.MULTILINE)
        for kind in row.split(", ")
    ]

    assert set(kinds) == set(KINDS) - set(oddities())


def test_the_readme_stays_one_screen_and_links_every_guide() -> None:
    readme = (ROOT.path / "README.md").read_text(encoding="utf-8")

    assert len(readme.splitlines()) <= 64
    assert [guide.name for guide in DOCS.glob("*.md") if f"](docs/{guide.name})" not in readme] == []
