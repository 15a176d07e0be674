"""``make bench``: everything that is timed, in one run on one machine. Nothing here is a test."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from bench import generate, peers, rules, scan, validate

PEERS = 200_000
"""Events that the peers judge: one of them needs a minute for it."""


def main() -> None:
    """Print one JSON object a measurement; a number on the command line is how many events (a million by default)."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    tell("machine", {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()})
    tell("versions", {name: version(name) for name in ("duckdb", "pyarrow", "jsonschema-rs", "orjson", "numpy")})
    tell("validate", validate.measure())
    with tempfile.TemporaryDirectory(prefix="countersign-bench-") as folder:
        tell("generate", generate.measure(Path(folder), events))
        log, register = Path(folder) / "events.jsonl", Path(folder) / "register"
        tell("scan", scan.measure(log))
        tell("scan with a register", scan.measure(log, register))
        tell("scan by ten times the rules", rules.measure(log))
        tell("event rules beside peers", peers.measure(log, min(events, PEERS)))


def tell(what: str, figures: dict[str, object]) -> None:
    """One line of the result."""
    print(json.dumps({what: figures}), flush=True)


if __name__ == "__main__":
    main()
