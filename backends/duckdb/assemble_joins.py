"""Which records belong to one event: the ``takes`` of a source map as DuckDB SQL.

A record is matched by equal values and by time. Times are matched through one-second buckets, so that a correlation
id which a client puts on a million requests costs no more than the requests of the same second.

Nothing is guessed: where two records qualify, or the one that qualifies names another person, nothing is taken, the
record is counted as ambiguous, and a record that names a person whom no call names becomes an event, so that both
people stay visible (`schema.md`, *Joining*, conflict).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.duckdb.assemble_expressions import column, quoted
from backends.source_checks import order

if TYPE_CHECKING:
    import duckdb

    from backends.sources import RecordKind, SourceMap, Takes


def join(connection: duckdb.DuckDBPyConnection, source: SourceMap) -> None:
    """Fill the table ``record`` from the other records of an event, kind after kind."""
    kinds = {kind.name: kind for kind in source.kinds}
    numbers = {kind.name: number for number, kind in enumerate(source.kinds, 1)}
    for name in order({name: [takes.source for takes in kind.takes] for name, kind in kinds.items()}):
        for takes in kinds[name].takes:
            connection.execute(_pairs(takes, kinds[name], kinds[takes.source], numbers))
            for statement in _take(takes, kinds[name]):
                connection.execute(statement)


def value(name: str, kind: RecordKind) -> str:
    """The column of a field or of a mark."""
    return column(f"mark:{name}" if name in kind.marks else name)


def _pairs(takes: Takes, mine: RecordKind, theirs: RecordKind, numbers: dict[str, int]) -> str:
    slack = f"INTERVAL '{int(takes.slack_ms * 1000)} microseconds'"
    lower, upper = f"begins - {slack}", f"ends + {slack}"
    moment, spanned = "moment", "begins"
    match takes.when:
        case "around":
            mine_bucket, their_bucket = _second(moment), _seconds(lower, upper)
            timely = f"m.moment BETWEEN t.{lower} AND t.{upper}"
        case "inside":
            mine_bucket, their_bucket = _seconds(lower, upper), _second(moment)
            timely = f"t.moment BETWEEN m.{lower} AND m.{upper}"
        case "near":
            mine_bucket, their_bucket = _second(moment), _seconds(f"moment - {slack}", f"moment + {slack}")
            timely = f"m.moment BETWEEN t.moment - {slack} AND t.moment + {slack}"
        case _:
            mine_bucket = their_bucket = "0"
            timely, spanned = "true", "moment"
    same = [f"m.{value(a, mine)} = t.{value(b, theirs)}" for a, b in takes.same.items()]
    fits = [
        f"(m.{value(a, mine)} IS NULL OR t.{value(b, theirs)} IS NULL OR m.{value(a, mine)} = t.{value(b, theirs)})"
        for a, b in takes.compatible.items()
    ]
    agreed = [f"coalesce(m.{value(a, mine)} = t.{value(b, theirs)}, true)" for a, b in takes.agree.items()]
    named = [f"coalesce(m.{value(a, mine)} = t.{value(b, theirs)}, false)" for a, b in takes.agree.items()]
    anyone = [f"t.{value(b, theirs)} IS NOT NULL" for b in takes.agree.values()]
    share = "true" if takes.shared else "calls = 1"
    return f"""
        CREATE OR REPLACE TEMP TABLE pair AS
        SELECT *, candidates = 1 AND agreed AND {share} AS good FROM (
          SELECT m.row AS mine, t.row AS theirs,
            {" AND ".join(agreed) or "true"} AS agreed,
            {" AND ".join(named) or "true"} AS named,
            {" AND ".join(anyone) or "false"} AS anyone,
            count(*) OVER (PARTITION BY m.row) AS candidates,
            count(*) OVER (PARTITION BY t.row) AS calls
          FROM (SELECT *, {mine_bucket} AS bucket FROM record
                WHERE kind = {numbers[mine.name]} AND bad IS NULL AND {spanned} IS NOT NULL) m
          JOIN (SELECT *, {their_bucket} AS bucket FROM record
                WHERE kind = {numbers[theirs.name]} AND bad IS NULL AND {spanned} IS NOT NULL) t
            ON {" AND ".join([*same, "m.bucket = t.bucket", timely, *fits])})
    """


def _second(moment: str) -> str:
    return f"epoch_us({moment}) // 1000000"


def _seconds(lower: str, upper: str) -> str:
    return f"unnest(range({_second(lower)}, {_second(upper)} + 1))"


def _take(takes: Takes, mine: RecordKind) -> list[str]:
    given = [f"{column(name)} = coalesce(record.{column(name)}, t.{column(name)})" for name in takes.gives]
    more = "list_filter(t.records, lambda one: NOT list_contains(record.records, one))"
    sets = ", ".join([*given, f"records = list_concat(record.records, {more})"])
    ambiguous = "SELECT DISTINCT mine FROM pair WHERE NOT good"
    named = "SELECT DISTINCT theirs FROM pair WHERE named"
    statements = [
        f"UPDATE record SET {sets} FROM pair p JOIN record t ON t.row = p.theirs WHERE p.good AND p.mine = record.row",
        "UPDATE record SET taken = true FROM pair p WHERE p.good AND p.theirs = record.row",
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
