"""`scan`: from logs to findings, on the embedded engine."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.duckdb.engine import STAGES, Engine, Limits
from backends.duckdb.lines import BadLine, read_lines
from backends.duckdb.target import Sources, chain_hits, chain_records, compile_rules, rfc3339, shown
from backends.register import Register
from backends.sources import SourceMaps
from backends.vocabulary import Vocabulary
from harness.blindness import blind_spots
from harness.carry import Carry
from harness.finding import RECORDS_SHOWN, Finding, Rejected, ScanResult, Summary, led
from harness.inputs import Inputs
from harness.naming import Namer
from harness.options import Progress, Report, ScanOptions
from harness.own import chosen
from harness.places import Places
from harness.portions import portions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from backends.duckdb.engine import EventRule
    from backends.duckdb.target import CompiledRules
    from harness.ruleset import Rule

TABLES = ("agents", "servers", "tools", "scopes", "people", "clients", "networks", "coverage")
"""Tables that a register can have."""

MEMBERS_SHOWN = 200
"""Records of one chain that are read again to name its people, tools and systems."""

REJECTS_SHOWN = 1000
"""Rejected lines that a report lists; all are counted, and all are kept where a file for them is given."""

READ_AGAIN = 20_000
"""Records that are held in full at a time, to be named in findings."""

MEMORY = "800MB"
"""The engine's limit where none is given: ten million events are scanned within it, and within 1.5 GiB in all."""


def scan(options: ScanOptions, progress: Report = lambda _progress: None) -> ScanResult:
    """Scan logs.

    Raises:
        Mistakes: everything a person can fix before the first line is read: rules, register, sources, inputs; or a log
            was cut or replaced while it was read.
    """
    started = time.monotonic()
    events, chains = Vocabulary.load(options.root.event_schema), Vocabulary.load(options.root.chain_schema)
    rules = chosen(options.root, options.rules, options.levels, options.chapters, options.filters)
    maps = SourceMaps.load(options.root.sources, *options.sources)
    register = Register.load(options.register) if options.register else Register.empty()
    with tempfile.TemporaryDirectory(prefix="countersign-scan-") as folder:
        carry = Carry(options)
        logs = Inputs(options, maps, events, Path(folder), progress, carry)
        by_stem = {rule.stem: rule for rule in rules}
        periods = {rule.stem: rule.period_sec * 1_000_000 for rule in rules}
        compiled = compile_rules({r.stem: r.judged for r in rules}, events, chains, periods)
        grouped = [replace(r, group_by=by_stem[r.name].group_by) if r.reported else r for r in compiled.events]
        sources = sources_of(maps)
        limits = Limits(int(options.lookback.total_seconds() * 1e6), options.memory or MEMORY, options.threads or 2)
        with Engine(
            events, register.tables, sources.never, sources.client_ids, grouped, compiled.correlations, limits
        ) as engine:
            engine.by_content = logs.by_content
            engine.progress = logs.advanced
            with logs.standing():
                engine.ingest(logs.files)
            engine.bad += logs.bad
            progress(Progress("joining"))
            carry.remind(engine)
            engine.join()
            carry.wait(engine)
            carry.count(engine)
            progress(Progress("naming what was found"))
            with logs.standing():
                places = Places(engine, logs.names, carry.names)
                engine.files.update(logs.by_index)
                found = _Found(engine, by_stem, grouped, compiled, chains, places, carry, options)
                findings = led(found.findings())
                blind = blind_spots(engine, maps, list(rules))
                rejected = _rejected(engine, logs, options)
                carry.keep(engine, grouped, logs.names, logs.extents)
            summary = _summary(engine, logs, list(rules), register, carry, started, options)
    return ScanResult(findings, blind, rejected, summary)


def sources_of(maps: SourceMaps) -> Sources:
    """What the engine needs of the source maps."""
    return Sources(
        never=tuple((name, stage, tuple(what)) for name, m in maps.items() for stage, what in m.never.items()),
        client_ids=tuple((name, key) for name, m in maps.items() for key in sorted(m.client_ids)),
    )


@dataclass(frozen=True)
class _Hit:
    """Records of one rule, group and period.

    Attributes:
        stem: the rule.
        count: its records; ``values``: how many values a correlation counted, else 0.
        first, last, period: microseconds.
        rids: the earliest of its records.
        chain: the chain of all of them, if it is one; ``source``: how the first was placed in it.
    """

    stem: str
    count: int
    values: int
    first: int
    last: int
    rids: Sequence[int]
    chain: int | None
    source: str
    period: int


@dataclass
class _Found:
    """Turns bits into findings: groups in SQL, texts from the second read."""

    engine: Engine
    rules: Mapping[str, Rule]
    event_rules: Sequence[EventRule]
    compiled: CompiledRules
    chain_vocabulary: Vocabulary
    places: Places
    carry: Carry
    options: ScanOptions

    def findings(self) -> list[Finding]:
        """All of them: of single-record rules, of correlations, of chain rules."""
        hits = [*self._events(), *self._correlations()]
        of_chains = chain_hits(self.engine, self.compiled.chains, self.compiled.loose, self.carry.judged)
        fired = sorted({chain for found in of_chains.values() for chain in found})
        members = self._members(fired)
        of_one = sorted({hit.chain for hit in hits if hit.chain is not None})
        carriers = self._carriers(of_one)
        wanted = {*carriers.values(), *(rid for hit in hits for rid in hit.rids)}.union(*members.values())
        # what is shown is read again: at once if it is little, else so much at a time as fits into memory
        little = self.engine.details(wanted) if len(wanted) <= READ_AGAIN else None

        def read(rids: Iterable[int]) -> dict[int, dict[str, Any]]:
            details = self.engine.details(rids) if little is None else {rid: little[rid] for rid in rids}
            self.places.learn(record["countersign.places"] for record in details.values())
            return details

        ids: dict[int, str] = {}
        for some in portions(of_one, READ_AGAIN, lambda _chain: 1):
            details = read([carriers[chain] for chain in some if chain in carriers])
            named = chain_records(self.engine, some, details, apart=False)
            ids |= {record["countersign.chain"]: record["chain.id"] for record in named}
        found = []
        namer = Namer(self.engine.vocabulary, show_sensitive=self.options.show_sensitive)
        for portion in portions(hits, READ_AGAIN, lambda hit: len(hit.rids)):
            details = read({rid for hit in portion for rid in hit.rids})
            found += [self._finding(namer, hit, details, ids) for hit in portion]
        namer = Namer(self.chain_vocabulary, show_sensitive=self.options.show_sensitive)
        made: dict[tuple[str, int], Finding] = {}
        stems: dict[int, list[str]] = {}
        for stem, chains in of_chains.items():
            for chain in chains:
                stems.setdefault(chain, []).append(stem)
        for some in portions(fired, READ_AGAIN, lambda chain: len(members[chain])):
            details = read({rid for chain in some for rid in members[chain]})
            for record in chain_records(self.engine, some, details, apart=False):
                chain = record.pop("countersign.chain")
                for stem in stems[chain]:
                    places = self._places(details, members[chain])
                    made[stem, chain] = namer.chain_finding(self.rules[stem], record, places, len(members[chain]))
        return found + [made[stem, chain] for stem, chains in of_chains.items() for chain in chains]

    def _finding(
        self, namer: Namer, hit: _Hit, details: Mapping[int, Mapping[str, Any]], ids: Mapping[int, str]
    ) -> Finding:
        return namer.event_finding(
            self.rules[hit.stem],
            [shown(details[rid], self.engine.vocabulary) for rid in hit.rids],
            self._places(details, hit.rids),
            count=hit.count,
            values=hit.values,
            places_total=hit.count,
            seen=(rfc3339(hit.first), rfc3339(hit.last)),
            period=rfc3339(hit.period),
            chain=(ids[hit.chain], hit.source) if hit.chain is not None and hit.chain in ids else None,
        )

    def _events(self) -> list[_Hit]:
        """Hits of single-record rules, one a group and period."""
        run = self.engine.connection.execute
        specs = self.engine.group_specs()
        parts = []
        for at, rule in enumerate(self.event_rules):
            if not rule.reported:
                continue
            spec = specs.index(tuple(n for n in rule.group_by if n != "chain.id"))
            chain = "coalesce(chain, hash(rid))" if "chain.id" in rule.group_by else "0::UBIGINT"
            parts.append(
                f"SELECT {at} AS rule, hash(g{spec}, {chain}) AS grp, ts // {rule.period_us} AS period, rid, ts, identity, chain, source "
                f"FROM judged WHERE (hits{at // 63} >> {at % 63}) & 1 = 1 AND {self.carry.group(rule)}",
            )
        run(
            f"CREATE OR REPLACE TEMP TABLE judged AS WITH hit AS (FROM ev WHERE {self.engine.reported_sql()}) "
            "SELECT hit.*, chain, source FROM hit LEFT JOIN (FROM placed WHERE rid IN (SELECT rid FROM hit)) USING (rid)",
        )
        if not parts:
            return []
        rows = run(
            "SELECT rule, count(*), min(ts), max(ts), min_by(rid, (ts, identity), 20), count(DISTINCT chain), "
            "min(chain), min_by(source, (ts, identity)), period "
            f"FROM ({' UNION ALL '.join(parts)}) GROUP BY rule, grp, period ORDER BY rule, min(ts), min(identity)",
        ).fetchall()
        return [
            _Hit(
                self.event_rules[at].name,
                count,
                0,
                first,
                last,
                rids,
                chain if chains == 1 else None,
                source,
                period * self.event_rules[at].period_us,
            )
            for at, count, first, last, rids, chains, chain, source, period in rows
        ]

    def _correlations(self) -> list[_Hit]:
        """Hits of correlations, one a key and period: the records of every window that fired in it."""
        rows: list[tuple[Any, ...]] = []
        for at, one in enumerate(self.engine.correlations):
            window, period = one.correlation.window_us, one.period_us
            rows += self.engine.connection.execute(
                f"WITH fired AS (SELECT key, ts // {period} AS period, min(ts) - {window} AS since, max(ts) AS until "
                f"FROM fires_{at} WHERE {self.carry.moment(period)} GROUP BY ALL), "
                f"held AS (SELECT DISTINCT fired.key, period, rid, ts, identity, value FROM steps_{at} took JOIN fired "
                "ON fired.key = took.key AND ts BETWEEN since AND until) "
                f"SELECT {at}, count(DISTINCT held.rid), count(DISTINCT value), min(held.ts), max(held.ts), "
                f"min_by(held.rid, (held.ts, held.identity), {RECORDS_SHOWN}), count(DISTINCT chain), min(chain), "
                "min_by(source, (held.ts, held.identity)), period FROM held "
                "LEFT JOIN (FROM placed WHERE rid IN (SELECT rid FROM held)) placed ON placed.rid = held.rid "
                "GROUP BY held.key, period ORDER BY min(held.ts), min(held.identity)",
            ).fetchall()
        return [
            _Hit(
                self.engine.correlations[at].name,
                count,
                values,
                first,
                last,
                rids,
                chain if chains == 1 else None,
                source,
                period * self.engine.correlations[at].period_us,
            )
            for at, count, values, first, last, rids, chains, chain, source, period in rows
        ]

    def _members(self, chains: Sequence[int]) -> dict[int, list[int]]:
        run = self.engine.connection.execute
        run("CREATE OR REPLACE TEMP TABLE fired(chain UBIGINT)")
        run("INSERT INTO fired SELECT unnest($1::UBIGINT[])", [list(chains)])
        rows = run(
            f"SELECT chain, min_by(rid, (ts, identity), {MEMBERS_SHOWN}) FROM link JOIN fired USING (chain) GROUP BY chain",
        ).fetchall()
        return dict(rows)

    def _carriers(self, chains: Sequence[int]) -> dict[int, int]:
        """By chain, the first record that carries the chain's own key: the text of its id is read from there."""
        run = self.engine.connection.execute
        run("CREATE OR REPLACE TEMP TABLE named(chain UBIGINT)")
        if chains:
            run("INSERT INTO named SELECT unnest($1::UBIGINT[])", [list(chains)])
        rows = run(
            "SELECT chain, arg_min(rid, (ts, identity)) FROM link JOIN named USING (chain) "
            "WHERE p = chain OR t = chain OR x = chain OR c = chain GROUP BY chain",
        ).fetchall()
        return dict(rows)

    def _places(self, details: Mapping[int, Mapping[str, Any]], rids: Sequence[int]) -> list[tuple[str, int]]:
        places = [(int(file), int(at)) for rid in rids for file, at in details[rid]["countersign.places"]]
        return self.places.resolve(list(dict.fromkeys(places))[:RECORDS_SHOWN])


def _rejected(engine: Engine, logs: Inputs, options: ScanOptions) -> tuple[Rejected, ...]:
    bad = sorted(engine.bad)
    if options.rejects:
        with options.rejects.open("wb") as out:
            for index in logs.names:
                places = list(dict.fromkeys((b.offset, b.length) for b in bad if b.file == index))
                for _, line in read_lines(logs.by_index[index], places):
                    if line:  # of a line at the very beginning of damage nothing could be unpacked
                        out.write(line + b"\n")
    return tuple(Rejected(logs.names.get(b.file, "-"), b.number, b.reason) for b in bad[:REJECTS_SHOWN])


def _summary(
    engine: Engine,
    logs: Inputs,
    rules: Sequence[Rule],
    register: Register,
    carry: Carry,
    started: float,
    options: ScanOptions,
) -> Summary:
    run = engine.connection.execute
    first, last = run("SELECT min(ts), max(ts) FROM ev").fetchone() or (None, None)
    stages = run("SELECT stage, count(*) FROM ev GROUP BY stage ORDER BY stage").fetchall()
    sources = run("SELECT coalesce(dataset, 'countersign'), count(*) FROM ev GROUP BY 1 ORDER BY 1").fetchall()
    derived = list(engine.vocabulary.derived)
    arrived = run("SELECT arrived, count(*) FROM ev WHERE arrived <> 0 GROUP BY arrived").fetchall()
    overwritten: Counter[str] = Counter()
    for bits, count in arrived:
        overwritten.update({name: count for bit, name in enumerate(derived) if bits >> bit & 1})
    used = tuple(name for name, rows in register.tables.items() if rows)
    absent = tuple(name for name in TABLES if name not in used)
    return Summary(
        files=len(options.logs),
        bytes=engine.size + logs.bytes,
        lines=engine.lines + logs.lines,
        start=rfc3339(first) if first is not None else None,
        end=rfc3339(last) if last is not None else None,
        sources=dict(sources),
        stages={STAGES[stage - 1] if stage else "": count for stage, count in stages},
        chains=carry.chains,
        chains_open=carry.open,
        chains_ending_in_grace=carry.in_grace,
        duplicates=engine.copies,
        rejected=dict(_kinds(engine.bad)),
        overwritten=dict(sorted(overwritten.items())),
        seconds=time.monotonic() - started,
        rules_run=len(rules),
        register_used=used,
        register_absent=absent,
        rules_quiet={
            rule.stem: tuple(t for t in rule.needs_register if t in absent)
            for rule in rules
            if any(table in absent for table in rule.needs_register)
        },
    )


def _kinds(bad: Iterable[BadLine]) -> Counter[str]:
    """Lines by what is wrong with them."""
    kinds: Counter[str] = Counter()
    for one in bad:
        kinds[_kind(one.reason)] += one.lines
    return kinds


def _kind(reason: str) -> str:
    """A reason without what differs from line to line."""
    return (
        reason.split(":", maxsplit=1)[0].split(",", maxsplit=1)[0]
        if "JSON:" in reason
        else reason.split(" at ", maxsplit=1)[0]
    )
