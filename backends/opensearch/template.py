"""The index template, made from the vocabulary: how each field is stored so that a query means what Sigma means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backends.vocabulary import Field, Vocabulary

LONGEST = 8191
"""Characters of a text that are searched: a Lucene term holds 32,766 bytes, and a character takes up to four.
A longer text is kept and not searched; no query finds it, and to a query its field is absent."""

_TYPES = {"boolean": "boolean", "integer": "long", "number": "double", "time": "date"}


def template(vocabulary: Vocabulary) -> dict[str, Any]:
    """The template, as ``PUT _index_template/countersign-events`` takes it.

    A text field compares without letter case; ``.cased`` beside it compares with it, and ``.ip`` knows networks.
    Any other field has ``.written``: its value as JSON writes it, for patterns and texts.
    """
    properties: dict[str, Any] = {}
    for field in vocabulary.fields.values():
        node = properties
        for key in field.path[:-1]:
            node = node.setdefault(key, {"properties": {}})["properties"]
        node[field.path[-1]] = _mapping(field)
    properties["countersign"] = {
        "properties": {"compared": {"type": "keyword"}, "record": {"type": "keyword"}, "time_us": {"type": "long"}}
    }
    return {
        "index_patterns": ["countersign-events*"],
        "template": {
            "settings": {
                "index.default_pipeline": "countersign-events",
                "index.mapping.total_fields.limit": 2000,
                "analysis": {"normalizer": {"folded": {"type": "custom", "filter": ["lowercase"]}}},
            },
            "mappings": {"dynamic": False, "properties": properties},
        },
    }


def is_address(field: Field) -> bool:
    """Whether networks (CIDR) can be asked of it."""
    return field.kind == "keyword" and field.path[-1] in {"ip", "address", "bind_address"}


def _mapping(field: Field) -> dict[str, Any]:
    cased = {"type": "keyword", "ignore_above": LONGEST}
    folded = {**cased, "normalizer": "folded"}
    if field.kind != "keyword":
        return {"type": _TYPES[field.kind], "fields": {"written": folded, "cased": cased}}
    fields: dict[str, Any] = {"cased": cased}
    if is_address(field):
        fields["ip"] = {"type": "ip", "ignore_malformed": True}
    return {**folded, "fields": fields}
