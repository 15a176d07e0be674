"""The register as DuckDB tables and session variables: what the logs cannot say.

Every table exists, empty where the team keeps none; `has_<table>` tells the two apart. Ids are compared without letter
case, so they are stored in lower case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from backends.duckdb.register_script import VARIABLES, argument_macro, own_macro
from backends.register_forms import (
    BOOLEAN,
    IDENTITY_ARGUMENTS,
    NUMBER,
    SHAPES,
    TEXT,
    TEXTS,
    TIME,
    Tables,
    clients_of_agents,
    look_ups,
    microseconds,
    people,
    rows,
    services,
)

if TYPE_CHECKING:
    import duckdb

_ARROW = {
    TEXT: pa.string(),
    TEXTS: pa.list_(pa.string()),
    NUMBER: pa.float64(),
    BOOLEAN: pa.bool_(),
    TIME: pa.int64(),
}


def load(connection: duckdb.DuckDBPyConnection, tables: Tables) -> None:
    """Create ``reg_<table>`` for every table and set the variables that the event view's macros read."""
    for name, table in tabled(tables).items():
        connection.register("reg_rows", table)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE reg_{name} AS SELECT * FROM reg_rows")
        connection.unregister("reg_rows")
    values = look_ups(tables)
    for name, kind in VARIABLES.items():
        _set(connection, name, values[name], kind)
    connection.execute(own_macro(values["networks"]))
    connection.execute(argument_macro(tables.get("tools", ())))


def tabled(tables: Tables) -> dict[str, pa.Table]:
    """Every table as `backends.register_forms` has it, in Arrow's columns."""
    return {
        name: pa.Table.from_pylist(found, schema=pa.schema([(c, _ARROW[kind]) for c, kind in SHAPES[name].items()]))
        for name, found in rows(tables).items()
    }


def _set(connection: duckdb.DuckDBPyConnection, name: str, value: Any, kind: str) -> None:
    if isinstance(value, dict):
        keys, values = list(value), list(value.values())
        item = kind.removeprefix("MAP(VARCHAR, ").removesuffix(")")
        connection.execute(f"SET VARIABLE {name} = map($1::VARCHAR[], $2::{item}[])", [keys, values])
    else:
        connection.execute(f"SET VARIABLE {name} = $1::{kind}", [value])


__all__ = [
    "IDENTITY_ARGUMENTS",
    "Tables",
    "clients_of_agents",
    "load",
    "look_ups",
    "microseconds",
    "people",
    "services",
    "tabled",
]
