"""Who acts, told oddly: people by one name only, services that answer for themselves, linked accounts."""

from __future__ import annotations

from generator.story import (
    DENIED,
    FAILED,
    NO_ACTOR,
    NO_AGENT,
    NOBODY,
    SERVICE,
    Record,
    Story,
    every,
    step,
    told,
    work,
)
from generator.world import OTHER_ISSUER

_NAMES = {"user.id": "{user}", "user.name": "{user_name}", "user.email": "{email}"}
_SELF_CALLED = {"event.action": "issue", "oauth.grant_type": "client_credentials", "oauth.subject_token_type": None}
_FOR_ITSELF = {**SERVICE, **_SELF_CALLED, "oauth.act": None, "oauth.delegation.type": "client_credentials"}
_UNCHECKED = {"oauth.assertion.type": "jwt", "oauth.assertion.verified": False, "oauth.assertion.expired": True}
_TURNED_AWAY = {**FAILED, "http.response.status_code": 401}


def _one_name(kept: str) -> Story:
    """The systems know the person by one name only, and the arguments say it again."""
    alone = {**NOBODY, kept: _NAMES[kept]}
    arguments = f'{{"id":"{{resource}}","on_behalf_of":"{_NAMES[kept]}"}}'
    return Story(0.25, told(*every(alone, tool_call={"gen_ai.tool.call.arguments": arguments})))


def _arguments(value: str, key: str = "on_behalf_of") -> Record:
    return {"gen_ai.tool.call.arguments": f'{{"id":"{{resource}}","{key}":"{value}"}}'}


def _housekeeping() -> Story:
    """The platform keeps house for an agent, by a client of its own that the register calls a system."""
    client = {"oauth.client.id": "platform-{system}", "oauth.token.client_id": "platform-{system}"}
    alone = {
        **NOBODY,
        "chain.prompt.id": None,
        "oauth.act": None,
        "oauth.delegation.type": "client_credentials",
        **client,
    }
    return Story(
        0.7,
        told(
            step("token", {**alone, **_SELF_CALLED, "oauth.resource": "https://{system}.corp.example"}),
            step("access", {**alone, "gen_ai.tool": None}),
        ),
        writes=False,
    )


def _probe() -> Story:
    """Monitoring calls the server itself, past the proxy and for nobody, and says by which check."""
    client = {"oauth.client.id": "platform-{system}", "oauth.token.client_id": "platform-{system}"}
    check = {**NOBODY, **client, "oauth.act": None, "oauth.delegation": None, "chain.via_proxy": False}
    return Story(
        0.7,
        told(
            step("prompt", {**NOBODY, "chain.prompt.origin": "schedule"}),
            step("tool_call", check),
            step("tool_response", NOBODY),
        ),
        writes=False,
        agents="scheduled",
    )


def _tokens_for_itself() -> Story:
    """An agent asks for a token of its own and is refused, or the server looks at one, rejects or revokes it."""
    return Story(
        0.3,
        told(
            step("prompt"),
            step("token", {**_FOR_ITSELF, **FAILED}),
            *(step("token", {**_FOR_ITSELF, "event.action": action}) for action in ("introspect", "reject", "revoke")),
        ),
    )


def _assertions() -> Story:
    """An assertion that is old and that nobody could check opens nothing; looking at it is no use of it."""
    return Story(
        0.3,
        told(
            step("prompt"),
            step("tool_call", {**_UNCHECKED, **_TURNED_AWAY, "oauth.token.expires_at": "{stale}"}),
            step("token", {**_UNCHECKED, "event.action": "introspect"}),
            *(step("token", {**_UNCHECKED, **FAILED, "event.action": action}) for action in ("redeem", "exchange")),
        ),
    )


def _proposals() -> Story:
    """An agent proposes to act for a colleague, under a token of its own, and the policy says no; no call is made."""
    proposed = {**DENIED, **_arguments("{other_email}"), "oauth.delegation.type": "client_credentials"}
    return Story(0.3, told(step("prompt"), step("decision", proposed)))


def _asked_at_night() -> Story:
    """A scheduled agent asks whether it may act for a person, and nobody answers."""
    asked = {**SERVICE, **_arguments("{other_email}"), "mcp.tool.decision": "ask"}
    return Story(
        0.3,
        told(step("prompt", {**SERVICE, "chain.prompt.origin": "schedule"}), step("decision", asked)),
        agents="scheduled",
    )


def _not_signed_in() -> Story:
    """Nobody is signed in yet, the arguments name a person, and the call is refused: by the server, or by a policy."""
    bare = {**NOBODY, **_arguments("{email}")}
    unnamed = {**bare, **NO_ACTOR, "oauth.client": None, "oauth.token.client_id": None}
    return Story(
        0.4,
        told(
            step("prompt"),
            step("tool_call", {**bare, **_TURNED_AWAY, "oauth": None}),
            step("tool_call", {**unnamed, **FAILED, **DENIED, "gen_ai.tool.call.id": "call-{id}-1"}),
        ),
    )


def _accounts() -> Story:
    """A scheduled agent administers accounts: the person in its arguments is what it works on."""
    return Story(
        0.7,
        told(*every(SERVICE, prompt={"chain.prompt.origin": "schedule"}, tool_call=_arguments("{other}", "user_id"))),
        writes=True,
        agents="scheduled",
    )


def _other_account() -> Story:
    """The system behind the server knows the person by an account of its own, which the register links."""
    account = {**NOBODY, "user.id": "v-{user}", "oauth.token.issuer": OTHER_ISSUER}
    return Story(0.5, told(*work(access=account)))


def _other_audience() -> Story:
    """A token for another server is shown by mistake, and the server does not take it."""
    wrong = {
        **_TURNED_AWAY,
        "oauth.token.audience": ["{uri2}"],
        "oauth.token.hash": "hash-{id}-0",
        "oauth.challenge.error": "invalid_token",
    }
    prompt, decision, token, call, access, answer = work()
    return Story(0.3, told(prompt, decision, step("tool_call", wrong), token, call, access, answer))


def _of_nobody() -> Story:
    """A gateway passes on an id that the caller chose: who called is told, and nobody vouches for it."""
    mine = {**NO_AGENT, "chain.prompt.id": None, "trace.id": None, "gen_ai.tool.call.id": None, "oauth": None}
    joined = {**mine, "transaction.id": "request-{id}", "gen_ai.conversation": None}
    # no second fact: the access names a batch, has another parent and shows no token
    batch = {**NOBODY, "user.effective.id": "batch-{system}", "oauth.client.id": "batch-{system}"}
    return Story(
        0.3,
        told(
            step("tool_call", {**joined, "event.dataset": "contextforge", "chain.response.hash": "answer-{id}-0"}),
            step("access", {**joined, **batch}),
        ),
        writes=False,
    )


STORIES: dict[str, Story] = {
    "known by id alone": _one_name("user.id"),
    "known by name alone": _one_name("user.name"),
    "known by e-mail alone": _one_name("user.email"),
    "answered by a service": Story(0.3, told(*work(tool_response=SERVICE))),
    "own account": Story(0.7, told(*work(tool_call={**NO_ACTOR, "user.effective.id": "{user}"}))),
    "housekeeping": _housekeeping(),
    "probe": _probe(),
    "refused for itself": _tokens_for_itself(),
    "agent proves itself": Story(
        0.7,
        told(step("prompt"), step("token", {**_FOR_ITSELF, "oauth.token.audience": ["api://AzureADTokenExchange"]})),
    ),
    "assertion refused": _assertions(),
    "no assertion": Story(
        0.7, told(*work(tool_call={"oauth.assertion.type": "none", "oauth.assertion.verified": False}))
    ),
    "proposal denied": _proposals(),
    "asked at night": _asked_at_night(),
    "not signed in": _not_signed_in(),
    "accounts administered": _accounts(),
    "other account": _other_account(),
    "wrong token first": _other_audience(),
    "caller's own id": _of_nobody(),
}
