"""The register: small tables that a team keeps about what the logs cannot say.

A folder holds any of ``agents servers tools scopes people clients networks coverage``, each as ``.csv`` (``|`` between
the items of a list), ``.yml`` or ``.yaml`` (a list of rows), or several of these. Without a register the facts that
need one are unknown, and rules that need them stay quiet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backends.errors import Mistake, Mistakes
from backends.register_contradictions import contradictions
from backends.register_rows import SUFFIXES, Row, read_file, read_row
from backends.register_tables import TABLES
from backends.vocabulary import closest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Register:
    """All tables, empty where the team keeps none.

    Attributes:
        tables: rows by table; a row holds only what is present: text, lists of text, numbers, booleans, and times as
            RFC 3339 text in UTC.
    """

    tables: Mapping[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in TABLES})

    @classmethod
    def empty(cls) -> Register:
        """No register: nothing is known."""
        return cls()

    @classmethod
    def load(cls, folder: Path) -> Register:
        """Read a folder.

        Raises:
            Mistakes: everything that is wrong, in the order of the files' names and lines.
        """
        if not folder.is_dir():
            raise Mistakes([Mistake(str(folder), 0, "there is no such folder")])
        mistakes: list[Mistake] = []
        rows: dict[str, list[Row]] = {name: [] for name in TABLES}
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
        if not files:
            tables = ", ".join(TABLES)
            raise Mistakes(
                [Mistake(str(folder), 0, f"the folder holds no table; a register has {tables} as CSV or YAML")]
            )
        for path in files:
            if path.stem not in TABLES:
                mistakes.append(Mistake(str(path), 0, _unknown(path.stem)))
                continue
            rows[path.stem] += read_file(path, path.stem, mistakes)
        return cls._of(rows, mistakes)

    @classmethod
    def of(cls, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> Register:
        """A register from rows in memory, judged as a file's; a mistake's line is the number of its row.

        Raises:
            Mistakes: everything that is wrong.
        """
        mistakes = [Mistake(str(name), 0, _unknown(str(name))) for name in tables if name not in TABLES]
        rows = {
            name: [
                read_row(Row(name, name, number), values, mistakes)
                for number, values in enumerate(tables.get(name, ()), start=1)
            ]
            for name in TABLES
        }
        return cls._of(rows, mistakes)

    @classmethod
    def _of(cls, rows: Mapping[str, Sequence[Row]], mistakes: list[Mistake]) -> Register:
        found = list(dict.fromkeys([*mistakes, *contradictions(rows)]))
        if found:
            raise Mistakes(sorted(found))
        return cls({name: _merged(of_table) for name, of_table in rows.items()})

    def __bool__(self) -> bool:
        """True when any table has a row."""
        return any(self.tables.values())


def _merged(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows of a table; what two files say of one key, without contradiction, is one row."""
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    for number, row in enumerate(rows):
        merged.setdefault(row.key or (number,), {}).update(row.values)
    return list(merged.values())


def _unknown(name: str) -> str:
    near = closest(name, TABLES)
    return f"a register has no table {name}; " + (
        f"did you mean {near}?" if near else f"its tables are {', '.join(TABLES)}"
    )
