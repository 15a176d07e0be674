"""Two scans chained by `--until` and `--carry` give the findings of one.

A scan until T judges what has settled by T minus the grace window: chains that ended before, and groups of findings
whose period is over. The records of everything still open go to the carry file, with the place they came from; the next
scan starts from them and judges only what settled after the previous T. A log that grew may be given again: its records
are then taken from there, since an event that is assembled from several lines may be whole only now.

Where no coverage says which stages arrive, a stage is expected if the same agent or system had it within a lookback, before
or after (chain.sql). So a rule that is spared by blindness waits with a chain that lacks a stage nobody had yet, until a
lookback has passed; all other rules judge it at once. When who had what is carried too.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backends.duckdb.lines import LogFile, read_lines
from backends.duckdb.register import microseconds
from backends.errors import Mistake, Mistakes
from harness.extent import Extent
from harness.places import Places, offsets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from backends.duckdb.engine import Engine, EventRule
    from harness.options import ScanOptions

FORM = 3
SLICE = 5
"""Who (a hash), stage, slice, first and last: a row of ``carried_slices``."""

BLIND = '"chain.blind"'


@dataclass
class Carry:
    """What is open before and after a scan.

    Attributes:
        options: of the scan.
        before: settled by the previous scan, microseconds; None: there was none.
        names: names of logs that carried records came from.
        extents: what these logs were when they were read last.
        waited: identities of records, one a chain that the previous scan waited with.
        slices: when who had which stage, as far as the previous scans saw: rows of ``carried_slices``.
        again: places (input index, line) of such records where this scan reads their log again.
        chains, open, in_grace: counts for the summary, known after `settle`.
    """

    options: ScanOptions
    before: int | None = None
    names: list[str] = field(default_factory=list)
    waited: list[int] = field(default_factory=list)
    slices: list[list[int]] = field(default_factory=list)
    extents: list[Extent] = field(default_factory=list)
    again: list[tuple[int, int]] = field(default_factory=list)
    chains: int = 0
    open: int = 0
    in_grace: int = 0

    def load(self, index: int, folder: Path, logs: Mapping[int, LogFile]) -> LogFile | None:
        """The records that the previous scan left open, as an input; without those that this scan reads anyway.

        Args:
            index: of the input.
            folder: where its lines may be written.
            logs: what this scan reads, by index: some may be logs of the previous scan that grew, or were moved.
        """
        path = self.options.carry
        if path is None or not path.exists() or not path.stat().st_size:
            return None
        with path.open("rb") as stream:
            try:
                head = json.loads(stream.readline())["countersign"]
                self.before = int(head["settled"])
                self.names = [str(name) for name, _, _ in head["logs"]]
                self.extents = [Extent(int(size), str(edges)) for _, size, edges in head["logs"]]
                self.waited = [int(identity) for identity in head["waited"]]
                self.slices = [[int(number) for number in row] for row in head["slices"]]
                known = head["carry"] == FORM and all(len(row) == SLICE for row in self.slices)
            except (ValueError, KeyError, TypeError):
                known = False
            if not known:
                message = "this is no carry file; name one that a scan wrote, or a new one"
                raise Mistakes([Mistake(str(path), 1, message)])
            body = folder / "carried.jsonl"
            grown = self._grown(logs)
            with body.open("wb") as out:
                if grown:
                    out.writelines(line for line in stream if not self._read_again(line, grown))
                else:
                    shutil.copyfileobj(stream, out)
        return LogFile(index, body, "(carried)", ours=True)

    def _grown(self, logs: Mapping[int, LogFile]) -> dict[int, int]:
        """Logs of the previous scan that this one reads again: place in `names` → input index."""
        found = {}
        for at, (name, extent) in enumerate(zip(self.names, self.extents, strict=True)):
            likeliest = sorted(logs.values(), key=lambda log: (log.name != name, log.index))
            again = next((log.index for log in likeliest if extent.begins(log.path)), None)
            if again is not None:
                found[at] = again
        return found

    def _read_again(self, line: bytes, grown: Mapping[int, int]) -> bool:
        """Whether a carried record is made only of lines that this scan reads, which may say more by now."""
        record = json.loads(line)["countersign"]
        places = [(grown.get(-1 - log), number) for log, number in record["records"]]
        if any(log is None for log, _ in places):
            return False
        if int(record["identity"]) in self.waited:
            self.again += [(log, number) for log, number in places[:1] if log is not None]
        return True

    @property
    def settled(self) -> int | None:
        """What ended by then is judged, microseconds; None: everything."""
        if self.options.until is None:
            return None
        return microseconds(self.options.until) - int(self.options.grace.total_seconds() * 1_000_000)

    def group(self, rule: EventRule) -> str:
        """SQL: the period that this record's finding belongs to is judged now."""
        return self.moment(rule.period_us)

    def moment(self, period_us: int) -> str:
        """SQL: the period that ``ts`` lies in is judged now."""
        return self._now(f"(ts // {period_us} + 1) * {period_us}") + self._since("ts")

    def remind(self, engine: Engine) -> None:
        """Tell the engine what earlier scans saw; before it joins."""
        if self.before is not None:
            engine.connection.execute(f"SET VARIABLE before = {self.before}::BIGINT")
        if self.slices:
            rows = list(zip(*self.slices, strict=True))
            engine.connection.execute(
                "INSERT INTO carried_slices SELECT unnest($1::UBIGINT[]), unnest($2::INTEGER[]), unnest($3::BIGINT[]), "
                "unnest($4::BIGINT[]), unnest($5::BIGINT[])",
                [list(column) for column in rows],
            )

    def wait(self, engine: Engine) -> None:
        """Find the chains that a rule on blindness still waits with (``waiting``), and those that it waited with."""
        run = engine.connection.execute
        run("CREATE OR REPLACE TEMP TABLE waited AS SELECT NULL::UBIGINT AS chain WHERE false")
        run("CREATE OR REPLACE TEMP TABLE waiting AS SELECT NULL::UBIGINT AS chain WHERE false")
        if self.waited:
            query = "INSERT INTO waited SELECT DISTINCT chain FROM link WHERE identity IN (SELECT unnest($1::VARCHAR[])::UHUGEINT)"
            as_text = [str(identity) for identity in self.waited]  # a list of large integers would be bound as doubles
            run(query, [as_text])
        self._find_again(engine)
        if self.settled is None:
            return
        run(
            'CREATE OR REPLACE TEMP TABLE whose AS SELECT DISTINCT member.chain, who, chains."chain.start" AS began, '
            f'chains."chain.end" > {self.settled} AS open FROM (SELECT DISTINCT chain, unnest([agent, system]) AS who FROM link) member '
            "JOIN chains ON chains.chain = member.chain WHERE who IS NOT NULL"
        )
        run(
            "INSERT INTO waiting SELECT DISTINCT one.chain FROM whose one "
            "JOIN expected ON expected.chain = one.chain AND undecided > 0 LEFT JOIN whose other ON other.open AND other.who = one.who "
            "AND other.chain <> one.chain AND abs(other.began - one.began) <= getvariable('lookback') "
            f"WHERE NOT one.open AND (one.began + getvariable('lookback') > {self.settled} OR other.chain IS NOT NULL)"
        )

    def _find_again(self, engine: Engine) -> None:
        """Put the chains that were waited with, and whose records were read again, among those of ``waited``."""
        by_file: dict[int, list[int]] = {}
        for file, line in self.again:
            by_file.setdefault(file, []).append(line)
        for file, lines in by_file.items():
            begins = list(offsets(engine.files[file], lines).values())
            engine.connection.execute(
                "INSERT INTO waited SELECT DISTINCT chain FROM link JOIN (SELECT rid, unnest(CASE WHEN provenance IS NULL "
                'THEN [[file, "offset"]] ELSE from_json(provenance, \'[["BIGINT"]]\') END) AS place FROM ev) USING (rid) '
                "WHERE place[1] = $1 AND place[2] IN (SELECT unnest($2::BIGINT[]))",
                [file, begins],
            )

    def judged(self, sql: str) -> str:
        """SQL over the chain view: a rule of this SQL judges the chain now."""
        since = self._since('"chain.end"')
        if BLIND not in sql:
            return self._now('"chain.end"') + since
        end = f'"chain.end" <= {self.settled}' if self.settled is not None else "true"
        new = f'("chain.end" > {self.before} OR chain IN (FROM waited))' if self.before is not None else "true"
        return f"{end} AND {new} AND chain NOT IN (FROM waiting){since}"

    def _seen(self, engine: Engine) -> list[list[str | int]]:
        """Who had what when, as far back as an open chain, or one to come, can ask for it."""
        rows = engine.connection.execute(
            "WITH oldest AS (SELECT least(min(began) FILTER (open OR chain IN (FROM waiting)), $1) - getvariable('lookback') AS since FROM whose) "
            "SELECT who, stage, slice, min(first), max(last) FROM ("
            "SELECT whose.who, stage, began // getvariable('lookback') AS slice, began AS first, began AS last "
            "FROM whose JOIN chain_base USING (chain), (VALUES (1), (3), (4)) s(stage) "
            "WHERE seen & (1::UINTEGER << stage) > 0 AND NOT open AND chain_base.\"end\" > getvariable('before') "
            "UNION ALL FROM carried_slices) GROUP BY ALL HAVING max(last) >= (SELECT since FROM oldest) ORDER BY ALL",
            [self.settled],
        ).fetchall()
        return [[str(who), *rest] for who, *rest in rows]

    def _now(self, end: str) -> str:
        upper = f"{end} <= {self.settled}" if self.settled is not None else "true"
        return upper + (f" AND {end} > {self.before}" if self.before is not None else "")

    def _since(self, moment: str) -> str:
        return f" AND {moment} >= {microseconds(self.options.since)}" if self.options.since else ""

    def _witnesses(self) -> str:
        """SQL: chains that have settled, and will not be judged again, yet show that an open one bears a stranger's id."""
        return (
            "SELECT settled.chain FROM across settled JOIN chains past ON past.chain = settled.chain "
            f"AND past.\"chain.end\" > {self.settled} - getvariable('lookback') "
            f'JOIN across open USING (id) JOIN chains ON chains.chain = open.chain AND chains."chain.end" > {self.settled}'
        )

    def count(self, engine: Engine) -> None:
        """Count what is judged, open, and ending within the grace window of the last record."""
        grace = int(self.options.grace.total_seconds() * 1_000_000)
        row = engine.connection.execute(
            f"SELECT count(*) FILTER ({self._now(chr(34) + 'chain.end' + chr(34)) + self._since(chr(34) + 'chain.end' + chr(34))}), "
            f"count(*) FILTER (NOT ({self._now(chr(34) + 'chain.end' + chr(34))})), "
            f'count(*) FILTER ("chain.end" > (SELECT max(ts) FROM ev) - {grace}) FROM chains',
        ).fetchone()
        self.chains, self.open, self.in_grace = row or (0, 0, 0)

    def keep(
        self,
        engine: Engine,
        rules: Sequence[EventRule],
        names: Mapping[int, str],
        extents: Callable[[], Mapping[int, Extent]],
    ) -> None:
        """Write what is open to the carry file; beside it first, so that a good file is never half replaced.

        Args:
            engine: has judged.
            rules: single-record rules, in the order of their bits.
            names: of the logs, by index.
            extents: of the logs, by index; called when all is read, since it raises if they changed meanwhile.
        """
        path = self.options.carry
        if path is None or self.settled is None:
            return
        waiting = [
            f"(hits{at // 63} >> {at % 63} & 1 = 1 AND ((ts + {r.reach_us}) // {r.period_us} + 1) * {r.period_us} > {self.settled})"
            for at, r in enumerate(rules)
        ]
        rows = engine.connection.execute(
            'SELECT file, "offset", identity, provenance FROM ev WHERE rid IN ('
            f'SELECT rid FROM placed JOIN chains USING (chain) WHERE "chain.end" > {self.settled}) OR ts > {self.settled}'
            f" OR rid IN (SELECT rid FROM placed WHERE chain IN ({self._witnesses()}) OR chain IN (FROM waiting))"
            # a prompt that an open chain's worker may have been handed lies in a chain that ended
            f' OR (stage = 1 AND t IN (SELECT t FROM ev JOIN placed USING (rid) JOIN chains USING (chain) WHERE "chain.end" > {self.settled}))'
            + "".join(f" OR {one}" for one in waiting)
            + ' ORDER BY file, "offset"',
        ).fetchall()
        logs: dict[int, int] = {}  # -1 - k for the k-th log of the previous scan, else the index of the input
        lines: list[bytes] = []
        by_file: dict[int, list[tuple[int, int, list[tuple[int, int]]]]] = {}
        for file, offset, identity, provenance in rows:
            origin = [(int(f), int(o)) for f, o in json.loads(provenance)] if provenance else [(file, offset)]
            by_file.setdefault(file, []).append((offset, identity, origin))
        resolver = Places(engine, names, self.names)
        resolver.learn(origin for some in by_file.values() for _, _, origin in some)
        for file, some in by_file.items():
            texts = read_lines(engine.files[file], [(offset, 0) for offset, _, _ in some])
            for (_, identity, origin), (_, line) in zip(some, texts, strict=True):
                record: dict[str, Any] = json.loads(line)
                places = [
                    [-1 - logs.setdefault(log, len(logs)), number]
                    for (log, _), (_, number) in zip(origin, resolver.resolve(origin), strict=True)
                ]
                record["countersign"] = {"records": places, "identity": str(identity)}
                lines.append(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
        waited = engine.connection.execute(
            "SELECT min(identity) FROM link WHERE chain IN (FROM waiting) GROUP BY chain ORDER BY ALL"
        ).fetchall()
        now = extents()
        come_from = [
            (names[log], now[log]) if log >= 0 else (self.names[-1 - log], self.extents[-1 - log]) for log in logs
        ]
        head = {
            "countersign": {
                "carry": FORM,
                "settled": self.settled,
                "logs": [[name, extent.size, extent.edges] for name, extent in come_from],
                "waited": [str(identity) for (identity,) in waited],
                "slices": self._seen(engine),
            }
        }
        beside = path.with_name(path.name + ".new")
        with beside.open("wb") as out:
            out.write(json.dumps(head).encode() + b"\n")
            out.writelines(line + b"\n" for line in lines)
        beside.replace(path)
