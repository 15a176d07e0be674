"""The DuckDB target: judge records by rules, as `scan` does, and say every fact on the way."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.correlation import Correlation
from backends.duckdb import backend
from backends.duckdb.chain_records import COLLECTED, chain_hits, chain_records, rfc3339
from backends.duckdb.correlate import Compiled, fired
from backends.duckdb.engine import STAGES, Engine, EventRule, Limits
from backends.duckdb.lines import BadLine, LogFile
from backends.duckdb.stages import stages_of
from backends.target import Inexpressible, fields_read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sigma.rule import SigmaRule

    from backends.vocabulary import Vocabulary

HOUR = 3_600_000_000
LATE = frozenset({"event.sequence_gap", "event.hash_broken", "chain.id", "chain.id_source"})
"""Event facts that are known only after the pass, when records have been compared: no event rule of the pass reads them."""


@dataclass(frozen=True)
class Sources:
    """What the source maps say that the engine needs.

    Attributes:
        never: (dataset, stage, concepts that this kind of record can never supply).
        client_ids: (dataset, dotted id field that a client may set).
    """

    never: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    client_ids: tuple[tuple[str, str], ...] = ()


NO_SOURCES, DEFAULT_LIMITS = Sources(), Limits()


@dataclass
class Judgement:
    """What came out.

    Attributes:
        events: flat records with every derived fact, in the order given; None where the record was rejected.
        chains: flat chain records, each with ``countersign.members``: indices of its records.
        event_hits: rule name → indices of the records it fires for; a correlation fires at the record that completes it.
        chain_hits: rule name → ids of the chains it fires for.
        rejected: index → reason.
    """

    events: list[dict[str, Any] | None]
    chains: list[dict[str, Any]] = field(default_factory=list)
    event_hits: dict[str, set[int]] = field(default_factory=dict)
    chain_hits: dict[str, set[str]] = field(default_factory=dict)
    rejected: dict[int, str] = field(default_factory=dict)


def judge(
    records: Sequence[Mapping[str, Any] | bytes],
    *,
    rules: Mapping[str, SigmaRule | Correlation] | CompiledRules,
    vocabulary: Vocabulary,
    chain_vocabulary: Vocabulary,
    register: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    sources: Sources = NO_SOURCES,
    limits: Limits = DEFAULT_LIMITS,
    joined: bool = True,
) -> Judgement:
    """Judge a few thousand records in one data set, on the same road as `scan`.

    Args:
        records: as logged, or the very bytes of a line.
        rules: name → rule or correlation; ``service: chain`` rules are judged on chain records. Or what `compile_rules`
            made of them, where many data sets are judged.
        vocabulary: event fields.
        chain_vocabulary: chain fields.
        register: the register's tables, None for none.
        sources: blind concepts and untrusted ids by dataset.
        limits: lookback, memory, threads.
        joined: whether records are joined. Without, there are no chains and none of the facts of `LATE`, in three quarters
            of the time; enough for rules on single records.

    Raises:
        Inexpressible: a rule that cannot be compiled, or one of several records where these are not joined.
    """
    compiled = rules if isinstance(rules, CompiledRules) else compile_rules(rules, vocabulary, chain_vocabulary)
    if not joined and (compiled.chains or compiled.correlations):
        raise Inexpressible("a rule judges several records, which are joined for it")
    with tempfile.TemporaryDirectory(prefix="countersign-") as folder:
        path = Path(folder) / "records.jsonl"
        lines = [r if isinstance(r, bytes) else json.dumps(r, ensure_ascii=False).encode() for r in records]
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line) + 1)
        index = {offset: at for at, offset in enumerate(starts[:-1])}
        with Engine(
            vocabulary,
            register or {},
            sources.never,
            sources.client_ids,
            compiled.events,
            compiled.correlations,
            limits,
        ) as engine:
            engine.ingest([LogFile(0, path, "records.jsonl")])
            if joined:
                engine.join()
            return _collect(engine, len(records), index, compiled, joined=joined)


@dataclass(frozen=True)
class CompiledRules:
    """Rules as the engine takes them.

    Attributes:
        events: single-record rules, those that only a correlation counts among them.
        chains: (name, SQL over the chain view).
        correlations: correlations over some of ``events``.
        loose: by name, for a chain rule that reads what only `chain_records` collects, SQL that holds for all its chains.
    """

    events: list[EventRule]
    chains: list[tuple[str, str]]
    correlations: list[Compiled]
    loose: dict[str, str] = field(default_factory=dict)


def compile_rules(
    rules: Mapping[str, SigmaRule | Correlation],
    vocabulary: Vocabulary,
    chain_vocabulary: Vocabulary,
    periods_us: Mapping[str, int] | None = None,
) -> CompiledRules:
    """Split by service and compile; raises `Inexpressible`.

    Args:
        rules: by name; a correlation's base rules are its own.
        vocabulary: the event's fields.
        chain_vocabulary: the chain's.
        periods_us: how long the hits of one group are one finding, by name; an hour where it says nothing.
    """
    compiled = CompiledRules([], [], [])
    periods = periods_us or {}
    for name, rule in rules.items():
        if isinstance(rule, Correlation):
            bits = []
            for step in rule.steps:
                bits.append(len(compiled.events))
                sql = _event_expression(step.rule, vocabulary)
                period = periods.get(name, HOUR)
                compiled.events.append(
                    EventRule(
                        f"{name}/{step.name}",
                        sql,
                        period_us=period,
                        reported=False,
                        reach_us=rule.window_us,
                        stages=stages_of(step.rule, STAGES),
                    )
                )
            compiled.correlations.append(Compiled(name, rule, periods.get(name, HOUR), tuple(bits)))
        elif rule.logsource.service == "chain":
            compiled.chains.append((name, backend.expression(rule, chain_vocabulary)))
            if fields_read(rule) & COLLECTED:
                compiled.loose[name] = backend.expression(rule, chain_vocabulary, COLLECTED)
        else:
            sql = _event_expression(rule, vocabulary)
            compiled.events.append(
                EventRule(name, sql, period_us=periods.get(name, HOUR), stages=stages_of(rule, STAGES))
            )
    return compiled


def _event_expression(rule: SigmaRule, vocabulary: Vocabulary) -> str:
    if rule.logsource.service == "chain":
        raise Inexpressible(f"rule {rule.title!r} is correlated and judges chains, which is not supported")
    if late := sorted(fields_read(rule) & LATE):
        raise Inexpressible(f"rule {rule.title!r} reads {late[0]}, which only an emitter's records together say")
    return backend.expression(rule, vocabulary)


def _collect(
    engine: Engine,
    count: int,
    index: Mapping[int, int],
    compiled: CompiledRules,
    *,
    joined: bool,
) -> Judgement:
    run = engine.connection.execute
    reported = [(bit, rule.name) for bit, rule in enumerate(compiled.events) if rule.reported]
    judgement = Judgement([None] * count, event_hits={name: set() for _, name in reported})
    words = [
        column
        for (column,) in run("SELECT column_name FROM (DESCRIBE ev) WHERE starts_with(column_name, 'hits')").fetchall()
    ]
    rows = run(f"SELECT rid, {', '.join(words)} FROM ev").fetchall()
    details = engine.details(row[0] for row in rows)
    place = {rid: index[details[rid]["countersign.places"][0][1]] for rid in details}
    for rid, *bits in rows:
        at = place[rid]
        judgement.events[at] = shown(details[rid], engine.vocabulary)
        for name in (name for bit, name in reported if bits[bit // 63] >> (bit % 63) & 1):
            judgement.event_hits[name].add(at)
    judgement.rejected = {index[bad.offset]: bad.reason for bad in engine.bad if bad.offset in index}
    if not joined:
        return judgement
    judgement.event_hits |= {name: {place[rid] for rid in rids} for name, rids in fired(engine)}
    for rid, gap, broken in run("SELECT rid, sequence_gap, hash_broken FROM evidence").fetchall():
        event = judgement.events[place[rid]]
        known = {"event.sequence_gap": gap, "event.hash_broken": broken}
        if event is not None:
            event.update({name: value for name, value in known.items() if value is not None})
    members: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for rid, chain, source in run("SELECT rid, chain, source FROM placed").fetchall():
        members[chain].append((rid, source))
    ids: dict[int, str] = {}
    for record in chain_records(engine, list(members), details):
        chain = record.pop("countersign.chain")
        ids[chain] = record["chain.id"]
        record["countersign.members"] = sorted(place[rid] for rid, _ in members[chain])
        for rid, source in members[chain]:
            event = judgement.events[place[rid]]
            if event is not None:
                event.update({"chain.id": record["chain.id"], "chain.id_source": source})
        judgement.chains.append(record)
    hits = chain_hits(engine, compiled.chains, compiled.loose)
    judgement.chain_hits = {name: {ids[chain] for chain in hits.get(name, ())} for name, _ in compiled.chains}
    return judgement


def shown(record: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """A record with times as RFC 3339 text and whole numbers as integers."""
    out: dict[str, Any] = {}
    for name, value in record.items():
        known = vocabulary.fields.get(name)
        if known is None:
            continue
        if known.kind == "time":
            out[name] = rfc3339(value)
        elif isinstance(value, float) and value.is_integer():
            out[name] = int(value)
        else:
            out[name] = value
    return out


__all__ = [
    "BadLine",
    "Judgement",
    "Sources",
    "chain_hits",
    "chain_records",
    "compile_rules",
    "judge",
    "rfc3339",
    "shown",
]
