"""The Spark target: Spark itself runs the committed views and the compiled rules, beside DuckDB and the oracle."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import random_correlations
import semantics
import test_facts
import yaml
from sampling import shared, usual
from test_sentinel import CORRELATIONS, straddling

from backends.duckdb.target import Sources, judge
from backends.sources import SourceMaps
from backends.spark.target import TARGET, VIEWS
from backends.spark.translate import java
from backends.spark.views import scripts
from backends.target import Inexpressible, Wanted, load
from harness.case import Bases
from harness.commands.test import block
from harness.correlating import fires
from harness.engines.spark import Spark
from harness.judging import sources_of, subjects_of
from harness.oracle import matches
from harness.paths import Root
from harness.proof import as_written, prove

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sigma.rule import SigmaRule

    from backends.correlation import Correlation
    from harness.case import Tables
    from harness.matrix import Subject, Verdicts

pytestmark = pytest.mark.xdist_group("spark")

ROOT = Root.default()
SUBJECTS, EVENTS, CHAINS = subjects_of(ROOT, ROOT.rules)
SOURCES = sources_of(SUBJECTS, SourceMaps.load(ROOT.sources))
STEMS = [subject.stem for subject in SUBJECTS]


def wanted(subject: Subject) -> Wanted:
    return Wanted(subject.stem, subject.rule)


@pytest.fixture(scope="session")
def everything() -> Iterator[Spark]:
    with Spark({s.stem: s.rule for s in SUBJECTS}, EVENTS, CHAINS, SOURCES) as spark:
        yield spark


# What is shipped.


def test_the_committed_views_are_those_of_the_schema() -> None:
    made = scripts(EVENTS)
    assert set(made) == set(VIEWS)
    for name, text in made.items():
        assert VIEWS[name] == text, f"{name} is stale: python -m backends.spark"


def test_the_target_takes_every_rule() -> None:
    assert load("spark") is TARGET
    for subject in SUBJECTS:
        query = TARGET.compile(wanted(subject), EVENTS, CHAINS)
        assert "BETWEEN countersign_since AND countersign_until" in query, "a query that would read all of the table"


@pytest.mark.parametrize(
    ("detection", "said"),
    [
        ("{selection: [ana], condition: selection}", "name the field"),
        ("{user.nam: x}", "not in the schema"),
        ("{oauth.scope.presented|fieldref: user.name}", "many values"),
        ("{event.sequence_gap: true}", "only an emitter's records"),
    ],
)
def test_what_spark_cannot_say_is_refused_in_one_sentence(detection: str, said: str) -> None:
    with pytest.raises(Inexpressible, match=said) as refused:
        TARGET.compile(Wanted("x", semantics.rule(detection)), EVENTS, CHAINS)
    assert "'Semantics'" in str(refused.value)


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        ("a$", r"(?d)a\z"),
        ("(?m)a$", "(?dm)a$"),
        ("(?i)é", "(?dui)é"),
        ("[a&&b]", r"(?d)[a\&\&b]"),
        ("[[]x", r"(?d)[\[]x"),
        ("[]a]", r"(?d)[\]a]"),
        ("[^]$]$", r"(?d)[^\]$]\z"),
        (r"a\$", r"(?d)a\$"),
    ],
)
def test_a_regular_expression_is_one_of_javas(pattern: str, written: str) -> None:
    assert java(pattern) == written


# Facts.


FACTS = sorted(set(EVENTS.fields) - {"chain.id", "chain.id_source", "event.sequence_gap", "event.hash_broken"})
"""All but what joining says, which is compared where chains are."""


@pytest.mark.parametrize("register", shared(test_facts.REGISTERS, 60))
def test_each_fact_is_what_duckdb_says(register: str) -> None:
    rows = [row for table in test_facts.ROWS.values() for row in table if row.register == register]
    records = [record for place, row in enumerate(rows) for record in test_facts.as_logged(row, place)]
    tables = json.loads(register)
    with Spark({}, EVENTS, CHAINS, test_facts.SOURCES) as spark:
        mine = spark.judge(records, tables, None).events
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


# Rules.


def test_each_case_of_the_event_rules_is_what_oracle_and_case_say() -> None:
    """Cases that share the usual registers; each of the others has a data set of its own, and runs with the slow tests."""
    subjects = [s for s in SUBJECTS if not s.of_chains]
    with Spark({s.stem: s.rule for s in subjects}, EVENTS, CHAINS, SOURCES) as spark:
        check(spark, usual(subjects, 100), pasted=subjects[::8])


def test_each_case_of_the_chain_rules_is_what_oracle_and_case_say(everything: Spark) -> None:
    subjects = [s for s in SUBJECTS if s.of_chains][::4]
    check(everything, usual(subjects, 20), pasted=subjects)


@pytest.mark.slow
def test_every_case_is_what_oracle_and_case_say(everything: Spark) -> None:
    check(everything, SUBJECTS)


def check(spark: Spark, subjects: list[Subject], pasted: Sequence[Subject] = ()) -> None:
    """Judge each case; over the same data sets run the query of some rules as `compile` writes it."""
    fired, turn = set(), threading.Lock()

    def judged(records: Sequence[dict[str, Any]], tables: Tables, now: datetime | None) -> Verdicts:
        with turn:  # a pasted query is asked of the data set that was judged last
            verdicts = spark.judge(records, tables, now)
            fired.update(subject.stem for subject in pasted if hits_of_the_pasted(spark, subject, verdicts))
            return verdicts

    cells = 0
    for cell, answer in as_written(subjects, judged, Bases.honest(), EVENTS):
        cells += 1
        assert answer.agrees, (cell.subject.stem, cell.case.sentence)
        assert answer.engine == cell.case.fires, (cell.subject.stem, cell.case.sentence)
    assert cells == sum(len(subject.cases) for subject in subjects)
    assert len(fired) >= len(pasted) / 2, "too few for the pasted queries to say much"


def hits_of_the_pasted(spark: Spark, subject: Subject, verdicts: Verdicts) -> set[Any]:
    """What a rule's query finds in the data set that was judged last; it must be what was judged."""
    query = TARGET.compile(wanted(subject), EVENTS, CHAINS)
    column, said = (
        ("chain.id", verdicts.chain_hits) if subject.of_chains else ("countersign_place", verdicts.event_hits)
    )
    hits = spark.pasted(query, column)
    assert hits == set(said[subject.stem]), subject.stem
    return hits


@pytest.mark.slow
@pytest.mark.parametrize("stem", STEMS)
def test_each_variant_is_what_the_oracle_says(stem: str) -> None:
    (subject,) = [s for s in SUBJECTS if s.stem == stem]
    with Spark({stem: subject.rule}, EVENTS, CHAINS, SOURCES) as spark:
        (proof,) = prove([subject], spark.judge, Bases.honest(), EVENTS)
    told = "\n".join(block(failure).plain for failure in proof.failures[:10])
    assert proof.variants
    assert not proof.failures, f"{len(proof.failures)} of {proof.cells} cells failed\n{told}"


@pytest.mark.slow
def test_the_pasted_query_of_each_rule_gives_the_same_hits(everything: Spark) -> None:
    """Over one data set: a firing case of each rule whose case needs no register, one chain beside the other."""
    bases, records = Bases.honest(), []
    for subject in SUBJECTS:
        case = next((c for c in subject.cases if c.fires and not c.tables(bases) and c.now is None), None)
        records += case.records(bases) if case and len(case.records(bases)) < 20 else []
    verdicts = everything.judge(records, {}, None)
    assert sum(bool(hits_of_the_pasted(everything, subject, verdicts)) for subject in SUBJECTS) > 30


# The language and correlations: one data set, since Spark plans for seconds whatever it judges.


@dataclass(frozen=True)
class Language:
    """Rows of the language's table, records around the edges of windows, and random ones, judged by the rules of all three.

    Attributes:
        records: those of the rows come first, one each.
        random: the rules that count random records.
    """

    rules: dict[str, SigmaRule | Correlation]
    random: list[str]
    records: list[dict[str, Any]]
    verdicts: Verdicts


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Language:
    random = random_correlations.rules(tmp_path_factory.mktemp("random"))
    rules = {f"r{number}": semantics.rule(detection) for number, (_, detection, _, _) in enumerate(semantics.ROWS)}
    assert not {*rules, *CORRELATIONS} & set(random)
    rules |= CORRELATIONS | random
    records = [
        {"@timestamp": "2026-05-04T10:00:00Z", "event.id": f"e{number}", **record}
        for number, (_, _, record, _) in enumerate(semantics.ROWS)
    ]
    records += [*straddling(), *random_correlations.records(7, 300)]
    with Spark(rules, EVENTS, CHAINS, Sources()) as spark:
        return Language(rules, list(random), records, spark.judge(records, {}, None))


def test_a_rule_means_what_sigma_says(language: Language) -> None:
    wrong = []
    for number, (what, _, _, expected) in enumerate(semantics.ROWS):
        assert matches(language.rules[f"r{number}"], language.verdicts.events[number] or {}) == expected, what
        if (number in language.verdicts.event_hits[f"r{number}"]) != expected:
            wrong.append(what)
    assert wrong == []


def test_a_window_slides_over_every_edge(language: Language) -> None:
    for name, one in CORRELATIONS.items():
        said = {number for number, fired in enumerate(fires(one, language.verdicts.events)) if fired}
        assert language.verdicts.event_hits[name] == said, name
        assert said, name


def test_random_records_are_correlated_as_duckdb_does(language: Language) -> None:
    rules = {name: language.rules[name] for name in language.random}
    theirs = judge(language.records, rules=rules, vocabulary=EVENTS, chain_vocabulary=CHAINS).event_hits
    for kind in rules:
        assert language.verdicts.event_hits[kind] == set(theirs[kind]), kind
        assert theirs[kind], kind


# A cluster: workers in processes of their own, tables on disk, the scripts as they stand.

CLUSTER = """
import sys
from dataclasses import replace
from backends.sources import SourceMaps
from harness.engines import spark as runner
from harness.judging import sources_of, subjects_of
from harness.case import Bases
from harness.paths import Root
from harness.proof import as_written

root = Root.default()
subjects, events, chains = subjects_of(root, root.rules, sys.argv[1:])
runner.session("local-cluster[2,1,1024]")
bases = Bases.honest()
with runner.Spark({s.stem: s.rule for s in subjects}, events, chains, sources_of(subjects, SourceMaps.load(root.sources))) as spark:
    subjects = [replace(s, cases=tuple(next(c for c in s.cases if c.fires is one) for one in (True, False))) for s in subjects]
    for cell, answer in as_written(subjects, spark.judge, bases, events):
        print("VERDICT", cell.subject.stem, cell.case.fires, answer.engine)
"""


@pytest.mark.parametrize(
    "stem", ["token_for_other_audience", pytest.param("user_changed_along_chain", marks=pytest.mark.slow)]
)
def test_a_cluster_of_two_workers_gives_the_same_verdicts(stem: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLUSTER, stem], cwd=ROOT.path, capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("VERDICT")]
    assert len(said) == 2
    for rule, expected, got in said:
        assert (rule, expected) == (stem, got)


# The stock command.


def converted(*paths: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "sigma"), "convert", "-s", "-t", "databricks"]
    return subprocess.run(
        [*command, "-p", "backends/spark/pipeline.yml", *paths],
        cwd=ROOT.path,
        capture_output=True,
        text=True,
        check=False,
    )


def test_stock_sigma_convert_takes_the_pipeline() -> None:
    paths = sorted(str(path) for path in ROOT.rules.rglob("mcp_*.yml"))
    done = converted(*paths)
    queries = [line for line in done.stdout.splitlines() if line.startswith("SELECT * FROM countersign_")]
    assert len(queries) == len(paths) == len([s for s in SUBJECTS if not s.correlates])
    assert all("``" not in query for query in queries)


def test_stock_sigma_convert_has_no_correlations() -> None:
    for path in sorted(ROOT.rules.rglob("correlation_mcp_*.yml")):
        done = converted(str(path))
        assert "SELECT" not in done.stdout, path.name
        assert "does not support correlation" in done.stderr + done.stdout, path.name


def test_the_pipeline_names_every_field() -> None:
    pipeline = yaml.safe_load((ROOT.path / "backends" / "spark" / "pipeline.yml").read_text())
    mapping = pipeline["transformations"][0]["mapping"]
    assert mapping == {name: f"`{name}`" for name in [*EVENTS.fields, *CHAINS.fields]}
