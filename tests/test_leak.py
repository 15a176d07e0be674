"""A simple classifier that knows one field at a time learns nothing of the label, but for what an attack is about.

It is OneR (Holte, 1993): for each field a table from its value to the share of attacked records, learned on one log and
tried on another. Values are looked at by their form too, since a lazy generator gives itself away by how it writes. What
attacks change is not asked for: that is what rules look at. It is found by bending one chain by each attack.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from sampling import one_in

from generator.attacks import attacks
from generator.chains import Chunk
from generator.plan import Plan
from generator.tell import BENT, bend, tell
from generator.world import World

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Event = Mapping[str, Any]

pytestmark = pytest.mark.xdist_group("leak")

MONDAY = 1_791_158_400_000_000
EVENTS, RATE = 16_000, 0.25
WORLD = World(seed=1)

ENOUGH = 20
"""Records of one value before the table says anything of it."""

TELLING = 0.6
"""Share of attacked records from which a value is said to tell an attack; a quarter of all chains is attacked."""

MOST = 0.02
"""Share of the attacked records of another log that one field may tell."""


def flat(record: Event, above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{key}.")
        else:
            yield above + key, value


def form(value: Any) -> str:
    """How a value is written: digits, long hexadecimals and names folded."""
    text = re.sub(r"[0-9a-f]{14,}", "h", str(value))
    return re.sub(r"[A-Z][a-z]+", "N", re.sub(r"[0-9]+", "0", text))


def features(record: Event) -> Iterator[tuple[str, str]]:
    """Of every field: that it is there, its value, and its form; by stage, since stages differ."""
    stage = record["chain"]["stage"]
    for name, value in flat(record):
        yield f"{stage} {name}", "is there"
        yield f"{stage} {name}", f"value {value}"
        yield f"{stage} {name}", f"form {form(value)}"


@cache
def log(seed: int) -> tuple[tuple[dict[str, Any], bool], ...]:
    """Records, and whether their chain is attacked."""
    plan = Plan(EVENTS, seed, MONDAY, 7, tuple(attacks()), RATE, World(seed))
    found = []
    for chunk in range(plan.chunks):
        told = tell(plan, chunk)
        attacked = {event for label in told.labels for event in orjson.loads(orjson.dumps(label.at([0])))["events"]}
        for line in b"".join(told.packed).splitlines():
            record = orjson.loads(line)
            found.append((record, record["event"]["id"] in attacked))
    return tuple(found)


@cache
def bent() -> frozenset[str]:
    """``stage field`` that some attack changes, adds or takes away in an honest chain; all fields of a record it adds."""
    chunk = Chunk(WORLD, 1, 0, 200, MONDAY, 7, dict.fromkeys(range(200), BENT))
    found: set[str] = set()
    for place, attack in enumerate(attacks()):
        honest = chunk.chain(place)
        before = {record["event"]["id"]: record for record in (orjson.loads(line.text) for line in honest)}
        for record in (orjson.loads(line.text) for line in bend(honest, attack)):
            stage = record["chain"]["stage"]
            old = dict(flat(before.get(record["event"]["id"], {})))
            new = dict(flat(record))
            found |= {f"{stage} {name}" for name in {**old, **new} if old.get(name) != new.get(name)}
    return frozenset(found)


def learned(records: Iterable[tuple[Event, bool]]) -> dict[str, set[str]]:
    """Field → values that tell an attack."""
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for record, attacked in records:
        for feature in features(record):
            counts[feature][attacked] += 1
    told: dict[str, set[str]] = defaultdict(set)
    for (field, value), (honest, attacked) in counts.items():
        if attacked >= ENOUGH and attacked >= TELLING * (honest + attacked):
            told[field].add(value)
    return told


def leaks(train: Iterable[tuple[Event, bool]], other: Iterable[tuple[Event, bool]]) -> dict[str, float]:
    """Field → share of the attacked records of its stage that it tells in another log, where that is too much."""
    told = learned(train)
    hit: dict[str, int] = defaultdict(int)
    there: dict[str, int] = defaultdict(int)
    for record, attacked in other:
        if attacked:
            there[record["chain"]["stage"]] += 1
            for field in {field for field, value in features(record) if value in told.get(field, ())}:
                hit[field] += 1
    return {
        field: count / there[field.split()[0]] for field, count in hit.items() if count > MOST * there[field.split()[0]]
    }


def test_no_field_but_those_that_attacks_change_tells_an_attack() -> None:
    assert {field: share for field, share in leaks(log(1), log(2)).items() if field not in bent()} == {}


def test_the_classifier_learns_what_attacks_change() -> None:
    """It can tell: where an attack bends a field, the field tells of it."""
    assert set(leaks(log(1), log(2))) & bent()


@pytest.mark.parametrize(
    "plant",
    one_in(
        3,
        [
            lambda record: record["source"].update(ip="10.9.9.9") if "source" in record else None,
            lambda record: record["span"].update(id=record["span"]["id"][:-1] + "z"),
            lambda record: record.update(marked=True),
        ],
    ),
    ids=["one address", "the form of an id", "a field of its own"],
)
def test_a_planted_leak_is_found(plant: Any) -> None:
    planted = []
    for seed in (1, 2):
        records = [(orjson.loads(orjson.dumps(record)), attacked) for record, attacked in log(seed)]
        for record, attacked in records:
            if attacked:
                plant(record)
        planted.append(records)
    assert {field for field in leaks(*planted) if field not in bent()}
