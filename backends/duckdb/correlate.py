"""Correlations on DuckDB: windows that slide over the records of base rules, grouped by hashes that the pass kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.correlation import ORDERED, Correlation
from backends.duckdb.columns import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from backends.duckdb.engine import Engine


@dataclass(frozen=True)
class Compiled:
    """A correlation whose base rules have bits.

    Attributes:
        name: the rule's stem.
        correlation: what must come together.
        period_us: how long fires of one key are one finding.
        bits: number of each step's bit in the pass.
    """

    name: str
    correlation: Correlation
    period_us: int
    bits: tuple[int, ...]


def keys(correlations: Sequence[Compiled]) -> dict[tuple[str, ...], list[int]]:
    """Every tuple of fields that some step is grouped by or counts, and the bits of the rules that need its hash."""
    found: dict[tuple[str, ...], list[int]] = {}
    for one in correlations:
        for step, bit in zip(one.correlation.steps, one.bits, strict=True):
            for fields in (step.key, (step.value,) if step.value else ()):
                if fields:
                    found.setdefault(fields, []).append(bit)
    return found


def key_columns(correlations: Sequence[Compiled], hit: Mapping[int, str]) -> list[str]:
    """The pass's columns ``k0``, ``k1`` …: a hash of the fields where a rule that needs it fires and all are there.

    Args:
        correlations: all of them.
        hit: SQL of a rule's verdict, by its bit.
    """
    columns = []
    for number, (fields, bits) in enumerate(keys(correlations).items()):
        there = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in fields)
        fires = " OR ".join(hit[bit] for bit in sorted(set(bits)))
        values = ", ".join(f"countersign_hash(lower({quoted(name)}::VARCHAR))" for name in fields)
        columns.append(f"CASE WHEN ({fires}) AND {there} THEN hash({values}) END AS k{number}")
    return columns


def prepare(engine: Engine) -> None:
    """Make ``steps_<n>`` (records that take part) and ``fires_<n>`` (those at which the n-th correlation fires)."""
    columns = {fields: f"k{number}" for number, fields in enumerate(keys(engine.correlations))}
    for number, one in enumerate(engine.correlations):
        engine.connection.execute(f"CREATE OR REPLACE TEMP TABLE steps_{number} AS {_steps(one, columns)}")
        engine.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE fires_{number} AS {fires(one.correlation, f'steps_{number}')}"
        )


def _steps(one: Compiled, columns: Mapping[tuple[str, ...], str]) -> str:
    parts = []
    for number, (step, bit) in enumerate(zip(one.correlation.steps, one.bits, strict=True)):
        key = columns[step.key] if step.key else "0::UBIGINT"
        value = columns[(step.value,)] if step.value else "NULL::UBIGINT"
        there = [f"{name} IS NOT NULL" for name in (key, value) if name.startswith("k")]
        where = " AND ".join([f"(hits{bit // 63} >> {bit % 63}) & 1 = 1", *there])
        parts.append(
            f"SELECT rid, ts, identity, {number} AS step, {key} AS key, {value} AS value FROM ev WHERE {where}"
        )
    return " UNION ALL ".join(parts)


def fires(correlation: Correlation, steps: str) -> str:
    """The records at which a correlation fires, from a table of its steps: rid, ts, identity, step, key, value."""
    window = (
        f"WINDOW seen AS (PARTITION BY key ORDER BY ts RANGE BETWEEN {correlation.window_us} PRECEDING AND CURRENT ROW)"
    )
    if correlation.kind == ORDERED:
        return _ordered(correlation, steps, window)
    source, counted = {
        "event_count": (f"(SELECT DISTINCT rid, ts, identity, key FROM {steps})", "count(*)"),
        "value_count": (steps, "count(DISTINCT value)"),
        "temporal": (steps, "count(DISTINCT step)"),
    }[correlation.kind]
    return (
        f"SELECT DISTINCT rid, ts, identity, key FROM (SELECT *, {counted} OVER seen AS held FROM {source} {window}) "
        f"WHERE held >= {correlation.least}"
    )


def _ordered(correlation: Correlation, steps: str, window: str) -> str:
    """Each record of a step learns the latest begin of what leads up to it; the last step fires if that is near enough."""
    parts = [f"walk_0 AS (SELECT *, CASE WHEN step = 0 THEN ts END AS begun FROM {steps})"]
    # of the records before, or of the same instant, the two best: one of them may be this very record
    parts += [
        f"walk_{number} AS (SELECT * EXCLUDE (best) REPLACE (CASE WHEN step = {number} "
        "THEN list_filter(best, lambda b: b.rid <> rid)[1].begun ELSE begun END AS begun) FROM ("
        f"SELECT *, arg_max({{begun: begun, rid: rid}}, (begun, rid), 2) FILTER (step = {number - 1} AND begun IS NOT NULL) "
        f"OVER seen AS best FROM walk_{number - 1} {window}))"
        for number in range(1, len(correlation.steps))
    ]
    last = len(correlation.steps) - 1
    return (
        f"WITH {', '.join(parts)} SELECT DISTINCT rid, ts, identity, key FROM walk_{last} "
        f"WHERE step = {last} AND ts - begun <= {correlation.window_us}"
    )


def fired(engine: Engine) -> Iterator[tuple[str, set[int]]]:
    """Each correlation's name, and the records at which it fires."""
    for number, one in enumerate(engine.correlations):
        rows = engine.connection.execute(f"SELECT rid FROM fires_{number}").fetchall()
        yield one.name, {rid for (rid,) in rows}
