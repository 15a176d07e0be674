"""The Elastic chain view: every chain fact of the joining stories is what DuckDB says, run on Elasticsearch itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import test_joining
from sampling import one_in

from backends.duckdb.target import judge
from backends.elastic.eager import eager
from backends.elastic.esql import parse, written
from backends.elastic.inline import lowered
from backends.elastic.register import SHAPES
from backends.elastic.target import VIEWS
from backends.vocabulary import Vocabulary
from harness.engines.elastic import Elastic
from harness.paths import Root

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

pytestmark = pytest.mark.xdist_group("elastic")

ROOT = Root.default()
EVENTS, CHAINS = Vocabulary.load(ROOT.event_schema), Vocabulary.load(ROOT.chain_schema)


@pytest.fixture(scope="module")
def engine() -> Iterator[Elastic]:
    with Elastic({}, EVENTS, CHAINS, test_joining.SOURCES) as engine:
        yield engine


def by_members(events: Sequence[Any], chains: Mapping[str, Any]) -> dict[tuple[int, ...], Any]:
    """Each chain by the places of its records, without the id of one that nothing names: hashes differ by engine."""
    members: dict[str, list[int]] = {}
    for place, event in enumerate(events):
        if event and event.get("chain.id"):
            members.setdefault(event["chain.id"], []).append(place)
    found: dict[tuple[int, ...], Any] = {}
    for chain, places in members.items():
        facts: dict[str, Any] = {
            name: sorted(v) if isinstance(v, list) else v for name, v in chains[chain].items() if name in CHAINS.fields
        }
        if facts["chain.id"].startswith("record:"):
            facts["chain.id"] = "record:"
        found[tuple(places)] = facts | {"sources": [events[place]["chain.id_source"] for place in places]}
    return found


@pytest.mark.parametrize("order", one_in(2, ["as written", "reversed"]))
@pytest.mark.parametrize("register", one_in(6, sorted({s.register for s in test_joining.WHOLE})), ids=lambda r: r[:60])
def test_each_chain_is_what_duckdb_says(engine: Elastic, register: str, order: str) -> None:
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
    mine = engine.judge(records, json.loads(register), None)
    expected = by_members(theirs.events, {chain["chain.id"]: chain for chain in theirs.chains})
    assert expected
    assert by_members(mine.events, mine.chains) == expected


# The translation.

SMALL = """
| EVAL cs_rid = a, cs_main_is = b == "x", cs_shown_text = c, cs_many_n = d
| INLINE STATS cs_least = MIN(cs_many_n) BY cs_key
| EVAL cs_twice = cs_least * 2, cs_more = cs_least + cs_many_n
| INLINE STATS cs_most = MAX(cs_more) BY cs_rid
| WHERE cs_main_is
| EVAL out = CONCAT(cs_shown_text, TO_STRING(cs_most), TO_STRING(cs_twice))
"""


def test_what_is_lowered_holds_no_inline_stats() -> None:
    chain = parse(VIEWS["chain.esql"], SHAPES)
    assert any(command.kind == "INLINE STATS" for command in chain)
    assert not any(command.kind == "INLINE STATS" for command in lowered(chain, CHAINS.fields))


def test_rows_are_packed_for_a_group_and_unpack_with_their_types() -> None:
    text = written(lowered(parse(SMALL), {"out"}))
    assert "cs_row = VALUES(cs_row)" in text
    assert "| MV_EXPAND cs_row" in text
    assert "TO_LONG(" in text


def test_what_reads_aggregates_only_is_said_once_a_group() -> None:
    kinds = [(command.kind, set(command.writes)) for command in lowered(parse(SMALL), {"out"})]
    at = next(place for place, (kind, writes) in enumerate(kinds) if kind == "EVAL" and "cs_twice" in writes)
    assert kinds[at - 1][0] == "STATS"
    assert kinds[at + 1][0] == "MV_EXPAND"


def test_what_only_the_main_row_needs_stays_with_it() -> None:
    text = written(lowered(parse(SMALL), {"out"}))
    packed = text[text.index("cs_rest = CASE(cs_main_is") : text.index("| STATS")]
    assert "cs_shown_text" in text.split("cs_rest = CASE(cs_main_is")[0]
    assert "cs_shown_text" not in packed


def test_what_nobody_reads_is_not_carried() -> None:
    assert "cs_twice" not in written(lowered(parse(SMALL), {"cs_most"}))


@pytest.mark.parametrize(
    ("expression", "made"),
    [
        ("CASE(a == 1, b)", "| EVAL x = CASE(a == 1, b)\n"),
        (
            'CASE(a == 1, b, a == 2, "c", d)',
            '| EVAL\n    cs_x_1 = CASE(a == 2, "c", d),\n    x = CASE(a == 1, b, cs_x_1)\n',
        ),
        ("CASE(a == 1, f(b))", "| EVAL\n    cs_x_1 = f(b),\n    x = CASE(a == 1, cs_x_1)\n"),
        ('f(COALESCE(g(a), ""))', '| EVAL\n    cs_x_1 = g(a),\n    x = f(COALESCE(cs_x_1, ""))\n'),
        (
            "CASE(NOT (a AND b), CASE(c, d, e))",
            "| EVAL\n    cs_x_1 = CASE(c, d, e),\n    x = CASE(NOT (a AND b), cs_x_1)\n",
        ),
    ],
)
def test_a_choice_is_between_columns_and_literals(expression: str, made: str) -> None:
    assert written(eager(parse(f"| EVAL x = {expression}"))) == made
