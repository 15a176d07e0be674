"""Rules as Security Analytics imports them: Sigma, in the words that its own parser knows.

Source: "Rule APIs", "Log type APIs" and "Detector APIs" of the OpenSearch documentation; the words are those of
SigmaModifierFacade, SigmaRule and SigmaDetectionItem of opensearch-project/security-analytics (2.19 to 3). It has no
``exists``, which is said as null and ``*`` here, no ``fieldref``, no flags of expressions, and no correlation rules.
Detectors look at one record at a time as it comes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from backends.package import Content, Packed

LOG_TYPE = "countersign"
KNOWN = frozenset(
    [
        *("contains", "startswith", "endswith", "base64", "base64offset", "wide", "windash", "re", "cidr"),
        *("all", "lt", "lte", "gt", "gte"),
    ]
)
"""Modifiers that its parser has."""

_TITLE = re.compile(r"(?![_+-])(?!.*\.\.)[^*?\"<>|#\\/,:]{1,256}")
"""A name that its validation takes (ValidationHelpers of opensearch-project/common-utils)."""


def custom_rules(content: Content) -> tuple[dict[str, str], dict[str, str]]:
    """Stem → YAML of the rules that it can hold, and stem → why it can't, in a sentence."""
    held, refused = {}, dict(content.refused)
    for rule in content.rules:
        made = _said(rule)
        if isinstance(made, str):
            refused[rule.stem] = made
        else:
            held[rule.stem] = yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=1_000)
    return held, refused


def _said(rule: Packed) -> dict[str, Any] | str:
    """The rule in its words, or why not."""
    documents = list(yaml.safe_load_all(rule.source))
    if len(documents) > 1 or "correlation" in documents[0]:
        return f"rule {rule.stem!r} correlates records; take its monitor"
    (document,) = documents
    if not _TITLE.fullmatch(rule.title):
        return f"the title of {rule.stem!r} has characters that Security Analytics does not take; take its monitor"
    detection: dict[str, Any] = {}
    for name, part in document["detection"].items():
        said = part if name == "condition" else _part(part)
        if isinstance(said, str) and name != "condition":
            return f"rule {rule.stem!r} uses the modifier {said!r}, which Security Analytics has not; take its monitor"
        detection[name] = said
    kept = ("title", "id", "status", "description", "references", "author", "date", "tags", "falsepositives", "level")
    made = {key: document[key] for key in kept if key in document}
    made |= {"date": str(made["date"])} if "date" in made else {}
    return {**made, "logsource": {"product": LOG_TYPE, "category": LOG_TYPE}, "detection": detection}


def _part(part: Any) -> Any:
    """A selection in its words; a text: the modifier that it has not."""
    if isinstance(part, list):
        found = [_part(one) for one in part]
        return next((one for one in found if isinstance(one, str)), found)
    if not isinstance(part, dict):
        return "keyword"
    made: dict[str, Any] = {}
    for key, value in part.items():
        field, *modifiers = key.split("|")
        if modifiers == ["exists"]:
            made[field] = "*" if value else None
            continue
        if wrong := next((one for one in modifiers if one not in KNOWN), None):
            return wrong
        made[key] = value
    return made


def log_type() -> dict[str, str]:
    """The body of ``POST _plugins/_security_analytics/logtype``."""
    return {"name": LOG_TYPE, "description": "What AI agents do over MCP, and for whom", "source": "Custom"}


def detector(index: str) -> dict[str, Any]:
    """The body of ``POST _plugins/_security_analytics/detectors``; install.py fills in the ids that the server gives."""
    levels = ["critical", "high", "medium", "low"]
    return {
        "type": "detector",
        "detector_type": LOG_TYPE,
        "name": "countersign",
        "enabled": True,
        "schedule": {"period": {"interval": 5, "unit": "MINUTES"}},
        "inputs": [
            {
                "detector_input": {
                    "description": "Rules of Countersign that judge single records",
                    "indices": [index],
                    "custom_rules": [],
                    "pre_packaged_rules": [],
                }
            }
        ],
        "triggers": [
            {
                "name": f"countersign {level}",
                "severity": str(number),
                "types": [LOG_TYPE],
                "sev_levels": [level],
                "ids": [],
                "tags": [],
                "actions": [],
            }
            for number, level in enumerate(levels, 1)
        ],
    }
