"""What it may do, told oddly: wide grants that come to nothing, tokens of other kinds, tools that are not there."""

from __future__ import annotations

from generator.story import DENIED, FAILED, NO_AGENT, NOBODY, REFUSED, Record, Story, every, step, told, work

_READ = ["{system}.{resource_type}.read"]
_WIDE = {"oauth.scope.granted": ["{scope}", "{system}.*"]}
_PRESENTED = {"oauth.scope.granted": None, "oauth.scope.requested": None}
_NOT_GRANTED = {"chain.tools.granted": ["read_calendar", "read_contacts"]}
_STOPPED = {**REFUSED, "event.outcome": "unknown", "error.code": "403"}
"""By a gateway that knows the answer's status and no outcome."""
_LONG = {"oauth.token.expires_at": "{distant}"}


def _tokens(share: float, *changes: Record, writes: bool | None = None) -> Story:
    """A prompt, and records of the authorization server that differ by these changes."""
    return Story(share, told(step("prompt"), *(step("token", one) for one in changes)), writes=writes)


def _wide() -> Story:
    """A wide grant is refused, looked at, rejected, revoked or withdrawn: nobody holds it in the end."""
    withdrawn = step("consent", {**_WIDE, "oauth.scope.requested": ["{scope}"], "event.action": "withdraw"})
    actions = ("introspect", "reject", "revoke")
    undone = (step("token", {**_WIDE, "event.action": action}) for action in actions)
    return Story(0.3, told(step("prompt"), step("token", {**_WIDE, **FAILED}), *undone, withdrawn))


def _batch() -> Story:
    """A batch may do everything in its own system, as the register's scopes say; it is no agent."""
    client = {"oauth.client.id": "batch-{system}", "oauth.token.client_id": "batch-{system}"}
    alone = {
        **NOBODY,
        **NO_AGENT,
        **client,
        **dict.fromkeys(("chain.prompt.id", "gen_ai.conversation", "oauth.act", "oauth.subject_token_type")),
        "user.effective.id": "batch-{system}",
        "oauth.delegation.type": "client_credentials",
    }
    grant = {"event.action": "issue", "oauth.grant_type": "client_credentials", "oauth.scope.granted": ["{system}.*"]}
    used = {"gen_ai.tool": None, "oauth.scope.presented": ["{system}.*"]}
    return Story(0.5, told(step("token", {**alone, **grant}), step("access", {**alone, **used})), writes=True)


def _refused_wide() -> Story:
    """A call shows a wide token, and the server lets it not in; the gateway notes what was granted."""
    noted = {
        **_WIDE,
        **_STOPPED,
        "oauth.scope.requested": ["{scope}"],
        "oauth.scope.presented": ["{scope}", "{system}.*"],
    }
    return Story(0.3, told(step("prompt"), step("decision"), step("tool_call", noted)), writes=True)


def _refused_read() -> Story:
    """The same with a token that may read: noted, and not enough."""
    noted = {"oauth.scope.granted": _READ, "oauth.scope.presented": _READ}
    return Story(0.3, told(step("prompt"), step("decision"), step("tool_call", {**noted, **_STOPPED})))


def _looked_at() -> Story:
    """The server asks what a token may do: what it presents is told, and nothing is granted."""
    wide = {**_PRESENTED, "oauth.scope.presented": ["{scope}", "{system}.*"], "oauth.consent": None}
    some = {**_PRESENTED, "oauth.scope.presented": ["{scope}"], "oauth.consent": None}
    read = {**_PRESENTED, "oauth.scope.presented": _READ}
    return _tokens(
        0.3,
        {**some, "event.action": "introspect"},
        {**read, "event.action": "introspect"},
        {**wide, "event.action": "refresh", "oauth.grant_type": "refresh_token"},
        writes=True,
    )


def _asked_before() -> Story:
    """The runtime sees beforehand that the token is not enough, and gets a wider one before it calls."""
    asked = {"event.outcome": "success", "oauth.scope.presented": _READ, "oauth.scope.required": ["{scope}"]}
    prompt, _, token, call, access, answer = work(token={"oauth.consent.type": "user"})
    decision = step("decision", {**asked, "mcp.tool.decision": "ask"})
    return Story(0.3, told(prompt, decision, step("consent"), token, call, access, answer), writes=True)


def _invented() -> Story:
    """The model invents a tool, the server knows none of this name, and the model finds the right one."""
    wrong = {**_NOT_GRANTED, "gen_ai.tool.name": "fetch_{resource_type}s", "gen_ai.tool.call.id": "call-{id}-x"}
    answer = {**FAILED, "error.code": "{-32601|-32602}"}
    prompt, decision, token, call, access, response = work()
    return Story(0.7, told(prompt, decision, token, step("tool_call", {**wrong, **answer}), call, access, response))


def _outside() -> Story:
    """A tool that the consent does not name is asked about and stopped, by server or by policy."""
    refused = {**_NOT_GRANTED, **REFUSED, "gen_ai.tool.call.id": "call-{id}-1"}
    denied = {**_NOT_GRANTED, **FAILED, **DENIED, "gen_ai.tool.call.id": "call-{id}-2"}
    return Story(
        0.4,
        told(
            step("prompt"),
            step("decision", {**_NOT_GRANTED, "mcp.tool.decision": "ask"}),
            step("tool_call", refused),
            step("tool_call", denied),
        ),
    )


def _long_lived() -> Story:
    """What lives long and is no access token: a refresh token, a log-in, a key, a session."""
    kinds = ("refresh_token", "id_token", "api_key", "session")
    return _tokens(0.3, *({**_LONG, "oauth.token.type": kind} for kind in kinds))


def _long_undone() -> Story:
    """A long-lived token is refused, looked at or revoked; shown in a call, the server lets it not in."""
    prompt, decision, *_ = work()
    return Story(
        0.4,
        told(
            *(prompt, decision, step("token", {**_LONG, **FAILED})),
            *(step("token", {**_LONG, "event.action": action}) for action in ("introspect", "revoke")),
            step("tool_call", {**_LONG, **REFUSED}),
            step("tool_call", {**_LONG, **REFUSED, "gen_ai.tool.call.id": "call-{id}-1"}),
        ),
    )


def _preauthorized() -> Story:
    """The organisation allowed the work beforehand: the grant names no consent, and nothing was granted before."""
    return Story(
        0.5,
        told(*work(token={"oauth.consent.type": "{none|preauthorized}"})),
        writes=True,
        agents="preauthorized",
    )


STORIES: dict[str, Story] = {
    "wide grant undone": _wide(),
    "batch": _batch(),
    "wide token refused": _refused_wide(),
    "read token refused": _refused_read(),
    "token looked at": _looked_at(),
    "asked before": _asked_before(),
    "invented tool": _invented(),
    "outside the consent": _outside(),
    "long-lived": _long_lived(),
    "long-lived undone": _long_undone(),
    "long downstream": Story(0.3, told(*work(access={"oauth.token.expires_at": "{shift}"}))),
    "read without consent": _tokens(0.3, {"oauth.consent": None}, writes=False),
    "preauthorized": _preauthorized(),
    "managed consent": Story(0.5, told(*work(token={"oauth.consent.type": "enterprise_managed"})), writes=True),
    "refused a read": _tokens(0.5, {**FAILED, "oauth.scope.granted": _READ}),
    "refused a write": _tokens(0.7, {**FAILED, "oauth.consent": None}, writes=True),
    "local port": Story(
        0.4,
        told(
            step("prompt"),
            step("decision"),
            step(
                "tool_call",
                {
                    "oauth": None,
                    "chain.via_proxy": False,
                    "mcp.server.exposure": "loopback",
                    "mcp.server.auth": "none",
                    "source.ip": "198.51.100.{octet}",
                },
            ),
            step("tool_response", {"chain.via_proxy": False}),
        ),
        writes=False,
    ),
    "local process": Story(
        0.4,
        told(
            step("prompt"),
            step("decision", {"chain.via_proxy": False}),
            step(
                "tool_call",
                {
                    "oauth": None,
                    "chain.via_proxy": False,
                    "mcp.server.exposure": "stdio",
                    "mcp.server.auth": "none",
                    "network.transport": "pipe",
                },
            ),
            step("tool_response"),
        ),
        writes=False,
    ),
    "write refused downstream": Story(
        0.4,
        told(
            *every(
                {},
                tool_call={"oauth.scope.presented": _READ, "oauth.scope.required": _READ},
                access={**REFUSED, "oauth.scope.presented": _READ},
            )
        ),
        writes=True,
    ),
}
