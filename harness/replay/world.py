"""One register for many cases: what a case's own register says is taken in where it contradicts nothing.

A case that says something else of a server or an agent gets one of its own: the name is changed in its records and in
its rows alike. Times of the register move with the records, so that what had expired then has expired now.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from backends.errors import Mistakes
from backends.register import Register
from backends.register_tables import TABLES
from harness.case import moment, rfc3339
from harness.isolation import rewritten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from harness.case import Tables

KEYS: Mapping[str, tuple[str, ...]] = {
    "servers": ("name",),
    "agents": ("id",),
    "tools": ("server", "name"),
    "scopes": ("scope",),
    "clients": ("id",),
    "people": ("person",),
    "networks": ("cidr",),
}
"""Table → the columns that name a row; a row of any other table is taken in as it is."""

RENAMED = ("servers", "agents")


class World:
    """A register that grows by what cases say.

    Args:
        tables: what it holds at first.
        fixed: whether nothing may be added; then a case with a register of its own is never taken.
    """

    def __init__(self, tables: Mapping[str, Sequence[Mapping[str, Any]]], *, fixed: bool = False) -> None:
        self.tables: Tables = {name: [dict(row) for row in rows] for name, rows in tables.items()}
        self.fixed = fixed
        self._names: dict[str, str] = {}

    def copy(self) -> World:
        """Another that grows by itself."""
        return copy.deepcopy(self)

    def taken(self, own: Tables, records: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
        """The records in this world, after their register was taken in; None where the two contradict each other."""
        if self.fixed:
            return None
        change = self._own_names(own)
        rows = {
            table: [{key: _renamed(value, change) for key, value in row.items()} for row in rows]
            for table, rows in own.items()
        }
        grown = self._grown(rows)
        if grown is None:
            return None
        self.tables = grown
        return [rewritten(record, lambda _name, value: _renamed(value, change)) for record in records]

    def _own_names(self, own: Tables) -> dict[str, str]:
        """Old name → new name, of servers and agents of which this register says something else."""
        change: dict[str, str] = {}
        for table in RENAMED:
            for row in own.get(table, ()):
                known = self._known(table, row)
                if known is not None and known != row:
                    text = f"{table} {sorted(row.items())}"
                    end = self._names.setdefault(text, f"-{len(self._names) + 2}")
                    change |= {str(row[c]): f"{row[c]}{end}" for c in (*KEYS[table], "uri") if row.get(c)}
        return change

    def _grown(self, rows: Tables) -> Tables | None:
        """This register with more rows; None where they contradict it."""
        grown: Tables = {name: list(several) for name, several in self.tables.items()}
        for table, several in rows.items():
            for row in several:
                known = self._known(table, row)
                if known is not None and known != row:
                    return None
                if known is None and row not in grown.setdefault(table, []):
                    grown[table].append(row)
        try:
            Register.of(grown)
        except Mistakes:
            return None
        return grown

    def _known(self, table: str, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
        keys = KEYS.get(table, ())
        same = [one for one in self.tables.get(table, ()) if keys and all(one.get(k) == row.get(k) for k in keys)]
        return same[0] if same else None


def _renamed(value: Any, change: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_renamed(item, change) for item in value]
    return change.get(value, value) if isinstance(value, str) else value


def moved(tables: Tables, by: timedelta) -> Tables:
    """The register at another time."""
    times = {
        (name, column) for name, form in TABLES.items() for column, one in form.columns.items() if one.kind == "time"
    }
    return {
        name: [
            {
                key: rfc3339(moment(value) + by) if (name, key) in times and value else value
                for key, value in row.items()
            }
            for row in rows
        ]
        for name, rows in tables.items()
    }
