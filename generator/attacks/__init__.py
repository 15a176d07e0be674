"""Attacks, one module a chapter: each bends an honest chain by the smallest change. Nothing here reads a rule.

An attack takes the events of one honest chain that writes (prompt, decision, token, tool_call, access, tool_response,
by time) and returns the events to log instead. It may change them in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from functools import cache
from importlib import import_module
from typing import Any

Event = dict[str, Any]
Attack = Callable[[list[Event]], list[Event]]

CHAPTERS = ("identity", "scope", "audit", "exposure", "connectors")


@cache
def attacks() -> Mapping[str, Attack]:
    """Every attack by its name, in the order of the chapters."""
    return {
        name: attack
        for chapter in CHAPTERS
        for name, attack in import_module(f"generator.attacks.{chapter}").ATTACKS.items()
    }


def at(events: Sequence[Event], stage: str) -> Event:
    """The one event of a stage."""
    return next(event for event in events if event["chain"]["stage"] == stage)


def without(events: Sequence[Event], *stages: str) -> list[Event]:
    """The events that are not of these stages."""
    return [event for event in events if event["chain"]["stage"] not in stages]


def again(event: Event, number: int, seconds: float) -> Event:
    """A copy of a record, so many seconds later, with an event id, span and call of its own."""
    copy = deepcopy(event)
    moment = datetime.fromisoformat(event["@timestamp"]) + timedelta(seconds=seconds)
    copy["@timestamp"] = moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"
    copy["event"]["id"] += f"-{number}"
    copy["span"]["id"] = f"{number + 256:04x}{copy['span']['id'][4:]}"
    call = copy["gen_ai"].get("tool", {}).get("call")
    if call:
        call["id"] += f"-{number}"
    return copy


def stranger_to(event: Event) -> Event:
    """Another person of the same organisation, as a record names people."""
    number = 2 if event["user"]["id"] == "u-00001" else 1
    return {"id": f"u-{number:05d}", "email": f"person{number:05d}@corp.example"}
