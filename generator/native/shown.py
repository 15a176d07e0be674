"""What of an attack a product's records show, and what they have no place for. Nothing here knows a rule."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from generator.native.course import stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from generator.native import Event, Native

NO_PLACE, NO_RECORD = "its records have no place for it", "it writes no record of it"


class Shown(NamedTuple):
    """What an attack changed: a stage's field, or a stage that came, went, or is told by more or fewer records.

    Attributes:
        shown: what the product's records tell.
        hidden: what they do not, each with the reason.
    """

    shown: tuple[str, ...]
    hidden: Mapping[str, str]


def shown(honest: Sequence[Event], bent: Sequence[Event], product: Native) -> Shown:
    """Compare a chain before and after an attack, as this product tells it."""
    before, after = _told(honest, product), _told(bent, product)
    seen: dict[str, None] = {}
    hidden: dict[str, str] = {}
    for name in dict.fromkeys([*before, *after]):
        (old, told_before), (new, told_after) = before.get(name, (None, 0)), after.get(name, (None, 0))
        event = new or old
        kind = stage(event) if event else ""
        for trait in _changed(old, new):
            if not told_before and not told_after:
                hidden[_named(kind, trait)] = NO_RECORD
            elif trait not in {"added", "gone"} and (trait not in product.says[kind] or not told_after):
                hidden[_named(kind, trait)] = NO_PLACE
            else:
                seen[_named(kind, trait)] = None
        if old and new and told_before != told_after:
            more = "told by more records" if told_before else "added"
            fewer = "told by fewer records" if told_after else "gone"
            seen[_named(kind, more if told_after > told_before else fewer)] = None
    return Shown(tuple(seen), {trait: why for trait, why in hidden.items() if trait not in seen})


def _told(events: Sequence[Event], product: Native) -> dict[str, tuple[Event, int]]:
    """Event id → the event, and how many records tell of it."""
    count = Counter(record.event for record in product.tell(events))
    return {event["event"]["id"]: (event, count[place]) for place, event in enumerate(events)}


def _changed(old: Event | None, new: Event | None) -> Iterator[str]:
    if old is None or new is None:
        yield "added" if old is None else "gone"
        return
    one, other = dict(_flat(old)), dict(_flat(new))
    yield from (name for name in {**one, **other} if one.get(name) != other.get(name))


def _flat(record: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield above + key, value


def _named(kind: str, trait: str) -> str:
    return f"{kind} {trait}"
