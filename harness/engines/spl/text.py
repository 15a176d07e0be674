"""The text of a search: comments taken out, macros put in, and cut into commands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.engines.spl.values import Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

DEEP = 20
"""Macros in macros; more is a loop."""


@dataclass(frozen=True)
class Macro:
    """A search macro (Knowledge Manager Manual, "Use search macros in searches").

    Attributes:
        definition: its text.
        arguments: names that stand as ``$name$`` in the text.
    """

    definition: str
    arguments: tuple[str, ...] = ()


def plain(search: str) -> str:
    """The search without what stands between three backticks (Search Manual, "Add comments to searches")."""
    return re.sub(r"```.*?```", " ", search, flags=re.DOTALL)


def expanded(search: str, macros: Mapping[str, Macro], depth: int = 0) -> str:
    """The search with each macro's text in its place.

    Raises:
        Unknown: a macro that does not exist, or too deep.
    """
    if depth > DEEP:
        raise Unknown("macros that call each other without end")

    def put(found: re.Match[str]) -> str:
        if found[0].startswith('"'):
            if "`" in found[0]:
                raise Unknown("a backtick inside quotes")
            return found[0]
        name, arguments = _called(found[0].strip("`"))
        macro = macros.get(name)
        if macro is None or len(macro.arguments) != len(arguments):
            raise Unknown(f"the macro {name!r} with {len(arguments)} arguments")
        definition = plain(macro.definition)
        for argument, value in zip(macro.arguments, arguments, strict=True):
            definition = definition.replace(f"${argument}$", value)
        return expanded(definition.strip(), macros, depth + 1)

    return _CALLS.sub(put, plain(search))


_CALLS = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`"]*`', re.DOTALL)


def _called(call: str) -> tuple[str, list[str]]:
    """A macro's name and its arguments, which hold no commas of their own."""
    found = re.fullmatch(r"(\w+)(?:\(([^()]*)\))?", call.strip())
    if not found:
        raise Unknown(f"the macro call {call!r}")
    return found[1], [part.strip() for part in found[2].split(",")] if found[2] else []


def commands(search: str) -> list[str]:
    """The commands between pipes; a pipe in quotes or brackets is none.

    Raises:
        Unknown: quotes or brackets that are not closed.
    """
    found, start, deep, at = [], 0, 0, 0
    while at < len(search):
        character = search[at]
        if character in "\"'":
            at = _closed(search, at)
            continue
        deep += {"[": 1, "]": -1, "(": 1, ")": -1}.get(character, 0)
        if deep < 0:
            raise Unknown(f"a bracket is closed that was not opened: {search[max(0, at - 40) : at + 1]!r}")
        if character == "|" and not deep:
            found.append(search[start:at].strip())
            start = at + 1
        at += 1
    if deep:
        raise Unknown("a bracket is not closed")
    found.append(search[start:].strip())
    return [command for command in found if command]


def _closed(search: str, at: int) -> int:
    """The place after the quotes that open at ``at``."""
    quote, end = search[at], at + 1
    while end < len(search) and search[end] != quote:
        end += 2 if search[end] == "\\" and quote == '"' else 1
    if end >= len(search):
        raise Unknown(f"quotes are not closed: {search[at : at + 40]!r}")
    return end + 1
