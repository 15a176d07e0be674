"""What it may do: nothing said, too much, or less than was done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from generator.attacks import again, at

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


def rights_widened_in_passing(events: list[Event]) -> list[Event]:
    """The agent begins with a read token and takes a wider one a minute later; nobody is asked."""
    token = at(events, "token")
    first = again(token, 0, -60)
    read = [".".join([*token["oauth"]["scope"]["granted"][0].split(".")[:2], "read"])]
    first["oauth"]["scope"] = {"requested": read, "granted": read}
    first["oauth"]["token"]["hash"] += "-first"
    del token["oauth"]["consent"]
    return [first, *events]


def tools_tried_one_by_one(events: list[Event]) -> list[Event]:
    """The agent tries six tools that it may not call."""
    tried = []
    for number, verb in enumerate(("list", "export", "grant", "purge", "share", "approve")):
        decision = again(at(events, "decision"), number, 20 * number + 1)
        decision["mcp"]["tool"]["decision"] = "deny"
        decision["gen_ai"]["tool"]["name"] = f"{verb}_everything"
        tried.append(decision)
    return [*events, *tried]


def loop_of_calls(events: list[Event]) -> list[Event]:
    """One question makes the agent read the same thing a hundred and twenty times."""
    call, answer = at(events, "tool_call"), at(events, "tool_response")
    more = [again(event, number, 3 * number + 3) for number in range(120) for event in (call, answer)]
    for event in more:
        if event["chain"]["stage"] == "tool_response":
            event["span"]["parent_id"] = f"{event['span']['id'][:4]}{call['span']['id'][4:]}"
    return [*events, *more]


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
        rights_widened_in_passing,
        tools_tried_one_by_one,
        loop_of_calls,
    )
}
