"""How the calls of a chain went: what let each through, and when it ended.

The schema has a record for a call and another for its answer; products write one, when the call has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from generator.clock import micros
from generator.native import Event, at

if TYPE_CHECKING:
    from collections.abc import Sequence

PROMPTLY = 150_000
"""Microseconds until a call fails, is refused, or says that it will take long; no step of a story is so short."""


class Call(NamedTuple):
    """One tool call.

    Attributes:
        place: its place in the chain.
        event: its record.
        begins, ends: microseconds since 1970; an answer ends it.
        ended: whether the caller came to know the end.
        decision: place of the decision on it, None where there is none.
        denied: whether that decision was no.
    """

    place: int
    event: Event
    begins: int
    ends: int
    ended: bool
    decision: int | None
    denied: bool

    @property
    def refused(self) -> bool:
        """Whether the server let its token not in: 401 or 403."""
        return refused(self.event)


def calls(events: Sequence[Event]) -> list[Call]:
    """The calls of a chain, in its order."""
    answers = [event for event in events if stage(event) == "tool_response"]
    by_span = {at(answer, "span.parent_id"): answer for answer in reversed(answers)}
    by_id = {at(answer, "gen_ai.tool.call.id"): answer for answer in reversed(answers)}
    decisions = {at(event, "gen_ai.tool.call.id"): place for place, event in enumerate(events) if _answered(event)}
    found, seen = [], set()
    for place, event in enumerate(events):
        if stage(event) != "tool_call":
            continue
        begins, name = micros(event["@timestamp"]), at(event, "gen_ai.tool.call.id")
        # an answer knows its call by the span, or by the id where no other call has that
        answer = by_span.get(at(event, "span.id")) or (by_id.get(name) if name and name not in seen else None)
        task = at(event, "mcp.task.id") is not None
        failed = at(event, "event.outcome") != "success"
        answered = answer is not None and not failed and not task and not at(event, "chain.cancelled")
        ends = micros(answer["@timestamp"]) if answer and answered else begins
        decision = decisions.get(name) if name and name not in seen else None
        denied = decision is not None and at(events[decision], "mcp.tool.decision") == "deny"
        ended = answered or failed or task
        found.append(Call(place, event, begins, max(ends, begins + PROMPTLY), ended, decision, denied))
        seen.add(name)
    return found


def stage(event: Event) -> str:
    """Its ``chain.stage``."""
    found: str = event["chain"]["stage"]
    return found


def refused(event: Event) -> bool:
    """Whether a server let the token of a call not in."""
    return at(event, "http.response.status_code") in {401, 403}


def lone_decisions(events: Sequence[Event], made: Sequence[Call]) -> list[tuple[int, Event]]:
    """Decisions on no call of the chain, with their places."""
    taken = {call.decision for call in made}
    return [(place, event) for place, event in enumerate(events) if _answered(event) and place not in taken]


def _answered(event: Event) -> bool:
    """A decision that was made: products log the answer, not the question."""
    return stage(event) == "decision" and at(event, "mcp.tool.decision") != "ask"
