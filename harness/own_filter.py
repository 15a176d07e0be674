"""A Sigma filter that a person may keep for a finding that is expected: written from what the finding groups by."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

import yaml
from sigma.exceptions import SigmaError
from sigma.rule import SigmaDetections

from backends.absence import absent
from harness.oracle import Unsupported
from harness.rule_file import PRODUCT
from harness.terms import part_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.ruleset import Rule

_CONCERNED = {
    "event": {
        "agent": "gen_ai.agent.id",
        "server": "mcp.server.name",
        "tool": "gen_ai.tool.name",
        "system": "service.target.name",
    },
    "chain": {"agent": "chain.agents", "server": "chain.servers", "tool": "chain.tools", "system": "chain.systems"},
}
"""What a finding names, and the field of a record that says it."""

_MARKS = ("[secret", "[content, ", "… (")


def is_masked(value: Any) -> bool:
    """Whether a value of a report is not the one that was logged."""
    if isinstance(value, list):
        return any(map(is_masked, value))
    return isinstance(value, str) and any(mark in value for mark in _MARKS)


def own_filter(finding: Mapping[str, Any], rule: Rule) -> str:
    """The text of a filter that exempts this finding and those like it.

    It asks for what the finding groups by, or else for the agent, server, tool and system that it names. Where only
    masked values would tell it apart there is none, nor where the chain alone would: another chain comes tomorrow.
    """
    tests = {
        name: value
        for name, value in finding["group"].items()
        if rule.service == "event" and not name.startswith("chain.id") and _usable(value)
    } or {name: finding[key] for key, name in _CONCERNED[rule.service].items() if _usable(finding[key])}
    written = {name: _escaped(value) for name, value in tests.items()}
    if not written or not _meant(written, tests, rule):
        return ""
    document = {
        "title": f"Expected: {rule.title}"[:256],
        "description": "Say here why this is expected, who decided so, and until when.",
        "date": finding["last_seen"][:10],
        "logsource": {"product": PRODUCT, "service": rule.service},
        "filter": {
            "rules": [str(part.id) for part in rule.parts],
            "selection": written,
            "condition": "not selection",
        },
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=False, width=10_000)


def _usable(value: Any) -> bool:
    return not absent(value) and isinstance(value, str | int | float | bool) and not is_masked(value)


def _escaped(value: Any) -> Any:
    """Text as Sigma reads it back: a star or question mark of a record is no wildcard."""
    return re.sub(r"(\\*)([*?])", r"\1\1\\\2", value) if isinstance(value, str) else value


def _meant(written: Mapping[str, Any], values: Mapping[str, Any], rule: Rule) -> bool:
    """Whether the filter's selection is true of just these values."""
    try:
        detections = SigmaDetections.from_dict({"selection": dict(written), "condition": "selection"})
        term = part_of("selection", _with(rule, detections))
    except (SigmaError, Unsupported):
        return False
    return term.holds(values) and not any(
        term.holds({**values, name: f"{value}x"}) for name, value in values.items() if isinstance(value, str)
    )


def _with(rule: Rule, detections: SigmaDetections) -> Any:
    copied = copy.copy(rule.parts[0])
    copied.detection = detections
    return copied
