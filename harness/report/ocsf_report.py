"""One OCSF 1.6 Detection Finding (class 2004) a line, as a data lake takes it in."""

from __future__ import annotations

import json
from datetime import datetime
from importlib.metadata import version
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.finding import Finding, ScanResult

OCSF = "1.6.0"
FINDINGS, DETECTION_FINDING, CREATE = 2, 2004, 1
SEVERITY = {"informational": 1, "low": 2, "medium": 3, "high": 4, "critical": 5}
NEW = 1


def render(result: ScanResult, stream: IO[str]) -> None:
    """Write the findings; ASCII only, so that no terminal acts on text from a log."""
    for finding in result.findings:
        stream.write(json.dumps(_event(finding)) + "\n")


def _event(finding: Finding) -> dict[str, Any]:
    rule, said = finding.rule, finding.to_dict()
    event = {
        "category_uid": FINDINGS,
        "class_uid": DETECTION_FINDING,
        "activity_id": CREATE,
        "type_uid": DETECTION_FINDING * 100 + CREATE,
        "time": _milliseconds(finding.last_seen),
        "start_time": _milliseconds(finding.first_seen),
        "end_time": _milliseconds(finding.last_seen),
        "count": finding.count,
        "severity_id": SEVERITY[rule.level],
        "severity": rule.level.title(),
        "status_id": NEW,
        "message": finding.sentence,
        "metadata": {
            "version": OCSF,
            "product": {"name": "countersign", "vendor_name": "countersign", "version": version("countersign")},
            "labels": list(finding.tags),
            "correlation_uid": finding.chain.id if finding.chain else None,
        },
        "finding_info": {
            "uid": finding.id,
            "title": rule.title,
            "desc": finding.sentence,
            "types": [rule.chapter, rule.kind],
            "first_seen_time": _milliseconds(finding.first_seen),
            "last_seen_time": _milliseconds(finding.last_seen),
            "analytic": {"uid": rule.id, "name": rule.stem, "type_id": 1, "type": "Rule"},
            "related_events": [{"uid": finding.led_by, "type": "led by"}] if finding.led_by else None,
        },
        "evidences": [{"data": {"fields": said["fields"], "group": said["group"], "records": said["records"]}}],
        "resources": [
            {"name": name, "type": kind}
            for kind, name in (
                *(("agent", finding.agent), ("mcp server", finding.server)),
                *(("tool", finding.tool), ("system", finding.system)),
            )
            if name
        ],
        "actor": {"user": {"name": finding.who.user}} if finding.who.user else None,
        "unmapped": {"effective": finding.who.effective, "actor_type": finding.who.actor_type, "also": said["also"]},
    }
    whole: dict[str, Any] = _without_none(event)
    return whole


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None and item != []}
    return [_without_none(item) for item in value] if isinstance(value, list) else value


def _milliseconds(time: str) -> int:
    moment = datetime.fromisoformat(time)
    return int(moment.replace(microsecond=0).timestamp()) * 1000 + moment.microsecond // 1000
