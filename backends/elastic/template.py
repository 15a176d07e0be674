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

FOLDED = "folded"
"""Name of the normaliser, and of the sub-field of each text that Lucene's query strings compare without letter case."""

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
            "settings": {
                "index.default_pipeline": "countersign-events",
                "index.mapping.total_fields.limit": 2000,
                "analysis": {"normalizer": {FOLDED: {"type": "custom", "filter": ["lowercase"]}}},
            },
            "mappings": {"dynamic": False, "properties": properties},
        },
    }


_KEYWORD = {"type": "keyword", "ignore_above": LONGEST}


ORDERED = frozenset({"oauth.act.chain"})
"""Lists whose order says something: doc values would sort them; without these ES|QL reads the source."""


def _mapping(field: Field) -> dict[str, Any]:
    if field.kind != "keyword":
        return {"type": _TYPES[field.kind]}
    if field.name in ORDERED:
        return {**_KEYWORD, "doc_values": False, "fields": {FOLDED: {**_KEYWORD, "normalizer": FOLDED}}}
    return dict(_KEYWORD) if field.derived else {**_KEYWORD, "fields": {FOLDED: {**_KEYWORD, "normalizer": FOLDED}}}
