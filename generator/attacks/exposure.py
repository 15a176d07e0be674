"""Where it listens: to the world, with one key for all, or to anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from generator.attacks import again, at

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


def keys_tried_one_by_one(events: list[Event]) -> list[Event]:
    """Somebody sends the server thirty tokens that it does not take."""
    tries = []
    for number in range(30):
        call = again(at(events, "tool_call"), number, 4 * number + 1)
        call["oauth"] = {"challenge": {"error": "invalid_token"}}
        call["event"]["outcome"] = "failure"
        call["http"] = {"response": {"status_code": 401}}
        call["source"]["ip"] = "203.0.113.99"
        tries.append(call)
    return [*events, *tries]


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        server_faces_the_internet,
        one_key_for_all,
        anybody_may_call,
        way_around_the_proxy,
        token_for_all_to_read,
        keys_tried_one_by_one,
    )
}
