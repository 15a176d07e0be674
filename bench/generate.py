"""Events a second that `countersign generate` writes, in one process and in one a core."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def measure(folder: Path, events: int = 1_000_000) -> dict[str, Any]:
    """Write the log with one process and with two; leaves ``events.jsonl`` and ``register`` in the folder.

    Returns:
        events and megabytes written; events_per_second_1 and _2, wall clock, start of the processes included.
    """
    figures: dict[str, Any] = {}
    for shards in (1, 2):
        begun = time.monotonic()
        log, register = folder / "events.jsonl", folder / "register"
        options = ["-o", str(log), "--events", str(events), "--register-out", str(register), "--shards", str(shards)]
        subprocess.run([sys.executable, "-m", "harness.cli", "generate", *options], check=True, capture_output=True)
        seconds = time.monotonic() - begun
        if shards == 1:
            with log.open("rb") as lines:
                written = sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(1 << 20), b""))
            figures |= {"events": written, "mb": round(log.stat().st_size / 1e6)}
        figures[f"events_per_second_{shards}"] = round(written / seconds)
    return figures
