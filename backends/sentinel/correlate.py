"""Correlations in KQL: windows that slide.

The stock backend has none. Each record of a base rule is joined to the records of its key in its own bin of one span's
length and in the bin before, and the true difference of the two times decides: no window is lost at the edge of a bin.
``dcount`` estimates (KQL, "dcount() aggregation function"), so distinct values are listed and counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.correlation import ORDERED
from backends.sentinel.backend import SentinelBackend, _written
from backends.sentinel.columns import ROW, column

if TYPE_CHECKING:
    from backends.correlation import Correlation, Step
    from backends.vocabulary import Vocabulary

SECOND = 1_000_000
COUNTED = {"event_count": f"x_other = {ROW}", "value_count": "x_other = x_value", "temporal": "x_other = x_step"}


def statements(
    correlation: Correlation, vocabulary: Vocabulary, source: str, prefix: str = "c"
) -> tuple[list[str], str]:
    """Let statements, and the name of the table that holds the ids of the records at which it fires.

    Args:
        correlation: what must come together.
        vocabulary: the event's fields.
        source: the event view, as the query calls it.
        prefix: of the names that the statements define.

    Raises:
        Inexpressible: a base rule can't be said.
    """
    keys = [f"x_key_{at}" for at in range(len(correlation.steps[0].key))] or ["x_key_0"]
    lets = [f"let {prefix}_span = {correlation.window_us // SECOND}s;"]
    names = []
    for number, step in enumerate(correlation.steps):
        backend = SentinelBackend(vocabulary, source, prefix=f"{prefix}_any_{number}")
        condition = backend.expression(step.rule)
        lets += backend.lets
        names.append(f"{prefix}_step_{number}")
        lets.append(f"let {names[-1]} = {source}\n| where {condition}\n{_projected(step, number, keys, vocabulary)};")
    taken = names[0] if len(names) == 1 else f"union {', '.join(names)}"
    lets.append(f"let {prefix}_steps = materialize({taken});")
    rest = _ordered(correlation, prefix, keys) if correlation.kind == ORDERED else _counted(correlation, prefix, keys)
    return lets + rest, f"{prefix}_hits"


def _projected(step: Step, number: int, keys: list[str], vocabulary: Vocabulary) -> str:
    """What is unknown is not equal: a record without a key's field, or without the counted value, takes no part."""
    written = [_written(vocabulary.fields[name], column(name)) for name in step.key]
    value = _written(vocabulary.fields[step.value], column(step.value)) if step.value else '""'
    there = [f"isnotempty({one})" for one in [*written, *([value] if step.value else [])]]
    where = f"| where {' and '.join(there)}\n" if there else ""
    folded = [f"{key} = tolower({one})" for key, one in zip(keys, written, strict=bool(written))] or [f'{keys[0]} = ""']
    return f"{where}| project {ROW}, TimeGenerated, x_step = {number}, {', '.join(folded)}, x_value = tolower({value})"


def _pairs(prefix: str, late: str, early: str, others: str, keys: list[str]) -> str:
    """Each record of ``late`` with those of ``early`` in the window that it closes."""
    on = ", ".join(["x_bin", *keys])
    own = f"bin(TimeGenerated, {prefix}_span)"
    return (
        f"{late}\n| extend x_bin = pack_array({own}, {own} - {prefix}_span)\n"
        "| mv-expand x_bin to typeof(datetime)\n"
        f"| join kind=inner ({early} | extend x_bin = bin(TimeGenerated, {prefix}_span)"
        f" | project {on}, x_time = TimeGenerated, {others}) on {on}\n"
        f"| where x_time <= TimeGenerated and x_time >= TimeGenerated - {prefix}_span"
    )


def _counted(correlation: Correlation, prefix: str, keys: list[str]) -> list[str]:
    by = ", ".join([ROW, *keys])
    pairs = _pairs(
        prefix, f"{prefix}_steps | distinct {by}, TimeGenerated", f"{prefix}_steps", COUNTED[correlation.kind], keys
    )
    held = f"| distinct {by}, x_other\n| summarize x_held = count() by {by}\n| where x_held >= {correlation.least}"
    return [f"let {prefix}_hits = {pairs}\n{held}\n| distinct {ROW};"]


def _ordered(correlation: Correlation, prefix: str, keys: list[str]) -> list[str]:
    """Each record of a step learns the latest begin of what leads up to it; the last fires if that is near enough."""
    by = ", ".join([ROW, "TimeGenerated", *keys])
    begin = f"{prefix}_steps | where x_step == 0 | extend x_begun = TimeGenerated | project {by}, x_begun"
    lets = [f"let {prefix}_walk_0 = {begin};"]
    for number in range(1, len(correlation.steps)):
        late = f"{prefix}_steps | where x_step == {number} | project {by}"
        pairs = _pairs(prefix, late, f"{prefix}_walk_{number - 1}", f"x_other = {ROW}, x_begun", keys)
        lets.append(
            f"let {prefix}_walk_{number} = {pairs} and x_other != {ROW}\n| summarize x_begun = max(x_begun) by {by};"
        )
    last = f"{prefix}_walk_{len(correlation.steps) - 1}"
    return [*lets, f"let {prefix}_hits = {last} | where x_begun >= TimeGenerated - {prefix}_span | distinct {ROW};"]
