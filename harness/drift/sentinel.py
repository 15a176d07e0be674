"""What a workspace has: analytic rules, functions, watchlists and the table, as Azure Resource Manager lists them.

Sources: Microsoft Learn, REST reference: "Alert Rules - List", "Watchlists - List" and "Watchlist Items - List"
(2024-09-01), "Saved Searches - List By Workspace" (2020-08-01), "Tables - Get" (2022-10-01). A list is ``value``, and
``nextLink`` where it goes on.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from typing import TYPE_CHECKING, Any

from backends.sentinel.columns import TABLE
from harness.drift.difference import CHANGED, DISABLED, EXTRA, MISSING
from harness.drift.reading import MOST, differing, items, text
from harness.replay.kit.transport import Refused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from harness.drift.difference import Compared
    from harness.drift.reading import Reader

INSIGHTS = "providers/Microsoft.SecurityInsights"
INSIGHTS_API, SEARCHES_API, TABLES_API = "2024-09-01", "2020-08-01", "2022-10-01"
WORKSPACE = re.compile(
    r"/subscriptions/[0-9a-fA-F-]{36}/resourceGroups/[\w.()-]{1,90}"
    r"/providers/Microsoft\.OperationalInsights/workspaces/[A-Za-z0-9-]{4,63}"
)
"""A workspace's resource id."""

_VERSION = re.compile(r"\(countersign (\w+), (\d{1,12})\)\s*$")
_UNITS = {"D": 1440, "W": 10_080, "H": 60, "M": 1}


def compare(
    reader: Reader, files: Mapping[str, str], compared: Compared, workspace: str, skipped: Collection[str]
) -> None:
    """Compare a workspace; of ``skipped`` watchlists only whether they are there."""
    _rules(reader, json.loads(files["settings.json"])["rules"], compared, workspace)
    _functions(reader, files, compared, workspace)
    _watchlists(reader, files, compared, workspace, skipped)
    _table(reader, json.loads(files["azuredeploy.json"]), compared, workspace)


def _rules(reader: Reader, wanted: Mapping[str, Any], compared: Compared, workspace: str) -> None:
    listed = list(_listed(reader, f"{workspace}/{INSIGHTS}/alertRules?api-version={INSIGHTS_API}"))
    held = {text(one, "name").lower(): one.get("properties") or {} for one in listed}
    for stem, rule in wanted.items():
        compared.rules += 1
        found = held.pop(rule["id"].lower(), None)
        if found is None:
            compared.rule(stem, MISSING)
            continue
        if found.get("enabled") is not True:
            compared.rule(stem, DISABLED)
        now = _settings(found)
        where = [
            name
            for name, value in rule["settings"].items()
            if name != "enabled" and _minutes(now.get(name)) != _minutes(value)
        ]
        _, _, rest = text(found, "query").replace("\r\n", "\n").partition(";")
        if hashlib.sha256(rest.strip().encode()).hexdigest() != rule["query_sha256"]:
            where.insert(0, "query")
        if text(found, "displayName") != rule["title"]:
            where.append("displayName")
        version = _VERSION.search(text(found, "description"))
        compared.versioned(stem, int(version[2]) if version else None, rule["version"], where)
    for found in held.values():
        said = _VERSION.search(text(found, "description"))
        if said:
            compared.rule(said[1], EXTRA, ["no rule of the pack"])


def _settings(properties: Mapping[str, Any]) -> dict[str, Any]:
    """What an admin changes, by the names of the package."""
    incident = properties.get("incidentConfiguration")
    incident = incident if isinstance(incident, dict) else {}
    grouping = incident.get("groupingConfiguration")
    window = grouping.get("lookbackDuration") if isinstance(grouping, dict) else None
    return {**properties, "createIncident": incident.get("createIncident"), "groupingWindow": window}


def _minutes(value: Any) -> str:
    """A duration of ISO 8601 in minutes, so that PT60M is PT1H; anything else as a text."""
    found = re.fullmatch(r"P((?:\d+[WD])*)(?:T((?:\d+[HM])+))?", value) if isinstance(value, str) else None
    if not found or value == "P":
        return str(value).lower() if isinstance(value, bool) else str(value)
    parts = re.findall(r"(\d+)([WD])", found[1]) + re.findall(r"(\d+)([HM])", found[2] or "")
    return f"{sum(int(number) * _UNITS[unit] for number, unit in parts)} minutes"


def _functions(reader: Reader, files: Mapping[str, str], compared: Compared, workspace: str) -> None:
    held = {
        text(one, "properties", "functionAlias"): text(one, "properties", "query")
        for one in _listed(reader, f"{workspace}/savedSearches?api-version={SEARCHES_API}")
    }
    for path, query in files.items():
        if not path.startswith("functions/") or not path.endswith(".kql"):
            continue
        compared.assets += 1
        alias = path.removeprefix("functions/").removesuffix(".kql")
        if alias not in held:
            compared.asset(f"function {alias}", MISSING)
        elif _plain(held[alias]) != _plain(query):
            compared.asset(f"function {alias}", CHANGED)


def _watchlists(
    reader: Reader, files: Mapping[str, str], compared: Compared, workspace: str, skipped: Collection[str]
) -> None:
    base = f"{workspace}/{INSIGHTS}/watchlists"
    held = {text(one, "name") for one in _listed(reader, f"{base}?api-version={INSIGHTS_API}")}
    for path, said in files.items():
        if not path.startswith("watchlists/"):
            continue
        compared.assets += 1
        alias = path.removeprefix("watchlists/").removesuffix(".csv")
        if alias not in held:
            compared.asset(f"watchlist {alias}", MISSING)
        elif alias not in skipped:
            wanted = sorted(json.dumps(row, sort_keys=True) for row in csv.DictReader(io.StringIO(said)))
            listed = _listed(reader, f"{base}/{alias}/watchlistItems?api-version={INSIGHTS_API}")
            found = sorted(json.dumps(_row(one), sort_keys=True) for one in listed)
            if wanted != found:
                compared.asset(f"watchlist {alias}", CHANGED, [f"{len(found)} rows, the pack has {len(wanted)}"])


def _row(item: Mapping[str, Any]) -> dict[str, str]:
    values = (item.get("properties") or {}).get("itemsKeyValue")
    return {str(k): "" if v is None else str(v) for k, v in values.items()} if isinstance(values, dict) else {}


def _table(reader: Reader, template: Mapping[str, Any], compared: Compared, workspace: str) -> None:
    (wanted,) = [one["properties"] for one in template["resources"] if one["type"].endswith("workspaces/tables")]
    compared.assets += 1
    said = reader.found(f"{workspace}/tables/{TABLE}?api-version={TABLES_API}")
    if said is None:
        compared.asset(f"table {TABLE}", MISSING)
        return
    held = {text(one, "name"): text(one, "type").lower() for one in items(said, "properties", "schema", "columns")}
    needed = {one["name"]: one["type"].lower() for one in wanted["schema"]["columns"]}
    if where := differing(needed, held, among=True):
        compared.asset(f"table {TABLE}", CHANGED, where)


def _plain(query: str) -> str:
    return "\n".join(line.rstrip() for line in query.strip().splitlines())


def _listed(reader: Reader, path: str) -> Iterator[dict[str, Any]]:
    """All of a list. Its next page must be of the same server: a token goes nowhere else."""
    for _ in range(MOST):
        said = reader.get(path)
        yield from items(said, "value")
        following = text(said, "nextLink")
        if not following:
            return
        if not following.startswith(f"{reader.connection.url}/"):
            raise Refused("the list goes on at another server, which is not asked")
        path = following.removeprefix(reader.connection.url)
    raise Refused(f"the list has more than {MOST} pages")
