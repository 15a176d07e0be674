"""Source maps: what they accept, what they make of real logs, and every trap that real logs have set so far."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from backends.concepts import CONCEPTS
from backends.duckdb.assemble import UNKNOWN, AssemblyReport, assemble
from backends.duckdb.lines import LogFile
from backends.errors import Mistakes
from backends.sources import SourceMaps

SCHEMAS = Path(__file__).parents[1] / "schemas"
MAPS = SourceMaps.load(SCHEMAS / "sources")
NATIVE = [name for name, source in MAPS.items() if source.kinds]
ANA, BOB, EVE = "ana@corp.example", "bob@corp.example", "eve@corp.example"


def run(
    folder: Path, source: str, *logs: Sequence[Mapping[str, Any] | str | bytes]
) -> tuple[list[Any], AssemblyReport]:
    """Assemble logs given as records or as the very lines; events and report."""
    files = []
    for index, log in enumerate(logs):
        path = folder / f"{index}.jsonl"
        lines = [
            one if isinstance(one, bytes) else one.encode() if isinstance(one, str) else json.dumps(one).encode()
            for one in log
        ]
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        files.append(LogFile(index, path, path.name))
    out = folder / "events.jsonl"
    report = assemble(MAPS, source, files, out)
    return [json.loads(line) for line in out.read_bytes().splitlines()], report


def sample(source: str) -> list[dict[str, Any]]:
    text = (SCHEMAS / "sources" / f"{source}.sample.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def get(event: Mapping[str, Any], name: str) -> Any:
    value: Any = event
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def told(events: Sequence[Mapping[str, Any]], *names: str, stage: str = "tool_call") -> list[tuple[Any, ...]]:
    """The given fields of a stage's events, in the order of time."""
    return [tuple(get(e, name) for name in names) for e in events if get(e, "chain.stage") == stage]


# ---- records of ContextForge, cut to what matters ------------------------------------------------------------------


def structured(at: float, component: str, message: str, **more: Any) -> dict[str, Any]:
    """A row of structured_log_entries, ``at`` seconds after eight o'clock."""
    row = {
        "id": f"s{at}{message[:9]}{more.get('user_email', '')}",
        "timestamp": f"2026-11-23 08:00:{at:09.6f}",
        "correlation_id": "corr-1",
        "component": component,
        "operation_type": None,
        "message": message,
        "user_id": None,
        "user_email": None,
        "is_security_event": 0,
        "trace_id": None,
        "context": {},
    }
    return row | more


def started(at: float, tool: str = "t1", **more: Any) -> dict[str, Any]:
    context = {
        "metadata": {
            "event": "mcp_call_started",
            "tool_name": "read",
            "tool_id": tool,
            "server_url": "http://localhost:9/mcp",
            "transport": "streamablehttp",
        }
    }
    return structured(at, "tool_service", "MCP tool call started: read", context=context, **more)


def completed(at: float, ms: float, tool: str = "t1", **more: Any) -> dict[str, Any]:
    context = {"metadata": {"event": "mcp_call_completed", "tool_name": "read", "tool_id": tool, "success": True}}
    return structured(at, "tool_service", "MCP tool call completed: read", context=context, duration_ms=ms, **more)


def invoked(
    at: float, ms: float, user: str | None, tool: str = "t1", name: str = "crm-read", **more: Any
) -> dict[str, Any]:
    context = {"resource_id": tool, "resource_action": "invoke", "custom_fields": {"tool_name": name}}
    message = f"Tool '{name}' invoked successfully"
    row = {"context": context, "duration_ms": ms, "user_id": user}
    return structured(at, "tool_service", message, **(row | more))


def request(
    at: float, ms: float, user: str | None, status: int = 200, path: str = "/rpc", **more: Any
) -> dict[str, Any]:
    row = {
        "operation_type": "http_request",
        "user_email": user,
        "duration_ms": ms,
        "request_path": path,
        "request_method": "POST",
        "client_ip": "127.0.0.1",
        "user_agent": "client/1",
        "context": {"response_status_code": status},
    }
    return structured(at, "http_gateway", f"Request completed: POST {path} - {status}", **(row | more))


def one_call(at: float, user: str, **more: Any) -> list[dict[str, Any]]:
    """The four records of one call of 50 ms that ends at ``at``."""
    return [
        started(at - 0.049, **more),
        completed(at - 0.004, 45, **more),
        invoked(at, 50, user, **more),
        request(at + 0.002, 66, user, **more),
    ]


def permission(at: float, user: str, *, granted: int = 1, **more: Any) -> dict[str, Any]:
    row = {"id": at, "timestamp": f"2026-11-23 08:00:{at:09.6f}", "user_email": user, "permission": "tools.execute"}
    return row | {"granted": granted, "roles_checked": {}, "ip_address": None, "user_agent": None} | more


def usage(at: float, user: str, status: int, jti: str, ms: int = 70, path: str = "/rpc") -> dict[str, Any]:
    row = {"id": 1, "token_jti": jti, "user_email": user, "timestamp": f"2026-11-23 08:00:{at:09.6f}", "endpoint": path}
    more = {"method": "POST", "ip_address": "127.0.0.1", "user_agent": "client/1", "status_code": status}
    return row | more | {"response_time_ms": ms, "blocked": int(status >= 400), "block_reason": None}


def refused_token(at: float, why: str) -> dict[str, Any]:
    row = {"id": "f", "timestamp": f"2026-11-23 08:00:{at:09.6f}", "event_type": "authentication_failure"}
    more = {"user_id": "unknown", "user_email": None, "client_ip": "127.0.0.1", "user_agent": "client/1"}
    text = {"description": f"Authentication failed for user unknown: {why}", "action_taken": "denied"}
    return row | more | text | {"correlation_id": None, "threat_score": 0.3}


# ---- maps and samples ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", NATIVE)
def test_everything_that_a_map_emits_is_an_event_of_the_schema(source: str, tmp_path: Path) -> None:
    if not (SCHEMAS / "sources" / f"{source}.sample.jsonl").exists():
        pytest.fail(f"the map {source} has no sample")
    schema = Draft202012Validator(json.loads((SCHEMAS / "event.schema.json").read_text(encoding="utf-8")))
    events, _ = run(tmp_path, source, sample(source))
    for event in events:
        event.pop("countersign")
        assert [error.message for error in schema.iter_errors(event)] == []
    assert events


@pytest.mark.parametrize("source", [name for name, m in MAPS.items() if m.detect])
def test_a_sample_is_recognised_as_its_source(source: str) -> None:
    assert MAPS.detect(sample(source)) == source


@pytest.mark.parametrize("source", NATIVE)
def test_sql_sorts_records_as_python_recognises_them(source: str, tmp_path: Path) -> None:
    _, report = run(tmp_path, source, sample(source))
    records = [record for line in sample(source) for record in MAPS[source].records(line)]
    kinds = [next((k.name for k in MAPS[source].kinds if k.recognised.fits(r)), UNKNOWN) for r in records]
    assert {name: kind.read for name, kind in report.kinds.items()} == {name: kinds.count(name) for name in kinds}


@pytest.mark.parametrize("source", NATIVE)
def test_a_sample_has_no_record_that_its_map_does_not_know(source: str, tmp_path: Path) -> None:
    _, report = run(tmp_path, source, sample(source))
    assert (UNKNOWN in report.kinds, report.bad) == (False, [])


@pytest.mark.parametrize("source", NATIVE)
def test_a_map_never_says_what_it_declares_it_cannot(source: str, tmp_path: Path) -> None:
    for event in run(tmp_path, source, sample(source))[0]:
        for concept in MAPS[get(event, "event.dataset")].never[get(event, "chain.stage")]:
            assert [field for field in CONCEPTS[concept] if get(event, field) is not None] == []


def test_records_of_nothing_known_have_no_source() -> None:
    assert MAPS.detect([{"hello": "world"}]) is None
    assert MAPS.detect([]) is None


def test_schema_records_are_recognised_nested_or_with_dotted_keys() -> None:
    assert MAPS.detect([{"chain": {"stage": "prompt"}}]) == "countersign"
    assert MAPS.detect([{"chain.stage": "prompt"}]) == "countersign"


def test_ids_that_a_client_may_set_are_untrusted() -> None:
    assert MAPS["contextforge"].client_ids == {"trace.id", "transaction.id"}
    assert MAPS["mcp_otel"].client_ids == {"trace.id"}


def test_what_the_gateway_can_never_say_of_a_call() -> None:
    never = set(MAPS["contextforge"].never["tool_call"])
    assert {"prompt", "agent", "act", "scope", "audience", "response", "arguments", "proxy"} <= never
    assert never.isdisjoint({"user", "tool", "correlation", "server"})


# ---- the sample of ContextForge, by hand ---------------------------------------------------------------------------


def test_calls_of_the_sample_each_once_with_who_what_and_where(tmp_path: Path) -> None:
    events, _ = run(tmp_path, "contextforge", sample("contextforge"))
    names = ("user.id", "gen_ai.tool.name", "event.outcome", "mcp.server.uri", "transaction.id", "user_agent.original")
    crm, web, mcp = "http://localhost:14501/mcp", "python-requests/2.34.2", "fastmcp-client/4.1"
    read, update, delete = (f"crm-mcp-crm-{verb}-opportunity" for verb in ("read", "update", "delete"))
    assert told(events, *names) == [
        (ANA, read, "success", crm, "corr-ana-0", mcp),
        (ANA, read, "success", crm, "1a7dd4a3dd2e43b8ad0aa03ce2e7cac7", mcp),
        ("admin@corp.example", update, "success", crm, "da210e4d4a664f81801c1eee28744765", web),
        (ANA, delete, "failure", crm, "corr-del", web),
        (EVE, read, "success", crm, "corr-ana-0", web),
        (ANA, read, "success", crm, "' OR 1=1 --<script>", web),
    ]


def test_decisions_of_the_sample_have_the_id_of_their_request_and_no_tool(tmp_path: Path) -> None:
    events, _ = run(tmp_path, "contextforge", sample("contextforge"))
    assert told(events, "user.id", "mcp.tool.decision", "transaction.id", "gen_ai.tool.name", stage="decision") == [
        (ANA, "allow", "corr-ana-0", None),
        (ANA, "allow", "1a7dd4a3dd2e43b8ad0aa03ce2e7cac7", None),
        (BOB, "deny", "corr-bob-deny", None),
        (ANA, "allow", "corr-del", None),
        (EVE, "allow", "bc34e7be795040c0a584994bd0b92e63", None),
        (EVE, "allow", "corr-ana-0", None),
        (ANA, "allow", "' OR 1=1 --<script>", None),
    ]


def test_tokens_of_the_sample_issued_refused_and_revoked(tmp_path: Path) -> None:
    events, _ = run(tmp_path, "contextforge", sample("contextforge"))
    jti = "fa6dac17-e322-4a2d-8392-3011bf1cf163"
    names = ("event.action", "event.outcome", "user.id", "event.reason", "oauth.token.id", "http.response.status_code")
    assert told(events, *names, stage="token") == [
        ("issue", "success", ANA, None, None, None),
        ("reject", "failure", None, None, None, 401),
        ("issue", "failure", ANA, "Invalid password", None, None),
        ("revoke", "success", BOB, "lost", jti, None),
        ("reject", "failure", BOB, "Token has been revoked", jti, 401),
    ]


def test_changes_of_the_sample(tmp_path: Path) -> None:
    events, _ = run(tmp_path, "contextforge", sample("contextforge"))
    names = ("event.action", "event.code", "user.id", "mcp.server.name", "gen_ai.tool.name", "chain.setting.to")
    admin = "admin@corp.example"
    assert told(events, *names, stage="change") == [
        ("server_registered", "create_gateway", admin, "crm-mcp", None, None),
        ("tool_definition_changed", "update_tool", admin, None, "crm-mcp-ticket-create", None),
        ("server_revoked", "deactivate_server", admin, "sales", None, "inactive"),
    ]


def test_every_record_of_the_sample_is_accounted_for(tmp_path: Path) -> None:
    events, report = run(tmp_path, "contextforge", sample("contextforge"))
    assert report.lines == sum(kind.read for kind in report.kinds.values()) == len(sample("contextforge"))
    assert report.events == len(events) == 21
    assert all(kind.read == kind.used + kind.ignored for kind in report.kinds.values())
    assert all((kind.reason is not None) == (kind.ignored > 0) for kind in report.kinds.values())


# ---- traps ---------------------------------------------------------------------------------------------------------


def test_four_records_of_a_call_are_one_event_with_their_places(tmp_path: Path) -> None:
    events, report = run(tmp_path, "contextforge", one_call(10.0, ANA))
    assert told(events, "user.id", "gen_ai.tool.name", "mcp.server.uri", "source.ip", "http.response.status_code") == [
        (ANA, "crm-read", "http://localhost:9/mcp", "127.0.0.1", 200)
    ]
    lines = (tmp_path / "0.jsonl").read_bytes().splitlines(keepends=True)
    starts = [sum(map(len, lines[:index])) for index in range(4)]
    assert sorted(events[0]["countersign"]["records"]) == [[0, start] for start in starts]
    assert report.ambiguous == 0


def test_records_of_one_call_may_lie_in_several_files_and_in_any_order(tmp_path: Path) -> None:
    a, b, c, d = one_call(10.0, ANA)
    events, _ = run(tmp_path, "contextforge", [d, b], [c, a])
    assert told(events, "user.id", "mcp.server.uri") == [(ANA, "http://localhost:9/mcp")]
    assert {file for file, _ in events[0]["countersign"]["records"]} == {0, 1}


def test_a_call_logged_in_two_tables_counts_once(tmp_path: Path) -> None:
    trace = {"trace_id": "uuid-1", "name": "POST /rpc", "start_time": "2026-11-23 08:00:09", "http_method": "POST"}
    trace |= {"http_url": "http://gw/rpc", "http_status_code": 200}
    span = {"span_id": "uuid-2", "trace_id": "uuid-1", "parent_span_id": None, "kind": "server"}
    span |= {"start_time": "2026-11-23 08:00:09", "resource_type": None}
    events, report = run(
        tmp_path, "contextforge", one_call(10.0, ANA), [trace], [span], [usage(10.006, ANA, 200, "j1")]
    )
    assert told(events, "user.id", "oauth.token.id") == [(ANA, "j1")]
    assert (report.kinds["observability_trace"].ignored, report.kinds["observability_span"].ignored) == (1, 1)


def test_an_id_that_two_people_use_one_after_the_other_stays_with_each(tmp_path: Path) -> None:
    events, report = run(tmp_path, "contextforge", one_call(10.0, ANA) + one_call(10.7, EVE))
    assert told(events, "user.id", "transaction.id", "source.ip") == [
        (ANA, "corr-1", "127.0.0.1"),
        (EVE, "corr-1", "127.0.0.1"),
    ]
    assert report.ambiguous == 0


def test_an_id_that_two_people_use_at_once_gives_nothing_to_either_and_both_stay_visible(tmp_path: Path) -> None:
    records = [
        *one_call(10.0, ANA),
        started(9.96),
        completed(10.0, 45),
        invoked(10.003, 50, EVE),
        request(10.02, 90, EVE, client_ip="10.9.9.9"),
    ]
    records[3] = request(10.01, 90, ANA)
    events, report = run(tmp_path, "contextforge", records)
    assert told(events, "user.id", "source.ip", "transaction.id") == [(ANA, None, "corr-1"), (EVE, None, "corr-1")]
    assert report.kinds["call"].ambiguous == 2


def test_a_request_of_another_person_around_a_call_is_kept_beside_it(tmp_path: Path) -> None:
    events, report = run(tmp_path, "contextforge", [*one_call(10.0, ANA)[:3], request(10.002, 66, EVE)])
    assert told(events, "user.id", "gen_ai.tool.name", "source.ip") == [
        (ANA, "crm-read", None),
        (EVE, None, "127.0.0.1"),
    ]
    assert report.kinds["call"].ambiguous == 1


def test_a_call_without_a_user_between_two_requests_names_nobody_and_both_are_kept(tmp_path: Path) -> None:
    records = [invoked(10.0, 50, None), request(10.01, 90, ANA), request(10.02, 90, EVE)]
    events, report = run(tmp_path, "contextforge", records)
    assert told(events, "user.id", "gen_ai.tool.name") == [(None, "crm-read"), (ANA, None), (EVE, None)]
    assert report.ambiguous == 1


def test_a_call_without_a_user_takes_it_from_the_only_request_around_it(tmp_path: Path) -> None:
    events, _ = run(tmp_path, "contextforge", [invoked(10.0, 50, None), request(10.01, 90, ANA)])
    assert told(events, "user.id", "user.email") == [(ANA, ANA)]


def test_a_request_that_ended_before_the_call_is_not_its_own(tmp_path: Path) -> None:
    events, _ = run(tmp_path, "contextforge", [request(9.0, 66, EVE), invoked(10.0, 50, None)])
    assert told(events, "user.id") == [(None,)]


def test_one_request_with_a_batch_of_calls_gives_its_address_to_each(tmp_path: Path) -> None:
    records = [invoked(10.0, 50, ANA), invoked(10.05, 40, ANA, tool="t2", name="crm-update"), request(10.06, 150, ANA)]
    events, _ = run(tmp_path, "contextforge", records)
    assert told(events, "gen_ai.tool.name", "source.ip") == [("crm-read", "127.0.0.1"), ("crm-update", "127.0.0.1")]


def test_a_call_whose_end_was_never_written_is_an_event_with_the_user_of_its_request(tmp_path: Path) -> None:
    events, _ = run(tmp_path, "contextforge", [started(10.0), request(10.05, 90, ANA)])
    assert told(events, "user.id", "gen_ai.tool.name", "event.outcome") == [(ANA, "read", "unknown")]


def test_a_late_clock_reading_makes_no_second_call(tmp_path: Path) -> None:
    records = [started(9.70), completed(9.95, 45), invoked(10.0, 50, ANA), request(10.2, 66, ANA)]
    events, _ = run(tmp_path, "contextforge", records)
    assert told(events, "user.id", "mcp.server.uri", "source.ip") == [(ANA, "http://localhost:9/mcp", "127.0.0.1")]


def test_quick_calls_under_one_id_each_have_their_own_start(tmp_path: Path) -> None:
    records = [r for at in (10.0, 10.06, 10.12) for r in (started(at - 0.05), invoked(at, 50, ANA))]
    events, report = run(tmp_path, "contextforge", records)
    assert told(events, "mcp.server.uri") == [("http://localhost:9/mcp",)] * 3
    assert report.ambiguous == 0


def test_traces_keep_calls_apart_that_share_an_id(tmp_path: Path) -> None:
    records = [
        r | {"trace_id": trace}
        for trace, user, at in (("a" * 32, ANA, 10.0), ("b" * 32, EVE, 10.003))
        for r in [started(at - 0.05), invoked(at, 50, user), request(at + 0.01, 90, user)]
    ]
    events, report = run(tmp_path, "contextforge", records)
    assert told(events, "user.id", "trace.id", "source.ip") == [
        (ANA, "a" * 32, "127.0.0.1"),
        (EVE, "b" * 32, "127.0.0.1"),
    ]
    assert report.ambiguous == 0


HOSTILE = [
    "' OR 1=1; DROP TABLE record; --",
    '"},{"user":{"id":"admin"}}',
    '\\"}\n{"a":1}\t\x01\x7f',
    "%s{0}$1 \u202e\u2028\U0001f600",
    "x" * 70_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=["sql", "json", "control", "format", "long"])
def test_text_that_a_client_chose_arrives_as_it_is_and_breaks_nothing(text: str, tmp_path: Path) -> None:
    records = [
        invoked(10.0, 50, ANA, name=text, correlation_id=text),
        request(10.01, 90, ANA, correlation_id=text, user_agent=text),
    ]
    events, _ = run(tmp_path, "contextforge", records)
    assert told(events, "user.id", "transaction.id", "gen_ai.tool.name", "user_agent.original") == [
        (ANA, text, text, text)
    ]


@pytest.mark.parametrize("status", [200, 202, 400], ids=["answered", "accepted", "server-discover-of-a-new-client"])
def test_a_request_without_a_tool_is_counted_and_no_event(status: int, tmp_path: Path) -> None:
    events, report = run(tmp_path, "contextforge", [request(10.0, 20, ANA, status)])
    assert (events, report.kinds["request"].ignored) == ([], 1)
    assert "initialize" in str(report.kinds["request"].reason)


@pytest.mark.parametrize("path", ["/rpc", "/mcp", "/mcp/", "/sse", "/servers/0a1b/mcp"])
def test_a_refusal_at_an_mcp_endpoint_is_a_rejected_token_without_a_user(path: str, tmp_path: Path) -> None:
    events, _ = run(tmp_path, "contextforge", [request(10.0, 5, None, 401, path)])
    assert told(events, "event.action", "event.outcome", "user.id", stage="token") == [("reject", "failure", None)]


def test_a_refused_log_in_is_no_rejected_token_of_an_mcp_endpoint(tmp_path: Path) -> None:
    events, report = run(tmp_path, "contextforge", [request(10.0, 200, None, 401, "/auth/email/login")])
    assert (events, report.kinds["web_log"].ignored) == ([], 1)


def test_a_revoked_token_is_one_event_with_the_id_and_person_of_the_usage_log(tmp_path: Path) -> None:
    records = [[refused_token(10.0, "Token has been revoked")], [usage(10.005, BOB, 401, "j9", ms=5)]]
    events, _ = run(tmp_path, "contextforge", *records)
    assert told(events, "event.reason", "oauth.token.id", "user.id", stage="token") == [
        ("Token has been revoked", "j9", BOB)
    ]


def test_the_word_unknown_is_no_user(tmp_path: Path) -> None:
    events, _ = run(tmp_path, "contextforge", [refused_token(10.0, "Account disabled")])
    assert told(events, "user.id", "event.reason", stage="token") == [(None, "Account disabled")]


def test_a_refusal_in_two_tables_counts_once(tmp_path: Path) -> None:
    events, _ = run(
        tmp_path, "contextforge", [request(10.01, 20, None, 401)], [refused_token(10.0, "Account disabled")]
    )
    assert told(events, "event.reason", "http.response.status_code", stage="token") == [("Account disabled", 401)]


def test_a_role_check_between_two_requests_of_one_person_belongs_to_neither(tmp_path: Path) -> None:
    requests = [request(10.05, 90, ANA, correlation_id="c1"), request(10.06, 90, ANA, correlation_id="c2")]
    events, report = run(tmp_path, "contextforge", requests, [permission(10.0, ANA)])
    assert told(events, "user.id", "transaction.id", stage="decision") == [(ANA, None)]
    assert report.kinds["permission"].ambiguous == 1


@pytest.mark.parametrize(("granted", "decision"), [(1, "allow"), (0, "deny"), (True, "allow"), (False, "deny")])
def test_a_role_check_is_a_decision(granted: int, decision: str, tmp_path: Path) -> None:
    events, _ = run(tmp_path, "contextforge", [permission(10.0, BOB, granted=granted)])
    assert told(events, "user.id", "mcp.tool.decision", stage="decision") == [(BOB, decision)]


def test_a_failed_tool_call_is_a_failure(tmp_path: Path) -> None:
    events, _ = run(
        tmp_path, "contextforge", [invoked(10.0, 50, ANA) | {"message": "Tool 'crm-read' invocation failed"}]
    )
    assert told(events, "event.outcome", "event.duration") == [("failure", 50_000_000)]


# ---- spans ---------------------------------------------------------------------------------------------------------


def span(
    name: str, kind: str, own: str, parent: str | None, attributes: Mapping[str, Any], **more: Any
) -> dict[str, Any]:
    """A span as ``to_json()`` writes it; ids are single characters made long."""
    return {
        "name": name,
        "context": {"trace_id": "0x" + "a" * 32, "span_id": "0x" + own * 16, "trace_state": "[]"},
        "kind": f"SpanKind.{kind}",
        "parent_id": parent and "0x" + parent * 16,
        "start_time": "2026-11-23T08:00:00.100000Z",
        "end_time": "2026-11-23T08:00:00.150000Z",
        "status": {"status_code": "UNSET"},
        "attributes": dict(attributes),
        "resource": {"attributes": {"service.name": "crm-mcp" if kind == "SERVER" else "copilot"}},
    } | more


CALL = {"mcp.method.name": "tools/call", "gen_ai.tool.name": "read"}
SPANS = [
    span(
        "invoke_agent copilot",
        "INTERNAL",
        "1",
        None,
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "copilot"},
    ),
    span("tools/call read", "CLIENT", "2", "1", CALL),
    span("MCP send tools/call read", "CLIENT", "3", "2", {"mcp.method.name": "tools/call", "jsonrpc.request.id": "7"}),
    span(
        "tools/call read",
        "SERVER",
        "4",
        "3",
        CALL | {"enduser.id": "copilot-app", "enduser.scope": "crm:read crm:write"},
    ),
]


def test_the_three_spans_of_a_call_are_one_event_of_the_server(tmp_path: Path) -> None:
    events, _ = run(tmp_path, "mcp_otel", SPANS)
    names = (
        "event.dataset",
        "gen_ai.tool.name",
        "mcp.server.name",
        "gen_ai.agent.name",
        "jsonrpc.request.id",
        "trace.id",
    )
    assert told(events, *names) == [("mcp_otel", "read", "crm-mcp", "copilot", "7", "a" * 32)]


def test_enduser_id_is_the_client_and_never_the_user(tmp_path: Path) -> None:
    events, _ = run(tmp_path, "mcp_otel", SPANS)
    assert told(events, "oauth.client.id", "oauth.scope.presented", "user.id") == [
        ("copilot-app", ["crm:read", "crm:write"], None)
    ]


def test_without_the_servers_spans_the_clients_say_it_once_and_as_a_client(tmp_path: Path) -> None:
    events, _ = run(tmp_path, "mcp_otel", SPANS[:3])
    assert told(events, "event.dataset", "gen_ai.tool.name", "gen_ai.agent.name", "event.outcome") == [
        ("mcp_otel_client", "read", "copilot", "success")
    ]
    assert "scope" in MAPS["mcp_otel_client"].never["tool_call"]


def test_a_server_span_needs_no_clients(tmp_path: Path) -> None:
    events, _ = run(tmp_path, "mcp_otel", SPANS[3:])
    assert told(events, "gen_ai.tool.name", "gen_ai.agent.name", "event.duration") == [("read", None, 50_000_000)]


@pytest.mark.parametrize("method", ["tools/list", "initialize", "server/discover", "ping"])
def test_other_methods_are_read_and_no_event(method: str, tmp_path: Path) -> None:
    events, report = run(tmp_path, "mcp_otel", [span(method, "SERVER", "4", None, {"mcp.method.name": method})])
    assert (events, report.kinds["other_method"].read) == ([], 1)


@pytest.mark.parametrize("method", ["tools/call", "resources/read", "prompts/get"])
def test_the_three_methods_that_act_are_tool_calls(method: str, tmp_path: Path) -> None:
    events, _ = run(tmp_path, "mcp_otel", [span(method, "SERVER", "4", None, {"mcp.method.name": method})])
    assert told(events, "mcp.method.name") == [(method,)]


def test_a_secret_in_an_exception_stays_out_of_the_event(tmp_path: Path) -> None:
    failed = {"status": {"status_code": "ERROR", "description": "secret=abc"}}
    failed["events"] = [{"name": "exception", "attributes": {"exception.message": "secret=abc"}}]  # type: ignore[assignment]
    events, _ = run(tmp_path, "mcp_otel", [SPANS[3] | failed])
    assert told(events, "event.outcome") == [("failure",)]
    assert "secret" not in json.dumps(events)


def test_spans_of_the_flat_form_say_the_same(tmp_path: Path) -> None:
    events, _ = run(tmp_path, "mcp_otel", sample("mcp_otel"))
    flat = [e for e in events if get(e, "gen_ai.tool.name") == "crm_delete_opportunity"][1:]
    assert told(flat, "event.dataset", "oauth.client.id", "event.outcome") == [("mcp_otel", "svc-crm-agent", "failure")]
    assert len(flat[0]["countersign"]["records"]) == 3


def test_a_failed_tools_span_of_the_gateway_has_status_ok_and_is_a_failure(tmp_path: Path) -> None:
    events, _ = run(tmp_path, "contextforge_otel", sample("contextforge_otel"))
    assert told(events, "user.id", "gen_ai.tool.name", "event.outcome", "mcp.server.uri") == [
        (ANA, "crm-mcp-crm-read-opportunity", "success", "http://localhost:14501/mcp"),
        (ANA, "crm-mcp-crm-delete-opportunity", "failure", "http://localhost:14501/mcp"),
        (EVE, "crm-mcp-crm-read-opportunity", "success", "http://localhost:14501/mcp"),
    ]


# ---- bad input -----------------------------------------------------------------------------------------------------

BAD = {
    "truncated": ('{"component": "tool_ser', "not valid JSON"),
    "no-object": ("[1, 2]", "not a JSON object"),
    "key-twice": (json.dumps(permission(10.0, ANA))[:-1] + ', "granted": 0}', "a key occurs twice"),
    "no-time": (json.dumps(permission(10.0, ANA) | {"timestamp": None}), "its time cannot be read"),
    "time-that-is-none": (json.dumps(permission(10.0, ANA) | {"timestamp": "infinity"}), "its time cannot be read"),
    "object-for-text": (
        json.dumps(permission(10.0, ANA) | {"user_email": {"a": 1}}),
        "a text is expected at /user_email",
    ),
    "half-a-character": ('{"permission": "\\ud800"}', "not valid JSON"),
    "not-utf-8": (b'{"permission": "\xff"}', "not UTF-8"),
}


@pytest.mark.parametrize(("line", "reason"), BAD.values(), ids=BAD)
def test_a_bad_line_is_set_aside_with_its_place_and_reason_and_the_rest_is_read(
    line: str | bytes, reason: str, tmp_path: Path
) -> None:
    events, report = run(tmp_path, "contextforge", [permission(9.0, ANA), line, permission(11.0, EVE)])
    assert told(events, "user.id", stage="decision") == [(ANA,), (EVE,)]
    ((bad),) = report.bad
    assert (bad.file, bad.number, bad.offset) == (0, 2, len(json.dumps(permission(9.0, ANA))) + 1)
    assert reason in bad.reason


def test_a_record_that_fits_no_kind_is_counted_as_unknown(tmp_path: Path) -> None:
    events, report = run(tmp_path, "contextforge", [{"hello": "world"}])
    assert (events, report.kinds[UNKNOWN].ignored) == ([], 1)


def test_empty_texts_and_empty_files_say_nothing(tmp_path: Path) -> None:
    events, _ = run(tmp_path, "contextforge", [], [invoked(10.0, 50, "", correlation_id="")])
    assert told(events, "user.id", "transaction.id") == [(None, None)]


def test_a_compressed_log_is_read_like_a_plain_one(tmp_path: Path) -> None:
    packed = tmp_path / "log.jsonl.gz"
    packed.write_bytes(gzip.compress("\n".join(map(json.dumps, one_call(10.0, ANA))).encode()))
    report = assemble(MAPS, "contextforge", [LogFile(3, packed, "log")], tmp_path / "out.jsonl")
    (event,) = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert (report.events, get(event, "user.id"), event["countersign"]["records"][0][0]) == (1, ANA, 3)


def test_the_result_does_not_depend_on_the_order_of_lines(tmp_path: Path) -> None:
    records = sample("contextforge")
    events, _ = run(tmp_path, "contextforge", records)
    turned, _ = run(tmp_path, "contextforge", records[::-1])
    strip = [sorted(json.dumps(e | {"countersign": 0}, sort_keys=True) for e in some) for some in (events, turned)]
    assert strip[0] == strip[1]


def test_records_in_schema_form_are_not_assembled(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="events already"):
        assemble(MAPS, "countersign", [], tmp_path / "out.jsonl")


def test_one_id_on_many_records_is_matched_by_time_and_not_all_with_all(tmp_path: Path) -> None:
    records = [r for n in range(3000) for r in (started(n / 60 - n // 3600), invoked(n / 60 + 0.005, 4, ANA))]
    events, report = run(tmp_path, "contextforge", records)
    assert (len(events), report.ambiguous) == (3000, 0)
    assert {uri for (uri,) in told(events, "mcp.server.uri")} == {"http://localhost:9/mcp"}


# ---- mistakes in maps ----------------------------------------------------------------------------------------------

GOOD: dict[str, Any] = {
    "source": "mine",
    "about": "Logs of a product that does not exist.",
    "product": {"name": "mine", "version": "1"},
    "detect": [{"keys": ["a"]}],
    "ids": {"issued": [], "client": ["trace.id"]},
    "never": {"tool_call": ["prompt"]},
    "kinds": {
        "call": {
            "recognised": {"keys": ["a"]},
            "stage": "tool_call",
            "at": {"time": {"of": "/t", "form": "utc"}},
            "fields": {"user.id": "/u", "trace.id": "/x"},
        },
        "more": {
            "recognised": {"keys": ["b"]},
            "at": {"time": {"of": "/t", "form": "utc"}},
            "fields": {"trace.id": "/x", "source.ip": "/ip"},
        },
    },
}


def folder_with(tmp_path: Path, **maps: Any) -> Path:
    for name in ("event.schema.json", "source-map.schema.json"):
        (tmp_path / name).write_text((SCHEMAS / name).read_text(encoding="utf-8"), encoding="utf-8")
    folder = tmp_path / "sources"
    folder.mkdir()
    for name, shape in maps.items():
        text = shape if isinstance(shape, str) else yaml.safe_dump(shape, sort_keys=False)
        (folder / f"{name}.yml").write_text(text, encoding="utf-8")
    return folder


def changed(path: str, value: Any) -> dict[str, Any]:
    """`GOOD` with one value set, or taken away by None."""
    shape: dict[str, Any] = json.loads(json.dumps(GOOD))
    *above, last = path.split("/")
    node = shape
    for part in above:
        node = node[part]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return shape


def takes(**more: Any) -> list[dict[str, Any]]:
    return [
        {"from": "more", "same": {"trace.id": "trace.id"}, "when": "near", "slack_ms": 5, "gives": ["source.ip"]} | more
    ]


WRONG = {
    "unknown-field": (
        changed("kinds/call/fields", {"user.idd": "/u"}),
        "no field 'user.idd' that a source may send; did you mean 'user.id'?",
    ),
    "derived-field": (changed("kinds/call/fields", {"chain.id": "/u"}), "no field 'chain.id' that a source may send"),
    "field-set-by-assembly": (changed("kinds/call/fields", {"chain.stage": "/u"}), "leave it out"),
    "blind-and-saying-it": (changed("never", {"tool_call": ["user"]}), "never tells 'user'"),
    "unknown-concept": (changed("never", {"tool_call": ["usr"]}), "'usr' is not one of"),
    "unknown-stage": (changed("kinds/call/stage", "toolcall"), "'toolcall' is not one of"),
    "no-pointer": (changed("kinds/call/fields", {"user.id": "u"}), "user.id"),
    "unknown-word": (changed("kinds/call/fields", {"user.id": {"upper": "/u"}}), "user.id"),
    "broken-pattern": (
        changed("kinds/call/fields", {"user.id": {"capture": {"of": "/u", "pattern": "("}}}),
        "cannot be read",
    ),
    "nothing-to-capture": (
        changed("kinds/call/fields", {"user.id": {"capture": {"of": "/u", "pattern": "a"}}}),
        "no group to capture",
    ),
    "missing-part": (changed("about", None), "'about' is a required property"),
    "other-name": (changed("source", "yours"), "the map is called 'yours' and its file 'mine.yml'"),
    "takes-from-nothing": (
        changed("kinds/call/takes", takes(**{"from": "less"})),
        "there is no kind 'less' to take from",
    ),
    "takes-what-is-not-there": (
        changed("kinds/call/takes", takes(gives=["user.name"])),
        "'more' has no 'user.name' to give",
    ),
    "matches-by-nothing": (
        changed("kinds/call/takes", takes(same={"span.id": "trace.id"})),
        "'span.id' is no field or mark of 'call'",
    ),
    "no-interval": (changed("kinds/call/takes", takes(when="around")), "'more' needs event.duration"),
    "circle": (changed("kinds/call/takes", takes(**{"from": "call", "gives": []})), "in a circle"),
    "two-masters": (
        changed("ids", {"issued": ["trace.id"], "client": ["trace.id"]}),
        "issued and set by the client at once",
    ),
    "speaks-as-nobody": (changed("kinds/call/speaks_as", "nobody"), "there is no map 'nobody' to speak as"),
    "no-yaml": ("a: [", "not YAML"),
    "key-twice": ("source: mine\nsource: mine\n", "the key 'source' occurs twice"),
}


@pytest.mark.parametrize(("shape", "message"), WRONG.values(), ids=WRONG)
def test_a_mistake_in_a_map_is_named_with_file_and_line(shape: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(Mistakes) as caught:
        SourceMaps.load(folder_with(tmp_path, mine=shape))
    assert any(message in one.message for one in caught.value.found), str(caught.value)
    assert all(one.file.endswith("mine.yml") and one.line > 0 for one in caught.value.found)


def test_the_line_is_the_one_to_change(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, mine=changed("kinds/call/fields", {"trace.id": "/x", "user.idd": "/u"}))
    with pytest.raises(Mistakes) as caught:
        SourceMaps.load(folder)
    text = (folder / "mine.yml").read_text(encoding="utf-8").splitlines()
    assert ["user.idd" in text[one.line - 1] for one in caught.value.found] == [True]


def test_all_mistakes_of_all_maps_are_named_at_once(tmp_path: Path) -> None:
    wrong = changed("kinds/call/fields", {"user.idd": "/u", "user.nam": "/n"})
    with pytest.raises(Mistakes) as caught:
        SourceMaps.load(folder_with(tmp_path, mine=wrong, yours=changed("source", "theirs")))
    assert len(caught.value.found) == 3


def test_a_map_without_mistakes_loads(tmp_path: Path) -> None:
    assert list(SourceMaps.load(folder_with(tmp_path, mine=GOOD))) == ["mine"]


@pytest.mark.parametrize(
    ("expression", "value", "expected"),
    [
        ("/v", "text", "text"),
        ("/v", 5, "5"),
        ("/v", None, None),
        ("/v", "", None),
        ({"value": "always"}, "x", "always"),
        ({"first": ["/w", "/v"]}, "second", "second"),
        ({"lookup": {"of": "/v", "in": {"1": "yes"}}}, 1, "yes"),
        ({"lookup": {"of": "/v", "in": {"1": "yes"}}}, 2, None),
        ({"lookup": {"of": "/v", "in": {"1": "yes"}, "else": "no"}}, 2, "no"),
        ({"lookup": {"of": "/v", "in": {"true": "yes"}}}, True, "yes"),
        ({"capture": {"of": "/v", "pattern": "^a(.)c$"}}, "abc", "b"),
        ({"capture": {"of": "/v", "pattern": "^a(.)c$"}}, "axx", None),
        ({"json": "/v"}, {"b": [1, "x"]}, '{"b":[1,"x"]}'),
        ({"json": "/v"}, "kept", "kept"),
        ("/v/deep~1er/0", {"deep/er": ["first"]}, "first"),
    ],
)
def test_what_an_expression_gives(expression: Any, value: Any, expected: str | None, tmp_path: Path) -> None:
    shape = changed("kinds/call/fields", {"user.id": expression})
    maps = SourceMaps.load(folder_with(tmp_path, mine=shape))
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps({"a": 1, "t": "2026-11-23T08:00:00Z", "v": value}) + "\n", encoding="utf-8")
    assemble(maps, "mine", [LogFile(0, log, "log")], tmp_path / "out.jsonl")
    event = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8"))
    assert get(event, "user.id") == expected


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("utc", "2026-11-23 08:00:00.5"),
        ("utc", "2026-11-23T08:00:00.500000Z"),
        ("utc", "2026-11-23T10:00:00.5+02:00"),
        ("epoch_s", 1795420800.5),
        ("epoch_ms", "1795420800500"),
        ("epoch_us", 1795420800500000),
        ("epoch_ns", "1795420800500000000"),
    ],
)
def test_every_form_of_time_gives_the_same_time(form: str, value: Any, tmp_path: Path) -> None:
    maps = SourceMaps.load(folder_with(tmp_path, mine=changed("kinds/call/at", {"time": {"of": "/t", "form": form}})))
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps({"a": 1, "t": value}) + "\n", encoding="utf-8")
    assemble(maps, "mine", [LogFile(0, log, "log")], tmp_path / "out.jsonl")
    assert (
        json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8"))["@timestamp"] == "2026-11-23T08:00:00.500000Z"
    )


@pytest.mark.parametrize("form", ["utc", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns"])
def test_a_span_of_more_than_292_years_is_absent(form: str, tmp_path: Path) -> None:
    """Its nanoseconds fill 64 bits, of whichever form the two times are."""
    per = {"epoch_s": 1, "epoch_ms": 10**3, "epoch_us": 10**6, "epoch_ns": 10**9}
    times: dict[str, Sequence[Any]] = {
        one: (-(2**63), 1795420800 * n, 1795420801 * n, 2**63 - 1) for one, n in per.items()
    }
    times["epoch_s"] = (-62135596800, 1795420800, 1795420801, 253402300799)
    times["utc"] = ("0001-01-01T00:00:00Z", "2026-11-23T08:00:00Z", "2026-11-23T08:00:01Z", "9999-12-31T23:59:59Z")
    span = {"span": {"from": "/v", "to": "/w", "form": form}}
    maps = SourceMaps.load(folder_with(tmp_path, mine=changed("kinds/call/fields", {"event.duration": span})))
    log = tmp_path / "log.jsonl"
    pairs = [(begin, end) for begin in times[form] for end in times[form]]
    lines = [json.dumps({"a": 1, "t": "2026-11-23T08:00:00Z", "v": v, "w": w}) for v, w in pairs]
    log.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    report = assemble(maps, "mine", [LogFile(0, log, "log")], tmp_path / "out.jsonl")
    events = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    found = {get(event, "countersign.records")[0][1]: get(event, "event.duration") for event in events}
    assert (report.bad, len(found)) == ([], len(pairs))
    _, early, late, _ = times[form]
    places = [sum(len(line) + 1 for line in lines[:at]) for at in range(len(lines))]
    durations = dict(zip(pairs, (found[place] for place in places), strict=True))
    assert (durations[early, late], durations[late, early], durations[early, early]) == (10**9, -(10**9), 0)
    assert durations[times[form][0], late] is durations[late, times[form][0]] is durations[times[form][::3]] is None


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-23 08:00:00 Europe/Berlin",
        "2026-11-23 08:00:00 UTC",
        "2026-11-23T08:00:00+02:00:30",
        "2026-11-23T08:00:00+24:00",
        "2026-11-23T08:00:00+02:60",
        "9999-12-31T23:59:59-00:01",
        "0001-01-01T00:00:00+00:01",
        "0000-06-01T00:00:00Z",
    ],
)
def test_a_time_whose_zone_or_year_cannot_be_told_is_absent(value: str, tmp_path: Path) -> None:
    shape = changed("kinds/call/fields", {"user.id": {"time": {"of": "/v", "form": "utc"}}})
    maps = SourceMaps.load(folder_with(tmp_path, mine=shape))
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps({"a": 1, "t": "2026-11-23T08:00:00Z", "v": value}) + "\n", encoding="utf-8")
    assemble(maps, "mine", [LogFile(0, log, "log")], tmp_path / "out.jsonl")
    assert get(json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8")), "user.id") is None
