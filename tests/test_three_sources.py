"""One story over three sources: Claude Code's events, the gateway's tables, the downstream system's own records.

Claude Code sends its traceparent to an HTTP MCP server; ContextForge writes that trace id beside a correlation id of its
own, and passes the correlation id on; the system behind it logs no other id. So the trace joins runtime and gateway,
the correlation id joins gateway and system, and both are text that a caller may set.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from backends.duckdb.assemble import assemble
from backends.duckdb.lines import LogFile
from backends.duckdb.target import judge
from backends.sources import SourceMaps
from backends.vocabulary import Vocabulary
from harness.options import ScanOptions
from harness.paths import Root
from harness.scan import scan, sources_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.finding import ScanResult

pytestmark = pytest.mark.xdist_group("three_sources")

ROOT = Root.default()
MAPS = SourceMaps.load(ROOT.sources)
EIGHT = datetime(2026, 11, 23, 8, tzinfo=UTC)
ANA, EVE = "ana@corp.example", "eve@corp.example"
PROMPT = "6f6c2f3a-8f61-4a5e-8c53-5a3f0c5b1101"
TRACE, INTERACTION = "7d3b1f0a9c5e4d2188aa01b2c3d4e5f6", "a1b2c3d4e5f60718"
ANAS, EVES = "a7b4ccd7acac426aae73a9d8004b7229", "d112c7094fcf442a8c17697f4a62bdb7"
"""Correlation ids that the gateway gave to two requests."""
REGISTER: dict[str, list[dict[str, Any]]] = {
    "agents": [{"id": "claude-code", "owner": "Sales Operations", "mode": "interactive", "status": "active"}],
    "servers": [{"name": "corp-gateway", "party": "first", "approval": "approved"}],
    "people": [{"person": name, "email": f"{name}@corp.example"} for name in ("ana", "eve")],
}


# ---- Claude Code ----------------------------------------------------------------------------------------------------


def claude(at: float, name: str, **more: Any) -> dict[str, Any]:
    """A log record of OTLP JSON, ``at`` seconds after eight; every record of the interaction has its trace."""
    moment = EIGHT + timedelta(seconds=at)
    attributes = {
        "session.id": "3a0c1a52-6f0e-4c77-9d58-0b7a5b1d9f10",
        "user.id": "5f1c" * 16,
        "user.email": ANA,
        "user.account_uuid": "7b1b3f0e-2c44-4b8e-9a6e-3f5f0a7c0001",
        "prompt.id": PROMPT,
        "event.name": name,
        "event.timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "event.sequence": str(int(at * 10)),
    }
    return {
        "timeUnixNano": str(int(moment.timestamp() * 1000) * 1_000_000),
        "body": {"stringValue": f"claude_code.{name}"},
        "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in (attributes | more).items()],
        "traceId": TRACE,
        "spanId": INTERACTION,
    }


def export(*records: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the collector's file exporter."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "claude-code"}}]}
    scope = {"name": "com.anthropic.claude_code.events", "version": "2.1.274"}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": scope, "logRecords": list(records)}]}]}


def runtime() -> list[dict[str, Any]]:
    """What Ana's Claude Code exported: her prompt; then, on the next line, her consent and the call."""
    call = {
        "tool_name": "mcp_tool",
        "tool_use_id": "toolu_01AnaUpdate0000000000001",
        "tool_parameters": json.dumps(
            {"mcp_server_name": "corp-gateway", "mcp_tool_name": "crm-mcp-crm-update-opportunity"}
        ),
    }
    answer = {"success": "true", "duration_ms": "402", "decision_type": "accept", "decision_source": "user_temporary"}
    return [
        export(claude(10.0, "user_prompt", prompt_length="64", prompt="<REDACTED>")),
        export(
            claude(12.0, "api_request", model="claude-sonnet-5"),
            claude(15.0, "tool_decision", **call, decision="accept", source="user_temporary", tool_source="mcp"),
            claude(15.5, "tool_result", **call, **answer, tool_result_size_bytes="120", tool_input='{"id":"o-17"}'),
        ),
    ]


# ---- ContextForge ---------------------------------------------------------------------------------------------------


def row(at: float, correlation: str, component: str, message: str, **more: Any) -> dict[str, Any]:
    """A row of structured_log_entries, OpenTelemetry on: the trace is the one that came in."""
    moment = EIGHT + timedelta(seconds=at)
    columns = ["user_id", "user_email", "client_ip", "user_agent", "request_path", "request_method", "operation_type"]
    return (
        {"id": f"{correlation}{at}", "timestamp": moment.isoformat(sep=" ", timespec="microseconds")[:26]}
        | {"correlation_id": correlation, "component": component, "message": message, "level": "INFO"}
        | dict.fromkeys([*columns, "error_details", "duration_ms", "logger"])
        | {"is_security_event": 0, "trace_id": TRACE, "span_id": f"{int(at * 1000):016x}"}
        | more
    )


def gateway(at: float, person: str, correlation: str, verb: str = "update", path: str = "/servers/8d01/mcp") -> Any:
    """The four rows of one call of 60 ms that ends at ``at``."""
    tool = {"tool_name": f"crm_{verb}_opportunity", "tool_id": "018342f4"}
    named = f"crm-mcp-crm-{verb}-opportunity"
    began = {"event": "mcp_call_started", "server_url": "http://localhost:14501/mcp", "transport": "streamablehttp"}
    ended = {"event": "mcp_call_completed", "success": True, "transport": "streamablehttp"}
    invoked = {"resource_type": "tool", "resource_id": "018342f4", "resource_action": "invoke"}
    answered = {"response_status_code": 200, "metadata": {"event": "request_completed"}}
    caller = {"user_email": person, "client_ip": "10.2.3.4", "user_agent": "claude-code/2.1.274"}
    asked = {"request_path": path, "request_method": "POST", "operation_type": "http_request", "duration_ms": 85.4}
    return [
        row(at - 0.055, correlation, "tool_service", "MCP tool call started", context={"metadata": began | tool}),
        row(
            at - 0.004,
            correlation,
            "tool_service",
            "MCP tool call completed",
            context={"metadata": ended | tool},
            duration_ms=51.4,
        ),
        row(
            at,
            correlation,
            "tool_service",
            f"Tool '{named}' invoked successfully",
            user_id=person,
            duration_ms=56.5,
            context=invoked | {"custom_fields": {"tool_name": named, "integration_type": "MCP"}},
        ),
        row(at + 0.003, correlation, "http_gateway", "Request completed", context=answered, **caller, **asked),
    ]


# ---- the system behind it -------------------------------------------------------------------------------------------


def changed(at: float, person: str, correlation: str, operation: str = "write") -> dict[str, Any]:
    """The system's own record of the change, in schema form: whom it acted for, and the correlation id it was given."""
    moment = EIGHT + timedelta(seconds=at)
    return {
        "@timestamp": moment.isoformat().replace("+00:00", "Z"),
        "event": {"id": f"crm-{at}", "outcome": "success"},
        "chain": {"stage": "access", "operation": operation, "resource": {"id": "o-17", "type": "opportunity"}},
        "service": {"target": {"name": "crm"}},
        "user": {"email": person},
        "transaction": {"id": correlation},
    }


# ---- the tellings ---------------------------------------------------------------------------------------------------

GATEWAY_ROWS = gateway(15.45, ANA, ANAS)
SYSTEM_ROWS = [changed(15.42, ANA, ANAS)]
LOGS = {"claude.jsonl": runtime(), "gateway.jsonl": GATEWAY_ROWS, "crm.jsonl": SYSTEM_ROWS}
# Eve has read the trace id in a shared dashboard. She calls the gateway as herself, with Ana's traceparent, and deletes.
COPIED = {
    **LOGS,
    "gateway.jsonl": [*GATEWAY_ROWS, *gateway(75.0, EVE, EVES, "delete", "/rpc")],
    "crm.jsonl": [*SYSTEM_ROWS, changed(74.97, EVE, EVES, "delete")],
}
# Without the traces beta Claude Code sends no traceparent and its records have no trace: the gateway's is its own.
UNTRACED = {**LOGS, "claude.jsonl": [json.loads(json.dumps(line).replace(TRACE, "")) for line in runtime()]}


@dataclass(frozen=True)
class Telling:
    """One telling, judged."""

    events: Sequence[Mapping[str, Any]]
    chains: Sequence[Mapping[str, Any]]
    result: ScanResult

    def found(self, kind: str) -> set[tuple[str, str]]:
        """Stem and level of the findings of a kind: incident or posture."""
        return {(f.rule.stem, f.rule.level) for f in self.result.findings if f.rule.kind == kind}

    def places(self, stem: str, start: str = "") -> set[tuple[str, int]]:
        """File and line of the records of a rule's findings whose sentence holds a text."""
        some = (f for f in self.result.findings if f.rule.stem == stem and start in f.sentence)
        return {(Path(one.file).name, one.line) for f in some for one in f.records}


def told(folder: Path, logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Telling:
    """Scan the logs as a person would, and judge their assembled events for the chain's facts."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in logs.items():
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    tables = folder / "register"
    tables.mkdir()
    for table, rows in REGISTER.items():
        (tables / f"{table}.yml").write_text(json.dumps(rows), encoding="utf-8")
    paths = [folder / name for name in logs]
    result = scan(ScanOptions(tuple(map(str, paths)), ROOT, register=tables))
    records: list[Mapping[str, Any]] = []
    for path in paths:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        source = MAPS.detect(lines) or ""
        if not MAPS[source].schema_form:
            out = folder / "events.jsonl"
            assemble(MAPS, source, [LogFile(0, path, path.name)], out)
            lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
        records += [{key: value for key, value in line.items() if key != "countersign"} for line in lines]
    vocabulary, chains = Vocabulary.load(ROOT.event_schema), Vocabulary.load(ROOT.chain_schema)
    judged = judge(
        records,
        rules={},
        vocabulary=vocabulary,
        chain_vocabulary=chains,
        register=REGISTER,
        sources=sources_of(MAPS),
    )
    return Telling([e for e in judged.events if e], judged.chains, result)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Telling:
    return told(tmp_path_factory.mktemp("honest"), LOGS)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Telling:
    return told(tmp_path_factory.mktemp("copied"), COPIED)


@pytest.fixture(scope="module")
def untraced(tmp_path_factory: pytest.TempPathFactory) -> Telling:
    return told(tmp_path_factory.mktemp("untraced"), UNTRACED)


BLIND = {("source_blind_to_prompt", "low"), ("source_blind_to_response", "low"), ("source_blind_to_scope", "low")}
"""What the gateway, and of scopes the runtime too, can never say."""


def placed(telling: Telling) -> list[tuple[Any, ...]]:
    """Stage, person, chain and by what it was placed, in the order of time."""
    names = ("chain.stage", "user.email", "chain.id", "chain.id_source")
    ordered = sorted(telling.events, key=lambda event: str(event["@timestamp"]))
    return [tuple(event.get(name) for name in names) for event in ordered]


def facts(chain: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    return {name: chain.get(name) for name in expected}


# ---- the honest telling ---------------------------------------------------------------------------------------------


def test_the_records_of_three_sources_are_one_chain_with_the_prompts_id(honest: Telling) -> None:
    assert placed(honest) == [
        ("prompt", ANA, PROMPT, "prompt"),
        ("decision", ANA, PROMPT, "prompt"),
        ("access", ANA, PROMPT, "claimed"),
        ("tool_call", ANA, PROMPT, "claimed"),
        ("tool_call", ANA, PROMPT, "prompt"),
    ]


def test_the_chain_says_who_asked_for_the_change_and_by_which_tool(honest: Telling) -> None:
    expected = {
        "chain.id": PROMPT,
        "chain.id_source": "prompt",
        "chain.start": "2026-11-23T08:00:10.000000Z",
        "chain.end": "2026-11-23T08:00:15.500000Z",
        "chain.prompts": 1,
        "chain.decisions": 1,
        "chain.tool_calls": 2,  # one call, told at two hops
        "chain.accesses": 1,
        "chain.writes": 1,
        "chain.users": ["ana"],
        "chain.agents": ["claude-code"],
        "chain.servers": ["corp-gateway"],
        "chain.tools": ["crm-mcp-crm-update-opportunity"],
        "chain.systems": ["crm"],
        "chain.prompt_origins": ["user"],
        "chain.has_prompt": True,
        "chain.has_user_prompt": True,
        "chain.user_linked": True,
        "chain.user_changed": False,
        "chain.conflict": False,
        "chain.id_dropped": False,
        "chain.orphan_write": False,
        "chain.ordered": True,
        "chain.prompt_untrusted_only": False,
    }
    (chain,) = honest.chains
    assert facts(chain, expected) == expected


def test_the_honest_telling_is_quiet_but_for_what_the_sources_can_never_say(honest: Telling) -> None:
    assert (honest.found("incident"), honest.found("posture")) == (set(), BLIND)


def test_a_finding_on_a_record_of_an_export_names_its_file_and_line(honest: Telling) -> None:
    assert honest.places("source_blind_to_scope", "claude_code_otel") == {("claude.jsonl", 2)}


def test_every_line_is_read_and_each_source_recognised(honest: Telling) -> None:
    assert honest.result.summary.sources == {"claude_code_otel": 3, "contextforge": 1, "countersign": 1}
    assert (honest.result.summary.rejected, honest.result.summary.lines) == ({}, 7)


# ---- the same with somebody who copied the trace id ---------------------------------------------------------------


def test_a_copied_trace_id_puts_the_strangers_call_into_the_chain(copied: Telling) -> None:
    assert [one for one in placed(copied) if one[1] == EVE] == [
        ("access", EVE, PROMPT, "claimed"),
        ("tool_call", EVE, PROMPT, "claimed"),
    ]


def test_a_copied_trace_id_buys_no_alibi(copied: Telling) -> None:
    expected = {
        "chain.id": PROMPT,
        "chain.tool_calls": 3,
        "chain.accesses": 2,
        "chain.writes": 2,
        "chain.users": ["ana", "eve"],
        "chain.has_prompt": False,
        "chain.has_user_prompt": False,
        "chain.conflict": True,
        "chain.user_changed": False,
        "chain.orphan_write": True,
        "chain.complete": False,
    }
    (chain,) = copied.chains
    assert facts(chain, expected) == expected


def test_the_copied_trace_id_is_found_with_the_lines_of_all_three_logs(copied: Telling) -> None:
    incident = {("chain_without_prompt", "high"), ("correlation_id_shared", "high"), ("orphan_write", "high")}
    incident |= {("write_without_known_authority", "medium")}
    assert (copied.found("incident"), copied.found("posture")) == (incident, BLIND)
    claude, system = {("claude.jsonl", 1), ("claude.jsonl", 2)}, {("crm.jsonl", 1), ("crm.jsonl", 2)}
    assert copied.places("orphan_write") == claude | system | {("gateway.jsonl", line) for line in range(1, 9)}


# ---- the honest telling without tracing ---------------------------------------------------------------------------


def test_without_tracing_the_runtime_and_the_gateway_tell_two_chains(untraced: Telling) -> None:
    assert {(one[0], one[2]) for one in placed(untraced)} == {
        ("prompt", PROMPT),
        ("decision", PROMPT),
        ("tool_call", PROMPT),
        ("tool_call", TRACE),
        ("access", TRACE),
    }
    # The call that the gateway and the system tell is one, so its access is attributed: to Ana, by no agent.
    assert untraced.found("incident") == {("agent_missing_downstream", "medium")}


# ---- what can't be read ---------------------------------------------------------------------------------------------


def test_a_line_with_several_bad_records_is_kept_once_and_its_good_records_are_read(tmp_path: Path) -> None:
    line = runtime()[1]
    line["resourceLogs"][0]["scopeLogs"][0]["logRecords"] += ["x", {"attributes": "y"}]
    log, rejects = tmp_path / "claude.jsonl", tmp_path / "rejects.jsonl"
    log.write_text(json.dumps(line) + "\n", encoding="utf-8")
    result = scan(ScanOptions((str(log),), ROOT, rejects=rejects))
    assert (result.summary.sources, [bad.line for bad in result.rejected]) == ({"claude_code_otel": 2}, [1, 1])
    assert rejects.read_text("utf-8") == log.read_text("utf-8")
