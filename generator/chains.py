"""Chains of an organisation as lines of a log, from one stream of draws a thousand chains.

A story is one text with places (`generator.stories`); a chain fills it at once and is cut into lines. So any number of
processes writes the same bytes, and a chain costs some twenty microseconds.
"""

from __future__ import annotations

import re
from functools import cache
from operator import add, itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from generator.stories import MICRO, STORIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from generator.story import Story
    from generator.world import World

CHUNK = 1_000
"""Chains that share one stream of draws."""

KINDS = tuple(STORIES)
_TIMES = [f"t{at}" for at in range(max(len(story.steps) for story in STORIES.values()))]
LIFE = 900 * MICRO
"""How long a token lives."""
HOUR, DAY = 3600 * MICRO, 86_400 * MICRO

_PLACE = re.compile(r'"\{(\w+)\?\}"|\{(\w+)\}|\{([\w:.-]+(?:\|[\w:.-]+)+)\}')
"""A number, a text, or one of several words."""


class Line(NamedTuple):
    """One record: when it reaches the log (microseconds since 1970), and its JSON text without a newline."""

    at: int
    text: bytes


class Template:
    """Texts with places, filled together."""

    def __init__(self, records: list[Mapping[str, Any]]) -> None:
        text = "\n".join(orjson.dumps(record).decode() for record in records)
        places = list(_PLACE.finditer(text))
        self._values = itemgetter(*(place[1] or place[2] or place[3] for place in places))
        self.choices = {place[3]: place[3].split("|") for place in places if place[3]}
        self._parts: list[str] = []
        at = 0
        for place in places:
            self._parts += text[at : place.start()], ""
            at = place.end()
        self._parts.append(text[at:])

    def fill(self, values: Mapping[str, str]) -> list[bytes]:
        """The lines; values are ids and digits, which need no escaping. A choice's value goes by the choice itself."""
        parts = self._parts.copy()
        parts[1::2] = self._values(values)
        return "".join(parts).encode().split(b"\n")


@cache
def _template(kind: str) -> Template:
    return Template([step.record for step in STORIES[kind].steps])


_LENGTHS = np.array([len(story.steps) for story in STORIES.values()])
_FIRST = _LENGTHS.cumsum() - _LENGTHS
_WAITS = np.concatenate([np.cumsum([step.wait for step in story.steps]) for story in STORIES.values()])
_SKEWS = np.concatenate([[step.skew for step in story.steps] for story in STORIES.values()])
_DELAYS = {kind: [step.delay for step in story.steps] for kind, story in STORIES.items()}
_COPIED = {kind for kind, story in STORIES.items() if any(step.copies != 1 for step in story.steps)}
_SHARES = {
    own: np.array([0 if story.own_source and not own else story.share for story in STORIES.values()])
    for own in (False, True)
}
_LINES = np.array([sum(step.copies for step in story.steps) for story in STORIES.values()])
EVENTS_A_CHAIN = {own: float((shares * _LINES).sum() / shares.sum()) for own, shares in _SHARES.items()}
"""By whether the logs of `OWN_SOURCES` are kept."""


class Chunk:
    """``CHUNK`` chains of a world, from one stream of draws.

    Args:
        world: the organisation.
        seed: of the whole log.
        number: of the chunk; its first chain is ``number * CHUNK``.
        count: chains of the whole log; the last chunk may be shorter.
        start: when the log begins, microseconds since 1970.
        days: how long it is.
        kinds: number of a chain → its kind, where it is not drawn.
    """

    def __init__(
        self, world: World, seed: int, number: int, count: int, start: int, days: float, kinds: Mapping[int, str]
    ) -> None:
        self.world, self.seed, self.first = world, seed, number * CHUNK
        self.size = size = min(CHUNK, count - self.first)
        rng = np.random.default_rng([seed, number])
        share = (self.first + np.arange(size) + rng.random(size)) / count
        begins = (start + _working_time(share, days)).astype(np.int64)
        drawn = rng.choice(len(KINDS), size, p=_SHARES[world.own_sources] / _SHARES[world.own_sources].sum())
        for chain, kind in kinds.items():
            drawn[chain - self.first] = KINDS.index(kind)
        lengths = _LENGTHS[drawn]
        ends = lengths.cumsum()
        self._ends: list[int] = ends.tolist()
        at = np.arange(ends[-1]) - np.repeat(ends - lengths - _FIRST[drawn], lengths)
        pace = rng.integers(200_000, 3 * MICRO, size=ends[-1]).cumsum()
        before = np.concatenate([[0], pace])[ends - lengths]
        times = np.repeat(begins - before, lengths) + pace + _WAITS[at]
        last = times[ends - 1]
        self._times: list[int] = times.tolist()
        self._texts = _texts(times + _SKEWS[at])
        around = [begins, begins + LIFE, last - LIFE, last + LIFE, begins - HOUR, begins + 8 * HOUR, begins + 30 * DAY]
        self._around = list(zip(*map(_texts, around), strict=True))
        self._kinds = drawn.tolist()
        self._draws = rng.integers(1 << 30, size=(size, 10)).tolist()

    def kind(self, place: int) -> str:
        """The kind of a chain."""
        kind: int = self._kinds[place]
        return KINDS[kind]

    def chain(self, place: int) -> list[Line]:
        """The lines of one chain, as its records are written."""
        kind = self.kind(place)
        story = STORIES[kind]
        template, end = _template(kind), self._ends[place]
        span = slice(end - len(story.steps), end)
        values = self._values(place, story, self._texts[span])
        if template.choices:
            drawn = self._draws[place][9]
            values |= {choice: words[drawn % len(words)] for choice, words in template.choices.items()}
        found = list(map(Line, map(add, self._times[span], _DELAYS[kind]), template.fill(values)))
        if kind not in _COPIED:
            return found
        return [line for line, step in zip(found, story.steps, strict=True) for _ in range(step.copies)]

    def _values(self, place: int, story: Story, times: list[str]) -> dict[str, str]:
        world, number = self.world, self.first + place
        who, agent_at, server_at, tool_at, second_at, tool2_at, length, other, network, _ = self._draws[place]
        if story.agents == "preauthorized":
            # one person after the other, by one agent after the other: what was allowed once is asked about rarely
            who, agent_at = number, number // len(world.people)
        people = world.people
        person, stranger = people[who % len(people)], people[other % len(people)]
        agents = world.agents_of(story.agents)
        agent, agent2 = agents[agent_at % len(agents)], agents[(agent_at + 1) % len(agents)]
        servers = world.servers_of(story.servers)
        server = servers[server_at % len(servers)]
        server2 = world.servers[(server.number + 1 + second_at % max(1, len(world.servers) - 1)) % len(world.servers)]
        tools = server.tools if story.writes is None else server.tools_that(writes=story.writes)
        tool, tools2 = tools[tool_at % len(tools)], server2.tools_that(writes=False)
        tool2 = tools2[tool2_at % len(tools2)]
        issued, expires, late, later, stale, shift, distant = self._around[place]
        chain = f"{self.seed}-{number:08d}"
        return {
            "id": chain,
            "base": f"{self.seed & 0xFFFF:04x}{number + 1:010x}",
            "trace": f"{self.seed & 0xFFFFFFFF:08x}{number + 1:020x}0001",
            "trace2": f"{self.seed & 0xFFFFFFFF:08x}{number + 1:020x}0002",
            "conversation": f"{self.seed}-{number // 3:07d}",
            "agent": agent.id,
            "agent_name": agent.name,
            "client": agent.client,
            "service": agent.service,
            "agent2": agent2.id,
            "agent2_name": agent2.name,
            "client2": agent2.client,
            "user": person.id,
            "user_name": person.name,
            "email": person.email,
            "other": stranger.id,
            "other_name": stranger.name,
            "other_email": stranger.email,
            "ip": f"10.{who % 200}.{network >> 8 & 255}.{network & 255}",
            "octet": str(network & 127),
            "length": str(12 + length % 388),
            "server": server.name,
            "uri": server.uri,
            "system": server.system,
            "server2": server2.name,
            "uri2": server2.uri,
            "tool": tool.name,
            "scope": tool.scope,
            "definition": tool.definition,
            "operation": tool.operation,
            "resource": f"r-{number % 9973}",
            "resource_type": tool.resource,
            "tool2": tool2.name,
            "scope2": tool2.scope,
            "issued": issued,
            "expires": expires,
            "late": late,
            "later": later,
            "stale": stale,
            "shift": shift,
            "distant": distant,
            **{f"p{turn}": people[(who + turn + 1) % len(people)].id for turn in range(story.people)},
            **dict(zip(_TIMES, times, strict=False)),
        }


def _texts(micros: np.ndarray[Any, np.dtype[np.int64]]) -> list[str]:
    """RFC 3339 in UTC, without a call into the locale or the time zone."""
    texts = np.datetime_as_string(micros.astype("datetime64[us]"), unit="us")
    return [f"{text}Z" for text in texts.tolist()]


def _working_time(share: np.ndarray[Any, np.dtype[np.float64]], days: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Microseconds into the log: four fifths of each day's work lie between 7:00 and 19:00, the batches at night."""
    day, within = np.divmod(share * days, 1.0)
    night, office = 0.2, 12 / 24
    hours = np.where(within < night / 2, within / (night / 2) * 7 / 24, 0.0)
    middle = (within >= night / 2) & (within < 1 - night / 2)
    hours = np.where(middle, 7 / 24 + (within - night / 2) / (1 - night) * office, hours)
    late = within >= 1 - night / 2
    hours = np.where(late, 19 / 24 + (within - 1 + night / 2) / (night / 2) * 5 / 24, hours)
    return (day + hours) * 86_400 * MICRO
