"""Where it listens: to the world, with one key for all, or to anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from generator.attacks import at

if TYPE_CHECKING:
    from generator.attacks import Attack, Event


def server_faces_the_internet(events: list[Event]) -> list[Event]:
    """An internal server answers a caller from outside."""
    call = at(events, "tool_call")
    call["mcp"]["server"] |= {"name": "crm-mcp", "uri": "https://crm-mcp.corp.example/mcp", "exposure": "internet"}
    call["oauth"]["token"]["audience"] = ["https://crm-mcp.corp.example/mcp"]
    call["source"]["ip"] = "203.0.113.7"
    return events


def one_key_for_all(events: list[Event]) -> list[Event]:
    """The server takes one static key instead of a person's token."""
    call = at(events, "tool_call")
    call["mcp"]["server"]["auth"] = "api_key"
    return events


def anybody_may_call(events: list[Event]) -> list[Event]:
    """The server asks for nothing, and serves over the network."""
    call = at(events, "tool_call")
    call["mcp"]["server"]["auth"] = "none"
    del call["oauth"]
    return events


def way_around_the_proxy(events: list[Event]) -> list[Event]:
    """The server answers a call that did not come through the proxy."""
    at(events, "tool_call")["chain"]["via_proxy"] = False
    return events


def token_for_all_to_read(events: list[Event]) -> list[Event]:
    """The client puts its token into the URL."""
    call = at(events, "tool_call")
    call["url"] = {"full": f"{call['mcp']['server']['uri']}?access_token=Zm9vYmFyYmF6cXV4"}
    return events


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        server_faces_the_internet,
        one_key_for_all,
        anybody_may_call,
        way_around_the_proxy,
        token_for_all_to_read,
    )
}
