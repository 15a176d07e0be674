"""Rules as queries over `countersign_events` and `countersign_chains`, for whoever has DuckDB and the views alone.

The engine judges all rules in one pass (`backends.duckdb.engine`); here each is a query of its own, to be read and run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.correlation import Correlation
from backends.duckdb import backend
from backends.duckdb.columns import quoted
from backends.duckdb.correlate import fires
from backends.duckdb.target import LATE
from backends.target import Inexpressible, fields_read

if TYPE_CHECKING:
    from sigma.rule import SigmaRule

    from backends.vocabulary import Vocabulary

EVENTS, CHAINS = "countersign_events", "countersign_chains"


def query(rule: SigmaRule | Correlation, period_us: int, events: Vocabulary, chains: Vocabulary) -> str:
    """What the rule fires for: rows of the view that it judges, all columns.

    Of a correlation, the records of every window that fires, each with ``cs_period``, ``cs_key`` and ``cs_value``.

    Raises:
        Inexpressible: one sentence that names rule and construct.
    """
    if isinstance(rule, Correlation):
        return _members(rule, period_us, events)
    if rule.logsource.service == "chain":
        return f"SELECT * FROM {CHAINS}\nWHERE {backend.expression(rule, chains)}\n"
    return f"SELECT * FROM {EVENTS}\nWHERE {_checked(rule, events)}\n"


def _checked(rule: SigmaRule, events: Vocabulary) -> str:
    if rule.logsource.service == "chain":
        raise Inexpressible(f"rule {rule.title!r} is correlated and judges chains; correlate events")
    if late := sorted(fields_read(rule) & LATE):
        raise Inexpressible(f"rule {rule.title!r} reads {late[0]}, which only an emitter's records together say")
    return backend.expression(rule, events)


def _members(correlation: Correlation, period_us: int, events: Vocabulary) -> str:
    steps = []
    for number, step in enumerate(correlation.steps):
        key = f"[{', '.join(f'lower({quoted(name)}::VARCHAR)' for name in step.key)}]" if step.key else "['']"
        value = f"lower({quoted(step.value)}::VARCHAR)" if step.value else "NULL::VARCHAR"
        there = "".join(
            f" AND {quoted(name)} IS NOT NULL" for name in (*step.key, *((step.value,) if step.value else ()))
        )
        steps.append(
            f'  SELECT rid, "@timestamp" AS ts, line_hash AS identity, {number} AS step, {key} AS key, {value} AS value\n'
            f"  FROM {EVENTS}\n  WHERE ({_checked(step.rule, events)}){there}"
        )
    union = "\n  UNION ALL\n".join(steps)
    return f"""WITH steps AS (
{union}),
fired AS (
  SELECT key, ts // {period_us} AS period, min(ts) - {correlation.window_us} AS since, max(ts) AS until
  FROM ({fires(correlation, "steps")}) GROUP BY key, ts // {period_us}),
held AS (
  SELECT DISTINCT steps.rid, fired.period AS cs_period, to_json(steps.key)::VARCHAR AS cs_key, steps.value AS cs_value
  FROM steps JOIN fired ON fired.key = steps.key AND steps.ts BETWEEN fired.since AND fired.until)
SELECT {EVENTS}.*, held.cs_period, held.cs_key, held.cs_value
FROM {EVENTS}
JOIN held ON held.rid = {EVENTS}.rid
"""
