"""Monitors of the Alerting plugin, and what OpenSearch holds.

Source: "Alerting API", search monitors (POST _plugins/_alerting/monitors/_search), OpenSearch 2 and 3. A monitor bears
no version, so one that an older pack made is told as changed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from backends.opensearch.target import INDEX
from harness.drift.difference import DISABLED, EXTRA, MISSING
from harness.drift.query_form import formed
from harness.drift.reading import NOT_FOUND, differing, items, text
from harness.drift.search_engine import assets
from harness.replay.kit.transport import Refused

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from harness.drift.difference import Compared
    from harness.drift.reading import Reader

PREFIX, MOST = "countersign ", 1000
REGISTERED = f"pipelines/{INDEX}.json"
"""The pipeline that holds the register; without a register to compare with it is not looked into."""


def compare(reader: Reader, files: Mapping[str, str], compared: Compared, skipped: Collection[str]) -> None:
    """Compare a cluster."""
    if skipped:
        files = {**files, REGISTERED: _held(reader, files[REGISTERED])}
    assets(reader, files, compared)
    held = _monitors(reader)
    for path, said in files.items():
        if not path.startswith("monitors/"):
            continue
        compared.rules += 1
        wanted = json.loads(said)
        stem = str(wanted["name"]).removeprefix(PREFIX)
        found = held.pop(wanted["name"], None)
        if found is None:
            compared.rule(stem, MISSING)
            continue
        if found.get("enabled") is not True and wanted["enabled"]:
            compared.rule(stem, DISABLED)
        one, other = _parts(wanted), _parts(found)
        compared.versioned(stem, None, 0, [name for name in one if differing(one[name], other.get(name))])
    for name in held:
        compared.rule(name.removeprefix(PREFIX), EXTRA, ["no rule of the pack"])


def _held(reader: Reader, wanted: str) -> str:
    """The pack's pipeline with the register that is installed, so that all the rest is compared."""
    said = reader.found(f"/_ingest/pipeline/{INDEX}")
    made = json.loads(wanted)
    try:
        params = said[INDEX]["processors"][-1]["script"]["params"]
        own = made["processors"][-1]["script"]["params"]
        schema = {"fields", "namespaces", "never", "compared"}
        made["processors"][-1]["script"]["params"] = {
            **{name: value for name, value in params.items() if name in own and name not in schema},
            **{name: own[name] for name in own if name in schema or name not in params},
        }
    except (TypeError, KeyError, IndexError, AttributeError):
        return wanted
    return json.dumps(made)


def _parts(monitor: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a monitor find what it finds, when it runs and how loud it is."""
    search = _below(_first(monitor.get("inputs")), "search")
    trigger = _first(monitor.get("triggers"))
    trigger = _below(trigger, "query_level_trigger") or trigger
    return {
        "query": formed(search.get("query")),
        "indices": search.get("indices"),
        "condition": formed(trigger.get("condition")),
        "severity": trigger.get("severity"),
        "schedule": monitor.get("schedule"),
    }


def _first(several: Any) -> dict[str, Any]:
    return several[0] if isinstance(several, list) and several and isinstance(several[0], dict) else {}


def _below(node: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = node.get(key)
    return found if isinstance(found, dict) else {}


def _monitors(reader: Reader) -> dict[str, dict[str, Any]]:
    body = {"size": MOST, "query": {"match_phrase_prefix": {"monitor.name": PREFIX.strip()}}}
    try:
        hits = items(reader.search("/_plugins/_alerting/monitors/_search", body), "hits", "hits")
    except Refused as refused:
        if refused.status == NOT_FOUND:  # no monitor was ever made
            return {}
        raise
    found = {}
    for hit in hits:
        source = hit.get("_source")
        source = source if isinstance(source, dict) else {}
        monitor = source.get("monitor", source)
        if isinstance(monitor, dict) and text(monitor, "name").startswith(PREFIX):
            found[text(monitor, "name")] = monitor
    return found
