"""The road on DuckDB: lines → facts and verdicts in one pass → chains → chain verdicts → what fired.

The pass keeps one narrow row a record (`ev`): hashes of ids, a few booleans, and one bit a rule. Texts are not kept; a
record that fired is read again by its place (`Engine.details`).
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb

from backends.concepts import CONCEPTS, bits
from backends.duckdb import correlate, register
from backends.duckdb.careful import Suspect, read_carefully
from backends.duckdb.columns import Seen, flat, quoted, text
from backends.duckdb.lines import BadLine, LineReader, LogFile, PickedReader, read_lines
from backends.duckdb.sample import sampled
from backends.duckdb.shared import shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from backends.vocabulary import Vocabulary

VIEWS = Path(__file__).parent / "views"
STAGES = ("prompt", "decision", "tool_call", "tool_response", "token", "consent", "access", "change")
FEW = 20_000
"""Lines that are read again one by one; more are found by another reading of the whole."""

HANDFUL = 2_000
"""Suspect lines that go to the careful reader at once: it reads them sooner than another pass is planned."""

SLICE = 1_000_000
"""Records of a slice, where a join would hold too much of a large log at once."""

KEYS = {"rid": ("getvariable('rid_first')", "BIGINT"), "chain": ("of_slice(", "UBIGINT")}
"""What a log is cut into slices by: how a statement asks for it, and its type."""

WORD = 63
"""Rules a column: one bit each in a UBIGINT, the highest left free."""


@dataclass(frozen=True)
class EventRule:
    """A compiled single-record rule.

    Attributes:
        name: its stem, or ``stem/step`` for the base rule of a correlation.
        sql: a boolean over the event view.
        group_by: fields that its findings group by.
        period_us: how long hits of one group are one finding.
        reported: whether its hits are findings; those of a base rule are not.
        reach_us: how long a hit still counts towards a later one.
        stages: those at which it can fire; None where any record can.
    """

    name: str
    sql: str
    group_by: tuple[str, ...] = ()
    period_us: int = 3_600_000_000
    reported: bool = True
    reach_us: int = 0
    stages: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Limits:
    """What a run may take and assume.

    Attributes:
        lookback_us: records further apart than this do not join, microseconds.
        memory: DuckDB's own limit, such as ``700MB``.
        threads: worker threads.
    """

    lookback_us: int = 24 * 3600 * 1_000_000
    memory: str = "700MB"
    threads: int = 2


@dataclass
class Engine:
    """One run. Use it as a context: it holds a temporary folder.

    Attributes:
        vocabulary: the event fields.
        tables: the register's tables.
        never: (dataset, stage, blind concepts) of the source maps.
        client_ids: (dataset, dotted id) that a client may set.
        rules: compiled single-record rules, in the order of their bits.
        correlations: correlations over some of these rules.
        by_content: records are the same if their fields are, whatever the text of their lines.
        numbers: line number by (file, offset), of the lines that `details` read and no other input was made of, and
            of few that the careful reader read.
    """

    vocabulary: Vocabulary
    tables: register.Tables = field(default_factory=dict)
    never: Sequence[tuple[str, str, Sequence[str]]] = ()
    client_ids: Sequence[tuple[str, str]] = ()
    rules: Sequence[EventRule] = ()
    correlations: Sequence[correlate.Compiled] = ()
    limits: Limits = Limits()
    progress: Callable[[int], None] = lambda _read: None
    bad: list[BadLine] = field(default_factory=list)
    lines: int = 0
    size: int = 0
    files: dict[int, LogFile] = field(default_factory=dict)
    by_content: bool = False
    numbers: dict[tuple[int, int], int] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Open the database and load the register."""
        self.folder = tempfile.TemporaryDirectory(prefix="countersign-")
        self.connection = duckdb.connect(str(Path(self.folder.name) / "scan.duckdb"))
        run = self.connection.execute
        run(f"SET threads = {int(self.limits.threads)}")
        run(f"SET memory_limit = {text(self.limits.memory)}")
        run(f"SET temp_directory = {text(self.folder.name + '/spill')}")
        run("SET preserve_insertion_order = false")
        run("SET TimeZone = 'UTC'")
        # the log has no known size, so the optimizer may hash it and probe with the register: the join must not be turned
        run("SET disabled_optimizers = 'join_order,build_side_probe_side'")
        run(f"SET VARIABLE lookback = {int(self.limits.lookback_us)}")
        run(f"SET VARIABLE before = {-(1 << 62)}::BIGINT")
        run("CREATE TEMP TABLE carried_slices(who UBIGINT, stage INTEGER, slice BIGINT, first BIGINT, last BIGINT)")
        register.load(self.connection, self.tables)
        for statement in statements("macros.sql"):
            run(statement)
        run("CREATE TEMP TABLE source_never(dataset VARCHAR, stage VARCHAR, concepts VARCHAR[], bits UINTEGER)")
        never = [(dataset, stage, list(concepts), bits(concepts)) for dataset, stage, concepts in self.never]
        insert(self.connection, "source_never", ("VARCHAR", "VARCHAR", "VARCHAR[]", "UINTEGER"), never)
        run(bit_macros())
        return self

    def __exit__(self, *_raised: object) -> None:
        """Close the database and remove the temporary folder."""
        self.connection.close()
        self.folder.cleanup()

    def ingest(self, files: Sequence[LogFile]) -> None:
        """Read the files: with the fields that a sample holds, then with all (if it pays), then with the careful reader.

        A small log with dotted names goes to the careful reader at once: each of its lines would come to it in the end.
        """
        self.files.update({file.index: file for file in files})
        sample = sampled(files, self.vocabulary)
        few = sample.whole and sample.lines <= HANDFUL
        if few:  # each thread makes room for all columns, which takes longer than to read so few lines
            self.limits = replace(self.limits, threads=1)
            self.connection.execute("SET threads = 1")
        if few and sample.dotted and not self.by_content and not any(file.ours for file in files):
            reader = LineReader(files, progress=self.progress)
            rows = self._places(reader)
            self.bad, self.lines, self.size = reader.bad, reader.lines, reader.size
            self._settle(rows, "CREATE TABLE ev AS")
            return
        reader = self._read(files, "CREATE TABLE ev AS", sample.seen, self.progress)
        self.bad, self.lines, self.size = reader.bad, reader.lines, reader.size
        suspects = self._suspects()
        if suspects > HANDFUL:  # a known field that the sample did not hold, or something odd
            if suspects > FEW:
                self._read(files, "INSERT INTO ev", None, where='SEMI JOIN suspect USING (file, "offset")')
            else:
                places = self.connection.execute('SELECT file, "offset", number FROM suspect ORDER BY ALL').fetchall()
                self._take(PickedReader(self.files, places), "INSERT INTO ev", None)
            suspects = self._suspects()
        if suspects:
            self._settle(self.connection.execute('SELECT * FROM suspect ORDER BY file, "offset"').fetchall())

    def _places(self, reader: LineReader) -> list[Suspect]:
        """Every line as one that is suspect, in the order of the files."""
        self.connection.register("arrow_lines", reader.reader())
        found = self.connection.execute(
            'SELECT file, "offset", number, NULL, countersign_line(line) FROM arrow_lines'
        ).fetchall()
        self.connection.unregister("arrow_lines")
        return sorted(found)

    def _settle(self, rows: Sequence[Suspect], into: str = "INSERT INTO ev") -> None:
        """Read suspect lines with the careful reader, and what it could read once more as any other log."""
        settled = Path(self.folder.name) / "settled.jsonl"
        if len(rows) <= FEW:  # else a table of their numbers would be larger than the second look at the log is dear
            self.numbers |= {(file, offset): number for file, offset, number, provenance, _ in rows if not provenance}
        self.bad += read_carefully(self.files, rows, settled, self.vocabulary)
        if not settled.stat().st_size and not into.startswith("CREATE"):
            return  # nothing could be read, and to plan for nothing takes as long as to plan for a record
        index = max(self.files) + 1
        self.files[index] = LogFile(index, settled, "(settled)", ours=True)
        seen = sampled([self.files[index]], self.vocabulary, whole=True).seen
        self._read([self.files[index]], into, seen)
        for (provenance,) in self.connection.execute("SELECT provenance FROM ev WHERE careful").fetchall():
            file, offset = json.loads(provenance)[0]  # the careful reader wrote it plainly; nothing is lost in silence
            self.bad.append(BadLine(file, 0, offset, 0, "the record could not be read"))
        self.connection.execute("DELETE FROM ev WHERE careful")

    def _suspects(self) -> int:
        """Move the rows that could not be read plainly out of `ev` into `suspect`; how many."""
        run = self.connection.execute
        run(
            'CREATE OR REPLACE TEMP TABLE suspect AS SELECT file, "offset", number, provenance, identity FROM ev WHERE careful'
        )
        found = run("SELECT count(*) FROM suspect").fetchone()
        if found and found[0]:
            run("DELETE FROM ev WHERE careful")
        return int(found[0]) if found else 0

    def _read(
        self,
        files: Sequence[LogFile],
        into: str,
        seen: Seen,
        progress: Callable[[int], None] = lambda _read: None,
        where: str = "",
    ) -> LineReader:
        reader = LineReader(files, progress=progress)
        self._take(reader, into, seen, where)
        return reader

    def _take(self, reader: LineReader | PickedReader, into: str, seen: Seen, where: str = "") -> None:
        self.connection.register("arrow_lines", reader.reader())
        self.connection.execute(f"CREATE OR REPLACE TEMP VIEW lines AS SELECT * FROM arrow_lines {where}")
        self.connection.execute(f"{into} {self.pass_sql(seen)}")
        self.connection.execute("DROP VIEW lines")
        self.connection.unregister("arrow_lines")

    def events_sql(self, source: str = "lines", seen: Seen = None) -> str:
        """The event view over the lines of ``source``, reading the fields that were seen."""
        view = (VIEWS / "events.sql").read_text(encoding="utf-8")
        ours = [index for index, file in self.files.items() if file.ours]
        flat_sql = flat(source, self.vocabulary, seen, ours, by_content=self.by_content)
        return f"WITH flat AS ({flat_sql})\nSELECT * FROM ({view})"

    def pass_sql(self, seen: Seen = None) -> str:
        """The one pass: facts, rule bits and the narrow columns that joining needs."""
        common, judged = shared([f"({rule.sql})" for rule in self.rules])
        words = [judged[at : at + WORD] for at in range(0, len(judged), WORD)]
        bits = [f"{self._hits(word, number * WORD)} AS hits{number}" for number, word in enumerate(words)] or [
            "0::UBIGINT AS hits0"
        ]
        facts = self.events_sql(seen=seen)
        facts = f"SELECT *, {', '.join(common)} FROM ({facts})" if common else facts
        specs = self.group_specs()
        any_hit = self.reported_sql()
        groups = [
            f"CASE WHEN {any_hit} THEN {_group_hash(spec, self.vocabulary)} END AS g{number}"
            for number, spec in enumerate(specs)
        ]
        groups += correlate.key_columns(
            self.correlations, {bit: f"(hits{bit // WORD} >> {bit % WORD}) & 1 = 1" for bit in range(len(self.rules))}
        )
        columns, hits = narrow(self._claimed), [f"hits{number}" for number in range(len(bits))]
        return (
            'SELECT (file::BIGINT << 44) + "offset" AS rid, file, "offset", number, careful, arrived, provenance, '
            f"{', '.join([*hits, *groups, *columns])}\n"
            # verdicts in a SELECT of their own: named beside what reads them, all rules would be judged again for each of these
            f"FROM (SELECT *, {', '.join(bits)} FROM ({facts}))"
        )

    def _hits(self, word: Sequence[str], first: int) -> str:
        """SQL: one bit for each rule of a word, each judged for the records of its stages only."""
        parts: dict[tuple[str, ...] | None, list[str]] = {}
        for bit, sql in enumerate(word):
            parts.setdefault(self.rules[first + bit].stages, []).append(f"({sql}::UBIGINT << {bit})")
        judged = [
            " | ".join(some)
            if stages is None
            else f"CASE WHEN stage IN ({', '.join(map(text, stages))}) THEN {' | '.join(some)} ELSE 0::UBIGINT END"
            for stages, some in parts.items()
            if stages != ()
        ]
        return " | ".join(judged) or "0::UBIGINT"

    def _claimed(self, name: str) -> str:
        """SQL: a client may have set the field, as the record's source map says."""
        datasets = ", ".join(text(dataset) for dataset, field_name in self.client_ids if field_name == name)
        return f"coalesce(\"event.dataset\", 'countersign') IN ({datasets})" if datasets else "false"

    def reported_sql(self) -> str:
        """SQL over the pass's rows: a rule fires whose hits are findings by themselves."""
        masks: dict[int, int] = {}
        for bit, rule in enumerate(self.rules):
            masks[bit // WORD] = masks.get(bit // WORD, 0) | int(rule.reported) << bit % WORD
        return " OR ".join(f"hits{word} & {mask}::UBIGINT <> 0" for word, mask in masks.items() if mask) or "false"

    def group_specs(self) -> list[tuple[str, ...]]:
        """Distinct tuples of event fields that findings are grouped by; ``chain.id`` is added after joining."""
        seen = dict.fromkeys(_spec(rule) for rule in self.rules if rule.reported)
        return list(seen)

    def join(self) -> None:
        """Cut idle keys, place every record in its chain, and build the chain view."""
        self.copies = self._drop_copies()
        for key in ("p", "t", "x", "c"):
            self._cut(key)
        for name in ("emitters.sql", "joining.sql", "attribution.sql", "conflict.sql", "chain.sql"):
            for statement in statements(name):
                self._run_view(statement)
        correlate.prepare(self)

    def _drop_copies(self) -> int:
        """A line delivered twice is one record; how many were dropped.

        A hash of a line is no proof that two are the same: an attacker may have made them so. Records with one hash are the
        same only if all that was read of them is, verdicts among it: then nothing is lost with one of them.
        """
        run = self.connection.execute
        run("CREATE OR REPLACE TEMP TABLE again AS SELECT identity FROM ev GROUP BY identity HAVING count(*) > 1")
        place = {"rid", "file", "offset", "number", "provenance"}
        names = [name for name, *_ in run("DESCRIBE ev").fetchall() if name not in place]
        dropped = run(
            "DELETE FROM ev WHERE identity IN (FROM again) AND rid NOT IN "
            f"(SELECT min(rid) FROM ev WHERE identity IN (FROM again) GROUP BY {', '.join(map(quoted, names))})"
        ).fetchone()
        return int(dropped[0]) if dropped else 0

    def _run_view(self, statement: str) -> None:
        """Run a statement of a view, slice by slice if it names one: what a join holds then does not grow with the log."""
        run = self.connection.execute
        what = next((key for key, (sign, _) in KEYS.items() if sign in statement), None)
        if what is None:
            run(statement)
            return
        head, _, select = statement.partition(" AS\n")
        for number, (first, last) in enumerate(self._slices(what)):
            run(f"SET VARIABLE {what}_first = {first}::{KEYS[what][1]}")
            run(f"SET VARIABLE {what}_last = {last}::{KEYS[what][1]}")
            run(statement if number == 0 else f"INSERT INTO {head.split()[-1]}\n{select}")

    def _slices(self, what: str) -> list[tuple[int, int]]:
        """First and last of each slice: of records by where they lie, of chains by their hashes."""
        run = self.connection.execute
        count, least, most = run("SELECT count(*), min(rid), max(rid) FROM ev").fetchone() or (0, None, None)
        parts = max(1, -(-int(count) // SLICE))
        ends = [(1 << 64) * number // parts - 1 for number in range(1, parts + 1)]
        if what == "rid":
            inner = [number / parts for number in range(1, parts)]
            cuts = run(f"SELECT approx_quantile(rid, {inner}) FROM ev").fetchone() if inner else None
            ends = [*sorted({int(cut) for cut in cuts[0]} if cuts else ()), int(most or 0)]
        firsts = [int(least or 0) if what == "rid" else 0, *(end + 1 for end in ends[:-1])]
        return list(zip(firsts, ends, strict=True))

    def _cut(self, key: str) -> None:
        """A key idle longer than the lookback starts a new chain: its later sessions get a hash of their own."""
        run = self.connection.execute
        lookback = int(self.limits.lookback_us)
        run(
            f"CREATE OR REPLACE TEMP TABLE long_keys AS SELECT {key} FROM ev WHERE {key} IS NOT NULL "
            f"GROUP BY {key} HAVING max(ts) - min(ts) > {lookback}",
        )
        found = run("SELECT count(*) FROM long_keys").fetchone()
        if not found or not found[0]:
            return
        run(
            f"UPDATE ev SET {key} = hash({key}, cut.session) FROM (SELECT rid, sum(idle) OVER "
            f"(PARTITION BY {key} ORDER BY ts, identity ROWS UNBOUNDED PRECEDING) AS session FROM (SELECT rid, {key}, ts, identity, "
            f"(ts - lag(ts) OVER (PARTITION BY {key} ORDER BY ts, identity) > {lookback})::INTEGER AS idle "
            f"FROM ev WHERE {key} IN (SELECT {key} FROM long_keys))) cut WHERE cut.rid = ev.rid AND cut.session > 0",
        )

    def chain_hits(
        self,
        rules: Sequence[tuple[str, str]],
        judged: Callable[[str], str] = lambda _sql: "true",
        chains: str = "chains",
    ) -> dict[str, list[int]]:
        """Chain keys that each chain rule fires for.

        Args:
            rules: (name, SQL over the chain view).
            judged: for a rule's SQL, SQL over the chain view: which chains it judges now.
            chains: SQL of the chains that are judged, all by default.
        """
        if not rules:
            return {}
        common, verdicts = shared([f"({judged(sql)}) AND ({sql})" for _, sql in rules])
        words = [verdicts[at : at + WORD] for at in range(0, len(rules), WORD)]
        bits = [
            " | ".join(f"(CASE WHEN {sql} THEN 1 ELSE 0 END::UBIGINT << {bit})" for bit, sql in enumerate(word))
            + f" AS hits{number}"
            for number, word in enumerate(words)
        ]
        view = f'SELECT *, CASE WHEN len(blind) > 0 THEN blind END AS "chain.blind" FROM {chains}'
        view = f"SELECT *, {', '.join(common)} FROM ({view})" if common else view
        run = self.connection.execute
        # in a table of their own: asked for beside what reads them, the rules would be judged once more
        run(f"CREATE OR REPLACE TEMP TABLE fired AS SELECT chain, {', '.join(bits)} FROM ({view})")
        any_of = " OR ".join(f"hits{number} <> 0" for number in range(len(words)))
        rows = run(f"FROM fired WHERE {any_of} ORDER BY chain").fetchall()
        return {
            name: [row[0] for row in rows if row[1 + at // WORD] >> at % WORD & 1] for at, (name, _) in enumerate(rules)
        }

    def details(self, rids: Iterable[int]) -> dict[int, dict[str, Any]]:
        """The full records, facts included, of the given rows: the second read, of these lines only.

        Returns:
            rid → flat record; times are microseconds; ``countersign.places`` lists (file, offset) of what was logged.
        """
        self.connection.execute("CREATE OR REPLACE TEMP TABLE wanted(rid BIGINT)")
        wanted = sorted(set(rids))
        if not wanted:
            return {}
        self.connection.execute("INSERT INTO wanted SELECT unnest($1::BIGINT[])", [wanted])
        rows = self.connection.execute(
            'SELECT rid, file, "offset", number, provenance FROM ev JOIN wanted USING (rid) ORDER BY file, "offset"',
        ).fetchall()
        self.numbers |= {(file, offset): number for _, file, offset, number, provenance in rows if not provenance}
        picked = Path(self.folder.name) / "picked.jsonl"
        places: list[tuple[int, list[tuple[int, int]]]] = []
        by_file: dict[int, list[tuple[int, int, str | None]]] = {}
        for rid, file, offset, _, provenance in rows:
            by_file.setdefault(file, []).append((rid, offset, provenance))
        with picked.open("wb") as out:
            for file, found in by_file.items():
                lines = read_lines(self.files[file], [(offset, 0) for _, offset, _ in found])
                for (rid, offset, provenance), (_, line) in zip(found, lines, strict=True):
                    out.write(line + b"\n")
                    origin = [tuple(p) for p in json.loads(provenance)] if provenance else [(file, offset)]
                    places.append((rid, origin))
        picked_log = LogFile(0, picked, "(picked)")
        seen = sampled([picked_log], self.vocabulary, whole=True).seen
        reader = LineReader([picked_log])
        lines_again = reader.reader()
        self.connection.register("lines", lines_again)
        names = [f.name for f in self.vocabulary.fields.values()]
        columns = ", ".join(quoted(name) for name in names)
        # all columns of the view are held for each thread: one is enough for these lines
        self.connection.execute("SET threads = 1")
        result = self.connection.execute(f"SELECT number, {columns} FROM ({self.events_sql(seen=seen)})")
        records: dict[int, dict[str, Any]] = {}
        for number, *values in result.fetchall():
            rid, origin = places[number - 1]
            records[rid] = {name: value for name, value in zip(names, values, strict=True) if value is not None}
            records[rid]["countersign.places"] = origin
        self.connection.unregister("lines")
        self.connection.execute(f"SET threads = {int(self.limits.threads)}")
        return records


def insert(
    connection: duckdb.DuckDBPyConnection, table: str, types: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Insert rows in one statement: one for each row takes longer than most queries."""
    if rows:
        columns = ", ".join(f"unnest(${number}::{kind}[])" for number, kind in enumerate(types, 1))
        connection.execute(
            f"INSERT INTO {table} SELECT {columns}", [list(column) for column in zip(*rows, strict=True)]
        )


def _spec(rule: EventRule) -> tuple[str, ...]:
    return tuple(name for name in rule.group_by if not name.startswith("chain.id"))


def _group_hash(spec: tuple[str, ...], vocabulary: Vocabulary) -> str:
    parts = [f"lower({quoted(name)}::VARCHAR)" for name in spec if name in vocabulary.fields]
    return f"hash({', '.join(f'countersign_hash({part})' for part in parts)})" if parts else "0::UBIGINT"


def narrow(claimed: Callable[[str], str]) -> list[str]:
    """The columns of `ev` that joining and the chain view read.

    Args:
        claimed: id field → SQL that says whether a client may have set it.
    """

    def key(kind: str, value: str) -> str:
        return f"CASE WHEN {value} IS NOT NULL THEN countersign_key({text(kind)}, {value}) END"

    stages = ", ".join(text(stage) for stage in STAGES)
    return [
        "line_hash AS identity",
        '"@timestamp" AS ts',
        f"list_position([{stages}], stage)::UTINYINT AS stage",
        key("p", '"chain.prompt.id"') + " AS p",
        # all zeros are no id: a tracer writes them where no span is active
        key("t", 'CASE WHEN NOT countersign_zeros("trace.id") THEN "trace.id" END') + " AS t",
        key("x", 'CASE WHEN NOT countersign_nil("transaction.id") THEN "transaction.id" END') + " AS x",
        (
            'CASE WHEN "gen_ai.tool.call.id" IS NOT NULL AND coalesce("gen_ai.conversation.id", "gen_ai.agent.id") IS NOT NULL '
            'THEN hash(\'c\', countersign_hash(coalesce("gen_ai.conversation.id", "gen_ai.agent.id")), '
            'countersign_hash("gen_ai.tool.call.id")) END AS c'
        ),
        key("h", '"oauth.token.hash"') + " AS h",
        key("r", '"http.request.id"') + " AS r",
        claimed("chain.prompt.id") + " AS p_client",
        claimed("trace.id") + " AS t_client",
        claimed("transaction.id") + " AS x_client",
        claimed("gen_ai.tool.call.id") + " AS c_client",
        'CASE WHEN "user.key" IS NOT NULL THEN countersign_key(key_kind, "user.key") END AS person',
        "hash(key_kind) AS person_kind",
        key("agent", 'lower("gen_ai.agent.id")') + " AS agent",
        key("agent", 'lower("chain.agent.parent_id")') + " AS agent_parent",
        (
            'CASE WHEN "oauth.act.sub" IS NOT NULL OR "oauth.act.chain" IS NOT NULL THEN list_transform('
            'list_append(coalesce("oauth.act.chain", []), "oauth.act.sub"), lambda a: countersign_key(\'agent\', lower(a))) END AS act'
        ),
        key("client", 'lower("oauth.client.id")') + " AS client",
        key("span", '"span.id"') + " AS span",
        key("span", '"span.parent_id"') + " AS parent",
        key("token", '"oauth.token.id"') + " AS token",
        key("token", '"oauth.token.parent_id"') + " AS token_parent",
        key("server", 'lower(coalesce("mcp.server.name", "mcp.server.uri"))') + " AS server",
        key("system", 'lower("service.target.name")') + " AS system",
        'coalesce("user.id", "user.name", "user.email") IS NOT NULL AS human',
        # who acts where no person is named: a service by the register, or a client on its own behalf (RFC 6749 §4.4)
        (
            "CASE WHEN NOT human AND moved THEN countersign_key('service', lower(effective_id)) "
            'WHEN NOT human AND \'client_credentials\' IN (lower("oauth.grant_type"), lower("oauth.delegation.type")) '
            "THEN client END AS service"
        ),
        'coalesce("user.id", "user.name", "user.email", "user.effective.id", "user.effective.name") IS NOT NULL AS actor_known',
        "coalesce(lower(\"chain.operation\") IN ('write', 'create', 'delete', 'admin'), false) AS is_write",
        (
            "coalesce(lower(\"chain.operation\") IN ('write', 'create', 'delete', 'admin'), false) "
            "AND coalesce(lower(\"event.outcome\") <> 'failure', true) AS wrote"
        ),
        'coalesce("gen_ai.agent.id", "oauth.act.sub", client_agent, service_agent, effective_agent) IS NOT NULL AS by_agent',
        # a client or identity that the register gives to an agent names it; of one that the register does not know, nobody can say
        (
            'CASE WHEN coalesce("gen_ai.agent.id", "oauth.act.sub", client_owner, effective_agent) IS NOT NULL OR client_kind = \'agent\' THEN true '
            'WHEN "oauth.client.id" IS NULL OR client_known THEN false END AS names_agent'
        ),
        (
            'coalesce("chain.response.hash" IS NOT NULL OR "mcp.tool.result.bytes" IS NOT NULL '
            'OR "error.type" IS NOT NULL OR "error.code" IS NOT NULL '
            "OR lower(\"event.outcome\") = 'failure', false) AS answered"
        ),
        "coalesce(lower(\"mcp.tool.decision\") = 'deny', false) AS denied",
        'coalesce("chain.cancelled", false) AS cancelled',
        "coalesce(lower(\"mcp.task.status\") IN ('working', 'input_required', 'submitted', 'running', 'cancelled'), false) AS running",
        # no schedule prompts an agent that the register calls interactive
        (
            "CASE WHEN lower(\"chain.prompt.origin\") <> 'schedule' OR coalesce(agent_mode, '') <> 'interactive' "
            "THEN list_position(['user', 'schedule', 'tool_output', 'agent'], lower(\"chain.prompt.origin\")) END AS origin_code"
        ),
        "CASE WHEN origin_code >= 3 THEN 3 ELSE origin_code END AS origin",
        # of a call alone
        (
            "CASE WHEN stage = 'tool_call' AND \"oauth.scope.presented\" IS NOT NULL THEN coalesce(countersign_only_reads("
            '"oauth.scope.presented", CASE WHEN "oauth.scope.granted" IS NULL THEN "oauth.scope.risk" '
            'ELSE countersign_risk_of("oauth.scope.presented") END), false) ELSE false END AS read_scope'
        ),
        "coalesce(\"mcp.tool.risk\" = 'read', false) AS read_only_tool",
        (
            'coalesce("oauth.scope.granted", "oauth.scope.presented") IS NOT NULL OR stage = \'consent\' '
            "OR lower(\"mcp.tool.decision\") = 'allow' "
            # a local server, a static key and a client certificate let in without a grant of OAuth's
            "OR (NOT \"oauth.used\" AND (lower(\"mcp.server.exposure\") IN ('stdio', 'loopback') OR lower(\"mcp.server.auth\") IN ('api_key', 'mtls'))) AS granted"
        ),
        "coalesce(\"mcp.server.party\" = 'third', false) AS third_party",
        # a third party was sent to or answered; a register that names regions for restricted data clears its server for it
        (
            "third_party AND stage IN ('tool_call', 'tool_response') AND NOT denied AND coalesce(\"oauth.token.accepted\", true) AND NOT "
            "coalesce(list_contains(list_transform(\"mcp.server.regions\", lambda r: lower(string_split(r, '=')[1])), 'restricted'), false) AS third_shown"
        ),
        "coalesce(lower(\"chain.resource.classification\") = 'restricted', false) AS restricted",
        '"oauth.token.audience_match" AS audience_match',
        "coalesce(\"event.dataset\", 'countersign') AS dataset",
        key("emitter", 'lower("observer.name")') + " AS emitter",
        # a column of numbers holds no more than 53 bits whole: two larger ones would be compared by what is left of them
        'CASE WHEN abs("event.sequence") <= 9007199254740992 THEN "event.sequence"::BIGINT END AS sequence',
        key("record", '"event.hash"') + " AS record_hash",
        key("record", '"event.previous_hash"') + " AS previous_hash",
        "coalesce(blind_bits, 0::UINTEGER) AS blind",
    ]


def bit_macros() -> str:
    """Macros over concepts and stages as bits: ``stage_bits``, ``blind_pairs`` and ``is_blind``."""
    stages = " | ".join(
        f"(coalesce(list_contains(stages, {text(stage)}), false)::UINTEGER << {bit + 1})"
        for bit, stage in enumerate(STAGES)
    )
    # coverage says that a stage is onboarded: then one source's inability at another stage is no excuse
    excused = {"prompt": 1, "response": 4}
    pairs = ", ".join(
        f"CASE WHEN bits & {1 << bit} > 0"
        + (f" AND covered & {1 << excused[concept]} = 0" if concept in excused else "")
        + f" THEN stage || '.{concept}' END"
        for bit, concept in enumerate(CONCEPTS)
    )
    words = ", ".join(text(concept) for concept in CONCEPTS)
    return (
        f"CREATE OR REPLACE TEMP MACRO stage_bits(stages) AS {stages};\n"
        "CREATE OR REPLACE TEMP MACRO blind_pairs(stage, bits, covered) AS CASE WHEN coalesce(bits, 0) = 0 THEN [] "
        f"ELSE list_filter([{pairs}], lambda pair: pair IS NOT NULL) END;\n"
        f"CREATE OR REPLACE TEMP MACRO is_blind(bits, concept) AS bits & (1::UINTEGER << (list_position([{words}], concept) - 1)) > 0"
    )


def statements(name: str) -> list[str]:
    """The statements of a view file; no statement of ours holds a semicolon inside a string."""
    script = (VIEWS / name).read_text(encoding="utf-8")
    return [statement for statement in script.split(";\n") if statement.strip()]
