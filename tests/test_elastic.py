"""The Elastic and Lucene targets: an Elasticsearch node runs what they compile, beside the oracle.

Facts have tests of their own (test_elastic_events.py), chains too (test_elastic_chain.py). Marked slow: all variants.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import random_correlations
import semantics
from test_sentinel import CORRELATIONS, straddling

from backends.duckdb.target import Sources, judge
from backends.elastic.esql import Unreadable, columns, parse, quoted, sliced, string, tokens, written
from backends.elastic.target import LATE, TARGET
from backends.lucene.target import TARGET as LUCENE
from backends.sources import SourceMaps
from backends.target import Inexpressible, Wanted, load
from harness.case import Bases
from harness.commands.test import block
from harness.correlating import fires
from harness.engines.elastic import Elastic, Lucene
from harness.judging import sources_of, subjects_of
from harness.oracle import matches
from harness.paths import Root
from harness.proof import as_written, prove

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.matrix import Subject

pytestmark = pytest.mark.xdist_group("elastic")

ROOT = Root.default()
EVERY, EVENTS, CHAINS = subjects_of(ROOT, ROOT.rules)
SOURCES = sources_of(EVERY, SourceMaps.load(ROOT.sources))
SINGLE = [subject for subject in EVERY if not subject.of_chains]


def wanted(subject: Subject) -> Wanted:
    return Wanted(subject.stem, subject.rule)


def in_words_of_lucene(subject: Subject) -> bool:
    try:
        LUCENE.compile(wanted(subject), EVENTS, CHAINS)
    except Inexpressible:
        return False
    return True


QUERIED = [subject for subject in EVERY if in_words_of_lucene(subject)]


@pytest.fixture(scope="session")
def node() -> Iterator[Elastic]:
    with Elastic({s.stem: s.rule for s in SINGLE}, EVENTS, CHAINS, SOURCES) as started:
        yield started


# The language, as text.


def test_words_in_texts_comments_and_functions_are_no_columns() -> None:
    said = 'CASE(a.b == "c | // d", `e f`, TO_LOWER(@timestamp)) // g\n IN ("h") AND i > NOW() - 5 minutes :: long'
    assert columns(tokens(said)) == {"a.b", "e f", "@timestamp", "i"}


def test_a_query_holds_what_is_read_and_nothing_else() -> None:
    view = """// head
| EVAL
    x = a + 1,
    // why
    y = x * 2,
    z = b
| LOOKUP JOIN countersign-servers ON z
| RENAME cr_uri AS uri, cr_other AS other
| EVAL unread = y
| STATS most = MAX(y), least = MIN(uri) BY k
"""
    commands = parse(view, {"countersign-servers": ["z", "cr_uri", "cr_other"]})
    assert written(sliced(commands, ["most"])) == (
        "// head\n| EVAL\n    x = a + 1,\n    // why\n    y = x * 2\n| STATS most = MAX(y) BY k\n"
    )
    whole = written(sliced(commands, ["most", "least"]))
    assert "| LOOKUP JOIN countersign-servers ON z" in whole
    assert "cr_other" not in whole
    assert "unread" not in whole


def test_a_command_that_is_not_known_is_refused() -> None:
    with pytest.raises(Unreadable, match="ENRICH"):
        parse("| ENRICH policy")
    with pytest.raises(Unreadable, match="begins with a command"):
        parse("FROM x | LIMIT 1")


def test_a_text_or_a_name_ends_no_literal() -> None:
    assert string('a"\\\n') == '"a\\"\\\\\\n"'
    assert quoted("a.b") == "a.b"
    assert quoted("a`|b") == "`a``|b`"


def test_what_is_written_reads_the_same_again() -> None:
    for name, text in TARGET.views.items():
        if name.endswith(".esql"):
            commands = parse(text)
            assert parse(written(commands)) == commands, name


# What is compiled.


def test_every_rule_is_expressible_and_bounded_in_time() -> None:
    assert load("elastic") is TARGET
    for subject in EVERY:
        query = TARGET.compile(wanted(subject), EVENTS, CHAINS)
        first, second, *_ = query.splitlines()
        assert first == "FROM countersign-events METADATA _id, _index, _version", subject.stem
        assert re.fullmatch(
            r"\| WHERE @timestamp >= NOW\(\) - \d+ minutes AND @timestamp < NOW\(\) - \d+ minutes", second
        )
        assert query.rstrip().endswith("| LIMIT 10000"), "ES|QL stops at 1,000 rows in silence"


def test_a_rule_on_what_is_sent_reads_no_register() -> None:
    (subject,) = [s for s in EVERY if s.stem == "static_api_key"]
    assert "LOOKUP JOIN" not in TARGET.compile(wanted(subject), EVENTS, CHAINS)


@pytest.mark.parametrize(
    ("detection", "said"),
    [
        ("{selection: [ana], condition: selection}", "name the field"),
        ("{user.nam: x}", "not in the schema"),
        ("{oauth.scope.presented|fieldref: user.name}", "many values"),
        ("{event.sequence_gap: true}", "only an emitter's records"),
        ("{user.name|re: 'a(b|^c)d'}", "has an anchor within"),
        ("{oauth.scope.presented|cidr: 10.0.0.0/8}", "many values"),
    ],
)
def test_what_esql_cannot_say_is_refused_in_one_sentence(detection: str, said: str) -> None:
    with pytest.raises(Inexpressible, match=said) as refused:
        TARGET.compile(Wanted("x", semantics.rule(detection)), EVENTS, CHAINS)
    assert "'Semantics'" in str(refused.value)


def test_lucene_is_offered_for_rules_that_read_what_is_sent() -> None:
    assert {"static_api_key", "token_in_url"} <= {subject.stem for subject in QUERIED}
    derived = {name for name, field in EVENTS.fields.items() if field.derived}
    assert all(not subject.fields & derived for subject in QUERIED)
    for subject in EVERY:
        if subject not in QUERIED:
            with pytest.raises(Inexpressible, match="-t elastic"):
                LUCENE.compile(wanted(subject), EVENTS, CHAINS)


# Rules, on the node.


def of_events(node: Elastic, subjects: list[Subject]) -> None:
    cells = 0
    for cell, answer in as_written(subjects, node.judge, Bases.honest(), EVENTS):
        cells += 1
        assert answer.agrees, (cell.subject.stem, cell.case.sentence)
        assert answer.engine == cell.case.fires, (cell.subject.stem, cell.case.sentence)
    assert cells == sum(len(subject.cases) for subject in subjects)


def test_each_case_of_a_rule_on_events_without_a_register_of_its_own_has_the_verdict_of_the_oracle(
    node: Elastic,
) -> None:
    """A few data sets: each costs a query of seconds, and most registers have one case."""
    plain = [replace(s, cases=tuple(c for c in s.cases if c.register is None)) for s in SINGLE]
    of_events(node, [s for s in plain if s.cases])


@pytest.mark.slow
def test_each_case_of_a_rule_on_events_has_the_verdict_of_the_oracle(node: Elastic) -> None:
    of_events(node, SINGLE)


def of_chains(subjects: list[Subject]) -> int:
    """Every case of rules on chains: the oracle's verdict on the node's own chains, and what is expected."""
    cells = 0
    with Elastic({s.stem: s.rule for s in subjects}, EVENTS, CHAINS, SOURCES) as started:
        for cell, answer in as_written(subjects, started.judge, Bases.honest(), EVENTS):
            cells += 1
            assert answer.agrees, (cell.subject.stem, cell.case.sentence)
            assert answer.engine == cell.case.fires, (cell.subject.stem, cell.case.sentence)
    return cells


def test_each_case_of_a_rule_on_chains_without_a_register_of_its_own_has_the_verdict_of_the_oracle() -> None:
    """Few data sets: to plan a chain query takes seconds."""
    plain = [replace(s, cases=tuple(c for c in s.cases if c.register is None)) for s in EVERY if s.of_chains]
    assert of_chains([s for s in plain if s.cases]) > 100


@pytest.mark.slow
def test_each_case_of_a_rule_on_chains_has_the_verdict_of_the_oracle() -> None:
    chosen = [s for s in EVERY if s.of_chains]
    assert of_chains(chosen) == sum(len(subject.cases) for subject in chosen)


def of_one(subject: Subject, engine: type[Elastic | Lucene]) -> None:
    with engine({subject.stem: subject.rule}, EVENTS, CHAINS, SOURCES) as started:
        (proof,) = prove([subject], started.judge, Bases.honest(), EVENTS)
    told = "\n".join(block(failure).plain for failure in proof.failures[:10])
    assert proof.variants
    assert not proof.failures, f"{len(proof.failures)} of {proof.cells} cells failed\n{told}"


@pytest.mark.slow
@pytest.mark.parametrize("subject", EVERY, ids=lambda subject: subject.stem)
def test_each_variant_is_what_the_oracle_says(subject: Subject) -> None:
    of_one(subject, Elastic)


@pytest.mark.parametrize("subject", SINGLE[::24], ids=lambda subject: subject.stem)
def test_a_sample_of_variants_is_what_the_oracle_says(subject: Subject) -> None:
    of_one(subject, Elastic)


@pytest.mark.parametrize("subject", QUERIED, ids=lambda subject: subject.stem)
def test_each_variant_is_what_the_oracle_says_in_lucenes_words(subject: Subject) -> None:
    of_one(subject, Lucene)


def test_the_pasted_query_of_each_rule_gives_the_same_hits(node: Elastic) -> None:
    """Over one data set: a firing case of each rule whose case needs no register."""
    bases, records = Bases.honest(), []
    for subject in SINGLE:
        case = next((c for c in subject.cases if c.fires and not c.tables(bases)), None)
        records += case.records(bases) if case and len(case.records(bases)) < 20 else []
    verdicts = node.judge(records, {}, None)
    fired = 0
    for subject in SINGLE:
        rows = node.pasted(TARGET.compile(wanted(subject), EVENTS, CHAINS))
        assert {int(row["_id"]) for row in rows} == set(verdicts.event_hits[subject.stem]), subject.stem
        fired += bool(rows)
    assert fired > 8


@pytest.mark.parametrize("engine", [Elastic, Lucene], ids=lambda engine: engine.__name__)
def test_a_rule_means_what_sigma_says(engine: type[Elastic | Lucene]) -> None:
    rules = {f"r{number}": semantics.rule(detection) for number, (_, detection, _, _) in enumerate(semantics.ROWS)}
    if engine is Lucene:  # no register moves a person here, so user.* is what was sent
        rules = {name: rule for name, rule in rules.items() if name in Lucene.sayable(rules, EVENTS)}
        assert len(rules) > len(semantics.ROWS) // 2
    records = [
        {"@timestamp": "2026-05-04T10:00:00Z", "event.id": f"e{number}", **record}
        for number, (_, _, record, _) in enumerate(semantics.ROWS)
    ]
    with engine(rules, EVENTS, CHAINS, Sources()) as started:
        verdicts = started.judge(records, {}, None)
    wrong = []
    for number, (what, _, _, expected) in enumerate(semantics.ROWS):
        if f"r{number}" not in rules:
            continue
        assert matches(rules[f"r{number}"], verdicts.events[number] or {}) == expected, what
        if (number in verdicts.event_hits[f"r{number}"]) != expected:
            wrong.append(what)
    assert wrong == []


# Correlations: windows slide; no edge matters.


def test_a_window_slides_over_every_edge() -> None:
    records = straddling()
    with Elastic(CORRELATIONS, EVENTS, CHAINS, Sources()) as started:
        verdicts = started.judge(records, {}, None)
        for name, one in CORRELATIONS.items():
            said = {number for number, fired in enumerate(fires(one, verdicts.events)) if fired}
            assert verdicts.event_hits[name] == said, name
            assert said, name
            rows = started.pasted(TARGET.compile(Wanted(name, one), EVENTS, CHAINS))
            assert {int(row["_id"]) for row in rows} == said, name


def test_random_records_are_correlated_as_duckdb_does(tmp_path: Path) -> None:
    rules, records = random_correlations.rules(tmp_path), random_correlations.records(11, 200)
    with Elastic(rules, EVENTS, CHAINS, Sources()) as started:
        mine = started.judge(records, {}, None).event_hits
    theirs = judge(records, rules=rules, vocabulary=EVENTS, chain_vocabulary=CHAINS).event_hits
    for kind in rules:
        assert mine[kind] == set(theirs[kind]), kind
        assert mine[kind], kind


# The stock command.


def converted(target: str, pipeline: str, *paths: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "sigma"), "convert", "-s", "-t", target]
    return subprocess.run(
        [*command, "-p", f"backends/{pipeline}/pipeline.yml", *paths],
        cwd=ROOT.path,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("target", "pipeline"), [("esql", "elastic"), ("lucene", "lucene")])
def test_stock_sigma_convert_takes_the_pipeline(target: str, pipeline: str) -> None:
    done = converted(target, pipeline, *sorted(str(path) for path in ROOT.rules.rglob("mcp_*.yml")))
    assert done.returncode == 0, done.stderr[-2000:]
    if target == "esql":
        assert "from countersign-events metadata" in done.stdout.lower()


def test_facts_of_several_records_are_refused() -> None:
    assert "event.sequence_gap" in LATE
