"""Where it listens, told oddly: servers that are open and let nobody in, keys that are known, links with keys."""

from __future__ import annotations

from generator.story import DENIED, FAILED, Record, Story, step, told, work
from generator.world import KEYED

_CLOSED = {**FAILED, "http.response.status_code": 401, "oauth.challenge.error": "invalid_token"}
_OPEN = {"mcp.server.exposure": "internet", "source.ip": "198.51.100.{octet}"}
_PLAIN = {"mcp.server.auth": "none", "mcp.server.exposure": "internal"}


def _turned_away() -> Story:
    """Servers that are being set up: open to the internet, without log-in, past the proxy; and they let nobody in."""
    second: Record = {"gen_ai.tool.call.id": "call-{id}-1"}
    third: Record = {"gen_ai.tool.call.id": "call-{id}-2"}
    return Story(
        0.7,
        told(
            step("prompt"),
            step("tool_call", {**_CLOSED, **_OPEN}),
            step("tool_call", {**_CLOSED, **_PLAIN, **second}),
            step("tool_call", {**_CLOSED, "chain.via_proxy": False, **third}),
        ),
        servers="first",
    )


def _stopped() -> Story:
    """The runtime knows how such a server listens, and calls it not."""
    return Story(
        0.3,
        told(
            step("prompt"),
            step("decision", {**DENIED, **_OPEN}),
            step("decision", {**DENIED, **_PLAIN, "gen_ai.tool.call.id": "call-{id}-1"}),
        ),
        servers="first",
    )


def _keyed() -> Story:
    """A call of the one server that still takes a static key, which is a state and no incident."""
    server = {"mcp.server.name": KEYED["name"], "mcp.server.uri": KEYED["uri"], "mcp.server.auth": "api_key"}
    call = {**server, "oauth": None, "gen_ai.tool.name": "print_page"}
    return Story(
        0.5,
        told(
            step("prompt"),
            step("decision", {**server, "gen_ai.tool.name": "print_page"}),
            step("tool_call", call),
            step("tool_response", {**server, "gen_ai.tool.name": "print_page"}),
        ),
        writes=False,
    )


STORIES: dict[str, Story] = {
    "turned away": _turned_away(),
    "stopped": _stopped(),
    "static key": _keyed(),
    "log-in elsewhere": Story(0.3, told(*work(tool_call={"mcp.server.auth": "none", "mcp.server.exposure": None}))),
    "link with a key": Story(
        0.3, told(*work(access={"url.full": "https://{system}.corp.example/open?key={resource}"}))
    ),
}
