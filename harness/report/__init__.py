"""How findings are shown: one module a format, each with ``render(result, stream)``."""

from __future__ import annotations

import importlib
import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from backends.errors import Mistake, Mistakes

if TYPE_CHECKING:
    from pathlib import Path

    from harness.finding import ScanResult

FORMATS = ("table", "json", "jsonl", "csv", "sarif", "ocsf")


def write(result: ScanResult, form: str, output: Path | None = None) -> None:
    """Write a report to standard output, or to a file that is replaced only when the report is whole.

    Raises:
        Mistakes: the file can't be written.
    """
    render = importlib.import_module(f"harness.report.{form}_report").render
    if output is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # an ASCII or Windows terminal lacks some characters
        render(result, sys.stdout)
        sys.stdout.flush()
        return
    try:
        if output.exists() and not output.is_file():  # a pipe or a device is written to, not replaced
            with output.open("w", encoding="utf-8") as stream:
                render(result, stream)
            return
        target = output.resolve()
        beside = target.with_name(f"{target.name}.{os.getpid()}.new")
        try:
            with beside.open("w", encoding="utf-8") as stream:
                render(result, stream)
            beside.replace(target)
        finally:
            with suppress(OSError):
                beside.unlink()
    except OSError as broken:
        raise Mistakes([Mistake(str(output), 0, f"the report can't be written here: {broken.strerror}")]) from broken
