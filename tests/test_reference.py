"""Generated pages: written from content, and proven fresh."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from backends.vocabulary import Vocabulary
from harness.commands.reference import command
from harness.field_reference import CONCEPTS, concept
from harness.paths import Root
from harness.reference import PAGES, page, stale

if TYPE_CHECKING:
    from pathlib import Path

ROOT = Root.default()
README = page(ROOT, "schemas/README.md")
FIELDS = Vocabulary.load(ROOT.event_schema).fields


@pytest.fixture
def copy(tmp_path: Path) -> Root:
    shutil.copytree(ROOT.schemas, tmp_path / "schemas")
    shutil.copytree(ROOT.rules, tmp_path / "rules")
    for path in PAGES:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    CliRunner().invoke(command, ["--root", str(tmp_path)])
    return Root(tmp_path)


def test_every_generated_page_is_fresh() -> None:
    assert stale(ROOT) == []


@pytest.mark.parametrize("path", PAGES)
def test_a_page_names_its_generator_in_line_one(path: str) -> None:
    generator = re.search(r"Written by (\S+\.py)", page(ROOT, path).splitlines()[0])

    assert generator is not None
    assert (ROOT.path / generator[1]).is_file()


def test_a_changed_schema_makes_its_page_stale_until_it_is_written(copy: Root) -> None:
    schema = copy.event_schema
    schema.write_text(schema.read_text(encoding="utf-8").replace("The agent runtime's permission", "The permission"))

    assert CliRunner().invoke(command, ["--check", "--root", str(copy.path)]).exit_code == 1
    assert "wrote schemas/README.md" in CliRunner().invoke(command, ["--root", str(copy.path)]).output
    assert CliRunner().invoke(command, ["--check", "--root", str(copy.path)]).exit_code == 0


def test_a_page_edited_by_hand_is_named(copy: Root) -> None:
    with (copy.path / "schemas" / "README.md").open("a", encoding="utf-8") as readme:
        readme.write("by hand\n")

    result = CliRunner().invoke(command, ["--check", "--root", str(copy.path)])

    assert (result.exit_code, result.output) == (1, "schemas/README.md is stale: run countersign reference\n")


def test_a_missing_page_is_stale(copy: Root) -> None:
    (copy.path / "schemas" / "README.md").unlink()

    assert "schemas/README.md" in stale(copy)


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_has_an_anchor_and_a_concept(name: str) -> None:
    assert README.count(f'<a id="{name}"></a>') == 1
    assert concept(name) in CONCEPTS


def test_every_link_of_the_field_reference_leads_somewhere() -> None:
    titles = re.findall("^#+ (.*)", README, re.MULTILINE)
    headings = {re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in titles}

    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= headings


def test_no_row_of_a_table_has_more_cells_than_its_head() -> None:
    tables = re.findall(r"(?:^\|.*\n)+", README, re.MULTILINE)
    cells = [[len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()] for table in tables]

    assert [counts for counts in cells if len(set(counts)) > 1] == []
