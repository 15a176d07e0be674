"""Kinds of honest work, each a short list of records with places for what differs, and how common each is.

The first few are what most days are made of. The rest is benign and strange: what a rule must be able to tell from an
attack. A place is a word in braces; ``"{length?}"`` stands for a number. Ids are made of ``{id}`` (a chain's own),
``{base}`` (its spans) and ``{trace}``.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from generator.session import base_event

MICRO = 1_000_000
Record = dict[str, Any]


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
    """A kind of chain.

    Attributes:
        share: weight among all kinds.
        steps: its records, by the time of their writing.
        writes: whether its tool changes something; None: either.
        scheduled: whether a schedule starts it.
        servers: which servers it may use: any, first, third.
    """

    share: float
    steps: tuple[Step, ...]
    writes: bool | None = None
    scheduled: bool = False
    servers: str = "any"


_COMMON = {
    "chain.prompt.id": "prompt-{id}",
    "trace.id": "{trace}",
    "gen_ai.agent.id": "{agent}",
    "gen_ai.agent.name": "{agent_name}",
    "gen_ai.conversation.id": "conversation-{conversation}",
    "source.ip": "{ip}",
}
_USER = {"user.id": "{user}", "user.name": "{user_name}", "user.email": "{email}"}
_SERVER = {"mcp.server.name": "{server}", "mcp.server.uri": "{uri}"}
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
_STAGES: dict[str, dict[str, Any]] = {
    "prompt": {"chain.prompt.hash": "hmac-{id}", "chain.prompt.length": "{length?}"},
    "decision": {**_SERVER, **_CALL},
    "consent": {**_CLIENT, "oauth.scope.granted": ["{scope}"], "oauth.consent.id": "consent-{id}"},
    "token": {
        **_CLIENT,
        **_TOKEN,
        "oauth.resource": "{uri}",
        "oauth.consent.type": "admin",
        "oauth.scope.requested": ["{scope}"],
        "oauth.scope.granted": ["{scope}"],
    },
    "change": {**_SERVER, "gen_ai.tool.name": "{tool}", "mcp.tool.definition.hash": "{definition}"},
    "tool_call": {
        **_SERVER,
        **_CALL,
        **_CLIENT,
        **_TOKEN,
        **_SCOPES,
        "gen_ai.tool.call.arguments": '{"id":"{resource}","note":"as agreed"}',
    },
    "tool_response": {**_SERVER, **_CALL, "chain.response.hash": "answer-{id}-0"},
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
_NOBODY = {"user.id": None, "user.name": None, "user.email": None}


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
    for name, value in {**_COMMON, **_USER, **_STAGES[stage], **(changes or {})}.items():
        put(record, name, deepcopy(value))
    return Step(record, **timing)


def _told(*steps: Step) -> tuple[Step, ...]:
    """The steps numbered: their times, event ids, spans and parents."""
    call = "00"
    for number, one in enumerate(steps):
        record, stage = one.record, one.record["chain"]["stage"]
        record["@timestamp"] = f"{{t{number}}}"
        record["event"]["id"] = f"ev-{{id}}-{number}"
        record["span"] = {"id": f"{{base}}{number + 1:02x}"}
        if number:
            record["span"]["parent_id"] = "{base}" + (call if stage in _UNDER_CALL else "01")
        if stage == "tool_call":
            call = f"{number + 1:02x}"
    return steps


def _work(**changes: Record) -> list[Step]:
    """The plain course of one call; changes by stage."""
    stages = ("prompt", "decision", "token", "tool_call", "access", "tool_response")
    return [step(stage, changes.get(stage)) for stage in stages]


def _all(changes: Record) -> dict[str, Record]:
    return dict.fromkeys(("prompt", "decision", "token", "tool_call", "access", "tool_response"), changes)


_SERVICE = {**_NOBODY, "user.effective.id": "{service}"}
_REFUSED = {"event.outcome": "failure", "http.response.status_code": 403, "oauth": None}
_READ = ["{system}.{resource_type}.read"]
_SECOND = {
    "trace.id": "{trace2}",
    "gen_ai.tool.call.id": "call-{id}-1",
    "gen_ai.tool.name": "{tool2}",
    "mcp.server.name": "{server2}",
    "mcp.server.uri": "{uri2}",
}
_SECOND_TOKEN = {"oauth.token.hash": "hash-{id}-c", "oauth.token.audience": ["{uri2}"]}
_SECOND_SCOPE = {"oauth.scope.presented": ["{scope2}"], "oauth.scope.required": ["{scope2}"]}


def _local() -> tuple[Step, ...]:
    """A server on the person's own machine: no OAuth, no proxy, and its public address is the machine's own."""
    bare = {"oauth": None, "chain.via_proxy": None, "mcp.server.exposure": "stdio", "mcp.server.auth": "none"}
    bare["source.ip"] = "198.51.100.{octet}"
    return _told(
        step("prompt"),
        step("decision"),
        step("tool_call", {**bare, "network.transport": "pipe"}),
        step("tool_response"),
    )


def _retry() -> tuple[Step, ...]:
    """The first try runs into a time-out, the second is answered."""
    prompt, decision, token, call, access, answer = _work()
    first = step("tool_call", {"event.outcome": "failure", "error.type": "timeout"})
    return _told(prompt, decision, token, first, call, access, answer)


def _refresh() -> tuple[Step, ...]:
    """The token is renewed between two calls of one tool."""
    fresh = {"oauth.token.hash": "hash-{id}-r", "oauth.token.parent_id": "jti-{id}", "oauth.token.id": "jti-{id}-r"}
    prompt, decision, token, call, access, answer = _work(
        token={"oauth.token.id": "jti-{id}"}, tool_call={"oauth.token.id": "jti-{id}"}
    )
    second = {"gen_ai.tool.call.id": "call-{id}-1"}
    renewed = step("token", {**fresh, "event.action": "refresh", "oauth.grant_type": "refresh_token"}, wait=600 * MICRO)
    return _told(
        *(prompt, decision, token, call, access, answer, renewed),
        step("tool_call", {**fresh, **second, "oauth.token.issued_at": "{late}", "oauth.token.expires_at": "{later}"}),
        step("access", {**second, "oauth.token.hash": "hash-{id}-s", "oauth.token.expires_at": "{later}"}),
        step("tool_response", second),
    )


def _subagent() -> tuple[Step, ...]:
    """One agent hands part of the work to another: two hops of delegation, both on record."""
    hop = {
        "gen_ai.agent.id": "{agent2}",
        "gen_ai.agent.name": "{agent2_name}",
        "chain.agent.parent_id": "{agent}",
        "oauth.client.id": "{client2}",
        "oauth.token.client_id": "{client2}",
        "oauth.act.sub": "{agent2}",
        "oauth.act.chain": ["{agent2}", "{agent}"],
        "oauth.act.depth": 2,
    }
    plain = {name: value for name, value in hop.items() if not name.startswith("oauth")}
    return _told(
        *_work(decision=plain, tool_call=hop, access=hop, tool_response=plain, token=hop),
    )


def _step_up() -> tuple[Step, ...]:
    """What began with reading needs a write: the server challenges, the person is asked and consents."""
    read = {"oauth.scope.requested": _READ, "oauth.scope.granted": _READ, "oauth.token.hash": "hash-{id}-0"}
    challenge = {
        "event.outcome": "failure",
        "http.response.status_code": 403,
        "oauth.challenge.error": "insufficient_scope",
        "oauth.scope.presented": _READ,
        "oauth.challenge.scope": ["{scope}"],
        "oauth.token.hash": "hash-{id}-0",
    }
    prompt, decision, token, call, access, answer = _work(token={"oauth.consent.type": "user"})
    return _told(
        *(prompt, decision, step("token", read), step("tool_call", challenge), step("consent")),
        *(token, call, access, answer),
    )


def _task() -> tuple[Step, ...]:
    """A long task: the call says that it is working, the answer comes twenty minutes later."""
    prompt, decision, token, call, access, answer = _work(
        tool_call={"mcp.task.id": "task-{id}", "mcp.task.status": "working"}
    )
    return _told(prompt, decision, token, call, access, Step(answer.record, wait=1200 * MICRO))


def _workload() -> tuple[Step, ...]:
    """A registered batch, no agent and no prompt: it gets a token for itself and changes its own system."""
    alone = {
        **_NOBODY,
        "chain.prompt.id": None,
        "gen_ai.agent.id": None,
        "gen_ai.agent.name": None,
        "gen_ai.conversation.id": None,
        "oauth.act": None,
        "oauth.delegation.type": "client_credentials",
        "oauth.client.id": "batch-{system}",
        "oauth.token.client_id": "batch-{system}",
        "user.effective.id": "batch-{system}",
        "gen_ai.tool": None,
    }
    grant = {"event.action": "issue", "oauth.grant_type": "client_credentials", "oauth.subject_token_type": None}
    return _told(
        step("token", {**alone, **grant, "oauth.resource": "https://{system}.corp.example"}), step("access", alone)
    )


def _stories() -> dict[str, Story]:
    plain = _work
    api = {"oauth": None, "mcp.server.auth": "mtls"}
    vendor = {"mcp.server.exposure": "internet"}
    contact = {
        "gen_ai.tool.name": "create_contact",
        "gen_ai.tool.call.arguments": '{"name":"{other_name}","email":"{other_email}"}',
    }
    no_act = {"oauth.act": None, "oauth.delegation.type": "on_behalf_of"}
    bearer = {**no_act, "oauth.grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    jag = {**no_act, "oauth.delegation.type": None, "oauth.token.type": "id_jag"}
    return {
        "write": Story(24, _told(*plain()), writes=True),
        "read": Story(31, _told(*plain()), writes=False),
        "read twice": Story(
            10,
            _told(
                *plain(),
                step("decision", _SECOND),
                step("token", {**_SECOND_TOKEN, "oauth.resource": "{uri2}", "trace.id": "{trace2}"}),
                step("tool_call", {**_SECOND, **_SECOND_TOKEN, **_SECOND_SCOPE}),
                step("access", {"trace.id": "{trace2}", "gen_ai.tool.call.id": "call-{id}-1", **_SECOND_SCOPE}),
                step("tool_response", {**_SECOND, "chain.response.hash": "answer-{id}-1"}),
            ),
            writes=False,
        ),
        "consented": Story(
            2,
            _told(step("prompt"), step("decision"), step("consent"), *plain(token={"oauth.consent.type": "user"})[2:]),
            writes=True,
        ),
        "step-up": Story(2, _step_up(), writes=True),
        "definition seen": Story(1, _told(step("prompt"), step("change"), *plain()[1:])),
        "scheduled": Story(
            6,
            _told(*plain(**{**_all(_SERVICE), "prompt": {**_SERVICE, "chain.prompt.origin": "schedule"}})),
            scheduled=True,
        ),
        "denied": Story(
            3, _told(step("prompt"), step("decision", {"mcp.tool.decision": "deny"}), step("tool_call", _REFUSED))
        ),
        "refused by the person": Story(
            1,
            _told(
                step("prompt"),
                step("decision", {"mcp.tool.decision": "deny", "mcp.tool.decision_source": "user_reject"}),
            ),
        ),
        "cancelled": Story(
            1, _told(step("prompt"), step("decision"), step("token"), step("tool_call", {"chain.cancelled": True}))
        ),
        "task": Story(1, _task()),
        "local": Story(3, _local(), writes=False),
        "mutual TLS": Story(
            1,
            _told(*plain(tool_call=api, access={"oauth": None})[:2], *plain(tool_call=api, access={"oauth": None})[3:]),
        ),
        "retried": Story(2, _retry()),
        "wrong clock": Story(1, _told(*plain()[:4], step("access", skew=-45 * MICRO), step("tool_response"))),
        "late": Story(1, _told(*plain()[:4], step("access", delay=90 * MICRO), step("tool_response"))),
        "delivered twice": Story(1, _told(*plain()[:3], step("tool_call", copies=2), *plain()[4:])),
        "subagent": Story(2, _subagent()),
        "refreshed": Story(1, _refresh()),
        "vendor": Story(
            2, _told(*plain(**dict.fromkeys(("decision", "tool_call", "tool_response"), vendor))), servers="third"
        ),
        "contact created": Story(
            1, _told(*plain(tool_call=contact, decision={"gen_ai.tool.name": "create_contact"})), writes=True
        ),
        "on behalf of": Story(1, _told(*plain(token=bearer))),
        "identity assertion": Story(1, _told(*plain(token=jag))),
        "workload": Story(1, _workload(), writes=True),
    }


STORIES: dict[str, Story] = _stories()
"""All kinds, by name. Attacks bend ``write``."""
