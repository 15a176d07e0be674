"""Third parties, told oddly: servers that are refused before use, and vendors that may see what is restricted."""

from __future__ import annotations

from generator.story import DENIED, FAILED, REFUSED, Record, Story, every, step, told, work
from generator.world import LAPSED

_ASKED = {"mcp.tool.decision": "ask"}
_LAPSED = {"mcp.server.name": LAPSED["name"], "mcp.server.uri": LAPSED["uri"]}
_AWAY = {"cloud.region": "us-east-1"}
_HERE = {"cloud.region": "{eu-central-1|eu-west-1}"}


def _refused(where: Record) -> Story:
    """Someone tries such a server: the person is asked, the server lets nobody in, the policy stops the call."""
    second = {"gen_ai.tool.call.id": "call-{id}-1"}
    return Story(
        0.5,
        told(
            step("prompt"),
            step("decision", {**where, **_ASKED}),
            step("tool_call", {**where, **REFUSED}),
            step("tool_call", {**where, **FAILED, **DENIED, **second}),
        ),
    )


def _audience(where: Record) -> Record:
    return {**where, "oauth.token.audience": [where["mcp.server.uri"]]}


def _unknown() -> Story:
    """An agent finds a server that nobody registered, and the policy stops it."""
    server = {"mcp.server.name": "{system}-mcp-beta", "mcp.server.uri": "https://{system}-mcp-beta.example/mcp"}
    return Story(0.3, told(step("prompt"), step("decision", {**server, **DENIED})))


def _restricted(*, after: bool) -> Story:
    """A vendor's server is called for what is restricted: one that is cleared for it, or one that is asked before."""
    touched = {"chain.resource.classification": "restricted"}
    if not after:
        return Story(0.4, told(*work(access=touched)), servers="cleared")
    first = every({"trace.id": "{trace2}"}, access={"service.target.name": "{system}"})
    second: Record = {
        "gen_ai.tool.call.id": "call-{id}-1",
        "mcp.server.name": "hr-mcp",
        "mcp.server.uri": "https://hr-mcp.corp.example/mcp",
        "gen_ai.tool.name": "read_report",
    }
    token = {"oauth.token.hash": "hash-{id}-c", "oauth.token.audience": [second["mcp.server.uri"]]}
    scope = {"oauth.scope.presented": ["hr.report.read"], "oauth.scope.required": ["hr.report.read"]}
    behind = {"gen_ai.tool.call.id": "call-{id}-1", "service.target.name": "hr", "chain.operation": "read"}
    return Story(
        0.4,
        told(
            *first,
            step("tool_call", {**second, **token, **scope}, wait=90_000_000),
            step("access", {**behind, **touched, **scope, "oauth.token.hash": "hash-{id}-d"}),
            step("tool_response", {**second, "chain.response.hash": "answer-{id}-1"}),
        ),
        servers="third",
        writes=False,
    )


STORIES: dict[str, Story] = {
    "lapsed server refused": _refused(_audience(_LAPSED)),
    "region refused": _refused(_AWAY),
    "unknown server stopped": _unknown(),
    "agreed region": Story(0.5, told(*work(tool_call=_HERE, tool_response=_HERE))),
    "restricted and cleared": _restricted(after=False),
    "restricted after the vendor": _restricted(after=True),
}
