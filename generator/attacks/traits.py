"""An attack taken apart: what it does to an honest chain, trait by trait, and the chain with some of them taken away.

Traits are found by comparing the chain before and after, so that an attack is written as a plain function and none of
what it does can be forgotten. A trait is what happens to one object of the records (``user``, ``oauth.token``), a
record that is gone, the records that are added, or the pace of these.
"""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from generator.attacks import Attack, Event

OWN = frozenset({"@timestamp", "event.id", "span.id", "gen_ai.tool.call.id"})
"""What a record that an attack adds has of its own (`generator.attacks.again`)."""

ADDED, PACE = "the records added", "the pace"


def traits(honest: Sequence[Event], attack: Attack) -> tuple[str, ...]:
    """What an attack does to a chain: ``no prompt``, `ADDED`, `PACE`, and objects by their dotted names."""
    bent, before = _attacked(honest, attack)
    left = {_id(event) for event in bent}
    added = len([event for event in bent if _id(event) not in before])
    gone = [f"no {event['chain']['stage']}" for event in honest if _id(event) not in left]
    names = dict.fromkeys(name for event in bent for name in _bent(event, before))
    return (*gone, *(ADDED,) * (added > 0), *(PACE,) * (added > 1), *names)


def without(honest: Sequence[Event], attack: Attack, taken: Collection[str]) -> list[Event]:
    """The attacked chain, by time, with these of its traits taken away; the honest chain stays as it is."""
    bent, before = _attacked(honest, attack)
    left = {_id(event) for event in bent}
    back = [event for event in honest if _id(event) not in left and f"no {event['chain']['stage']}" in taken]
    kept, added = [], 0
    for event in bent:
        mended = _mended(event, before, taken)
        if _id(event) not in before:
            added += 1
            if ADDED in taken:
                continue
            if PACE in taken:
                mended["@timestamp"] = _days_later(event["@timestamp"], added)
        kept.append(mended)
    return sorted([*kept, *deepcopy(back)], key=lambda event: str(event["@timestamp"]))


def _attacked(honest: Sequence[Event], attack: Attack) -> tuple[list[Event], dict[str, Event]]:
    """The chain after the attack, and the honest records by their ids."""
    return attack(deepcopy(list(honest))), {_id(event): event for event in honest}


def _id(event: Event) -> str:
    return str(event["event"]["id"])


def _origin(event: Event, before: Mapping[str, Event]) -> Event:
    """The honest record that a record is, or is made of: an added one is called by it, with an ending."""
    return before[max((each for each in before if _id(event).startswith(each)), key=len)]


def _bent(event: Event, before: Mapping[str, Event]) -> Iterator[str]:
    """Objects of a record, by dotted name, of which a value is not the honest record's."""
    origin = _origin(event, before)
    left_out = OWN if _id(event) not in before else frozenset({"@timestamp"})
    then, now = _leaves(origin), _leaves(event)
    for name in (*then, *(each for each in now if each not in then)):
        if then.get(name) != now.get(name) and name not in left_out:
            yield name.rpartition(".")[0] or name


def _mended(event: Event, before: Mapping[str, Event], taken: Collection[str]) -> Event:
    """The record with these objects as the honest record has them; what lies in objects below them stays."""
    mended, origin = deepcopy(event), _leaves(_origin(event, before))
    own = OWN if _id(event) not in before else frozenset()
    for leaf in {**origin, **_leaves(event)}:
        if (leaf.rpartition(".")[0] or leaf) in taken and leaf not in own:
            _put(mended, leaf, deepcopy(origin.get(leaf)))
    return mended


def _days_later(time: str, days: int) -> str:
    moment = datetime.fromisoformat(time) + timedelta(days=days)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def _leaves(node: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Dotted name → value of everything in a nested record that is no object."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        found |= _leaves(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return found


def _put(event: Event, name: str, value: Any) -> None:
    """Set a dotted name; None takes it away, and the objects that it leaves empty."""
    *above, last = name.split(".")
    nodes = [event]
    for key in above:
        nodes.append(nodes[-1].setdefault(key, {}))
    if value is not None:
        nodes[-1][last] = value
        return
    nodes[-1].pop(last, None)
    for node, key in zip(reversed(nodes[:-1]), reversed(above), strict=True):
        if not node[key]:
            del node[key]
