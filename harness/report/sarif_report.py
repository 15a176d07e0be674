"""SARIF 2.1.0, as code scanning and many dashboards import it: a rule's metadata once, a result for each finding."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import PurePath
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from harness.finding import Finding, RecordRef, RuleRef, ScanResult

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note", "informational": "note"}
SEVERITY = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "3.0", "informational": "0.0"}
"""``security-severity`` by which code scanning sorts, in the bands of CVSS v3."""


def render(result: ScanResult, stream: IO[str]) -> None:
    """Write one run; ASCII only, so that no terminal acts on text from a log."""
    rules = list({finding.rule.stem: finding for finding in result.findings}.values())
    places = {finding.rule.stem: at for at, finding in enumerate(rules)}
    run = {
        "tool": {
            "driver": {
                "name": "countersign",
                "semanticVersion": version("countersign"),
                "rules": [_rule(finding.rule, finding.tags) for finding in rules],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, places[finding.rule.stem]) for finding in result.findings],
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [
                    {
                        "level": "warning",
                        "message": {"text": _plain(rejected.reason)},
                        "locations": [_location(rejected.file, rejected.line)],
                    }
                    for rejected in result.rejected
                ],
            }
        ],
    }
    stream.write(json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n")


def _rule(rule: RuleRef, tags: tuple[str, ...]) -> dict[str, Any]:
    return {
        "id": rule.stem,
        "guid": rule.id,
        "name": "".join(word.title() for word in rule.stem.split("_")),
        "shortDescription": {"text": rule.title},
        "defaultConfiguration": {"level": LEVELS[rule.level]},
        "properties": {"tags": list(tags), "security-severity": SEVERITY[rule.level], "level": rule.level},
    }


def _result(finding: Finding, rule: int) -> dict[str, Any]:
    said = finding.to_dict()
    return {
        "ruleId": finding.rule.stem,
        "ruleIndex": rule,
        "level": LEVELS[finding.rule.level],
        "kind": "fail",
        "message": {"text": _plain(finding.sentence)},
        "locations": [_of(record) for record in finding.records[:1]],
        "relatedLocations": [{"id": at, **_of(record)} for at, record in enumerate(finding.records[1:], 1)],
        "partialFingerprints": {"countersign/v1": finding.id},
        "occurrenceCount": finding.count,
        "properties": {
            name: said[name]
            for name in ("first_seen", "last_seen", "who", "agent", "server", "tool", "system", "chain", "group")
        }
        | {"fields": said["fields"], "led_by": finding.led_by, "also": list(finding.also)},
    }


def _of(record: RecordRef) -> dict[str, Any]:
    return _location(record.file, record.line)


def _location(file: str, line: int) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(PurePath(file).as_posix(), errors="surrogateescape")}}
    if line > 0:
        place["region"] = {"startLine": line}
    return {"physicalLocation": place}


def _plain(text: str) -> str:
    """SARIF reads ``[…](…)`` in a message as a link and ``{0}`` as an argument (§3.11.5, §3.11.6)."""
    for character in "\\[]":
        text = text.replace(character, f"\\{character}")
    return text.replace("{", "{{").replace("}", "}}")
