"""Bad input never loses good input: each broken line is named with its number and reason, the rest is scanned."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING

import pytest

from backends.duckdb import engine
from harness.options import ScanOptions
from harness.paths import Root
from harness.scan import scan

if TYPE_CHECKING:
    from pathlib import Path

    from harness.finding import ScanResult

pytestmark = pytest.mark.xdist_group("bad_input")

GOOD = b'{"@timestamp":"2026-10-05T09:00:%02dZ","chain":{"stage":"tool_call"},"gen_ai":{"agent":{"id":"agent-a"}}}'
TIME = b'"@timestamp":"2026-10-05T09:00:01Z"'

BAD = {
    "a truncated line": (b"{" + TIME + b',"chain":{"st', "it is not JSON"),
    "invalid UTF-8": (b"{" + TIME + b',"x":"\xff"}', "is not UTF-8"),
    "a key twice": (b"{" + TIME + b',"user":{"id":"a"},"user":{"id":"b"}}', "occurs twice"),
    "a key twice, deeper": (b"{" + TIME + b',"user":{"id":"a","id":"b"}}', "occurs twice"),
    "nesting 1,000 deep, without a time": (b'{"a":' * 1000 + b"1" + b"}" * 1000, "nested more than"),
    "an object where a text belongs": (b"{" + TIME + b',"user":{"id":{"a":1}}}', "user.id"),
    "many values where one belongs": (b"{" + TIME + b',"user":{"id":["a","b"]}}', "user.id"),
    "a text where an object belongs": (b"{" + TIME + b',"user":"ana"}', "user"),
    "a text where a number belongs": (b"{" + TIME + b',"http":{"response":{"status_code":"teapot"}}}', "status_code"),
    "a time without a zone": (b'{"@timestamp":"2026-10-05T09:00:01"}', "@timestamp"),
    "a day": (b'{"@timestamp":"2026-10-05"}', "@timestamp"),
    "an hour that no clock shows": (b'{"@timestamp":"2026-10-05T24:00:00Z"}', "@timestamp"),
    "digits in groups": (b"{" + TIME + b',"http":{"response":{"status_code":"2_00"}}}', "status_code"),
    "a number with an exponent as text": (b"{" + TIME + b',"http":{"response":{"status_code":"2e2"}}}', "status_code"),
    "a number with a sign": (b"{" + TIME + b',"http":{"response":{"status_code":"+200"}}}', "status_code"),
    "no time": (b'{"chain":{"stage":"tool_call"}}', "no @timestamp"),
    "a time that is none": (b'{"@timestamp":"yesterday"}', "@timestamp"),
    "a NUL byte": (b"{" + TIME + b',"x":"\x00"}', "it is not JSON"),
    "a number of 5,000 digits": (b'{"@timestamp":' + b"9" * 5000 + b"}", "too many digits"),
    "an array": (b"[1]", "not a JSON object"),
    "binary": (b"\x00\x01\x02", "not a JSON object"),
}

ODD = {
    "dotted keys": b"{" + TIME + b',"chain.stage":"tool_call","gen_ai.agent.id":"agent-a"}',
    "keys half dotted": b"{" + TIME + b',"chain":{"stage":"tool_call"},"gen_ai":{"agent.id":"agent-a"}}',
    "epoch seconds": b'{"@timestamp":1791190801,"chain":{"stage":"tool_call"}}',
    "epoch milliseconds as text": b'{"@timestamp":"1791190801000","chain":{"stage":"tool_call"}}',
    "epoch nanoseconds": b'{"@timestamp":1791190801000000000,"chain":{"stage":"tool_call"}}',
    "a time with an offset": b'{"@timestamp":"2026-10-05T11:00:01+02:00","chain":{"stage":"tool_call"}}',
    "a number as text": b"{" + TIME + b',"chain":{"stage":"tool_call"},"http":{"response":{"status_code":"401"}}}',
    "a number with an exponent": b"{"
    + TIME
    + b',"chain":{"stage":"tool_call"},"http":{"response":{"status_code":2e2}}}',
    "a time in small letters": b'{"@timestamp":"2026-10-05t09:00:01z","chain":{"stage":"tool_call"}}',
    "a time with ten digits of a second": b'{"@timestamp":"2026-10-05T09:00:01.0000000000Z","chain":{"stage":"tool_call"}}',
    "a text as number": b"{" + TIME + b',"chain":{"stage":"tool_call"},"user":{"id":5}}',
    "an array of one": b"{" + TIME + b',"chain":{"stage":["tool_call"]}}',
    "unknown fields": b"{" + TIME + b',"chain":{"stage":"tool_call"},"x":{"y":[1,{"z":null}]}}',
    "a line of 10 MB": b"{" + TIME + b',"chain":{"stage":"tool_call"},"x":"' + b"y" * 10_000_000 + b'"}',
    "a byte order mark": b"\xef\xbb\xbf{" + TIME + b',"chain":{"stage":"tool_call"}}',
    "a carriage return": b"{" + TIME + b',"chain":{"stage":"tool_call"}}\r',
    "SQL and escape codes": b"{"
    + TIME
    + b',"chain":{"stage":"tool_call"},"user":{"id":"\'; DROP TABLE ev; -- \\u001b[31m"}}',
}


def scanned(*logs: Path, **options: Path) -> ScanResult:
    return scan(ScanOptions(tuple(map(str, logs)), Root.default(), **options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[ScanResult, bytes]:
    """Good and bad lines in turn, the bad ones kept."""
    folder = tmp_path_factory.mktemp("bad")
    lines = [line for number, (bad, _) in enumerate(BAD.values()) for line in (GOOD % number, bad)]
    (folder / "log.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    result = scanned(folder / "log.jsonl", rejects=folder / "kept")
    return result, (folder / "kept").read_bytes()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_named_with_its_number_and_reason(mixed: tuple[ScanResult, bytes], name: str) -> None:
    line = 2 * list(BAD).index(name) + 2
    assert [BAD[name][1] in r.reason for r in mixed[0].rejected if r.line == line] == [True], mixed[0].rejected


def test_good_lines_between_bad_ones_are_scanned(mixed: tuple[ScanResult, bytes]) -> None:
    assert mixed[0].summary.stages == {"tool_call": len(BAD)}


def test_bad_lines_are_kept_byte_for_byte(mixed: tuple[ScanResult, bytes]) -> None:
    assert sorted(mixed[1].splitlines()) == sorted(bad for bad, _ in BAD.values())


def test_odd_lines_are_read_like_plain_ones(tmp_path: Path) -> None:
    log = tmp_path / "odd.jsonl"
    log.write_bytes(b"\n".join(ODD.values()))
    result = scanned(log)
    assert (result.rejected, result.summary.stages) == ((), {"tool_call": len(ODD)})
    assert result.summary.start == result.summary.end == "2026-10-05T09:00:01.000000Z"


@pytest.mark.parametrize("dotted", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_three_ways_of_reading_say_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, dotted: bool
) -> None:
    """A few odd lines go to the careful reader after the typed pass, many after two; all of a small log with dotted names at once."""
    log = tmp_path / "log.jsonl"
    lines = [*(bad for bad, _ in BAD.values()), *(line for line in ODD.values() if len(line) < 1000)]
    lines = [line for line in lines if dotted or b"chain.stage" not in line]
    log.write_bytes(b"\n".join(line for number, each in enumerate(lines) for line in (GOOD % number, each)) + b"\n")
    said = []
    for handful in (2000, len(lines), -1):
        monkeypatch.setattr(engine, "HANDFUL", handful)
        result = scanned(log)
        found = sorted((finding.id, finding.rule.stem) for finding in result.findings)
        said.append((result.rejected, found, result.summary.stages, result.summary.lines, result.summary.duplicates))
    assert said[0] == said[1] == said[2]
    assert len(said[0][0]) == len(BAD)


def test_empty_binary_and_damaged_files_do_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "binary.jsonl").write_bytes(os.urandom(50_000))
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"".join(GOOD % n + b"\n" for n in range(50)))[:-12])
    (tmp_path / "good.jsonl").write_bytes(GOOD % 59)
    result = scanned(*sorted(tmp_path.iterdir()))
    assert result.summary.stages["tool_call"] > 1
    assert any("damaged" in r.reason for r in result.rejected)


def test_a_derived_field_that_arrives_is_overwritten_and_counted(tmp_path: Path) -> None:
    log = tmp_path / "claims.jsonl"
    log.write_bytes(b"{" + TIME + b',"chain":{"stage":"tool_call"},"oauth":{"token":{"expired":true,"accepted":true}}}')
    result = scanned(log)
    assert result.summary.overwritten == {"oauth.token.accepted": 1, "oauth.token.expired": 1}
    assert "expired_token_accepted" not in {finding.rule.stem for finding in result.findings}


CALL = '{{"@timestamp":"2026-10-05T09:00:01Z","chain":{{"stage":"tool_call"}},"gen_ai":{{"agent":{{"id":"{agent}"}}}},"x":"{x}"}}'


def test_lines_that_differ_in_a_few_bytes_are_no_copies(tmp_path: Path) -> None:
    """DuckDB's own hash of a text is the same for many pairs of bytes that lie eight apart."""
    log = tmp_path / "log.jsonl"
    pairs = [
        f"aaaaaaa{chr(a)}bbbbbbb{chr(b)}" for a in range(48, 91) for b in range(48, 91) if chr(a) != "\\" != chr(b)
    ]
    every = "".join(CALL.format(agent="a", x=" " * shift + pair) + "\n" for shift in range(8) for pair in pairs)
    log.write_text(every)
    result = scanned(log)
    assert (sum(result.summary.stages.values()), result.summary.duplicates) == (8 * len(pairs), 0)


def test_a_line_that_was_made_to_hash_like_another_is_no_copy_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who can make two such lines would hide the second: here every line hashes alike."""
    forced = "CREATE OR REPLACE TEMP MACRO countersign_line(line) AS 5::UHUGEINT"
    macros = engine.bit_macros()
    monkeypatch.setattr(engine, "bit_macros", lambda: f"{macros};\n{forced}")
    log = tmp_path / "log.jsonl"
    lines = [CALL.format(agent="a", x=0), CALL.format(agent="b", x=0), CALL.format(agent="a", x=0)]
    log.write_text("\n".join([*lines, lines[0].replace("tool_call", "access")]) + "\n")
    summary = scanned(log).summary
    assert (summary.stages, summary.duplicates) == ({"tool_call": 2, "access": 1}, 1)


def test_names_that_differ_in_a_few_bytes_are_not_one(tmp_path: Path) -> None:
    """So for every key of a chain and every group of findings: here for agents."""
    log = tmp_path / "log.jsonl"
    letters = "0123456789abcdefghijklmnopqrstuvwxyz"
    agents = [f"agent0-{a}@corp-0{b}.example" for a in letters for b in letters]
    log.write_text("".join(CALL.format(agent=agent, x=0) + "\n" for agent in agents))
    found = [finding for finding in scanned(log).findings if finding.rule.stem == "call_without_correlation_id"]
    assert sorted(str(finding.agent) for finding in found) == agents


def test_what_a_log_says_under_our_own_key_is_not_believed(tmp_path: Path) -> None:
    """An attacker who could write where a record came from, or which record it is, would hide it or blame another file."""
    log = tmp_path / "log.jsonl"
    plain = CALL.format(agent="a", x=0)
    told = [
        plain[:-1] + ',"countersign":{"records":[[7,99]],"identity":"5"}}',
        plain[:-1] + ',"countersign":{"identity":"5"}}',
    ]
    log.write_text("\n".join([*told, plain[:-1] + ',"countersign":5}']) + "\n")
    result = scanned(log)
    assert (sum(result.summary.stages.values()), result.summary.duplicates, len(result.rejected)) == (3, 0, 0)
    assert {place.line for finding in result.findings for place in finding.records} <= {1, 2, 3}
    assert result.findings
