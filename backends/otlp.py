"""OTLP JSON, as the OpenTelemetry Collector's file exporter writes it: one line holds many records.

A line is an export: lists of resources, of scopes, and of log records or spans, with attributes as lists of
``{"key": ..., "value": {"stringValue": ...}}``. Unpacked, it is a list of flat records: the record's own members,
with ``attributes`` and ``resource`` as objects and ``scope`` as a name. `backends.duckdb.assemble_unpack` does the
same in SQL.

Source: OTLP 1.9, *JSON Protobuf Encoding*; *OpenTelemetry Protocol File Exporter*.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SIGNALS = {"resourceLogs": ("scopeLogs", "logRecords"), "resourceSpans": ("scopeSpans", "spans")}
"""By the member that marks an export: the lists of scopes and of records below it."""

VALUES = ("stringValue", "intValue", "boolValue", "doubleValue", "bytesValue", "arrayValue", "kvlistValue")
"""Members of which an attribute's value has one."""

MEMBERS = (
    "timeUnixNano",
    "observedTimeUnixNano",
    "severityNumber",
    "severityText",
    "eventName",
    "flags",
    "traceId",
    "spanId",
    "parentSpanId",
    "name",
    "kind",
    "startTimeUnixNano",
    "endTimeUnixNano",
    "status",
)
"""Members of a log record or a span that are kept as they are."""


def unpacked(line: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The flat records of an export; of any other line, itself. What is no object is left out."""
    if not any(signal in line for signal in SIGNALS):
        return [line]
    return [
        {member: record[member] for member in MEMBERS if member in record}
        | {
            "body": _plain(record.get("body")),
            "attributes": _attributes(record),
            "resource": _attributes(resource.get("resource")),
            "scope": scope["scope"].get("name") if isinstance(scope.get("scope"), Mapping) else None,
        }
        for signal, (scopes, records) in SIGNALS.items()
        for resource in _items(line, signal)
        for scope in _items(resource, scopes)
        for record in _items(scope, records)
    ]


def _items(above: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = above.get(name)
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, Mapping)]


def _attributes(above: Any) -> Mapping[str, Any]:
    listed = above.get("attributes") if isinstance(above, Mapping) else None
    if isinstance(listed, list):
        return {
            pair["key"]: _plain(pair.get("value")) for pair in listed if isinstance(pair, Mapping) and "key" in pair
        }
    return listed if isinstance(listed, Mapping) else {}


def _plain(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return next((value[kind] for kind in VALUES if value.get(kind) is not None), None)
