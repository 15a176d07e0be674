"""What a story is, and the words to tell one in: records of an honest chain with places, and what is different in them.

A place is a word in braces; ``"{length?}"`` stands for a number, ``{a|b|c}`` for one of several words, drawn for each
chain. Ids are made of ``{id}`` (a chain's own), ``{base}`` (its spans) and ``{trace}``.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from generator.session import base_event

MICRO = 1_000_000
MINUTE = 60 * MICRO
Record = dict[str, Any]

OWN_SOURCES = ("audit_without_agent", "log_without_links")
"""Logs that an organisation keeps in the schema's form, and that can never say something: a source map each."""

COURSE = ("prompt", "decision", "token", "tool_call", "access", "tool_response")
"""The stages of one plain call."""


@dataclass(frozen=True)
class Step:
    """One record of a story.

    Attributes:
        record: nested, with places.
        wait: microseconds after the step before, beside the chain's own pace.
        skew: how wrong the clock of its emitter is, microseconds.
        delay: how much later than its time it reaches the log, microseconds.
        copies: how often the log holds it.
    """

    record: Record
    wait: int = 0
    skew: int = 0
    delay: int = 0
    copies: int = 1


@dataclass(frozen=True)
class Story:
    """A kind of chain, or of a few that belong together.

    Attributes:
        share: weight among all kinds.
        steps: its records, by the time of their writing.
        writes: whether its tool changes something; None: either.
        agents: which agents work in it: interactive, scheduled or preauthorized.
        servers: which servers it may use: any, first, third, cleared.
        people: how many people it names beside its own, as ``{p0}``, ``{p1}`` …
    """

    share: float
    steps: tuple[Step, ...]
    writes: bool | None = None
    agents: str = "interactive"
    servers: str = "any"
    people: int = 0

    @property
    def own_source(self) -> bool:
        """Whether it is told in logs that only `OWN_SOURCES` explain."""
        return any(one.record.get("event", {}).get("dataset") in OWN_SOURCES for one in self.steps)


_COMMON = {
    "chain.prompt.id": "prompt-{id}",
    "trace.id": "{trace}",
    "gen_ai.agent.id": "{agent}",
    "gen_ai.agent.name": "{agent_name}",
    "gen_ai.conversation.id": "conversation-{conversation}",
    "source.ip": "{ip}",
}
_USER = {"user.id": "{user}", "user.name": "{user_name}", "user.email": "{email}"}
_CALL = {"gen_ai.tool.name": "{tool}", "gen_ai.tool.call.id": "call-{id}-0"}
_CLIENT = {"oauth.client.id": "{client}", "oauth.act.sub": "{agent}"}
_TOKEN = {
    "oauth.token.client_id": "{client}",
    "oauth.token.hash": "hash-{id}-a",
    "oauth.token.audience": ["{uri}"],
    "oauth.token.issued_at": "{issued}",
    "oauth.token.expires_at": "{expires}",
}
_SCOPES = {"oauth.scope.presented": ["{scope}"], "oauth.scope.required": ["{scope}"]}
SERVER = {"mcp.server.name": "{server}", "mcp.server.uri": "{uri}"}
_STAGES: dict[str, dict[str, Any]] = {
    "prompt": {"chain.prompt.hash": "hmac-{id}", "chain.prompt.length": "{length?}"},
    "decision": {**SERVER, **_CALL},
    "consent": {**_CLIENT, "oauth.scope.granted": ["{scope}"], "oauth.consent.id": "consent-{id}"},
    "token": {
        **_CLIENT,
        **_TOKEN,
        "oauth.resource": "{uri}",
        "oauth.consent.type": "admin",
        "oauth.scope.requested": ["{scope}"],
        "oauth.scope.granted": ["{scope}"],
    },
    "change": {**SERVER, "gen_ai.tool.name": "{tool}", "mcp.tool.definition.hash": "{definition}"},
    "tool_call": {
        **SERVER,
        **_CALL,
        **_CLIENT,
        **_TOKEN,
        **_SCOPES,
        "gen_ai.tool.call.arguments": '{"id":"{resource}","note":"as agreed"}',
    },
    "tool_response": {**SERVER, **_CALL, "chain.response.hash": "answer-{id}-0"},
    "access": {
        **_CLIENT,
        **_TOKEN,
        **_SCOPES,
        "oauth.token.hash": "hash-{id}-b",
        "oauth.token.audience": ["https://{system}.corp.example"],
        "gen_ai.tool.call.id": "call-{id}-0",
        "service.target.name": "{system}",
        "chain.operation": "{operation}",
        "event.code": "{operation}",
        "event.action": None,  # the vendor's word for it is in event.code
        "chain.resource.id": "{resource}",
        "chain.resource.type": "{resource_type}",
    },
}
_UNDER_CALL = {"access", "tool_response"}

NOBODY: Record = {"user.id": None, "user.name": None, "user.email": None}
SERVICE: Record = {**NOBODY, "user.effective.id": "{service}"}
NO_AGENT: Record = {"gen_ai.agent": None}
NO_ACTOR: Record = {"oauth.act": None, "oauth.delegation": None}
REFUSED: Record = {"event.outcome": "failure", "http.response.status_code": 403}
FAILED: Record = {"event.outcome": "failure"}
DENIED: Record = {"mcp.tool.decision": "deny"}


def put(record: Record, dotted: str, value: Any) -> None:
    """Set a dotted name; None takes it away, and with it what it leaves empty."""
    *parents, leaf = dotted.split(".")
    at = record
    for key in parents:
        at = at.setdefault(key, {})
    if value is not None:
        at[leaf] = value
        return
    at.pop(leaf, None)
    if parents and not at:
        put(record, ".".join(parents), None)


def step(stage: str, changes: Record | None = None, **timing: int) -> Step:
    """A record of a stage with its places, and what is different in this story."""
    record = base_event(stage)
    for some in (_COMMON, _USER, _STAGES[stage], changes or {}):  # what a story takes away, it may say again otherwise
        for name, value in some.items():
            put(record, name, deepcopy(value))
    return Step(record, **timing)


def told(*steps: Step) -> tuple[Step, ...]:
    """The steps numbered: their times, event ids, spans and parents; a record with a trace of its own begins it."""
    call = "00"
    for number, one in enumerate(steps):
        record, stage = one.record, one.record["chain"]["stage"]
        record["@timestamp"] = f"{{t{number}}}"
        record["event"]["id"] = f"ev-{{id}}-{number}"
        record["span"] = {"id": f"{{base}}{number + 1:02x}"}
        if number and record.get("trace", {}).get("id", "").startswith("{trace"):
            record["span"]["parent_id"] = "{base}" + (call if stage in _UNDER_CALL else "01")
        if stage == "tool_call":
            call = f"{number + 1:02x}"
    return steps


def work(**changes: Record) -> list[Step]:
    """The plain course of one call; changes by stage."""
    return [step(stage, changes.get(stage)) for stage in COURSE]


def every(changes: Record, **more: Record) -> list[Step]:
    """The plain course with the same changes at each stage, and more at some."""
    return work(**{stage: {**changes, **more.get(stage, {})} for stage in COURSE})


def own(number: int, stage: str, changes: Record | None = None, **timing: int) -> Step:
    """A record of one of several chains that a story tells side by side: prompt, trace, call and token of its own."""
    mine: Record = {"chain.prompt.id": f"prompt-{{id}}-{number}", "trace.id": f"{1:016x}{{base}}{number + 1:02x}"}
    for name in ("oauth.token.hash", "gen_ai.tool.call.id", "chain.response.hash"):
        if name in _STAGES[stage]:
            mine[name] = f"{name.split('.')[1]}-{{id}}-{number}"
    return step(stage, {**mine, **(changes or {})}, **timing)


def answered(number: int, changes: Record | None = None, **timing: int) -> Step:
    """A call of a story that tells several side by side, its answer on the same record."""
    answer = {"chain.response.hash": f"answer-{{id}}-{number}"}
    return own(number, "tool_call", {**answer, **(changes or {})}, **timing)
