"""From a line of JSON to typed columns: the SELECT that every scan begins with, made from the vocabulary.

One `json_transform` with an explicit type reads a line; nothing is inferred. What that reading could have got wrong in
silence (an unknown shape, a duplicate key, a value of another type, dotted keys) makes the line *suspect*: a suspect
line is looked at again in SQL, and what still is not plain goes to the careful reader (`backends.duckdb.careful`).
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from backends.vocabulary import Field, Vocabulary

ARGUMENTS = "gen_ai.tool.call.arguments"
"""The one field whose value may be an object: it is kept as JSON text."""

PROVENANCE = "countersign.records"
"""Which native records a line was assembled from: ``[[file, offset], ...]``."""


KEY: Final = 1
ARRAY: Final = 1 << 10
OBJECT: Final = 1 << 18
"""What a key counts in the shape of a line, and what it counts besides if its value is an array or an object."""

Seen = frozenset[str] | None
"""Fields that a sample of the log holds; None for all. Only these are read from a line in the first pass: a field that
nobody sends costs as much as one that everybody does. A line that holds another known field is suspect, and is read
again with all fields."""


LARGEST = {"number": sys.float_info.max, "integer": 2.0**63}
"""The largest size that a number of a kind may have."""


PLAIN = {
    "number": r"-?(0|[1-9]\d{0,14})(\.\d{1,9})?",
    "integer": r"-?(0|[1-9]\d{0,14})",
    "time": r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):\d\d:\d\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)|\d{9,19}",
}
"""Texts that each reader of a kind takes alike. DuckDB's casts take more, such as ``1_000`` or a time without a zone: what
looks otherwise goes to the careful reader, which says what `backends.absence` says."""


def _read(vocabulary: Vocabulary, seen: Seen) -> list[Field]:
    always = {"@timestamp", "chain.stage"}
    return [f for f in vocabulary.fields.values() if seen is None or f.name in seen or f.name in always]


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """An SQL string literal; NUL cannot stand in one and is written as chr(0)."""
    return "||chr(0)||".join("'" + part.replace("'", "''") + "'" for part in value.split("\0"))


def tree(vocabulary: Vocabulary, seen: Seen = None) -> dict[str, Any]:
    """The type of a record as `json_transform` takes it: nested objects of ``VARCHAR`` or ``["VARCHAR"]``."""
    root: dict[str, Any] = {}
    for field in _read(vocabulary, seen):
        node = root
        *parents, leaf = field.path
        for key in parents:
            node = node.setdefault(key, {})
        node[leaf] = ["VARCHAR"] if field.array else "VARCHAR"
    root["countersign"] = {"records": "VARCHAR", "identity": "VARCHAR"}
    return root


def _nodes(node: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, below in node.items():
        yield (*path, key)
        if isinstance(below, dict):
            yield from _nodes(below, (*path, key))


def _at(path: tuple[str, ...]) -> str:
    return quoted("t." + ".".join(path))


def _json_path(path: tuple[str, ...]) -> str:
    return "$" + "".join(f'."{key}"' for key in path)


def parsed(source: str, vocabulary: Vocabulary, seen: Seen = None) -> str:
    """SELECT of ``line, shape, file, offset, number, t`` where ``t`` is the typed record, NULL when the line is no JSON."""
    spec = json.dumps(tree(vocabulary, seen))
    return f'SELECT line, countersign_line(line) AS line_hash, shape, file, "offset", number, TRY(json_transform(line, {text(spec)})) AS t FROM {source}'


def opened(source: str, vocabulary: Vocabulary, seen: Seen = None) -> str:
    """SELECT of one column a leaf, named ``t.<dotted name>``, and ``found``, the shape of what was found, from `parsed`.

    The record is taken apart one level a SELECT. Reading a leaf straight from the root makes DuckDB touch every vector of
    the record for every leaf: with two hundred leaves that cost more than parsing did. What was found is counted the same
    way back, each object from what it holds: so every leaf is looked at once.
    """
    always = 'line, line_hash, shape, file, "offset", number'
    shape = tree(vocabulary, seen)
    held: dict[tuple[str, ...], Any] = {(): shape}
    sql = f"SELECT {always}, t IS NOT NULL AS parsed, t AS {_at(())} FROM ({parsed(source, vocabulary, seen)})"
    while any(isinstance(below, dict) for below in held.values()):
        columns, deeper = [], {}
        for path, below in held.items():
            if isinstance(below, dict):
                for key, child in below.items():
                    columns.append(f"{_at(path)}[{text(key)}] AS {_at((*path, key))}")
                    deeper[(*path, key)] = child
            else:
                columns.append(_at(path))
                deeper[path] = below
        sql = f"SELECT {always}, parsed, {', '.join(columns)} FROM ({sql})"
        held = deeper
    objects = [path for path in _nodes(shape) if isinstance(_below(shape, path), dict)]
    for depth in range(max(map(len, objects)), -1, -1):
        counts = [f"{_found(shape, path)} AS {_counted(path)}" for path in [(), *objects] if len(path) == depth]
        below_it = [path for path in objects if len(path) == depth + 1]
        without = f" EXCLUDE ({', '.join(map(_counted, below_it))})" if below_it else ""
        sql = f"SELECT *{without}, {', '.join(counts)} FROM ({sql})"
    return sql


def _counted(path: tuple[str, ...]) -> str:
    return quoted("n." + ".".join(path)) if path else "found"


def _found(shape: Mapping[str, Any], path: tuple[str, ...]) -> str:
    """SQL: the shape of what an object holds. Itself it counts only if it holds something: a text reads as an empty one."""
    counts = []
    for key, below in _below(shape, path).items():
        inner = (*path, key)
        if isinstance(below, dict):
            counts.append(f"{_counted(inner)} + ({_counted(inner)} > 0)::INTEGER * {KEY + OBJECT}")
        else:
            listed = isinstance(below, list) or ".".join(inner) == PROVENANCE
            weight = f" * {KEY + ARRAY}" if listed else ""
            counts.append(f"({_at(inner)} IS NOT NULL)::INTEGER{weight}")
    return " + ".join(counts)


def flat(
    source: str, vocabulary: Vocabulary, seen: Seen = None, ours: Sequence[int] = (), *, by_content: bool = False
) -> str:
    """SELECT of one column a field, absence normalised, from `parsed`.

    A record is the same as another whose line is the same. With ``by_content``, it is if the fields are: one that was kept
    in columns has no text of its own. Where a record comes from, and which it is, is believed of the inputs ``ours``: a log
    may claim anything.

    Beside the fields: ``file, "offset", number``, ``provenance``, ``careful`` (true: the careful reader decides), and
    ``arrived`` (bits: which derived fields the log claimed to know, in the order of ``Vocabulary.derived``).
    """
    read = {field.name for field in _read(vocabulary, seen)}
    columns = [
        f"{_value(field) if name in read else _absent(field)} AS {quoted(name)}"
        for name, field in vocabulary.raw.items()
    ]
    arrived = " | ".join(
        f"(({_at(f.path)} IS NOT NULL)::UBIGINT << {bit})"
        for bit, f in enumerate(vocabulary.derived.values())
        if f.name in read
    )
    said, known = _at(("countersign", "records")), _at(("countersign", "identity"))
    written = f"file IN ({', '.join(str(int(index)) for index in ours)})" if ours else "false"
    # what a record is does not depend on where it lies: not on its provenance, nor on the form it was sent in
    identity = (
        f"CASE WHEN {written} THEN coalesce(TRY_CAST({known} AS UHUGEINT),"
        f" CASE WHEN {said} IS NOT NULL THEN md5_number(replace(line, {said}, '')) END, line_hash) ELSE line_hash END"
    )
    broken, loose, suspect, settled = _careful(vocabulary, seen)
    sent = {f: f"nullif({_at(f.path)}, '')" for f in _converted(vocabulary, seen)}
    typed = [f"{converted(field.kind, value)} AS {_typed(field)}" for field, value in sent.items()]
    values = f"SELECT *, {', '.join(typed)} FROM ({opened(source, vocabulary, seen)})"
    # an item that begins with a bracket may be text or an object: the careful reader has told them apart
    looked_at = f"SELECT *, {broken} OR (({loose}) AND NOT {written}) AS broken, {suspect} AS suspect FROM ({values})"
    claims = [f"{_at(f.path)} IS NOT NULL" for f in vocabulary.derived.values() if f.name in read]
    claimed = f"CASE WHEN {' OR '.join(claims)} THEN {arrived} ELSE 0::UBIGINT END" if claims else "0::UBIGINT"
    more = ""
    if by_content:
        more = f" {written} AND ({known} IS NOT NULL OR {said} IS NOT NULL) AS given, {_others(vocabulary)} AS others,"
    rows = (
        f'SELECT file, "offset", number, {identity} AS line_hash, CASE WHEN {written} THEN {said} END AS provenance,{more}\n'
        "  CASE WHEN broken IS TRUE THEN true WHEN suspect IS TRUE THEN " + settled + " ELSE false END AS careful,\n"
        f"  {claimed} AS arrived,\n  " + ",\n  ".join(columns) + f"\nFROM ({looked_at})"
    )
    if not by_content:
        return rows
    held = ", ".join(quoted(name) for name in vocabulary.raw)
    same = f"CASE WHEN careful OR given THEN line_hash ELSE md5_number(row({held}, others)::VARCHAR) END"
    return f"SELECT * EXCLUDE (given, others) REPLACE ({same} AS line_hash)\nFROM ({rows})"


def _others(vocabulary: Vocabulary) -> str:
    """SQL: what a line says beside the fields of the schema, keys with their values in a fixed order; else NULL."""

    def nothing(node: Mapping[str, Any]) -> dict[str, Any]:
        return {key: nothing(below) if isinstance(below, dict) else None for key, below in node.items()}

    pair = r""""(?:[^"\\]|\\.)*":(?:"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[^\[\]{},"]+)"""
    patched = f"TRY(json_merge_patch(line, {text(json.dumps(nothing(tree(vocabulary))))}))"
    pairs = f"list_sort(list_filter(regexp_extract_all({patched}, {text(pair)}), lambda p: NOT regexp_matches(p, ':(null|\"\"|\\[\\])$')))"
    return f"CASE WHEN broken IS NOT TRUE AND suspect IS TRUE THEN nullif({pairs}, []) END"


def _absent(field: Field) -> str:
    kinds = {"keyword": "VARCHAR", "number": "DOUBLE", "integer": "DOUBLE", "boolean": "BOOLEAN", "time": "BIGINT"}
    return f"NULL::{kinds[field.kind]}{'[]' * field.array}"


def _value(field: Field) -> str:
    at = _at(field.path)
    if field.array:
        # "" and null among the items are absent; looked for first, since most arrays hold none
        kept = f"list_filter({at}, lambda v: v IS NOT NULL AND v <> '')"
        rare = f"list_position({at}, '') IS NOT NULL OR list_position({at}, NULL) IS NOT NULL"
        some = f"CASE WHEN len({kept}) > 0 THEN {kept} END"
        return f"CASE WHEN {at} IS NULL OR len({at}) = 0 THEN NULL WHEN {rare} THEN {some} ELSE {at} END"
    if field.name == ARGUMENTS:  # an empty list and the text of one are told apart no more
        return f"nullif(nullif({at}, ''), '[]')"
    return f"nullif({at}, '')" if field.kind == "keyword" else _typed(field)


def _converted(vocabulary: Vocabulary, seen: Seen) -> list[Field]:
    """Fields of which a text is turned into another kind; ``@timestamp`` is always among them."""
    return [f for f in _read(vocabulary, seen) if not f.array and not f.derived and f.kind != "keyword"]


def _typed(field: Field) -> str:
    return quoted("v." + ".".join(field.path))


def converted(kind: str, value: str) -> str:
    """SQL that turns text into the kind; NULL where it can't be. Times are microseconds since 1970, UTC.

    Text such as ``inf``, and a number that no double or no 64-bit integer holds, are none: what is computed of them later
    would be an error for the whole log.
    """
    if kind in LARGEST:
        number = f"TRY_CAST({value} AS DOUBLE)"
        return f"CASE WHEN abs({number}) <= {LARGEST[kind]!r}::DOUBLE THEN {number} END"
    if kind == "boolean":
        return f"CASE lower({value}) WHEN 'true' THEN true WHEN 'false' THEN false END"
    if kind == "time":
        return time(value)
    return value


def time(value: str) -> str:
    """SQL that turns RFC 3339, or an epoch in s, ms, µs or ns, into microseconds since 1970 (BIGINT).

    NULL outside the years 1 to 9999, of which alone RFC 3339 can tell, and for an epoch number that `backends.absence`
    does not take for one.
    """
    number = f"TRY_CAST({value} AS DECIMAL(38, 9))"
    written = f"epoch_us(TRY_CAST({value} AS TIMESTAMPTZ))"
    return (
        f"CASE WHEN {value} IS NULL THEN NULL "
        # of the first and the last day, with its offset, some lies beyond; all others are read without a second look
        f"WHEN substr({value}, 5, 1) = '-' THEN CASE WHEN {value} BETWEEN '0001-01-02' AND '9999-12-31' THEN {written} "
        f"WHEN {told(written)} THEN {written} END "
        f"ELSE CASE WHEN {number} < 100000000 THEN NULL "
        f"WHEN {number} < 100000000000 THEN ({number} * 1000000)::BIGINT "
        f"WHEN {number} < 100000000000000 THEN ({number} * 1000)::BIGINT "
        f"WHEN {number} < 100000000000000000 THEN ({number})::BIGINT "
        f"WHEN {number} < 10000000000000000000 THEN ({number}::HUGEINT // 1000)::BIGINT END END"
    )


def told(microseconds: str) -> str:
    """SQL: a time, in microseconds since 1970, lies in the years 1 to 9999."""
    return f"{microseconds} BETWEEN -62135596800000000 AND 253402300799999999"


def _careful(vocabulary: Vocabulary, seen: Seen = None) -> tuple[str, str, str, str]:
    """SQL for: a line must be read carefully; so unless we wrote it; it is suspect; a suspect line must be read carefully.

    The shape of the text (`backends.duckdb.shape`) is held against that of what the typed reading found. They differ for
    an unknown field, a null, a duplicate, a dotted name, a value of another kind than its field. Only then the dearer look:
    duplicates, dots, and the JSON type of every known node.
    """
    read = _read(vocabulary, seen)
    unread = [f for f in vocabulary.fields.values() if f not in read]
    # of all objects of the schema, also those of which the sample held no field
    whole = tree(vocabulary)
    objects = [path for path in _nodes(whole) if isinstance(_below(whole, path), dict)]
    arrays = [f for f in read if f.array]
    paths = "[" + ", ".join(text(_json_path(path)) for path in [(), *objects]) + "]"
    keys = f"json_keys(line, {paths})"
    doubled = f"len(list_filter({keys}, lambda k: len(k) <> len(list_distinct(k)))) > 0"
    dotted = f"len(list_filter(flatten({keys}), lambda k: contains(k, '.'))) > 0"
    types = f"json_type(line, [{', '.join(text(_json_path(path)) for path in objects)}])"
    not_object = f"len(list_filter({types}, lambda k: k NOT IN ('OBJECT', 'NULL'))) > 0"
    not_array = _any_type(arrays, "k NOT IN ('ARRAY', 'NULL')")
    scalars = [f for f in read if not f.array and not f.derived]
    not_scalar = _any_type([f for f in scalars if f.name != ARGUMENTS], "k IN ('OBJECT', 'ARRAY')")
    beyond = _any_type(unread, "k IS NOT NULL")
    lost = " OR ".join(f"({_at(f.path)} <> '' AND {_typed(f)} IS NULL)" for f in _converted(vocabulary, seen))
    loose = [
        f"({_at(f.path)} <> '' AND NOT regexp_full_match({_at(f.path)}, {text(PLAIN[f.kind])}))"
        for f in _converted(vocabulary, seen)
        if f.kind in PLAIN
    ]
    loose += [
        f"len(list_filter({_at(f.path)}, lambda v: starts_with(v, '{{') OR starts_with(v, '['))) > 0"
        for f in arrays
        if not f.derived
    ]
    time_absent = f"coalesce({_at(('@timestamp',))}, '') = ''"
    # not one CASE over all of it: what stands in a later branch is read through a selection, column by column
    broken = f"(NOT parsed OR {time_absent} OR {lost})"
    suspect = "shape <> found"
    settled = f"({not_object} OR {not_array} OR {dotted} OR {doubled} OR {not_scalar} OR {beyond})"
    return broken, " OR ".join(loose), suspect, settled


def _any_type(fields: list[Field], wanted: str) -> str:
    """SQL: one of the fields has a JSON type ``k`` that is wanted."""
    if not fields:
        return "false"
    types = f"json_type(line, [{', '.join(text(_json_path(f.path)) for f in fields)}])"
    return f"len(list_filter({types}, lambda k: {wanted})) > 0"


def _below(node: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    below: Any = node
    for key in path:
        below = below[key]
    return below
