"""`scan` end to end beside DuckDB's own typed ingest of the same file, in one run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import duckdb

from backends.duckdb.columns import tree
from backends.vocabulary import Vocabulary
from harness.paths import Root

if TYPE_CHECKING:
    from pathlib import Path


def measure(log: Path, register: Path | None = None) -> dict[str, Any]:
    """Best of three of each, seconds; peak memory of the scan, MiB; the ratio that the project wants at 0.35 or more.

    Args:
        log: events in schema form, a JSON object a line.
        register: folder of the register; None: none.
    """
    root = Root.default()
    typed = ", ".join(f"'{name}': '{_type(below)}'" for name, below in tree(Vocabulary.load(root.event_schema)).items())
    runs = [(_scan(log, register), _ingest(log, typed)) for _ in range(3)]  # in turn: other work hits both
    scans, peaks = zip(*(scan for scan, _ in runs), strict=True)
    ingest = [one for _, one in runs]
    return {
        "file": log.name,
        "mb": round(log.stat().st_size / 1e6),
        "typed_ingest_s": round(min(ingest), 2),
        "scan_s": round(min(scans), 2),
        "ratio": round(min(ingest) / min(scans), 2),
        "scan_peak_mib": max(peaks),
        "duckdb": duckdb.__version__,
    }


def _ingest(log: Path, typed: str) -> float:
    begun = time.monotonic()
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        connection.execute(
            f"CREATE TABLE events AS SELECT * FROM read_json($1, format = 'newline_delimited', columns = {{{typed}}})",
            [str(log)],
        )
    return time.monotonic() - begun


_MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024, file=sys.stderr)
"""
"""Runs a command from a small process: a child's peak starts at that of the process that starts it."""


def _scan(log: Path, register: Path | None) -> tuple[float, int]:
    """Seconds, and peak memory in MiB."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "harness.cli", "scan", str(log), "--format", "json", "--quiet"]
    command += ["--register", str(register)] if register else []
    done = subprocess.run([sys.executable, "-c", _MEASURED, *command], check=True, capture_output=True)
    assert json.loads(done.stdout)["summary"]["lines"] > 0  # noqa: S101 - a scan of nothing is no measurement
    return time.monotonic() - begun, int(done.stderr.split()[-1])


def _type(below: Any) -> str:
    if isinstance(below, dict):
        return "STRUCT(" + ", ".join(f'"{name}" {_type(one)}' for name, one in below.items()) + ")"
    return "VARCHAR[]" if isinstance(below, list) else "VARCHAR"
