"""The road on DuckDB as scripts: what `backends.duckdb.engine` puts together as it runs, written out once.

The scripts keep every record with all its facts (`countersign_events`), where the engine keeps one narrow row: they are
for a day's logs and for looking around in, the engine is for ten million records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.duckdb.chain_records import KEYS, PERSON, SETS
from backends.duckdb.columns import flat, quoted, text
from backends.duckdb.engine import VIEWS, bit_macros, narrow, statements
from backends.duckdb.query import CHAINS, EVENTS
from backends.duckdb.shape import shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backends.vocabulary import Vocabulary

OURS = 1
"""What the driver calls the file of lines that it read anew itself: what these say of where they come from is believed."""

SLICES = ("of_slice", "getvariable('rid_first')", "getvariable('rid_last')")


def scripts(events: Vocabulary, client_ids: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """File name → statements, in the order in which they run.

    Args:
        events: the event's fields.
        client_ids: (dataset, dotted id that a client may set).
    """
    files = {
        "macros.sql": [*_unsliced(), *bit_macros().split(";\n")],
        "events.sql": [_facts(events)],
        "chains.sql": [*_narrow(client_ids), *_joined(), _named()],
    }
    return {
        name: f"-- {HEADS[name]}\n" + ";\n\n".join(one.strip().rstrip(";") for one in made) + ";\n"
        for name, made in files.items()
    }


HEADS = {
    "macros.sql": "Words that the event view is written in. Runs after the register's tables and variables are there.",
    "events.sql": "The event view over `lines` (line, file, offset, number): one row a record, with every derived fact.",
    "chains.sql": "Joining and the chain view, step by step, from countersign_events to countersign_chains.",
}


def _unsliced() -> list[str]:
    """The macros, chains taken all at once, and lines told apart by a digest: the scripts compare nothing else of copies."""
    other = {f"{SLICES[0]}(chain)": "true", "countersign_line(line)": "md5_number(line)"}
    kept = [one for one in statements("macros.sql") if not any(f"MACRO {head}" in one for head in other)]
    return [*kept, *(f"CREATE OR REPLACE TEMP MACRO {head} AS {sql}" for head, sql in other.items())]


def _facts(events: Vocabulary) -> str:
    view = (VIEWS / "events.sql").read_text(encoding="utf-8")
    shaped = f"(SELECT *, {shape('line')} AS shape FROM lines)"
    return (
        "CREATE OR REPLACE TEMP VIEW countersign_facts AS\n"
        f"WITH flat AS ({flat(shaped, events, None, [OURS])})\n"
        f"SELECT (file::BIGINT << 44) + number AS rid, * FROM (\n{view.strip().rstrip(';')})"
    )


def _narrow(client_ids: Sequence[tuple[str, str]]) -> list[str]:
    def claimed(name: str) -> str:
        datasets = ", ".join(text(dataset) for dataset, field in client_ids if field == name)
        return f"coalesce(\"event.dataset\", 'countersign') IN ({datasets})" if datasets else "false"

    columns = ",\n  ".join(narrow(claimed))
    return [
        f"-- a record that is delivered twice is one\nDELETE FROM {EVENTS} WHERE rid NOT IN (SELECT min(rid) FROM {EVENTS} GROUP BY line_hash)",
        f"CREATE OR REPLACE TEMP TABLE ev AS\nSELECT rid, {columns}\nFROM {EVENTS}",
        *(statement for key in ("p", "t", "x", "c") for statement in _cut(key)),
        "SET VARIABLE rid_first = -1::BIGINT",
        "SET VARIABLE rid_last = 9223372036854775807::BIGINT",
    ]


def _cut(key: str) -> list[str]:
    """A key idle longer than the lookback starts a new chain: its later sessions get a hash of their own."""
    lookback = "getvariable('lookback')"
    return [
        (
            f"-- sessions of the key {key}\nUPDATE ev SET {key} = hash({key}, cut.session) FROM (SELECT rid, sum(idle) OVER "
            f"(PARTITION BY {key} ORDER BY ts, identity ROWS UNBOUNDED PRECEDING) AS session FROM (SELECT rid, {key}, ts, identity, "
            f"(ts - lag(ts) OVER (PARTITION BY {key} ORDER BY ts, identity) > {lookback})::INTEGER AS idle "
            f"FROM ev WHERE {key} IN (SELECT {key} FROM ev WHERE {key} IS NOT NULL GROUP BY {key} HAVING max(ts) - min(ts) > {lookback}))) cut\n"
            "WHERE cut.rid = ev.rid AND cut.session > 0"
        )
    ]


def _joined() -> list[str]:
    files = ("emitters.sql", "joining.sql", "attribution.sql", "conflict.sql", "chain.sql")
    return [statement for name in files for statement in statements(name)]


def _named() -> str:
    """Chains with what a person reads: the id in words, names and sets."""
    carried = " ".join(f"WHEN {text(kind)} THEN facts.{quoted(field)}" for kind, field in KEYS.items())
    sets = []
    for name, field in SETS.items():
        value = (
            f"coalesce({', '.join(f'facts.{quoted(p)}' for p in PERSON)})"
            if field == "user.key"
            else f"facts.{quoted(field)}"
        )
        if field == "oauth.scope.presented":
            found = f"list_distinct(flatten(list({value}) FILTER ({value} IS NOT NULL)))"
        else:
            found = f"list(DISTINCT {value}) FILTER ({value} IS NOT NULL)"
        sets.append(f"nullif(list_sort({found}), []) AS {quoted(name)}")
    collected = ",\n    ".join(sets)
    return f"""CREATE OR REPLACE TABLE {CHAINS} AS
WITH words AS (
  SELECT link.chain,
    arg_min(CASE link.kind {carried} END, (link.ts, link.identity))
      FILTER (link.p = link.chain OR link.t = link.chain OR link.x = link.chain OR link.c = link.chain) AS id,
    {collected}
  FROM link JOIN {EVENTS} facts ON facts.rid = link.rid GROUP BY link.chain),
told AS (
  SELECT chains.* EXCLUDE (blind), words.* EXCLUDE (chain, id), coalesce(words.id, printf('record:%016x', chains.chain)) AS id,
    CASE WHEN len(blind) > 0 THEN blind END AS "chain.blind"
  FROM chains JOIN words ON words.chain = chains.chain)
-- one text may name several chains: idle too long between, or ids of two kinds that look alike
SELECT * EXCLUDE (id), CASE WHEN row_number() OVER (PARTITION BY id ORDER BY "chain.start", chain) > 1
  THEN id || '@' || strftime(make_timestamp("chain.start"), '%Y-%m-%dT%H:%M:%S.%fZ') ELSE id END AS "chain.id"
FROM told"""
