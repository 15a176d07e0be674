"""The OpenSearch target: nodes of 2 and 3 ingest by the pipeline and search by the monitors' queries, beside DuckDB."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import random_correlations
import semantics
import test_facts
from sampling import shared
from sigma.types import SigmaRegularExpression, SigmaRegularExpressionFlag
from test_sentinel import CORRELATIONS, straddling

from backends.duckdb.target import Sources, judge
from backends.opensearch.expression import lucene
from backends.opensearch.target import REQUEST, TARGET
from backends.sources import SourceMaps
from backends.target import Inexpressible, Wanted, load
from harness.case import Bases
from harness.commands.test import block
from harness.correlating import fires
from harness.engines.opensearch import OpenSearch, OpenSearch3
from harness.judging import Embedded, sources_of, subjects_of
from harness.oracle import matches
from harness.paths import Root
from harness.proof import as_written, prove

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.matrix import Subject

pytestmark = pytest.mark.xdist_group("opensearch")

ROOT = Root.default()
EVERY, EVENTS, CHAINS = subjects_of(ROOT, ROOT.rules)
SOURCES = sources_of(EVERY, SourceMaps.load(ROOT.sources))
SUBJECTS = [subject for subject in EVERY if not subject.of_chains]
FACTS = sorted(set(EVENTS.fields) - {"chain.id", "chain.id_source", "event.sequence_gap", "event.hash_broken"})
"""All but what joining says."""

PRODUCTS = [OpenSearch, OpenSearch3]


@pytest.fixture(scope="session", params=PRODUCTS, ids=lambda product: product.__name__)
def node(request: pytest.FixtureRequest) -> Iterator[OpenSearch]:
    with request.param({s.stem: s.rule for s in SUBJECTS}, EVENTS, CHAINS, SOURCES) as started:
        yield started


# What is shipped.


def test_a_monitor_is_refused_for_chains_alone() -> None:
    assert load("opensearch") is TARGET
    for subject in EVERY:
        wanted = Wanted(subject.stem, subject.rule)
        if subject.of_chains:
            with pytest.raises(Inexpressible, match="a monitor joins no records"):
                TARGET.compile(wanted, EVENTS, CHAINS)
            continue
        request = TARGET.compile(wanted, EVENTS, CHAINS)
        monitor = json.loads(request.removeprefix(REQUEST))
        (asked,) = monitor["inputs"]
        assert asked["search"]["indices"] == ["countersign-events"]
        (time, _) = asked["search"]["query"]["query"]["bool"]["filter"]
        assert set(time["range"]["@timestamp"]) == {"gte", "lte", "format"}, "a search of all the index"


@pytest.mark.parametrize(
    ("detection", "said"),
    [
        ("{selection: [ana], condition: selection}", "name the field"),
        ("{user.nam: x}", "not in the schema"),
        ("{oauth.scope.presented|fieldref: user.name}", "many values"),
        ("{event.sequence_gap: true}", "only an emitter's records"),
        ("{'@timestamp': '2026*'}", "is a time"),
        ("{user.name|cidr: 10.0.0.0/8}", "not stored as an address"),
        ("{user.name|re: 'a(b|^c)d'}", "has an anchor within"),
    ],
)
def test_what_a_monitor_cannot_say_is_refused_in_one_sentence(detection: str, said: str) -> None:
    with pytest.raises(Inexpressible, match=said) as refused:
        TARGET.compile(Wanted("x", semantics.rule(detection)), EVENTS, CHAINS)
    assert "'Semantics'" in str(refused.value)


@pytest.mark.parametrize(
    ("pattern", "flags", "written"),
    [
        ("a", (), "(.|\n)*(a)(.|\n)*"),
        ("^a$", (), "(a)"),
        ("^a|b$", (), "(a)(.|\n)*|(.|\n)*(b)"),
        ("(^|&)a=", (), "(a=)(.|\n)*|(.|\n)*(\\&a=)(.|\n)*"),
        ("^b", (SigmaRegularExpressionFlag.MULTILINE,), "((.|\n)*\n)?(b)(.|\n)*"),
        ("a.b", (), "(.|\n)*(a[^\n]b)(.|\n)*"),
        ("[]a]", (), "(.|\n)*([\\]a])(.|\n)*"),
        (r"\x41\t", (), "(.|\n)*(A\t)(.|\n)*"),
        ("é", (SigmaRegularExpressionFlag.IGNORECASE,), "(.|\n)*([Éé])(.|\n)*"),
    ],
)
def test_a_regular_expression_is_one_of_lucenes(
    pattern: str, flags: tuple[SigmaRegularExpressionFlag, ...], written: str
) -> None:
    assert lucene("x", SigmaRegularExpression(pattern, set(flags)))[0] == written


# Facts and rules.


def test_a_sample_of_cases_has_the_facts_of_duckdb_and_the_verdict_of_the_oracle(node: OpenSearch) -> None:
    compare(node, SUBJECTS[6 * isinstance(node, OpenSearch3) :: 18])


@pytest.mark.slow
def test_each_case_has_the_facts_of_duckdb_and_the_verdict_of_the_oracle(node: OpenSearch) -> None:
    compare(node, SUBJECTS)


def test_each_case_of_some_rules_has_the_verdict_of_the_oracle(node: OpenSearch) -> None:
    """On each release of others; the slow test above asks all of both."""
    chosen = SUBJECTS[isinstance(node, OpenSearch3) :: 4]
    cells = 0
    for cell, answer in as_written(chosen, node.judge, Bases.honest(), EVENTS):
        cells += 1
        assert answer.agrees, (cell.subject.stem, cell.case.sentence)
        assert answer.engine == cell.case.fires, (cell.subject.stem, cell.case.sentence)
    assert cells == sum(len(subject.cases) for subject in chosen)


def compare(node: OpenSearch, subjects: list[Subject]) -> None:
    wrong: list[str] = []
    compared = 0
    with Embedded({}, EVENTS, CHAINS, SOURCES) as embedded:

        def judged(records: Any, tables: Any, now: Any) -> Any:
            nonlocal compared
            mine = node.judge(records, tables, now)
            for own, other in zip(mine.events, embedded.judge(records, tables, now).events, strict=True):
                assert (own is None) == (other is None)
                for name in FACTS:
                    compared += 1
                    said = test_facts.disagreement(name, (other or {}).get(name), (own or {}).get(name))
                    wrong.extend([said] if said else [])
            return mine

        cells = 0
        for cell, answer in as_written(subjects, judged, Bases.honest(), EVENTS):
            cells += 1
            assert answer.agrees, (cell.subject.stem, cell.case.sentence)
            assert answer.engine == cell.case.fires, (cell.subject.stem, cell.case.sentence)
    assert wrong == []
    assert cells == sum(len(subject.cases) for subject in subjects)
    assert compared > cells


@pytest.mark.parametrize("register", shared(test_facts.REGISTERS, 35))
def test_each_fact_is_what_duckdb_says(register: str) -> None:
    rows = [row for table in test_facts.ROWS.values() for row in table if row.register == register]
    records = [record for place, row in enumerate(rows) for record in test_facts.as_logged(row, place)]
    tables = json.loads(register)
    with OpenSearch({}, EVENTS, CHAINS, test_facts.SOURCES) as started:
        mine = started.judge(records, tables, None).events
    theirs = judge(
        records,
        rules={},
        vocabulary=EVENTS,
        chain_vocabulary=CHAINS,
        register=tables or None,
        sources=test_facts.SOURCES,
    ).events
    wrong = []
    for record, own, other in zip(records, mine, theirs, strict=True):
        assert (own is None) == (other is None), record
        told = [test_facts.disagreement(name, (other or {}).get(name), (own or {}).get(name)) for name in FACTS]
        wrong += [f"{record['event']['id']}: {said}" for said in told if said]
    assert wrong == []
    assert any(mine)


def of_one(subject: Subject) -> None:
    with OpenSearch({subject.stem: subject.rule}, EVENTS, CHAINS, SOURCES) as started:
        (proof,) = prove([subject], started.judge, Bases.honest(), EVENTS)
    told = "\n".join(block(failure).plain for failure in proof.failures[:10])
    assert proof.variants
    assert not proof.failures, f"{len(proof.failures)} of {proof.cells} cells failed\n{told}"


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.stem)
def test_each_variant_is_what_the_oracle_says(subject: Subject) -> None:
    of_one(subject)


@pytest.mark.parametrize("subject", SUBJECTS[::12], ids=lambda subject: subject.stem)
def test_a_sample_of_variants_is_what_the_oracle_says(subject: Subject) -> None:
    of_one(subject)


def test_the_pasted_query_of_each_rule_gives_the_same_hits(node: OpenSearch) -> None:
    """Over one data set: a firing case of each rule whose case needs no register."""
    bases, records = Bases.honest(), []
    for subject in SUBJECTS:
        case = next((c for c in subject.cases if c.fires and not c.tables(bases)), None)
        records += case.records(bases) if case and len(case.records(bases)) < 20 else []
    verdicts = node.judge(records, {}, None)
    fired = 0
    for subject in SUBJECTS:
        if subject.correlates:
            continue
        hits = node.pasted(TARGET.compile(Wanted(subject.stem, subject.rule), EVENTS, CHAINS))
        assert hits == set(verdicts.event_hits[subject.stem]), subject.stem
        fired += bool(hits)
    assert fired > 8


def test_a_rule_means_what_sigma_says(node: OpenSearch) -> None:
    rules = {f"r{number}": semantics.rule(detection) for number, (_, detection, _, _) in enumerate(semantics.ROWS)}
    records = [
        {"@timestamp": "2026-05-04T10:00:00Z", "event.id": f"e{number}", **record}
        for number, (_, _, record, _) in enumerate(semantics.ROWS)
    ]
    with type(node)(rules, EVENTS, CHAINS, Sources()) as started:
        verdicts = started.judge(records, {}, None)
    wrong = []
    for number, (what, _, _, expected) in enumerate(semantics.ROWS):
        assert matches(rules[f"r{number}"], verdicts.events[number] or {}) == expected, what
        if (number in verdicts.event_hits[f"r{number}"]) != expected:
            wrong.append(what)
    assert wrong == []


def test_a_record_of_a_wrong_type_is_refused_and_the_others_are_not(node: OpenSearch) -> None:
    time = {"@timestamp": "2026-05-04T10:00:00Z"}
    records = [
        {**time, "user": {"name": "ana"}},
        {**time, "http": {"response": {"status_code": "many"}}},
        {"user": {"name": "ana"}},
        {**time, "user.name": "bob"},
    ]
    assert [event is not None for event in node.judge(records, {}, None).events] == [True, False, False, True]


# Correlations: windows slide; no bucket's edge matters.


def test_a_window_slides_over_every_edge(node: OpenSearch) -> None:
    records = straddling()
    with type(node)(CORRELATIONS, EVENTS, CHAINS, Sources()) as started:
        verdicts = started.judge(records, {}, None)
    for name, one in CORRELATIONS.items():
        said = {number for number, fired in enumerate(fires(one, verdicts.events)) if fired}
        assert verdicts.event_hits[name] == said, name
        assert said, name


def test_random_records_are_correlated_as_duckdb_does(tmp_path: Path) -> None:
    rules, records = random_correlations.rules(tmp_path), random_correlations.records(11, 200)
    with OpenSearch(rules, EVENTS, CHAINS, Sources()) as started:
        mine = started.judge(records, {}, None).event_hits
    theirs = judge(records, rules=rules, vocabulary=EVENTS, chain_vocabulary=CHAINS).event_hits
    for kind in rules:
        assert mine[kind] == set(theirs[kind]), kind
        assert mine[kind], kind


# The stock command.


def converted(*paths: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "sigma"), "convert", "-s", "-t", "opensearch_lucene"]
    return subprocess.run(
        [*command, "-p", "backends/opensearch/pipeline.yml", *paths],
        cwd=ROOT.path,
        capture_output=True,
        text=True,
        check=False,
    )


def test_stock_sigma_convert_takes_the_pipeline() -> None:
    paths = sorted(str(path) for path in ROOT.rules.rglob("mcp_*.yml"))
    done = converted(*paths)
    assert done.returncode == 0, done.stderr[-2000:]
    queries = [line for line in done.stdout.splitlines() if ":" in line]
    assert len(queries) == len(paths)


def test_stock_sigma_convert_has_no_correlations() -> None:
    for path in sorted(ROOT.rules.rglob("correlation_mcp_*.yml")):
        assert "does not support correlation" in converted(str(path)).stderr, path.name
