"""Honest work that is strange, one module a chapter of what an attack could be: near to an attack, and none.

Nothing here reads a rule. A story is told often enough that what spares it cannot lie idle (see docs/quality.md).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from generator.story import Story

CHAPTERS = ("identity", "delegation", "scope", "audit", "linking", "exposure", "connectors", "crowds")


def oddities() -> dict[str, Story]:
    """Every odd story by its name, in the order of the chapters."""
    return {
        name: story
        for chapter in CHAPTERS
        for name, story in import_module(f"generator.oddities.{chapter}").STORIES.items()
    }
