"""Splunk's configuration files: written so that no value can end its line or stanza, read, and laid over each other.

Admin Manual, "About configuration files": a stanza is ``[name]``, a setting ``key = value``; a backslash at the end of
a line goes on with the next. What a rule, a register or a person wrote is a value, never a name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from backends.package import NotAllowed

if TYPE_CHECKING:
    from collections.abc import Mapping

Stanzas = dict[str, dict[str, str]]

_NAME = re.compile(r"[\w.:@ ()<>=*-]{0,200}")
_KEY = re.compile(r"[\w.:-]{1,200}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\u0085\u2028\u2029]")


def written(stanzas: Mapping[str, Mapping[str, str]], head: str = "") -> str:
    """The text of a file.

    Args:
        stanzas: name → key → value; a value may have several lines.
        head: a comment above it.

    Raises:
        NotAllowed: a name or a value that would not be read back as it was meant.
    """
    lines = [f"# {line}".rstrip() for line in head.splitlines()]
    for name, settings in stanzas.items():
        if not _NAME.fullmatch(name):
            raise NotAllowed(f"the stanza {name!r} is not a name that Splunk takes; use letters, digits and _")
        lines += ["", f"[{name}]"] if lines else [f"[{name}]"]
        lines += [f"{_key(name, key)} = {_value(name, key, value)}" for key, value in settings.items()]
    return "\n".join(lines) + "\n"


def _key(name: str, key: str) -> str:
    if not _KEY.fullmatch(key):
        raise NotAllowed(f"the key {key!r} of [{name}] is not one that Splunk takes")
    return key


def _value(name: str, key: str, value: str) -> str:
    lines = [line.rstrip(" ") for line in value.strip().split("\n")]
    if _CONTROL.search(value):
        raise NotAllowed(f"{key} of [{name}] holds a control character; take it out of the rule's text")
    if any(line.endswith("\\") for line in lines):
        raise NotAllowed(f"{key} of [{name}] has a line that ends in a backslash, which would join it with the next")
    if any(line.lstrip()[:1] in {"#", ";"} or re.match(r"\s*\[[^\]]*\]\s*$", line) for line in lines[1:]):
        raise NotAllowed(f"{key} of [{name}] has a line that would be read as a comment or a stanza")
    if "" in lines[1:]:
        raise NotAllowed(f"{key} of [{name}] has an empty line, which would end it")
    return " \\\n".join(lines)


def read(text: str) -> Stanzas:
    """The stanzas of a file; what stands above the first is under ``default``.

    Raises:
        ValueError: a line that is no setting, a stanza or a key that is there twice.
    """
    found: Stanzas = {}
    name = "default"
    for line in re.sub(r" ?\\\n", "\0", text).split("\n"):
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        if said.startswith("["):
            if not said.endswith("]"):
                raise ValueError(f"a stanza that is not closed: {said[:60]}")
            name = said[1:-1]
            if name in found:
                raise ValueError(f"the stanza [{name}] is there twice")
            found[name] = {}
            continue
        key, equals, value = said.partition("=")
        key = key.strip()
        if not equals or "\0" in key:
            raise ValueError(f"no setting: {said[:60]!r}")
        if key in found.setdefault(name, {}):
            raise ValueError(f"{key} is there twice in [{name}]")
        found[name][key] = value.strip().replace("\0", "\n")
    return found


def effective(default: Mapping[str, Mapping[str, str]], local: Mapping[str, Mapping[str, str]]) -> Stanzas:
    """What an app's ``local`` folder makes of its ``default`` folder: setting by setting, ``local`` wins.

    Admin Manual, "Configuration file precedence": stanzas of one name are merged; within an app local comes before
    default. An upgrade replaces ``default`` and leaves ``local`` alone.
    """
    names = [*default, *(name for name in local if name not in default)]
    return {name: {**default.get(name, {}), **local.get(name, {})} for name in names}
