"""Every command that we emit is taken by a strict parser of SPL: ``com.teragrep:pth_03``, fetched for tests only.

It reads one command at a time, since its lexer loses its way behind a second lookup, and it is older than some
functions: their names are swapped for one that it knows.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from backends.splunk.target import LACKS, TARGET, macros, views
from backends.target import Inexpressible, Wanted
from backends.vocabulary import Vocabulary
from harness.engines.spl.text import Macro, commands, expanded
from harness.paths import Root
from harness.ruleset import load_rules

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("splunk")

ROOT = Root.default()
VERSION = "9.4.1"
JAR = ROOT.path / ".cache" / "spl" / f"pth_03-{VERSION}.jar"
YOUNGER = re.compile(r"\b(?:mvmap|json_array_to_mv|json_extract_exact|json_extract|json_keys)\(")
HEAD = "search index=mcp earliest=-1s@s latest=now | "


@pytest.fixture(scope="session")
def parser() -> Path:
    """The parser's archive, from Maven Central or a mirror of it."""
    if not JAR.exists():
        maven = shutil.which("mvn")
        assert maven, "Maven fetches the parser"
        subprocess.run(
            [
                *(maven, "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"),
                *(f"-Dartifact=com.teragrep:pth_03:{VERSION}", f"-DoutputDirectory={JAR.parent}"),
            ],
            check=True,
            cwd=ROOT.path,
        )
    return JAR


def emitted() -> list[str]:
    """Every command of every query, once."""
    events, chains = Vocabulary.load(ROOT.event_schema), Vocabulary.load(ROOT.chain_schema)
    known = {name: Macro(text, arguments) for name, (text, arguments) in macros(views()).items()}
    found: dict[str, None] = dict.fromkeys(commands(expanded("`countersign_evidence`", known)))
    for rule in load_rules(ROOT.rules, ROOT.schemas):
        try:
            query = TARGET.compile(Wanted(rule.stem, rule.judged), events, chains)
        except Inexpressible as refused:
            assert any(name in str(refused) for name in LACKS)  # noqa: PT017 - the rest of the pack is still read
            continue
        found.update(dict.fromkeys(commands(expanded(query, known))))
    return [command for command in found if not command.startswith("search ")]


def wrong(parser: Path, folder: Path, searches: list[str]) -> list[str]:
    """What the parser says of each search."""
    files = []
    for number, search in enumerate(searches):
        files.append(folder / f"{number}.spl")
        files[-1].write_text(HEAD + YOUNGER.sub("mvappend(", search))
    java = shutil.which("java")
    assert java, "Java 17 runs the parser"
    command = [java, "-cp", str(parser), str(ROOT.path / "tests/engines/spl/Parse.java"), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_every_command_is_taken_by_a_strict_parser(parser: Path, tmp_path: Path) -> None:
    searches = emitted()
    said = wrong(parser, tmp_path, searches)
    assert len(said) == len(searches) > 100
    assert [(search[:200], each[:200]) for search, each in zip(searches, said, strict=True) if each != "ok"] == []


def test_the_parser_refuses_what_is_wrong(parser: Path, tmp_path: Path) -> None:
    searches = ["eval a=", "where a=1 AND", "sort 0 num(", "nonsense b", "eval a=nonsense(b)"]
    said = wrong(parser, tmp_path, searches)
    assert len(said) == len(searches)
    assert "ok" not in said
