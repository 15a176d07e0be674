"""A finding's plain sentence: a template of ``{field}`` and ``{field|fallback}``, filled with safe, short values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from backends.absence import absent
from backends.errors import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NOTHING_KNOWN = "(unknown)"
"""Stands for a field that the record lacks and the template has no fallback for."""

VALUE_LIMIT = 80
"""Characters of a value that a sentence shows."""

ITEMS_SHOWN = 3
"""Items of an array that a sentence names; the rest is counted."""

_PLACEHOLDER = re.compile(r"\{([@\w.]+)(?:\|([^{}]*))?\}")


@dataclass(frozen=True)
class Placeholder:
    """A field named in a template, and what is said when the record lacks it."""

    field: str
    fallback: str = NOTHING_KNOWN


@cache
def parsed(template: str) -> tuple[str | Placeholder, ...]:
    """The template as plain text and placeholders, in order.

    Raises:
        ValueError: a brace that belongs to no placeholder.
    """
    parts: list[str | Placeholder] = []
    end = 0
    for match in _PLACEHOLDER.finditer(template):
        parts += [template[end : match.start()], Placeholder(match[1], match[2] or NOTHING_KNOWN)]
        end = match.end()
    parts.append(template[end:])
    if any(isinstance(part, str) and ("{" in part or "}" in part) for part in parts):
        raise ValueError(f"a brace without a field in the sentence {template!r}")
    return tuple(part for part in parts if part != "")


def fields(template: str) -> tuple[str, ...]:
    """The fields that a template names, each once, in order."""
    return tuple(dict.fromkeys(part.field for part in parsed(template) if isinstance(part, Placeholder)))


def plain(name: str, value: Any) -> str:  # noqa: ARG001 - a mask needs the name, this does not
    """A value as text, not yet safe: arrays are cut to their first items, booleans are JSON's."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        items = [plain("", item) for item in value[:ITEMS_SHOWN]]
        more = len(value) - len(items)
        return ", ".join(items) + (f" and {more} more" if more else "")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def render(template: str, values: Mapping[str, Any], shown: Callable[[str, Any], str] = plain) -> str:
    """The sentence for flat ``values``.

    ``shown`` turns a field's name and value into text; it is where secrets and sensitive fields are masked
    (``harness.masking``). Whatever it gives is made safe for a terminal and shortened here.
    """
    text = []
    for part in parsed(template):
        if isinstance(part, str):
            text.append(part)
            continue
        value = values.get(part.field)
        text.append(part.fallback if absent(value) else short(shown(part.field, value)))
    return "".join(text)


def short(text: str, limit: int = VALUE_LIMIT) -> str:
    """Safe text of at most ``limit`` characters; the middle gives way, since ids differ at their ends."""
    tail = limit // 4
    head = visible(text[: limit + 1])
    if len(text) <= limit and len(head) <= limit:
        return head
    return f"{head[: limit - tail - 1]}…{visible(text[-limit:])[-tail:]}"
