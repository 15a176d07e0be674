"""Third parties: a server that nobody approved."""

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


ATTACKS: dict[str, Attack] = {server_nobody_knows.__name__: server_nobody_knows}
