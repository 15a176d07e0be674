"""Tables of the IBM ContextForge gateway (1.0.7): a call is spread over several rows of several tables.

The gateway sees the calls that go through it: neither those to a server on the person's own machine, nor those past it.
It knows a caller by the e-mail, makes a correlation id of its own where the request brings none, and writes no row of
prompts, answers, tokens or what the system behind the server did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from generator.clock import micros
from generator.native import Native, at, digits, person
from generator.native.contextforge_rows import (
    LATER,
    NUMBERED,
    TABLES,
    WRONG,
    client,
    entry,
    invoke_span,
    path,
    permission,
    security,
    trace,
    usage,
)
from generator.native.course import Call, calls, lone_decisions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from generator.native import Event, Lines, Record

_WHO = {"user.id", "user.email", "trace.id", "transaction.id", "source.ip"}
_CALL = {"event.outcome", "error.type", "span.id", "mcp.method.name", "gen_ai.tool.name", "mcp.server.uri"}
SAYS = {
    "decision": frozenset({"@timestamp", *_WHO, "mcp.tool.decision", "mcp.tool.decision_source"}),
    "tool_call": frozenset({"@timestamp", *_WHO, *_CALL, "http.response.status_code"}),
}

_A_CHUNK = 1_000_000
"""Running numbers kept for one chunk."""


def tell(events: Sequence[Event]) -> Iterator[Record]:
    """The rows of a chain. A table has a row once, so that a record delivered twice is told once."""
    told = set()
    made = calls(events)
    for call in made:
        if not _passes(call.event) or at(call.event, "event.id") in told:
            continue
        told.add(at(call.event, "event.id"))
        if call.denied:  # the tool was never called: the request was answered with an error
            yield from _denied(events[call.decision], call.decision)  # type: ignore[index,arg-type]
        elif call.refused:
            yield from _refused(call, events)
        else:
            yield from _called(call, events)
    for place, event in lone_decisions(events, made):
        if at(event, "mcp.tool.decision_source") in {None, "policy"}:  # else the runtime's own, before any request
            yield from _denied(event, place)


def _passes(event: Event) -> bool:
    return (
        at(event, "network.transport") != "pipe"
        and at(event, "mcp.server.exposure") not in {"stdio", "loopback"}
        and at(event, "chain.via_proxy") is not False
    )


def _called(call: Call, events: Sequence[Event]) -> Iterator[Record]:
    event, begins, ends = call.event, call.begins, call.ends
    tool, uri = at(event, "gen_ai.tool.name"), at(event, "mcp.server.uri")
    about = {"tool_name": tool, "tool_id": digits("tool", uri, tool)}
    upstream = {"event": "mcp_call_started", **about, "server_url": uri, "transport": "streamablehttp"}
    service = {"component": "tool_service", "context": {"metadata": upstream}}
    yield entry(call.place, event, begins, {**service, "message": f"MCP tool call started: {tool}"})
    if call.ended:
        failed = at(event, "event.outcome") == "failure"
        took = (ends - begins) / 1000
        done = {"event": "mcp_call_completed", **about, "transport": "streamablehttp", "success": True}
        yield entry(
            call.place,
            event,
            ends - LATER,
            {
                "component": "tool_service",
                "message": f"MCP tool call completed: {tool}",
                "context": {"metadata": done},
                "duration_ms": (ends - LATER - begins) / 1000,
            },
        )
        error = at(event, "error.type")
        yield entry(
            call.place,
            event,
            ends,
            {
                "level": "ERROR" if failed else "INFO",
                "component": "tool_service",
                "message": f"Tool '{tool}' {'invocation failed' if failed else 'invoked successfully'}",
                "user_id": person(event),
                "duration_ms": took,
                "context": {
                    "resource_type": "tool",
                    "resource_id": about["tool_id"],
                    "resource_action": "invoke",
                    "custom_fields": {"tool_name": tool, "integration_type": "MCP"},
                },
                "error_details": {"error_type": error, "error_message": error, "stack_trace": None} if error else None,
                "span_id": at(event, "span.id"),
            },
        )
        yield invoke_span(call, about["tool_id"])
    since = begins - LATER
    if call.decision is not None:
        decision = events[call.decision]
        since = min(since, micros(decision["@timestamp"]) - LATER)
        if at(decision, "mcp.tool.decision_source") in {None, "policy"}:
            yield permission(decision, call.decision)
    yield from _request(call.place, event, since, ends + LATER, 200)
    if at(event, "mcp.server.auth") == "api_key":
        yield usage(call, since)


def _refused(call: Call, events: Sequence[Event]) -> Iterator[Record]:
    if call.decision is not None:
        yield permission(events[call.decision], call.decision)
    status = at(call.event, "http.response.status_code")
    since = call.begins - 3 * LATER
    yield from _request(call.place, call.event, since, call.begins, status)


def _denied(decision: Event, place: int) -> Iterator[Record]:
    """A request that no tool ran for: where the check said no, the answer is HTTP 200 with a JSON-RPC error."""
    when = micros(decision["@timestamp"])
    yield permission(decision, place)
    yield from _request(place, decision, when - LATER, when + LATER, 200)


def _request(place: int, event: Event, begins: int, ends: int, status: int) -> Iterator[Record]:
    asked, asker = path(event), client(event)
    who = None if status == 401 else person(event)  # noqa: PLR2004 - a token that is not known names nobody
    took = (ends - begins) / 1000
    yield entry(
        place,
        event,
        ends,
        {
            "level": "INFO" if status < WRONG else "WARNING",
            "component": "http_gateway",
            "message": f"Request completed: POST {asked} - {status}",
            "user_email": who,
            **asker,
            "request_path": asked,
            "request_method": "POST",
            "duration_ms": took,
            "operation_type": "http_request",
            "context": {
                "response_status_code": status,
                "metadata": {"event": "request_completed", "response_time_category": "normal"},
            },
            "span_id": digits("request", at(event, "event.id"), size=8),
        },
    )
    if who:
        yield security(place, event, begins + 1, who)
    yield trace(place, event, begins, ends, status)


def lines(records: Sequence[Record], chunk: int) -> Lines:
    """A row a line; the number of a numbered row comes first."""
    for place, record in enumerate(records):
        number = b'{"id":%d,' % (chunk * _A_CHUNK + place + 1)
        yield number + record.text[1:] if record.file in NUMBERED else record.text, (place,)


PRODUCT = Native(tuple(f"{table}.jsonl" for table in TABLES), SAYS, tell, lines)
