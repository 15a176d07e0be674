"""Third parties: a server that nobody approved, or no longer, and data that goes where it must not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from generator.attacks import at

if TYPE_CHECKING:
    from generator.attacks import Attack, Event


def server_nobody_knows(events: list[Event]) -> list[Event]:
    """The call goes to a look-alike of a registered server."""
    for stage in ("decision", "tool_call", "tool_response"):
        event = at(events, stage)
        event["mcp"]["server"]["name"] += "-backup"
    return events


def server_nobody_reviewed_again(events: list[Event]) -> list[Event]:
    """The call goes to a server whose approval ran out."""
    return _called(events, "archive-mcp")


def call_in_another_country(events: list[Event]) -> list[Event]:
    """The server has moved to a region that was not agreed."""
    at(events, "tool_call")["cloud"] = {"region": "us-east-1"}
    return events


def secrets_told_to_a_vendor(events: list[Event]) -> list[Event]:
    """The work touches restricted data, and the server is a vendor's."""
    at(events, "access")["chain"]["resource"]["classification"] = "restricted"
    return _called(events, "tickets-mcp")


def _called(events: list[Event], server: str) -> list[Event]:
    """The same call, to another server."""
    uri = f"https://{server}.corp.example/mcp"
    for stage in ("decision", "tool_call", "tool_response"):
        at(events, stage)["mcp"]["server"] |= {"name": server, "uri": uri}
    for stage in ("token", "tool_call"):
        at(events, stage)["oauth"]["token"]["audience"] = [uri]
    at(events, "token")["oauth"]["resource"] = uri
    return events


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        server_nobody_knows,
        server_nobody_reviewed_again,
        call_in_another_country,
        secrets_told_to_a_vendor,
    )
}
