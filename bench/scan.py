"""`scan` end to end beside DuckDB's own typed ingest of the same file, in one run."""

from __future__ import annotations

import json
import resource
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
    """Best of three of each, seconds; peak memory of the scan, MiB; the ratio that the project wants at 0.4 or more.

    Args:
        log: events in schema form, a JSON object a line.
        register: folder of the register; None: none.
    """
    root = Root.default()
    typed = ", ".join(f"'{name}': '{_type(below)}'" for name, below in tree(Vocabulary.load(root.event_schema)).items())
    scans = [
        _scan(log, register) for _ in range(3)
    ]  # first: a child's peak would otherwise start at this process's own
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    ingest = [_ingest(log, typed) for _ in range(3)]
    return {
        "file": log.name,
        "mb": round(log.stat().st_size / 1e6),
        "typed_ingest_s": round(min(ingest), 2),
        "scan_s": round(min(scans), 2),
        "ratio": round(min(ingest) / min(scans), 2),
        "scan_peak_mib": peak,
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


def _scan(log: Path, register: Path | None) -> float:
    begun = time.monotonic()
    command = [sys.executable, "-m", "harness.cli", "scan", str(log), "--format", "json", "--quiet"]
    command += ["--register", str(register)] if register else []
    done = subprocess.run(command, check=True, capture_output=True)
    assert json.loads(done.stdout)["summary"]["lines"] > 0  # noqa: S101 - a scan of nothing is no measurement
    return time.monotonic() - begun


def _type(below: Any) -> str:
    if isinstance(below, dict):
        return "STRUCT(" + ", ".join(f'"{name}" {_type(one)}' for name, one in below.items()) + ")"
    return "VARCHAR[]" if isinstance(below, list) else "VARCHAR"
