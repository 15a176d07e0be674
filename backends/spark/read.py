"""The team's data as `countersign_records`: a column a field, by its dotted name, in the field's own type.

A source may hold nested fields or dotted columns, texts or typed columns. It needs nothing but Python and Spark's SQL:
the Spark package carries this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TYPES = {"keyword": "STRING", "number": "DOUBLE", "integer": "DOUBLE", "boolean": "BOOLEAN", "time": "TIMESTAMP"}
NATIVE = {
    "number": frozenset({"double", "float", "bigint", "int", "smallint", "tinyint"}),
    "integer": frozenset({"double", "float", "bigint", "int", "smallint", "tinyint"}),
    "boolean": frozenset({"boolean"}),
    "time": frozenset({"timestamp", "timestamp_ntz", "date"}),
    "keyword": frozenset({"string"}),
}
CORRUPT = "_corrupt_record"


def quoted(*names: str) -> str:
    """A column's path."""
    return ".".join("`" + name.replace("`", "``") + "`" for name in names)


def json_schema(kinds: Mapping[str, str]) -> str:
    """The schema by which JSON is read: nested and dotted names, values as text, so that none is lost in silence."""
    tree: dict[str, Any] = {}
    for name, kind in kinds.items():
        *parents, leaf = name.split(".")
        node = tree
        for key in parents:
            node = node.setdefault(key, {})
        node[leaf] = _text(kind)

    def said(node: Any) -> str:
        if isinstance(node, str):
            return node
        return f"STRUCT<{', '.join(f'{quoted(key)}: {said(below)}' for key, below in node.items())}>"

    columns = [f"{quoted(key)} {said(below)}" for key, below in tree.items()]
    columns += [f"{quoted(name)} {_text(kind)}" for name, kind in kinds.items() if "." in name]
    return ", ".join([*columns, f"{CORRUPT} STRING"])


def _text(kind: str) -> str:
    return "ARRAY<STRING>" if kind.endswith("[]") else "STRING"


def leaves(schema: Mapping[str, Any], above: tuple[str, ...] = ()) -> dict[str, list[tuple[tuple[str, ...], str]]]:
    """Dotted name → where it is found and its type, from a schema as Spark gives it in JSON."""
    found: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for column in schema["fields"]:
        path, of = (*above, column["name"]), column["type"]
        if isinstance(of, dict) and of["type"] == "struct":
            for name, places in leaves(of, path).items():
                found.setdefault(name, []).extend(places)
        else:
            found.setdefault(".".join(path), []).append((path, _named(of)))
    return found


def _named(of: Any) -> str:
    if isinstance(of, dict):
        return f"array<{_named(of['elementType'])}>" if of["type"] == "array" else str(of["type"])
    return {"long": "bigint", "integer": "int", "short": "smallint", "byte": "tinyint"}.get(str(of), str(of))


def records(source: str, schema: Mapping[str, Any], kinds: Mapping[str, str]) -> str:
    """A query over the source: every field in its type, and ``cs_wrong``: what can't be read, "" where all can.

    Args:
        source: SQL of a table.
        schema: of the source, as Spark gives it in JSON.
        kinds: field → kind, ``[]`` behind that of an array.
    """
    there = leaves(schema)
    columns, wrong = [], []
    for name, kind in kinds.items():
        places = there.get(name, [])
        value = _value(kind, places)
        columns.append(f"{value} AS {quoted(name)}")
        sent = [quoted(*path) for path, of in places if of == "string" and kind not in {"keyword", "keyword[]"}]
        if sent:
            wrong.append(f"CASE WHEN coalesce({', '.join(sent)}, '') <> '' AND ({value}) IS NULL THEN '{name}' END")
    if CORRUPT in there:
        wrong.append(f"CASE WHEN {CORRUPT} IS NOT NULL THEN 'the line is no such JSON' END")
    wrong.append(f"CASE WHEN ({_value('time', there.get('@timestamp', []))}) IS NULL THEN 'no @timestamp' END")
    return f"SELECT {', '.join(columns)},\n  concat_ws(', ', {', '.join(wrong)}) AS cs_wrong\nFROM {source}"


def _value(kind: str, places: Iterable[tuple[tuple[str, ...], str]]) -> str:
    values = [_converted(kind, quoted(*path), of) for path, of in places]
    kind_of = f"ARRAY<{TYPES[kind[:-2]]}>" if kind.endswith("[]") else TYPES[kind]
    if not values:
        return f"CAST(NULL AS {kind_of})"
    return values[0] if len(values) == 1 else f"coalesce({', '.join(values)})"


def _converted(kind: str, at: str, of: str) -> str:
    if kind.endswith("[]"):
        one = f"array(CAST({at} AS STRING))" if "<" not in of else f"CAST({at} AS ARRAY<STRING>)"
        return at if of == "array<string>" else one
    if of in NATIVE[kind]:
        return at if of == "string" else f"CAST({at} AS {TYPES[kind]})"
    if of in {"map", "variant"} or "<" in of:
        return f"to_json({at})"
    text = f"nullif(CAST({at} AS STRING), '')"
    if kind == "boolean":
        return f"CASE lower({text}) WHEN 'true' THEN true WHEN 'false' THEN false END"
    if kind == "time":
        return _time(text)
    return text if kind == "keyword" else f"try_cast({text} AS DOUBLE)"


def _time(text: str) -> str:
    """RFC 3339, or an epoch in s, ms, µs or ns, told apart by its size."""
    number = f"try_cast({text} AS DECIMAL(38, 9))"
    units = ((10**11, "* 1000000"), (10**14, "* 1000"), (10**17, ""))
    cases = " ".join(
        f"WHEN abs({number}) < {below} THEN timestamp_micros(CAST({number} {unit} AS BIGINT))" for below, unit in units
    )
    return (
        f"CASE WHEN substr({text}, 5, 1) = '-' THEN try_cast({text} AS TIMESTAMP) {cases} "
        f"ELSE timestamp_micros(CAST({number} / 1000 AS BIGINT)) END"
    )
