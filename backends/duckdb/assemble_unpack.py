"""Lines as records: a line is one record, or an OTLP export that holds many (`backends.otlp`).

Each record keeps the byte offset of its line. What is malformed inside an export becomes a record with a reason: it is
set aside alone, and the line's other records are read. A line is parsed once as a whole and each record once more,
since every JSON function holds the trees of a batch of long lines in memory.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from backends.otlp import MEMBERS, SIGNALS, VALUES

if TYPE_CHECKING:
    from backends.sources import SourceMap

_VALUE = {kind: "JSON" if kind in {"arrayValue", "kvlistValue"} else "VARCHAR" for kind in VALUES}
_ATTRIBUTES = [{"key": "VARCHAR", "value": _VALUE}]
_EXPORT = {
    signal: [
        {"resource": {"attributes": _ATTRIBUTES}, scopes: [{"scope": {"name": "VARCHAR"}, found: ["JSON"]}]},
    ]
    for signal, (scopes, found) in SIGNALS.items()
}
_RECORD = {
    **{member: "JSON" if member == "status" else "VARCHAR" for member in MEMBERS},
    "body": _VALUE,
    "attributes": _ATTRIBUTES,
}
_UNREADABLE = "{shared: NULL, scopes: [{scope: NULL, records: [NULL]}]}"
"""A resource with one record that is none."""


def records(source: SourceMap) -> str:
    """SELECT over ``log_line``, in its order: file, "offset", number, doc (JSON text), misread (a reason, or null)."""
    line = 'SELECT file, "offset", number, CASE WHEN json_valid(line) THEN line END AS doc FROM log_line'
    checked = f"SELECT *, {_keys_twice('doc')} AS misread FROM ({line})"
    plain = "CASE WHEN doc IS NULL THEN 'it is not valid JSON' ELSE misread END"
    if source.unpack != "otlp":
        return f"SELECT * REPLACE ({plain} AS misread) FROM ({checked})"
    marked = " OR ".join(f"contains(doc, '\"{signal}\"')" for signal in SIGNALS)
    exported = " OR ".join(f"export.{signal} IS NOT NULL" for signal in SIGNALS)
    resources = ", ".join(_resources(signal) for signal in SIGNALS)
    members = ", ".join(f"'{member}', typed.{member}" for member in MEMBERS)
    return f"""
        WITH lines AS (
          SELECT * REPLACE ({plain} AS misread), CASE WHEN misread IS NULL AND ({marked})
            THEN from_json(doc, {_shape(_EXPORT)}) END AS export
          FROM ({checked})
        ), resources AS (
          SELECT file, "offset", number, misread, CASE WHEN NOT coalesce({exported}, false) THEN doc END AS doc,
            unnest(CASE WHEN {exported} THEN list_concat({resources}, {_misplaced()})
              ELSE [{_UNREADABLE}] END) AS resource
          FROM lines
        ), scopes AS (
          SELECT * EXCLUDE (resource), resource.shared AS shared, unnest(resource.scopes) AS one FROM resources
        ), found AS (
          SELECT * EXCLUDE (one), one.scope AS scope, unnest(one.records) AS record FROM scopes
        ), parsed AS (
          SELECT *, CASE WHEN json_type(record) = 'OBJECT' THEN from_json(record, {_shape(_RECORD)}) END AS typed FROM found
        )
        SELECT file, "offset", number,
          CASE WHEN doc IS NOT NULL OR misread IS NOT NULL THEN misread
            WHEN typed IS NULL THEN 'the export holds something else where a list or an object belongs'
            ELSE coalesce({_keys_twice("record")}, {_muddled("typed.attributes")}, {_muddled("shared")},
              CASE WHEN typed.attributes IS NULL AND json_type(record, '$.attributes') <> 'NULL'
                THEN 'attributes are no list' END) END AS misread,
          CASE WHEN typed IS NULL THEN doc ELSE json_object({members}, 'body', {_plain("typed.body")}::JSON,
            'attributes', {_object("typed.attributes")}, 'resource', {_object("shared")}, 'scope', scope)::VARCHAR END AS doc
        FROM parsed
    """


def _keys_twice(doc: str) -> str:
    return f"CASE WHEN len(json_keys({doc})) <> len(list_distinct(json_keys({doc}))) THEN 'a key occurs twice' END"


def _shape(shape: object) -> str:
    return "'" + json.dumps(shape) + "'"


def _resources(signal: str) -> str:
    """The resources of one signal: {shared: its attributes, scopes: [{scope: its name, records: [JSON]}]}."""
    scopes, found = SIGNALS[signal]
    scope = f"list_transform(r.{scopes}, lambda s: {{scope: s.scope.name, records: s.{found}}})"
    return (
        f"coalesce(list_transform(export.{signal}, lambda r: {{shared: r.resource.attributes, scopes: {scope}}}), [])"
    )


def _misplaced() -> str:
    """One record that can't be read, for an export in which something else stands where a list or an object belongs."""
    # only where a list was not found, the types are looked at
    lacking = " OR ".join(
        f"len(list_filter(export.{signal}, lambda r: r.{scopes} IS NULL "
        f"OR len(list_filter(r.{scopes}, lambda s: s.{found} IS NULL)) > 0)) > 0"
        for signal, (scopes, found) in SIGNALS.items()
    )
    wrong = " OR ".join(
        f"len(list_filter(json_type(doc, '$.{signal}[*]{path}'), lambda kind: kind NOT IN ('{kind}', 'NULL'))) > 0"
        for signal, (scopes, found) in SIGNALS.items()
        for path, kind in (
            ("", "OBJECT"),
            (f".{scopes}", "ARRAY"),
            (f".{scopes}[*]", "OBJECT"),
            (f".{scopes}[*].{found}", "ARRAY"),
        )
    )
    return f"CASE WHEN {lacking} THEN CASE WHEN {wrong} THEN [{_UNREADABLE}] ELSE [] END ELSE [] END"


def _object(pairs: str) -> str:
    """A list of keys and values as a JSON object."""
    pair = f"to_json(pair.key)::VARCHAR || ':' || {_plain('pair.value')}"
    return f"('{{' || array_to_string(list_transform({pairs}, lambda pair: {pair}), ',') || '}}')::JSON"


def _muddled(pairs: str) -> str:
    """SQL that says what is wrong with a list of attributes, else null."""
    keys = f"list_transform({pairs}, lambda pair: pair.key)"
    return (
        f"CASE WHEN list_position({keys}, NULL) IS NOT NULL THEN 'an attribute has no key' "
        f"WHEN len(list_distinct({keys})) < len({keys}) THEN 'an attribute occurs twice' END"
    )


def _plain(value: str) -> str:
    """An attribute's value as JSON text without the name of its type."""
    scalars = ", ".join(f"{value}.{kind}" for kind, form in _VALUE.items() if form == "VARCHAR")
    others = ", ".join(f"{value}.{kind}::VARCHAR" for kind, form in _VALUE.items() if form == "JSON")
    return f"coalesce(to_json(coalesce({scalars}))::VARCHAR, {others}, 'null')"
