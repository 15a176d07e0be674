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


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack for attack in (call_without_any_scope, call_with_the_whole_system, call_beyond_its_scope)
}
