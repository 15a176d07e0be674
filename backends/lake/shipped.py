"""What a lake package carries beside its SQL: the catalogue of rules, the register as CSV, and what reads it."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from backends.errors import visible
from backends.package import NotAllowed
from backends.register_tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backends.package import Content, Packed
    from backends.vocabulary import Vocabulary

BACKENDS = Path(__file__).parents[1]
READERS = (
    "__init__.py",
    "absence.py",
    "concepts.py",
    "errors.py",
    "marked_yaml.py",
    "register.py",
    "register_contradictions.py",
    "register_forms.py",
    "register_rows.py",
    "register_tables.py",
    "vocabulary.py",
    "lake/__init__.py",
    "lake/dialect.py",
    "lake/findings.py",
    "lake/loaded.py",
    "lake/own.py",
    "lake/sentence.py",
)
"""Modules that need nothing but Python; each says so."""

STEM = re.compile(r"[a-z0-9_]{1,100}")


def code(names: Sequence[str]) -> dict[str, str]:
    """Modules as they are, below ``backends/``, so that their imports hold."""
    return {f"backends/{name}": (BACKENDS / name).read_text(encoding="utf-8") for name in names}


def register(content: Content) -> dict[str, str]:
    """The team's tables as CSV; those that it keeps none of have a first line only."""
    return {f"register/{name}.csv": _csv(name, content.register.get(name, ())) for name in TABLES}


def _csv(table: str, rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = list(TABLES[table].columns)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(table, name, row.get(name)) for name in columns])
    return out.getvalue()


def _cell(table: str, column: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        if any("|" in str(item) for item in value):
            raise NotAllowed(f"{table}.{column} holds a |, which separates items in CSV; write it without")
        return "|".join(map(str, value))
    return str(value)


def catalogue(content: Content) -> str:
    """What the driver knows of the rules and fields, as JSON."""
    rules = [_said(rule) for rule in content.rules]
    return (
        json.dumps(
            {
                "pack": content.version,
                "rules": rules,
                "never": content.never,
                "client_ids": content.client_ids,
                "fields": {"event": kinds(content.events), "chain": kinds(content.chains)},
                "read": [name for name, field in content.events.fields.items() if not field.derived],
            },
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
    )


def _said(rule: Packed) -> dict[str, Any]:
    named(rule)
    return {
        "stem": rule.stem,
        "id": rule.id,
        "title": visible(rule.title),
        "level": rule.level,
        "kind": rule.kind,
        "service": rule.service,
        "correlated": rule.window_sec > 0,
        "group_by": rule.group_by,
        "period_us": rule.period_sec * 1_000_000,
        "rule_version": rule.version,
        "sentence": visible(rule.sentence),
        "needs_register": rule.needs_register,
    }


def named(rule: Packed) -> str:
    """The rule's stem, which names files.

    Raises:
        NotAllowed: it can't.
    """
    if not STEM.fullmatch(rule.stem):
        raise NotAllowed(f"the rule {rule.stem!r} names a file here; call it by letters a-z, digits and _")
    return rule.stem


def kinds(vocabulary: Vocabulary) -> dict[str, str]:
    """Field → kind, ``[]`` behind that of an array."""
    return {name: field.kind + "[]" * field.array for name, field in vocabulary.fields.items()}


def head(rule: Packed) -> str:
    """Comment lines over a rule's SQL; what they say can't end a line."""
    lines = [
        f"{rule.title} ({rule.level})",
        f"countersign rule {rule.stem}, id {rule.id}, version {rule.version}",
        f"Grouped by {', '.join(rule.group_by) or 'nothing'}; hits of {rule.period_sec} s are one finding.",
    ]
    return "".join(f"-- {visible(line)}\n" for line in lines)


def cell(text: str) -> str:
    """Text for a cell of a Markdown table."""
    said = visible(text).replace("\\", "\\\\")
    for letter in "|`<>[]*_":
        said = said.replace(letter, "\\" + letter)
    return said


def page(folder: Path, **values: Any) -> str:
    """The README of a package, from its template; what a rule says goes through `cell`."""
    # Markdown, not HTML: `cell` escapes for both
    forms = Environment(loader=FileSystemLoader(folder), undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701
    forms.filters["cell"] = cell
    return forms.get_template("README.md.j2").render(**values)
