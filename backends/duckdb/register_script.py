"""The register as statements of SQL: tables, variables and macros, written out, for whoever has DuckDB and no more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from backends.concepts import bits
from backends.duckdb.columns import quoted, text
from backends.register_forms import (
    BOOLEAN,
    FLAGGED,
    IDENTITY_ARGUMENTS,
    NUMBER,
    SHAPES,
    TEXT,
    TEXTS,
    TIME,
    look_ups,
    rows,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Tables = Mapping[str, Sequence[Mapping[str, Any]]]

VARIABLES = {
    **dict.fromkeys((f"has_{name}" for name in FLAGGED), "BOOLEAN"),
    "domains": "VARCHAR[]",
    "agent_of_client": "MAP(VARCHAR, VARCHAR)",
    "scopes": "MAP(VARCHAR, STRUCT(system_wide BOOLEAN, resource VARCHAR, verb VARCHAR))",
    "covered": "MAP(VARCHAR, VARCHAR[])",
    "systems": "VARCHAR[]",
    "long_names_wide": "BOOLEAN",
}
"""Session variables, and their types."""

_TYPES = {TEXT: "VARCHAR", TEXTS: "VARCHAR[]", NUMBER: "DOUBLE", BOOLEAN: "BOOLEAN", TIME: "BIGINT"}


def script(
    tables: Tables,
    never: Iterable[tuple[str, str, Sequence[str]]] = (),
    lookback_us: int = 86_400_000_000,
) -> Iterator[str]:
    """Statements that say all that a run knows beside the logs.

    Args:
        tables: the register.
        never: (dataset, stage, concepts that this kind of record can never supply).
        lookback_us: records further apart do not join, microseconds.
    """
    for name, found in rows(tables).items():
        columns = ", ".join(f"{quoted(column)} {_TYPES[kind]}" for column, kind in SHAPES[name].items())
        yield f"CREATE OR REPLACE TEMP TABLE reg_{name} ({columns})"
        if found:
            yield f"INSERT INTO reg_{name} VALUES\n  " + ",\n  ".join(literal(tuple(row.values())) for row in found)
    blind = [(dataset, stage, list(concepts), bits(concepts)) for dataset, stage, concepts in never]
    yield "CREATE OR REPLACE TEMP TABLE source_never (dataset VARCHAR, stage VARCHAR, concepts VARCHAR[], bits UINTEGER)"
    if blind:
        yield "INSERT INTO source_never VALUES\n  " + ",\n  ".join(map(literal, blind))
    yield "CREATE OR REPLACE TEMP TABLE carried_slices (who UBIGINT, stage INTEGER, slice BIGINT, first BIGINT, last BIGINT)"
    yield f"SET VARIABLE lookback = {int(lookback_us)}"
    yield f"SET VARIABLE before = {-(1 << 62)}::BIGINT"
    values = look_ups(tables)
    for name, kind in VARIABLES.items():
        yield f"SET VARIABLE {name} = {literal(values[name])}::{kind}"
    yield own_macro(values["networks"])
    yield argument_macro(tables.get("tools", ()))


def own_macro(networks: Iterable[tuple[str, str]]) -> str:
    """Whether an address lies in one of the team's networks; each is its first and last address."""
    own = " OR ".join(f"address BETWEEN {text(first)} AND {text(last)}" for first, last in networks)
    return f"CREATE OR REPLACE TEMP MACRO countersign_own(address) AS ({own or 'false'})"


def argument_macro(tools: Sequence[Mapping[str, Any]]) -> str:
    """The values of a key anywhere in a tool's arguments, one branch a key that is known: a JSON path must be constant."""
    own = {key for row in tools for key in row.get("identity_arguments") or ()}
    branches = " ".join(
        f"WHEN {text(key)} THEN json_extract(arguments, {text('$..' + json.dumps(key, ensure_ascii=False))})"
        for key in sorted(own | set(IDENTITY_ARGUMENTS))
    )
    return f"CREATE OR REPLACE TEMP MACRO countersign_argument(arguments, key) AS CASE key {branches} END"


def literal(value: Any) -> str:
    """A value as DuckDB's SQL writes it."""
    match value:
        case None:
            written = "NULL"
        case bool():
            written = str(value).lower()
        case int() | float():
            written = repr(value)
        case str():
            written = text(value)
        case dict() if all(isinstance(of, dict) for of in value.values()) and value:
            pairs = ", ".join(f"{text(key)}: {_struct(of)}" for key, of in value.items())
            written = f"MAP {{{pairs}}}"
        case dict():
            written = f"MAP {{{', '.join(f'{text(key)}: {literal(of)}' for key, of in value.items())}}}"
        case tuple():
            written = f"({', '.join(map(literal, value))})"
        case _:
            written = f"[{', '.join(map(literal, value))}]"
    return written


def _struct(value: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{text(key)}: {literal(of)}" for key, of in value.items()) + "}"
