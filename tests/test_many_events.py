"""Facts over many events: of a generated log with attacks in it, each engine says of each event and chain what DuckDB says.

The truth tables say what a fact is; here the same is asked of the records that an organisation writes in a week, where ids,
people and tokens meet as nobody drew them up. With the organisation's register and without.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from sampling import engines

from backends.register import Register
from backends.sources import SourceMaps
from backends.vocabulary import Vocabulary
from generator.attacks import attacks
from harness.commands.generate import command
from harness.engines.listed import ENGINES
from harness.judging import sources_of
from harness.paths import Root
from harness.ruleset import load_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from backends.duckdb.target import Sources
    from backends.vocabulary import Field
    from harness.case import Tables
    from harness.matrix import Verdicts

ROOT = Root.default()
EVENTS, CHAINS = Vocabulary.load(ROOT.event_schema), Vocabulary.load(ROOT.chain_schema)
JOINED = {"chain.id", "chain.id_source"}
"""What joining says of an event: compared with the chains."""

EMITTERS = {"event.sequence_gap", "event.hash_broken"}
"""What only an emitter's records together say: no view of one event has it."""

LACKING = {"opensearch2": EMITTERS, "opensearch3": EMITTERS, "elastic": EMITTERS}
"""Facts of an event that an engine says it lacks."""

WITHOUT_CHAINS = {"opensearch2", "opensearch3"}
ASKED_BY_A_RULE = {"spark", "kql"}
"""Engines that build the chain view where a rule is of chains."""

COMPARED = [name for name in ENGINES if name not in {"duckdb", "lucene"}]
FEW, MANY = 400, 20_000


class Log:
    """A generated log, as parsed records, with its register's tables and what its source maps say."""

    def __init__(self, folder: Path, events: int) -> None:
        places = [("-o", "log.jsonl"), ("--register-out", "register"), ("--sources-out", "sources")]
        outputs = [part for option, name in places for part in (option, str(folder / name))]
        # every attack where there is room for it; else a few of all chapters
        chosen = "all" if events == MANY else ",".join(islice(attacks(), 0, None, 5))
        options = ("--events", str(events), "--attacks", chosen, "--attack-rate", "0.05", "--seed", "7")
        done = CliRunner().invoke(command, [*outputs, *options], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        # some are delivered twice: a scan takes these for one record, a node gives each an id of its own
        self.records = [json.loads(line) for line in dict.fromkeys(lines)]
        self.tables: Tables = dict(Register.load(folder / "register").tables)
        self.sources: Sources = sources_of([], SourceMaps.load(ROOT.sources, folder / "sources"))

    @cache  # noqa: B019 - one log a session
    def judged(self, engine: str, *, chains: bool) -> tuple[Verdicts, Verdicts]:
        """What an engine says of it, with the register and without."""
        rules = {}
        if chains and engine in ASKED_BY_A_RULE:
            of_chains = (rule for rule in load_rules(ROOT.rules, ROOT.schemas) if rule.service == "chain")
            rules = {rule.stem: rule.judged for rule in islice(of_chains, 1)}
        with ENGINES[engine].start(rules, EVENTS, CHAINS, self.sources) as running:
            with_register = running.judge(self.records, self.tables, None)
            return with_register, running.judge(self.records, {}, None)


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return Log(tmp_path_factory.mktemp("few"), FEW)


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return Log(tmp_path_factory.mktemp("many"), MANY)


@pytest.mark.parametrize(
    "engine", engines(COMPARED, slow={"spark", "kql", "opensearch2"})
)  # the first two plan for half a minute
def test_each_fact_of_a_few_hundred_events_is_what_duckdb_says(few: Log, engine: str) -> None:
    same(few, engine, chains=engine not in {*WITHOUT_CHAINS, "kql"})  # whose chain view takes a minute to plan


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("engine", engines(COMPARED))
def test_each_fact_of_many_events_is_what_duckdb_says(many: Log, engine: str) -> None:
    same(many, engine, chains=engine not in WITHOUT_CHAINS)


def same(log: Log, engine: str, *, chains: bool) -> None:
    facts = set(EVENTS.derived) - JOINED - LACKING.get(engine, set())
    wrong = []
    both = log.judged(engine, chains=chains), log.judged("duckdb", chains=True)
    for register, mine, theirs in zip(("with the register", "without"), *both, strict=True):
        assert [event is None for event in mine.events] == [event is None for event in theirs.events]
        found = [*differences(mine, theirs, facts), *(chain_differences(mine, theirs) if chains else ())]
        wrong += [f"{register}: {one}" for one in found]
    assert wrong == [], f"{len(wrong)} facts differ"


def differences(mine: Verdicts, theirs: Verdicts, names: set[str]) -> Iterator[str]:
    for place, (one, other) in enumerate(zip(mine.events, theirs.events, strict=True)):
        for name in sorted(names):
            found = [value_of(EVENTS.fields[name], record) for record in (one or {}, other or {})]
            if found[0] != found[1]:
                yield f"record {place}: {name} is {found[0][1]!r}, DuckDB says {found[1][1]!r}"


def chain_differences(mine: Verdicts, theirs: Verdicts) -> Iterator[str]:
    found = [by_members(verdicts) for verdicts in (mine, theirs)]
    for members in found[0].keys() ^ found[1].keys():
        yield f"records {members} are a chain {'here' if members in found[0] else 'in DuckDB'} alone"
    for members in found[0].keys() & found[1].keys():
        for name, (one, other) in {n: [f[members][n] for f in found] for n in found[0][members]}.items():
            if one != other:
                yield f"chain of {members}: {name} is {one!r}, DuckDB says {other!r}"


def by_members(verdicts: Verdicts) -> dict[tuple[int, ...], dict[str, Any]]:
    """Each chain by the places of its records; of one that nothing names the id is a hash, which differs by engine."""
    members: dict[str, list[int]] = {}
    for place, event in enumerate(verdicts.events):
        if event and event.get("chain.id"):
            members.setdefault(event["chain.id"], []).append(place)
    assert members.keys() == verdicts.chains.keys()
    found = {}
    for chain, places in members.items():
        facts: dict[str, Any] = {name: value_of(field, verdicts.chains[chain]) for name, field in CHAINS.fields.items()}
        facts["chain.id"] = "record:" if chain.startswith("record:") else chain
        facts["sources"] = [(verdicts.events[place] or {}).get("chain.id_source") for place in places]
        found[tuple(places)] = facts
    return found


def value_of(field: Field, record: Mapping[str, Any]) -> tuple[bool, Any]:
    """A field's value without what does not matter: a list's order, a time's spelling. True is not 1."""
    value = record.get(field.name)
    if isinstance(value, list):
        value = sorted(value)
    elif value is not None and field.kind == "time":
        value = datetime.fromisoformat(value).astimezone(UTC)
    return isinstance(value, bool), value


# What is compared says something: what is null everywhere is equal everywhere.

UNTOLD = {
    *("chain.actor.contradicts", "chain.permission_mode.loosened", "event.hash_broken", "event.sequence_gap"),
    *("mcp.header.match", "oauth.act.permitted", "oauth.client.first_seen", "oauth.issuer.match"),
    *("oauth.scope.all_offered", "oauth.token.forwarded"),
}
"""Facts that the generator's organisation gives no occasion for: of these the truth tables alone tell."""


def quiet(log: Log) -> set[str]:
    said, _ = log.judged("duckdb", chains=True)
    found = {name for name in EVENTS.derived if all((event or {}).get(name) is None for event in said.events)}
    return found | {name for name in CHAINS.fields if all(chain.get(name) is None for chain in said.chains.values())}


def test_a_few_hundred_events_tell_of_most_facts(few: Log) -> None:
    assert len(quiet(few)) < 15


@pytest.mark.slow
def test_many_events_tell_of_every_fact_but_those_listed(many: Log) -> None:
    assert quiet(many) == UNTOLD
