"""What it may do: nothing said, too much, or less than was done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from generator.attacks import at

if TYPE_CHECKING:
    from generator.attacks import Attack, Event


def call_without_any_scope(events: list[Event]) -> list[Event]:
    """The call presents no scope at all."""
    del at(events, "tool_call")["oauth"]["scope"]["presented"]
    return events


def call_with_the_whole_system(events: list[Event]) -> list[Event]:
    """The call presents a scope that names everything."""
    at(events, "tool_call")["oauth"]["scope"]["presented"] = ["*"]
    return events


def call_beyond_its_scope(events: list[Event]) -> list[Event]:
    """The server lets a call through whose token may only read."""
    scope = at(events, "tool_call")["oauth"]["scope"]
    scope["presented"] = [".".join([*scope["required"][0].split(".")[:2], "read"])]
    return events


def grant_of_everything(events: list[Event]) -> list[Event]:
    """The agent asks for everything and gets it."""
    scope = at(events, "token")["oauth"]["scope"]
    scope["requested"] = scope["granted"] = ["*"]
    return events


def grant_of_more_than_was_asked(events: list[Event]) -> list[Event]:
    """The agent asks for one scope and gets another one with it."""
    scope = at(events, "token")["oauth"]["scope"]
    scope["granted"] = [*scope["granted"], ".".join([*scope["granted"][0].split(".")[:2], "admin"])]
    return events


def tool_nobody_granted(events: list[Event]) -> list[Event]:
    """The consent of the session names another tool than the one that is called."""
    at(events, "tool_call")["chain"]["tools"] = {"granted": ["read_calendar"]}
    return events


def token_for_a_month(events: list[Event]) -> list[Event]:
    """The agent gets a token that lives for a month."""
    at(events, "token")["oauth"]["token"]["expires_in"] = 30 * 86_400
    return events


def write_with_leave_to_read(events: list[Event]) -> list[Event]:
    """The server asks for a read scope only, and writes."""
    scope = at(events, "tool_call")["oauth"]["scope"]
    scope["presented"] = scope["required"] = [".".join([*scope["required"][0].split(".")[:2], "read"])]
    return events


def reading_tool_that_writes(events: list[Event]) -> list[Event]:
    """A tool that everybody takes for a reading one writes."""
    for event in events:
        tool = event["gen_ai"].get("tool", {})
        if "name" in tool:
            tool["name"] = "read_" + tool["name"].partition("_")[2]
    return events


def definition_swapped(events: list[Event]) -> list[Event]:
    """The tool is called by a definition that nobody has reviewed."""
    at(events, "tool_call")["mcp"]["tool"] = {"definition": {"hash": "0" * 64}}
    return events


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        call_without_any_scope,
        call_with_the_whole_system,
        call_beyond_its_scope,
        grant_of_everything,
        grant_of_more_than_was_asked,
        tool_nobody_granted,
        token_for_a_month,
        write_with_leave_to_read,
        reading_tool_that_writes,
        definition_swapped,
    )
}
