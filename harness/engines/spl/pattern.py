"""Regular expressions of eval and rex: PCRE, as far as our queries use it, turned into Python's."""

from __future__ import annotations

import re
from functools import lru_cache

from harness.engines.spl.values import Unknown

_ESCAPES = set("dDsSwWbBtnrA") | set(".\\+*?()[]{}^$|/\"'<>#&~-=!:;,%@ `")


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:  # noqa: C901 - one branch an escape
    r"""The pattern, compiled.

    ``\\z`` is the very end, ``\\Q…\\E`` plain text, ``(?<name>…)`` a named group; letters, digits and blanks are those
    of ASCII, as in PCRE without UCP.

    Raises:
        Unknown: an escape or a group that our queries do not use.
    """
    out: list[str] = []
    at = 0
    while at < len(pattern):
        if pattern[at] == "\\":
            if at + 1 == len(pattern):
                raise Unknown("a regular expression ends in a backslash")
            follows = pattern[at + 1]
            if follows == "Q":
                end = pattern.find("\\E", at + 2)
                end = len(pattern) if end < 0 else end
                out.append(re.escape(pattern[at + 2 : end]))
                at = end + 2
                continue
            if follows == "z":
                out.append(r"\Z")
            elif follows == "x" and re.fullmatch("[0-9a-fA-F]{2}", pattern[at + 2 : at + 4]):
                out.append(pattern[at : at + 4])
                at += 2
            elif follows in _ESCAPES or not (follows.isascii() and follows.isalnum()):
                out.append(pattern[at : at + 2] if follows.isascii() else re.escape(follows))
            elif follows.isdigit():
                out.append(pattern[at : at + 2])
            else:
                raise Unknown(f"the escape \\{follows} in a regular expression")
            at += 2
            continue
        if pattern.startswith("(?<", at) and pattern[at + 3 : at + 4] not in {"=", "!"}:
            out.append("(?P<")
            at += 3
            continue
        out.append(pattern[at])
        at += 1
    try:
        return re.compile("".join(out), re.ASCII)
    except re.error as wrong:
        raise Unknown(f"the regular expression {pattern!r}: {wrong}") from None


def replaced(value: str, pattern: str, replacement: str) -> str:
    r"""Every match replaced; ``\\1`` is the first group, and no other backslash may stand in the replacement."""
    parts: list[str | int] = []
    at = 0
    while at < len(replacement):
        if replacement[at] == "\\":
            if not replacement[at + 1 : at + 2].isdigit():
                raise Unknown("a backslash in a replacement that is no group")
            parts.append(int(replacement[at + 1]))
            at += 2
        else:
            parts.append(replacement[at])
            at += 1
    return compiled(pattern).sub(
        lambda m: "".join(part if isinstance(part, str) else m[part] or "" for part in parts), value
    )
