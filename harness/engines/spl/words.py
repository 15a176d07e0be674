"""Words of a command's text: names, ``AS``, options and lists."""

from __future__ import annotations

import re

from harness.engines.spl.values import Unknown

_WORD = re.compile(r'\s*(?:,|"((?:[^"\\]|\\.)*)"|\'([^\']*)\'|([^\s,"\']+))')


def words(text: str) -> list[str]:
    """The words of a text, without their quotes; commas and blanks part them."""
    found, at = [], 0
    while at < len(text.rstrip()):
        match = _WORD.match(text, at)
        if not match:
            raise Unknown(f"the words {text[at : at + 40]!r}")
        at = match.end()
        found += [group for group in match.groups() if group is not None]
    return found


def options(text: str, known: dict[str, str]) -> tuple[dict[str, str], str]:
    """Options ``name=value`` at the beginning, and the rest.

    Args:
        text: of the command.
        known: the options that it takes, with what they are by default.

    Raises:
        Unknown: another option.
    """
    found, rest = dict(known), text.strip()
    while match := re.match(r"(\w+)=(\S+)\s*", rest):
        if match[1] not in known:
            raise Unknown(f"the option {match[1]}")
        found[match[1]] = match[2]
        rest = rest[match.end() :]
    return found, rest


def split_by(text: str) -> tuple[str, list[str]]:
    """What stands before BY, and the fields after it."""
    parts = re.split(r"\s(?:BY|by)\s", text)
    if len(parts) > 2:  # noqa: PLR2004 - before and after
        raise Unknown("BY twice")
    return parts[0], words(parts[1]) if len(parts) > 1 else []


def aliases(text: str) -> list[tuple[str, str]]:
    """``a AS b, c`` as pairs; a name alone stands for itself."""
    found: list[tuple[str, str]] = []
    parts = words(text)
    at = 0
    while at < len(parts):
        if parts[at + 1 : at + 2] and parts[at + 1].upper() == "AS":
            if at + 2 >= len(parts):
                raise Unknown("AS without a name")
            found.append((parts[at], parts[at + 2]))
            at += 3
        else:
            found.append((parts[at], parts[at]))
            at += 1
    return found
