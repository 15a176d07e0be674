"""CSV, SARIF and OCSF: what other programs take in, made from findings whose texts an attacker wrote."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from harness.finding import ChainRef, Finding, RecordRef, Rejected, RuleRef, ScanResult, Who
from harness.report import csv_report, ocsf_report, sarif_report

RULE = RuleRef("8b0f5c8e-7e0b-4c07-9d8e-0d3b7d7d5a11", "orphan_write", "Orphan Write", "high", "audit", number=60)
HOSTILE = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1", " =1", "%0A=1", "|calc"]
UGLY = "\x1b[31mred\u202e\x00[link](https://evil.example){0}"


def result(text: str) -> ScanResult:
    finding = Finding(
        id="00112233445566778899",
        rule=RULE,
        sentence=f"{text} wrote.",
        first_seen="2026-03-02T08:00:00.123456Z",
        last_seen="2026-03-02T08:00:01.999999Z",
        who=Who(text),
        agent=text,
        chain=ChainRef(text, "trace"),
        fields={"user.id": text, "oauth.scope.granted": ["a", text], "chain.orphan_write": True, "user.name": None},
        records=(RecordRef("logs/a b.jsonl", 3), RecordRef("logs/a b.jsonl", 9)),
        tags=("attack.t1078",),
    )
    return ScanResult((finding,), rejected=(Rejected("logs/a b.jsonl", 4, "it is not a JSON object"),))


def written(render: Any, text: str) -> str:
    stream = io.StringIO()
    render(result(text), stream)
    return stream.getvalue()


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_no_cell_of_a_csv_is_calculated(text: str) -> None:
    header, row = csv.reader(io.StringIO(written(csv_report.render, text)))
    cells = dict(zip(header, row, strict=True))
    for name in ("sentence", "user", "agent", "chain"):
        assert cells[name].lstrip(" ")[0] not in "=+-@|%\t\r＝＋－＠", cells[name]


@pytest.mark.parametrize("render", [csv_report.render, sarif_report.render, ocsf_report.render])
def test_no_character_of_a_report_moves_a_cursor(render: Any) -> None:
    text = written(render, UGLY)
    assert all(c.isprintable() or c in "\r\n" for c in text)


def test_a_csv_names_rule_people_and_records() -> None:
    header, row = csv.reader(io.StringIO(written(csv_report.render, "u-ana")))
    cells = dict(zip(header, row, strict=True))
    assert (cells["rule"], cells["number"], cells["level"], cells["user"]) == ("orphan_write", "60", "high", "u-ana")
    assert cells["records"] == "logs/a b.jsonl:3 logs/a b.jsonl:9"
    assert cells["fields"] == "user.id=u-ana; oauth.scope.granted=a|u-ana; chain.orphan_write=true; user.name="


def test_sarif_points_at_the_lines_and_says_what_was_rejected() -> None:
    (run,) = json.loads(written(sarif_report.render, "u-ana"))["runs"]
    (found,) = run["results"]
    (rule,) = run["tool"]["driver"]["rules"]
    assert (found["ruleId"], found["level"], rule["id"]) == ("orphan_write", "error", "orphan_write")
    assert found["partialFingerprints"] == {"countersign/v1": "00112233445566778899"}
    place = found["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "logs/a%20b.jsonl"}, "region": {"startLine": 3}}
    assert [r["physicalLocation"]["region"]["startLine"] for r in found["relatedLocations"]] == [9]
    (told,) = run["invocations"][0]["toolExecutionNotifications"]
    assert told["message"]["text"] == "it is not a JSON object"


def test_sarif_reads_no_link_and_no_argument_in_a_message() -> None:
    (run,) = json.loads(written(sarif_report.render, UGLY))["runs"]
    text = run["results"][0]["message"]["text"]
    assert "\\[link\\](https://evil.example){{0}}" in text


def test_ocsf_is_one_detection_finding_a_line() -> None:
    (line,) = written(ocsf_report.render, "u-ana").splitlines()
    event = json.loads(line)
    assert (event["class_uid"], event["type_uid"], event["category_uid"]) == (2004, 200401, 2)
    assert (event["severity_id"], event["activity_id"], event["count"]) == (4, 1, 1)
    assert event["finding_info"]["uid"] == "00112233445566778899"
    assert (event["start_time"], event["end_time"]) == (1772438400123, 1772438401999)
    assert event["time"] == event["end_time"]
    assert event["evidences"][0]["data"]["records"][0] == {"file": "logs/a b.jsonl", "line": 3}


def test_every_format_says_that_nothing_was_found() -> None:
    for render in (csv_report.render, sarif_report.render, ocsf_report.render):
        stream = io.StringIO()
        render(ScanResult(), stream)
        assert "None" not in stream.getvalue()
