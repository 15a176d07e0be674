"""Kinds of honest work, and how common each is: what most days are made of, and the best known oddities.

The rest of what is benign and strange is told by chapter in `generator.oddities`: what a rule must be able to tell from
an attack.
"""

from __future__ import annotations

from generator.oddities import oddities
from generator.story import (
    DENIED,
    MICRO,
    NOBODY,
    REFUSED,
    SERVICE,
    Record,
    Step,
    Story,
    every,
    step,
    told,
    work,
)

__all__ = ["MICRO", "STORIES", "Story"]

_READ = ["{system}.{resource_type}.read"]
_CONTACT_SCOPE = ["{system}.contact.write"]
_CONTACT: dict[str, Record] = {
    "decision": {"gen_ai.tool.name": "create_contact"},
    "token": dict.fromkeys(("oauth.scope.requested", "oauth.scope.granted"), _CONTACT_SCOPE),
    "tool_call": {
        "gen_ai.tool.name": "create_contact",
        "gen_ai.tool.call.arguments": '{"name":"{other_name}","email":"{other_email}"}',
        **dict.fromkeys(("oauth.scope.presented", "oauth.scope.required"), _CONTACT_SCOPE),
    },
    "access": {
        **dict.fromkeys(("oauth.scope.presented", "oauth.scope.required"), _CONTACT_SCOPE),
        **dict.fromkeys(("chain.operation", "event.code"), "write"),
        "chain.resource.type": "contact",
    },
    "tool_response": {"gen_ai.tool.name": "create_contact"},
}
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
    return told(
        step("prompt"),
        step("decision"),
        step("tool_call", {**bare, "network.transport": "pipe"}),
        step("tool_response"),
    )


def _retry() -> tuple[Step, ...]:
    """The first try runs into a time-out, the second is answered."""
    prompt, decision, token, call, access, answer = work()
    first = step("tool_call", {"event.outcome": "failure", "error.type": "timeout"})
    return told(prompt, decision, token, first, call, access, answer)


def _refresh() -> tuple[Step, ...]:
    """The token is renewed between two calls of one tool."""
    fresh = {"oauth.token.hash": "hash-{id}-r", "oauth.token.parent_id": "jti-{id}", "oauth.token.id": "jti-{id}-r"}
    prompt, decision, token, call, access, answer = work(
        token={"oauth.token.id": "jti-{id}"}, tool_call={"oauth.token.id": "jti-{id}"}
    )
    second = {"gen_ai.tool.call.id": "call-{id}-1"}
    # a refresh keeps the resource of its grant, and its client need not say it again
    refresh = {**fresh, "event.action": "refresh", "oauth.grant_type": "refresh_token", "oauth.resource": None}
    renewed = step("token", refresh, wait=600 * MICRO)
    return told(
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
    return told(
        *work(decision=plain, tool_call=hop, access=hop, tool_response=plain, token=hop),
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
    prompt, decision, token, call, access, answer = work(token={"oauth.consent.type": "user"})
    return told(
        *(prompt, decision, step("token", read), step("tool_call", challenge), step("consent")),
        *(token, call, access, answer),
    )


def _task() -> tuple[Step, ...]:
    """A long task: the call says that it is working, the answer comes twenty minutes later."""
    prompt, decision, token, call, access, answer = work(
        tool_call={"mcp.task.id": "task-{id}", "mcp.task.status": "working"}
    )
    return told(prompt, decision, token, call, access, Step(answer.record, wait=1200 * MICRO))


def _workload() -> tuple[Step, ...]:
    """A registered batch, no agent and no prompt: it gets a token for itself and changes its own system."""
    alone = {
        **NOBODY,
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
    return told(
        step("token", {**alone, **grant, "oauth.resource": "https://{system}.corp.example"}), step("access", alone)
    )


def _stories() -> dict[str, Story]:
    plain = work
    api = {"oauth": None, "mcp.server.auth": "mtls"}
    vendor = {"mcp.server.exposure": "internet"}
    no_act = {"oauth.act": None, "oauth.delegation.type": "on_behalf_of"}
    bearer = {**no_act, "oauth.grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    jag = {**no_act, "oauth.delegation.type": None, "oauth.token.type": "id_jag"}
    return {
        "write": Story(24, told(*plain()), writes=True),
        "read": Story(31, told(*plain()), writes=False),
        "read twice": Story(
            10,
            told(
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
            told(step("prompt"), step("decision"), step("consent"), *plain(token={"oauth.consent.type": "user"})[2:]),
            writes=True,
        ),
        "step-up": Story(2, _step_up(), writes=True),
        "definition seen": Story(1, told(step("prompt"), step("change"), *plain()[1:])),
        "scheduled": Story(
            6,
            told(*every(SERVICE, prompt={"chain.prompt.origin": "schedule"})),
            agents="scheduled",
        ),
        "denied": Story(
            3, told(step("prompt"), step("decision", DENIED), step("tool_call", {**REFUSED, "oauth": None}))
        ),
        "refused by the person": Story(
            1,
            told(
                step("prompt"),
                step("decision", {**DENIED, "mcp.tool.decision_source": "user_reject"}),
            ),
        ),
        "cancelled": Story(
            1, told(step("prompt"), step("decision"), step("token"), step("tool_call", {"chain.cancelled": True}))
        ),
        "task": Story(1, _task()),
        "local": Story(3, _local(), writes=False),
        "mutual TLS": Story(
            1,
            told(*plain(tool_call=api, access={"oauth": None})[:2], *plain(tool_call=api, access={"oauth": None})[3:]),
        ),
        "retried": Story(2, _retry()),
        "wrong clock": Story(1, told(*plain()[:4], step("access", skew=-45 * MICRO), step("tool_response"))),
        "late": Story(1, told(*plain()[:4], step("access", delay=90 * MICRO), step("tool_response"))),
        "delivered twice": Story(1, told(*plain()[:3], step("tool_call", copies=2), *plain()[4:])),
        "subagent": Story(2, _subagent()),
        "refreshed": Story(1, _refresh()),
        "vendor": Story(
            2, told(*plain(**dict.fromkeys(("decision", "tool_call", "tool_response"), vendor))), servers="third"
        ),
        "contact created": Story(1, told(*plain(**_CONTACT)), writes=True),
        "on behalf of": Story(1, told(*plain(token=bearer))),
        "identity assertion": Story(1, told(*plain(token=jag))),
        "workload": Story(1, _workload(), writes=True),
        **oddities(),
    }


STORIES: dict[str, Story] = _stories()
"""All kinds, by name. Attacks bend ``write``."""
