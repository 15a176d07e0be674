"""The stock backends' verdicts beside ours: converted with the project's pipelines, run, and compared case by case."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from backends.sources import SourceMaps
from harness import stock
from harness.case import Bases
from harness.engine_matrix import EQUAL, Matrix, Stand, run
from harness.engines.kql import Binder, Kql
from harness.engines.listed import ENGINES
from harness.engines.spl.search import PLACES, condition, piped
from harness.engines.spl.values import Unknown
from harness.judging import sources_of, subjects_of
from harness.matrix_page import html, markdown
from harness.paths import Root
from harness.stock import NOT_RUN, REFUSED, STOCK, Said, compared, converted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.matrix import Subject

ROOT = Root.default()
SUBJECTS, EVENTS, CHAINS = subjects_of(ROOT, ROOT.rules)
SOURCES = sources_of(SUBJECTS, SourceMaps.load(ROOT.sources))
BY_STEM = {subject.stem: subject for subject in SUBJECTS}
CORRELATED = {subject.stem for subject in SUBJECTS if subject.correlates}


# The commands of stock Splunk searches, by Splunk's documentation.


@pytest.mark.parametrize(
    ("clause", "row", "holds"),
    [
        ("a=x", {"a": "X"}, True),
        ('a="x*z"', {"a": "xyyz"}, True),
        ('a="x.z"', {"a": "xyz"}, False),
        ("a=x", {"a": ["w", "x"]}, True),
        ("a=x", {}, False),
        ("NOT a=x", {}, True),
        ("a=*", {"a": "w"}, True),
        ("a=*", {}, False),
        ("NOT a=*", {}, True),
        ("a=5", {"a": "5.0"}, True),
        ("a>=10", {"a": "9"}, False),
        ("a>=10", {"a": "10"}, True),
        ("a>=10", {}, False),
        ("a IN (x, -5)", {"a": "-5"}, True),
        ('a IN ("x", "y")', {"a": "z"}, False),
        # Search Manual, "Boolean expressions": parentheses, NOT, OR, then AND
        ("a=1 OR b=1 c=1", {"a": "1"}, False),
        ("a=1 OR b=1 c=1", {"a": "1", "c": "1"}, True),
        ("a=1 OR (b=1 c=1)", {"a": "1"}, True),
        ("a=1 AND b=1 OR c=1", {"c": "1"}, False),
        ("NOT a=1 OR b=1", {"a": "1", "b": "1"}, True),
        ("NOT (a=1 OR b=1)", {"b": "1"}, False),
        ("* a=1", {"a": "1"}, True),
    ],
)
def test_a_search_means_what_its_page_says(clause: str, row: dict[str, Any], holds: bool) -> None:  # noqa: FBT001
    assert condition(clause)(row) is holds


@pytest.mark.parametrize("clause", ["", "a", "a=x)", "(a=x", "a!=x", r'a="x\\y"', "a>x"])
def test_any_other_search_raises(clause: str) -> None:
    with pytest.raises(Unknown):
        condition(clause)


def test_records_are_counted_by_span_and_group() -> None:
    times = {0: 299, 1: 300, 2: 301}
    rows = [{"_place": place, "_time": at, "u": "ana", "t": f"t{place}"} for place, at in times.items()]
    rows.append({"_place": 3, "_time": 301, "t": "t0"})  # a row that lacks the field is in no group
    found = piped(rows, ["bin _time span=5m", "stats dc(t) as n by _time u"])
    assert found == [
        {"_time": 0, "u": "ana", "n": 1, PLACES: [0]},
        {"_time": 300, "u": "ana", "n": 2, PLACES: [1, 2]},
    ]
    assert piped(found, ["search n >= 2"]) == found[1:]
    assert rows[0]["_time"] == 299, "the rows that were given are left as they were"


def test_a_named_group_with_a_flag_matches() -> None:
    rows = [{"u": "https://x/?TOKEN=1"}, {"u": "https://x/"}, {}]
    command = r'rex field=u "(?<hit>(?i)[?&](token|key)=[^&])"'
    assert [row.get("hit") for row in piped(rows, [command])] == ["?TOKEN=1", None, None]


def test_a_command_that_no_stock_search_has_raises() -> None:
    with pytest.raises(Unknown, match="transaction"):
        piped([], ["transaction u"])


# What is converted.


@pytest.mark.parametrize("name", STOCK)
def test_each_rule_is_converted_or_refused_with_a_reason(name: str) -> None:
    made = converted(SUBJECTS, STOCK[name])
    assert set(made.queries) | set(made.refused) == set(BY_STEM)
    assert not set(made.queries) & set(made.refused)
    assert all(made.refused.values())
    assert all(query.of_chains is BY_STEM[stem].of_chains for stem, query in made.queries.items())


def test_what_the_stock_backends_refuse() -> None:
    refused = {name: set(converted(SUBJECTS, one).refused) for name, one in STOCK.items()}
    assert refused["spl"] == {"service_identity_acts_for_many", "scope_escalated_without_consent"}
    assert refused["kql"] == refused["spark"] == CORRELATED
    assert refused["elastic"] == {"scope_escalated_without_consent"}
    assert refused["lucene"] == refused["opensearch2"] == CORRELATED


def test_the_rules_are_left_as_they_were() -> None:
    before = [str(part.to_dict()) for subject in SUBJECTS for part in subject.parts]
    converted(SUBJECTS, STOCK["kql"])
    assert [str(part.to_dict()) for subject in SUBJECTS for part in subject.parts] == before


@pytest.fixture(scope="session")
def binder() -> Binder:
    return Binder(ROOT.path / ".cache" / "kql", EVENTS)


# What is run: on each engine, rules without chains in the quick run.


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_splunks_fixed_spans_miss_what_lies_across_an_edge(every: int) -> None:
    asked = [s for at, s in enumerate(SUBJECTS) if s.stem in CORRELATED or at % every == 0]
    with ENGINES["spl"].start({s.stem: s.rule for s in asked}, EVENTS, CHAINS, SOURCES) as running:
        said = compared(asked, STOCK["spl"], running, Bases.honest(), EVENTS)
    assert set(said) == {s.stem for s in asked}
    counted = CORRELATED - {stem for stem, one in said.items() if one.word == REFUSED}
    assert {stem for stem, one in said.items() if one.others} == counted
    for stem in counted:
        fires = {case.sentence: case.fires for case in BY_STEM[stem].cases}
        assert all(fires[sentence] for sentence in said[stem].others), "missed, and nothing found beside"
    assert {one.word for stem, one in said.items() if stem not in CORRELATED} == {stock.EQUAL}
    assert all(one.cells == len(BY_STEM[stem].cases) for stem, one in said.items() if one.word != REFUSED)


FEW = ("static_api_key", "tool_call_without_prompt", "argument_names_other_user")
"""A rule on keywords alone, one with an array under NOT, and one on a boolean."""


@pytest.mark.xdist_group("kql")
def test_on_sentinel_booleans_do_not_bind_and_an_array_matches_nothing(binder: Binder) -> None:
    cases = {stem: tuple(c for c in BY_STEM[stem].cases if c.register is None) for stem in FEW}
    subjects = [replace(BY_STEM[stem], cases=cases[stem]) for stem in FEW]
    with Kql({}, EVENTS, CHAINS, SOURCES) as running:
        said = compared(subjects, STOCK["kql"], running, Bases.honest(), EVENTS)
    assert said["static_api_key"].word == stock.EQUAL
    fires = {case.sentence: case.fires for case in BY_STEM["tool_call_without_prompt"].cases}
    assert said["tool_call_without_prompt"].others
    assert not any(fires[sentence] for sentence in said["tool_call_without_prompt"].others), "the exception is not seen"
    assert said["argument_names_other_user"].word == NOT_RUN
    # duckdb-kql is not alone in refusing it: Microsoft's own binder does
    queries = converted([BY_STEM[stem] for stem in FEW], STOCK["kql"]).queries
    answers = dict(zip(queries, binder.check([query.text for query in queries.values()]), strict=True))
    assert [stem for stem, (messages, _) in answers.items() if messages] == ["argument_names_other_user"]
    assert "types bool and bool" in answers["argument_names_other_user"][0][0]


@pytest.mark.xdist_group("spark")
def test_on_spark_null_stays_null_under_not_and_an_array_is_no_text() -> None:
    """Cases without a register of their own: each register costs Spark seconds."""
    stems = ("static_api_key", "tool_call_without_prompt", "call_past_the_proxy")
    subjects = [replace(s, cases=tuple(c for c in s.cases if c.register is None)) for s in map(BY_STEM.get, stems) if s]
    with ENGINES["spark"].start({}, EVENTS, CHAINS, SOURCES) as running:
        said = compared(subjects, STOCK["spark"], running, Bases.honest(), EVENTS)
    assert said["static_api_key"].word == stock.EQUAL
    assert said["tool_call_without_prompt"].word == NOT_RUN
    assert '"ARRAY<STRING>"' in said["tool_call_without_prompt"].why
    fires = {case.sentence: case.fires for case in BY_STEM["call_past_the_proxy"].cases}
    assert said["call_past_the_proxy"].others
    assert all(fires[sentence] for sentence in said["call_past_the_proxy"].others), "missed: NOT of null is null"


@pytest.mark.xdist_group("elastic")
def test_on_elasticsearch_letter_case_counts_null_stays_null_and_an_array_matches_nothing() -> None:
    stems = ("static_api_key", "tool_call_without_prompt", "call_past_the_proxy", "unauthorized_burst")
    subjects = [replace(s, cases=tuple(c for c in s.cases if c.register is None)) for s in map(BY_STEM.get, stems) if s]
    with ENGINES["elastic"].start({}, EVENTS, CHAINS, SOURCES) as running:
        said = compared(subjects, STOCK["elastic"], running, Bases.honest(), EVENTS)
    assert said["static_api_key"].others == ("The source writes the scheme in capital letters.",)
    for stem in ("tool_call_without_prompt", "call_past_the_proxy", "unauthorized_burst"):
        fires = {case.sentence: case.fires for case in BY_STEM[stem].cases}
        assert said[stem].others
        assert all(fires[sentence] for sentence in said[stem].others), "missed: NOT of null is null, and fixed buckets"


@pytest.mark.xdist_group("elastic")
def test_in_lucenes_words_letter_case_counts_without_a_normaliser() -> None:
    with ENGINES["lucene"].start({}, EVENTS, CHAINS, SOURCES) as running:
        said = compared([BY_STEM["static_api_key"]], STOCK["lucene"], running, Bases.honest(), EVENTS)
    assert said["static_api_key"].others == ("The source writes the scheme in capital letters.",)


@pytest.mark.xdist_group("opensearch")
def test_on_opensearch_the_stock_query_string_is_right_where_the_template_folds_case() -> None:
    with ENGINES["opensearch2"].start({}, EVENTS, CHAINS, SOURCES) as running:
        said = compared([BY_STEM["static_api_key"]], STOCK["opensearch2"], running, Bases.honest(), EVENTS)
    assert said["static_api_key"].word == stock.EQUAL


class Wrong:
    """A runner whose queries leave everything, nothing, or do not run."""

    def __init__(self, running: Any) -> None:
        del running

    def left(self, queries: Any, records: Sequence[Any], tables: Any, now: Any) -> Any:
        """All places for one rule, none for another, and a third that does not run."""
        del tables, now
        every_place = set(range(len(records)))
        return (
            {
                stem: every_place if stem == "static_api_key" else set()
                for stem in queries
                if stem != "tool_outside_grant"
            },
            {"tool_outside_grant": "no such column"} if "tool_outside_grant" in queries else {},
        )


def test_wrong_verdicts_and_queries_that_do_not_run_are_told() -> None:
    wrong = replace(STOCK["spl"], runner=(__name__, "Wrong"))
    stems = ("static_api_key", "tool_outside_grant", "unscoped_tool_call")
    subjects: list[Subject] = [BY_STEM[stem] for stem in stems]
    with ENGINES["spl"].start({}, EVENTS, CHAINS, SOURCES) as running:
        said = compared(subjects, wrong, running, Bases.honest(), EVENTS)
    quiet = tuple(case.sentence for case in BY_STEM["static_api_key"].cases if not case.fires)
    firing = tuple(case.sentence for case in BY_STEM["unscoped_tool_call"].cases if case.fires)
    assert sorted(said["static_api_key"].others) == sorted(quiet)
    assert sorted(said["unscoped_tool_call"].others) == sorted(firing)
    assert said["tool_outside_grant"] == Said(NOT_RUN, "no such column")


# In the matrix and on its pages.


def test_the_matrix_tells_of_the_stock_backend() -> None:
    matrix = run(ROOT, [ENGINES["spl"]], Bases.honest(), selectors=("unauthorized_burst", "static_api_key"), one_in=0)
    by_stem = {stand.stem: stand for stand in matrix.stands}
    assert by_stem["static_api_key"].stock == Said(stock.EQUAL, "", len(BY_STEM["static_api_key"].cases))
    assert by_stem["unauthorized_burst"].stock
    assert by_stem["unauthorized_burst"].stock.others
    assert all(stand.state == EQUAL for stand in matrix.stands), "ours is right where the stock one is not"
    page = markdown(matrix, [])
    count = len(BY_STEM["unauthorized_burst"].cases)
    assert f"(stock: 1 of {count} differ)" in page
    assert "| Splunk | `pysigma-backend-splunk` | 1 | 1 | 0 | 0 |" in page
    assert by_stem["unauthorized_burst"].stock.others[0] in page
    assert f"(stock: 1 of {count} differ)" in html(matrix)


def test_reasons_stand_together_and_an_engine_without_a_stock_backend_is_left_out() -> None:
    refused = Said(REFUSED, "no correlations")
    stands = [Stand(stem, "kql", EQUAL, 1, stock=refused) for stem in ("a", "b")]
    page = markdown(Matrix([ENGINES["duckdb"], ENGINES["kql"]], [*stands, Stand("a", "duckdb", EQUAL, 1)]), [])
    assert "- **Sentinel**, refused: no correlations (a, b)" in page
    assert "| DuckDB | `" not in page
    assert "stock backends make" not in markdown(Matrix([ENGINES["duckdb"]], [Stand("a", "duckdb", EQUAL, 1)]), [])
