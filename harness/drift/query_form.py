"""One form for a search, however it is written: a server gives back what it read with its defaults spelled out.

Source: "Query DSL" and "Aggregations" of the OpenSearch documentation, which name each default and each short form.
"""

from __future__ import annotations

from typing import Any

DEFAULTS: dict[str, Any] = {
    "boost": 1,
    "adjust_pure_negative": True,
    "max_determinized_states": 10_000,
    "case_insensitive": False,
    "value_type": "default",
    "missing_bucket": False,
    "missing_order": "default",
    "order": "asc",
    "lang": "painless",
    "include_lower": True,
    "include_upper": True,
    "flags_value": 255,
    "relation": "INTERSECTS",
    "keyed": False,
    "other_bucket": False,
    "other_bucket_key": "_other_",
    "options": {},
    "params": {},
}
"""What a key says when it is left out."""

SHORT = {"term": "value", "prefix": "value", "wildcard": "value", "regexp": "value"}
"""Clause → the key that a bare value stands for."""

_NO_FLAGS = {"flags": "NONE", "flags_value": 0}


def formed(node: Any, clause: str = "") -> Any:
    """The same search in one form: defaults left out, short forms spelled out, numbers as numbers.

    Args:
        node: of a search.
        clause: the key above it; ``range.field`` within a field of a range.
    """
    if isinstance(node, list):
        return [formed(one, clause) for one in node]
    if not isinstance(node, dict):
        return int(node) if isinstance(node, float) and node.is_integer() else node
    found: dict[str, Any] = {}
    for key, value in node.items():
        name = _name(key, clause)
        if name not in DEFAULTS or formed(value) != DEFAULTS[name]:
            below = f"{clause}.field" if clause in {*SHORT, "range"} else name
            found[name] = formed(_spelled(name, value, clause), below)
    if clause == "regexp.field" and (found.get("flags") == "NONE" or found.get("flags_value") == 0):
        found |= _NO_FLAGS
    return found


def _name(key: str, clause: str) -> str:
    """A key by its one name."""
    if clause == "range.field":
        return {"gte": "from", "lte": "to"}.get(key, key)
    if clause == "wildcard.field":
        return "value" if key == "wildcard" else key
    return "aggs" if key == "aggregations" else key


def _spelled(name: str, value: Any, clause: str) -> Any:
    """A value in its long form."""
    if name.endswith("_script") and isinstance(value, dict):
        return value.get("source", value)
    if name == "minimum_should_match":
        return str(value)
    if clause in SHORT and not isinstance(value, dict):
        return {SHORT[clause]: value}
    return value
