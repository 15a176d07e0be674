"""What joins a chain, and what the chain then says, against hand-written stories (``tests/joining/``).

A story's records hold dotted names; ``expect.chains`` names, for every chain, its records by index, its id (text, or
``{"record": index}`` for a record that nothing places), its ``id_source``, the ``sources`` of its records one by one,
and those facts that matter. Stories are told side by side in one data set, each with ids and ten days of its own.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from backends.concepts import CONCEPTS, bits
from backends.duckdb.target import Sources, judge
from backends.vocabulary import Vocabulary
from harness.paths import Root

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

pytestmark = pytest.mark.xdist_group("joining")

ROOT = Root.default()
VOCABULARY = Vocabulary.load(ROOT.event_schema)
CHAIN_VOCABULARY = Vocabulary.load(ROOT.chain_schema)
# Made-up sources: a gateway that never logs prompts and takes its correlation id from the client, one that takes even
# the prompt id from it, and one that can carry no correlation id.
SOURCES = Sources(
    never=(
        ("gateway", "tool_call", ("prompt",)),
        ("no_ids", "decision", ("correlation",)),
        ("no_ids", "tool_call", ("correlation",)),
    ),
    client_ids=(("gateway", "transaction.id"), ("caller", "chain.prompt.id")),
)
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}

# Values of these fields are made a story's own, so that two stories may both say "t-1".
IDS = {
    "chain.prompt.id",
    "trace.id",
    "transaction.id",
    "gen_ai.tool.call.id",
    "gen_ai.conversation.id",
    "oauth.token.hash",
    "oauth.token.id",
    "oauth.token.parent_id",
    "http.request.id",
    "span.id",
    "span.parent_id",
}

ORDERS: dict[str, Callable[[Sequence[int]], list[int]]] = {
    "as written": list,
    "two files": lambda places: [*places[1::2], *places[::2]],
    "reversed": lambda places: list(reversed(places)),
    "two files the other way": lambda places: [*places[::2], *places[1::2]],
}


@dataclass(frozen=True)
class Story:
    """One story: what happened, what joins, and why."""

    theme: str
    number: int
    told: dict[str, Any]

    @property
    def name(self) -> str:
        """What pytest prints."""
        return f"{self.theme} {self.number}: {self.told['story']}"

    @property
    def register(self) -> str:
        """The register's tables as text, by which stories are told together."""
        return json.dumps(self.told.get("register", {}), sort_keys=True)

    def own(self, text: str) -> str:
        """An id made this story's own; all zeros are no id and stay."""
        return f"{self.theme}{self.number}.{text}" if text.strip("0-") else text

    def time(self, offset: str, place: int) -> datetime:
        """``+5m`` into the story."""
        number, unit = re.fullmatch(r"\+(\d+)([smh])", offset).groups()  # type: ignore[union-attr]
        return BEGINNING + timedelta(days=10 * place) + timedelta(**{UNITS[unit]: int(number)})

    def records(self, place: int) -> list[dict[str, Any]]:
        """The records as a source would log them, with dotted keys."""
        return [
            {
                "@timestamp": self.time(record["at"], place).isoformat().replace("+00:00", "Z"),
                "event.id": f"{self.theme}/{self.number}/{index}",
                **{
                    name: self.own(value) if name in IDS and isinstance(value, str) else value
                    for name, value in record["set"].items()
                },
            }
            for index, record in enumerate(self.told["records"])
        ]


STORIES = [
    Story(path.stem, number, told)
    for path in sorted((ROOT.path / "tests" / "joining").glob("*.json"))
    for number, told in enumerate(json.loads(path.read_text())["stories"], 1)
]
WHOLE = [story for story in STORIES if "until" not in story.told]
SETTLING = [story for story in STORIES if "until" in story.told]


RARE = 6
"""Stories that share a register, below which the quick run reads them in one order: each register is a data set by itself."""

SHARED = Counter(story.register for story in WHOLE)
ORDERED = [
    pytest.param(
        story,
        order,
        marks=[pytest.mark.slow] * (at % 2 or (at > 0 and SHARED[story.register] < RARE)),
        id=f"{order}-{story.name}",
    )
    for at, order in enumerate(ORDERS)
    for story in WHOLE
]


@dataclass(frozen=True)
class Told:
    """A story as judged: its events in the story's order, and the chains by id and first record."""

    events: list[Mapping[str, Any]]
    chains: list[Mapping[str, Any]]


@cache
def judged(register: str, order: str) -> dict[str, Told]:
    """All stories that share a register, judged in one call, their records in one of several orders."""
    stories = [story for story in WHOLE if story.register == register]
    records = [(story.name, record) for place, story in enumerate(stories) for record in story.records(place)]
    places = ORDERS[order](range(len(records)))
    judgement = judge(
        [records[place][1] for place in places],
        rules={},
        register=json.loads(register) or None,
        vocabulary=VOCABULARY,
        chain_vocabulary=CHAIN_VOCABULARY,
        sources=SOURCES,
    )
    by_place = dict(zip(places, judgement.events, strict=True))
    told: dict[str, Told] = {story.name: Told([], []) for story in stories}
    for place, (name, _) in enumerate(records):
        event = by_place[place]
        assert event is not None, f"{name}: {judgement.rejected}"
        told[name].events.append(event)
    for name, tale in told.items():
        mine = {event["chain.id"] for event in tale.events if event.get("chain.id")}
        told[name] = Told(tale.events, [chain for chain in judgement.chains if chain["chain.id"] in mine])
    return told


def parted(events: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """Which records share a chain, in the order of their first record."""
    chains: dict[Any, list[int]] = {}
    for index, event in enumerate(events):
        chains.setdefault(event.get("chain.id"), []).append(index)
    return list(chains.values())


def wrongs(expected: Any, got: Any) -> bool:
    """Whether a chain's fact differs from what the story says."""
    if isinstance(expected, dict):
        return not set(expected["has"]) <= set(got or ()) or bool(set(expected["lacks"]) & set(got or ()))
    return bool(expected != got) or isinstance(expected, bool) != isinstance(got, bool)


def chains_of(story: Story) -> list[dict[str, Any]]:
    """The chains that a story expects, in the order of their first record."""
    return sorted(story.told["expect"]["chains"], key=lambda chain: min(chain["records"]))


@pytest.mark.parametrize(("story", "order"), ORDERED)
def test_records_join_as_the_story_says_in_whatever_order_they_are_read(story: Story, order: str) -> None:
    events = judged(story.register, order)[story.name].events
    assert parted(events) == [sorted(chain["records"]) for chain in chains_of(story)], story.told["why"]


@pytest.mark.parametrize("story", WHOLE, ids=lambda story: story.name)
def test_a_chain_is_named_by_the_key_that_the_story_says(story: Story) -> None:
    tale = judged(story.register, "as written")[story.name]
    sources = {chain["chain.id"]: chain.get("chain.id_source") for chain in tale.chains}
    for chain in chains_of(story):
        events = [tale.events[index] for index in chain["records"]]
        name = events[0]["chain.id"]
        match chain.get("id"):
            case str(text):
                assert name == story.own(text)
            case {"record": _}:
                assert name.startswith("record:")
        if "id_source" in chain:
            assert sources[name] == chain["id_source"], chain
        if "sources" in chain:
            assert [event["chain.id_source"] for event in events] == chain["sources"]


@pytest.mark.parametrize(("story", "order"), ORDERED)
def test_a_chain_says_what_the_story_says(story: Story, order: str) -> None:
    tale = judged(story.register, order)[story.name]
    rows = {chain["chain.id"]: chain for chain in tale.chains}
    found = [
        f"records {chain['records']}: {name}: expected {expected!r}, got {got!r}"
        for chain in chains_of(story)
        for name, expected in chain.get("facts", {}).items()
        if wrongs(expected, got := rows[tale.events[chain["records"][0]]["chain.id"]].get(name))
    ]
    assert not found, f"{story.told['why']}\n" + "\n".join(found)


FORMS = ["nested", "dotted"]


def direct_calls(form: str) -> list[dict[str, Any]]:
    """Three calls that nothing places, with nested names or dotted ones."""
    return [
        {
            "@timestamp": f"2026-03-02T10:00:0{second}Z",
            **(
                {"chain.stage": "tool_call", "gen_ai.tool.name": "write_note"}
                if form == "dotted"
                else {"chain": {"stage": "tool_call"}, "gen_ai": {"tool": {"name": "write_note"}}}
            ),
        }
        for second in range(3)
    ]


def chain_ids(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """The ids of the chains that these records make, sorted."""
    judgement = judge(records, rules={}, vocabulary=VOCABULARY, chain_vocabulary=CHAIN_VOCABULARY)
    return sorted(chain["chain.id"] for chain in judgement.chains)


@pytest.mark.parametrize("form", FORMS)
def test_a_record_that_nothing_places_keeps_its_id_wherever_it_lies(form: str) -> None:
    calls = direct_calls(form)
    assert chain_ids(calls) == chain_ids(calls[::-1])


@pytest.mark.parametrize("form", FORMS)
def test_a_line_delivered_twice_is_one_record(form: str) -> None:
    calls = direct_calls(form)
    assert len(chain_ids([*calls, calls[0]])) == len(calls)


STAGES = ("prompt", "decision", "tool_call", "tool_response", "token", "consent", "access", "change")


@cache
def blind() -> dict[tuple[str, str], tuple[Any, set[str]]]:
    """By concept and stage: what `event.blind` and `chain.blind` say where a source can never supply that one."""
    pairs = [(concept, stage) for concept in CONCEPTS for stage in STAGES]
    records = [
        {
            "@timestamp": "2026-03-02T10:00:00Z",
            "chain.stage": stage,
            "trace.id": f"{concept} at {stage}",
            "event.dataset": f"without_{concept}",
        }
        for concept, stage in pairs
    ]
    sources = Sources(never=tuple((f"without_{concept}", stage, (concept,)) for concept, stage in pairs))
    judgement = judge(records, rules={}, vocabulary=VOCABULARY, chain_vocabulary=CHAIN_VOCABULARY, sources=sources)
    chains = {chain["chain.id"]: chain["chain.blind"] for chain in judgement.chains}
    return {
        (concept, stage): (event["event.blind"], {pair for pair in chains[f"{concept} at {stage}"] if "." in pair})
        for (concept, stage), event in zip(pairs, judgement.events, strict=True)
        if event
    }


@pytest.mark.parametrize("concept", CONCEPTS)
def test_every_concept_that_a_source_map_may_declare_arrives_at_record_and_chain(concept: str) -> None:
    told = {stage: blind()[concept, stage] for stage in STAGES}
    assert told == {stage: ([concept], {f"{stage}.{concept}"}) for stage in STAGES}


def test_a_source_that_is_blind_to_everything_says_everything() -> None:
    record = {
        "@timestamp": "2026-03-02T10:00:00Z",
        "chain.stage": "access",
        "trace.id": "t",
        "event.dataset": "made_up",
    }
    sources = Sources(never=(("made_up", "access", tuple(CONCEPTS)),))
    (chain,) = judge(
        [record], rules={}, vocabulary=VOCABULARY, chain_vocabulary=CHAIN_VOCABULARY, sources=sources
    ).chains
    assert {pair for pair in chain["chain.blind"] if "." in pair} == {f"access.{concept}" for concept in CONCEPTS}


def test_the_form_of_a_source_map_knows_the_same_concepts_and_32_bits_hold_them() -> None:
    form = json.loads((ROOT.schemas / "source-map.schema.json").read_text())
    assert set(form["$defs"]["concept"]["enum"]) == set(CONCEPTS)
    assert bits(CONCEPTS) < 1 << 32


def test_every_plain_fact_of_a_chain_is_told_both_true_and_false() -> None:
    plain = {name for name, field in CHAIN_VOCABULARY.fields.items() if field.kind == "boolean"}
    told = {
        (name, value)
        for story in WHOLE
        for chain in chains_of(story)
        for name, value in chain.get("facts", {}).items()
        if isinstance(value, bool)
    }
    assert {(name, value) for name in plain for value in (True, False)} <= told


def test_there_are_at_least_forty_stories() -> None:
    assert len(STORIES) >= 40
