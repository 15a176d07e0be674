"""What the tags of the rules stand for, from the pinned lists in ``harness/data/``."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA = Path(__file__).parent / "data"
NAMESPACES = ("owasp", "atlas", "iso")
"""Namespaces of tags that Sigma does not know and rules of this project use."""


@cache
def titles() -> Mapping[str, Mapping[str, str]]:
    """Title by id, by namespace."""
    found: dict[str, dict[str, str]] = json.loads((DATA / "tags.json").read_text(encoding="utf-8"))
    return found


@cache
def techniques() -> Mapping[str, str]:
    """Name by id of the pinned ATT&CK techniques."""
    objects = json.loads((DATA / "attack.json").read_text(encoding="utf-8"))["objects"]
    return {o["external_references"][0]["external_id"]: o["name"] for o in objects if o["type"] == "attack-pattern"}


def title_of(tag: str) -> str | None:
    """What a tag such as ``owasp.mcp08-2025`` or ``attack.t1078`` stands for; None where no list says."""
    namespace, _, name = tag.partition(".")
    if namespace in NAMESPACES:
        return titles()[namespace].get(name)
    return techniques().get(name.upper()) if namespace == "attack" else None
