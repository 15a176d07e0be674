"""One finding a row, for a spreadsheet: nothing in it is a formula, and no character moves a cursor."""

from __future__ import annotations

import csv
from typing import IO, TYPE_CHECKING, Any

from backends.errors import visible

if TYPE_CHECKING:
    from harness.finding import Finding, ScanResult

COLUMNS = (
    *("id", "level", "rule", "number", "title", "chapter", "kind", "sentence", "first_seen", "last_seen", "count"),
    *("user", "effective", "agent", "server", "tool", "system", "chain", "led_by", "also", "records", "fields", "tags"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "|", "%", "＝", "＋", "－", "＠")
"""A cell that begins so is calculated by some spreadsheet (OWASP, "CSV Injection")."""


def render(result: ScanResult, stream: IO[str]) -> None:
    """Write a header and a row a finding (RFC 4180)."""
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(value) for value in _row(finding)] for finding in result.findings)


def _row(finding: Finding) -> tuple[Any, ...]:
    rule = finding.rule
    return (
        *(finding.id, rule.level, rule.stem, rule.number, rule.title, rule.chapter, rule.kind, finding.sentence),
        *(finding.first_seen, finding.last_seen, finding.count, finding.who.user, finding.who.effective),
        *(finding.agent, finding.server, finding.tool, finding.system, finding.chain and finding.chain.id),
        *(finding.led_by, " ".join(finding.also), " ".join(map(str, finding.records))),
        *("; ".join(f"{name}={_text(value)}" for name, value in finding.fields.items()), " ".join(finding.tags)),
    )


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "|".join(map(_text, value))
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _cell(value: Any) -> str:
    text = visible(_text(value), limit=32_000)  # a spreadsheet's cell holds 32,767 characters
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
