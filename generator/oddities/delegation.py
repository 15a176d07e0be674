"""Tokens that are exchanged, asked for and shown in flows where something is missing by design."""

from __future__ import annotations

from generator.story import FAILED, NO_ACTOR, NO_AGENT, SERVER, SERVICE, Record, Step, Story, step, told, work

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SAML = "urn:ietf:params:oauth:grant-type:saml2-bearer"
_JAG, _TRANSACTION = "urn:ietf:params:oauth:token-type:id-jag", "urn:ietf:params:oauth:token-type:txn_token"
_NO_SERVER = {"oauth.resource": None}
_CODE = {"event.action": "issue", "oauth.grant_type": "authorization_code", "oauth.subject_token_type": None}


def _tokens(share: float, *changes: Record, agents: str = "interactive") -> Story:
    """A prompt, and records of the authorization server that differ by these changes."""
    return Story(share, told(step("prompt"), *(step("token", one) for one in changes)), agents=agents)


def _portal() -> Story:
    """A person signs in to a portal of the company: no agent, no actor, a wide grant for a day, no server named."""
    portal = {
        **NO_AGENT,
        **NO_ACTOR,
        **_NO_SERVER,
        **dict.fromkeys(("chain.prompt.id", "trace.id", "gen_ai.conversation")),
        "oauth.client.id": "portal",
        "oauth.token.client_id": "portal",
        "oauth.scope.granted": ["{scope}", "{system}.*"],
        "oauth.token.expires_at": "{shift}",
    }
    return Story(0.4, told(step("token", portal), step("token", {**portal, **_CODE})))


def _named_once() -> tuple[Record, ...]:
    """The actor is told in one field, whichever the authorization server knows."""
    fields: tuple[Record, ...] = (
        {"oauth.act.present": True},
        {"oauth.act.sub": "{agent}"},
        {"oauth.act.chain": ["{agent}"]},
        {"oauth.act.depth": 1},
    )
    return tuple({**NO_ACTOR, **one} for one in fields)


def _call_that_tells() -> Story:
    """A gateway notes on the call how its token was got, and not for whom the token says that it acts."""
    noted = {**NO_ACTOR, "oauth.grant_type": _EXCHANGE}
    return Story(0.3, told(*work(tool_call=noted)))


def _gateway() -> Story:
    """An authorization server behind a gateway that cannot say by whom, for which server, or under which prompt."""
    cannot = {**NO_AGENT, **NO_ACTOR, **_NO_SERVER, "chain.prompt": None, "gen_ai": None, "oauth.token.audience": None}
    named = {**cannot, "event.dataset": "contextforge", "mcp.client.name": "{agent_name}", "trace": None}
    return Story(0.7, told(step("token", {**named, "oauth.client": None, "oauth.token": None, "oauth.scope": None})))


def _old_server() -> Story:
    """An authorization server that knows neither resources nor what was consented."""
    first = step("token", {**_NO_SERVER, "event.dataset": "log_without_links", "oauth.consent": None})
    prompt, decision, _, call, access, answer = work()
    return Story(0.4, told(prompt, decision, first, call, access, answer), writes=True)


def _bound() -> Step:
    """The server is not named in the request, and the token is for it all the same."""
    return step("token", {**_NO_SERVER, **SERVER})


STORIES: dict[str, Story] = {
    "signed in": _tokens(0.3, {**_CODE, **NO_ACTOR, "oauth.delegation.type": "direct"}),
    "own token exchanged": _tokens(0.3, {**SERVICE, **NO_ACTOR}, agents="scheduled"),
    "portal": _portal(),
    "actor told once": _tokens(0.3, *_named_once()),
    "actor not told": _tokens(0.7, {"oauth.act": None}),
    "other flows": _tokens(
        0.3,
        {**NO_ACTOR, "oauth.delegation.type": "on_behalf_of"},
        {**NO_ACTOR, "oauth.grant_type": _BEARER},
        {**NO_ACTOR, "oauth.grant_type": _SAML},
    ),
    "other tokens": _tokens(
        0.3,
        *({**NO_ACTOR, "oauth.token.type": kind} for kind in ("id_jag", "txn_token")),
        *(
            {**NO_ACTOR, f"oauth.{which}_token_type": kind}
            for which in ("requested", "issued")
            for kind in (_JAG, _TRANSACTION)
        ),
    ),
    "exchange undone": _tokens(
        0.3,
        {**NO_ACTOR, **FAILED},
        *({**NO_ACTOR, "event.action": action} for action in ("introspect", "reject", "revoke")),
    ),
    "token noted on the call": _call_that_tells(),
    "exchange noted on the call": Story(0.3, told(*work(tool_call={**NO_ACTOR, "event.action": "exchange"}))),
    "resource not noted": Story(0.3, told(*work(tool_call={"event.action": "issue", "oauth.token.audience": None}))),
    "gateway's exchange": _gateway(),
    "old authorization server": _old_server(),
    "for other tokens": _tokens(
        0.3,
        *({**_CODE, **_NO_SERVER, "oauth.token.type": kind} for kind in ("id_token", "session", "id_jag")),
        {**_NO_SERVER, "oauth.requested_token_type": _JAG},
        {**_NO_SERVER, "oauth.grant_type": _BEARER},
    ),
    "for an ordinary system": _tokens(0.7, {**_NO_SERVER, "service.target.name": "{system}"}),
    "request refused": _tokens(0.7, {**_NO_SERVER, **FAILED}),
    "bound by its audience": Story(0.7, told(step("prompt"), _bound())),
}
