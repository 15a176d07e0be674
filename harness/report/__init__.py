"""How findings are shown: one module a format, each with ``render(result, stream)``."""

from __future__ import annotations

import importlib
import sys
from typing import IO, TYPE_CHECKING

from backends.errors import Mistake, Mistakes

if TYPE_CHECKING:
    from pathlib import Path

    from harness.finding import ScanResult

FORMATS = ("table", "json", "jsonl")


def write(result: ScanResult, form: str, output: Path | None = None) -> None:
    """Write a report to standard output, or to a file that is replaced only when the report is whole."""
    module = importlib.import_module(f"harness.report.{form}_report")
    if output is None:
        module.render(result, sys.stdout)
        return
    beside = output.with_name(output.name + ".new")
    try:
        with beside.open("w", encoding="utf-8") as stream:
            stream_out: IO[str] = stream
            module.render(result, stream_out)
        beside.replace(output)
    except OSError as broken:
        raise Mistakes([Mistake(str(output), 0, f"the report can't be written here: {broken.strerror}")]) from broken
