"""Logs that can never say something, as their source maps declare: gateways, spans, systems that know accounts."""

from __future__ import annotations

from generator.story import NO_ACTOR, NO_AGENT, NOBODY, Record, Story, step, told, work

_UNLINKED = {"event.dataset": "log_without_links"}
_NO_IDS = {"chain.prompt": None, "trace.id": None, "gen_ai.tool.call.id": None}
_NO_PROMPT = {**NO_AGENT, "chain.prompt": None, "gen_ai.conversation": None, "gen_ai.tool.call.id": None}


def _gateway() -> Story:
    """A gateway logs the call, and neither prompt nor scope, answer or agent; the system behind it knows the client."""
    mine = {**_NO_PROMPT, "oauth": None, "transaction.id": "request-{id}"}
    call = {**mine, "event.dataset": "contextforge", "mcp.server.exposure": None, "chain.via_proxy": None}
    decided = {**mine, "event.dataset": "contextforge", "gen_ai": None, "mcp.server": None}
    behind = {**_NO_PROMPT, "oauth.scope": None, "oauth.token": None, "transaction.id": "request-{id}"}
    return Story(0.7, told(step("decision", decided), step("tool_call", call), step("access", behind)), writes=True)


def _spans() -> Story:
    """A server's spans name the OAuth client and its scopes, and neither prompt nor person nor answer."""
    mine = {**_NO_PROMPT, **NOBODY, **NO_ACTOR, "oauth.token": None, "oauth.scope.required": None}
    call = {**mine, "event.dataset": "mcp_otel", "chain.via_proxy": None, "source": None, "mcp.server.auth": None}
    refused = {
        **_NO_PROMPT,
        **NOBODY,
        "event.dataset": "contextforge_otel",
        "event.action": "reject",
        "event.outcome": "failure",
        "oauth": None,
    }
    behind = {**_NO_PROMPT, "oauth.token": None}
    return Story(
        0.7,
        told(
            step("token", {**refused, "http.response.status_code": 401}),
            step("tool_call", {**call, "mcp.server.exposure": None}),
            step("access", behind),
        ),
        writes=True,
    )


def _without_any_id() -> Story:
    """A server of its own time passes no id on: that its call belongs to the work, the token alone tells."""
    bare = {**_NO_IDS, **NO_AGENT, "gen_ai.conversation": None, **_UNLINKED}
    return Story(
        0.7,
        told(
            step("prompt", NO_AGENT),
            step("token", NO_AGENT),
            step("tool_call", {**bare, "chain.response.hash": "answer-{id}-0"}),
            step("access", {**NO_AGENT, "oauth.token.hash": "hash-{id}-b"}),
        ),
        writes=True,
    )


def _account() -> Story:
    """The system behind the server knows a technical account, no person, no agent and no id but that of the request."""
    request = {"http.request.id": "request-{id}"}
    account = {
        **_NO_IDS,
        **NOBODY,
        **NO_AGENT,
        **_UNLINKED,
        **request,
        "gen_ai": None,
        "oauth": None,
        "user.effective.id": "app-{system}",
    }
    return Story(0.7, told(*work(tool_call=request, access=account)), writes=True)


def _no_account() -> Story:
    """The same, and not even the account is told."""
    request = {"http.request.id": "request-{id}"}
    nobody = {**_NO_IDS, **NOBODY, **NO_AGENT, **_UNLINKED, **request, "gen_ai": None, "oauth": None}
    return Story(0.7, told(*work(tool_call=request, access=nobody)), writes=True)


def _alone() -> Story:
    """A system that passes no id on was written to by an agent's client; nothing leads to the call."""
    client: Record = {**_NO_IDS, **NOBODY, **NO_AGENT, **_UNLINKED, "gen_ai": None, "oauth": None}
    return Story(0.7, told(step("access", {**client, "oauth.client.id": "{client}"})), writes=True)


def _ledger() -> Story:
    """An agent's client writes to a system that stands behind no MCP server at all."""
    direct = {**NO_AGENT, "chain.prompt.id": None, "gen_ai": None, "service.target.name": "ledger"}
    return Story(
        0.7, told(step("access", {**direct, "oauth.token.audience": ["https://ledger.corp.example"]})), writes=True
    )


def _person_only() -> Story:
    """The system behind the server knows the person, and has no place for the agent."""
    person = {**_NO_AGENT_AT_ALL, "event.dataset": "audit_without_agent"}
    return Story(0.7, told(*work(access=person)))


def _name_only() -> Story:
    """The system behind the server knows a name, which may be anybody's, and tells nothing of the agent."""
    return Story(0.3, told(*work(access={**NOBODY, "user.name": "{user_name}", **_NO_AGENT_AT_ALL})))


_NO_AGENT_AT_ALL: Record = {**NO_AGENT, **NO_ACTOR, "oauth.client": None, "oauth.token.client_id": None}


def _lost(stage: str) -> Story:
    """One hop passes neither prompt nor trace on, as its source map says; the call's number is enough."""
    lost = {"chain.prompt.id": None, "trace.id": None, **_UNLINKED}
    return Story(0.3, told(*work(**{stage: lost})))


def _for_nobody() -> Story:
    """A log that has no place for the caller tells a call whose arguments name one."""
    call: Record = {
        **NOBODY,
        **NO_ACTOR,
        **_UNLINKED,
        "gen_ai.tool.call.arguments": '{"id":"{resource}","on_behalf_of":"{email}"}',
    }
    return Story(0.7, told(*work(tool_call=call)), writes=False)


STORIES: dict[str, Story] = {
    "for nobody": _for_nobody(),
    "gateway": _gateway(),
    "spans": _spans(),
    "no id at all": _without_any_id(),
    "technical account": _account(),
    "no account": _no_account(),
    "written alone": _alone(),
    "ledger": _ledger(),
    "person only": _person_only(),
    "name only": _name_only(),
    "decision without an id": _lost("decision"),
    "answer without an id": _lost("tool_response"),
    "access without an id": _lost("access"),
    "call without an id": Story(
        0.3,
        told(
            step("prompt", NO_AGENT),
            step("decision", NO_AGENT),
            step("tool_call", {**NO_AGENT, **_UNLINKED, "chain.prompt": None, "trace.id": None}),
            step("tool_response", NO_AGENT),
        ),
        writes=False,
    ),
}
