"""Kibana's detection rules, and what Elasticsearch holds.

Source: "Find rules" of Kibana's API specification (GET /api/detection_engine/rules/_find, 8.19 and 9).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from backends.elastic.detection_rule import TAG
from harness.drift.difference import CHANGED, DISABLED, EXTRA, MISSING
from harness.drift.reading import MOST, differing, items, text
from harness.drift.search_engine import assets
from harness.replay.kit.transport import Refused

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from harness.drift.difference import Compared
    from harness.drift.reading import Reader

PAGE = 100
_MARK = re.compile(r"(?m)^// countersign \w+ \d+ ([0-9a-f]{16})\r?\n")
FIELDS = (
    *("type", "language", "severity", "risk_score", "interval", "from", "to", "max_signals", "timestamp_override"),
    *("alert_suppression", "name"),
)
"""What makes a rule find what it finds, when it runs and how loud it is; beside its query."""


def nodes(reader: Reader, files: Mapping[str, str], compared: Compared, skipped: Collection[str]) -> None:
    """Compare what Elasticsearch holds."""
    assets(reader, files, compared, skipped)


def rules(reader: Reader, files: Mapping[str, str], compared: Compared, space: str) -> None:
    """Compare the rules of a space of Kibana."""
    wanted = [json.loads(line) for line in files["rules.ndjson"].split("\n") if line]
    wanted = [one for one in wanted if "rule_id" in one]
    held = {text(one, "rule_id"): one for one in _installed(reader, space)}
    for rule in wanted:
        compared.rules += 1
        stem = rule["meta"]["countersign"]["stem"]
        found = held.pop(rule["rule_id"], None)
        if found is None:
            compared.rule(stem, MISSING)
            continue
        _compare(stem, rule, found, compared)
    for found in held.values():
        compared.rule(text(found, "name") or text(found, "rule_id"), EXTRA, ["no rule of the pack; it bears our tag"])


def _compare(stem: str, rule: Mapping[str, Any], found: Mapping[str, Any], compared: Compared) -> None:
    if found.get("enabled") is not True and rule["enabled"]:
        compared.rule(stem, DISABLED)
    where = [name for name in FIELDS if differing(rule.get(name), found.get(name))]
    query = text(found, "query")
    if _plain(query) != _plain(rule["query"]):
        where.insert(0, "query")
    version = found.get("version")
    installed = version if isinstance(version, int) else None
    old = installed is not None and installed < rule["version"]
    compared.versioned(stem, installed, rule["version"], where)
    if old and edited(query):
        compared.rule(stem, CHANGED, ["query, edited where it is installed"])


def edited(query: str) -> bool:
    """Whether somebody changed a query: its second line holds a digest of the rest, see `rule_query.mark`."""
    found = _MARK.search(query)
    words = " ".join(_MARK.sub("", query, count=1).split())
    return not found or hashlib.sha256(words.encode()).hexdigest()[:16] != found[1]


def _plain(query: str) -> str:
    return "\n".join(line.rstrip() for line in query.strip().splitlines())


def _installed(reader: Reader, space: str) -> list[dict[str, Any]]:
    """All rules with our tag."""
    base = "" if space == "default" else f"/s/{quote(space, safe='')}"
    asked = quote(f'alert.attributes.tags: "{TAG}"', safe="")
    found: list[dict[str, Any]] = []
    for page in range(1, MOST + 1):
        said = reader.get(f"{base}/api/detection_engine/rules/_find?per_page={PAGE}&page={page}&filter={asked}")
        rows = items(said, "data")
        found += rows
        if len(rows) < PAGE:
            return found
    raise Refused(f"Kibana lists more than {MOST * PAGE} rules with the tag {TAG}")
