"""Every derived fact against its hand-written truth table (``tests/facts/``, whose README says how to read one)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from backends.duckdb.target import Sources, judge
from backends.vocabulary import Field, Vocabulary
from harness.paths import Root

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("facts")

ROOT = Root.default()
TABLES = ROOT.path / "tests" / "facts"
VOCABULARY = Vocabulary.load(ROOT.event_schema)
CHAIN_VOCABULARY = Vocabulary.load(ROOT.chain_schema)
# Two made-up sources, so that the tables do not move with a real product's map.
SOURCES = Sources(
    never=(
        ("gateway", "tool_call", ("prompt", "scope", "agent")),
        ("gateway", "token", ("act",)),
        ("server", "tool_call", ("prompt", "user")),
    )
)
JOINED = {"chain.id", "chain.id_source"}  # proven by the stories of tests/joining
BEGINNING = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    """One row of a truth table: ``records`` go in, ``expect`` holds one field → value per record."""

    table: str
    number: int
    records: list[dict[str, Any]]
    register: str
    expect: list[dict[str, Any]]
    why: str

    @property
    def name(self) -> str:
        """What pytest prints."""
        return f"{self.table} {self.number}: {self.why}"


def rows_of(path: Path) -> list[Row]:
    """The rows of one table, in its order."""
    table = json.loads(path.read_text())
    registers = table.get("registers", {})
    rows = []
    for number, row in enumerate(table["rows"], 1):
        many = "records" in row
        expect = row["expect"] if many else [row["expect"]]
        rows.append(
            Row(
                table=path.stem,
                number=number,
                records=row["records"] if many else [row["given"]],
                register=json.dumps(registers[row["register"]] if "register" in row else {}, sort_keys=True),
                expect=[each if "fields" in table else {table["field"]: each} for each in expect],
                why=row["why"],
            )
        )
    return rows


ROWS = {path.stem: rows_of(path) for path in sorted(TABLES.glob("*.json"))}
REGISTERS = [row.register for table in ROWS.values() for row in table]


def as_logged(row: Row, place: int) -> list[dict[str, Any]]:
    """The row's records as a source would log them: nested, at a minute and with an emitter of the row's own."""
    logged = []
    for index, given in enumerate(row.records):
        offset = timedelta(seconds=int(given.get("at", f"+{index}s").strip("+s")))
        flat: dict[str, Any] = {
            "@timestamp": (BEGINNING + timedelta(minutes=place) + offset).isoformat().replace("+00:00", "Z"),
            "event.id": f"{row.table}/{row.number}/{index}",
            "chain.stage": "tool_call",
            **{name: value for name, value in given.items() if name != "at"},
        }
        if "observer.name" in flat:
            flat["observer.name"] = f"{row.table}/{row.number}/{flat['observer.name']}"
        logged.append(nested(flat))
    return logged


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as nested objects."""
    record: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, leaf = name.split(".")
        at = record
        for parent in parents:
            at = at.setdefault(parent, {})
        at[leaf] = value
    return record


@cache
def judged(register: str) -> dict[tuple[str, int], list[Mapping[str, Any]]]:
    """All rows of all tables that share a register, judged in one call: (table, row number) → its records' facts."""
    rows = [row for table in ROWS.values() for row in table if row.register == register]
    records = [record for place, row in enumerate(rows) for record in as_logged(row, place)]
    events = iter(
        judge(
            records,
            rules={},
            register=json.loads(register) or None,
            vocabulary=VOCABULARY,
            chain_vocabulary=CHAIN_VOCABULARY,
            sources=SOURCES,
        ).events
    )
    return {(row.table, row.number): [next(events) for _ in row.records] for row in rows}


def comparable(field: Field, value: Any) -> Any:
    """A value without what does not matter: an array's order, a time's spelling, a number's type."""
    if value is None:
        return None
    if field.array:
        return sorted(value)
    if field.kind == "time":
        time = datetime.fromisoformat(value) if isinstance(value, str) else value
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    return value


def disagreement(name: str, expected: Any, got: Any) -> str | None:
    """One sentence if what was computed is not what the table says."""
    field = VOCABULARY.fields[name]
    left, right = comparable(field, expected), comparable(field, got)
    same = left == right and isinstance(left, bool) == isinstance(right, bool)
    return None if same else f"{name}: expected {expected!r}, got {got!r}"


@pytest.mark.parametrize("row", [row for table in ROWS.values() for row in table], ids=lambda row: row.name)
def test_a_fact_is_what_its_truth_table_says(row: Row) -> None:
    events = judged(row.register)[row.table, row.number]
    found = [
        f"record {index}: {wrong}"
        for index, (expect, event) in enumerate(zip(row.expect, events, strict=True))
        for name, value in expect.items()
        if (wrong := disagreement(name, value, event.get(name)))
    ]
    assert not found, f"{row.why}\n{row.records}\nregister {row.register}\n" + "\n".join(found)


@pytest.mark.parametrize("name", sorted(set(VOCABULARY.derived) - JOINED))
def test_every_derived_field_has_a_truth_table_of_ten_rows(name: str) -> None:
    assert len(ROWS.get(name, [])) >= 10


def test_no_table_is_left_over_from_a_field_that_is_gone() -> None:
    moved = {"user.effective.id"}  # a service identity is moved there, though sources also send it
    assert set(ROWS) - moved <= set(VOCABULARY.derived)


def test_scopes_of_real_systems_fill_a_table_of_forty() -> None:
    scopes = {
        scope
        for row in ROWS["oauth.scope.system_wide"]
        for record in row.records
        for scope in record.get("oauth.scope.granted") or []
    }
    assert len(scopes) >= 40
