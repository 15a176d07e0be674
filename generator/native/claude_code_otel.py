"""Events of Claude Code as the OpenTelemetry Collector's file exporter writes them: OTLP JSON, many records a line.

Every agent is a Claude Code of its own service name (OTEL_SERVICE_NAME), started by a person or by a program. What a
tool answered is told with the call, when it has ended; a call that never ended is in no record.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from generator.clock import micros, rfc3339
from generator.native import Native, Record, at, digits
from generator.native.course import calls, lone_decisions, refused, stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from generator.native import Event, Lines
    from generator.native.course import Call

_COMMON = {
    *(
        "@timestamp",
        "user.id",
        "user.email",
        "gen_ai.agent.id",
        "gen_ai.conversation.id",
        "chain.prompt.id",
        "trace.id",
    ),
}
_CALLED = {*_COMMON, "span.parent_id", "mcp.server.name", "gen_ai.tool.name", "gen_ai.tool.call.id"}
SAYS = {
    "prompt": frozenset({*_COMMON, "span.id", "chain.prompt.length", "chain.prompt.origin"}),
    "decision": frozenset({*_CALLED, "mcp.tool.decision", "mcp.tool.decision_source"}),
    "tool_call": frozenset({*_CALLED, "event.outcome", "error.type", "mcp.method.name", "gen_ai.tool.call.arguments"}),
}

VERSION = "2.1.274"
A_LINE = 64
"""Records of one export at most."""

_SOURCES = {"policy": "config"}
"""Managed settings are configuration to Claude Code."""


class Told(NamedTuple):
    """A record before it is written: when, of which event, its name, its attributes, the span of its interaction."""

    at: int
    place: int
    event: Event
    name: str
    values: Mapping[str, str | None]
    span: str | None


def tell(events: Sequence[Event]) -> Iterator[Record]:
    """The records of a chain. Each chain is a process, so the counter of its session begins again at nought."""
    told = sorted(_told(events), key=lambda one: one.at)
    return (_record(one, number) for number, one in enumerate(told))


def _told(events: Sequence[Event]) -> Iterator[Told]:
    made = calls(events)
    for place, event in enumerate(events):
        if stage(event) == "prompt":
            yield _prompt(place, event)
    for call in made:
        if call.decision is not None:
            yield _decision(call.decision, events[call.decision])
        if call.ended and not call.denied:
            yield _result(call, events)
    for place, event in lone_decisions(events, made):
        yield _decision(place, event)


def _prompt(place: int, event: Event) -> Told:
    length = at(event, "chain.prompt.length")
    values = {
        "prompt_length": None if length is None else str(length),
        "prompt": "<REDACTED>",
        "app.entrypoint": "cli" if at(event, "chain.prompt.origin") == "user" else "sdk-py",
    }
    return Told(micros(event["@timestamp"]), place, event, "user_prompt", values, at(event, "span.id"))


def _decision(place: int, event: Event) -> Told:
    values = {
        **_tool(event),
        "decision": "reject" if at(event, "mcp.tool.decision") == "deny" else "accept",
        "source": _source(event),
        "tool_source": "mcp",
        "tool_parameters": _names(event),
    }
    return Told(micros(event["@timestamp"]), place, event, "tool_decision", values, at(event, "span.parent_id"))


def _result(call: Call, events: Sequence[Event]) -> Told:
    event = call.event
    arguments = at(event, "gen_ai.tool.call.arguments")
    values = {
        **_tool(event),
        "success": "false" if at(event, "event.outcome") == "failure" or refused(event) else "true",
        "duration_ms": str((call.ends - call.begins) // 1000),
        "error_type": at(event, "error.type"),
        "decision_source": _source(events[call.decision]) if call.decision is not None else "config",
        "decision_type": "accept",
        "tool_input_size_bytes": str(len((arguments or "").encode())),
        "tool_result_size_bytes": str(64 + len(arguments or "")),
        "mcp_server_scope": "managed",
        "tool_parameters": _names(event),
        "tool_input": arguments,
    }
    return Told(call.ends, call.place, event, "tool_result", values, at(event, "span.parent_id"))


def _tool(event: Event) -> dict[str, Any]:
    return {"tool_name": "mcp_tool", "tool_use_id": at(event, "gen_ai.tool.call.id")}


def _names(event: Event) -> str:
    names = {"mcp_server_name": at(event, "mcp.server.name"), "mcp_tool_name": at(event, "gen_ai.tool.name")}
    return orjson.dumps(names).decode()


def _source(decision: Event) -> str:
    source = at(decision, "mcp.tool.decision_source") or "config"
    return _SOURCES.get(source, source)


def _record(told: Told, number: int) -> Record:
    event = told.event
    who, trace = at(event, "user.id") or at(event, "user.effective.id"), at(event, "trace.id")
    attributes = {
        "user.id": digits("installation", who, size=32),  # names the installation, and no person
        "session.id": at(event, "gen_ai.conversation.id"),
        "user.email": at(event, "user.email"),
        "enduser.id": who,
        "terminal.type": "vscode",
        "event.name": told.name,
        "event.timestamp": rfc3339(told.at, "milliseconds"),
        "event.sequence": number,
        "prompt.id": at(event, "chain.prompt.id"),
        **told.values,
    }
    nanoseconds = str(told.at * 1000)
    text = orjson.dumps(
        {
            "timeUnixNano": nanoseconds,
            "observedTimeUnixNano": nanoseconds,
            "body": {"stringValue": f"claude_code.{told.name}"},
            "attributes": [
                {"key": key, "value": {"intValue" if isinstance(value, int) else "stringValue": value}}
                for key, value in attributes.items()
                if value is not None
            ],
            "droppedAttributesCount": 0,
            **({"flags": 1, "traceId": trace, "spanId": told.span or ""} if trace else {}),
        }
    )
    return Record(told.at, told.place, text, group=_resource(at(event, "gen_ai.agent.id")))


def _resource(agent: str | None) -> bytes:
    attributes = {
        "host.arch": "arm64",
        "os.type": "darwin",
        "os.version": "25.1.0",
        "service.name": agent or "claude-code",
        "service.version": VERSION,
    }
    return orjson.dumps(
        {
            "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
            "droppedAttributesCount": 0,
        }
    )


def lines(records: Sequence[Record], _chunk: int) -> Lines:
    """An export a line: the records of each resource together."""
    scope = orjson.dumps({"name": "com.anthropic.claude_code.events", "version": VERSION})
    numbered = iter(enumerate(records))
    while some := list(islice(numbered, A_LINE)):
        groups: dict[bytes, list[bytes]] = {}
        for _, record in some:
            groups.setdefault(record.group, []).append(record.text)
        resources = [
            b'{"resource":%b,"scopeLogs":[{"scope":%b,"logRecords":[%b]}]}' % (resource, scope, b",".join(texts))
            for resource, texts in groups.items()
        ]
        yield b'{"resourceLogs":[' + b",".join(resources) + b"]}", [place for place, _ in some]


PRODUCT = Native((), SAYS, tell, lines)
