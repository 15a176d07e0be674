"""Which records belong to one event: the ``takes`` of a source map as DuckDB SQL.

A record is matched by equal values and by time. Times are matched through one-second buckets, so that a correlation
id which a client puts on a million requests costs no more than the requests of the same second.

A record that was delivered twice is matched once, and its copy tells the same, so that a scan knows it for one.

Nothing is guessed: where two records qualify, or the one that qualifies names another person, nothing is taken, the
record is counted as ambiguous, and a record that names a person whom no call names becomes an event, so that both
people stay visible (`schema.md`, *Joining*, conflict).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.duckdb.assemble_expressions import column, quoted
from backends.source_checks import order

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

    from backends.sources import RecordKind, SourceMap, Takes


def join(connection: duckdb.DuckDBPyConnection, source: SourceMap) -> None:
    """Fill the table ``record`` from the other records of an event, kind after kind."""
    kinds = {kind.name: kind for kind in source.kinds}
    numbers = {kind.name: number for number, kind in enumerate(source.kinds, 1)}
    names = order({name: [takes.source for takes in kind.takes] for name, kind in kinds.items()})
    relations = [(kinds[name], takes) for name in names for takes in kinds[name].takes]
    connection.execute(_COPIES)
    for mine, takes in sorted(relations, key=lambda relation: relation[1].alone):
        connection.execute(_pairs(takes, mine, kinds[takes.source], numbers))
        for statement in _take(takes, mine):
            connection.execute(statement)
    given = dict.fromkeys(name for _, takes in relations for name in takes.gives)
    connection.execute(_told_alike([*map(column, given), *_FATE]))


_COPIES = """
    CREATE OR REPLACE TEMP TABLE copy AS
    SELECT row, first FROM (
      SELECT row, min(row) OVER (PARTITION BY kind, print) AS first FROM record
      WHERE bad IS NULL AND print IN (SELECT print FROM record GROUP BY print HAVING count(*) > 1))
    WHERE row <> first
"""
"""Records that were read before, each with the first of its like."""

_FIRST = "row NOT IN (SELECT row FROM copy)"
_FATE = ("taken", "claimed", "ambiguous", "named", "witness")


def _told_alike(columns: list[str]) -> str:
    sets = ", ".join(f"{name} = o.{name}" for name in columns)
    return f"UPDATE record SET {sets} FROM copy JOIN record o ON o.row = copy.first WHERE copy.row = record.row"


def value(name: str, kind: RecordKind) -> str:
    """The column of a field or of a mark."""
    return column(f"mark:{name}" if name in kind.marks else name)


def _pairs(takes: Takes, mine: RecordKind, theirs: RecordKind, numbers: dict[str, int]) -> str:
    """The table ``pair``: records of mine and of theirs that belong together, and whether that is beyond doubt.

    ``slack_ms`` is for clock readings that come late: it counts only where nothing fits without it, and then the
    next record counts.
    """
    timing = _timing(takes)
    equal = {word: _compared(getattr(takes, word), mine, theirs) for word in ("same", "compatible", "agree")}
    same = [f"{m} = {t}" for m, t in equal["same"]]
    fits = [f"coalesce({m} = {t}, true)" for m, t in equal["compatible"]]
    agreed = [f"coalesce({m} = {t}, true)" for m, t in equal["agree"]]
    named = [f"coalesce({m} = {t}, false)" for m, t in equal["agree"]]
    anyone = [f"{t} IS NOT NULL" for _, t in equal["agree"]]
    return f"""
        CREATE OR REPLACE TEMP TABLE pair AS
        SELECT *, candidates = 1 AND agreed AND {"true" if takes.shared else "calls = 1"} AS good FROM (
          SELECT *, count(*) OVER (PARTITION BY mine) AS candidates, count(*) OVER (PARTITION BY theirs) AS calls
          FROM (
            SELECT m.row AS mine, t.row AS theirs, {timing.strictly} AS strictly,
              {" AND ".join(agreed) or "true"} AS agreed,
              {" AND ".join(named) or "true"} AS named,
              {" AND ".join(anyone) or "false"} AS anyone,
              m.ends AS my_end, t.ends AS their_end
            FROM (SELECT *, {timing.my_bucket} AS bucket FROM record
                  WHERE kind = {numbers[mine.name]} AND bad IS NULL AND moment IS NOT NULL AND {_FIRST}
                    {"AND NOT claimed" if takes.alone else ""}) m
            JOIN (SELECT *, {timing.their_bucket} AS bucket FROM record
                  WHERE kind = {numbers[theirs.name]} AND bad IS NULL AND moment IS NOT NULL AND {_FIRST}) t
              ON {" AND ".join([*same, "m.bucket = t.bucket", timing.within, *fits])}
            {f"QUALIFY {timing.chosen}" if timing.chosen else ""}))
    """


@dataclass(frozen=True)
class _Timing:
    """How times decide, as SQL over ``m`` (mine) and ``t`` (theirs).

    Attributes:
        my_bucket: seconds that a record of mine is looked for in. their_bucket: the same of theirs.
        within: true for two that may belong together. strictly: without slack.
        chosen: which of those stay, as a window condition; all when empty.
    """

    my_bucket: str
    their_bucket: str
    within: str
    strictly: str
    chosen: str


_TIER = """(strictly OR (NOT bool_or(strictly) OVER (PARTITION BY mine)
    AND their_end = min(CASE WHEN NOT strictly THEN their_end END) OVER (PARTITION BY mine)))"""


def _timing(takes: Takes) -> _Timing:
    slack = f"INTERVAL '{int(takes.slack_ms * 1000)} microseconds'"
    point, span = _second("moment"), _seconds(f"begins - {slack}", f"ends + {slack}")
    if takes.when == "around":
        within = f"m.moment BETWEEN t.begins - {slack} AND t.ends + {slack}"
        return _Timing(point, span, within, "m.moment BETWEEN t.begins AND t.ends", _TIER)
    if takes.when == "inside":
        within = f"t.moment BETWEEN m.begins - {slack} AND m.ends + {slack}"
        return _Timing(span, point, within, "t.moment BETWEEN m.begins AND m.ends", _TIER)
    if takes.when == "before":
        within = f"t.moment BETWEEN m.begins - {slack} AND m.ends"
        return _Timing(span, point, within, "true", "my_end = min(my_end) OVER (PARTITION BY theirs)")
    if takes.when == "near":
        around = _seconds(f"moment - {slack}", f"moment + {slack}")
        within = f"m.moment BETWEEN t.moment - {slack} AND t.moment + {slack}"
        return _Timing(point, around, within, "true", "")
    return _Timing("0", "0", "true", "true", "")


def _compared(values: Mapping[str, str], mine: RecordKind, theirs: RecordKind) -> list[tuple[str, str]]:
    return [(f"m.{value(a, mine)}", f"t.{value(b, theirs)}") for a, b in values.items()]


def _second(moment: str) -> str:
    return f"epoch_us({moment}) // 1000000"


def _seconds(lower: str, upper: str) -> str:
    return f"unnest(range({_second(lower)}, {_second(upper)} + 1))"


def _take(takes: Takes, mine: RecordKind) -> list[str]:
    given = [f"{column(name)} = coalesce(record.{column(name)}, t.{column(name)})" for name in takes.gives]
    more = "list_filter(t.records, lambda one: NOT list_contains(record.records, one))"
    sets = ", ".join([*given, f"records = list_concat(record.records, {more})"])
    ambiguous = "SELECT DISTINCT mine FROM pair WHERE NOT good"
    claimed = "SELECT DISTINCT theirs FROM pair"
    named = "SELECT DISTINCT theirs FROM pair WHERE named"
    statements = [
        f"UPDATE record SET {sets} FROM pair p JOIN record t ON t.row = p.theirs WHERE p.good AND p.mine = record.row",
        "UPDATE record SET taken = true FROM pair p WHERE p.good AND p.theirs = record.row",
        f"UPDATE record SET claimed = true FROM ({claimed}) p WHERE p.theirs = record.row",
        f"UPDATE record SET ambiguous = true FROM ({ambiguous}) p WHERE p.mine = record.row",
    ]
    if takes.disputed_is_event:
        statements += [
            f"UPDATE record SET named = true FROM ({named}) p WHERE p.theirs = record.row",
            f"""UPDATE record SET witness = {quoted(mine.stage or "")}
                FROM (SELECT theirs FROM pair GROUP BY theirs HAVING bool_and(NOT good) AND bool_and(anyone)) p
                WHERE p.theirs = record.row""",
        ]
    return statements
