"""From a rule's hits to findings: one row a finding and hour, merged by both, so that no repeated run doubles any.

A finding is what one rule found of one group within one period. Its row of an hour counts the hits of that hour, so a
job may look at the last two hours every hour: the second look writes the same row again. `countersign_findings`, a
view, adds the hours up. Rows of chains and of correlations are not cut by the hour.

It needs nothing but Python: the lake packages carry this file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from backends.lake.dialect import NOTHING
from backends.lake.sentence import sentence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.lake.dialect import Dialect

HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000

COLUMNS = {
    "finding_id": "text",
    "slice": "count",
    "rule": "text",
    "rule_id": "text",
    "rule_version": "count",
    "title": "text",
    "level": "text",
    "kind": "text",
    "sentence": "text",
    "first_seen": "time",
    "last_seen": "time",
    "hits": "count",
    "least": "count",
    "group_by": "map",
    "chain_id": "text",
    "person": "text",
    "agent": "text",
    "server": "text",
    "tool": "text",
    "target_system": "text",
    "records": "texts",
    "pack": "text",
    "found_at": "time",
    "updated_at": "time",
}
"""Columns of the table, and what they hold. ``slice``: the hour of the hits, microseconds since 1970; 0: not cut."""

SHOWN = {
    "agent": ("gen_ai.agent.id", "chain.agents"),
    "server": ("mcp.server.name", "chain.servers"),
    "tool": ("gen_ai.tool.name", "chain.tools"),
    "target_system": ("service.target.name", "chain.systems"),
}
"""Column → the event's field, and the chain's."""


def of_rule(rule: Mapping[str, Any], query: str, kinds: Mapping[str, str], dialect: Dialect, pack: str) -> str:
    """A query that gives the rows of one rule.

    Args:
        rule: what the catalogue says of it, and the team's ``level`` and ``least``.
        query: SQL that gives what it fires for: rows of the event view or of the chain view, all columns.
        kinds: field → its kind, of the view that it judges.
        dialect: whose SQL.
        pack: version of the pack.
    """
    made = dict.fromkeys(COLUMNS, "")
    said = {"rule": rule["stem"], "rule_id": rule["id"], "title": rule["title"], "level": rule["level"]}
    said |= {"kind": rule["kind"], "pack": pack}
    made |= {name: dialect.literal(value) for name, value in said.items()}
    made |= {name: f"CAST({int(rule[name])} AS BIGINT)" for name in ("rule_version", "least")}
    made |= dict.fromkeys(("found_at", "updated_at"), "CAST(current_timestamp AS TIMESTAMP)")
    body = (_of_chain if rule["service"] == "chain" else _of_events)(
        rule, query.rstrip().rstrip(";"), kinds, dialect, made
    )
    return "SELECT " + ",\n  ".join(f"{made[name]} AS {name}" for name in COLUMNS) + f"\nFROM {body}\n"


def excepted(query: str, exceptions: str, table: str) -> str:
    """The query over a view without the rows that the exceptions name.

    Args:
        query: a rule's.
        exceptions: SQL, true for a row that is left out; "" for none.
        table: the view that it reads.
    """
    if not exceptions:
        return query
    kept = f"(SELECT * FROM {table} WHERE NOT ({exceptions})) AS {table}"
    return re.sub(rf"\b(FROM|JOIN) {table}\b", lambda found: f"{found[1]} {kept}", query)


def _of_chain(
    rule: Mapping[str, Any], query: str, kinds: Mapping[str, str], dialect: Dialect, made: dict[str, str]
) -> str:
    start, end, chain = map(dialect.quoted, ("chain.start", "chain.end", "chain.id"))
    day = dialect.text(dialect.periods(start, DAY_US))
    made["finding_id"] = _identity(rule["id"], chain, day, dialect)
    made |= {"slice": "CAST(0 AS BIGINT)", "hits": "CAST(1 AS BIGINT)", "chain_id": chain}
    made |= {"first_seen": dialect.time(start), "last_seen": dialect.time(end)}
    made["sentence"] = sentence(rule["sentence"], kinds, dialect)
    made["group_by"] = dialect.record([("chain.id", chain)])
    names = {"person": "chain.users"} | {column: name for column, (_, name) in SHOWN.items()}
    for column, name in names.items():
        array = dialect.quoted(name)
        made[column] = f"CASE WHEN {dialect.size(array)} = 1 THEN {dialect.only(array)} END"
    made["records"] = _no_texts(dialect)
    return f"(\n{query}\n) hit"


def _of_events(
    rule: Mapping[str, Any], query: str, kinds: Mapping[str, str], dialect: Dialect, made: dict[str, str]
) -> str:
    correlated = bool(rule["correlated"])
    stamp, group = dialect.quoted("@timestamp"), [name for name in rule["group_by"] if name != "chain.id"]
    values = [f"coalesce(lower({dialect.text(dialect.quoted(name))}), '{NOTHING}')" for name in group if name in kinds]
    if "chain.id" in rule["group_by"]:
        values.append(f"coalesce(cs_chain_id, concat('record ', {dialect.text('rid')}))")
    same = f"concat_ws('␟', {', '.join(values)})" if values else f"'{NOTHING}'"
    period = "cs_period" if correlated else dialect.periods(stamp, rule["period_us"])
    hour = f"{dialect.periods(stamp, HOUR_US)} * {HOUR_US}"
    whole = correlated or rule["period_us"] < HOUR_US
    person = f"coalesce({', '.join(dialect.quoted(n) for n in ('user.key', 'user.email', 'user.id'))})"
    kinds = {**kinds, "chain.id": "keyword"}
    told = (
        f"(SELECT hit.*, placed_at.chain_id AS cs_chain_id FROM (\n{query}\n) hit\n"
        f"  LEFT JOIN (SELECT placed.rid AS placed_rid, named.{dialect.quoted('chain.id')} AS chain_id FROM placed\n"
        "    JOIN countersign_chains named ON named.chain = placed.chain) placed_at\n"
        "  ON placed_at.placed_rid = hit.rid) told"
    )
    phrase = sentence(rule["sentence"], kinds, dialect).replace(dialect.quoted("chain.id"), "cs_chain_id")
    columns = {
        "cs_group": "cs_key" if correlated else same,
        "cs_number": period,
        "cs_slice": "0" if whole else hour,
        "cs_sentence": phrase,
        "cs_person": person,
    }
    rows = f"(SELECT told.*, {', '.join(f'{sql} AS {name}' for name, sql in columns.items())} FROM {told}) row_of"
    order = [stamp, "rid"]
    hits = "count(DISTINCT rid)"
    spoken = dialect.earliest("cs_sentence", order)
    if correlated:
        counted = {"correlation.count": hits, "correlation.values": "count(DISTINCT cs_value)"}
        for name, sql in counted.items():
            spoken = f"replace({spoken}, '{{{name}}}', {dialect.text(sql)})"
    made["finding_id"] = _identity(rule["id"], "cs_group", dialect.text("cs_number"), dialect)
    made |= {"slice": "CAST(cs_slice AS BIGINT)", "hits": f"CAST({hits} AS BIGINT)", "sentence": spoken}
    made |= {"first_seen": dialect.time(f"min({stamp})"), "last_seen": dialect.time(f"max({stamp})")}
    made["chain_id"], made["person"] = _one("cs_chain_id"), _one("cs_person")
    made |= {column: _one(dialect.quoted(name)) for column, (name, _) in SHOWN.items()}
    shown = [(name, _one(dialect.text(dialect.quoted(name)))) for name in group if name in kinds]
    if "chain.id" in rule["group_by"]:
        shown.append(("chain.id", _one("cs_chain_id")))
    made["group_by"] = dialect.record(shown)
    made["records"] = dialect.collected(dialect.quoted("event.id"))
    return f"{rows}\nGROUP BY cs_group, cs_number, cs_slice"


SEVERAL = "(several)"


def _one(sql: str) -> str:
    """The value that all rows of a group share; NULL where none has one."""
    return f"CASE count(DISTINCT {sql}) WHEN 0 THEN NULL WHEN 1 THEN min({sql}) ELSE '{SEVERAL}' END"


def _identity(rule_id: str, group: str, period: str, dialect: Dialect) -> str:
    whole = f"concat({dialect.literal(rule_id)}, '␟', {group}, '␟', {period})"
    return f"left({dialect.digest(whole)}, 20)"


def _no_texts(dialect: Dialect) -> str:
    return "CAST(array() AS ARRAY<STRING>)" if dialect.name == "spark" else "[]::VARCHAR[]"


def summed(table: str) -> str:
    """The findings themselves: a query over a table of their rows, which adds the hours up."""
    added = {"hits": "sum(hits)", "first_seen": "min(first_seen)", "last_seen": "max(last_seen)"}
    added |= {"found_at": "min(found_at)", "updated_at": "max(updated_at)", "least": "max(least)"}
    added |= {name: f"min_by({name}, slice)" for name in ("sentence", "group_by", "records")}
    added |= {name: _one(name) for name in ("chain_id", "person", *SHOWN)}
    columns = [
        f"{added.get(name) or f'max_by({name}, slice)'} AS {name}"
        for name in COLUMNS
        if name not in {"finding_id", "slice"}
    ]
    rows = f"SELECT finding_id, {', '.join(columns)}\nFROM {table}\nGROUP BY finding_id"
    return f"SELECT * FROM (\n{rows}) added\nWHERE hits >= least"


KEPT = {
    "hits": "greatest(old.hits, new.hits)",
    "first_seen": "least(old.first_seen, new.first_seen)",
    "last_seen": "greatest(old.last_seen, new.last_seen)",
    "found_at": "old.found_at",
}
"""What a row that is there already keeps of itself when it is found again."""


def merge(into: str, new: str) -> str:
    """The statement that writes rows into the table: what is there is brought up to date, what is new is added."""
    sets = ", ".join(
        f"{name} = {KEPT.get(name, f'new.{name}')}" for name in COLUMNS if name not in {"finding_id", "slice"}
    )
    names = ", ".join(COLUMNS)
    values = ", ".join(f"new.{name}" for name in COLUMNS)
    return (
        f"MERGE INTO {into} AS old USING {new} AS new\nON old.finding_id = new.finding_id AND old.slice = new.slice\n"
        f"WHEN MATCHED THEN UPDATE SET {sets}\nWHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})"
    )
