"""Chain records as a person reads them, with what the chain view does not hold: ids in words, and sets of names.

These are read again from the log, only for chains that are looked at. A rule of a person's own may ask for them too.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from backends.duckdb.columns import quoted
from backends.duckdb.engine import insert

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from backends.duckdb.engine import Engine

SETS = {
    "chain.users": "user.key",
    "chain.effective_users": "user.effective.id",
    "chain.agents": "gen_ai.agent.id",
    "chain.servers": "mcp.server.name",
    "chain.parties": "mcp.server.party",
    "chain.tools": "gen_ai.tool.name",
    "chain.systems": "service.target.name",
    "chain.scopes": "oauth.scope.presented",
    "chain.classifications": "chain.resource.classification",
    "chain.prompt_origins": "chain.prompt.origin",
}
"""Sets of a chain record, collected only for chains that are shown, and the event field each collects."""

COLLECTED = frozenset({*SETS, "chain.id"})
"""Fields of a chain record that the chain view lacks. No rule of the pack reads them; a person's own may."""

KEYS = {
    "prompt": "chain.prompt.id",
    "trace": "trace.id",
    "transaction": "transaction.id",
    "tool_call": "gen_ai.tool.call.id",
}


def chain_records(  # noqa: C901 - one loop a kind of column
    engine: Engine, chains: Sequence[int], details: Mapping[int, Mapping[str, Any]], *, apart: bool = True
) -> list[dict[str, Any]]:
    """Full chain records, their sets included, in order of start then id.

    Args:
        engine: after `join`.
        chains: chain keys.
        details: rid → full record, of every record of these chains that shall count for the sets.
        apart: give chains whose ids look alike a name of their own, by their start; which do is known of these only.
    """
    run = engine.connection.execute
    run("CREATE OR REPLACE TEMP TABLE shown_chains(chain UBIGINT)")
    if chains:
        run("INSERT INTO shown_chains SELECT unnest($1::UBIGINT[])", [list(chains)])
    members: dict[int, list[int]] = defaultdict(list)
    carriers: dict[int, tuple[int, str]] = {}
    query = "SELECT chain, rid, kind, (p = chain OR t = chain OR x = chain OR c = chain) FROM link JOIN shown_chains USING (chain) ORDER BY ts, identity"
    for chain, rid, kind, carries in run(query).fetchall():
        members[chain].append(rid)
        if carries and chain not in carriers and rid in details:
            carriers[chain] = (rid, kind)
    result = run(
        'SELECT *, CASE WHEN len(blind) > 0 THEN blind END AS "chain.blind" FROM chains JOIN shown_chains USING (chain)'
    )
    names = [column[0] for column in result.description]
    found = []
    for row in result.fetchall():
        record: dict[str, Any] = {n: v for n, v in zip(names, row, strict=True) if v is not None}
        del record["blind"], record["chain"]
        chain = row[names.index("chain")]
        for name in ("chain.start", "chain.end"):
            record[name] = rfc3339(record[name])
        if chain in carriers:
            rid, kind = carriers[chain]
            record["chain.id"] = str(details[rid][KEYS[kind]])
        else:
            record["chain.id"] = f"record:{chain:016x}"
        for name, source in SETS.items():
            values: dict[str, None] = {}
            for rid in members[chain]:
                value = _of(details.get(rid, {}), source)
                values.update(dict.fromkeys(value if isinstance(value, list) else [] if value is None else [value]))
            if values:
                record[name] = sorted(values)
        record["countersign.chain"] = chain
        found.append(record)
    found.sort(key=lambda record: (record["chain.start"], record["chain.id"], record["countersign.chain"]))
    taken: set[str] = set()
    for record in (
        found if apart else ()
    ):  # one text may name several chains: idle too long between, or ids of two kinds that look alike
        if record["chain.id"] in taken:
            record["chain.id"] += f"@{record['chain.start']}"
        taken.add(record["chain.id"])
    return found


def chain_hits(
    engine: Engine,
    rules: Sequence[tuple[str, str]],
    loose: Mapping[str, str],
    judged: Callable[[str], str] = lambda _sql: "true",
) -> dict[str, list[int]]:
    """Chain keys that each chain rule fires for.

    A rule that reads what is collected only for chains that are looked at is asked twice: which chains it could fire
    for, and, once these are collected, for which it does.

    Args:
        engine: after `join`.
        rules: (name, SQL over the chain view and what is collected).
        loose: by name, for each rule that reads what is collected, SQL over the chain view that holds for all its chains.
        judged: for a rule's SQL, SQL over the chain view: which chains it judges now.
    """
    hits = engine.chain_hits([(name, sql) for name, sql in rules if name not in loose], judged)
    could = engine.chain_hits(list(loose.items()), judged)
    chains = sorted({chain for found in could.values() for chain in found})
    if not chains:
        return hits
    run = engine.connection.execute
    run("CREATE OR REPLACE TEMP TABLE could(chain UBIGINT)")
    run("INSERT INTO could SELECT unnest($1::UBIGINT[])", [chains])
    members = run("SELECT rid FROM link JOIN could USING (chain)").fetchall()
    records = chain_records(engine, chains, engine.details(rid for (rid,) in members), apart=False)
    types = {"chain": "UBIGINT", "chain.id": "VARCHAR"} | dict.fromkeys(SETS, "VARCHAR[]")
    run(
        f"CREATE OR REPLACE TEMP TABLE collected({', '.join(f'{quoted(name)} {kind}' for name, kind in types.items())})"
    )
    rows = [(r["countersign.chain"], r["chain.id"], *(r.get(name) for name in SETS)) for r in records]
    insert(engine.connection, "collected", tuple(types.values()), rows)
    exact = [(name, sql) for name, sql in rules if name in loose]
    return hits | engine.chain_hits(exact, judged, "chains JOIN collected USING (chain)")


PERSON = ("user.key", "user.email", "user.id", "user.name")
"""How a person is named, best first; a key needs an issuer, an e-mail or the register."""


def _of(record: Mapping[str, Any], field: str) -> Any:
    names = PERSON if field == "user.key" else (field,)
    return next((record[name] for name in names if record.get(name) is not None), None)


def rfc3339(microseconds: int) -> str:
    """``2026-10-05T09:00:00.000000Z``."""
    moment = datetime(1970, 1, 1) + timedelta(microseconds=microseconds)  # noqa: DTZ001 - UTC, written as Z
    return moment.isoformat(timespec="microseconds") + "Z"
