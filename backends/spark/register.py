"""The register as Spark tables and session variables: what the logs cannot say.

Every table exists, empty where a team keeps none. Rows are those of `backends.duckdb.register`; the look-ups that lambdas
need are session variables, since a subquery can't stand in a lambda.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from backends.concepts import bits
from backends.duckdb import register

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

VARIABLES = {
    "lookback": "BIGINT",
    "before": "BIGINT",
    "since": "BIGINT",
    "until": "BIGINT",
    **dict.fromkeys((f"has_{name}" for name in ("servers", "clients", "networks", "agents", "coverage")), "BOOLEAN"),
    "networks": "ARRAY<STRUCT<first: STRING, last: STRING>>",
    "domains": "ARRAY<STRING>",
    "agent_of_client": "MAP<STRING, STRING>",
    "scopes": "MAP<STRING, STRUCT<system_wide: BOOLEAN, resource: STRING, verb: STRING>>",
    "covered": "MAP<STRING, ARRAY<STRING>>",
    "systems": "ARRAY<STRING>",
    "long_names_wide": "BOOLEAN",
    "client_ids": "MAP<STRING, ARRAY<STRING>>",
}
"""Session variables ``countersign_<name>``, and their types."""

_KINDS = {pa.string(): "STRING", pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.bool_(): "BOOLEAN"}


def kind(column: pa.DataType) -> str:
    """Spark's name of a column's type."""
    return "ARRAY<STRING>" if pa.types.is_list(column) else _KINDS[column]


def declared() -> list[str]:
    """Statements that make the variables."""
    return [f"DECLARE OR REPLACE VARIABLE countersign_{name} {of}" for name, of in VARIABLES.items()]


def assigned(
    tables: register.Tables,
    client_ids: Iterable[tuple[str, str]],
    since_us: int,
    until_us: int,
    lookback_us: int = 86_400_000_000,
) -> Iterator[str]:
    """Statements that set the variables: by the register's tables, and by the time that a run judges.

    Args:
        tables: the register.
        client_ids: (dataset, dotted id that a client may set).
        since_us: records and chains from then on are judged, microseconds since 1970.
        until_us: and until then.
        lookback_us: records further apart do not join.
    """
    values = register.look_ups(tables) | {"lookback": lookback_us, "before": -(1 << 62)}
    values |= {"since": since_us, "until": until_us, "client_ids": {}}
    for dataset, name in client_ids:
        values["client_ids"].setdefault(name, []).append(dataset)
    values["scopes"] = {name: tuple(scope.values()) for name, scope in values["scopes"].items()}
    for name, of in VARIABLES.items():
        yield f"SET VAR countersign_{name} = CAST({literal(values[name])} AS {of})"


def rows(tables: register.Tables, never: Iterable[tuple[str, str, Sequence[str]]] = ()) -> Mapping[str, pa.Table]:
    """Every table of the register, ``source_never``: what a source can never supply, by stage, and the empty ``carried_slices``."""
    found = {f"reg_{name}": table for name, table in register.tabled(tables).items()}
    blind = [{"dataset": d, "stage": s, "concepts": list(c), "bits": bits(c)} for d, s, c in never]
    return found | {
        "source_never": pa.Table.from_pylist(blind, schema=_NEVER),
        "carried_slices": _CARRIED.empty_table(),
    }


def shapes() -> dict[str, dict[str, str]]:
    """Table → column → Spark's type."""
    return {name: {c.name: kind(c.type) for c in table.schema} for name, table in rows({}).items()}


_CARRIED = pa.schema([(name, pa.int64()) for name in ("who", "stage", "slice", "first", "last")])
_NEVER = pa.schema(
    [("dataset", pa.string()), ("stage", pa.string()), ("concepts", pa.list_(pa.string())), ("bits", pa.int64())]
)


def literal(value: Any) -> str:
    """A value as Spark SQL writes it; a text's quotes and backslashes are escaped."""
    match value:
        case None:
            written = "NULL"
        case bool():
            written = str(value).lower()
        case int():
            written = f"{value}L"
        case str():
            written = "'" + "".join(_ESCAPES.get(letter, letter) for letter in value) + "'"
        case dict():
            pairs = ", ".join(f"struct({literal(key)}, {literal(of)})" for key, of in value.items())
            written = f"map_from_entries(array({pairs}))" if value else "map()"
        case tuple():
            written = f"struct({', '.join(map(literal, value))})"
        case _:
            written = f"array({', '.join(map(literal, value))})"
    return written


_ESCAPES = {"'": "\\'", "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}
