"""The register as Spark tables and session variables: what the logs cannot say.

Every table exists, empty where a team keeps none. Rows are those of `backends.duckdb.register`; the look-ups that lambdas
need are session variables, since a subquery can't stand in a lambda.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from backends.concepts import bits
from backends.duckdb import register
from backends.spark.variables import VARIABLES, assigned, declared, literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_KINDS = {pa.string(): "STRING", pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.bool_(): "BOOLEAN"}


def kind(column: pa.DataType) -> str:
    """Spark's name of a column's type."""
    return "ARRAY<STRING>" if pa.types.is_list(column) else _KINDS[column]


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


__all__ = ["VARIABLES", "assigned", "declared", "kind", "literal", "rows", "shapes"]
