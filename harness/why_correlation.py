"""Why a correlation does not fire on a record: whether it takes part, and how far the best window came."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from backends.absence import absent
from backends.correlation import ORDERED, Correlation
from harness.correlating import complete, counted, took_part
from harness.flip import Change, proposals
from harness.oracle import meaning
from harness.terms import by_name, unmet
from harness.variants import other
from harness.why_not import AROUND_IT, TRIED_AGAIN, Inquiry, Lack, Reach, raw

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from harness.correlating import Part
    from harness.given_record import Given
    from harness.terms import Told
    from harness.why_not import Asking, Flip, Record, Verdict

    Facts = Mapping[str, Any]

PLACES = 20
"""Records of a window that are named."""


@dataclass(frozen=True)
class Window:
    """The best window that a record takes part in: its records, what it counts, and where it became complete."""

    parts: tuple[Part, ...]
    reached: int
    complete_at: int | None


def of_correlation(inquiry: Inquiry, given: Given) -> Asking:
    """Why a correlation does not fire on the given record, judged in its surroundings."""
    correlation = inquiry.rule.correlation
    assert correlation is not None  # noqa: S101 - the caller asked
    verdict = yield list(given.lines)
    target = given.target
    facts = verdict.events[target]
    if facts is None:
        return inquiry.answer(rejected=verdict.reason(target))
    terms = [meaning(step.rule) for step in correlation.steps]
    parts = list(took_part(correlation, verdict.events, terms))
    window = best(correlation, parts, target)
    notes = () if given.whole else (AROUND_IT,)
    said: dict[str, Any] = {"stage": facts.get("chain.stage"), "notes": notes}
    if window is not None:
        said["reach"] = reach(inquiry, correlation, window, facts, given)
        done = window.complete_at if target not in verdict.hits else target
        if done is not None and done in verdict.hits:
            where = "" if done == target else f"; its window is complete at {given.places[done]}"
            return inquiry.answer(fires=True, **{**said, "notes": (*notes, f"it takes part{where}")})
        told: Sequence[Told] = ()
        lacks: tuple[Lack, ...] = ()
    else:
        told, lacks = _no_part(inquiry, correlation, facts)
    flip, tried = yield from _turned(inquiry, correlation, given, parts, told)
    return inquiry.answer(lacks=lacks, flip=flip, tried=tried, **said)


def best(correlation: Correlation, parts: Sequence[Part], record: int) -> Window | None:
    """The window with this record that counts most; None where it takes part in none."""
    found: Window | None = None
    for mine in (part for part in parts if part.record == record):
        span = correlation.window_us
        near = [part for part in parts if part.key == mine.key and abs(part.time - mine.time) <= span]
        for last in (part for part in near if part.time >= mine.time):
            held = tuple(part for part in near if 0 <= last.time - part.time <= span)
            kind = "temporal" if correlation.kind == ORDERED else correlation.kind
            reached = len({counted(kind, part) for part in held})
            done = last.record if complete(correlation, last.record, held) else None
            if found is None or (done is not None, reached) > (found.complete_at is not None, found.reached):
                found = Window(held, reached, done)
    return found


def reach(inquiry: Inquiry, correlation: Correlation, window: Window, facts: Facts, given: Given) -> Reach:
    """How far a window came, as it is told."""
    names = [step.name for step in correlation.steps]
    step = correlation.steps[next(part.step for part in window.parts)]
    counts = {
        "event_count": f"records of {' and '.join(names)}",
        "value_count": f"different {step.value} in records of {' and '.join(names)}",
        "temporal": f"of {' and '.join(names)}",
        ORDERED: f"of {' then '.join(names)}, in this order",
    }[correlation.kind]
    held = {part.step for part in window.parts}
    lacking = correlation.kind in {"temporal", ORDERED}
    records = dict.fromkeys(part.record for part in sorted(window.parts, key=lambda part: (part.time, part.record)))
    return Reach(
        counts=counts,
        reached=window.reached,
        needed=correlation.least,
        group={name: inquiry.namer.shown(name, facts.get(name)) for name in step.key},
        window_sec=correlation.window_us // 1_000_000,
        missing=tuple(name for at, name in enumerate(names) if lacking and at not in held),
        places=tuple(str(given.places[at]) for at in records)[:PLACES],
    )


def _no_part(inquiry: Inquiry, correlation: Correlation, facts: Facts) -> tuple[Sequence[Told], tuple[Lack, ...]]:
    """Why the record takes no part: what the nearest base rule lacks, or the field that is grouped by or counted."""
    ways = []
    for step in correlation.steps:
        told = unmet(by_name(step.rule), facts)
        said = {name for each in told for name in each.fields}
        needed = dict.fromkeys([*step.key, *([step.value] if step.value else [])])
        names = [name for name in needed if absent(facts.get(name)) and name not in said]
        ways.append((len(told) + len(names), step, told, names))
    _, step, told, names = min(ways, key=lambda way: way[0])
    others = len(ways) - 1
    lacks = [
        replace(lack, part=f"{step.name}.{lack.part}", others=lack.others + others)
        for lack in inquiry.lacks(told, facts)
    ]
    for name in names:
        asks = f"{name} exists" + (
            ", since its values are counted" if name == step.value else ", since records are grouped by it"
        )
        lacks.append(Lack("correlation", asks, exempts=False, seen=(inquiry.seen(name, facts),), others=others))
    return told, tuple(lacks)


def _turned(
    inquiry: Inquiry, correlation: Correlation, given: Given, parts: Sequence[Part], told: Sequence[Told]
) -> Generator[Sequence[Record], Verdict, tuple[Flip | None, int]]:
    """A change of one field of the record that completes a window, judged in its surroundings."""
    target = given.target
    record = raw(given.lines[target], inquiry.vocabulary)
    stage = record.get("chain.stage")
    changes = [
        *_of_keys(inquiry, correlation, record, parts, given),
        *proposals(record, told, inquiry.lessons, to_fire=True, stage=stage),
    ]
    if not changes:
        return None, 0
    among = yield [change.of(record) for change in changes]
    terms = [meaning(step.rule) for step in correlation.steps]
    others = [part for part in parts if part.record != target]
    good = []
    for at, change in enumerate(changes):
        mine = list(took_part(correlation, [*[None] * target, among.events[at]], terms))
        window = best(correlation, [*others, *mine], target)
        if window is not None and window.complete_at is not None:
            good.append(change)
    for change in good[:TRIED_AGAIN]:
        within: list[Record] = list(given.lines)
        within[target] = change.of(record)
        verdict = yield within
        facts = verdict.events[target]
        now = best(correlation, list(took_part(correlation, verdict.events, terms)), target) if facts else None
        if now is not None and now.complete_at in verdict.hits:
            return inquiry.flip(change, record, str(given.places[target])), len(changes)
    return None, len(changes)


def _of_keys(
    inquiry: Inquiry, correlation: Correlation, record: Facts, parts: Sequence[Part], given: Given
) -> list[Change]:
    """The group of others, or another value to count."""
    raws = inquiry.vocabulary.raw
    changes = []
    near = sorted({part.record for part in parts}, key=lambda at: abs(at - given.target))[:PLACES]
    for name in dict.fromkeys(name for step in correlation.steps for name in step.key if name in raws):
        values = [raw(given.lines[at], inquiry.vocabulary).get(name) for at in near]
        changes += [Change(name, value) for value in dict.fromkeys(map(_hashable, values)) if value != record.get(name)]
    counted_by = [step.value for step in correlation.steps if step.value is not None and step.value in raws]
    changes += [Change(name, other(record[name])) for name in dict.fromkeys(counted_by) if not absent(record.get(name))]
    return [change for change in changes if not absent(change.value)]


def _hashable(value: Any) -> Any:
    return None if isinstance(value, list | dict) else value
