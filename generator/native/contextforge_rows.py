"""Rows of the ContextForge gateway's tables, with the columns of version 1.0.7."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from generator.clock import micros, sql
from generator.native import Record, at, digits, person

if TYPE_CHECKING:
    from collections.abc import Mapping

    from generator.native import Event
    from generator.native.course import Call

LOG, PERMISSIONS, SECURITY, USAGE, TRACES, SPANS = range(6)
TABLES = (
    "structured_log_entries",
    "permission_audit_log",
    "security_events",
    "token_usage_logs",
    "observability_traces",
    "observability_spans",
)
NUMBERED = {PERMISSIONS, USAGE}
"""Tables whose rows have a running number; it leaps from chunk to chunk."""

LATER = 700
"""Microseconds between the rows of one call."""

WRONG = 400
"""The first HTTP status that is no success."""


def entry(place: int, event: Event, when: int, values: Mapping[str, Any]) -> Record:
    """A row of the structured log."""
    row = {
        "id": digits("entry", at(event, "event.id"), values["message"]),
        "timestamp": sql(when),
        "correlation_id": at(event, "transaction.id") or digits("correlation", at(event, "event.id")),
        "request_id": None,
        "level": "INFO",
        "component": None,
        "message": None,
        "logger": None,
        "user_id": None,
        "user_email": None,
        "client_ip": None,
        "user_agent": None,
        "request_path": None,
        "request_method": None,
        "duration_ms": None,
        "operation_type": None,
        "is_security_event": 0,
        "security_severity": None,
        "threat_indicators": None,
        "context": None,
        "error_details": None,
        "performance_metrics": None,
        "hostname": "gateway-1",
        "process_id": 41,
        "thread_id": None,
        "version": "unknown",
        "environment": "production",
        "trace_id": at(event, "trace.id"),
        "span_id": digits("upstream", at(event, "event.id"), size=8),
    }
    return Record(when, place, orjson.dumps({**row, **values}), LOG)


def permission(decision: Event, place: int) -> Record:
    """A role check, which names the user and not the tool."""
    when = micros(decision["@timestamp"])
    asker = client(decision)
    row: dict[str, Any] = {
        "timestamp": sql(when),
        "user_email": person(decision),
        "permission": "tools.execute",
        "resource_type": None,
        "resource_id": None,
        "team_id": None,
        "granted": 0 if at(decision, "mcp.tool.decision") == "deny" else 1,
        "roles_checked": {"roles": []},
        "ip_address": asker["client_ip"],
        "user_agent": asker["user_agent"],
    }
    return Record(when, place, orjson.dumps(row), PERMISSIONS)


def security(place: int, event: Event, when: int, who: str) -> Record:
    """A caller was let in."""
    asker = client(event)
    row = {
        "id": digits("security", at(event, "event.id")),
        "timestamp": sql(when),
        "detected_at": sql(when + 3),
        "correlation_id": None,
        "log_entry_id": None,
        "event_type": "authentication_success",
        "severity": "LOW",
        "category": "authentication",
        "user_id": who,
        "user_email": who,
        **asker,
        "description": f"Authentication successful for user {who}",
        "action_taken": "allowed",
        "threat_score": 0.0,
        "threat_indicators": {},
        "failed_attempts_count": 0,
        "resolved": 0,
        "resolved_at": None,
        "resolved_by": None,
        "resolution_notes": None,
        "alert_sent": 0,
        "alert_sent_at": None,
        "alert_recipients": None,
        "context": {"auth_method": "bearer_token", "failed_attempts_recent": 0, "user_agent": asker["user_agent"]},
    }
    return Record(when, place, orjson.dumps(row), SECURITY)


def usage(call: Call, begins: int) -> Record:
    """A request with one of the gateway's own API tokens: the only table that has a token's id."""
    event, when = call.event, call.ends + 2 * LATER
    asker = client(event)
    row = {
        "token_jti": uuid("key", at(event, "oauth.client.id")),
        "user_email": person(event),
        "timestamp": sql(when),
        "endpoint": path(event),
        "method": "POST",
        "ip_address": asker["client_ip"],
        "user_agent": asker["user_agent"],
        "status_code": 200,
        "response_time_ms": (when - begins) // 1000,
        "blocked": 0,
        "block_reason": None,
    }
    return Record(when, call.place, orjson.dumps(row), USAGE)


def trace(place: int, event: Event, begins: int, ends: int, status: int) -> Record:
    """The request once more, under an id that no other table has."""
    asker, took = client(event), (ends - begins) / 1000
    row = {
        "trace_id": uuid("trace", at(event, "event.id")),
        "name": f"POST {path(event)}",
        "start_time": sql(begins),
        "end_time": sql(ends),
        "duration_ms": took,
        "status": "ok" if status < WRONG else "error",
        "status_message": None,
        "http_method": "POST",
        "http_url": f"http://gateway:4444{path(event)}",
        "http_status_code": status,
        "user_email": None,
        "user_agent": asker["user_agent"],
        "ip_address": asker["client_ip"],
        "attributes": {"http.route": path(event), "response_time_ms": took},
        "resource_attributes": {"service.name": "mcp-gateway", "service.version": "1.0.7"},
        "created_at": sql(begins),
    }
    return Record(ends, place, orjson.dumps(row), TRACES)


def invoke_span(call: Call, tool_id: str) -> Record:
    """The call once more, under the trace of `trace`."""
    event, tool = call.event, at(call.event, "gen_ai.tool.name")
    row = {
        "span_id": uuid("span", at(event, "event.id")),
        "trace_id": uuid("trace", at(event, "event.id")),
        "parent_span_id": None,
        "name": "tool.invoke",
        "kind": "client",
        "start_time": sql(call.begins),
        "end_time": sql(call.ends),
        "duration_ms": (call.ends - call.begins) / 1000,
        "status": "ok",  # of a failed tool too
        "status_message": None,
        "attributes": {"tool.name": tool, "tool.id": tool_id, "success": at(event, "event.outcome") != "failure"},
        "resource_name": tool,
        "resource_type": "tool",
        "resource_id": tool_id,
        "created_at": sql(call.begins),
    }
    return Record(call.ends, call.place, orjson.dumps(row), SPANS)


def client(event: Event) -> dict[str, str | None]:
    """Address and user agent of whoever asks."""
    agent = at(event, "gen_ai.agent.id")
    return {"client_ip": at(event, "source.ip"), "user_agent": f"{agent}/1.0" if agent else "python-httpx/0.28.1"}


def path(event: Event) -> str:
    """Successful requests to /rpc are not in the table of token use, those to a virtual server are."""
    if at(event, "mcp.server.auth") == "api_key":
        return f"/servers/{digits('server', at(event, 'mcp.server.uri'))}/mcp"
    return "/rpc"


def uuid(*parts: object) -> str:
    """Digits in the form of a UUID, the same for the same parts."""
    found = digits(*parts)
    return f"{found[:8]}-{found[8:12]}-{found[12:16]}-{found[16:20]}-{found[20:]}"
