"""Honest work as lines of a log: a prompt, its decisions and tokens, calls, answers and accesses.

A line is a template of the honest record (`generator.session`), serialised once, with places for what differs. Draws
come from one stream a chunk of chains, so that any number of processes writes the same bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from generator.session import base_event

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from generator.world import World

CHUNK = 1_000
"""Chains that share one stream of draws."""

MICRO = 1_000_000
KINDS = ("write", "read", "read twice", "consented", "defined", "scheduled", "denied", "cancelled", "task", "local")
SHARES = (0.31, 0.39, 0.12, 0.03, 0.01, 0.06, 0.03, 0.01, 0.01, 0.03)
"""Kinds of honest chains and how common they are: consented asks the person first, defined sees the tool's definition
again, and the last five are benign but strange."""

_PLACE = re.compile(rb'"\{(\w+)(\??)\}"')


@dataclass(frozen=True)
class Line:
    """One record: when it happened (microseconds since 1970), and its JSON text without a newline."""

    at: int
    text: bytes


class Template:
    """A record as bytes with places; a place marked ``?`` holds a number or literal and loses its quotes."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        text = orjson.dumps(record).replace(b"%", b"%%")
        self._order = [name.decode() for name, _ in _PLACE.findall(text)]
        self._text = _PLACE.sub(lambda place: b"%s" if place[2] else b'"%s"', text).decode()

    def fill(self, values: Mapping[str, Any]) -> bytes:
        """The record with its places filled; values are ids that need no escaping, or JSON literals."""
        return (self._text % tuple([values[name] for name in self._order])).encode()


def _set(record: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, leaf = dotted.split(".")
    for key in parents:
        record = record.setdefault(key, {})
    record[leaf] = value


_COMMON = {
    "@timestamp": "{time}",
    "event.id": "{event}",
    "chain.prompt.id": "{prompt}",
    "trace.id": "{trace}",
    "gen_ai.agent.id": "{agent}",
    "gen_ai.agent.name": "{agent_name}",
    "gen_ai.conversation.id": "{conversation}",
    "source.ip": "{ip}",
    "span.id": "{span}",
}
_USER = {"user.id": "{user}", "user.name": "{user_name}", "user.email": "{email}"}
_SERVER = {"mcp.server.name": "{server}", "mcp.server.uri": "{uri}"}
_CALL = {"gen_ai.tool.name": "{tool}", "gen_ai.tool.call.id": "{call}"}
_CLIENT = {"oauth.client.id": "{client}", "oauth.act.sub": "{agent}"}
_TOKEN = {
    "oauth.token.client_id": "{client}",
    "oauth.token.hash": "{token}",
    "oauth.token.audience": ["{uri}"],
    "oauth.token.issued_at": "{issued}",
    "oauth.token.expires_at": "{expires}",
}
_SCOPES = {"oauth.scope.presented": ["{scope}"], "oauth.scope.required": ["{scope}"]}
_PARENT = {"span.parent_id": "{parent}"}

_STAGES: dict[str, dict[str, Any]] = {
    "prompt": {**_USER, "chain.prompt.hash": "{prompt_hash}", "chain.prompt.length": "{length?}"},
    "decision": {**_USER, **_PARENT, **_SERVER, **_CALL, "mcp.tool.decision": "{decision}"},
    "token": {
        **_USER,
        **_PARENT,
        **_CLIENT,
        **_TOKEN,
        "oauth.resource": "{uri}",
        "oauth.consent.type": "{consent_type}",
        "oauth.scope.requested": ["{scope}"],
        "oauth.scope.granted": ["{scope}"],
    },
    "consent": {**_USER, **_PARENT, **_CLIENT, "oauth.scope.granted": ["{scope}"], "oauth.consent.id": "{consent}"},
    "change": {**_USER, **_PARENT, **_SERVER, "gen_ai.tool.name": "{tool}", "mcp.tool.definition.hash": "{definition}"},
    "tool_call": {
        **_USER,
        **_PARENT,
        **_SERVER,
        **_CALL,
        **_CLIENT,
        **_TOKEN,
        **_SCOPES,
        "event.outcome": "{outcome}",
        "gen_ai.tool.call.arguments": '{"id":"r-17","note":"as agreed"}',
        "mcp.server.exposure": "{exposure}",
        "mcp.server.auth": "{auth}",
    },
    "tool_response": {**_USER, **_PARENT, **_SERVER, **_CALL, "chain.response.hash": "{answer}"},
    "access": {
        **_USER,
        **_PARENT,
        **_CLIENT,
        **_TOKEN,
        **_SCOPES,
        "oauth.token.hash": "{downstream}",
        "oauth.token.audience": ["{system_uri}"],
        "gen_ai.tool.call.id": "{call}",
        "service.target.name": "{system}",
        "chain.operation": "{operation}",
        "event.code": "{operation}",
        "chain.resource.id": "{resource}",
        "chain.resource.type": "{resource_type}",
    },
}


@cache
def template(stage: str, form: str = "") -> Template:
    """The template of a stage; ``form``: scheduled (nobody is named), cancelled, task, local (no OAuth at all)."""
    record = base_event(stage)
    for name, value in {**_COMMON, **_STAGES[stage]}.items():
        _set(record, name, value)
    if stage == "access":
        record["event"].pop("action", None)  # the vendor's word for it is in event.code
    if form == "scheduled":
        record["user"] = {"effective": {"id": "{service}"}}
        if stage == "prompt":
            _set(record, "chain.prompt.origin", "schedule")
    if form == "cancelled" and stage == "tool_call":
        _set(record, "chain.cancelled", value=True)
    if form == "task" and stage == "tool_call":
        _set(record, "mcp.task.id", "{call}")
        _set(record, "mcp.task.status", "working")
    if form == "local":
        record.pop("oauth", None)
        record.get("chain", {}).pop("via_proxy", None)
    if form == "denied" and stage == "tool_call":
        _set(record, "http.response.status_code", 403)
    return Template(record)


class Chunk:
    """``CHUNK`` chains of a world, from one stream of draws.

    Args:
        world: the organisation.
        seed: of the whole log.
        number: of the chunk; its first chain is ``number * CHUNK``.
        count: chains of the whole log; the last chunk may be shorter.
        start: when the log begins, microseconds since 1970.
        days: how long it is.
    """

    def __init__(self, world: World, seed: int, number: int, count: int, start: int, days: float) -> None:
        self.world, self.first = world, number * CHUNK
        self.size = min(CHUNK, count - self.first)
        rng = np.random.default_rng([seed, number])
        share = (self.first + np.arange(self.size) + rng.random(self.size)) / count
        self.begins = (start + _working_time(share, days)).astype(np.int64)
        self.kinds = rng.choice(len(KINDS), self.size, p=SHARES)
        self.people = rng.integers(len(world.people), size=self.size)
        self.agents = rng.integers(len(world.agents), size=self.size)
        self.servers = rng.integers(len(world.servers), size=(self.size, 2))
        self.tools = rng.integers(1 << 30, size=(self.size, 2))
        self.gaps = rng.integers(200_000, 3 * MICRO, size=(self.size, 16))
        self.lengths = rng.integers(12, 400, size=self.size)
        self.addresses = rng.integers(256, size=(self.size, 2))

    def chain(self, place: int, kind: str | None = None) -> list[Line]:
        """The lines of one chain, by time; ``kind`` overrides what was drawn."""
        kind = kind or KINDS[self.kinds[place]]
        number = self.first + place
        person = self.world.people[self.people[place]]
        agent = self.world.agents[self.agents[place]]
        wanted = "scheduled" if kind == "scheduled" else "interactive"
        if agent.mode != wanted:  # the next one that people, or a schedule, start
            agents = self.world.agents
            agent = next(a for a in agents[self.agents[place] :] + agents if a.mode == wanted)
        values = {
            "prompt": f"prompt-{number:08d}",
            "trace": f"{number + 1:032x}",
            "agent": agent.id,
            "agent_name": agent.name,
            "client": agent.client,
            "service": agent.service,
            "conversation": f"conversation-{number // 3:07d}",
            "user": person.id,
            "user_name": person.name,
            "email": person.email,
            "ip": f"10.{self.people[place] % 200}.{self.addresses[place, 0]}.{self.addresses[place, 1]}",
            "prompt_hash": f"hmac-{number:012x}",
            "length": self.lengths[place],
            "span": f"{number + 1:012x}0000",
        }
        clock = _Clock(int(self.begins[place]), self.gaps[place].tolist())
        form = kind if kind in {"scheduled", "cancelled", "task", "local", "denied"} else ""
        lines = [self._line("prompt", form, values, clock.now(), f"{number}-0")]
        calls = 2 if kind == "read twice" else 1
        for call in range(calls):
            if call:
                values["trace"] = f"{number + 1:028x}{call:04x}"
            lines += self._call(place, call, kind, form, values, clock)
        return lines

    def _call(
        self, place: int, call: int, kind: str, form: str, values: dict[str, Any], clock: _Clock
    ) -> Iterator[Line]:
        number = self.first + place
        server = self.world.servers[self.servers[place, call]]
        again = call > 0 and self.servers[place, call] == self.servers[place, 0]
        reads = kind.startswith("read") or kind == "local"
        tools = [tool for tool in server.tools if (tool.risk == "read") == reads]
        tool = tools[self.tools[place, 0 if again else call] % len(tools)]
        root, span = f"{number + 1:012x}0000", f"{number + 1:012x}{call + 1:02x}"
        issued = clock.later(3)
        values |= {
            "server": server.name,
            "uri": server.uri,
            "tool": tool.name,
            "call": f"call-{number}-{call}",
            "scope": tool.scope,
            "decision": "deny" if kind == "denied" else "allow",
            "outcome": "failure" if kind == "denied" else "success",
            "exposure": "stdio" if kind == "local" else "internal",
            "auth": "none" if kind == "local" else "oauth",
            "system": server.system,
            "system_uri": f"https://{server.system}.corp.example",
            "operation": {"read": "read", "write": "write", "destructive": "delete"}[tool.risk],
            "resource": f"r-{number % 9973}",
            "resource_type": tool.name.split("_")[1],
            "token": f"hash-{number:09d}-{0 if again else call}a",
            "downstream": f"hash-{number:09d}-{call}b",
            "consent": f"consent-{number}",
            "consent_type": "user" if kind == "consented" else "admin",
            "definition": tool.definition,
            "answer": f"answer-{number:09d}-{call}",
            "parent": root,
        }
        if not again:
            values |= {"issued": _time(issued), "expires": _time(issued + 900 * MICRO)}
        stages = ["decision", "token", "tool_call", "access", "tool_response"]
        if kind == "denied":
            stages = ["decision", "tool_call"]
        elif kind in {"cancelled", "task"}:
            stages = ["decision", "token", "tool_call"]
        elif kind == "consented":
            stages.insert(1, "consent")
        elif kind == "defined":
            stages.insert(0, "change")
        elif kind == "local":
            stages = ["decision", "tool_call", "tool_response"]
        if again:  # the same tool once more, under the token that is still good
            stages.remove("token")
        for step, stage in enumerate(stages):
            under = stage in {"access", "tool_response"}
            values["parent"] = f"{span}c0" if under else root
            values["span"] = f"{span}c0" if stage == "tool_call" else f"{span}{step + 1:02x}"
            yield self._line(stage, form, values, clock.now(), f"{number}-{call * 8 + step + 1}")

    @staticmethod
    def _line(stage: str, form: str, values: dict[str, Any], at: int, event: str) -> Line:
        values["time"] = _time(at)
        values["event"] = f"ev-{event}"
        return Line(at, template(stage, form).fill(values))


class _Clock:
    """The chain's own time: each reading is a gap later."""

    def __init__(self, begins: int, gaps: list[int]) -> None:
        self._at, self._gaps, self._next = begins, gaps, 0

    def now(self) -> int:
        at = self._at
        self._at += self._gaps[self._next]
        self._next += 1
        return at

    def later(self, readings: int) -> int:
        """A moment before the next reading but ``readings`` gaps, without moving on: when a token was issued."""
        return self._at - readings * 1_000


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


def _time(micros: int) -> str:
    """RFC 3339 in UTC, without a call into the locale or the time zone."""
    seconds, fraction = divmod(micros, MICRO)
    return f"{_second(seconds)}.{fraction:06d}Z"


@cache
def _day(days: int) -> str:
    return str(np.datetime64(days, "D"))


def _second(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    return f"{_day(days)}T{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
