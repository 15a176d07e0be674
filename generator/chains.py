"""Chains of an organisation as lines of a log, from one stream of draws a thousand chains.

A story is one text with places (`generator.stories`); a chain fills it at once and is cut into lines. So any number of
processes writes the same bytes, and a chain costs some twenty microseconds.
"""

from __future__ import annotations

import re
from functools import cache, cached_property
from operator import add, itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from generator.stories import MICRO, STORIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from generator.stories import Story
    from generator.world import Agent, World

CHUNK = 1_000
"""Chains that share one stream of draws."""

KINDS = tuple(STORIES)
LONGEST = max(len(story.steps) for story in STORIES.values())
_TIMES = [f"t{at}" for at in range(LONGEST)]
LIFE = 900 * MICRO
"""How long a token lives."""

_PLACE = re.compile(r'"\{(\w+)\?\}"|\{(\w+)\}')


class Line(NamedTuple):
    """One record: when it reaches the log (microseconds since 1970), and its JSON text without a newline."""

    at: int
    text: bytes


class Template:
    """Texts with places, filled together."""

    def __init__(self, records: list[Mapping[str, Any]]) -> None:
        text = "\n".join(orjson.dumps(record).decode() for record in records)
        self._values = itemgetter(*(quoted or plain for quoted, plain in _PLACE.findall(text)))
        self._parts: list[str] = []
        at = 0
        for place in _PLACE.finditer(text):
            self._parts += text[at : place.start()], ""
            at = place.end()
        self._parts.append(text[at:])

    def fill(self, values: Mapping[str, str]) -> list[bytes]:
        """The lines; values are ids and digits, which need no escaping."""
        parts = self._parts.copy()
        parts[1::2] = self._values(values)
        return "".join(parts).encode().split(b"\n")


@cache
def _template(kind: str) -> Template:
    return Template([step.record for step in STORIES[kind].steps])


_WAITS = np.array(
    [[step.wait for step in story.steps] + [0] * (LONGEST - len(story.steps)) for story in STORIES.values()]
).cumsum(axis=1)
_SKEWS = np.array(
    [[step.skew for step in story.steps] + [0] * (LONGEST - len(story.steps)) for story in STORIES.values()]
)
_DELAYS = {kind: [step.delay for step in story.steps] for kind, story in STORIES.items()}
_COPIED = {kind for kind, story in STORIES.items() if any(step.copies != 1 for step in story.steps)}
_SHARES = np.array([story.share for story in STORIES.values()]) / sum(story.share for story in STORIES.values())


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
        drawn = rng.choice(len(KINDS), size, p=_SHARES)
        for chain, kind in kinds.items():
            drawn[chain - self.first] = KINDS.index(kind)
        times = begins[:, None] + rng.integers(200_000, 3 * MICRO, size=(size, LONGEST)).cumsum(axis=1) + _WAITS[drawn]
        self._times = times.tolist()
        self._texts = _texts(times + _SKEWS[drawn])
        self._begins = _texts(np.stack([begins, begins + LIFE, times[:, -1] - LIFE, times[:, -1] + LIFE], axis=1))
        self._kinds = drawn.tolist()
        self._draws = rng.integers(1 << 30, size=(size, 9)).tolist()

    @cached_property
    def _agents(self) -> dict[bool, tuple[Agent, ...]]:
        agents = self.world.agents
        return {mode: tuple(a for a in agents if (a.mode == "scheduled") == mode) or agents for mode in (True, False)}

    def kind(self, place: int) -> str:
        """The kind of a chain."""
        kind: int = self._kinds[place]
        return KINDS[kind]

    def chain(self, place: int) -> list[Line]:
        """The lines of one chain, as its records are written."""
        kind = self.kind(place)
        story = STORIES[kind]
        lines = _template(kind).fill(self._values(place, story))
        found = list(map(Line, map(add, self._times[place], _DELAYS[kind]), lines))
        if kind not in _COPIED:
            return found
        return [line for line, step in zip(found, story.steps, strict=True) for _ in range(step.copies)]

    def _values(self, place: int, story: Story) -> dict[str, str]:
        world, number = self.world, self.first + place
        who, agent_at, server_at, tool_at, second_at, tool2_at, length, other, network = self._draws[place]
        person, stranger = world.people[who % len(world.people)], world.people[other % len(world.people)]
        agents = self._agents[story.scheduled]
        agent, agent2 = agents[agent_at % len(agents)], agents[(agent_at + 1) % len(agents)]
        servers = world.servers_of(story.servers)
        server = servers[server_at % len(servers)]
        server2 = world.servers[(server.number + 1 + second_at) % len(world.servers)]
        tools = server.tools if story.writes is None else server.tools_that(writes=story.writes)
        tool, tools2 = tools[tool_at % len(tools)], server2.tools_that(writes=False)
        tool2 = tools2[tool2_at % len(tools2)]
        issued, expires, late, later = self._begins[place]
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
            **dict(zip(_TIMES, self._texts[place], strict=True)),
        }


def _texts(micros: np.ndarray[Any, np.dtype[np.int64]]) -> list[list[str]]:
    """RFC 3339 in UTC, without a call into the locale or the time zone."""
    texts = np.datetime_as_string(micros.astype("datetime64[us]"), unit="us")
    return [[f"{text}Z" for text in row] for row in texts.tolist()]


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
