"""Source maps as ingest pipelines, for OpenSearch 2 and 3 and Elasticsearch 8: one native record in, one event out.

A map becomes the parameters of one script, ``views/source.painless``; only processors that both products have are used
(script, drop, pipeline), and no text of a record or of a map becomes part of a script. A pipeline sees one record: what
several records say together is named by `beyond`.

A record of a kind that makes no event is dropped by a processor of its own, tagged with the kind's name, so the node's
statistics count each kind. A record that `backends.duckdb.assemble` would set aside, or of no known kind, is refused with the
same reason: the bulk request says so, and an ``on_failure`` of one's own finds the record as it came.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.duckdb.assemble_expressions import pointers_of
from backends.opensearch.register import text
from backends.opensearch.source_patterns import program
from backends.otlp import MEMBERS, SIGNALS, VALUES
from backends.sources import SourceMaps
from backends.vocabulary import Vocabulary

if TYPE_CHECKING:
    from backends.sources import Expression, RecordKind, SourceMap, Takes

VIEW = Path(__file__).parent / "views" / "source.painless"
FACTS = "countersign-events"
"""The pipeline that comes next: the request names one pipeline, so the index's default one does not run by itself."""

METADATA: tuple[str, ...] = ("_index", "_id", "_type", "_routing", "_parent", "_version", "_version_type", "_op_type")
METADATA += ("_if_seq_no", "_if_primary_term", "_dynamic_templates", "_ingest", "_now")
"""What a node keeps beside a record's own members in ``ctx``."""

EMPTY = "empty_export"
_NUMBER = r"^[+-]?([0-9]+(_[0-9]+)*\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_JSON_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
_LISTS = {"arrayValue", "kvlistValue"}


def pipeline(source_map: SourceMap, vocabulary: Vocabulary, then: str | None = FACTS) -> dict[str, Any]:
    """The pipeline, as ``PUT _ingest/pipeline/countersign-source-<source>`` takes it.

    Args:
        source_map: a map with kinds.
        vocabulary: the event's fields.
        then: the pipeline that the event goes through next, None for none.

    Raises:
        ValueError: the source's records are events already, or no record is read by this map.
        Inexpressible: a pattern can't be run at ingest. One sentence.
    """
    if not source_map.kinds:
        raise ValueError(f"the map '{source_map.name}' reads no record of its own, so it needs no pipeline")
    limits = beyond(source_map)
    about = f"countersign: {source_map.about.strip()} One record is seen at a time."
    dropped = [_drop(kind.name, _reason(kind)) for kind in source_map.kinds if not _is_event(kind)]
    if source_map.unpack:
        dropped.append(_drop(EMPTY, "an export that holds no record"))
    return {
        "description": " ".join([about, *limits]),
        "processors": [
            {
                "script": {
                    "lang": "painless",
                    "source": VIEW.read_text("utf-8"),
                    "params": _params(source_map, vocabulary),
                }
            },
            *dropped,
            *([{"pipeline": {"name": then}}] if then else []),
        ],
    }


def beyond(source_map: SourceMap) -> list[str]:
    """What the map says and no pipeline can, since it takes several records: one sentence each, with what works instead."""
    name = source_map.name
    said = []
    if source_map.unpack:
        said.append(
            f"{name}: a pipeline makes no documents, so an export of several records is refused; have the collector or the "
            "shipper send one record a document, flat or as an export of one."
        )
    for kind in source_map.kinds:
        here = f"{name}, kind '{kind.name}':"
        said += [f"{here} {_not_taken(takes)}" for takes in kind.takes if takes.gives]
        said += [
            f"{here} a record of '{takes.source}' that names another person makes no event of its own; {_ASSEMBLE}."
            for takes in kind.takes
            if takes.disputed_is_event
        ]
        if kind.event == "alone":
            said.append(
                f"{here} it is an event only where no other record claims it, which nobody knows when it comes, so each one is an "
                "event, and what it tells may count twice; where the other records are shipped too, leave out events whose "
                f"countersign.kind is '{kind.name}', or {_ASSEMBLE}."
            )
        if kind.event == "never" and kind.ignored is None:
            said.append(f"{here} it only gives facts to other records, so it is left out; to have them, {_ASSEMBLE}.")
    return said


_ASSEMBLE = "assemble before shipping (backends.duckdb.assemble) and ship the events"


def source_pipelines(root: Path) -> dict[str, str]:
    """The pipelines of all maps of a content root that read records, by file name; its stem is the pipeline's id.

    Raises:
        Mistakes: a map is mistaken.
        Inexpressible: a pattern of a map can't be run at ingest.
    """
    vocabulary = Vocabulary.load(root / "schemas" / "event.schema.json")
    maps = SourceMaps.load(root / "schemas" / "sources")
    made = {name: pipeline(one, vocabulary) for name, one in maps.items() if one.kinds}
    return {f"{pipeline_id(name)}.json": _NUMBERS.sub(_on_one_line, text(one)) for name, one in made.items()}


_NUMBERS = re.compile(r"\[\n\s*[0-9]+(,\n\s*[0-9]+)*\n\s*\]")
"""A list of numbers, over lines; a text in JSON holds no line end."""


def _on_one_line(numbers: re.Match[str]) -> str:
    return re.sub(r"\s+", "", numbers[0]).replace(",", ", ")


def pipeline_id(source: str) -> str:
    """The id of a source's pipeline."""
    return f"countersign-source-{source}"


def _is_event(kind: RecordKind) -> bool:
    return kind.ignored is None and kind.event != "never"


def _reason(kind: RecordKind) -> str:
    return kind.ignored or f"it only gives facts to other records, and alone: {kind.unused}"


def _drop(name: str, reason: str) -> dict[str, Any]:
    condition = f"ctx.countersign_left_out == '{name}'"  # a kind's name is of [a-z0-9_], by the form of a map
    return {"drop": {"tag": name, "description": reason, "if": condition}}


def _not_taken(takes: Takes) -> str:
    which = ", ".join(f"{mine} = {theirs}" if mine != theirs else mine for mine, theirs in takes.same.items())
    enrich = (
        f"; where that record comes first, an enrich policy of Elasticsearch on {list(takes.same.values())[-1]} can"
        if takes.when == "any"
        else ""
    )
    are, them = ("are", "them") if len(takes.gives) > 1 else ("is", "it")
    return (
        f"{', '.join(takes.gives)} of the record of '{takes.source}' that belongs to it (by {which}) {are} not added; "
        f"to have {them}, {_ASSEMBLE}{enrich}."
    )


def _params(source_map: SourceMap, vocabulary: Vocabulary) -> dict[str, Any]:
    kinds = [_kind(kind, source_map, vocabulary) for kind in source_map.kinds]
    params = {
        "source": source_map.name,
        "kinds": kinds,
        "metadata": list(METADATA),
        "number": _NUMBER,
        "json_number": _JSON_NUMBER,
        "patterns": {pattern: program(pattern) for pattern in [_NUMBER, _JSON_NUMBER, *_patterns(kinds)]},
    }
    if source_map.unpack == "otlp":
        params["otlp"] = {
            "signals": [{"at": at, "scopes": scopes, "records": records} for at, (scopes, records) in SIGNALS.items()],
            "members": list(MEMBERS),
            "scalars": [kind for kind in VALUES if kind not in _LISTS],
            "others": [kind for kind in VALUES if kind in _LISTS],
        }
    return params


def _kind(kind: RecordKind, source_map: SourceMap, vocabulary: Vocabulary) -> dict[str, Any]:
    recognised = {
        "keys": list(kind.recognised.keys),
        "values": [{"at": _path(at), **_wanted(wanted)} for at, wanted in kind.recognised.values.items()],
    }
    if not _is_event(kind):
        return {"name": kind.name, "recognised": recognised}
    expressions = [kind.at, *kind.fields.values(), *kind.marks.values()]
    return {
        "name": kind.name,
        "recognised": recognised,
        "stage": kind.stage,
        "dataset": kind.speaks_as or source_map.name,
        "plain": [
            {"pointer": pointer, "at": _path(pointer)}
            for pointer in dict.fromkeys(p for expression in expressions for p in pointers_of(expression))
        ],
        "at": _expression(kind.at),
        "fields": [
            {"path": name.split("."), "kind": vocabulary.fields[name].kind, "of": _expression(expression)}
            for name, expression in kind.fields.items()
        ],
    }


def _path(pointer: str) -> list[str]:
    """The parts of a JSON Pointer (RFC 6901)."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _wanted(wanted: Any) -> dict[str, Any]:
    if isinstance(wanted, dict):
        return wanted
    return {"any": [_constant(one) for one in (wanted if isinstance(wanted, list) else [wanted])]}


def _constant(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _expression(expression: Expression) -> Any:
    """A map's expression with pointers as lists of their parts and constants as texts."""
    if isinstance(expression, str):
        return _path(expression)
    ((word, shape),) = expression.items()
    if word == "json":
        return _path(shape)  # a node's text of an object is its JSON
    if word == "value":
        return {"value": shape if isinstance(shape, list) else _constant(shape)}
    if word == "first":
        return {"first": [_expression(one) for one in shape]}
    made = {key: _expression(inner) if key in {"of", "from", "to"} else inner for key, inner in shape.items()}
    if word == "lookup":
        made["in"] = {key: _constant(value) for key, value in shape["in"].items()}
        made |= {"else": _constant(shape["else"])} if "else" in shape else {}
    if word == "parsed":
        made["at"] = _path(shape["at"])
    return {word: made}


def _patterns(node: Any) -> list[str]:
    """Patterns anywhere in what `_kind` made."""
    if isinstance(node, list):
        return [pattern for one in node for pattern in _patterns(one)]
    if not isinstance(node, dict):
        return []
    own = [node["pattern"]] if isinstance(node.get("pattern"), str) else []
    return [*own, *(pattern for one in node.values() for pattern in _patterns(one))]
