"""What the harness makes of a case's register by itself: one that is absent, says less, or says the opposite.

A register is written by people and is never complete. What it does not say is unknown, and what it says may be wrong:
each variant is a register that somebody may have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backends.register_tables import STAGES, TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from harness.case import Tables

    Row = Mapping[str, Any]

ABSENT, PARTIAL, CONTRADICTING = "absent", "partial", "contradicting"
KINDS = (ABSENT, PARTIAL, CONTRADICTING)


@dataclass(frozen=True)
class RegisterVariant:
    """A register that somebody may have.

    Attributes:
        kind: one of `KINDS`.
        words: what is different.
        changed: tables that say less, or the opposite.
        tables: the register itself.
    """

    kind: str
    words: str
    changed: frozenset[str]
    tables: Tables


def register_variants(tables: Tables, read: Collection[str]) -> Iterator[RegisterVariant]:
    """Every variant of a register, in a fixed order.

    Args:
        tables: as the case has it.
        read: the tables that matter; the others stay, but where there is no register at all.
    """
    held = {name for name, rows in tables.items() if rows}
    yield RegisterVariant(ABSENT, "no register", frozenset(held), {})
    for name in sorted(held & set(read)):
        rows, one = tables[name], frozenset({name})
        yield RegisterVariant(PARTIAL, f"no {name}", one, {**tables, name: []})
        for number, row in enumerate(rows if len(rows) > 1 else ()):
            left = [*rows[:number], *rows[number + 1 :]]
            yield RegisterVariant(PARTIAL, f"{name} without {_key(name, row)}", one, {**tables, name: left})
        turned = opposite(name, rows)
        if turned != rows:
            yield RegisterVariant(CONTRADICTING, f"{name} say the opposite", one, {**tables, name: turned})


def opposite(table: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the same keys, and everything that they say turned round."""
    if table == "people":
        return _other_people(rows)
    kept = set(TABLES[table].key) - {"cidr"}
    if table == "coverage":
        kept = {"agent", "system"}
    return [
        {column: value if column in kept else _turned(table, column, value) for column, value in row.items()}
        for row in rows
    ]


def _other_people(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Identities of one person become those of several, and identities of several those of one."""
    together = len({row["person"] for row in rows}) < len(rows)
    return [{**row, "person": f"other-{number}" if together else "other"} for number, row in enumerate(rows)]


def _turned(table: str, column: str, value: Any) -> Any:
    """A cell that says the opposite; what nobody can turn round names something else."""
    if isinstance(value, bool):
        return not value
    known = OPPOSITES.get(column, {})
    if isinstance(value, str) and value in known:
        return known[value]
    turn = TURNED.get(column)
    if turn is not None:
        return turn(value)
    if TABLES[table].columns[column].kind == "time":
        return "2000-01-01T00:00:00Z" if str(value) >= "2026-10-05" else "2100-01-01T00:00:00Z"
    return [f"other-{item}" for item in value] if isinstance(value, list) else f"other-{value}"


def _key(table: str, row: Row) -> str:
    named = [str(row[column]) for column in TABLES[table].key if row.get(column)] or [str(next(iter(row.values())))]
    return " ".join(named)


OPPOSITES: Mapping[str, Mapping[str, str]] = {
    "mode": {"interactive": "scheduled", "scheduled": "interactive"},
    "status": {"active": "deactivated", "deactivated": "active"},
    "party": {"first": "third", "third": "first"},
    "approval": {
        "approved": "rejected",
        **dict.fromkeys(("pending", "rejected", "expired", "revoked"), "approved"),
    },
    "exposure": {
        **dict.fromkeys(("stdio", "loopback", "internal"), "internet"),
        "internet": "loopback",
    },
    "risk": {"read": "destructive", **dict.fromkeys(("write", "destructive", "admin"), "read")},
    "verb": {"read": "destructive", **dict.fromkeys(("write", "destructive", "admin"), "read")},
    "kind": {"human": "agent", **dict.fromkeys(("agent", "workload", "service", "system"), "human")},
    "cidr": {"10.0.0.0/8": "203.0.113.0/24"},
}
"""Words that have an opposite, by their column."""

TURNED: Mapping[str, Callable[[Any], Any]] = {
    "stages": lambda value: [stage for stage in STAGES if stage not in value],
    "regions": lambda value: [f"{item.partition('=')[0]}=other-region" for item in value],
    "max_token_lifetime_sec": lambda value: 1 if value > 7200 else 10**9,  # noqa: PLR2004 - the limit without a register
    "min_protocol": lambda _value: "2099-01-01",
    "cidr": lambda _value: "10.0.0.0/8",
}
"""Values that are turned round as a whole, by their column."""
