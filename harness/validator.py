"""Whether a line meets the event schema, and what is wrong with it if not.

The compiled validator judges every record against a strict form of the schema (nothing unknown, nothing derived,
each stage's own fields there). A record that passes has nothing to be said about it; only the others are read with
care, brought into canonical form, and judged by the schema itself.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import orjson

from backends.absence import PROVENANCE
from backends.vocabulary import Field, Vocabulary
from harness.canonical import Reader, Remark

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEEPEST = 200
"""Levels of objects and lists in one record, as a scan reads them; no field lies deeper than five."""

LONG = 1 << 20
"""Bytes beyond which a line is mentioned: many collectors cut longer ones."""

_JUDGED = ("type", "enum", "items", "pattern", "format", "minimum", "maximum")
_SHOWN = 48
_SPACED_KEY = re.compile(rb'"[ \t\r]+:')
_SECRET = re.compile(r"eyJ|bearer |gh[pousr]_|sk-|xox", re.IGNORECASE)
_KINDS = {
    "keyword": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "time": "an RFC 3339 time such as 2026-03-02T09:15:04Z",
}


class Validator:
    """Judges lines against one event schema.

    Args:
        schema: the parsed ``event.schema.json``.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.vocabulary = Vocabulary.of(schema)
        self._reader = Reader(self.vocabulary)
        self._schema = jsonschema_rs.Draft202012Validator(dict(schema), validate_formats=True)
        self._must: dict[str | None, list[Field]] = {
            stage: [f for f in self.vocabulary.raw.values() if stage in f.must] for stage in self.vocabulary.stages
        }
        self._must[None] = [self.vocabulary.fields["mcp.method.name"]]  # protocol traffic has a method and no stage
        self._strict = {
            stage: jsonschema_rs.Draft202012Validator(_strict(schema, fields), validate_formats=True)
            for stage, fields in self._must.items()
        }

    def check(self, line: bytes) -> Sequence[Remark]:
        """What there is to say about a line without its newline; nothing when all is well."""
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as broken:
            return [Remark("", _not_json(line, broken))]
        if type(record) is not dict:
            return [Remark("", f"a JSON object is expected, one record a line; found {_show(record)}")]
        return () if self._passes_at_once(line, record) else self._careful(line, record)

    def _passes_at_once(self, line: bytes, record: dict[str, Any]) -> bool:
        plain = len(line) < LONG and b"\\u0000" not in line
        return plain and self._clean(record) and _plainly_unique(line, record)

    def _clean(self, record: dict[str, Any]) -> bool:
        chain = record.get("chain")
        stage = chain.get("stage") if type(chain) is dict else None
        strict = self._strict.get(stage) if stage is None or type(stage) is str else None
        try:
            return strict is not None and strict.is_valid(record)
        except ValueError:  # nested deeper than the compiled validator follows
            return False

    def _careful(self, line: bytes, record: dict[str, Any]) -> list[Remark]:
        if line.count(b"{") + line.count(b"[") > DEEPEST and (levels := _depth(record)) > DEEPEST:
            return [Remark("", f"the record is nested {levels:,} levels deep; at most {DEEPEST} are read")]
        if not _plainly_unique(line, record) and (twice := given_twice(line)):
            return [Remark("", f"the key {_quoted(key)} is given twice in one object") for key in twice]
        result = self._reader.read(record)
        remarks = [*self.judge(result.record), *result.remarks, *self._lacking(result.record)]
        if len(line) >= LONG:
            message = f"the line is longer than {LONG:,} bytes; many collectors cut such lines"
            remarks.append(Remark("", message, error=False))
        return remarks

    def judge(self, record: dict[str, Any]) -> list[Remark]:
        """Judge a canonical record by the schema: one remark a field, in the schema's own order of errors."""
        found: dict[str, Remark] = {}
        if self._schema.is_valid(record):
            return []
        for error in self._schema.iter_errors(record):
            path = list(error.instance_path)
            if error.kind.name == "required":
                for missing in [name for name in ("@timestamp",) if name not in record]:
                    found.setdefault(missing, Remark(missing, "is missing; without a time a record has no place"))
                continue
            name = ".".join(step for step in path if isinstance(step, str))
            declared = self.vocabulary.fields.get(name)
            expected = _expected(declared, whole=not path or isinstance(path[-1], str))
            message = (
                f"{expected} is expected, found {_show(error.instance, hidden=bool(declared and declared.sensitive))}"
            )
            found.setdefault(name, Remark(name, message))
        return list(found.values())

    def _lacking(self, record: dict[str, Any]) -> list[Remark]:
        stage = _at(record, "chain.stage")
        if stage is None:
            if _at(record, "mcp.method.name") is not None:
                return []
            return [Remark("chain.stage", "is missing: nothing says what kind of event this is", error=False)]
        lacking = [
            f.name for f in self._must.get(stage if type(stage) is str else "", ()) if _at(record, f.name) is None
        ]
        message = f"is missing; every {stage} record carries it"
        return [Remark(name, message, error=False) for name in lacking if name != "@timestamp"]


def _strict(schema: Mapping[str, Any], must: Sequence[Field]) -> dict[str, Any]:
    """The schema with nothing unknown and nothing derived allowed, and with these fields required and not null."""
    tree = _closed(schema)
    tree["properties"][PROVENANCE] = {"type": "object"}
    for field in must:
        node = tree
        for key in field.path:
            node.setdefault("required", [])
            if key not in node["required"]:
                node["required"].append(key)
            node = node["properties"][key]
        for holder in (node,):
            holder["type"] = (
                [t for t in holder["type"] if t != "null"] if isinstance(holder["type"], list) else "string"
            )
            holder["minLength"] = 1
    tree["required"] = sorted({*tree.get("required", ()), "@timestamp"})
    return tree


def _closed(node: Mapping[str, Any]) -> dict[str, Any]:
    if "properties" not in node:
        return {key: node[key] for key in _JUDGED if key in node}
    known = {
        key: _closed(below)
        for key, below in node["properties"].items()
        if "properties" in below or not below["x-derived"]
    }
    return {"type": "object", "properties": known, "additionalProperties": False}


def _plainly_unique(line: bytes, record: dict[str, Any]) -> bool:
    r"""True when no object of the line can hold a key twice; False when it has to be looked at closely.

    Written out again, a record has as many ``":`` as its line unless a key was given twice. Escapes such as
    ``\\u0022`` and space before a colon would upset the count, so lines with them are looked at closely.
    """
    written = orjson.dumps(record)
    if written == line:
        return True
    if b"\\u" in line or _SPACED_KEY.search(line):
        return not given_twice(line)
    return written.count(b'":') == line.count(b'":')


def given_twice(text: bytes | str) -> list[str]:
    """Keys that some object of a JSON text gives more than once."""
    twice: dict[str, None] = {}

    def keys(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                twice[key] = None
            seen.add(key)

    json.loads(text, object_pairs_hook=keys, parse_int=str, parse_float=str)
    return list(twice)


def _depth(record: Any) -> int:
    deepest, open_nodes = 0, [(record, 1)]
    while open_nodes:
        node, level = open_nodes.pop()
        deepest = max(deepest, level)
        below = node.values() if isinstance(node, dict) else node
        open_nodes.extend((child, level + 1) for child in below if isinstance(child, dict | list))
    return deepest


def _not_json(line: bytes, broken: orjson.JSONDecodeError) -> str:
    if (nul := line.find(b"\0")) >= 0:
        return f"byte {nul + 1:,} of the line is NUL"
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as undecodable:
        return f"byte {undecodable.start + 1:,} of the line is not UTF-8"
    if "depth" in broken.msg or "recursion" in broken.msg.lower():
        return f"the record is nested very deep; at most {DEEPEST} are read"
    return f"the line is not JSON: {broken.msg.split(':')[0]} at character {broken.pos + 1:,} of {len(line):,}"


def _expected(declared: Field | None, *, whole: bool) -> str:
    if declared is None:
        return "an object with fields"
    if declared.enum:
        return f"one of {', '.join(declared.enum)}"
    if declared.array:
        return f"a list of {_KINDS[declared.kind]}" if whole else f"{_KINDS[declared.kind]} in each item"
    unit = f" of {declared.unit}" if declared.unit in {"bytes", "characters"} else ""
    least = ", not negative," if declared.kind == "integer" else ""
    return f"{_KINDS[declared.kind]}{unit}{least}"


def _show(value: Any, *, hidden: bool = False) -> str:
    """What was found, in words; long text, secrets and personal data are not repeated."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value):,}"
    if value is None:
        return "null"
    if not isinstance(value, str):
        return f"the {'boolean' if isinstance(value, bool) else 'number'} {json.dumps(value)}"
    if hidden or len(value) > _SHOWN or _SECRET.search(value):
        return f"a text of {len(value):,} characters"
    return f"the text {_quoted(value)}"


def _quoted(text: str) -> str:
    return json.dumps(text if len(text) <= _SHOWN else text[:_SHOWN] + "…", ensure_ascii=False)


def _at(record: dict[str, Any], name: str) -> Any:
    node: Any = record
    for key in name.split("."):
        if not isinstance(node, dict):
            return None
        node = node.get(key)
    return node
