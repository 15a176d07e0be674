"""Every line of the oracle's tables means the same to DuckDB: one expression a rule value, one row a record value."""

from __future__ import annotations

from typing import Any

import pytest
from test_oracle import ABSENT, ATOMS, REFERENCES, rule

from backends.duckdb.backend import expression
from backends.duckdb.engine import Engine, Limits
from backends.vocabulary import Field, Kind, Vocabulary
from harness.oracle import matches
from harness.paths import Root

TYPES: dict[Kind, str] = {"keyword": "VARCHAR", "number": "DOUBLE", "integer": "BIGINT", "boolean": "BOOLEAN"}
REFUSED_BY_DUCKDB = ("base64offset", "windash")


def kind_of(value: Any) -> tuple[Kind, bool]:
    if isinstance(value, list):
        return kind_of(value[0])[0], True
    return ("boolean" if isinstance(value, bool) else "number" if isinstance(value, int | float) else "keyword"), False


def rows() -> list[Any]:
    found = []
    for key, value, yes, no in ATOMS:
        if any(name in key for name in REFUSED_BY_DUCKDB):
            continue
        for record_value in [*yes, *no, None]:
            kind, array = kind_of(record_value) if record_value not in (None, "") else ("keyword", False)
            if isinstance(record_value, list) and len({type(item) for item in record_value}) > 1:
                continue
            name = f"f{key}: {value!r} on {record_value!r}"
            found.append(
                pytest.param(
                    key, value, record_value or (None if record_value == "" else record_value), kind, array, id=name
                )
            )
    return found


@pytest.fixture(scope="module")
def connection() -> Any:
    """DuckDB with the project's own functions."""
    with Engine(Vocabulary.load(Root.default().event_schema), {}, (), (), [], Limits()) as engine:
        yield engine.connection


@pytest.mark.parametrize("negated", [False, True], ids=["plain", "not"])
@pytest.mark.parametrize(("key", "value", "found", "kind", "array"), rows())
def test_duckdb_gives_the_oracles_verdict(
    connection: Any, key: str, value: Any, found: Any, kind: Kind, *, array: bool, negated: bool
) -> None:
    written = rule("not selection" if negated else "selection", selection={f"f{key}": value})
    sql = expression(written, Vocabulary({"f": Field("f", kind, array=array)}))
    column = f"{TYPES[kind]}{'[]' if array else ''}"
    (verdict,) = connection.execute(f"SELECT {sql} FROM (SELECT $1::{column} AS f)", [found]).fetchone()
    assert verdict is matches(written, {"f": found})


def scalar(value: Any) -> Any:
    return None if value is ABSENT or value == "" else value


PAIRS = [
    (key, scalar(a), scalar(b)) for key, a, b, _ in REFERENCES if not isinstance(a, list) and not isinstance(b, list)
]


@pytest.mark.parametrize("negated", [False, True], ids=["plain", "not"])
@pytest.mark.parametrize(("key", "left", "right"), PAIRS)
def test_duckdb_compares_two_fields_as_the_oracle_does(
    connection: Any, key: str, left: Any, right: Any, *, negated: bool
) -> None:
    written = rule("not selection" if negated else "selection", selection={f"f{key}": "g"})
    kinds = {name: kind_of(value)[0] if value is not None else "keyword" for name, value in (("f", left), ("g", right))}
    sql = expression(written, Vocabulary({name: Field(name, kind) for name, kind in kinds.items()}))
    columns = f"$1::{TYPES[kinds['f']]} AS f, $2::{TYPES[kinds['g']]} AS g"
    (verdict,) = connection.execute(f"SELECT {sql} FROM (SELECT {columns})", [left, right]).fetchone()
    assert verdict is matches(written, {"f": left, "g": right})
