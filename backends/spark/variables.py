"""The register's look-ups as Spark's session variables, since a subquery can't stand in a lambda.

It needs nothing but Python: the Spark package carries this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backends.register_forms import look_ups

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Tables = Mapping[str, Sequence[Mapping[str, Any]]]

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


def declared() -> list[str]:
    """Statements that make the variables."""
    return [f"DECLARE OR REPLACE VARIABLE countersign_{name} {of}" for name, of in VARIABLES.items()]


def assigned(
    tables: Tables,
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
    values = look_ups(tables) | {"lookback": lookback_us, "before": -(1 << 62)}
    values |= {"since": since_us, "until": until_us, "client_ids": {}}
    for dataset, name in client_ids:
        values["client_ids"].setdefault(name, []).append(dataset)
    values["scopes"] = {name: tuple(scope.values()) for name, scope in values["scopes"].items()}
    for name, of in VARIABLES.items():
        yield f"SET VAR countersign_{name} = CAST({literal(values[name])} AS {of})"


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
