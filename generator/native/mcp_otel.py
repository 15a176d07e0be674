"""Spans of MCP servers and clients, as ``span.to_json()`` of the OpenTelemetry SDK writes them.

A call is three spans below the agent's: the client's call, its message on the wire, and the server's own. A server that
did not let a token in wrote no span (FastMCP 4.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from generator.clock import rfc3339
from generator.native import Native, Record, at, digits
from generator.native.course import Call, calls, refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from generator.native import Event

_CALL = {"event.outcome", "error.type", "trace.id", "mcp.method.name", "gen_ai.tool.name"}
_AGENT = {"gen_ai.agent.id", "gen_ai.agent.name", "gen_ai.conversation.id"}
_SERVER = {"oauth.client.id", "oauth.scope.presented", "mcp.protocol.version", "mcp.server.name"}
SAYS = {"tool_call": frozenset({"@timestamp", "span.id", *_CALL, *_AGENT, *_SERVER})}

_STEP = 1_000
"""Microseconds between a span and the one below it; the server's begins when the call did."""


def tell(events: Sequence[Event]) -> Iterator[Record]:
    """The spans of a chain, each when it ends. An agent's span lies over all its calls of one trace."""
    agents: dict[str, list[Call]] = {}
    for call in calls(events):
        yield from _call(call)
        agents.setdefault(_agent_span(call.event), []).append(call)
    for span, some in agents.items():
        yield _agent(span, some)


def _call(call: Call) -> Iterator[Record]:
    event, begins, ends = call.event, call.begins, call.ends
    own, tool = at(event, "span.id"), at(event, "gen_ai.tool.name")
    status = _status(event)
    refused = call.refused
    wire = own if refused else digits("send", own, size=8)
    above = digits("call", own, size=8)
    method = at(event, "mcp.method.name") or "tools/call"
    shared = {"mcp.method.name": method} | _present({"gen_ai.tool.name": tool, "error.type": at(event, "error.type")})
    client, server = _resource(at(event, "gen_ai.agent.id")), _resource(at(event, "mcp.server.name"))
    name = f"{method} {tool}"
    if not refused:
        attributes = {
            "fastmcp.span.seam": True,
            **shared,
            **_present(
                {
                    "fastmcp.server.name": at(event, "mcp.server.name"),
                    "mcp.protocol.version": at(event, "mcp.protocol.version"),
                    "enduser.id": at(event, "oauth.client.id"),
                    "enduser.scope": " ".join(at(event, "oauth.scope.presented") or ()) or None,
                }
            ),
            "mcp.session.id": digits("session", own),
            "fastmcp.component.key": f"tool:{tool}@",
            "fastmcp.component.type": "tool",
            "fastmcp.provider.type": "LocalProvider",
        }
        span = _span(name, "SERVER", event, own, wire, begins, ends, status, attributes, server)
        yield Record(ends, call.place, span)
    sent = {"mcp.method.name": method, "jsonrpc.request.id": str(1 + int(digits(own, size=1), 16))}
    failed = status if refused else {"status_code": "UNSET"}
    span = _span(f"MCP send {name}", "CLIENT", event, wire, above, begins - _STEP, ends + _STEP, failed, sent, client)
    yield Record(ends + _STEP, call.place, span)
    attributes = {"fastmcp.component.key": tool, **shared}
    parent = _agent_span(event)
    span = _span(name, "CLIENT", event, above, parent, begins - 2 * _STEP, ends + 2 * _STEP, status, attributes, client)
    yield Record(ends + 2 * _STEP, call.place, span)


def _agent(span: str, some: Sequence[Call]) -> Record:
    event = some[0].event
    begins = min(call.begins for call in some) - 3 * _STEP
    ends = max(call.ends for call in some) + 3 * _STEP
    told = {name: at(event, name) for name in sorted(_AGENT)}
    attributes = {"gen_ai.operation.name": "invoke_agent", **_present(told)}
    name = f"invoke_agent {at(event, 'gen_ai.agent.name')}"
    parent, resource = at(event, "span.parent_id"), _resource(at(event, "gen_ai.agent.id"))
    text = _span(name, "INTERNAL", event, span, parent, begins, ends, {"status_code": "UNSET"}, attributes, resource)
    return Record(ends, some[0].place, text)


def _agent_span(event: Event) -> str:
    """One for all calls that one agent makes below one span of one trace."""
    about = (at(event, name) for name in ("trace.id", "span.parent_id", *sorted(_AGENT)))
    return digits("agent", *about, size=8)


def _span(
    name: str,
    kind: str,
    event: Event,
    own: str,
    parent: str | None,
    begins: int,
    ends: int,
    status: dict[str, str],
    attributes: dict[str, Any],
    resource: dict[str, Any],
) -> bytes:
    # a call without a trace of its own begins one
    trace = at(event, "trace.id") or digits("trace", at(event, "event.id"))
    return orjson.dumps(
        {
            "name": name,
            "context": {"trace_id": f"0x{trace}", "span_id": f"0x{own}", "trace_state": "[]"},
            "kind": f"SpanKind.{kind}",
            "parent_id": f"0x{parent}" if parent else None,
            "start_time": rfc3339(begins),
            "end_time": rfc3339(ends),
            "status": status,
            "attributes": attributes,
            "events": [],
            "links": [],
            "resource": {"attributes": resource, "schema_url": ""},
        }
    )


def _status(event: Event) -> dict[str, str]:
    if at(event, "event.outcome") != "failure" and not refused(event):
        return {"status_code": "UNSET"}
    return {"status_code": "ERROR", "description": at(event, "error.type") or "Server returned an error response"}


def _resource(service: str | None) -> dict[str, Any]:
    return {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": "1.45.2",
        "service.instance.id": digits("instance", service),
        "service.name": service or "unknown_service",
    }


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


PRODUCT = Native((), SAYS, tell)
