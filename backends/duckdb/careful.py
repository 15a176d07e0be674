"""The careful reader: lines that the typed pass could not read plainly, one at a time, in Python.

It says what is wrong with a line, or writes the record in plain nested form so that the typed pass reads it like any
other. Only suspect lines come here: broken JSON, duplicate keys, dotted names, values of another type.
"""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING

from backends.absence import WrongType
from backends.duckdb.lines import BadLine, LogFile, read_lines
from backends.duckdb.plain import DEEPEST, Doubtful, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from backends.vocabulary import Vocabulary

Suspect = tuple[int, int, int, str | None, int]
"""(file index, byte offset, line number, provenance as JSON text where the line was assembled from others, identity)."""


def read_carefully(
    files: Mapping[int, LogFile], suspects: Sequence[Suspect], settled: Path, vocabulary: Vocabulary
) -> list[BadLine]:
    """Write the records that can be read to ``settled``, a plain line each; return the lines that can't.

    Args:
        files: inputs by index.
        suspects: in ascending order of file and offset.
        settled: JSONL to write; each line carries ``countersign.records``, its place in the log.
        vocabulary: the event fields.
    """
    bad: list[BadLine] = []
    with settled.open("wb") as out:
        for (file, offset, number, provenance, identity), line in _lines(files, suspects):
            try:
                record = plain(line, vocabulary)
            except (Doubtful, WrongType) as doubt:
                bad.append(BadLine(file, number, offset, len(line), str(doubt)))
                continue
            place = json.loads(provenance) if provenance else [[file, offset]]
            record["countersign"] = {"records": place, "identity": str(identity)}
            out.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n")
    return bad


def _lines(files: Mapping[int, LogFile], suspects: Sequence[Suspect]) -> Iterator[tuple[Suspect, bytes]]:
    for file, group in groupby(suspects, key=lambda suspect: suspect[0]):
        some = list(group)
        lines = read_lines(files[file], [(offset, 0) for _, offset, *_ in some])
        for suspect, (_, line) in zip(some, lines, strict=True):
            yield suspect, line


__all__ = ["DEEPEST", "Doubtful", "Suspect", "plain", "read_carefully"]
