"""What editors are told: each glob finds files, and each of these fits the schema that it is shown against."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from harness.paths import Root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOME = Root.default().path
SETTINGS = json.loads((HOME / ".vscode" / "settings.json").read_text(encoding="utf-8"))
YAML_HINT = "# yaml-language-server: $schema="


def hints() -> Iterator[tuple[str, str]]:
    """(glob, schema), both from the root of the checkout."""
    for entry in SETTINGS["json.schemas"]:
        yield from ((glob, entry["url"]) for glob in entry["fileMatch"])
    for schema, globs in SETTINGS["yaml.schemas"].items():
        yield from ((glob, schema) for glob in globs)


HINTS = list(hints())
FILES = [(path, HOME / schema) for glob, schema in HINTS for path in sorted(HOME.glob(glob.lstrip("/")))]


def content(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)


@pytest.mark.parametrize(("glob", "schema"), HINTS)
def test_a_hint_finds_files_and_its_schema(glob: str, schema: str) -> None:
    assert list(HOME.glob(glob.lstrip("/")))
    assert (HOME / schema).is_file()


@pytest.mark.parametrize(("path", "schema"), FILES, ids=[path.name for path, _ in FILES])
def test_an_editor_underlines_nothing_in_what_is_there(path: Path, schema: Path) -> None:
    validator = jsonschema.Draft202012Validator(content(schema))

    assert [error.message for error in validator.iter_errors(content(path))] == []


@pytest.mark.parametrize(("path", "schema"), FILES, ids=[path.name for path, _ in FILES])
def test_a_file_names_the_same_schema_to_editors_that_read_no_settings(path: Path, schema: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    named = content(path)["$schema"] if path.suffix == ".json" else first.removeprefix(YAML_HINT)

    assert (path.parent / named).resolve() == schema.resolve()


def test_every_source_map_is_hinted() -> None:
    assert {path for path, _ in FILES} >= set(Root.default().sources.glob("*.yml"))
