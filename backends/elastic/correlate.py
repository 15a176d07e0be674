"""Correlations in ES|QL: windows that slide, without a window function.

The stock backend counts by ``date_trunc``, so what lies on both sides of an edge is missed. ES|QL has no self join
either, but a group can carry its records: ``VALUES`` packs them, ``MV_EXPAND`` takes them apart again, and the true
difference of two times decides. A record as packed is its time, what is counted of it, and its ``_id``: microseconds in
17 digits, so that text sorts as time does; a value hashed, so that nothing in a log ends it early; the id last, where
DISSECT takes all that is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.correlation import ORDERED
from backends.elastic.backend import ElasticBackend, lowered, written
from backends.elastic.esql import quoted

if TYPE_CHECKING:
    from backends.correlation import Correlation
    from backends.vocabulary import Vocabulary

TIME = 'RIGHT(CONCAT("00000000000000000", TO_STRING(cs_us)), 17)'


def columns_read(correlation: Correlation) -> set[str]:
    """What the correlation itself reads of the event view, beside what its base rules read."""
    return {"cs_us", "_id", *correlation.fields}


def commands(correlation: Correlation, vocabulary: Vocabulary) -> str:
    """The commands that follow the event view; one row for each record at which the correlation fires.

    Columns: ``_id``, ``cs_fired`` (microseconds) and the key, in lower case: the fields that group, by their own names.

    Raises:
        Inexpressible: a base rule can't be said.
    """
    backend = ElasticBackend(vocabulary)
    keys = key_columns(correlation)
    steps = range(len(correlation.steps))
    lines = ["| EVAL"]
    lines += [f"    cs_step_{n} = COALESCE({backend.expression(correlation.steps[n].rule)}, false)," for n in steps]
    marks = ", ".join(f'CASE(cs_step_{n}, "{n} ", "")' for n in steps)
    lines += [f'    cs_step = SPLIT(TRIM(CONCAT({marks}, "")), " ")']
    lines += [f"| WHERE {' OR '.join(f'cs_step_{n}' for n in steps)}", "| MV_EXPAND cs_step"]
    lines += ["| EVAL"]
    for at, key in enumerate(keys):
        lines.append(f"    {quoted(key)} = {_chosen([_text(vocabulary, s.key[at]) for s in correlation.steps])},")
    lines.append(f"    cs_value = {_value(correlation, vocabulary)}")
    there = [f"{quoted(key)} IS NOT NULL" for key in keys] + ["cs_value IS NOT NULL"]
    lines.append(f"| WHERE {' AND '.join(there)}")
    kinds = {"event_count": _count, ORDERED: _ordered}
    lines += kinds.get(correlation.kind, _distinct)(correlation, [quoted(key) for key in keys])
    return "\n".join(lines) + "\n"


def key_columns(correlation: Correlation) -> list[str]:
    """The names of the key's columns: of the fields, or of the aliases that stand for them."""
    return [str(name) for name in correlation.rule.group_by or ()]


def _text(vocabulary: Vocabulary, name: str) -> str:
    return lowered(written(vocabulary.fields[name]))


def _chosen(said: list[str]) -> str:
    """By step, where the steps name different fields."""
    if len(set(said)) == 1:
        return said[0]
    pairs = ", ".join(f'cs_step == "{n}", {one}' for n, one in enumerate(said))
    return f"CASE({pairs})"


def _value(correlation: Correlation, vocabulary: Vocabulary) -> str:
    """What is counted: a value's hash; of other kinds nothing, in a word that is never null."""
    if not any(step.value for step in correlation.steps):
        return '"-"'
    said = [_text(vocabulary, step.value or "") for step in correlation.steps]
    return f'HASH("md5", {_chosen(said)})'


def _by(keys: list[str], *more: str) -> str:
    return f" BY {', '.join([*keys, *more])}" if keys or more else ""


def _count(correlation: Correlation, keys: list[str]) -> list[str]:
    """The n-th record after each: near enough, and the window is full. All records of its instant complete it."""
    less = correlation.least - 1
    early = f"MV_SLICE(cs_marks, 0, MV_COUNT(cs_marks) - {less + 1})"
    late = f"MV_SLICE(cs_marks, {less}, MV_COUNT(cs_marks) - 1)"
    return [
        # a mark has 50 characters, whatever the id, so that two of them can be told apart by counting
        f'| EVAL cs_mark = CONCAT({TIME}, "|", HASH("md5", _id)), cs_row = CONCAT({TIME}, "|", _id)',
        f"| STATS cs_marks = MV_SORT(VALUES(cs_mark)), cs_rows = VALUES(cs_row){_by(keys)}",
        f"| WHERE MV_COUNT(cs_marks) >= {correlation.least}",
        f'| EVAL cs_pair = MV_ZIP({early}, {late}, "|")',
        "| MV_EXPAND cs_pair",
        "| EVAL cs_first = SUBSTRING(cs_pair, 1, 17), cs_last = SUBSTRING(cs_pair, 52, 17)",
        f"| WHERE TO_LONG(cs_last) - TO_LONG(cs_first) <= {correlation.window_us}",
        f"| STATS cs_full = VALUES(cs_last), cs_rows = VALUES(cs_rows){_by(keys)}",
        "| MV_EXPAND cs_rows",
        '| DISSECT cs_rows "%{cs_t}|%{_id}"',
        '| WHERE LOCATE(MV_CONCAT(cs_full, "|"), cs_t) > 0',
        "| EVAL cs_fired = TO_LONG(cs_t)",
        f"| KEEP {', '.join(['_id', 'cs_fired', *keys])}",
    ]


def _meeting(correlation: Correlation, keys: list[str], early: str, late: str) -> list[str]:
    """Each late record beside the early ones of its key in its own slice of a window's length and in the one before.

    Leaves ``cs_late`` and ``cs_early``, one pair a row; the true difference is still to be asked. Rows that are not
    late are lost here.
    """
    slice_ = f"cs_us / {correlation.window_us}"
    return [
        f'| EVAL cs_own = TO_STRING({slice_}), cs_slice = SPLIT(CONCAT(cs_own, ",", TO_STRING({slice_} + 1)), ",")',
        "| MV_EXPAND cs_slice",
        f"| EVAL cs_early = {early}, cs_late = CASE(cs_slice == cs_own, {late})",
        f"| STATS cs_early = VALUES(cs_early), cs_late = VALUES(cs_late){_by(keys, 'cs_slice')}",
        "| WHERE cs_late IS NOT NULL",
        "| MV_EXPAND cs_late",
    ]


def _distinct(correlation: Correlation, keys: list[str]) -> list[str]:
    """Values, or steps, that a window holds. ``COUNT_DISTINCT`` estimates, so they are listed and counted."""
    counted = "cs_value" if correlation.kind == "value_count" else "cs_step"
    return [
        *_meeting(correlation, keys, f'CONCAT({TIME}, "|", {counted})', f'CONCAT({TIME}, "|", _id)'),
        "| MV_EXPAND cs_early",
        '| DISSECT cs_late "%{cs_t}|%{_id}"',
        '| DISSECT cs_early "%{cs_since}|%{cs_counted}"',
        "| EVAL cs_fired = TO_LONG(cs_t), cs_ago = TO_LONG(cs_t) - TO_LONG(cs_since)",
        f"| WHERE cs_ago >= 0 AND cs_ago <= {correlation.window_us}",
        f"| STATS cs_held = COUNT(*) BY {', '.join([*keys, '_id', 'cs_fired', 'cs_counted'])}",
        f"| STATS cs_held = COUNT(*) BY {', '.join([*keys, '_id', 'cs_fired'])}",
        f"| WHERE cs_held >= {correlation.least}",
        f"| KEEP {', '.join(['_id', 'cs_fired', *keys])}",
    ]


def _ordered(correlation: Correlation, keys: list[str]) -> list[str]:
    """Each record of a step learns the latest begin of what leads up to it; the last fires if that is near enough."""
    last = len(correlation.steps) - 1
    lines = ['| EVAL cs_begun = CASE(cs_step == "0", cs_us)']
    for step in range(1, last + 1):
        before = f'cs_step == "{step - 1}" AND cs_begun IS NOT NULL'
        lines += [
            *_meeting(
                correlation,
                keys,
                f'CASE({before}, CONCAT({TIME}, "|", TO_STRING(cs_begun), "|", _id))',
                f'CASE(TO_INTEGER(cs_step) >= {step}, CONCAT({TIME}, "|", cs_step, "|", _id))',
            ),
            '| DISSECT cs_late "%{cs_t}|%{cs_step}|%{_id}"',
            f'| EVAL cs_us = TO_LONG(cs_t), cs_early = CASE(cs_step == "{step}", cs_early)',
            "| MV_EXPAND cs_early",
            '| DISSECT cs_early "%{cs_since}|%{cs_from}|%{cs_other}"',
            "| EVAL cs_ago = cs_us - TO_LONG(cs_since)",
            f"| EVAL cs_near = cs_ago >= 0 AND cs_ago <= {correlation.window_us} AND cs_other != _id",
            "| EVAL cs_begun = CASE(cs_near, TO_LONG(cs_from))",
            f"| STATS cs_begun = MAX(cs_begun) BY {', '.join([*keys, '_id', 'cs_us', 'cs_step'])}",
        ]
    return [
        *lines,
        f"| WHERE cs_begun >= cs_us - {correlation.window_us}",
        "| EVAL cs_fired = cs_us",
        f"| KEEP {', '.join(['_id', 'cs_fired', *keys])}",
    ]
