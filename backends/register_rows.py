"""Rows of a register as their files hold them, each with the place that it comes from."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backends.errors import Mistake
from backends.register_tables import TABLES
from backends.vocabulary import closest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SUFFIXES = (".csv", ".yml", ".yaml")


@dataclass
class Row:
    """One row, its values in their columns' own types, without what is absent.

    Attributes:
        table: its table's name.
        file: the file as the person gave it; ``register`` for rows that were passed in.
        line: 1-based line on which it begins; for rows that were passed in, their number.
        lines: line of each column's value, where it differs.
    """

    table: str
    file: str
    line: int
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def mistake(self, message: str, column: str = "") -> Mistake:
        """A mistake in this row, or in one of its columns."""
        return Mistake(self.file, self.lines.get(column, self.line), message)

    @property
    def place(self) -> str:
        """Where it is, for a sentence about another row."""
        return f"{self.file}:{self.line}"

    @property
    def key(self) -> tuple[str, ...]:
        """What identifies it in its table, in lower case: ids are compared without letter case."""
        return tuple(str(self.values.get(column, "")).lower() for column in TABLES[self.table].key)


def read_file(path: Path, table: str, mistakes: list[Mistake]) -> list[Row]:
    """The rows of one file; what is wrong is added to ``mistakes``."""
    return _csv(path, table, mistakes) if path.suffix.lower() == ".csv" else _yaml(path, table, mistakes)


def read_row(row: Row, values: Mapping[str, Any], mistakes: list[Mistake]) -> Row:
    """Fill a row with values as they were written, each read by its column."""
    table = TABLES[row.table]
    refused = set()
    for name, value in values.items():
        column = table.columns.get(name)
        if column is None:
            near = closest(str(name), table.columns)
            known = f"did you mean {near}?" if near else f"its columns are {', '.join(table.columns)}"
            mistakes.append(row.mistake(f"{row.table} has no column {name}; {known}", name))
            continue
        try:
            read = column.read(value)
        except ValueError as wrong:
            refused.add(name)
            mistakes.append(row.mistake(f"{row.table}.{name} {wrong}; found {_shown(value)}", name))
            continue
        if read is not None:
            row.values[name] = read
    mistakes.extend(
        row.mistake(f"{row.table}.{name} is missing; every row of {row.table} has it")
        for name in table.required
        if name not in row.values and name not in refused
    )
    return row


def _csv(path: Path, table: str, mistakes: list[Mistake]) -> list[Row]:
    file = str(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = [cell.strip() for cell in next(reader, [])]
            if not header:
                return []
            if not _header(header, table, file, mistakes):
                return []
            rows, before = [], reader.line_num
            for cells in reader:
                line, before = before + 1, reader.line_num
                if not any(cell.strip() for cell in cells):
                    continue
                row = Row(table, file, line)
                if len(cells) > len(header):
                    message = f"the row has {len(cells)} cells and the first line names {len(header)} columns"
                    mistakes.append(row.mistake(f"{message}; quote a cell that holds a comma"))
                    continue
                rows.append(read_row(row, dict(zip(header, cells, strict=False)), mistakes))
    except UnicodeDecodeError as wrong:
        mistakes.append(Mistake(file, 0, f"byte {wrong.start + 1} of the file is not UTF-8"))
    except csv.Error as wrong:
        mistakes.append(Mistake(file, reader.line_num, f"this is not CSV: {wrong}"))
    except OSError as wrong:
        mistakes.append(Mistake(file, 0, f"cannot be read: {wrong.strerror}"))
    else:
        return rows
    return []


def _header(header: Sequence[str], table: str, file: str, mistakes: list[Mistake]) -> bool:
    """Name what is wrong with the first line once, not with every row; False when no row can be read by it."""
    columns = TABLES[table].columns
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        mistakes.append(Mistake(file, 1, "the columns are separated by a comma, and the items of a list by |"))
        return False
    wrong = [
        Mistake(file, 1, f"the column {name} is named twice")
        for name in dict.fromkeys(header)
        if header.count(name) > 1
    ]
    for name in header:
        if name not in columns:
            near = closest(name, columns)
            known = f"did you mean {near}?" if near else f"its columns are {', '.join(columns)}"
            wrong.append(Mistake(file, 1, f"{table} has no column {name or '(empty)'}; {known}"))
    mistakes.extend(wrong)
    return not wrong


def _yaml(path: Path, table: str, mistakes: list[Mistake]) -> list[Row]:
    from backends.marked_yaml import MarkedYaml  # noqa: PLC0415 - so that who has CSV needs no YAML

    try:
        read = MarkedYaml.read(path)
    except (OSError, RecursionError, ValueError) as wrong:
        mistakes.append(Mistake(str(path), 0, f"cannot be read: {getattr(wrong, 'strerror', None) or wrong}"))
        return []
    mistakes.extend(read.mistakes)
    if read.mistakes or read.data is None:
        return []
    if not isinstance(read.data, list):
        mistakes.append(read.mistake((), f"a list of rows is expected: begin each row of {table} with a dash"))
        return []
    rows = []
    for number, values in enumerate(read.data):
        if not isinstance(values, dict):
            mistakes.append(read.mistake((number,), f"a row with columns is expected, found {_shown(values)}"))
            continue
        lines = {str(name): read.line((number, str(name))) for name in values}
        row = Row(table, str(path), read.line((number,)), lines=lines)
        rows.append(read_row(row, {str(name): value for name, value in values.items()}, mistakes))
    return rows


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = str(value)
    return f"'{text if len(text) <= 60 else text[:60] + '…'}'"  # noqa: PLR2004 - enough to find it again
