"""Correlations on Spark: windows that slide over the records of base rules, by range frames over microseconds.

What DuckDB counts in a window with DISTINCT or FILTER, Spark refuses there: it is collected as a set, or as nulls that a
list leaves out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.correlation import ORDERED, Correlation
from backends.spark.views import EVENTS, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence


def correlated(correlation: Correlation, conditions: Sequence[str]) -> str:
    """A query that gives ``rid`` of each record at which the correlation fires.

    Args:
        correlation: what must come together.
        conditions: of each step, Spark SQL over the event view.
    """
    steps, chosen = _fires(correlation, conditions)
    return f"WITH {steps}\nSELECT DISTINCT rid FROM (\n{chosen})"


def members(correlation: Correlation, conditions: Sequence[str], period_us: int) -> str:
    """A query that gives the records of every window that fires, one a record, period and value.

    Beside the columns of the event view: ``cs_period`` (number of the period), ``cs_key`` and ``cs_value``.

    Args:
        correlation: what must come together.
        conditions: of each step, Spark SQL over the event view.
        period_us: how long fires of one key are one finding, microseconds.
    """
    steps, chosen = _fires(correlation, conditions)
    judged = "ts BETWEEN countersign_since AND countersign_until"
    return f"""WITH {steps},
fired AS (
  SELECT key, ts DIV {period_us} AS period, min(ts) - {correlation.window_us} AS since, max(ts) AS until
  FROM (
{chosen}) WHERE {judged} GROUP BY key, ts DIV {period_us}),
held AS (
  SELECT DISTINCT steps.rid, fired.period AS cs_period, to_json(steps.key) AS cs_key, steps.value AS cs_value
  FROM steps JOIN fired ON fired.key = steps.key AND steps.ts BETWEEN fired.since AND fired.until)
SELECT {EVENTS}.*, held.cs_period, held.cs_key, held.cs_value
FROM {EVENTS}
JOIN held ON held.rid = {EVENTS}.rid
"""


def _fires(correlation: Correlation, conditions: Sequence[str]) -> tuple[str, str]:
    """Tables that a WITH makes, ``steps`` among them, and a query that gives ``rid, ts, key`` where it fires."""
    parts = []
    for number, (step, condition) in enumerate(zip(correlation.steps, conditions, strict=True)):
        there = "".join(
            f" AND {quoted(name)} IS NOT NULL" for name in (*step.key, *((step.value,) if step.value else ()))
        )
        key = f"struct({', '.join(map(_folded, step.key))})" if step.key else "struct(true)"
        value = _folded(step.value) if step.value else "CAST(NULL AS STRING)"
        parts.append(
            f"  SELECT rid, `@timestamp` AS ts, {number} AS step, {key} AS key, {value} AS value\n  FROM {EVENTS}\n  WHERE ({condition}){there}"
        )
    steps = "steps AS (\n" + "\n  UNION ALL\n".join(parts) + ")"
    window = (
        f"WINDOW seen AS (PARTITION BY key ORDER BY ts RANGE BETWEEN {correlation.window_us} PRECEDING AND CURRENT ROW)"
    )
    if correlation.kind == ORDERED:
        return _ordered(correlation, steps, window)
    source, counted = {
        "event_count": ("(SELECT DISTINCT rid, ts, key FROM steps)", "count(*)"),
        "value_count": ("steps", "size(collect_set(value)"),
        "temporal": ("steps", "size(collect_set(step)"),
    }[correlation.kind]
    held = f"{counted} OVER seen{')' if counted.startswith('size') else ''}"
    windows = f"SELECT rid, ts, key, {held} AS held FROM {source} {window}"
    return steps, f"  SELECT rid, ts, key FROM ({windows})\n  WHERE held >= {correlation.least}"


def _folded(name: str) -> str:
    return f"lower(translate(CAST({quoted(name)} AS STRING), 'Σİ', 'σi'))"


def _ordered(correlation: Correlation, steps: str, window: str) -> tuple[str, str]:
    """Each record of a step learns the latest begin of what leads up to it; the last step fires if that is near enough."""
    parts = [steps, "walk_0 AS (SELECT rid, ts, step, key, CASE WHEN step = 0 THEN ts END AS begun FROM steps)"]
    # one record is never two steps: of those before it, or of its instant, its own are left out
    parts += [
        f"walk_{number} AS (\n  SELECT rid, ts, step, key, CASE WHEN step = {number}\n"
        "    THEN array_max(transform(filter(before, b -> b.rid <> rid), b -> b.begun)) ELSE begun END AS begun\n"
        f"  FROM (SELECT *, collect_set(CASE WHEN step = {number - 1} AND begun IS NOT NULL THEN struct(begun, rid) END) OVER seen AS before\n"
        f"    FROM walk_{number - 1} {window}))"
        for number in range(1, len(correlation.steps))
    ]
    last = len(correlation.steps) - 1
    found = f"  SELECT rid, ts, key FROM walk_{last} WHERE step = {last} AND ts - begun <= {correlation.window_us}"
    return ",\n".join(parts), found
