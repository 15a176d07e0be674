"""Options for the Java that an engine runs in, from the environment."""

from __future__ import annotations

import os

VARIABLE = "COUNTERSIGN_JAVA_OPTIONS"


def java_options() -> list[str]:
    """What the environment adds: `make test` asks for quick compilation, since its engines run for minutes only."""
    return os.environ.get(VARIABLE, "").split()
