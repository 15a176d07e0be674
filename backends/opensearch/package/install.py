#!/usr/bin/env python3
"""Install, upgrade or remove the package. Python 3.9 and nothing else; see README.md.

    python3 install.py all --opensearch https://…                  everything but Security Analytics, as often as you like
    python3 install.py assets --opensearch https://…               pipelines (with the register) and template
    python3 install.py monitors --opensearch https://…             monitors, keeping what you changed
    python3 install.py security-analytics --opensearch https://…   custom rules and the detector
    python3 install.py remove --opensearch https://…

``--dry-run`` says what would be done and asks only what is there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from typing import Any

from rest import HERE, NOT_FOUND, Refused, Server, do, quoted, steps  # type: ignore[import-not-found] # beside this file

MONITORS = "_plugins/_alerting/monitors"
ANALYTICS = "_plugins/_security_analytics"
INSTALLED = "countersign-installed"
"""Index that remembers, by monitor, what this script last put: so that it sees what somebody changed since."""

PREFIX = "countersign "


def digest(node: Any) -> str:
    """Of a part of a monitor, as the server gives it back."""
    return hashlib.sha256(json.dumps(node, sort_keys=True).encode()).hexdigest()


def searched(server: Server, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Hits of a plug-in's search; none where it never made its index."""
    try:
        return list(server.call("POST", path, body)["hits"]["hits"])
    except Refused as wrong:
        if wrong.status == NOT_FOUND:
            return []
        raise


def installed(server: Server) -> dict[str, tuple[str, dict[str, Any]]]:
    """Name → id and body, of our monitors."""
    body = {"size": 1000, "query": {"match_phrase_prefix": {"monitor.name": "countersign"}}}
    found = {}
    for hit in searched(server, f"{MONITORS}/_search", body):
        monitor = hit["_source"].get("monitor", hit["_source"])
        if str(monitor["name"]).startswith(PREFIX):
            found[monitor["name"]] = (hit["_id"], monitor)
    return found


def parts(monitor: dict[str, Any]) -> dict[str, Any]:
    """What the pack says: the search, and the condition of the trigger."""
    return {"search": monitor["inputs"], "condition": trigger(monitor)["condition"]}


def trigger(monitor: dict[str, Any]) -> dict[str, Any]:
    """The first trigger, without the word for its kind around it."""
    first = monitor["triggers"][0]
    return dict(first.get("query_level_trigger", first))


def merged(new: dict[str, Any], old: dict[str, Any], put: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    """The monitor of this package with what the admin changed, and what to tell.

    Args:
        new: of the package.
        old: as the server has it.
        put: digests of `parts` as they were after the last install; empty where that is not known.
    """
    made, told = json.loads(json.dumps(new)), []
    for key in ("enabled", "schedule"):
        made[key] = old[key]
    mine, theirs = made["triggers"][0]["query_level_trigger"], trigger(old)
    for key in ("severity", "actions", "id", "name"):
        if key in theirs:
            mine[key] = theirs[key]
    made["triggers"] += old["triggers"][1:]
    if not put:
        told.append("was not put by this script: its search and condition are replaced, the rest stays")
    for part, value in parts(old).items():
        if put and put.get(part) != digest(value):
            told.append(f"its {part} was changed and stays; compare it with monitors/")
            if part == "search":
                made["inputs"] = value
            else:
                mine["condition"] = value
    return made, told


def remembered(server: Server) -> dict[str, dict[str, str]]:
    """Name → digests, of the last install."""
    body = {"size": 1000, "query": {"match_all": {}}}
    return {hit["_id"]: hit["_source"] for hit in searched(server, f"{INSTALLED}/_search", body)}


def put_monitors(server: Server, dry: bool) -> list[str]:  # noqa: FBT001 - a switch
    """Make the monitors that are not there; bring the others to this package."""
    held, put, told = installed(server), remembered(server), []
    files = sorted((HERE / "monitors").glob("*.json"))
    for file in files:
        monitor = json.loads(file.read_text(encoding="utf-8"))
        name = monitor["name"]
        identity, old = held.pop(name, ("", {}))
        if old:
            monitor, said = merged(monitor, old, put.get(name, {}))
            told += [f"{name}: {one}" for one in said]
        if dry:
            continue
        if identity:
            server.call("PUT", f"{MONITORS}/{quoted(identity)}", monitor)
        else:
            identity = server.call("POST", MONITORS, monitor)["_id"]
        after = server.call("GET", f"{MONITORS}/{quoted(identity)}")["monitor"]
        kept = put.get(name, {})
        said_now = {
            part: kept[part] if old and kept and kept[part] != digest(parts(old)[part]) else digest(value)
            for part, value in parts(after).items()
        }
        server.call("PUT", f"{INSTALLED}/_doc/{quoted(name)}", said_now)
    told += [f"{name}: no longer in the package; it stays as it is, disable or delete it" for name in sorted(held)]
    if not dry:
        server.call("POST", f"{INSTALLED}/_refresh")
    return [*told, f"{len(files)} monitors {'would be' if dry else 'are'} in place"]


def put_analytics(server: Server, dry: bool) -> list[str]:  # noqa: FBT001
    """The log type, the rules and the detector of Security Analytics; a detector that is there gains new rules alone."""
    folder = HERE / "security-analytics"
    files = sorted((folder / "rules").glob("*.yml"))
    if dry:
        return [f"would put {len(files)} rules and the detector"]
    kind = json.loads((folder / "logtype.json").read_text(encoding="utf-8"))
    types = searched(server, f"{ANALYTICS}/logtype/_search", {"size": 1000, "query": {"match_all": {}}})
    if kind["name"] not in {hit["_source"]["name"] for hit in types}:
        server.call("POST", f"{ANALYTICS}/logtype", kind)
    asked = {"from": 0, "size": 5000, "query": {"match_all": {}}}
    rules = searched(server, f"{ANALYTICS}/rules/_search?pre_packaged=false", asked)
    known = {hit["_source"]["title"]: hit["_id"] for hit in rules if hit["_source"]["category"] == kind["name"]}
    fresh = []
    for file in files:
        text = file.read_text(encoding="utf-8")
        title = text.split("\n")[0].removeprefix("title: ").strip("'\"")
        if title in known:
            path = f"{ANALYTICS}/rules/{quoted(known[title])}?category={kind['name']}&forced=true"
            server.call("PUT", path, text.encode())
        else:
            fresh.append(server.call("POST", f"{ANALYTICS}/rules?category={kind['name']}", text.encode())["_id"])
    detectors = searched(server, f"{ANALYTICS}/detectors/_search", {"size": 1000, "query": {"match_all": {}}})
    made = json.loads((folder / "detector.json").read_text(encoding="utf-8"))
    path, identity = f"{ANALYTICS}/detectors", ""
    for hit in detectors:
        body = hit["_source"].get("detector", hit["_source"])
        if body["name"] == made["name"]:
            made, identity = body, hit["_id"]
    made["inputs"][0]["detector_input"]["custom_rules"] += [{"id": one} for one in fresh]
    server.call("PUT" if identity else "POST", f"{path}/{quoted(identity)}" if identity else path, made)
    return [f"{len(fresh)} rules are new, {len(files) - len(fresh)} were there; the detector holds them"]


def remove(server: Server, dry: bool) -> list[str]:  # noqa: FBT001
    """Take out monitors, pipelines, template and what is remembered. Records and exceptions stay."""
    paths = [f"{MONITORS}/{quoted(identity)}" for identity, _ in installed(server).values()]
    paths += [step["path"] for step in reversed(steps({"put"}))] + [INSTALLED]
    told = []
    for path in paths:
        try:
            said = "would delete" if dry else "deleted"
            if not dry:
                server.call("DELETE", path)
        except Refused as wrong:
            said = f"stays ({wrong}):"
        told.append(f"{said} {path}")
    return told


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 done, 1 something was refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["all", "assets", "monitors", "security-analytics", "remove"])
    parser.add_argument("--opensearch", metavar="URL", required=True)
    parser.add_argument("--dry-run", action="store_true")
    said = parser.parse_args(arguments)
    server = Server(said.opensearch)
    told: list[str] = []
    try:
        if said.command in ("all", "assets"):
            every = steps({"put", "index", "rows"})
            told += [f"would {one['kind']} {one['path']}" if said.dry_run else do(server, one) for one in every]
        if said.command in ("all", "monitors"):
            told += put_monitors(server, said.dry_run)
        if said.command == "security-analytics":
            told += put_analytics(server, said.dry_run)
        if said.command == "remove":
            told += remove(server, said.dry_run)
    except Refused as wrong:
        told.append(f"refused: {wrong}")
    print("\n".join(told))  # noqa: T201 - a command
    return 1 if any(line.startswith("refused: ") for line in told) else 0


if __name__ == "__main__":
    sys.exit(main())
