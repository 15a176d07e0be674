"""A finding's plain sentence as an SQL expression over the view: ``{field}`` and ``{field|fallback}``, filled safely.

It needs nothing but Python: the lake packages carry this file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.lake.dialect import Dialect

NOTHING_KNOWN = "(unknown)"
LIMIT, HEAD, TAIL = 80, 59, 20
"""Characters of a value that a sentence shows; the middle gives way, since ids differ at their ends."""

ITEMS = 3
"""Items of an array that are named; the rest is counted."""

COUNTED = ("correlation.count", "correlation.values")
"""Known only of all records of a finding together: they stay in the text, to be filled in then."""

_PLACEHOLDER = re.compile(r"\{([@\w.]+)(?:\|([^{}]*))?\}")


def sentence(template: str, kinds: Mapping[str, str], dialect: Dialect) -> str:
    """SQL of the sentence of one row.

    Args:
        template: text with placeholders.
        kinds: field → its kind, ``[]`` behind that of an array.
        dialect: whose SQL.
    """
    parts, end = [], 0
    for found in _PLACEHOLDER.finditer(template):
        parts.append(dialect.literal(template[end : found.start()]))
        name, fallback = found[1], found[2] or NOTHING_KNOWN
        if name in COUNTED:
            parts.append(dialect.literal("{" + name + "}"))
        elif name in kinds:
            parts.append(f"coalesce({value(name, kinds[name], dialect)}, {dialect.literal(fallback)})")
        else:
            parts.append(dialect.literal(fallback))
        end = found.end()
    parts.append(dialect.literal(template[end:]))
    return f"concat({', '.join(part for part in parts if part != chr(39) * 2)})"


def value(name: str, kind: str, dialect: Dialect) -> str:
    """SQL of a field's value as a sentence shows it; NULL where it is absent."""
    column = dialect.quoted(name)
    if kind.endswith("[]"):
        more = f"{dialect.size(column)} - {ITEMS}"
        rest = f"concat(' and ', {dialect.text(f'({more})')}, ' more')"
        said = f"concat({dialect.joined(dialect.first(column, ITEMS))}, CASE WHEN {more} > 0 THEN {rest} ELSE '' END)"
        return f"CASE WHEN {column} IS NOT NULL THEN {_short(said, dialect)} END"
    if kind == "time":
        return dialect.written(column)
    if kind in {"number", "integer"}:
        return f"regexp_replace({dialect.text(column)}, '[.]0$', '')"
    return dialect.text(column) if kind == "boolean" else _short(column, dialect)


def _short(text: str, dialect: Dialect) -> str:
    clean = dialect.clean(text)
    return (
        f"CASE WHEN length({clean}) > {LIMIT} THEN concat(left({clean}, {HEAD}), '…', right({clean}, {TAIL})) "
        f"ELSE {clean} END"
    )
