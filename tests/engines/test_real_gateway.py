"""A real ContextForge gateway before a real FastMCP server: what they log, and exactly what that makes us say.

The story is `traffic.drive`. Nothing here is recorded: the servers are installed from their locks, started on free
loopback ports, driven by real clients, and stopped.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from real_run import RealRun, real_run
from traffic import ADMIN, ANA, BOB, EVE, HOSTILE, SERVICE

from backends.duckdb.assemble import AssemblyReport, assemble
from backends.duckdb.lines import LogFile
from backends.sources import SourceMaps
from harness.options import ScanOptions
from harness.paths import Root
from harness.scan import scan

if TYPE_CHECKING:
    from harness.finding import ScanResult

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real")]

ROOT = Root.default()
READ, UPDATE, DELETE = (f"crm-mcp-crm-{verb}-opportunity" for verb in ("read", "update", "delete"))


@dataclass(frozen=True)
class Assembled:
    """Events of a run by source, with what the assembly said about it."""

    gateway: list[dict[str, Any]]
    server: list[dict[str, Any]]
    gateway_report: AssemblyReport
    server_report: AssemblyReport
    maps: SourceMaps


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RealRun:
    return real_run(tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def assembled(run: RealRun, tmp_path_factory: pytest.TempPathFactory) -> Assembled:
    folder = tmp_path_factory.mktemp("events")
    maps = SourceMaps.load(ROOT.sources)
    gateway, gateway_report = _assemble(maps, "contextforge", list(run.tables.values()), folder / "gateway.jsonl")
    spans = [run.server_spans, run.client_spans]
    server, server_report = _assemble(maps, "mcp_otel", spans, folder / "server.jsonl")
    return Assembled(gateway, server, gateway_report, server_report, maps)


@pytest.fixture(scope="module")
def unregistered(run: RealRun) -> ScanResult:
    return _scan(run, None)


@pytest.fixture(scope="module")
def registered(run: RealRun, tmp_path_factory: pytest.TempPathFactory) -> ScanResult:
    register = tmp_path_factory.mktemp("register")
    (register / "agents.csv").write_text(f"id,service_identities\ncrm-sync,{SERVICE}\n", encoding="utf-8")
    return _scan(run, register)


def _assemble(
    maps: SourceMaps, name: str, paths: Sequence[Path], out: Path
) -> tuple[list[dict[str, Any]], AssemblyReport]:
    files = [LogFile(index, path, path.name) for index, path in enumerate(paths)]
    report = assemble(maps, name, files, out)
    return [json.loads(line) for line in out.read_bytes().splitlines()], report


def _scan(run: RealRun, register: Path | None) -> ScanResult:
    logs = (*run.tables.values(), run.server_spans, run.client_spans)
    return scan(ScanOptions(logs=tuple(map(str, logs)), root=ROOT, register=register))


def _get(event: Mapping[str, Any], name: str) -> Any:
    value: Any = event
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _told(events: Sequence[Mapping[str, Any]], stage: str, *names: str) -> list[tuple[Any, ...]]:
    """The given fields of the events of a stage, in the order of time."""
    return [tuple(_get(e, name) for name in names) for e in events if _get(e, "chain.stage") == stage]


def _found(result: ScanResult, kind: str) -> Counter[tuple[str, tuple[str, ...]]]:
    """Records (or chains) by rule and by what they are grouped by; a run over midnight has two days, and one sum."""
    found: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for finding in result.findings:
        if finding.rule.stem.startswith("source_blind_") == (kind == "blindness"):
            found[finding.rule.stem, tuple(str(value) for value in finding.group.values())] += finding.count
    return found


# ---- the run itself -----------------------------------------------------------------------------------------------


def test_every_good_call_was_answered_and_every_bad_one_refused(run: RealRun) -> None:
    said = {name: getattr(outcome, "status", None) or outcome["outcome"] for name, outcome in run.run.outcomes.items()}
    assert said == {
        "ana reads": "answered",
        "ana updates": 200,
        "ana's agent reads": "answered",
        f"service updates for {ANA}": 200,
        f"service updates for {BOB}": 200,
        f"service updates for {EVE}": 200,
        "service reads": "answered",
        "eve copies an id": 200,
        "hostile id": 200,
        "bob is a viewer": 200,  # the refusal is in the JSON-RPC answer, which no table holds
        "eve tries hr_export": 200,
        "eve tries fin_pay": 200,
        "eve tries iam_grant": "failed",
        "tool fails": 200,
        "no token": 401,
        "garbage token": 401,
        "forged token": 401,
        "wrong password": 401,
        "revoked token": 401,
        "copilot reads directly": "answered",
        "no scopes": "answered",
        "unknown token": "refused",
        "switched off": 200,
    }


def test_no_server_survives_the_run(run: RealRun) -> None:
    for process in run.processes:
        with pytest.raises(ProcessLookupError):
            os.killpg(process, 0)


# ---- what the gateway's tables say --------------------------------------------------------------------------------


def test_each_call_through_the_gateway_is_one_event(assembled: Assembled) -> None:
    calls = _told(assembled.gateway, "tool_call", "user.id", "gen_ai.tool.name", "event.outcome")
    assert calls == [
        (ANA, READ, "success"),
        (ANA, UPDATE, "success"),
        (ANA, READ, "success"),
        (SERVICE, UPDATE, "success"),
        (SERVICE, UPDATE, "success"),
        (SERVICE, UPDATE, "success"),
        (SERVICE, READ, "success"),
        (EVE, READ, "success"),
        (ANA, READ, "success"),
        (ANA, DELETE, "failure"),
    ]


def test_a_call_is_made_of_its_started_completed_invoked_and_request_records(assembled: Assembled) -> None:
    sizes = [len(e["countersign"]["records"]) for e in assembled.gateway if _get(e, "chain.stage") == "tool_call"]
    with_token = {2, 6}  # its request's row in token_usage_logs, and nothing else
    assert sizes == [5 if index in with_token else 4 for index in range(10)]


def test_a_call_names_the_address_of_the_server_behind_the_gateway(assembled: Assembled, run: RealRun) -> None:
    assert set(_told(assembled.gateway, "tool_call", "mcp.server.uri")) == {(run.server,)}


def test_a_call_over_streamable_http_names_the_api_token(assembled: Assembled, run: RealRun) -> None:
    tokens = _told(assembled.gateway, "tool_call", "oauth.token.id")
    assert [index for index, (token,) in enumerate(tokens) if token] == [2, 6]
    assert (tokens[2], tokens[6]) == ((run.run.tokens["agent"],), (run.run.tokens["service"],))


def test_ids_that_clients_chose_arrive_as_they_were_sent(assembled: Assembled) -> None:
    ids = [one for (one,) in _told(assembled.gateway, "tool_call", "transaction.id")]
    assert (ids[0], ids[7], ids[8]) == ("corr-ana-1", "corr-ana-1", HOSTILE)
    assert len(set(ids)) == len(ids) - 1


def test_refused_requests_are_rejected_tokens(assembled: Assembled, run: RealRun) -> None:
    rejected = [
        told[1:]
        for told in _told(
            assembled.gateway,
            "token",
            "event.action",
            "user.id",
            "event.reason",
            "oauth.token.id",
            "http.response.status_code",
        )
        if told[0] == "reject"
    ]
    assert rejected == [
        (None, None, None, 401),
        (None, None, None, 401),
        (None, None, None, 401),
        (EVE, "Token has been revoked", run.run.tokens["lost"], 401),
    ]


def test_log_ins_and_the_revocation_are_token_events(assembled: Assembled, run: RealRun) -> None:
    others = [
        t for t in _told(assembled.gateway, "token", "event.action", "event.outcome", "user.id") if t[0] != "reject"
    ]
    assert others == [
        *(("issue", "success", person) for person in (ADMIN, ANA, BOB, EVE, SERVICE)),
        ("issue", "failure", ANA),
        ("revoke", "success", EVE),
    ]
    revoked = [e for e in assembled.gateway if _get(e, "event.action") == "revoke"]
    assert [_get(e, "oauth.token.id") for e in revoked] == [run.run.tokens["lost"]]


def test_role_checks_are_decisions_that_cannot_name_the_tool(assembled: Assembled) -> None:
    decisions = Counter(_told(assembled.gateway, "decision", "user.id", "mcp.tool.decision", "gen_ai.tool.name"))
    assert decisions == {
        (ANA, "allow", None): 6,  # five calls, and the one after the server was switched off
        (SERVICE, "allow", None): 4,
        (EVE, "allow", None): 4,  # one call and three tools that do not exist
        (BOB, "deny", None): 1,
    }


def test_registering_a_server_is_a_change(assembled: Assembled) -> None:
    changes = _told(assembled.gateway, "change", "event.action", "user.id", "mcp.server.name")
    assert changes == [("server_registered", ADMIN, "crm-mcp"), ("server_registered", ADMIN, "sales")]


def test_nothing_of_the_tables_is_unknown_bad_or_ambiguous(assembled: Assembled) -> None:
    report = assembled.gateway_report
    assert (report.bad, report.ambiguous, "unknown" in report.kinds) == ([], 0, False)
    assert report.lines == sum(kind.read for kind in report.kinds.values())


# ---- what the server's spans say ----------------------------------------------------------------------------------


def test_each_call_that_reached_the_server_is_one_event_and_so_is_one_that_did_not(assembled: Assembled) -> None:
    calls = Counter(_told(assembled.server, "tool_call", "event.dataset", "oauth.client.id", "gen_ai.tool.name"))
    assert calls == {
        ("mcp_otel", "contextforge", "crm_read_opportunity"): 5,
        ("mcp_otel", "contextforge", "crm_update_opportunity"): 4,
        ("mcp_otel", "contextforge", "crm_delete_opportunity"): 1,
        ("mcp_otel", "sales-copilot", "crm_read_opportunity"): 1,
        ("mcp_otel", "svc-report", "crm_read_opportunity"): 1,
        ("mcp_otel_client", None, "iam_grant"): 1,  # seen only by its client: the gateway had no such tool
    }


def test_the_agent_is_known_only_where_its_own_span_is_above_the_call(assembled: Assembled) -> None:
    agents = Counter(_told(assembled.server, "tool_call", "gen_ai.agent.name", "gen_ai.conversation.id"))
    assert agents == {("sales-copilot", "c-1"): 1, (None, None): 12}


def test_a_span_knows_the_scopes_of_its_caller(assembled: Assembled) -> None:
    scopes = {
        (client, tuple(scopes or ()))
        for client, scopes in _told(assembled.server, "tool_call", "oauth.client.id", "oauth.scope.presented")
    }
    assert scopes == {
        ("contextforge", ("opportunity:read", "opportunity:write")),
        ("sales-copilot", ("opportunity:read",)),
        ("svc-report", ()),
        (None, ()),
    }


# ---- what the scan finds ------------------------------------------------------------------------------------------

WITHOUT_REGISTER = {
    ("correlation_id_flawed", ("hostile", "contextforge")): 2,  # the decision and the call of one request
    ("correlation_id_shared", ("corr-ana-1",)): 1,
    ("static_api_key", ()): 2,  # the two calls over Streamable HTTP with an API token
    ("unscoped_tool_call", ("svc-report", "crm-mcp")): 1,
}
WITH_REGISTER = WITHOUT_REGISTER | {("service_actor_without_user", (SERVICE,)): 4}
BLINDNESS = {
    ("source_blind_to_prompt", ("contextforge",)): 10,
    ("source_blind_to_scope", ("contextforge",)): 10,
    ("source_blind_to_response", ("contextforge",)): 10,
    ("source_blind_to_prompt", ("mcp_otel",)): 12,
    ("source_blind_to_user", ("mcp_otel",)): 12,
    ("source_blind_to_response", ("mcp_otel",)): 12,
    ("source_blind_to_prompt", ("mcp_otel_client",)): 1,
    ("source_blind_to_user", ("mcp_otel_client",)): 1,
    ("source_blind_to_scope", ("mcp_otel_client",)): 1,
    ("source_blind_to_response", ("mcp_otel_client",)): 1,
}
PROMPTS = {"tool_call_without_prompt", "chain_without_prompt", "write_without_known_authority"}
ANSWERS = {"call_never_answered", "write_without_known_authority"}
USERS = {
    "service_actor_without_user",
    "delegation_dropped",
    "argument_names_user_unauthenticated",
    "write_without_known_authority",
}
BLIND_RULES = {
    ("contextforge", "prompt"): PROMPTS,
    ("contextforge", "scope"): {"unscoped_tool_call", "write_without_known_authority"},
    ("contextforge", "act"): {"service_identity_acts_for_many"},
    ("contextforge", "response"): ANSWERS,
    ("mcp_otel", "prompt"): PROMPTS,
    ("mcp_otel", "user"): USERS,
    ("mcp_otel", "act"): {"service_identity_acts_for_many"},
    ("mcp_otel", "response"): ANSWERS,
    ("mcp_otel_client", "prompt"): PROMPTS,
    ("mcp_otel_client", "user"): USERS,
    ("mcp_otel_client", "scope"): {"unscoped_tool_call", "write_without_known_authority"},
    ("mcp_otel_client", "act"): {"service_identity_acts_for_many"},
    ("mcp_otel_client", "response"): ANSWERS,
}
BOTH = pytest.mark.parametrize("scanned", ["unregistered", "registered"])


def test_without_a_register_this_is_found_and_nothing_else(unregistered: ScanResult) -> None:
    assert _found(unregistered, "incidents") == WITHOUT_REGISTER


def test_a_register_that_names_the_service_identity_adds_its_calls_without_a_person(registered: ScanResult) -> None:
    assert _found(registered, "incidents") == WITH_REGISTER


@BOTH
def test_blindness_is_found_once_a_source_and_concept(scanned: str, request: pytest.FixtureRequest) -> None:
    assert _found(request.getfixturevalue(scanned), "blindness") == BLINDNESS


@BOTH
def test_the_scan_ends_with_what_was_blind_and_which_rules_that_silenced(
    scanned: str, request: pytest.FixtureRequest
) -> None:
    result: ScanResult = request.getfixturevalue(scanned)
    assert {(b.source, b.concept): set(b.rules) for b in result.blind if b.stage == "tool_call"} == BLIND_RULES


@BOTH
def test_every_record_is_read_and_none_rejected(scanned: str, request: pytest.FixtureRequest) -> None:
    result: ScanResult = request.getfixturevalue(scanned)
    assert (result.rejected, result.summary.sources) == (
        (),
        {"contextforge": 38, "mcp_otel": 12, "mcp_otel_client": 1},
    )


def test_a_finding_names_the_native_files_and_lines(registered: ScanResult, run: RealRun) -> None:
    (finding,) = [f for f in registered.findings if f.rule.stem == "service_actor_without_user"]
    lines = {name: path.read_text(encoding="utf-8").splitlines() for name, path in run.tables.items()}
    shown = [json.loads(lines[Path(record.file).stem][record.line - 1]) for record in finding.records]
    correlated = {row["correlation_id"] for row in shown if "correlation_id" in row}
    assert len(correlated) == 4
    assert {row["user_email"] or row["user_id"] for row in shown if row.get("user_email") or row.get("user_id")} == {
        SERVICE
    }
