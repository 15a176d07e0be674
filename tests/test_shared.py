"""Parts that rules share are judged once, and mean what they meant."""

from __future__ import annotations

import duckdb
import pytest

from backends.duckdb.shared import LONG, shared

LONG_PART = " OR ".join(f"(\"user.id\" = 'a name of some length {n}')" for n in range(6))
assert len(LONG_PART) > LONG


def rule(part: str, value: str) -> str:
    return f"(({part}) AND (\"event.id\" = '{value}'))"


def test_a_long_part_of_three_rules_becomes_a_column_of_its_own() -> None:
    columns, written = shared([rule(LONG_PART, value) for value in "abc"])
    assert columns == [f'{LONG_PART} AS "shared 0"']
    assert written == [f'(("shared 0") AND ("event.id" = \'{value}\'))' for value in "abc"]


@pytest.mark.parametrize(
    "expressions",
    [
        [rule(LONG_PART, value) for value in "ab"],
        [rule("\"user.id\" = 'short'", value) for value in "abcd"],
        [f"coalesce({LONG_PART}, {value})" for value in ("true", "false", "NULL")],
    ],
    ids=["of two rules", "a short one", "what a function takes"],
)
def test_what_would_not_pay_stays_where_it_is(expressions: list[str]) -> None:
    assert shared(expressions) == ([], expressions)


def test_of_two_common_parts_the_outer_is_taken() -> None:
    outer = f"({LONG_PART}) AND (\"user.name\" = 'b')"
    columns, written = shared([rule(outer, value) for value in "abc"])
    assert [column.removesuffix(' AS "shared 0"') for column in columns] == [outer]
    assert all(LONG_PART not in one for one in written)


def test_brackets_and_quotes_in_a_text_are_text() -> None:
    hostile = " OR ".join(f"(\"user.id\" = 'it''s ) AND (\"{n}')" for n in range(9))
    expressions = [rule(hostile, value) for value in ("a)", "((", "''")]
    columns, written = shared(expressions)
    assert columns == [f'{hostile} AS "shared 0"']
    rows = """FROM (VALUES ('it''s ) AND ("3', 'a)'), ('it''s ) AND ("3', 'b'), ('x', '((')) t("user.id", "event.id")"""
    run = duckdb.connect().execute
    apart = run(f"SELECT {', '.join(expressions)} {rows}").fetchall()
    together = run(f"SELECT {', '.join(written)} FROM (SELECT *, {columns[0]} {rows})").fetchall()
    assert together == apart
    assert apart[0] == (True, False, False)
