"""How hard a benign log is for the rules: how often each term of each rule is what tells honest work from an attack.

One pass of the engine reads the log and keeps a bit for every test of every rule; what follows is counting over the few
thousand patterns of these bits. Three units are counted:

* events, for rules on records and for the base rules of correlations;
* chains, for rules on chains;
* windows, for correlations: records at which the correlation would fire if it asked for one thing less, and the keys of
  their groups. It asks for half the number, for ten times the time, for one field of the key less, for no order, or for
  its base rule without a filter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from backends.correlation import ORDERED, Correlation
from backends.duckdb.correlate import Compiled
from backends.duckdb.engine import WORD, Engine, EventRule, Limits
from backends.duckdb.lines import LogFile
from backends.register import Register
from backends.sources import SourceMaps
from backends.vocabulary import Vocabulary
from harness.leaves import Leaf, Terms
from harness.ruleset import load_rules
from harness.scan import sources_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from harness.paths import Root
    from harness.ruleset import Rule

MILLION = 1_000_000
LONGER = 10
"""How much more time a correlation is given, to see what its window tells apart."""


@dataclass(frozen=True)
class Decided:
    """What one term or filter decides in a benign log.

    Attributes:
        rule: stem.
        term: ``detection: words`` of a test, the name of a filter, or what a correlation asks for; of a base rule with
            its name in front.
        unit: event, chain or window.
        exempts: whether it is a whole filter.
        count: events, chains or windows for which the rule would fire without it.
        keys: of windows, the groups that they belong to.
    """

    rule: str
    term: str
    unit: str
    exempts: bool
    count: int
    keys: int = 0


@dataclass(frozen=True)
class Hardness:
    """Everything that was counted, and in how many events."""

    events: int
    decided: tuple[Decided, ...]


@dataclass(frozen=True)
class _Asked:
    """A term with the SQL of those that it decides, over the patterns."""

    rule: str
    term: str
    sql: str
    exempts: bool = False


def measure(
    logs: Sequence[Path], register: Path, root: Root, own: Sequence[Path] = (), limits: Limits | None = None
) -> Hardness:
    """Count in one pass what each term of each rule decides.

    Args:
        logs: benign, in schema form.
        register: folder of its full register.
        root: where rules, schemas and source maps lie.
        own: folders of source maps beside the pack's.
        limits: memory and threads.

    Raises:
        Mistakes: whatever is wrong with rules or register.
    """
    events, chains = Vocabulary.load(root.event_schema), Vocabulary.load(root.chain_schema)
    rules = load_rules(root.rules, root.schemas)
    sources = sources_of(SourceMaps.load(root.sources, *own))
    parts = [(rule, part, Terms.of(part, events)) for rule in rules if rule.service == "event" for part in rule.parts]
    bits = _Bits()
    for _, _, terms in parts:
        for leaf in terms.leaves:
            bits.add(leaf.sql)
    relaxed = [one for rule in rules for one in _relaxations(rule, events)]
    correlations = [_compiled(one.rule, one.correlation, one.sql, bits) for one in relaxed]
    tables = Register.load(register).tables
    with Engine(
        events, tables, sources.never, sources.client_ids, bits.rules, correlations, limits or Limits()
    ) as engine:
        engine.ingest([LogFile(at, path, path.name) for at, path in enumerate(logs)])
        engine.join()
        (total,) = engine.connection.execute("SELECT count(*) FROM ev").fetchone() or (0,)
        columns = ", ".join(f"(hits{bit // WORD} >> {bit % WORD}) & 1 = 1 AS a{bit}" for bit in range(len(bits.rules)))
        asked = [one for rule, part, terms in parts for one in _asked(rule, part.name, terms, bits.column)]
        found = list(_counted(engine, "event", f"SELECT {columns} FROM ev", asked))
        of_chains = [(rule, Terms.of(rule.parts[0], chains)) for rule in rules if rule.service == "chain"]
        held = _Bits()
        for _, terms in of_chains:
            for leaf in terms.leaves:
                held.add(leaf.sql)
        columns = ", ".join(f"({rule.sql}) AS a{bit}" for bit, rule in enumerate(held.rules))
        view = 'SELECT *, CASE WHEN len(blind) > 0 THEN blind END AS "chain.blind" FROM chains'
        asked = [one for rule, terms in of_chains for one in _asked(rule, None, terms, held.column)]
        found += _counted(engine, "chain", f"SELECT {columns} FROM ({view})", asked)
        found += _windows(engine, relaxed)
    return Hardness(total, tuple(found))


class _Bits:
    """Tests with a bit each; the same test has one."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def add(self, sql: str) -> int:
        return self._numbers.setdefault(sql, len(self._numbers))

    def column(self, leaf: Leaf) -> str:
        return f"a{self._numbers[leaf.sql]}"

    @property
    def rules(self) -> list[EventRule]:
        return [EventRule(f"test/{number}", sql, reported=False) for sql, number in self._numbers.items()]


def _asked(rule: Rule, base: str | None, terms: Terms, column: Callable[[Leaf], str]) -> Iterator[_Asked]:
    before = f"{base}." if rule.correlation else ""
    whole = terms.sql(column)
    for name, leaf in terms.named().items():
        yield _Asked(rule.stem, before + name, f"({terms.sql(column, [leaf])}) AND NOT ({whole})")
    for name in terms.filters:
        weak = terms.sql(column, terms.of_filter(name))
        yield _Asked(rule.stem, before + name, f"({weak}) AND NOT ({whole})", exempts=True)


def _counted(engine: Engine, unit: str, select: str, asked: Sequence[_Asked]) -> Iterator[Decided]:
    if not asked:
        return
    run = engine.connection.execute
    run(f"CREATE OR REPLACE TEMP TABLE patterns AS SELECT *, count(*) AS n FROM ({select}) GROUP BY ALL")
    sums = ", ".join(f"coalesce(sum(n) FILTER ({one.sql}), 0)::BIGINT" for one in asked)
    row = run(f"SELECT {sums} FROM patterns").fetchone() or ()
    for one, count in zip(asked, row, strict=True):
        yield Decided(one.rule, one.term, unit, one.exempts, count)


@dataclass(frozen=True)
class _Relaxed:
    """A correlation that asks for one thing less; ``term`` is empty for the correlation itself."""

    rule: Rule
    term: str
    correlation: Correlation
    sql: tuple[str, ...]
    exempts: bool = False


def _relaxations(rule: Rule, events: Vocabulary) -> Iterator[_Relaxed]:
    correlation = rule.correlation
    if correlation is None:
        return
    terms = [Terms.of(step.rule, events) for step in correlation.steps]
    plain = tuple(one.sql(_written) for one in terms)
    yield _Relaxed(rule, "", correlation, plain)
    for words, looser in _looser(correlation):
        yield _Relaxed(rule, words, looser, plain)
    for at, (step, one) in enumerate(zip(correlation.steps, terms, strict=True)):
        for name in one.filters:
            weak = one.sql(_written, one.of_filter(name))
            sql = (*plain[:at], weak, *plain[at + 1 :])
            yield _Relaxed(rule, f"{step.name}.{name}", correlation, sql, exempts=True)


def _looser(correlation: Correlation) -> Iterator[tuple[str, Correlation]]:
    if correlation.kind in {"event_count", "value_count"}:
        yield "the number", replace(correlation, least=max(2, correlation.least // 2))
    if correlation.kind == ORDERED:
        yield "the order", replace(correlation, kind="temporal")
    yield "the window", replace(correlation, window_us=correlation.window_us * LONGER)
    names = correlation.steps[0].key
    for at, name in enumerate(names if len(names) > 1 else ()):
        steps = tuple(replace(step, key=step.key[:at] + step.key[at + 1 :]) for step in correlation.steps)
        yield f"group by {name}", replace(correlation, steps=steps)


def _written(leaf: Leaf) -> str:
    return leaf.sql


def _compiled(rule: Rule, correlation: Correlation, sql: Iterable[str], bits: _Bits) -> Compiled:
    return Compiled(rule.stem, correlation, rule.period_sec * MILLION, tuple(bits.add(one) for one in sql))


def _windows(engine: Engine, relaxed: Sequence[_Relaxed]) -> Iterator[Decided]:
    itself: Mapping[str, int] = {one.rule.stem: at for at, one in enumerate(relaxed) if not one.term}
    for at, one in enumerate(relaxed):
        if not one.term:
            continue
        count, keys = engine.connection.execute(
            f"SELECT count(DISTINCT rid), count(DISTINCT key) FROM fires_{at} "
            f"ANTI JOIN fires_{itself[one.rule.stem]} real USING (rid)"
        ).fetchone() or (0, 0)
        yield Decided(one.rule.stem, one.term, "window", one.exempts, count, keys)
