"""The Splunk target: its facts, its rules and its correlations, run by the interpreter and compared with the oracle."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import semantics
import test_correlation
import test_facts
import test_joining
import yaml
from sampling import one_in, shared, usual

from backends.duckdb.target import Sources, judge
from backends.sources import SourceMaps
from backends.splunk.fields import fields_spl
from backends.splunk.register import COLUMNS, lookups
from backends.splunk.target import LACKS, TARGET, VIEWS, macros, views
from backends.target import Inexpressible, Wanted
from backends.vocabulary import Vocabulary
from harness import judging
from harness.case import Bases
from harness.commands.test import block
from harness.engines.spl.judge import Spl
from harness.engines.spl.text import Macro, commands, expanded
from harness.oracle import matches
from harness.paths import Root
from harness.proof import as_written, prove
from harness.ruleset import load_rules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.matrix import Proof, Subject

pytestmark = pytest.mark.xdist_group("splunk")

ROOT = Root.default()
EVENTS, CHAINS = Vocabulary.load(ROOT.event_schema), Vocabulary.load(ROOT.chain_schema)
RULES = {rule.stem: rule for rule in load_rules(ROOT.rules, ROOT.schemas)}
REFUSED_BY_STOCK = json.loads((Path(__file__).parent / "spl" / "stock.json").read_text())


def refusal(stem: str) -> str | None:
    """Why the target refuses a rule of the pack; None if it takes it."""
    rule = RULES[stem]
    try:
        TARGET.compile(Wanted(stem, rule.judged, rule.group_by, rule.period_sec), EVENTS, CHAINS)
    except Inexpressible as refused:
        return str(refused)
    return None


TAKEN = [stem for stem in RULES if refusal(stem) is None]


def sources_of(subjects: list[Subject]) -> Sources:
    """Sources of the maps and of the cases, as `harness.judging` puts them together."""
    maps = SourceMaps.load(ROOT.sources)
    never: dict[str, Any] = {name: source.never for name, source in maps.items()}
    never |= {name: stages for subject in subjects for case in subject.cases for name, stages in case.never.items()}
    return Sources(
        never=tuple((name, stage, tuple(what)) for name, stages in never.items() for stage, what in stages.items()),
        client_ids=tuple((name, key) for name, source in maps.items() for key in sorted(source.client_ids)),
    )


@cache
def subjects() -> list[Subject]:
    found, _, _ = judging.subjects_of(ROOT, ROOT.rules, ())
    return [subject for subject in found if subject.stem in TAKEN]


@cache
def engine() -> Spl:
    return Spl({subject.stem: subject.rule for subject in subjects()}, EVENTS, CHAINS, sources_of(subjects()))


# Facts.


@cache
def judged_facts(register: str) -> tuple[list[str], list[Any], list[Any]]:
    """Of all truth tables that share a register: names of the records, what DuckDB gives, what SPL gives."""
    rows = [row for table in test_facts.ROWS.values() for row in table if row.register == register]
    records = [record for place, row in enumerate(rows) for record in test_facts.as_logged(row, place)]
    tables = json.loads(register)
    with Spl({}, EVENTS, CHAINS, test_facts.SOURCES) as spl:
        mine = spl.judge(records, tables, None).events
    theirs = judge(
        records,
        rules={},
        vocabulary=EVENTS,
        chain_vocabulary=CHAINS,
        register=tables or None,
        sources=test_facts.SOURCES,
    ).events
    return [record["event"]["id"] for record in records], theirs, list(mine)


JOINED = {"chain.id", "chain.id_source"}
"""Compared with the chains."""


@pytest.mark.parametrize("register", shared(test_facts.REGISTERS, 35))
def test_each_fact_is_what_duckdb_says(register: str) -> None:
    wrong = []
    compared = 0
    for name, theirs, mine in zip(*judged_facts(register), strict=True):
        assert (theirs is None) == (mine is None), name
        for field in set(EVENTS.fields) - JOINED:
            compared += 1
            if theirs is not None and (found := test_facts.disagreement(field, theirs.get(field), mine.get(field))):
                wrong.append(f"{name}: {found}")
    assert compared
    assert wrong == []


@pytest.mark.slow
def test_the_tables_tell_every_fact_both_ways() -> None:
    """A view that said nothing would agree with nobody."""
    said: dict[str, set[str]] = {}
    for register in {row.register for table in test_facts.ROWS.values() for row in table}:
        for mine in judged_facts(register)[2]:
            for field in set(EVENTS.derived) - JOINED:
                said.setdefault(field, set()).add(json.dumps(mine.get(field)) if mine else "rejected")
    assert [field for field, values in said.items() if len(values) < 2] == []


def test_the_fields_are_those_of_the_schema() -> None:
    assert (VIEWS / "fields.spl").read_text() == fields_spl(EVENTS)


# Rules.


@cache
def written(least: int) -> dict[str, list[Any]]:
    """Cases as written, of those whose register so many share: stem → (cell, answer)."""
    found: dict[str, list[Any]] = {}
    for cell, answer in as_written(usual(subjects(), least), engine().judge, Bases.honest(), EVENTS):
        found.setdefault(cell.subject.stem, []).append((cell, answer))
    return found


@pytest.mark.parametrize("least", [20, pytest.param(1, marks=pytest.mark.slow)])
def test_each_case_is_what_the_oracle_and_the_case_say(least: int) -> None:
    assert len(written(least)) > len(TAKEN) * 2 / 3
    assert least > 1 or written(least).keys() == set(TAKEN)
    for stem, found in written(least).items():
        for cell, answer in found:
            assert answer.agrees, (stem, cell.case.sentence)
            assert answer.engine == cell.case.fires, (stem, cell.case.sentence)


@cache
def proofs() -> dict[str, Proof]:
    return {proof.stem: proof for proof in prove(subjects(), engine().judge, Bases.honest(), EVENTS)}


@pytest.mark.slow
@pytest.mark.parametrize("stem", TAKEN)
def test_each_variant_is_what_the_oracle_says(stem: str) -> None:
    proof = proofs()[stem]
    told = "\n".join(block(failure).plain for failure in proof.failures[:10])
    assert proof.variants
    assert not proof.failures, f"{len(proof.failures)} of {proof.cells} cells failed\n{told}"


@pytest.mark.parametrize("stem", [s for s in TAKEN if RULES[s].service == "event"][::18])
def test_a_sample_of_variants_is_what_the_oracle_says(stem: str) -> None:
    (subject,) = [subject for subject in subjects() if subject.stem == stem]
    with Spl({stem: subject.rule}, EVENTS, CHAINS, sources_of([subject])) as spl:
        (proof,) = prove([subject], spl.judge, Bases.honest(), EVENTS)
    told = "\n".join(block(failure).plain for failure in proof.failures[:10])
    assert proof.variants
    assert not proof.failures, told


@pytest.mark.parametrize("stem", one_in(6, [stem for stem in TAKEN if RULES[stem].service == "event"]))
def test_the_pasted_query_gives_the_same_hits(stem: str) -> None:
    rule, bases = RULES[stem], Bases.honest()
    query = TARGET.compile(Wanted(stem, rule.judged, rule.group_by, rule.period_sec), EVENTS, CHAINS)
    (subject,) = [subject for subject in subjects() if subject.stem == stem]
    for case in subject.cases:
        records, tables = case.records(bases), case.tables(bases)
        assert engine().pasted(query, records, tables) == engine().judge(records, tables, case.now).event_hits[stem], (
            case.sentence
        )


@pytest.mark.parametrize("stem", one_in(3, [stem for stem in TAKEN if RULES[stem].service == "chain"]))
def test_the_pasted_query_finds_the_same_chains(stem: str) -> None:
    rule, bases = RULES[stem], Bases.honest()
    query = TARGET.compile(Wanted(stem, rule.judged, rule.group_by, rule.period_sec), EVENTS, CHAINS)
    (subject,) = [subject for subject in subjects() if subject.stem == stem]
    for case in subject.cases:
        records, tables = case.records(bases), case.tables(bases)
        found = engine().pasted_chains(query, records, tables, case.now)
        assert found == engine().judge(records, tables, case.now).chain_hits[stem], case.sentence
        assert bool(found) == case.fires, case.sentence


# Chains.


def chains_by_members(events: Sequence[Any], chains: Mapping[str, Any]) -> dict[tuple[int, ...], Any]:
    """Each chain by the places of its records, without the id of one that nothing names: hashes differ by engine."""
    members: dict[str, list[int]] = {}
    for place, event in enumerate(events):
        if event and event.get("chain.id"):
            members.setdefault(event["chain.id"], []).append(place)
    found = {}
    for chain, places in members.items():
        facts = {
            name: sorted(v) if isinstance(v, list) else v for name, v in chains[chain].items() if name in CHAINS.fields
        }
        if facts["chain.id"].startswith("record:"):
            facts["chain.id"] = "record:"
        found[tuple(places)] = facts | {"sources": [events[place]["chain.id_source"] for place in places]}
    return found


@pytest.mark.parametrize("order", one_in(2, ["as written", "reversed"]))
@pytest.mark.parametrize("register", one_in(3, sorted({s.register for s in test_joining.WHOLE})), ids=lambda r: r[:60])
def test_each_chain_is_what_duckdb_says(register: str, order: str) -> None:
    stories = [story for story in test_joining.WHOLE if story.register == register]
    records = [record for place, story in enumerate(stories) for record in story.records(place)]
    if order == "reversed":
        records.reverse()
    theirs = judge(
        records,
        rules={},
        vocabulary=EVENTS,
        chain_vocabulary=CHAINS,
        register=json.loads(register) or None,
        sources=test_joining.SOURCES,
    )
    with Spl({}, EVENTS, CHAINS, test_joining.SOURCES) as spl:
        mine = spl.judge(records, json.loads(register), None)
    expected = chains_by_members(theirs.events, {chain["chain.id"]: chain for chain in theirs.chains})
    assert expected
    assert chains_by_members(mine.events, mine.chains) == expected


# The language.


@cache
def of_semantics() -> list[tuple[str, bool, bool, bool]]:
    """What each row says, what the oracle says, what SPL says: all rows in one data set, each judged by its own rule."""
    rules = {f"r{number}": semantics.rule(detection) for number, (_, detection, _, _) in enumerate(semantics.ROWS)}
    records = [
        {"@timestamp": "2026-05-04T10:00:00Z", "event.id": f"e{number}", **record}
        for number, (_, _, record, _) in enumerate(semantics.ROWS)
    ]
    with Spl(rules, EVENTS, CHAINS, Sources()) as spl:
        verdicts = spl.judge(records, {}, None)
    return [
        (
            what,
            expected,
            matches(rules[f"r{number}"], verdicts.events[number] or {}),
            number in verdicts.event_hits[f"r{number}"],
        )
        for number, (what, _, _, expected) in enumerate(semantics.ROWS)
    ]


@pytest.mark.parametrize("number", range(len(semantics.ROWS)), ids=[what for what, *_ in semantics.ROWS])
def test_a_rule_means_what_sigma_says(number: int) -> None:
    _, expected, oracle, spl = of_semantics()[number]
    assert oracle == expected, "the oracle"
    assert spl == expected


@pytest.mark.parametrize(
    ("detection", "said"),
    [
        ("{selection: [ana], condition: selection}", "name the field"),
        ("{user.nam: x}", "not in the schema"),
        ("{oauth.scope.presented|fieldref: user.name}", "many values"),
        ("{'@timestamp': '2026*'}", "is a time"),
        ("{event.sequence_gap: true}", "only an emitter's records"),
    ],
)
def test_what_splunk_cannot_say_is_refused_in_one_sentence(detection: str, said: str) -> None:
    with pytest.raises(Inexpressible, match=said) as refused:
        TARGET.compile(Wanted("x", semantics.rule(detection)), EVENTS, CHAINS)
    assert "'Semantics'" in str(refused.value)


# Correlations: windows slide; no clock's edge matters.


def correlated(folder: Path, *documents: Any, records: list[Any]) -> set[int]:
    rule = test_correlation.loaded(folder, *documents)
    query = TARGET.compile(Wanted("under_test", rule), EVENTS, CHAINS)
    with Spl({"under_test": rule}, EVENTS, CHAINS, Sources()) as spl:
        hits = set(spl.judge(records, {}, None).event_hits["under_test"])
        assert spl.pasted(query, records, {}) == hits
    theirs = judge(records, rules={"under_test": rule}, vocabulary=EVENTS, chain_vocabulary=CHAINS)
    assert hits == set(theirs.event_hits["under_test"])
    return hits


KINDS: dict[str, tuple[list[str], Mapping[str, Any]]] = {
    "event_count": (["a"], {"condition": {"gte": 3}}),
    "value_count": (["a"], {"condition": {"gte": 3, "field": "gen_ai.tool.name"}}),
    "temporal": (["a", "b", "c"], {}),
    "temporal_ordered": (["a", "b", "c"], {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_attack_that_straddles_any_edge_is_found(kind: str, tmp_path: Path) -> None:
    """Three records within ten seconds, whatever second the first falls on; one more second is too long."""
    names, more = KINDS[kind]
    bases = [test_correlation.base(name, name) for name in names]
    letters = names if len(names) > 1 else ["a", "a", "a"]
    records, expected = [], set()
    for edge in range(12):
        for last in (10, 11):
            for n, (at, letter) in enumerate(zip((0, 5, last), letters, strict=True)):
                told = {"gen_ai.tool.name": f"t{n}", "user.id": f"u{edge}-{last}"}
                records.append(test_correlation.record(len(records), edge + at, letter, **told))
            expected |= {len(records) - 1} if last == 10 else set()
    document = test_correlation.document(kind, names, **more)
    assert correlated(tmp_path, document, *bases, records=records) == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", one_in(6, range(6)))
def test_random_records_are_correlated_as_duckdb_does(kind: str, seed: int, tmp_path: Path) -> None:
    """Few keys, few values, many equal times, records that fit several steps."""
    names, more = KINDS[kind]
    draw = random.Random(seed)  # noqa: S311 - not for secrets
    records = [
        test_correlation.record(
            n,
            draw.choice([draw.randrange(0, 40), draw.randrange(0, 400) / 10]),
            draw.choice(["a", "b", "c", "ab", "bc", "abc"]),
            **{
                "user.id": draw.choice(["ana", "ANA", "bob", None]),
                "gen_ai.tool.name": draw.choice(["x", "y", "Y", "z", "5", "5.0", None]),
            },
        )
        for n in range(60)
    ]
    bases = [test_correlation.base(name, name) for name in names]
    assert correlated(tmp_path, test_correlation.document(kind, names, **more), *bases, records=records)


def test_a_count_beyond_what_splunk_looks_back_is_refused(tmp_path: Path) -> None:
    document = test_correlation.document("event_count", ["a"], condition={"gte": 10_001})
    rule = test_correlation.loaded(tmp_path, document, test_correlation.base("a", "a"))
    with pytest.raises(Inexpressible, match="max_stream_window"):
        TARGET.compile(Wanted("x", rule), EVENTS, CHAINS)


# What is shipped.


def test_every_rule_is_taken_or_refused_with_a_listed_reason() -> None:
    for stem in set(RULES) - set(TAKEN):
        said = refusal(stem)
        assert said
        assert any(name in said for name in LACKS), said


@pytest.mark.parametrize("stem", TAKEN)
def test_a_query_names_its_index_and_its_time(stem: str) -> None:
    rule = RULES[stem]
    query = TARGET.compile(Wanted(stem, rule.judged, rule.group_by, rule.period_sec), EVENTS, CHAINS)
    first = commands(query)[0]
    assert first.startswith("search `countersign_index` earliest=-")
    assert " latest=" in first


def test_each_lookup_of_a_view_is_one_that_the_register_makes() -> None:
    made = lookups({})
    assert set(made) == set(COLUMNS)
    known = {name: Macro(text, arguments) for name, (text, arguments) in macros(views()).items()}
    for macro in views():
        if macro == "macros.conf":
            continue
        for command in commands(expanded(f"`{macro}`", known)):
            if command.startswith("lookup "):
                assert command.split()[1] in COLUMNS


def test_a_comment_cannot_be_ended_by_what_it_says() -> None:
    assert TARGET.comment("a ``` | delete ```").count("```") == 2


# The stock command with our pipeline.


def converted(paths: list[str]) -> subprocess.CompletedProcess[str]:
    command = [
        Path(sys.executable).parent / "sigma",
        "convert",
        "-s",
        "-t",
        "splunk",
        "-p",
        "backends/splunk/pipeline.yml",
        *paths,
    ]
    return subprocess.run(command, cwd=ROOT.path, capture_output=True, text=True, check=False)


def test_the_stock_command_converts_the_pack() -> None:
    paths = {str(rule.path.relative_to(ROOT.path)): rule for rule in RULES.values()}
    done = converted([path for path, rule in paths.items() if rule.stem not in REFUSED_BY_STOCK])
    assert done.returncode == 0, done.stderr[-2000:]
    queries = [
        query
        for query in done.stdout.split("search `countersign_index` earliest=-")[1:]
        if "countersign_events" in query
    ]
    assert len(queries) == len(RULES) - len(REFUSED_BY_STOCK)


@pytest.mark.parametrize("stem", REFUSED_BY_STOCK)
def test_what_the_stock_command_refuses_is_listed(stem: str) -> None:
    done = converted([str(RULES[stem].path.relative_to(ROOT.path))])
    assert done.returncode != 0
    assert REFUSED_BY_STOCK[stem]["says"] in done.stderr


def test_the_pipeline_is_one() -> None:
    assert yaml.safe_load((VIEWS.parent / "pipeline.yml").read_text())["name"]
