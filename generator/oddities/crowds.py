"""Many at once, told oddly: crowds, loops and bursts that stay small, take their time, or are nobody's fault."""

from __future__ import annotations

from generator.story import (
    DENIED,
    MINUTE,
    NO_ACTOR,
    NO_AGENT,
    SERVICE,
    Record,
    Step,
    Story,
    own,
    step,
    told,
)

_READ = ["{system}.{resource_type}.read"]
_ONLY_READ: Record = {"oauth.scope.requested": _READ, "oauth.scope.granted": _READ}
_UNASKED: Record = {"oauth.consent": None}
_NO_TIMES: Record = {"oauth.token.issued_at": None, "oauth.token.expires_at": None}
_TOOLS = ("purge", "share", "export", "merge", "audit", "close", "clone")
_UNLINKED: Record = {"event.dataset": "log_without_links"}
_ALSO: Record = {"oauth.token.hash": "hash-{id}-d"}
_UNKNOWN: Record = {
    "event.outcome": "failure",
    "http.response.status_code": 401,
    "oauth": None,
    "gen_ai.tool.call.id": None,
}


def _crowd(share: float, count: int, changes: Record, wait: int = 0) -> Story:
    """One service identity acts for several people, each by a prompt of theirs."""
    calls: list[Step] = []
    for turn in range(count):
        person: Record = {"user.id": f"{{p{turn}}}", "user.name": None, "user.email": None}
        acting: Record = {**person, "user.effective.id": "{service}", **_NO_TIMES, **changes}
        noted: Record = {**person, "user.effective.id": "{service}"}
        calls += [
            own(turn, "prompt", person, wait=wait),
            own(turn, "tool_call", acting),
            own(turn, "tool_response", noted),
        ]
    return Story(share, told(*calls), writes=False, people=count)


def _loop(share: float, count: int, wait: int = 0, agents: str = "interactive") -> Story:
    """One prompt, many calls."""
    who: Record = SERVICE if agents == "scheduled" else {}
    first = step("prompt", {**who, "chain.prompt.origin": "schedule"} if who else {})
    calls = (
        step(
            "tool_call",
            {
                **who,
                "gen_ai.tool.call.id": f"call-{{id}}-{turn}",
                "chain.response.hash": f"answer-{{id}}-{turn}",
                **_NO_TIMES,
            },
            wait=wait,
        )
        for turn in range(count)
    )
    return Story(share, told(first, *calls), writes=False, agents=agents)


def _tokens(share: float, *changes: tuple[Record, int]) -> Story:
    """A prompt, and tokens that are issued some time apart."""
    tokens = (step("token", one, wait=wait) for one, wait in changes)
    return Story(share, told(step("prompt"), *tokens), writes=True, agents="preauthorized")


def _denials(share: float, *changes: Record, wait: int = 0, people: int = 0) -> Story:
    """Decisions that say no, each about another tool."""
    decisions = (
        own(turn, "decision", {**DENIED, "gen_ai.tool.name": f"{name}_{{resource_type}}", **one}, wait=wait)
        for turn, (name, one) in enumerate(zip(_TOOLS, changes, strict=False))
    )
    return Story(share, told(*decisions), people=people)


def _burst(share: float, count: int, *turns: Record, wait: int = 0) -> Story:
    """Calls whose token the server does not know, one after the other."""
    calls = (step("tool_call", {**_UNKNOWN, **turns[turn % len(turns)]}, wait=wait) for turn in range(count))
    return Story(share, told(step("prompt"), *calls))


STORIES: dict[str, Story] = {
    "small crowd": _crowd(0.2, 2, NO_ACTOR),
    "slow crowd": _crowd(0.3, 6, NO_ACTOR, wait=12 * MINUTE),
    "crowd with actors": _crowd(0.5, 7, {"oauth.delegation": None}),
    "crowd on behalf": _crowd(0.5, 7, {"oauth.act": None, "oauth.delegation.type": "{delegation|on_behalf_of}"}),
    "crowd at a gateway": _crowd(0.5, 7, {"oauth": None, "event.dataset": "contextforge"}),
    "loop": _loop(0.03, 70),
    "long loop": _loop(0.03, 120, wait=20 * 1_000_000),
    "night's work": _loop(0.04, 140, agents="scheduled"),
    "first write, then read": _tokens(0.3, (_UNASKED, 0), ({**_ONLY_READ, **_ALSO}, 5 * MINUTE)),
    "write much later": _tokens(0.3, (_ONLY_READ, 0), ({**_UNASKED, **_ALSO}, 45 * MINUTE)),
    "write by another client": _tokens(
        0.3,
        (_ONLY_READ, 0),
        (
            {
                **_UNASKED,
                **_ALSO,
                **NO_AGENT,
                **NO_ACTOR,
                "oauth.client.id": "platform-{system}",
                "oauth.token.client_id": "platform-{system}",
            },
            MINUTE,
        ),
    ),
    "read refused, then write": _tokens(
        0.8, ({**_ONLY_READ, "event.outcome": "failure"}, 0), ({**_UNASKED, **_ALSO}, MINUTE)
    ),
    "read, then write refused": _tokens(
        0.8, (_ONLY_READ, 0), ({**_UNASKED, **_ALSO, "event.outcome": "failure"}, MINUTE)
    ),
    "read, then write, unlinked": _tokens(0.8, (_ONLY_READ, 0), ({**_UNASKED, **_ALSO, **_UNLINKED}, MINUTE)),
    "denied three times": _denials(0.3, *({} for _ in range(3))),
    "denied now and then": _denials(0.3, *({} for _ in range(6)), wait=6 * MINUTE),
    "denied by turns": _denials(
        0.3,
        *(
            {} if turn % 2 else {"gen_ai.agent.id": "{agent2}", "gen_ai.agent.name": "{agent2_name}"}
            for turn in range(6)
        ),
    ),
    "denied to a team": _denials(
        0.3, *({"user.id": f"{{p{turn}}}", "user.name": None, "user.email": None} for turn in range(6)), people=6
    ),
    "refused by the person again": _denials(0.5, *({"mcp.tool.decision_source": "user_reject"} for _ in range(7))),
    "token lost": _burst(0.1, 14, {}),
    "token lost for an hour": _burst(0.1, 24, {}, wait=100 * 1_000_000),
    "token lost at two servers": _burst(0.1, 28, {}, {"mcp.server.name": "{server2}", "mcp.server.uri": "{uri2}"}),
    "token lost in two places": _burst(0.1, 28, {}, {"source.ip": "10.201.1.{octet}"}),
}
