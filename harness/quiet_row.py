"""A row of the register that would make a finding quiet: proposed from an honest register, judged by the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from backends.absence import absent
from backends.errors import Mistakes
from backends.register import Register
from backends.register_tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from harness.asking import Desk
    from harness.case import Bases
    from harness.ruleset import Rule

    Facts = Mapping[str, Any]

NAMED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "agents": {
        "id": ("gen_ai.agent.id", "oauth.act.sub"),
        "service_identities": ("user.effective.id",),
        "client_ids": ("oauth.client.id",),
        "tools": ("gen_ai.tool.name",),
    },
    "servers": {"name": ("mcp.server.name",), "id": ("mcp.server.id",), "uri": ("mcp.server.uri",)},
    "tools": {
        "server": ("mcp.server.name",),
        "name": ("gen_ai.tool.name",),
        "definition_hash": ("mcp.tool.definition.hash",),
    },
    "clients": {"id": ("oauth.client.id",), "agent": ("gen_ai.agent.id",)},
    "networks": {"cidr": ("source.ip",)},
}
"""By table, the columns that name whom a row is about, and the fields that say it; the first that is there."""

_JUDGED = ("mode", "status", "party", "approval", "review_expires", "exposure", "risk", "kind", "trusted")
"""Columns of an honest row that say what was decided, whomever it is about."""


@dataclass(frozen=True)
class Row:
    """A row of the register.

    Attributes:
        table: its table.
        values: its columns.
        known: whether the register has a row with this key already, which would have to say so.
    """

    table: str
    values: Mapping[str, Any]
    known: bool


def quieting_row(desk: Desk, rule: Rule, facts: Facts, bases: Bases, quiet: Callable[[Desk], bool]) -> Row | None:
    """The first row, of a table that the rule reads, with which it stays quiet.

    Args:
        desk: with the register that the rule fires with.
        rule: the rule.
        facts: of the record that the finding begins with.
        bases: where an honest register comes from.
        quiet: judges the records again at another desk.
    """
    for table in (*rule.needs_register, *rule.sharpened_by):
        for row in _rows(table, facts, bases):
            key = TABLES[table].key
            there = [each for each in desk.tables.get(table, ()) if _same(each, row, key)]
            others = [each for each in desk.tables.get(table, ()) if each not in there]
            try:
                tables = Register.of({**desk.tables, table: [*others, {**(there or [{}])[0], **row}]}).tables
            except Mistakes:
                continue  # the record's own names make no valid row, or contradict another
            if quiet(replace(desk, tables=tables)):
                return Row(table, row, known=bool(there))
    return None


def _rows(table: str, facts: Facts, bases: Bases) -> Iterator[dict[str, Any]]:
    """Honest rows about those whom the record names: with the key alone, and with all that the record says."""
    if table not in NAMED:
        return
    honest = next(iter(bases.register().get(table, ())), {})
    key, columns = TABLES[table].key, NAMED[table]
    said: dict[str, Any] = {}
    for column, fields in columns.items():
        value = next((facts[name] for name in fields if not absent(facts.get(name))), None)
        if value is not None:
            said[column] = [value] if TABLES[table].columns[column].kind == "texts" else value
    if not all(name in said for name in key):
        return
    about = {name: value for name, value in honest.items() if name in _JUDGED}
    plain = {name: said[name] for name in key} | about
    yield plain
    if said.keys() - plain.keys():
        yield plain | said


def _same(one: Facts, other: Facts, key: tuple[str, ...]) -> bool:
    return all(str(one.get(name)).lower() == str(other.get(name)).lower() for name in key)
