"""The few words in which Spark's SQL and DuckDB's differ, for the queries that make findings of hits.

It needs nothing but Python: the lake packages carry this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOTHING = "␀"
"""Stands for an absent value where a group is told from another."""


@dataclass(frozen=True)
class Dialect:
    """How one engine says what findings are made with; each member takes and gives SQL.

    Attributes:
        name: the engine.
        quoted: a column's name.
        literal: a text.
        text: anything as text.
        periods: (microseconds, length) → number of the period.
        digest: a text → its SHA-256 in hexadecimal.
        time: microseconds since 1970 → a timestamp.
        written: microseconds since 1970 → RFC 3339.
        size: of an array.
        first: (array, count) → its first items.
        joined: an array → its items with commas between.
        only: an array of one → its item.
        clean: a text → without control characters.
        any_of: (array, test of an item) → whether one passes.
        record: names and values → one map of texts.
        earliest: (value, what it is ordered by) → the value of the first row of a group.
        collected: values → the first twenty, each once, in order.
    """

    name: str
    quoted: Callable[[str], str]
    literal: Callable[[str], str]
    text: Callable[[str], str]
    periods: Callable[[str, int], str]
    digest: Callable[[str], str]
    time: Callable[[str], str]
    written: Callable[[str], str]
    size: Callable[[str], str]
    first: Callable[[str, int], str]
    joined: Callable[[str], str]
    only: Callable[[str], str]
    clean: Callable[[str], str]
    any_of: Callable[[str, Callable[[str], str]], str]
    record: Callable[[Sequence[tuple[str, str]]], str]
    earliest: Callable[[str, Sequence[str]], str]
    collected: Callable[[str], str]


def _spark_literal(value: str) -> str:
    escapes = {"'": "\\'", "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}
    return "'" + "".join(escapes.get(letter, letter) for letter in value) + "'"


def _duckdb_literal(value: str) -> str:
    return "||chr(0)||".join("'" + part.replace("'", "''") + "'" for part in value.split("\0"))


def _spark_record(pairs: Sequence[tuple[str, str]]) -> str:
    both = [f"array({', '.join(parts)})" for parts in zip(*((_spark_literal(n), v) for n, v in pairs), strict=True)]
    return f"map_from_arrays({', '.join(both)})" if pairs else "CAST(map() AS MAP<STRING, STRING>)"


def _duckdb_record(pairs: Sequence[tuple[str, str]]) -> str:
    said = ", ".join(f"{_duckdb_literal(name)}: {value}" for name, value in pairs)
    return f"MAP {{{said}}}::MAP(VARCHAR, VARCHAR)"


SPARK = Dialect(
    name="spark",
    quoted=lambda name: "`" + name.replace("`", "``") + "`",
    literal=_spark_literal,
    text=lambda at: f"CAST({at} AS STRING)",
    periods=lambda at, length: f"({at} DIV {length})",
    digest=lambda at: f"sha2({at}, 256)",
    time=lambda at: f"timestamp_micros({at})",
    written=lambda at: f"date_format(timestamp_micros({at}), \"yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'\")",
    size=lambda at: f"array_size({at})",
    first=lambda at, count: f"slice({at}, 1, {count})",
    joined=lambda at: f"array_join({at}, ', ')",
    only=lambda at: f"element_at({at}, 1)",
    clean=lambda at: f"regexp_replace({at}, '[\\\\p{{Cc}}\\\\p{{Cf}}]', '?')",
    any_of=lambda at, test: f"exists({at}, item -> {test('item')})",
    record=_spark_record,
    earliest=lambda at, order: f"min_by({at}, struct({', '.join(order)}))",
    collected=lambda at: f"slice(array_sort(collect_set({at})), 1, 20)",
)

DUCKDB = Dialect(
    name="duckdb",
    quoted=lambda name: '"' + name.replace('"', '""') + '"',
    literal=_duckdb_literal,
    text=lambda at: f"CAST({at} AS VARCHAR)",
    periods=lambda at, length: f"({at} // {length})",
    digest=lambda at: f"sha256({at})",
    time=lambda at: f"make_timestamp({at})",
    written=lambda at: f"strftime(make_timestamp({at}), '%Y-%m-%dT%H:%M:%S.%fZ')",
    size=lambda at: f"len({at})",
    first=lambda at, count: f"{at}[1:{count}]",
    joined=lambda at: f"array_to_string({at}, ', ')",
    only=lambda at: f"{at}[1]",
    clean=lambda at: f"regexp_replace({at}, '[\\p{{Cc}}\\p{{Cf}}]', '?', 'g')",
    any_of=lambda at, test: f"len(list_filter({at}, lambda item: {test('item')})) > 0",
    record=_duckdb_record,
    earliest=lambda at, order: f"arg_min({at}, ({', '.join(order)}))",
    collected=lambda at: f"list_sort(list(DISTINCT {at}) FILTER ({at} IS NOT NULL))[1:20]",
)
