"""What Elasticsearch holds: component and index templates, ingest pipelines, and the register as lookup indices.

Each asset is a file of the package that holds the body of one request; ``install.json`` says which request. Sources:
"Create or update an index template", "Ingest pipelines" and "LOOKUP JOIN" of the Elasticsearch 8.19 reference.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from backends.elastic.ingest import pipeline
from backends.elastic.register import SHAPES, identity, lookups, mapping
from backends.elastic.target import INDEX
from backends.elastic.template import LONGEST, template
from backends.opensearch.sources import source_pipelines
from backends.package import NotAllowed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from backends.package import Content

SEES = "countersign-sees"
"""What each rule sees of each source: a lookup index for the coverage dashboard."""

SEES_SHAPE = {
    "cr_dataset": "keyword",
    "cr_rule": "keyword",
    "cr_title": "keyword",
    "cr_level": "keyword",
    "cr_needs": "keyword",
    "cr_sees": "keyword",
}

INGESTED = {"set": {"field": "event.ingested", "value": "{{{_ingest.timestamp}}}"}}
"""Last, so that nothing that a record says of its own arrival stays. Rules are bounded by it: a late record is seen."""

PRIORITY = 300
"""Of the index template; templates of Fleet have 200."""

CUSTOM = f"{INDEX}@custom"
"""Component template of the admin: shards, life cycle. It need not exist, and no upgrade touches it."""


def templates(content: Content) -> dict[str, dict[str, Any]]:
    """Path of the request → body, in the order in which they are put."""
    whole = template(content.events)
    settings, mappings = whole["template"]["settings"], whole["template"]["mappings"]
    mappings["properties"]["event"]["properties"]["ingested"] = {"type": "date"}
    analysis = {"analysis": settings.pop("analysis")}  # a component template is checked alone
    meta = {"managed_by": "countersign", "version": content.version}
    return {
        f"_component_template/{INDEX}-settings": {"template": {"settings": settings}, "_meta": meta},
        f"_component_template/{INDEX}-mappings": {
            "template": {"settings": analysis, "mappings": mappings},
            "_meta": meta,
        },
        f"_index_template/{INDEX}": {
            "index_patterns": whole["index_patterns"],
            "data_stream": {},
            "priority": PRIORITY,
            "composed_of": [f"{INDEX}-settings", f"{INDEX}-mappings", CUSTOM],
            "ignore_missing_component_templates": [CUSTOM],
            "_meta": meta,
        },
    }


def pipelines(content: Content) -> dict[str, dict[str, Any]]:
    """Pipeline → body; those of sources end in that of events."""
    events = pipeline(content.events)
    found = {INDEX: {**events, "processors": [*events["processors"], INGESTED]}}
    for name, text in source_pipelines(content.root).items():
        found[name.removesuffix(".json")] = json.loads(text)
    return found


def lookup_mappings() -> dict[str, dict[str, Any]]:
    """Lookup index → settings and mappings."""
    found = {name: mapping(name) for name in SHAPES}
    properties = {column: {"type": kind} for column, kind in SEES_SHAPE.items()}
    found[SEES] = {**found["countersign-blind"], "mappings": {"dynamic": False, "properties": properties}}
    return found


def lookup_rows(content: Content) -> dict[str, str]:
    """Lookup index → lines for the bulk request, ids and rows.

    Raises:
        NotAllowed: a row's key is longer than a term of the index can be.
    """
    found = {
        name: _bulk(name, {identity(name, row): row for row in rows})
        for name, rows in lookups(content.register, content.never, content.client_ids).items()
    }
    rules = {rule.stem: rule for rule in content.rules}
    sees = {
        f"{stem}|{source}": {
            "cr_dataset": source,
            "cr_rule": stem,
            "cr_title": rules[stem].title,
            "cr_level": rules[stem].level,
            "cr_needs": list(rules[stem].needs_register),
            "cr_sees": word,
        }
        for (stem, source), word in content.blind.items()
        if stem in rules
    }
    return found | {SEES: _bulk(SEES, sees)}


def _bulk(name: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    lines: list[str] = []
    for key, row in sorted(rows.items()):
        for text in _texts(row.values()):
            if len(text) > LONGEST:
                raise NotAllowed(
                    f"the register holds a value of {len(text)} characters ({text[:40]!r}…, for {name}) and "
                    f"Elasticsearch takes {LONGEST}; shorten it"
                )
        lines += [json.dumps({"index": {"_id": key}}), json.dumps(row, ensure_ascii=False, sort_keys=True)]
    return "".join(f"{line}\n" for line in lines)


def _texts(values: Iterable[Any]) -> Iterable[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list | tuple):
            yield from _texts(value)
