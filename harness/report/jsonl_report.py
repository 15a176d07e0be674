"""One finding a line, as ``schemas/finding.schema.json`` describes it."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from harness.finding import ScanResult


def render(result: ScanResult, stream: IO[str]) -> None:
    """Write the findings; ASCII only, so that no terminal acts on text from a log."""
    for finding in result.findings:
        stream.write(json.dumps(finding.to_dict()) + "\n")
