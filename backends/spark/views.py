"""The event view and the chain view as Spark queries: which table each makes, in their order.

Most are DuckDB's, in Spark's words (`backends.spark.translate`). Written here is what Spark says otherwise: reading the
table that a team has, cutting idle keys without an update, joins by nearest time, names and sets of chains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.duckdb.chain_records import KEYS, PERSON, SETS
from backends.duckdb.engine import narrow
from backends.spark.register import declared, shapes
from backends.spark.translate import select, statements
from backends.spark.translate import view as view_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backends.vocabulary import Field, Vocabulary

RECORDS, EVENTS, CHAINS = "countersign_records", "countersign_events", "countersign_chains"
"""The table that a team fills, and the two that rules read."""

TYPES = {"keyword": "STRING", "number": "DOUBLE", "integer": "DOUBLE", "boolean": "BOOLEAN", "time": "TIMESTAMP"}
HASHED = ("p", "t", "x", "c")
"""Keys that are cut where they are idle for longer than the lookback."""


def quoted(name: str) -> str:
    """A column's name, dots and all."""
    return "`" + name.replace("`", "``") + "`"


def columns(vocabulary: Vocabulary) -> dict[str, str]:
    """Column → type of the table of records: a field each, by its dotted name."""
    return {name: TYPES[f.kind] if not f.array else f"ARRAY<{TYPES[f.kind]}>" for name, f in vocabulary.raw.items()}


def event_view(vocabulary: Vocabulary) -> str:
    """One query over ``countersign_records`` and the register: every field and fact, and ``rid``, the record's own hash."""
    values = ",\n  ".join(f"{_present(field)} AS {quoted(name)}" for name, field in vocabulary.raw.items())
    held = ", ".join(map(quoted, vocabulary.raw))
    return (
        f"WITH read AS (SELECT {RECORDS}.* EXCEPT ({held}),\n  {values}\n  FROM {RECORDS}),\n"
        f"hashed AS (SELECT *, xxhash64(to_json(struct({held}))) AS line_hash FROM read),\n"
        "-- a record that is delivered twice is one\n"
        "flat AS (SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY line_hash ORDER BY line_hash) AS copy FROM hashed) WHERE copy = 1)\n"
        f"SELECT *, line_hash AS rid FROM ({select(view_text('events.sql'))})"
    )


def _present(field: Field) -> str:
    """A column without what is absent: NULL, "" and [] are one; times are microseconds since 1970."""
    name = quoted(field.name)
    if field.array:
        kept = f"filter({name}, item -> item IS NOT NULL AND item <> '')"
        return f"CASE WHEN array_size({kept}) > 0 THEN {kept} END"
    if field.kind == "time":
        return f"unix_micros({name})"
    return f"nullif({name}, '')" if field.kind == "keyword" else name


def chain_views() -> Iterator[tuple[str, str]]:
    """Table and query of each step from ``countersign_events`` to ``countersign_chains``."""
    yield "ev_whole", select(f"SELECT rid, {', '.join(narrow(_claimed))} FROM {EVENTS}")
    yield "ev", _cut()
    own = {"lenders": _LENDERS, "lent_to": _LENT_TO}
    for file in ("emitters.sql", "joining.sql", "attribution.sql", "conflict.sql", "chain.sql"):
        for name, query in statements(file):
            yield name, own.get(name, query)
    yield CHAINS, _named()


def _claimed(name: str) -> str:
    return f"coalesce(list_contains(getvariable('client_ids')['{name}'], coalesce(\"event.dataset\", 'countersign')), false)"


def _cut() -> str:
    """A key idle longer than the lookback starts a new chain: its later sessions get a hash of their own."""
    idle = ", ".join(
        f"CAST(coalesce(ts - lag(ts) OVER (PARTITION BY coalesce({k}, rid) ORDER BY ts, identity) > countersign_lookback, false) AS INT) AS idle_{k}"
        for k in HASHED
    )
    sessions = ", ".join(
        f"sum(idle_{k}) OVER (PARTITION BY coalesce({k}, rid) ORDER BY ts, identity ROWS UNBOUNDED PRECEDING) AS session_{k}"
        for k in HASHED
    )
    keys = ", ".join(f"CASE WHEN session_{k} > 0 THEN xxhash64({k}, session_{k}) ELSE {k} END AS {k}" for k in HASHED)
    spent = ", ".join(f"{k}, idle_{k}, session_{k}" for k in HASHED)
    return f"SELECT * EXCEPT ({spent}), {keys}\nFROM (SELECT *, {sessions} FROM (SELECT *, {idle} FROM ev_whole))"


_LENDERS = """WITH used AS (
  SELECT key, chain, ts, CAST(coalesce(ts - lag(ts) OVER (PARTITION BY key, chain ORDER BY ts) > 2 * countersign_lookback, false) AS INT) AS pause
  FROM (SELECT h AS key, chain, ts FROM strong JOIN ev USING (rid) WHERE h IS NOT NULL
        UNION ALL SELECT r, chain, ts FROM strong JOIN ev USING (rid) WHERE r IS NOT NULL)
  WHERE key IN (SELECT key FROM lent)),
numbered AS (SELECT *, sum(pause) OVER (PARTITION BY key, chain ORDER BY ts ROWS UNBOUNDED PRECEDING) AS span FROM used)
SELECT key, chain, min(ts) AS begins, max(ts) AS ends FROM numbered GROUP BY key, chain, span"""
"""Spans in which a chain uses a key; see joining.sql."""

_LENT_TO = """SELECT rid, source, size(collect_set(CASE WHEN ends >= lent.ts - countersign_lookback THEN lenders.chain END)) AS chains,
  max_by(chain, struct(ends, chain)) AS chain
FROM lent JOIN lenders ON lent.key = lenders.key AND lent.ts + countersign_lookback >= lenders.begins
GROUP BY rid, source"""
"""Which chains used a record's key within the lookback, and the one that used it last."""


def _named() -> str:
    """Chains with what a person reads: the id in words, names and sets."""
    carried = " ".join(f"WHEN '{kind}' THEN facts.{quoted(field)}" for kind, field in KEYS.items())
    sets = []
    for name, field in SETS.items():
        value = f"coalesce({', '.join(map(quoted, PERSON))})" if field == "user.key" else f"facts.{quoted(field)}"
        found = (
            f"collect_set({value})"
            if field != "oauth.scope.presented"
            else f"array_distinct(flatten(collect_list({value})))"
        )
        sets.append(f"nullif(array_sort({found}), CAST(array() AS ARRAY<STRING>)) AS {quoted(name)}")
    collected = ",\n    ".join(sets)
    return f"""WITH words AS (
  SELECT link.chain,
    min_by(CASE link.kind {carried} END, struct(link.ts, link.identity))
      FILTER (WHERE link.p = link.chain OR link.t = link.chain OR link.x = link.chain OR link.c = link.chain) AS id,
    {collected}
  FROM link JOIN {EVENTS} facts ON facts.rid = link.rid GROUP BY link.chain),
told AS (
  SELECT chains.* EXCEPT (blind), words.* EXCEPT (chain, id), coalesce(words.id, 'record:' || lower(hex(chains.chain))) AS id,
    CASE WHEN array_size(blind) > 0 THEN blind END AS `chain.blind`
  FROM chains JOIN words ON words.chain = chains.chain)
-- one text may name several chains: idle too long between, or ids of two kinds that look alike
SELECT * EXCEPT (id), CASE WHEN row_number() OVER (PARTITION BY id ORDER BY `chain.start`, chain) > 1
  THEN id || '@' || date_format(timestamp_micros(`chain.start`), "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'") ELSE id END AS `chain.id`
FROM told"""


def scripts(vocabulary: Vocabulary) -> dict[str, str]:
    """File name → Spark SQL that a job runs, in this order: variables, the event view, the chain view."""
    made = [("events.sql", [(EVENTS, event_view(vocabulary))]), ("chain.sql", list(chain_views()))]
    records = ",\n  ".join(f"{quoted(name)} {kind}" for name, kind in columns(vocabulary).items())
    tables = [f"CREATE TABLE IF NOT EXISTS {RECORDS} (\n  {records})"]
    tables += [
        f"CREATE TABLE IF NOT EXISTS {name} (\n  {', '.join(f'{column} {of}' for column, of in shape.items())})"
        for name, shape in shapes().items()
    ]
    files = {"tables.sql": tables, "variables.sql": declared()}
    files |= {file: [f"CREATE OR REPLACE TABLE {name} AS\n{query}" for name, query in steps] for file, steps in made}
    return {file: f"-- {HEADS[file]}\n" + ";\n\n".join(texts) + ";\n" for file, texts in files.items()}


HEADS = {
    "tables.sql": "What a team fills: records, and the register. Run once.",
    "variables.sql": "What a session needs, declared; `SET VAR` gives each its value from the register and the job's time.",
    "events.sql": "The event view: one row a record, every derived fact beside the fields that the source sent.",
    "chain.sql": "Joining and the chain view, step by step, from countersign_events to countersign_chains.",
}
