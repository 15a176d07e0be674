"""When a correlation fires: the oracle's word, from the specification and without a window function.

"Sigma Correlation Rules Specification" 2.1.0; the choices are those of `backends.correlation`. A correlation fires at
the record that completes a window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backends.correlation import ORDERED, Correlation
from harness.case import moment
from harness.oracle import meaning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.oracle import Term

    Facts = Mapping[str, Any]


def fires(
    correlation: Correlation, facts: Sequence[Facts | None], terms: Sequence[Term] | None = None
) -> tuple[bool, ...]:
    """For each record whether a window is complete with it.

    Args:
        correlation: what must come together.
        facts: flat facts of each record with ``@timestamp``; None for a rejected one.
        terms: what each base rule means; by default what it says.
    """
    terms = terms or [meaning(step.rule) for step in correlation.steps]
    took = list(took_part(correlation, facts, terms))
    return tuple(complete(correlation, number, took) for number in range(len(facts)))


class Part:
    """A record in one step: its number, time in microseconds, key and counted value."""

    def __init__(self, record: int, step: int, time: int, key: tuple[str, ...], value: str | None) -> None:
        self.record, self.step, self.time, self.key, self.value = record, step, time, key, value


def took_part(correlation: Correlation, facts: Sequence[Facts | None], terms: Sequence[Term]) -> Iterator[Part]:
    """The records that a base rule matches and that have what they are grouped by and counted by."""
    for number, record in enumerate(facts):
        if record is None:
            continue
        for at, (step, term) in enumerate(zip(correlation.steps, terms, strict=True)):
            key = [record.get(name) for name in step.key]
            value = record.get(step.value) if step.value else ""
            if term.holds(record) and None not in key and value is not None:
                time = moment(str(record["@timestamp"]))
                micros = int(time.replace(microsecond=0).timestamp()) * 1_000_000 + time.microsecond
                yield Part(number, at, micros, tuple(_text(k) for k in key), _text(value))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "".join(character.lower()[0] for character in str(value))


def complete(correlation: Correlation, number: int, took: Sequence[Part]) -> bool:
    """Whether a window is complete with the record of this number."""
    for last in (part for part in took if part.record == number):
        window = [part for part in took if part.key == last.key and 0 <= last.time - part.time <= correlation.window_us]
        if correlation.kind == ORDERED:
            if last.step == len(correlation.steps) - 1 and _leads_to(last, window):
                return True
            continue
        held = {counted(correlation.kind, part) for part in window}
        if len(held) >= correlation.least:
            return True
    return False


def counted(kind: str, part: Part) -> str | int | None:
    """What makes a record count: itself, its value, or its step."""
    return {"event_count": part.record, "value_count": part.value, "temporal": part.step}[kind]


def _leads_to(last: Part, window: Sequence[Part]) -> bool:
    """Whether the steps before lie in the window one after the other, each on a record of its own."""
    if last.step == 0:
        return True
    return any(
        _leads_to(part, window)
        for part in window
        if part.step == last.step - 1 and part.time <= last.time and part.record != last.record
    )
