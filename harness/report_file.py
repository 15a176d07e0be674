"""A finding out of a report that ``scan -o`` wrote, by its id or the beginning of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema

from backends.errors import Mistake, Mistakes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NAMED = 5
"""Findings that are named where several, or none, have an id."""


def finding_of(report: Path, word: str, schema: Path) -> Mapping[str, Any]:
    """The one finding of a report, ``json`` or ``jsonl``, whose id begins with a word.

    Raises:
        Mistakes: the file is no such report, or no finding or several have such an id.
    """
    findings = dict(_findings(report))
    near = [each for each in findings if each.startswith(word.lower())]
    if len(near) == 1 or word.lower() in findings:
        found = findings[word.lower() if word.lower() in findings else near[0]]
        _check(found, report, schema)
        return found
    if near:
        message = f"{len(near)} findings begin so: {_some(near)}; write more of the id"
    else:
        held = f"it holds {_some(list(findings))}" if findings else "it holds none"
        message = f"no finding of {report} has this id; {held}"
    raise Mistakes([Mistake(word, 0, message)])


def _some(ids: list[str]) -> str:
    more = f" and {len(ids) - NAMED:,} more" if len(ids) > NAMED else ""
    return ", ".join(ids[:NAMED]) + more


def _findings(report: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for found in _objects(report):
        if isinstance(found, dict) and isinstance(found.get("id"), str):
            yield found["id"], found


def _objects(report: Path) -> Iterator[Any]:
    try:
        text = report.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        raise Mistakes([Mistake(str(report), 0, f"the report can't be read: {wrong}")]) from wrong
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        yield from _lines(report, text)
        return
    if isinstance(document, dict) and isinstance(document.get("findings"), list):
        yield from document["findings"]
    elif isinstance(document, dict) and "rule" in document:
        yield document
    else:
        raise _no_report(report, 0)


def _lines(report: Path, text: str) -> Iterator[Any]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                raise _no_report(report, number) from None


def _no_report(report: Path, line: int) -> Mistakes:
    message = "this is no report of scan in JSON; write one with scan --format json -o FILE, or jsonl"
    return Mistakes([Mistake(str(report), line, message)])


def _check(found: Mapping[str, Any], report: Path, schema: Path) -> None:
    """A report may have been edited or made up: nothing of it is taken that is not a finding's."""
    validator = jsonschema.Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))
    wrong = [
        Mistake(str(report), 0, f"finding {found['id']}: {'.'.join(map(str, error.absolute_path))}: {error.message}")
        for error in validator.iter_errors(found)
    ]
    if wrong:
        raise Mistakes(sorted(wrong))
