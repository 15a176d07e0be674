"""Claude Code's OpenTelemetry events: both forms in which collectors write them, and what they may say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from backends.duckdb.assemble import UNKNOWN, AssemblyReport, assemble
from backends.duckdb.lines import LogFile
from backends.sources import SourceMaps

SOURCES = Path(__file__).parents[1] / "schemas" / "sources"
MAPS = SourceMaps.load(SOURCES)
SAMPLE = [json.loads(line) for line in (SOURCES / "claude_code_otel.sample.jsonl").read_text("utf-8").splitlines()]
ANA, BOB = "ana@corp.example", "bob@corp.example"
PROMPT, TRACE, SPAN = "6f6c2f3a-8f61-4a5e-8c53-5a3f0c5b1101", "7d3b1f0a9c5e4d2188aa01b2c3d4e5f6", "a1b2c3d4e5f60718"


def run(folder: Path, *lines: Mapping[str, Any] | str) -> tuple[list[Any], AssemblyReport]:
    """Assemble lines given as objects or as the very text; events and report."""
    log, out = folder / "claude.jsonl", folder / "events.jsonl"
    log.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines), "utf-8")
    report = assemble(MAPS, "claude_code_otel", [LogFile(0, log, log.name)], out)
    return [json.loads(line) for line in out.read_bytes().splitlines()], report


def get(event: Mapping[str, Any], name: str) -> Any:
    value: Any = event
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def told(events: Sequence[Mapping[str, Any]], *names: str, stage: str = "tool_call") -> list[tuple[Any, ...]]:
    """The given fields of a stage's events, in the order of time."""
    return [tuple(get(e, name) for name in names) for e in events if get(e, "chain.stage") == stage]


def happened(name: str, at: float = 1.0, **more: Any) -> dict[str, Any]:
    """The attributes of an event, ``at`` seconds after eight o'clock; ``__`` in a name stands for a dot."""
    base = {"session__id": "s-1", "prompt__id": PROMPT, "user__email": ANA, "user__id": "5f1c", "event__sequence": 7}
    base |= {"event__name": name, "event__timestamp": f"2026-11-23T08:00:{at:06.3f}Z"}
    return {key.replace("__", "."): value for key, value in (base | more).items()}


def called(at: float = 1.0, **more: Any) -> dict[str, Any]:
    """The attributes of a tool's result."""
    names = json.dumps({"mcp_server_name": "corp-gateway", "mcp_tool_name": "update"})
    base = {"tool_name": "mcp_tool", "tool_use_id": "toolu_1", "success": "true", "duration_ms": "40"}
    return happened("tool_result", at, **(base | {"tool_parameters": names, "tool_result_size_bytes": "9"} | more))


def value(plain: Any) -> dict[str, Any]:
    """An attribute's value as OTLP writes it."""
    kinds = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
    return {kinds[type(plain)]: plain}


def packed(*events: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    """One line of the collector's file exporter."""
    records = [
        {
            "timeUnixNano": "1795420801000000000",
            "body": {"stringValue": f"claude_code.{attributes['event.name']}"},
            "attributes": [{"key": key, "value": value(plain)} for key, plain in attributes.items()],
        }
        | members
        for attributes in events
    ]
    return export(*records)


def export(*records: Any) -> dict[str, Any]:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "claude-code"}}]}
    scope = {"name": "com.anthropic.claude_code.events", "version": "2.1.274"}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": scope, "logRecords": list(records)}]}]}


def flat(attributes: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    """One record a line, its attributes an object."""
    body = f"claude_code.{attributes['event.name']}"
    return {"body": body, "attributes": attributes, "resource": {"service.name": "claude-code"}} | members


# ---- the sample, by hand -------------------------------------------------------------------------------------------


def test_calls_of_the_sample_each_with_who_what_and_how_it_ended(tmp_path: Path) -> None:
    events, _ = run(tmp_path, *SAMPLE)
    names = ("user.email", "mcp.method.name", "mcp.server.name", "gen_ai.tool.name", "event.outcome", "event.duration")
    gateway = "corp-gateway"
    assert told(events, *names) == [
        (ANA, "tools/call", gateway, "crm-mcp-crm-update-opportunity", "success", 402_000_000),
        (ANA, "resources/read", gateway, None, "success", 210_000_000),
        (ANA, "tools/call", gateway, "crm-mcp-ticket-create", "failure", 77_000_000),
        (BOB, "tools/call", None, None, "success", 240_000_000),
        (BOB, "resources/read", None, None, "success", 30_000_000),
        (BOB, "tools/call", "wiki", "search__pages", "success", 480_000_000),
    ]


def test_decisions_of_the_sample_and_who_took_them(tmp_path: Path) -> None:
    events, _ = run(tmp_path, *SAMPLE)
    names = ("mcp.tool.decision", "mcp.tool.decision_source", "gen_ai.tool.name")
    assert told(events, *names, stage="decision") == [
        ("allow", "user_temporary", "crm-mcp-crm-update-opportunity"),
        ("deny", "user_reject", "crm-mcp-crm-delete-opportunity"),
        ("allow", "config", None),
        ("allow", "config", None),
        ("allow", "user_permanent", "search__pages"),
    ]


def test_changes_of_the_sample(tmp_path: Path) -> None:
    events, _ = run(tmp_path, *SAMPLE)
    names = ("event.action", "event.outcome", "mcp.server.name", "mcp.server.config_scope", "mcp.server.exposure")
    assert told(events, *names, "chain.permission_mode.to", stage="change") == [
        ("server_connected", "success", "corp-gateway", "project", None, None),
        ("server_connected", "success", "notes", "plugin", "stdio", None),
        ("server_connected", "failure", "wiki", "user", None, None),
        ("permission_mode_changed", "success", None, None, None, "acceptEdits"),
        ("server_connected", "success", None, "user", None, None),
    ]


def test_prompts_of_the_sample_are_read_without_their_text(tmp_path: Path) -> None:
    events, _ = run(tmp_path, *SAMPLE)
    names = ("user.email", "chain.prompt.length", "chain.prompt.origin", "chain.prompt.text")
    assert told(events, *names, stage="prompt") == [
        (ANA, 64, "user", None),
        (ANA, 28, "unknown", None),
        (BOB, 12, "user", None),
    ]


def test_every_record_of_the_sample_is_accounted_for(tmp_path: Path) -> None:
    events, report = run(tmp_path, *SAMPLE)
    records = sum(len(MAPS["claude_code_otel"].records(line)) for line in SAMPLE)
    assert (report.lines, sum(kind.read for kind in report.kinds.values())) == (len(SAMPLE), records)
    assert report.events == len(events) == 19
    assert set(report.kinds) == {kind.name for kind in MAPS["claude_code_otel"].kinds}


# ---- what an event may say ------------------------------------------------------------------------------------------


def test_a_call_has_the_ids_of_its_prompt_conversation_tool_use_and_trace(tmp_path: Path) -> None:
    events, _ = run(tmp_path, packed(called(), traceId=TRACE, spanId=SPAN))
    names = (
        "chain.prompt.id",
        "gen_ai.conversation.id",
        "gen_ai.tool.call.id",
        "trace.id",
        "span.parent_id",
        "span.id",
    )
    assert told(events, *names) == [(PROMPT, "s-1", "toolu_1", TRACE, SPAN, None)]


def test_ids_that_the_caller_of_claude_code_may_set_are_untrusted() -> None:
    source = MAPS["claude_code_otel"]
    assert {"trace.id", "gen_ai.conversation.id"} <= source.client_ids
    assert {"chain.prompt.id", "gen_ai.tool.call.id"} <= source.issued_ids


@pytest.mark.parametrize("name", ["claude_code_otel", "claude_code_otel_redacted"])
def test_a_map_has_the_same_ids_whether_or_not_names_are_logged(name: str) -> None:
    assert MAPS[name].client_ids == MAPS["claude_code_otel"].client_ids


def test_without_tool_details_tool_and_server_are_a_blind_spot_with_the_variable_that_mends_it(tmp_path: Path) -> None:
    bare = called()
    del bare["tool_parameters"]
    events, _ = run(tmp_path, packed(bare))
    ((dataset, tool, server),) = told(events, "event.dataset", "gen_ai.tool.name", "mcp.server.name")
    assert (dataset, tool, server) == ("claude_code_otel_redacted", None, None)
    assert {"tool", "server", "arguments"} <= set(MAPS[dataset].never["tool_call"])
    assert all("OTEL_LOG_TOOL_DETAILS=1" in MAPS[dataset].settings[one] for one in ("tool", "server", "arguments"))


@pytest.mark.parametrize(
    ("attributes", "person", "email"),
    [
        ({"user__account_uuid": "uuid-ana"}, "uuid-ana", ANA),
        ({"user__email": "", "enduser__id": BOB}, BOB, BOB),
        ({"user__email": "", "enduser__id": "S-1-5-21"}, "S-1-5-21", None),
        ({"user__email": ""}, None, None),
    ],
    ids=["account", "identity-of-managed-settings", "directory-id", "installation-only"],
)
def test_a_person_is_an_account_or_a_configured_identity_and_never_the_installation(
    attributes: Mapping[str, Any], person: str | None, email: str | None, tmp_path: Path
) -> None:
    events, _ = run(tmp_path, packed(called(**attributes)))
    assert told(events, "user.id", "user.email") == [(person, email)]


BASH = {"bash_command": "echo", "full_command": 'echo "mcp_server_name": "crm", \'"mcp_server_name":"crm"\''}


@pytest.mark.parametrize("name", ["tool_decision", "tool_result"])
def test_a_built_in_tool_is_no_call_whatever_its_arguments_say(name: str, tmp_path: Path) -> None:
    attributes = called(tool_name="Bash", tool_parameters=json.dumps(BASH)) | {"event.name": name}
    events, report = run(tmp_path, packed(attributes), flat(attributes))
    assert (events, report.kinds["builtin"].ignored) == ([], 2)


@pytest.mark.parametrize("text", ["{", "[]", '"x"', '{"mcp_server_name": null}', '{"mcp_server_name": ""}'])
def test_parameters_that_are_cut_off_name_no_server_and_lose_no_call(text: str, tmp_path: Path) -> None:
    events, report = run(tmp_path, packed(called(tool_parameters=text)))
    assert (told(events, "mcp.server.name", "event.outcome"), report.bad) == ([(None, "success")], [])


def test_an_event_that_the_map_does_not_know_is_counted_as_unknown(tmp_path: Path) -> None:
    _, report = run(tmp_path, packed(happened("brand_new")))
    assert report.kinds[UNKNOWN].read == 1


# ---- both forms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [packed(called()), flat(called())], ids=["otlp", "flat"])
def test_each_form_is_recognised_by_itself(line: Mapping[str, Any]) -> None:
    assert MAPS.detect([line]) == "claude_code_otel"


@pytest.mark.parametrize(
    "line",
    [
        {"attributes": happened("api_request")},
        {"body": "claude_code.compaction", "attributes": {}},
        export({"attributes": [{"key": "event.name", "value": {"stringValue": "user_prompt"}}]}),
    ],
    ids=["attributes-only", "body-only", "scope-only"],
)
def test_what_is_left_of_a_record_is_enough_to_recognise_it(line: Mapping[str, Any]) -> None:
    assert MAPS.detect([line]) == "claude_code_otel"


def test_an_export_of_another_program_is_not_taken_for_it() -> None:
    other = json.loads(json.dumps(packed(happened("login"))).replace("claude_code", "shop"))
    assert MAPS.detect([other]) is None


def test_both_forms_of_a_record_give_the_same_event(tmp_path: Path) -> None:
    both = [run(tmp_path, line)[0] for line in (packed(called(), traceId=TRACE), flat(called(), traceId=TRACE))]
    for (event,) in both:
        event.pop("countersign")
    assert both[0] == both[1]


def test_both_forms_may_stand_in_one_file(tmp_path: Path) -> None:
    events, _ = run(tmp_path, packed(called(1.0)), flat(called(2.0)), packed(called(3.0)))
    assert [get(e, "@timestamp")[17:19] for e in events] == ["01", "02", "03"]


@pytest.mark.parametrize("number", [402, "402"], ids=["number", "text"])
def test_a_number_may_come_as_number_or_text(number: int | str, tmp_path: Path) -> None:
    events, _ = run(tmp_path, packed(called(duration_ms=number)))
    assert told(events, "event.duration") == [(402_000_000,)]


def test_a_record_without_its_own_timestamp_has_the_time_of_the_export(tmp_path: Path) -> None:
    attributes = called()
    del attributes["event.timestamp"]
    events, _ = run(tmp_path, packed(attributes))
    assert told(events, "@timestamp") == [("2026-11-23T08:00:01.000000Z",)]


def test_records_of_one_line_share_its_place_and_are_all_read(tmp_path: Path) -> None:
    first = packed(called(1.0))
    events, report = run(tmp_path, first, packed(called(2.0), called(3.0)), "", flat(called(4.0)))
    second = len(json.dumps(first)) + 1
    places = [get(e, "countersign.records") for e in events]
    assert places[:3] == [[[0, 0]], [[0, second]], [[0, second]]]
    assert (report.lines, report.events) == (3, 4)


def test_an_export_without_records_is_no_bad_line(tmp_path: Path) -> None:
    events, report = run(tmp_path, {"resourceLogs": []}, {"resourceLogs": [{"scopeLogs": [{}]}]}, packed())
    assert (events, report.bad, report.lines) == ([], [], 3)


BROKEN = {
    "cut-off": ('{"resourceLogs":[{"scopeLogs":', "it is not valid JSON"),
    "key-twice-in-the-line": ('{"resourceLogs":[],"resourceLogs":[]}', "a key occurs twice"),
    "records-no-list": (json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": "x"}]}]}), "something else"),
    "scopes-no-list": (json.dumps({"resourceLogs": [{"scopeLogs": 5}]}), "something else"),
    "resource-no-object": (json.dumps({"resourceLogs": ["x"]}), "something else"),
    "scope-no-object": (json.dumps({"resourceLogs": [{"scopeLogs": [3]}]}), "something else"),
    "record-no-object": (json.dumps(export("x")), "something else"),
    "attributes-no-list": (json.dumps(export({"attributes": "x"})), "attributes are no list"),
    "attribute-without-key": (json.dumps(export({"attributes": [{"value": {}}]})), "an attribute has no key"),
    "attribute-no-object": (json.dumps(export({"attributes": [5]})), "an attribute has no key"),
    "attribute-twice": (
        json.dumps(export({"attributes": [{"key": "a", "value": {}}, {"key": "a", "value": {}}]})),
        "an attribute occurs twice",
    ),
    "key-twice-in-a-record": (
        json.dumps(packed(called())).replace('"timeUnixNano"', '"body": {}, "timeUnixNano"'),
        "a key occurs twice",
    ),
    "a-list-where-a-text-belongs": (
        json.dumps(packed(called()))
        .replace('"intValue": 7', '"arrayValue": {"values": []}')
        .replace('{"stringValue": "toolu_1"}', '{"arrayValue": {"values": []}}'),
        "a text is expected at /attributes/tool_use_id",
    ),
    "no-time": (
        json.dumps(packed(called(event__timestamp="soon"))).replace("1795420801000000000", "x"),
        "its time cannot be read",
    ),
}


@pytest.mark.parametrize(("text", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_bad_line_is_set_aside_with_a_reason_and_its_neighbours_are_read(
    text: str, reason: str, tmp_path: Path
) -> None:
    events, report = run(tmp_path, packed(called(1.0)), text, flat(called(2.0)))
    assert [(bad.number, reason in bad.reason) for bad in report.bad] == [(2, True)], report.bad
    assert len(events) == 2


def test_a_bad_record_is_set_aside_alone_and_the_rest_of_its_line_is_read(tmp_path: Path) -> None:
    good = packed(called(1.0))["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    events, report = run(tmp_path, export(good, "x", {"attributes": 5}, good | {"timeUnixNano": "1"}))
    assert [bad.number for bad in report.bad] == [1, 1]
    assert len(events) == 2


def test_a_malformed_resource_does_not_take_the_others_of_its_line_along(tmp_path: Path) -> None:
    line = packed(called())
    line["resourceLogs"] += ["x", {"scopeLogs": "y"}]
    events, report = run(tmp_path, line)
    assert (len(events), len(report.bad)) == (1, 1)


def test_text_of_an_attribute_cannot_forge_another(tmp_path: Path) -> None:
    hostile = '", "user.email": "eve@corp.example", "x": "'
    events, _ = run(tmp_path, packed(called(tool_use_id=hostile)))
    assert told(events, "gen_ai.tool.call.id", "user.email") == [(hostile, ANA)]
