"""One JSON document: summary, findings, blind spots, rejected lines."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from harness.finding import ScanResult


def render(result: ScanResult, stream: IO[str]) -> None:
    """Write the document; ASCII only, so that no terminal acts on text from a log."""
    stream.write(json.dumps(result.to_dict(), indent=2) + "\n")
