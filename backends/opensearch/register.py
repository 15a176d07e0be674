"""The register as parameters of the ingest script, beside the schema and what the source maps say.

The script reads them as the record is ingested, so a fact is as the register was then. Update the pipeline when the
register changes (facts freeze at ingest); re-index what must be judged anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.duckdb.register import Tables, look_ups, tabled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from backends.vocabulary import Vocabulary

VIEWS = Path(__file__).parent / "views"
Never = tuple[str, str, tuple[str, ...]]
Compared = tuple[str, str, str]
"""(field, how, other field): how is ``=``, ``^=`` (starts with), ``$=`` (ends with) or ``*=`` (contains)."""


def pipeline(
    vocabulary: Vocabulary, tables: Tables, never: Iterable[Never] = (), compared: Iterable[Compared] = ()
) -> dict[str, Any]:
    """The ingest pipeline, as ``PUT _ingest/pipeline/countersign-events`` takes it.

    Args:
        vocabulary: the event's fields.
        tables: the register's.
        never: (dataset, stage, concepts that this kind of record can never supply).
        compared: pairs of fields that rules compare.
    """
    arguments, source = ((VIEWS / f"{name}.painless").read_text(encoding="utf-8") for name in ("arguments", "events"))
    params = {**of_schema(vocabulary), **of_register(tables), "never": of_sources(never), "compared": pairs(compared)}
    return {
        "description": "countersign: the facts of an event. The register is as it was when this pipeline was put.",
        "processors": [
            {"script": {"lang": "painless", "source": arguments}},
            {
                "json": {
                    "field": "countersign_arguments",
                    "if": "ctx.countersign_arguments instanceof String",
                    "ignore_failure": True,
                }
            },
            {"script": {"lang": "painless", "source": source, "params": params}},
        ],
    }


def of_schema(vocabulary: Vocabulary) -> dict[str, Any]:
    """Fields by dotted name, with their type, and the names above them."""
    return {
        "fields": {
            name: {"kind": field.kind, "array": field.array, "derived": field.derived}
            for name, field in vocabulary.fields.items()
        },
        "namespaces": dict.fromkeys(sorted(vocabulary.namespaces), True),
    }


def of_sources(never: Iterable[Never]) -> dict[str, dict[str, list[str]]]:
    """Dataset → stage → concepts."""
    found: dict[str, dict[str, list[str]]] = {}
    for dataset, stage, concepts in never:
        found.setdefault(dataset, {})[stage] = list(concepts)
    return found


def pairs(compared: Iterable[Compared]) -> list[dict[str, str]]:
    """Pairs of fields as the script reads them."""
    return [{"field": field, "how": how, "other": other} for field, how, other in sorted(set(compared))]


def of_register(tables: Tables) -> dict[str, Any]:
    """The register's tables, each by the key that the script looks up; ids and names in lower case."""
    rows = {name: [_present(row) for row in table.to_pylist()] for name, table in tabled(tables).items()}
    tools: dict[str, dict[str, Any]] = {}
    for row in rows["tools"]:
        tools.setdefault(row["server"], {})[row["name"]] = row
    found = look_ups(tables)
    return {
        "agents": {row["id"]: row for row in rows["agents"]},
        "clients": {row["id"]: row for row in rows["clients"]},
        "servers": {row["name"]: row for row in rows["servers"]},
        "services": {row["identity"]: row for row in rows["services"]},
        "tools": tools,
        "people": {row["alias"]: row["person"] for row in rows["people"]},
        "identities": {row["person"]: row["names"] for row in rows["identities"]},
        "scopes": {name: _present(scope) for name, scope in found["scopes"].items()},
        "networks": [list(span) for span in found["networks"]],
        **{name: found[name] for name in ("agent_of_client", "domains", "covered", "systems")},
        **{f"has_{name}": found[f"has_{name}"] for name in ("servers", "clients", "networks")},
    }


def _present(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def text(document: Any) -> str:
    """A document as it is written to a file."""
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"
