r"""Keep what was changed in the workspace's rules over an upgrade of countersign: write it as parameters.

Run it from the folder of the version that is installed, on the rules as they are now:

    az rest --method get --url "$WORKSPACE/providers/Microsoft.SecurityInsights/alertRules?api-version=2024-09-01" \
        | python3 keep.py > kept.parameters.json

The result holds, by rule, each setting that differs from this version's default, and says that the register and the
exceptions are there. A rule that was deleted is kept as disabled. What can't be kept (a query or a name that was
edited) is said on standard error. Needs Python 3.8 and nothing else; reads no credential and changes nothing.
"""

# ruff: noqa: INP001 - it is shipped, not imported
from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#"


def current(properties: dict[str, Any]) -> dict[str, Any]:
    """A rule's settings, by the names of the template, from its properties as the service returns them."""
    incident = properties.get("incidentConfiguration") or {}
    grouping = incident.get("groupingConfiguration") or {}
    own = {"createIncident": incident.get("createIncident"), "groupingWindow": grouping.get("lookbackDuration")}
    flat = {**properties, **own}
    return {name: value for name, value in flat.items() if value is not None}


def minutes(value: object) -> object:
    """An ISO 8601 duration in minutes, so that PT60M is PT1H; anything else as it is."""
    if not isinstance(value, str) or not value.startswith("P"):
        return value
    day, _, clock = value[1:].partition("T")
    total, number = 0, ""
    for part, sizes in ((day, {"D": 1440, "W": 10080}), (clock, {"H": 60, "M": 1})):
        for letter in part:
            if letter.isdigit():
                number += letter
            elif letter in sizes and number:
                total, number = total + int(number) * sizes[letter], ""
            else:
                return value
    return total


def kept(installed: dict[str, Any], found: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Settings by rule that differ from the defaults, and what can't be kept, a sentence each."""
    by_name = {one["name"]: one.get("properties", {}) for one in found}
    settings: dict[str, Any] = {}
    lost = []
    for stem, rule in installed["rules"].items():
        properties = by_name.get(rule["id"])
        if properties is None:
            settings[stem] = {"enabled": False}
            lost.append(f"{stem} is not in the workspace; it is kept as disabled")
            continue
        now = current(properties)
        own = {
            name: now[name]
            for name, default in rule["settings"].items()
            if name in now and minutes(now[name]) != minutes(default)
        }
        if own:
            settings[stem] = own
        _, _, rest = str(properties.get("query", "")).replace("\r\n", "\n").partition(";")
        if hashlib.sha256(rest.strip().encode()).hexdigest() != rule["query_sha256"]:
            lost.append(f"the query of {stem} was edited and will be replaced; use countersign_exceptions")
        if properties.get("displayName") != rule["title"]:
            lost.append(f"the name of {stem} was edited and will be replaced")
    return settings, lost


def main() -> int:
    """Read the rules on standard input, write the parameters."""
    installed = json.loads(Path(__file__).with_name("settings.json").read_text(encoding="utf-8"))
    try:
        document = json.load(sys.stdin)
        found = document["value"] if isinstance(document, dict) else document
        settings, lost = kept(installed, found)
    except (ValueError, KeyError, TypeError, AttributeError):
        print("standard input is not the list of alert rules as the service gives it", file=sys.stderr)  # noqa: T201
        return 2
    if isinstance(document, dict) and document.get("nextLink"):
        print("the list has more pages (nextLink); join them into one list first", file=sys.stderr)  # noqa: T201
        return 2
    values = {"settings": settings, "deployRegister": False, "deployExceptions": False}
    parameters = {name: {"value": value} for name, value in values.items()}
    json.dump({"$schema": SCHEMA, "contentVersion": "1.0.0.0", "parameters": parameters}, sys.stdout, indent=1)
    print()  # noqa: T201
    for sentence in lost:
        print(sentence, file=sys.stderr)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
