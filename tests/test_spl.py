"""The interpreter of SPL: examples of Splunk's documentation, and what it must refuse to guess (``tests/spl``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.engines.spl.expression import value_of
from harness.engines.spl.functions import PLAIN
from harness.engines.spl.run import piped, run
from harness.engines.spl.syntax import parsed
from harness.engines.spl.text import Macro, commands, expanded
from harness.engines.spl.values import Unknown

HERE = Path(__file__).parent / "spl"
FUNCTIONS: list[list[Any]] = json.loads((HERE / "functions.json").read_text())
COMMANDS: list[list[Any]] = json.loads((HERE / "commands.json").read_text())
REFUSED: list[list[str]] = json.loads((HERE / "refused.json").read_text())
LOOKUPS = {"usertogroup": [{"user": "ana", "group": "admins"}, {"user": "bob", "group": "users"}]}


@pytest.mark.parametrize(
    ("page", "row", "expression", "expected"), FUNCTIONS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_function_does_what_its_page_says(page: str, row: dict[str, Any], expression: str, expected: Any) -> None:
    assert page
    assert value_of(parsed(expression))(row) == expected


def test_each_function_has_an_example() -> None:
    told = " ".join(expression for _, _, expression, _ in FUNCTIONS)
    assert [name for name in PLAIN if f"{name}(" not in told] == []


@pytest.mark.parametrize(
    ("page", "rows", "search", "expected"), COMMANDS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_command_does_what_its_page_says(page: str, rows: list[Any], search: str, expected: list[Any]) -> None:
    assert search.startswith(page)
    assert piped([dict(row) for row in rows], commands(search), LOOKUPS) == expected


@pytest.mark.parametrize(("what", "search"), REFUSED, ids=lambda v: v)
def test_what_is_not_documented_is_refused(what: str, search: str) -> None:
    rows = [{"k": "1", "n": "2", "many": ["a", "b"]}]
    assert what
    with pytest.raises(Unknown):
        piped(rows, commands(expanded(search, {})), LOOKUPS)


@pytest.mark.parametrize(
    "search", ["index=mcp", "search index=mcp", "search index=mcp earliest=-1h", "search earliest=-1h latest=now"]
)
def test_a_search_names_its_index_and_its_time(search: str) -> None:
    with pytest.raises(Unknown, match="index and a time"):
        run(search, {"mcp": []}, {}, {})


def test_a_macro_takes_arguments_and_comments_go() -> None:
    macros = {
        "twice": Macro("eval b=$x$.$x$ ``` said twice ```", ("x",)),
        "outer": Macro("`twice(a)` | where isnotnull(b)"),
    }
    assert piped([{"a": "1"}], commands(expanded("`outer`", macros)), {}) == [{"a": "1", "b": "11"}]
