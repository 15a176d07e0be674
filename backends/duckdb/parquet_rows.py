"""A row of Parquet as a line of JSON, in SQL.

What a row holds is written as the record would be logged: what is null, empty or not a number is left out, times are
RFC 3339 in UTC, decimals are numbers, maps are objects, dates and durations are texts. Binary is text where it is UTF-8;
where the column has a fixed length, as ids do, or it is no text, it is written in hexadecimal. Text is JSON where the
schema has an object or a list and the text is one.

Source of the layout: parquet-format 2.11, ``LogicalTypes.md``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from backends.duckdb.columns import quoted, text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

_NUMBERS = {
    "tinyint",
    "smallint",
    "integer",
    "bigint",
    "hugeint",
    "utinyint",
    "usmallint",
    "uinteger",
    "ubigint",
    "uhugeint",
}
_TEXTS = {"varchar", "enum", "uuid", "date", "time", "time with time zone", "time_ns", "interval"}
_MOMENTS = {"timestamp", "timestamp with time zone", "timestamp_s", "timestamp_ms"}
_NANOSECONDS = {"timestamp_ns", "timestamptz_ns"}
_EXACT = 1 << 53
"""Beyond, a double is no whole number that anybody meant."""


class Form(Enum):
    """How a row becomes a record.

    Attributes:
        NESTED: as the event schema has it: names with dots are taken apart.
        RECORD: as it is, without what is null: the file holds records of several kinds.
        TABLE: as it is, nulls too: a source may tell its tables by their columns.
    """

    NESTED = auto()
    RECORD = auto()
    TABLE = auto()


class Unreadable(ValueError):  # noqa: N818 - says what is wrong with the file
    """The file holds what no log does; the message completes ``file: …``."""


@dataclass(frozen=True)
class Column:
    """A value of a row.

    Attributes:
        path: names from the row down.
        sql: how it is read.
        kind: its DuckDB type.
    """

    path: tuple[str, ...]
    sql: str
    kind: Any

    @classmethod
    def of(cls, name: str, kind: Any) -> Column:
        """A column of the file."""
        return cls((name,), quoted(name), kind)

    def member(self, name: str, kind: Any) -> Column:
        """What a struct holds by this name."""
        return Column((*self.path, name), f"struct_extract({self.sql}, {text(name)})", kind)

    @property
    def as_text(self) -> str:
        """SQL: text, or binary that is UTF-8; other binary in hexadecimal."""
        if self.kind.id != "blob":
            return f"{self.sql}::VARCHAR"
        return f"coalesce(TRY(decode({self.sql})), lower(hex({self.sql})))"


@dataclass(frozen=True)
class Rows:
    """The rows of one file.

    Attributes:
        columns: its columns, in order.
        fixed: paths of the columns whose values have a fixed number of bytes.
        structured: dotted names of the schema's objects and lists.
    """

    columns: Sequence[Column]
    fixed: Collection[tuple[str, ...]] = ()
    structured: Collection[str] = ()

    def sql(self, form: Form) -> str:
        """SQL: the line of a row.

        Raises:
            Unreadable: a column is of a type that no record holds.
        """
        if form is not Form.NESTED:
            values = [(column.path[0], self._value(column)) for column in self.columns]
            if form is Form.TABLE:
                values = [(name, f"coalesce({value}, 'null')") for name, value in values]
            return f"coalesce({_members(values)}, '{{}}')"
        tree = _Node()
        for column in self.columns:
            tree.plant(column, column.path[0])
        return f"coalesce({self._tree(tree)}, '{{}}')"

    def _tree(self, node: _Node, above: str = "") -> str:
        leaves = [
            (name, self._json_text(column) if above + name in self.structured else self._value(column))
            for name, columns in node.leaves.items()
            for column in columns
        ]
        below = ((name, self._tree(under, f"{above}{name}.")) for name, under in node.below.items())
        return _members([*leaves, *below])

    def _json_text(self, column: Column) -> str:
        """SQL: an object or a list that may have come as text."""
        if column.kind.id not in {"varchar", "blob"}:
            return self._value(column)
        written = column.as_text
        is_one = f"regexp_matches({written}, '^\\s*[\\[{{]') AND json_valid({written})"
        return f"CASE WHEN {is_one} THEN {one_line(written)} ELSE {self._value(column)} END"

    def _value(self, column: Column, depth: int = 0) -> str:  # noqa: C901, PLR0911 - one branch a kind
        """SQL: the value as JSON text, NULL where it is absent."""
        value, kind = column.sql, column.kind.id
        if str(column.kind) == "JSON":
            written = column.as_text
            line = f"CASE WHEN json_valid({written}) THEN {one_line(written)} ELSE {_json(written)} END"
            return f"nullif({line}, 'null')"
        if kind in _NUMBERS | {"boolean", "decimal"}:
            return f"{value}::VARCHAR"
        if kind in {"double", "float"}:
            whole = f"{value} = trunc({value}) AND abs({value}) < {_EXACT}"
            number = f"CASE WHEN {whole} THEN {value}::BIGINT::VARCHAR ELSE {value}::VARCHAR END"
            return (
                f"CASE WHEN isfinite({value}) THEN {number} WHEN isinf({value}) THEN {_json(f'{value}::VARCHAR')} END"
            )
        if kind in _MOMENTS:
            return _moment(f"epoch_us({value})")
        if kind in _NANOSECONDS:
            return _moment(f"epoch_ns({value}) // 1000")
        if kind in _TEXTS:
            return _json(f"{value}::VARCHAR")
        if kind == "blob":
            return _json(f"lower(hex({value}))" if column.path in self.fixed else column.as_text)
        if kind == "struct":
            members = [column.member(name, below) for name, below in column.kind.children]
            return _members((member.path[-1], self._value(member, depth)) for member in members)
        if kind in {"list", "array"}:
            item = Column((*column.path, "list", "element"), f"e{depth}", dict(column.kind.children)["child"])
            items = f"list_transform({value}, lambda e{depth}: coalesce({self._value(item, depth + 1)}, 'null'))"
            return f"CASE WHEN len({value}) > 0 THEN '[' || array_to_string({items}, ',') || ']' END"
        if kind == "map":
            return self._map(column, depth)
        if kind in {"null", '"null"', "sqlnull"}:
            return "NULL::VARCHAR"
        name = ".".join(column.path)
        message = f"column {name!r} is of type {column.kind}, which no record holds; leave it out or make it text"
        raise Unreadable(message)

    def _map(self, column: Column, depth: int) -> str:
        kinds = dict(column.kind.children)
        if kinds["key"].id not in _TEXTS | _NUMBERS:
            raise Unreadable(f"column {'.'.join(column.path)!r} is a map whose keys are no text; write it as a struct")
        held = Column((*column.path, "key_value", "value"), f"e{depth}.value", kinds["value"])
        member = f"{_json(f'e{depth}.key::VARCHAR')} || ':' || {self._value(held, depth + 1)}"
        members = f"list_transform(map_entries({column.sql}), lambda e{depth}: {member})"
        return f"nullif('{{' || array_to_string(list_filter({members}, lambda m: m IS NOT NULL), ',') || '}}', '{{}}')"


@dataclass
class _Node:
    """A place in a nested record.

    Attributes:
        leaves: columns by name. Two of one name are two forms of a field; a row that fills both says a key twice.
        below: nodes by name.
    """

    leaves: dict[str, list[Column]] = field(default_factory=dict)
    below: dict[str, _Node] = field(default_factory=dict)

    def plant(self, column: Column, name: str) -> None:
        """Put a column, or the members of a struct, where its name says."""
        *above, leaf = name.split(".") if all(name.split(".")) else [name]
        node = self
        for part in above:
            node = node.below.setdefault(part, _Node())
        if column.kind.id == "struct":
            node = node.below.setdefault(leaf, _Node())
            for member, kind in column.kind.children:
                node.plant(column.member(member, kind), member)
        else:
            node.leaves.setdefault(leaf, []).append(column)


def one_line(written: str) -> str:
    """SQL: JSON text without line ends, which stand only between its values."""
    return f"replace({written}, chr(10), ' ')"


def fixed_paths(schema: Sequence[tuple[str, str, int]]) -> set[tuple[str, ...]]:
    """Paths of the columns of a fixed number of bytes.

    Args:
        schema: (name, physical type, number of members), a group before its members, the row first.
    """
    groups: list[tuple[tuple[str, ...], int]] = [((), schema[0][2])]
    found = set()
    for name, physical, members in schema[1:]:
        while len(groups) > 1 and not groups[-1][1]:
            groups.pop()
        above, left = groups[-1]
        groups[-1] = above, left - 1
        path = (*above, name)
        if members:
            groups.append((path, members))
        elif physical == "FIXED_LEN_BYTE_ARRAY":
            found.add(path)
    return found


def _members(values: Iterable[tuple[str, str]]) -> str:
    """SQL: a JSON object of the members that are there, NULL where none is."""
    members = [f"{text(json.dumps(name) + ':')} || {value}" for name, value in values]
    return f"nullif('{{' || concat_ws(',', {', '.join(members)}) || '}}', '{{}}')" if members else "NULL::VARCHAR"


def _json(value: str) -> str:
    """SQL: a text as JSON, NULL where it is empty."""
    return f"to_json(nullif({value}, ''))::VARCHAR"


def _moment(microseconds: str) -> str:
    """SQL: a time as JSON, NULL where it lies beyond what can be written."""
    written = f"strftime(make_timestamp({microseconds}), '%Y-%m-%dT%H:%M:%S.%fZ')"
    return f"TRY({_json(written)})"
