"""The index template, made from the vocabulary: how each field is stored so that the event view can compute with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backends.vocabulary import Field, Vocabulary

LONGEST = 8191
"""Characters of a text that are kept for queries: a Lucene term holds 32,766 bytes, and a character takes up to four.
A longer text stays in the source; to a query its field is absent."""

ARGUMENT = "countersign.argument"
"""Field of the index alone: the texts that a tool's arguments hold at any depth, each as ``key␝text`` (ingest.py)."""

_TYPES = {"boolean": "boolean", "integer": "long", "number": "double", "time": "date_nanos"}


def template(vocabulary: Vocabulary) -> dict[str, Any]:
    """The template, as ``PUT _index_template/countersign-events`` takes it.

    Texts are kept as they are written; the view and the rules fold letter case. What the schema does not know is kept
    in the source and not indexed.
    """
    properties: dict[str, Any] = {}
    for field in vocabulary.fields.values():
        node = properties
        for key in field.path[:-1]:
            node = node.setdefault(key, {"properties": {}})["properties"]
        node[field.path[-1]] = _mapping(field)
    properties["countersign"] = {"properties": {"argument": _KEYWORD}}
    return {
        "index_patterns": ["countersign-events*"],
        "template": {
            "settings": {"index.default_pipeline": "countersign-events", "index.mapping.total_fields.limit": 2000},
            "mappings": {"dynamic": False, "properties": properties},
        },
    }


_KEYWORD = {"type": "keyword", "ignore_above": LONGEST}


def _mapping(field: Field) -> dict[str, Any]:
    return dict(_KEYWORD) if field.kind == "keyword" else {"type": _TYPES[field.kind]}
