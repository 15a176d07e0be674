"""Cases files: what they may say, what is refused and where, and the records that they make."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backends.errors import Mistakes
from backends.vocabulary import Vocabulary
from harness.case import Bases, Case, load

SCHEMAS = Path(__file__).parent.parent / "schemas"
VOCABULARY = Vocabulary.load(SCHEMAS / "event.schema.json")
MINUTES = {"prompt": 0, "decision": 1, "tool_call": 2, "tool_response": 3, "token": 4, "consent": 5, "access": 6}


def honest(stage: str) -> dict[str, Any]:
    """A small honest world of one person and one agent."""
    return {
        "@timestamp": f"2026-03-02T09:{MINUTES.get(stage, 7):02d}:00Z",
        "chain": {"stage": stage},
        "user": {"id": "u-ana"},
    }


BASES = Bases(honest, lambda: {"agents": [{"id": "agent-1", "name": "One"}], "people": [{"person": "ana"}]})

FIRES = {"case": "It happens.", "expect": "fire", "why": "It is bad.", "base": "tool_call", "set": {"user.id": None}}
QUIET = {"case": "It does not.", "expect": "quiet", "why": "It is good.", "base": "tool_call"}


def written(folder: Path, *cases: Any) -> Path:
    path = folder / "mcp_x.cases.json"
    path.write_text(json.dumps({"cases": list(cases)}, indent=1), encoding="utf-8")
    return path


def cases(folder: Path, *raw: Any) -> list[Case]:
    return load(written(folder, *raw), SCHEMAS / "cases.schema.json", VOCABULARY)


def refused(path: Path) -> list[str]:
    with pytest.raises(Mistakes) as mistakes:
        load(path, SCHEMAS / "cases.schema.json", VOCABULARY)
    return [f"{m.line}: {m.message}" for m in mistakes.value.found]


def test_a_case_carries_its_sentence_verdict_reason_and_line(tmp_path: Path) -> None:
    first, second = cases(tmp_path, FIRES, QUIET)
    assert (first.sentence, first.fires, first.why, first.line) == ("It happens.", True, "It is bad.", 3)
    assert (second.fires, second.line) == (False, 12)


def test_a_record_is_the_honest_one_with_only_the_named_fields_changed(tmp_path: Path) -> None:
    bent, same = cases(tmp_path, FIRES | {"set": {"user.name": "Ana", "user.id": None}}, QUIET)
    assert bent.records(BASES) == [honest("tool_call") | {"user": {"name": "Ana"}}]
    assert same.records(BASES) == [honest("tool_call")]


def test_taking_the_last_field_of_an_object_takes_the_object(tmp_path: Path) -> None:
    (record,) = cases(tmp_path, FIRES, QUIET)[0].records(BASES)
    assert "user" not in record


def test_taking_a_field_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    bent = cases(tmp_path, FIRES | {"set": {"oauth.act.sub": None}}, QUIET)[0]
    assert bent.records(BASES) == [honest("tool_call")]


@pytest.mark.parametrize(
    ("at", "time"),
    [
        ("+0s", "2026-03-02T09:00:00.000000Z"),
        ("+5m", "2026-03-02T09:05:00.000000Z"),
        ("-1h", "2026-03-02T08:00:00.000000Z"),
        ("+1.5s", "2026-03-02T09:00:01.500000Z"),
        ("+250ms", "2026-03-02T09:00:00.250000Z"),
        ("+2d", "2026-03-04T09:00:00.000000Z"),
    ],
)
def test_an_offset_counts_from_the_first_honest_record(tmp_path: Path, at: str, time: str) -> None:
    events = [{"base": "tool_call", "at": at}, {"base": "access"}]
    first, second = cases(
        tmp_path, {k: v for k, v in FIRES.items() if k not in ("base", "set")} | {"events": events}, QUIET
    )[0].records(BASES)
    assert (first["@timestamp"], second["@timestamp"]) == (time, "2026-03-02T09:06:00Z")


def test_changing_a_record_leaves_the_honest_one_alone(tmp_path: Path) -> None:
    kept = honest("tool_call")
    bases = Bases(lambda _: kept, BASES.register)
    cases(tmp_path, FIRES, QUIET)[0].records(bases)
    assert kept == honest("tool_call")


@pytest.mark.parametrize(
    ("register", "tables"),
    [
        (None, {}),
        ("base", {"agents": [{"id": "agent-1", "name": "One"}], "people": [{"person": "ana"}]}),
        ({"agents": [{"id": "a"}]}, {"agents": [{"id": "a"}]}),
        ({"extends": "base", "agents": [{"id": "a"}]}, {"agents": [{"id": "a"}], "people": [{"person": "ana"}]}),
        ({}, {}),
    ],
    ids=["none", "the honest world's", "its own", "the honest world's with one table replaced", "empty"],
)
def test_the_register_of_a_case(tmp_path: Path, register: Any, tables: Any) -> None:
    case = cases(tmp_path, FIRES | ({} if register is None else {"register": register}), QUIET)[0]
    assert case.tables(BASES) == tables


def test_now_is_a_time(tmp_path: Path) -> None:
    assert cases(tmp_path, FIRES | {"now": "2026-03-02T10:00:00+01:00"}, QUIET)[0].now == datetime(
        2026, 3, 2, 9, tzinfo=UTC
    )


REFUSED = [
    ("an unknown field", [FIRES | {"set": {"user.idd": "x"}}, QUIET], ["9: user.idd is not a field", "user.id"]),
    ("a derived field", [FIRES | {"set": {"user.key": "x"}}, QUIET], ["9: user.key is computed by the event view"]),
    ("no firing case", [QUIET, QUIET | {"case": "Nor this."}], ["0: no case expects fire"]),
    ("no quiet case", [FIRES, FIRES | {"case": "This too."}], ["0: no case expects quiet"]),
    ("one sentence twice", [FIRES, QUIET, FIRES], ["two cases say 'It happens.'"]),
    ("an unknown base", [FIRES | {"base": "toolcall"}, QUIET], ["7: 'toolcall' is not one of"]),
    ("an unknown verdict", [FIRES | {"expect": "maybe"}, QUIET], ["5: 'maybe' is not one of"]),
    ("no reason", [{k: v for k, v in FIRES.items() if k != "why"}, QUIET], ["3: 'why' is a required property"]),
    ("an unknown key", [FIRES | {"expects": "fire"}, QUIET], ["'expects' was unexpected"]),
    ("base and events", [FIRES | {"events": [{"base": "prompt"}]}, QUIET], ["a case has either a base"]),
    ("neither", [{k: v for k, v in QUIET.items() if k != "base"}, FIRES], ["a case has either a base"]),
    ("an unknown table", [FIRES | {"register": {"agent": []}}, QUIET], ["'agent' was unexpected"]),
    ("a register of another kind", [FIRES | {"register": "bases"}, QUIET], ["is not of type 'object'"]),
]


@pytest.mark.parametrize(("raw", "told"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_a_mistake_is_named_with_its_line(tmp_path: Path, raw: list[Any], told: list[str]) -> None:
    found = "\n".join(refused(written(tmp_path, *raw)))
    assert all(part in found for part in told), found


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    raw = [FIRES | {"set": {"user.idd": "x", "user.key": "y"}}, QUIET | {"set": {"nothing": 1}}]
    assert len(refused(written(tmp_path, *raw))) == 3


def test_a_key_given_twice_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "mcp_x.cases.json"
    text = json.dumps({"cases": [FIRES, QUIET]}, indent=1).replace('"user.id": null', '"user.id": null,\n"user.id": 1')
    path.write_text(text, encoding="utf-8")
    assert refused(path) == ["10: 'user.id' is given twice; only the last counts"]


def test_broken_json_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mcp_x.cases.json"
    path.write_text('{"cases": [\n  {"case": }\n]}', encoding="utf-8")
    assert refused(path) == ["2: is not JSON: Expecting value"]
