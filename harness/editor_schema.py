"""What an editor checks a Sigma rule or filter by, and completes from: fields of the schemas, and Sigma's own keys.

Written from the "Sigma Rules Specification" 2.0.0, "Sigma Filters Specification" 2.1.0 and "Sigma Correlation Rules
Specification" 2.1.0, as far as this project follows them; the fields are those of the event and chain schemas.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from backends.correlation import KINDS
from backends.vocabulary import Vocabulary
from harness.rule_file import LEVELS, PRODUCT, SERVICES

if TYPE_CHECKING:
    from harness.paths import Root

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXT = {"type": "string", "minLength": 1}
_UUID = {"type": "string", "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"}
_NAMES = {"type": "array", "minItems": 1, "items": _TEXT}
_DATE = {"description": "The day, as 2026-11-23.", "type": "string", "format": "date"}
_LOGSOURCE = {
    "description": "event: one record. chain: the whole way from the prompt to the change.",
    "type": "object",
    "required": ["product", "service"],
    "properties": {"product": {"const": PRODUCT}, "service": {"enum": list(SERVICES)}},
}
_ABOUT: dict[str, Any] = {
    "title": {"description": "What it finds or spares, in a few words.", **_TEXT, "maxLength": 256},
    "id": {"description": "A UUID of version 4, made for this file alone.", **_UUID},
    "name": {"description": "What correlations and filters may call it by.", **_TEXT},
    "status": {"enum": ["stable", "test", "experimental", "deprecated", "unsupported"]},
    "description": {"description": "What happened, and why it matters.", **_TEXT},
    "references": {"type": "array", "items": _TEXT},
    "author": _TEXT,
    "date": _DATE,
    "modified": _DATE,
    "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z0-9_-]+\\.[a-z0-9_.-]+$"}},
    "falsepositives": {"description": "Benign situations, each with what tells it apart.", "type": "array"},
    "level": {"enum": list(LEVELS)},
}


def rule_schema(root: Root) -> str:
    """``rule.schema.json``: a rule on single records, a correlation, or a base rule of one."""
    correlation = {
        "type": "object",
        "required": ["type", "rules", "timespan"],
        "properties": {
            "type": {"enum": list(KINDS)},
            "rules": {"description": "Names of the base rules in this file.", **_NAMES},
            "group-by": {"description": "Records with the same values belong together.", **_NAMES},
            "timespan": {"type": "string", "pattern": "^[0-9]+[smhdwMqy]$"},
            "condition": {"description": "field (for value_count) with gte or gt.", "type": "object"},
            "aliases": {"type": "object"},
        },
    }
    document = {
        "$schema": _DIALECT,
        "$id": "https://countersign.invalid/schemas/rule.schema.json",
        "title": "Sigma rule",
        "description": "A Sigma rule over the events or chains of this project.",
        "type": "object",
        "required": ["title", "id", "level"],
        "properties": {**_ABOUT, "logsource": _LOGSOURCE, "correlation": correlation},
        "if": {"required": ["correlation"]},
        "else": {"required": ["logsource", "detection"]},
        "allOf": [_of_service(service, "detection", ("condition",)) for service in SERVICES],
        "$defs": _definitions(root),
    }
    return _json(document)


def filter_schema(root: Root) -> str:
    """``filter.schema.json``: a Sigma filter over such rules."""
    document = {
        "$schema": _DIALECT,
        "$id": "https://countersign.invalid/schemas/filter.schema.json",
        "title": "Sigma filter",
        "description": "What one's own environment exempts of rules that are kept as they come.",
        "type": "object",
        "required": ["title", "logsource", "filter"],
        "properties": {
            **{key: _ABOUT[key] for key in _ABOUT if key not in {"level", "falsepositives"}},
            "logsource": {**_LOGSOURCE, "description": "The same as that of the rules that it narrows."},
        },
        "allOf": [_of_service(service, "filter", ("condition", "rules")) for service in SERVICES],
        "$defs": _definitions(root),
    }
    return _json(document)


def _of_service(service: str, section: str, required: tuple[str, ...]) -> dict[str, Any]:
    """The selections of a section, by the logsource's service: each knows other fields."""
    condition: dict[str, Any] = {"description": "Selections by name, with and, or, not, 1 of, all of.", **_TEXT}
    if section == "detection":
        condition = {**condition, "type": ["string", "array"]}
    own: dict[str, Any] = {"condition": condition}
    if section == "filter":
        names = {"description": "Ids of the rules that it narrows (names for base rules), or any."}
        own["rules"] = {**names, "oneOf": [{"const": "any"}, _TEXT | {"not": {"const": "any"}}, _NAMES]}
    return {
        "if": {"properties": {"logsource": {"properties": {"service": {"const": service}}, "required": ["service"]}}},
        "then": {
            "properties": {
                section: {
                    "type": "object",
                    "required": list(required),
                    "properties": own,
                    "additionalProperties": {"$ref": f"#/$defs/{service}_selection"},
                }
            }
        },
    }


def _definitions(root: Root) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for service in SERVICES:
        vocabulary = Vocabulary.load(root.schemas / f"{service}.schema.json")
        names = "|".join(re.escape(name) for name in sorted(vocabulary.fields))
        tests = {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": f"^({names})(\\|[a-z0-9]+)*$"},
            "properties": {name: {"description": field.description} for name, field in vocabulary.fields.items()},
        }
        one = {"$ref": f"#/$defs/{service}_tests"}
        found[f"{service}_tests"] = tests
        found[f"{service}_selection"] = {
            "if": {"type": "array"},  # an editor then names the field that is wrong, not both forms
            "then": {"minItems": 1, "items": one},
            "else": one,
        }
    return found


def _json(document: dict[str, Any]) -> str:
    """The document without its opening brace, which the line that names its generator brings."""
    return json.dumps(document, indent=1, ensure_ascii=False).removeprefix("{\n") + "\n"
