"""Take away one trait of an attack, and the rule that is meant to see it goes quiet."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING

import orjson
import pytest

from backends.sources import SourceMaps
from backends.vocabulary import Vocabulary
from generator.attacks import at, attacks
from generator.attacks.traits import ADDED, PACE, traits, without
from generator.chains import Chunk
from generator.tell import BENT
from generator.world import World
from harness.isolation import APART, moved, own_keys
from harness.judging import duckdb
from harness.meant import MEANT
from harness.pairing import paired
from harness.paths import Root
from harness.ruleset import load_rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from generator.attacks import Event

ROOT = Root.default()
EVENTS, CHAINS = Vocabulary.load(ROOT.event_schema), Vocabulary.load(ROOT.chain_schema)
PACK = {rule.path: rule.judged for rule in load_rules(ROOT.rules)}
SUBJECTS = {s.stem: s for s in paired(PACK, ROOT.rules, ROOT.schemas / "cases.schema.json", EVENTS)}
START = 1_791_190_800_000_000
"""5 October 2026, in microseconds: a register's dates lie on the same side of it for two years and a half."""

WORLD = World(seed=1)

DRESSING = {
    "service_call_without_person": ({"user.effective"}, "The client alone leads to the agent; the identity makes the record whole."),
    "person_dropped_downstream": ({"user.effective"}, "That the person is gone is all; who is named instead makes no difference."),
    "user_only_in_the_arguments": ({"user.effective"}, "Nobody is authenticated, whichever identity calls."),
    "agent_asks_in_its_own_name": (
        {"user", "user.effective", "event", "oauth.act"},
        "A token in the agent's own name is issued, to its service identity, without an actor: it is logged so.",
    ),
    "one_identity_for_everybody": ({"no tool_call"}, "The six calls are told instead of the one, which would change nothing."),
    "rights_widened_in_passing": ({"oauth.token"}, "Two tokens have two hashes."),
    "loop_of_calls": ({"span"}, "Each answer lies under its own call."),
    "write_past_the_gateway": ({"span"}, "A span leads nowhere in a trace of its own."),
    "gateway_that_cannot_say": (
        {
            *("no prompt", "no decision", "no token", "no access", "no tool_response", "chain.prompt"),
            *("oauth.client", "oauth.act", "oauth.delegation", "oauth.token", "oauth.scope"),
        },
        "What the source can never say it does not say; the rule asks the source's map alone.",
    ),
    "server_that_cannot_say": (
        {
            *("no prompt", "no decision", "no token", "no access", "no tool_response", "chain.prompt", "user"),
            *("oauth.client", "oauth.act", "oauth.delegation", "oauth.token"),
        },
        "What the source can never say it does not say; the rule asks the source's map alone.",
    ),
    "agent_hidden_downstream": ({"oauth.delegation", "oauth.token"}, "They are gone with the client and the actor that they speak of."),
    "server_faces_the_internet": ({"source", "oauth.token"}, "Somebody from outside calls the server that the token is for."),
    "anybody_may_call": (
        {"oauth.client", "oauth.act", "oauth.delegation", "oauth.token", "oauth.scope"},
        "Who is not asked for a token shows none.",
    ),
    "keys_tried_one_by_one": (
        {"source", "event", "oauth.client", "oauth.act", "oauth.delegation", "oauth.token", "oauth.scope"},
        "A stranger whose token is not taken comes from elsewhere, fails, and shows nothing else.",
    ),
    "server_nobody_reviewed_again": ({"oauth", "oauth.token"}, "The token is for the server that is called."),
    "secrets_told_to_a_vendor": ({"oauth", "oauth.token"}, "The token is for the server that is called."),
}  # fmt: skip
"""Attack → traits that only make its records tell one story, and why the rule does without them."""

EITHER = {
    "exchange_that_hides_the_agent": (
        {"oauth.act", "oauth.delegation"},
        "The act claim and the kind of delegation say the same; servers log one or the other.",
    ),
    "agent_asks_in_its_own_name": ({"oauth", "oauth.delegation"}, "The grant and the kind of delegation say the same."),
    "keys_tried_one_by_one": ({"http.response", "oauth.challenge"}, "Status and challenge say the same."),
}
"""Attack → traits that say the same thing twice, and why: without one the rule still fires, without all it is quiet."""


@cache
def honest() -> list[Event]:
    """The chain that every attack bends; its server is none that an attack moves the call to."""
    chunk = Chunk(WORLD, 1, 0, 100, START, 7, dict.fromkeys(range(100), BENT))
    chains = ([orjson.loads(line.text) for line in chunk.chain(place)] for place in range(100))
    return next(chain for chain in chains if at(chain, "tool_call")["mcp"]["server"]["name"] == "erp-mcp")


def trials() -> Iterator[tuple[str, frozenset[str]]]:
    """(attack, traits that are taken away)."""
    for name, attack in attacks().items():
        yield name, frozenset()
        yield from ((name, frozenset({trait})) for trait in traits(honest(), attack))
        yield from ((name, frozenset(table[name][0])) for table in (DRESSING, EITHER) if name in table)


@cache
def fires() -> dict[tuple[str, frozenset[str]], bool]:
    """Whether the rule that is meant for the attack fires; all in one data set, each trial at a time of its own."""
    todo = [(key, without(honest(), attacks()[key[0]], key[1])) for key in dict.fromkeys(trials())]
    records: list[Event] = []
    places = []
    for number, (_, events) in enumerate(todo):
        places.append(range(len(records), len(records) + len(events)))
        records += moved(own_keys(events, f"t{number}"), APART * number, EVENTS)
    judge = duckdb([], EVENTS, CHAINS, SourceMaps.load(ROOT.sources))
    verdicts = judge(records, WORLD.register, None)
    found = {}
    for (key, _), place in zip(todo, places, strict=True):
        facts = [verdicts.events[at] for at in place]
        assert None not in facts, key
        subject = SUBJECTS[MEANT[key[0]]]
        if subject.of_chains:
            facts = [verdicts.chains[each] for each in dict.fromkeys(f["chain.id"] for f in facts if f)]
        found[key] = any(subject.verdicts(facts))
    return found


def words(table: dict[str, tuple[set[str], str]], attack: str) -> set[str]:
    return table.get(attack, (set(), ""))[0]


ATTACK = pytest.mark.parametrize("attack", list(attacks()))


@ATTACK
def test_the_rule_that_is_meant_for_an_attack_fires_on_it(attack: str) -> None:
    assert fires()[attack, frozenset()]


@ATTACK
def test_without_any_one_of_its_traits_the_rule_is_quiet(attack: str) -> None:
    alone = {trait for trait in traits(honest(), attacks()[attack]) if fires()[attack, frozenset({trait})]}
    assert alone == words(DRESSING, attack) | words(EITHER, attack)


@pytest.mark.parametrize("attack", list(DRESSING))
def test_without_all_of_its_dressing_the_rule_still_fires(attack: str) -> None:
    assert fires()[attack, frozenset(words(DRESSING, attack))]


@pytest.mark.parametrize("attack", list(EITHER))
def test_without_all_that_say_the_same_the_rule_is_quiet(attack: str) -> None:
    assert not fires()[attack, frozenset(words(EITHER, attack))]


@ATTACK
def test_every_attack_has_a_trait_that_it_cannot_do_without(attack: str) -> None:
    found = set(traits(honest(), attacks()[attack]))
    assert found - words(DRESSING, attack)


@ATTACK
def test_without_all_its_traits_an_attack_is_the_honest_chain(attack: str) -> None:
    bend = attacks()[attack]
    back = without(honest(), bend, traits(honest(), bend))
    assert {event["event"]["id"]: event for event in back} == {event["event"]["id"]: event for event in honest()}


# --- taking apart


def two_things(events: list[Event]) -> list[Event]:
    """Changes a value, adds one, takes one away, leaves a record out and adds two."""
    call = at(events, "tool_call")
    call["user"]["id"] = "u-x"
    call["cloud"] = {"region": "r"}
    del call["oauth"]["act"]
    more = [deepcopy(call), deepcopy(call)]
    for number, event in enumerate(more):
        event["event"]["id"] += f"-{number}"
    return [*(event for event in events if event["chain"]["stage"] != "prompt"), *more]


def test_traits_are_what_differs_object_by_object() -> None:
    assert set(traits(honest(), two_things)) == {"no prompt", ADDED, PACE, "user", "cloud", "oauth.act"}


@pytest.mark.parametrize(
    ("trait", "same"),
    [
        ("user", lambda event, was: event["user"] == was["user"] and "cloud" in event),
        ("cloud", lambda event, was: "cloud" not in event and event["user"] != was["user"]),
        ("oauth.act", lambda event, was: event["oauth"] == was["oauth"]),
    ],
    ids=["changed", "added", "taken away"],
)
def test_a_trait_is_taken_away_from_every_record_and_nothing_else_is(trait: str, same: object) -> None:
    was = at(honest(), "tool_call")
    left = [e for e in without(honest(), two_things, {trait}) if e["chain"]["stage"] == "tool_call"]
    assert callable(same)
    assert [same(event, was) for event in left] == [True, True, True]


def test_a_record_comes_back_records_go_and_the_pace_slows() -> None:
    assert without(honest(), two_things, {"no prompt"})[0] == at(honest(), "prompt")
    assert len(without(honest(), two_things, {ADDED})) == len(honest()) - 1
    days = {event["@timestamp"][:10] for event in without(honest(), two_things, {PACE})}
    assert len(days) == 3


def test_the_honest_chain_itself_stays_as_it_is() -> None:
    before = deepcopy(honest())
    for attack in attacks().values():
        without(honest(), attack, traits(honest(), attack))
    assert honest() == before
