#!/usr/bin/env python3
"""Install, upgrade or remove the package. Python 3.9 and nothing else; see README.md.

    python3 install.py all --elasticsearch https://… --kibana https://…    everything, as often as you like
    python3 install.py assets --elasticsearch https://…                    templates, pipelines, register
    python3 install.py register --elasticsearch https://…                  the register alone
    python3 install.py rules --kibana https://…                            rules, keeping your changes; dashboards
    python3 install.py merge --installed rules_export.ndjson --out rules_merged.ndjson
                                           the same for those who import by hand
    python3 install.py remove --elasticsearch https://… --kibana https://…

``--dry-run`` says what would be done and asks only what is there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from rest import HERE, Refused, Server, do, quoted, steps  # type: ignore[import-not-found] # beside this file

YOURS = (
    *("enabled", "interval", "from", "to", "severity", "severity_mapping", "risk_score", "risk_score_mapping"),
    *("max_signals", "actions", "throttle", "alert_suppression", "building_block_type", "response_actions"),
    *("rule_name_override", "timeline_id", "timeline_title", "timestamp_override", "investigation_fields"),
    *("timestamp_override_fallback_disabled",),
)
"""What belongs to the admin: it stays as it is in Kibana."""

MARK = re.compile(r"(?m)^// countersign \w+ \d+ ([0-9a-f]{16})\r?\n")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
TAG = "Countersign"


def edited(query: str) -> bool:
    """Whether somebody changed a query: its second line holds a digest of the rest."""
    found = MARK.search(query)
    words = " ".join(MARK.sub("", query, count=1).split())
    return not found or hashlib.sha256(words.encode()).hexdigest()[:16] != found[1]


def back(start: str) -> int:
    """Seconds of ``now-75m``; 0 where it is another form."""
    found = re.fullmatch(r"now-(\d+)([smhd])", start)
    return int(found[1]) * UNITS[found[2]] if found else 0


def merged(new: dict[str, Any], old: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The rule of this package with what the admin changed in Kibana, and what to tell."""
    made, told = dict(new), []
    for key in YOURS:
        if key in old:
            made[key] = old[key]
        elif key in made and key in ("alert_suppression", "investigation_fields"):
            del made[key]
    if 0 < back(str(made["from"])) < back(new["from"]):
        told.append(f"looks back as far as the rule needs: {new['from']}, was {made['from']}")
        made["from"] = new["from"]
    lists = {one["list_id"]: one for one in [*new["exceptions_list"], *old.get("exceptions_list", [])]}
    made["exceptions_list"] = list(lists.values())
    made["tags"] = list(dict.fromkeys([*new["tags"], *(tag for tag in old.get("tags", []) if own(tag))]))
    if edited(old["query"]):
        made["query"] = old["query"]
        told.append("its query was changed in Kibana and stays; compare it with the one in rules.ndjson")
    return made, told


def own(tag: str) -> bool:
    """Whether a tag is the admin's."""
    return not re.match(r"(attack|atlas|owasp|iso|Chapter: |Kind: )", tag)


def rules_of(text: str) -> list[dict[str, Any]]:
    """The rules of an export or of rules.ndjson; lists of exceptions and the summary are left out."""
    found = [json.loads(line) for line in text.split("\n") if line.strip()]
    return [one for one in found if "rule_id" in one]


def upgraded(package: str, installed: list[dict[str, Any]]) -> tuple[str, list[str]]:
    """The file to import over what is installed, and what to tell."""
    held = {rule["rule_id"]: rule for rule in installed}
    lines, told = [], []
    known = set()
    for line in filter(None, package.split("\n")):
        new = json.loads(line)
        if "rule_id" in new:
            known.add(new["rule_id"])
            if new["rule_id"] in held:
                new, said = merged(new, held[new["rule_id"]])
                told += [f"{new['name']}: {one}" for one in said]
            else:
                told.append(f"{new['name']}: new")
        lines.append(json.dumps(new, ensure_ascii=False))
    for rule in installed:
        if TAG in rule.get("tags", []) and rule["rule_id"] not in known:
            told.append(f"{rule['name']}: no longer in the package; it stays as it is, disable or delete it")
    return "".join(f"{line}\n" for line in lines), told


def installed_rules(kibana: Server, base: str) -> list[dict[str, Any]]:
    """Rules with our tag, all pages."""
    found: list[dict[str, Any]] = []
    asked = quoted(f'alert.attributes.tags: "{TAG}"')
    while True:
        page = len(found) // 100 + 1
        said = kibana.call("GET", f"{base}api/detection_engine/rules/_find?per_page=100&page={page}&filter={asked}")
        found += said["data"]
        if len(said["data"]) < 100 or len(found) >= said["total"]:  # noqa: PLR2004 - a page
            return found


def put_rules(kibana: Server, space: str, dry: bool) -> list[str]:  # noqa: FBT001 - a switch
    """Import rules and dashboards; what the admin changed is in the file that is imported."""
    base = f"s/{quoted(space)}/" if space != "default" else ""
    package = (HERE / "rules.ndjson").read_text(encoding="utf-8")
    text, told = upgraded(package, installed_rules(kibana, base))
    if dry:
        return [*told, f"would import {len(rules_of(text))} rules and the dashboards"]
    path = f"{base}api/detection_engine/rules/_import?overwrite=true&overwrite_exceptions=false"
    said = kibana.upload(path, "rules.ndjson", text.encode())
    told += [f"refused: {one.get('rule_id')}: {one['error']['message']}" for one in said.get("errors", [])]
    pages = (HERE / "dashboards.ndjson").read_bytes()
    shown = kibana.upload(f"{base}api/saved_objects/_import?overwrite=true", "dashboards.ndjson", pages)
    told += [f"refused: {one.get('id')}: {json.dumps(one.get('error'))}" for one in shown.get("errors", [])]
    return [*told, f"{said.get('success_count', 0)} rules and {shown.get('successCount', 0)} dashboards imported"]


def remove(elasticsearch: Server | None, kibana: Server | None, space: str, dry: bool) -> list[str]:  # noqa: FBT001
    """Take out rules, dashboards, register, pipelines and templates. Records, alerts and exceptions stay."""
    told = []
    if kibana:
        base = f"s/{quoted(space)}/" if space != "default" else ""
        rules = [quoted(rule["rule_id"]) for rule in installed_rules(kibana, base)]
        told += [_gone(kibana, f"{base}api/detection_engine/rules?rule_id={one}", dry) for one in rules]
        pages = (HERE / "dashboards.ndjson").read_text(encoding="utf-8").split("\n")[:-1]
        told += [_gone(kibana, f"{base}api/saved_objects/dashboard/{json.loads(one)['id']}", dry) for one in pages]
    if elasticsearch:
        told += [_gone(elasticsearch, step["path"], dry) for step in reversed(steps({"index", "put"}))]
    return told


def _gone(server: Server, path: str, dry: bool) -> str:  # noqa: FBT001
    if dry:
        return f"would delete {path}"
    try:
        server.call("DELETE", path)
    except Refused as wrong:
        return f"stays: {wrong}"
    return f"deleted {path}"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 done, 1 something was refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["all", "assets", "register", "rules", "merge", "remove"])
    parser.add_argument("--elasticsearch", metavar="URL")
    parser.add_argument("--kibana", metavar="URL")
    parser.add_argument("--space", default="default", help="Kibana's space")
    parser.add_argument("--installed", type=Path, help="rules as Kibana exported them")
    parser.add_argument("--out", type=Path, help="the file to write")
    parser.add_argument("--dry-run", action="store_true")
    said = parser.parse_args(arguments)
    needs = {
        "all": ("elasticsearch", "kibana"),
        "assets": ("elasticsearch",),
        "register": ("elasticsearch",),
        "rules": ("kibana",),
        "merge": ("installed", "out"),
        "remove": (),
    }
    missing = [f"--{name}" for name in needs[said.command] if not getattr(said, name)]
    if missing:
        parser.error(f"{said.command} needs {' and '.join(missing)}")
    elasticsearch = Server(said.elasticsearch) if said.elasticsearch else None
    kibana = Server(said.kibana, {"kbn-xsrf": "countersign"}) if said.kibana else None
    told: list[str] = []
    try:
        if said.command == "merge":
            installed = rules_of(said.installed.read_text(encoding="utf-8"))
            text, told = upgraded((HERE / "rules.ndjson").read_text(encoding="utf-8"), installed)
            said.out.write_text(text, encoding="utf-8")
        if said.command == "remove":
            told += remove(elasticsearch, kibana, said.space, said.dry_run)
        if said.command in ("all", "assets", "register") and elasticsearch:
            every = steps({"index", "rows"} if said.command == "register" else {"put", "index", "rows"})
            told += [f"would {one['kind']} {one['path']}" if said.dry_run else do(elasticsearch, one) for one in every]
        if said.command in ("all", "rules") and kibana:
            told += put_rules(kibana, said.space, said.dry_run)
    except Refused as wrong:
        told.append(f"refused: {wrong}")
    except OSError as wrong:
        told.append(f"refused: {wrong}")
    print("\n".join(told))  # noqa: T201 - a command
    return 1 if any("refused: " in line for line in told) else 0


if __name__ == "__main__":
    sys.exit(main())
