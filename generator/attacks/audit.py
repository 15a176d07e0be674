"""What can be answered afterwards: pieces of the story are missing, or told of strangers."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from generator.attacks import at, stranger_to, without

if TYPE_CHECKING:
    from generator.attacks import Attack, Event


def call_names_no_prompt(events: list[Event]) -> list[Event]:
    """One record of the call lost its reference to the prompt."""
    del at(events, "tool_call")["chain"]["prompt"]
    return events


def nobody_asked(events: list[Event]) -> list[Event]:
    """A whole chain of work that no prompt began."""
    left = without(events, "prompt")
    for event in left:
        event["chain"].pop("prompt", None)
    return left


def answer_never_came(events: list[Event]) -> list[Event]:
    """The call is logged, and what it gave back is not."""
    return without(events, "tool_response")


def two_people_one_id(events: list[Event]) -> list[Event]:
    """A stranger's call carries the ids of this chain."""
    stranger = deepcopy(at(events, "tool_call"))
    stranger["event"]["id"] += "-b"
    stranger["span"]["id"] = stranger["span"]["id"][:-2] + "fe"
    stranger["user"] = stranger_to(at(events, "prompt"))
    place = events.index(at(events, "tool_call")) + 1
    return [*events[:place], stranger, *events[place:]]


def write_past_the_gateway(events: list[Event]) -> list[Event]:
    """The agent writes with ids of its own, and no call explains it."""
    access = at(events, "access")
    access["chain"].pop("prompt", None)
    access["trace"]["id"] = "f" * 8 + access["trace"]["id"][8:]
    access["gen_ai"]["tool"]["call"].pop("id")
    access["span"].pop("parent_id")
    return events


def trail_lost_downstream(events: list[Event]) -> list[Event]:
    """The access is joined by the tool-call id alone: prompt and trace were dropped on the way."""
    access = at(events, "access")
    del access["chain"]["prompt"], access["trace"]
    return events


def gateway_that_cannot_say(events: list[Event]) -> list[Event]:
    """The calls come from a gateway whose records can never name prompt, scope or answer."""
    call = at(events, "tool_call")
    call["event"]["dataset"] = "contextforge"
    del call["chain"]["prompt"], call["oauth"]
    return [call]


def server_that_cannot_say(events: list[Event]) -> list[Event]:
    """The calls come from a server whose spans can never name the person."""
    call = at(events, "tool_call")
    call["event"]["dataset"] = "mcp_otel"
    del call["chain"]["prompt"], call["user"]
    call["oauth"] = {"scope": call["oauth"]["scope"]}
    return [call]


def told_by_a_document(events: list[Event]) -> list[Event]:
    """The prompt behind the work is text that a tool returned."""
    at(events, "prompt")["chain"]["prompt"]["origin"] = "tool_output"
    return events


def call_without_any_id(events: list[Event]) -> list[Event]:
    """One record of the call carries nothing that leads to another."""
    call = at(events, "tool_call")
    del call["chain"]["prompt"], call["trace"], call["gen_ai"]["tool"]["call"]["id"]
    return events


def line_forged_by_an_id(events: list[Event]) -> list[Event]:
    """The caller puts a line break and a line of its own into the correlation id."""
    call = at(events, "tool_call")
    call["transaction"] = {"id": f"{call['event']['id']}\n200 OK user=admin"}
    return events


def prompt_record_gone(events: list[Event]) -> list[Event]:
    """Every record names the prompt, and the prompt's own record is not there."""
    return without(events, "prompt")


def agent_hidden_downstream(events: list[Event]) -> list[Event]:
    """The system behind the server sees the person only, as if no agent had acted."""
    access = at(events, "access")
    for name in ("id", "name"):
        access["gen_ai"]["agent"].pop(name, None)
    for name in ("act", "client", "delegation"):
        access["oauth"].pop(name, None)
    access["oauth"]["token"].pop("client_id", None)
    return events


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        call_names_no_prompt,
        nobody_asked,
        answer_never_came,
        two_people_one_id,
        write_past_the_gateway,
        trail_lost_downstream,
        gateway_that_cannot_say,
        server_that_cannot_say,
        told_by_a_document,
        call_without_any_id,
        line_forged_by_an_id,
        prompt_record_gone,
        agent_hidden_downstream,
    )
}
