"""``countersign scan`` as a person meets it: what it reads, what it prints, and how it says what is wrong."""

from __future__ import annotations

import gzip
import io
import json
import os
import pty
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from generator.session import base_event
from harness import scan as engine
from harness.cli import main
from harness.commands.scan import found, moment, span
from harness.finding import LEVELS, ScanResult, Summary
from harness.options import Progress, Report, ScanOptions
from harness.paths import Root
from harness.report import json_report, jsonl_report, table_report
from harness.ruleset import load_rules

pytestmark = pytest.mark.xdist_group("scan_command")

ROOT = Root.default()
RULES = load_rules(ROOT.rules)
SAMPLES = ROOT.sources
SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2"


@dataclass(frozen=True)
class Said:
    """What one call left behind."""

    code: int
    out: str
    err: str

    @property
    def sentences(self) -> list[str]:
        """What went wrong, a line each."""
        return self.err.splitlines()


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def countersign(*arguments: str | Path, stderr: io.StringIO | None = None) -> Said:
    """The command line in this process, to the exit code."""
    out, err = io.StringIO(), stderr or io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return Said(int(stop.value.code or 0), out.getvalue(), err.getvalue())


def scanned(*arguments: str | Path) -> Said:
    return countersign("scan", *arguments)


def document(*arguments: str | Path) -> dict[str, Any]:
    said = scanned(*arguments, "--format", "json")
    assert (said.code, said.err) == (0, "")
    read: dict[str, Any] = json.loads(said.out)
    return read


def call(number: int = 0, **without: str) -> dict[str, Any]:
    """An honest tool call, or one without a prompt."""
    event = json.loads(json.dumps(base_event("tool_call")))
    event["event"]["id"] = f"call-{number}"
    for name in without.values():
        event["chain"].pop(name)
    return dict(event)


def lines(*records: dict[str, Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """One honest call, one without a prompt (rule 53, high), and a line that is none."""
    path = tmp_path / "events.jsonl"
    path.write_text(lines(call(1), call(2, no="prompt")) + "oops\n")
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ScanOptions]:
    """The options of each scan; nothing is read, and one finding of level high comes out."""
    options: list[ScanOptions] = []

    def scan(asked: ScanOptions, progress: Report) -> ScanResult:
        options.append(asked)
        for done in (0, 60, 200):
            progress(Progress("reading", done, 100))
        progress(Progress("joining"))
        return ONE_HIGH

    monkeypatch.setattr(engine, "scan", scan)
    return options


@pytest.fixture(scope="module")
def high(tmp_path_factory: pytest.TempPathFactory) -> ScanResult:
    path = tmp_path_factory.mktemp("high") / "events.jsonl"
    path.write_text(lines(call(1, no="prompt")))
    return engine.scan(ScanOptions((str(path),), ROOT, rules=("53",)))


@pytest.fixture(scope="module", autouse=True)
def _one_high(high: ScanResult) -> None:
    global ONE_HIGH  # noqa: PLW0603 - made once, used by the scan that stands in
    ONE_HIGH = high


ONE_HIGH = ScanResult()


# ---- what comes out


def test_a_table_is_what_a_person_gets(log: Path) -> None:
    said = scanned(log)
    assert (said.code, said.err) == (0, "")
    assert "the record names no prompt" in said.out
    assert f"{log}:2" in said.out.replace("\n", "").replace(" ", "")
    assert "it is not a JSON object" in " ".join(said.out.split())
    assert said.out.splitlines()[-1].startswith("1 finding: 1 high.")
    assert "\x1b" not in said.out


def test_jsonl_is_a_finding_a_line_and_goes_to_the_file_that_is_named(log: Path, tmp_path: Path) -> None:
    said = scanned(log, "--format", "jsonl", "-o", tmp_path / "findings.jsonl", "--rejects", tmp_path / "rejected")
    (finding,) = map(json.loads, (tmp_path / "findings.jsonl").read_text().splitlines())
    assert said == Said(0, "", "")
    assert finding["rule"]["stem"] == "tool_call_without_prompt"
    assert finding["records"] == [{"file": str(log), "line": 2}]
    assert (tmp_path / "rejected").read_text() == "oops\n"


def test_standard_input_and_gzip_are_read_and_a_level_or_chapter_chooses_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines(call(3)).encode()))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines(call(2, no="prompt")).encode())))
    said = document("-", tmp_path / "b.jsonl.gz", "--level", "high", "--level", "low", "--chapter", "audit")
    chosen = [rule.stem for rule in RULES if rule.level in {"high", "low"} and rule.chapter == "audit"]
    assert (said["summary"]["rules_run"], said["summary"]["records"]) == (len(chosen), 2)
    assert [finding["records"] for finding in said["findings"]] == [[{"file": "-", "line": 1}]]


def test_native_logs_are_counted_as_they_were_written(tmp_path: Path) -> None:
    """Not as the events that were made of them."""
    sample = SAMPLES / "contextforge.sample.jsonl"
    (tmp_path / "schema.jsonl").write_text(lines(call(1)) + "oops\n")
    text = sample.read_bytes()
    summary = document(sample, tmp_path / "schema.jsonl", "--rules", "95")["summary"]
    assert summary["lines"] == text.count(b"\n") + 2
    assert summary["bytes"] == len(text) + (tmp_path / "schema.jsonl").stat().st_size
    assert summary["records"] < summary["lines"] - 1


def test_carried_records_are_not_counted_as_read_again(tmp_path: Path) -> None:
    first, second, carry = tmp_path / "1.jsonl", tmp_path / "2.jsonl", tmp_path / "open"
    first.write_text(lines(call(1)))
    second.write_text(lines(call(2)))
    until = ("--carry", carry, "--rules", "53", "--until")
    assert document(first, *until, "2026-10-05T09:01:00Z")["summary"]["chains_open"] == 1
    summary = document(second, *until, "2026-10-06T09:01:00Z")["summary"]
    assert (summary["lines"], summary["bytes"]) == (1, second.stat().st_size)


def test_a_time_before_or_after_everything_leaves_nothing_to_judge(log: Path) -> None:
    assert document(log, "--rules", "53", "--since", "2026-10-06")["findings"] == []


def test_nothing_found_is_said_and_is_no_failure(log: Path) -> None:
    said = scanned(log, "--rules", "static_api_key", "--fail-on", "informational")
    assert said.code == 0
    assert said.out.splitlines()[-1].startswith("Nothing was found: no rule fired on 2 records.")


STAGES = ("prompt", "decision", "token", "tool_call", "access", "tool_response")
BENT = {
    "no prompt is named": {"tool_call": {"chain.prompt"}},
    "nobody is named": {"tool_call": {"user"}, "access": {"user"}},
    "the person is dropped": {"access": {"user"}},
    "there is no scope": {"tool_call": {"oauth.scope"}},
}


def _bent(bend: str) -> list[dict[str, Any]]:
    """An honest chain that lacks something, a secret in each of its texts."""
    events = []
    for stage in STAGES:
        event = json.loads(json.dumps(base_event(stage)))
        for name in BENT[bend].get(stage, ()):
            above, _, key = name.rpartition(".")
            (event[above] if above else event).pop(key, None)
            event.setdefault("user", {"effective": {"id": "svc-sales-copilot"}})
        events.append(_with_secret(event, bend))
    return events


def _with_secret(value: Any, bend: str, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _with_secret(item, bend, f"{name}.{key}" if name else key) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_secret(item, bend, name) for item in value]
    fixed = name in {"@timestamp", "chain.stage"} or name.endswith(("_at", "outcome", "operation", "action"))
    return f"{value} {bend} {SECRET} password=hunter22" if isinstance(value, str) and not fixed else value


def test_secrets_in_every_field_of_every_record_reach_no_report(tmp_path: Path) -> None:
    log = tmp_path / "secrets.jsonl"
    log.write_text(lines(*(event for bend in BENT for event in _bent(bend))))
    result = engine.scan(ScanOptions((str(log),), ROOT, show_sensitive=True))
    out = io.StringIO()
    for report in (table_report, json_report, jsonl_report):
        report.render(result, out)
    assert len({finding.rule.stem for finding in result.findings}) >= 3
    assert "[secret]" in out.getvalue()
    assert [secret for secret in (SECRET, SECRET[4:12], "hunter") if secret in out.getvalue()] == []


# ---- which rules, when, and what is a failure


@pytest.mark.parametrize(
    "selector", ["53", "tool_call_without_prompt", "mcp_tool_call_without_prompt", "tool_call_without_*", "rule id"]
)
def test_a_rule_is_named_by_number_stem_glob_or_id(log: Path, asked: list[ScanOptions], selector: str) -> None:
    (rule,) = (rule for rule in RULES if rule.number == 53)
    scanned(log, "--rules", rule.id if selector == "rule id" else selector)
    assert rule in RULES.select(asked[0].rules)


def test_every_option_reaches_the_scan(log: Path, asked: list[ScanOptions], tmp_path: Path) -> None:
    scanned(
        *(log, "--source", "countersign", "--since", "2026-10-05T09:00:00+02:00", "--until", "2026-10-06"),
        *("--carry", tmp_path / "c", "--rejects", tmp_path / "r", "--lookback", "2d", "--grace", "90s"),
        *("--show-sensitive", "--memory", "1.5GiB", "--threads", "1", "--level", "low", "--chapter", "audit"),
    )
    assert asked == [
        ScanOptions(
            logs=(str(log),),
            root=ROOT,
            source="countersign",
            levels=("low",),
            chapters=("audit",),
            since=datetime(2026, 10, 5, 7, tzinfo=UTC),
            until=datetime(2026, 10, 6, tzinfo=UTC),
            carry=tmp_path / "c",
            rejects=tmp_path / "r",
            lookback=timedelta(days=2),
            grace=timedelta(seconds=90),
            show_sensitive=True,
            memory="1.5GiB",
            threads=1,
        )
    ]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.usefixtures("asked")
def test_fail_on_is_met_by_its_level_and_every_higher_one(log: Path, level: str) -> None:
    said = scanned(log, "--fail-on", level, "--format", "jsonl")
    assert said.code == (1 if level != "critical" else 0)
    assert len(said.out.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-10-05T09:00:00Z", datetime(2026, 10, 5, 9, tzinfo=UTC)),
        ("2026-10-05T09:00:00.5+05:30", datetime(2026, 10, 5, 3, 30, 0, 500_000, tzinfo=UTC)),
        ("2026-10-05 09:00", datetime(2026, 10, 5, 9, tzinfo=UTC)),
        ("2026-10-05", datetime(2026, 10, 5, tzinfo=UTC)),
    ],
)
def test_a_time_without_a_zone_is_utc(text: str, time: datetime) -> None:
    assert moment("--since", text) == time


@pytest.mark.parametrize(("text", "length"), [("90s", 90), ("5m", 300), ("24h", 86_400), ("2d", 172_800), ("0s", 0)])
def test_a_time_can_be_told_by_how_long_ago_it_is(text: str, length: int) -> None:
    assert span("--grace", text) == timedelta(seconds=length)
    now = datetime.now(UTC)
    assert timedelta(0) <= moment("--since", text) + timedelta(seconds=length) - now < timedelta(seconds=10)


# ---- which files


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder of logs and other things."""
    for name in ("b.jsonl", "a.log", "deep/c.ndjson.gz", "deep/d.json", "notes.txt", "log[1].jsonl", "-dash.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "b.jsonl")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["b.jsonl"], ["b.jsonl"]),
        (["notes.txt"], ["notes.txt"]),
        (["b.jsonl", "a.log"], ["b.jsonl", "a.log"]),
        (["b.jsonl", "b.jsonl", "./b.jsonl", "deep/../b.jsonl", "link.jsonl"], ["b.jsonl"]),
        (["deep"], ["deep/c.ndjson.gz", "deep/d.json"]),
        (["."], ["-dash.jsonl", "a.log", "b.jsonl", "deep/c.ndjson.gz", "deep/d.json", "log[1].jsonl"]),
        (["*.jsonl"], ["-dash.jsonl", "b.jsonl", "log[1].jsonl"]),
        (["**/*.gz"], ["deep/c.ndjson.gz"]),
        (["log[1].jsonl"], ["log[1].jsonl"]),
        (["deep", "deep/d.json"], ["deep/c.ndjson.gz", "deep/d.json"]),
        (["-", "b.jsonl", "-"], ["-", "b.jsonl"]),
    ],
    ids=" ".join,
)
def test_files_folders_and_globs_are_files_each_once_in_a_fixed_order(
    logs: Path, names: list[str], files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(logs)
    assert [os.path.normpath(file) for file in found(tuple(names))] == files


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gone.jsonl", "gone.jsonl: there is no such file"),
        ("gone/*.jsonl", "gone/*.jsonl: no file matches"),
        ("deep*", "deep*: no file matches"),
        ("empty", "empty: no file in it ends in .jsonl, .ndjson, .json, .log, these with .gz or .zst, or .parquet"),
        ("pipe", "pipe: it can't be read twice, as a scan does; pipe it in and give - instead"),
        ("gone\x1b]0;x\x07", "gone\\x1b]0;x\\x07: there is no such file"),
    ],
)
def test_an_argument_without_a_file_is_one_sentence(
    logs: Path, name: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(logs / "pipe")
    monkeypatch.chdir(logs)
    assert scanned(name) == Said(2, "", sentence + "\n")


# ---- mistakes


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rules", "tool_call_without_promt"], "tool_call_without_promt: no rule has this name; did you mean tool_call_without_prompt?"),
        (["--rules", "9999"], "9999: no rule has this name; 'countersign rules' lists them"),
        (["--rules", "zzz_*"], "zzz_*: no rule has this name; 'countersign rules' lists them"),
        (["--level", "hihg"], "hihg: no level has this name; did you mean high?"),
        (["--chapter", "scop"], "scop: no chapter has this name; did you mean scope?"),
        (["--source", "contextforg"], "contextforg: no source map has this name; did you mean contextforge?"),
        (["--source", "splunk"], "splunk: no source map has this name; there are claude_code_otel, "),
        (["--since", "yesterday"], "--since: 'yesterday' is no time; write 2026-10-05T09:00:00Z, or 24h for a day ago"),
        (["--until", "2026-13-45"], "--until: '2026-13-45' is no time"),
        (["--until", ""], "--until: '' is no time"),
        (["--since", "99999999999d"], "--since: '99999999999d' is no length of time up to ten years"),
        (["--since", "0001-01-01T00:00:00+10:00"], "--since: '0001-01-01T00:00:00+10:00' is no time"),
        (["--since", "2026-10-06", "--until", "2026-10-05"], "--since: it is not before --until, so nothing would be judged"),
        (["--lookback", "1w"], "--lookback: '1w' is no length of time up to ten years; write 90s, 5m, 24h or 2d"),
        (["--grace", "-5m"], "--grace: '-5m' is no length of time"),
        (["--grace", "٣m"], "--grace: '٣m' is no length of time"),
        (["--memory", "lots"], "--memory: 'lots' is no size; write 800MB or 2GB"),
        (["--memory", "800MB'; DROP TABLE ev"], "--memory: \"800MB'; DROP TABLE ev\" is no size"),
        (["--fail-on", "hgh"], "--fail-on: 'hgh' is no level; did you mean high?"),
        (["--register", "gone"], "gone: there is no such folder"),
        (
            ["--root", "gone"],
            "gone: it is no content root: there is no schemas/event.schema.json in it; leave --root out for our own",
        ),
        (["-o", "gone/report"], "gone/report: --output can't be written: there is no folder "),
        (["--rejects", "gone/rejected"], "gone/rejected: --rejects can't be written: there is no folder "),
        (["-o", "events.jsonl"], "events.jsonl: --output would overwrite it, and it is one of the logs"),
        (["--rejects", "./events.jsonl"], "events.jsonl: --rejects would overwrite it, and it is one of the logs"),
        (["-o", "x", "--rejects", "x"], "x: --rejects would overwrite it, and it is the file of --output"),
        (["--carry", "notes", "--until", "2026-10-06"], "notes:1: this is no carry file; name one that a scan wrote, or a new one"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_a_mistake_is_one_sentence_and_exit_code_two(
    log: Path, arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(log.parent)
    Path("notes").write_text("mine")
    before = log.read_bytes()
    said = scanned(log.name, *arguments)
    assert (said.code, said.out, len(said.sentences)) == (2, "", 1), said.err
    assert said.err.startswith(sentence)
    assert (log.read_bytes(), Path("notes").read_text()) == (before, "mine")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--carry", "x"], "--carry needs --until"),
        (["--format", "xml"], "'xml' is not one of 'table', 'json', 'jsonl'"),
        (["--threads", "0"], "0 is not in the range"),
        (["--thread", "1"], "No such option '--thread'. Did you mean '--threads'?"),
        (["-o", "."], "is a directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_call_that_makes_no_sense_is_refused(log: Path, arguments: list[str], word: str) -> None:
    said = scanned(log, *arguments)
    assert (said.code, said.out) == (2, "")
    assert word in " ".join(said.err.split())


def test_a_scan_without_a_log_is_refused() -> None:
    assert scanned().code == 2


def test_all_mistakes_of_a_call_are_said_at_once(log: Path, tmp_path: Path) -> None:
    (tmp_path / "register").mkdir()
    (tmp_path / "register" / "agents.csv").write_text("id,ownr\na,b\n")
    said = scanned(
        *(log, "gone.jsonl", "also-gone.jsonl", "--since", "x", "--until", "y", "--lookback", "z", "--memory", "m"),
        *("--fail-on", "f", "--rules", "orphan_writ", "--rules", "9999", "--level", "l", "--chapter", "c"),
        *("--source", "s", "--register", tmp_path / "register", "-o", "gone/o", "--rejects", "gone/r"),
    )
    assert (said.code, said.out) == (2, "")
    assert [sentence.split(": ")[0] for sentence in said.sentences] == [
        *(
            "gone.jsonl",
            "also-gone.jsonl",
            "--since",
            "--until",
            "--lookback",
            "--memory",
            "--fail-on",
            "gone/o",
            "gone/r",
        ),
        *("orphan_writ", "9999", "l", "c", "s"),
        f"{tmp_path}/register/agents.csv:1",
    ]


def test_a_file_that_can_not_even_be_looked_for_is_one_of_the_mistakes(log: Path) -> None:
    said = scanned(log, "x" * 300, "--root", "gone", "--since", "x")
    assert said.sentences == [
        f"{'x' * 300}: it can't be read or written: File name too long",
        "gone: it is no content root: there is no schemas/event.schema.json in it; leave --root out for our own",
        "--since: 'x' is no time; write 2026-10-05T09:00:00Z, or 24h for a day ago",
    ]


def test_what_a_scan_itself_refuses_is_told_with_all_the_rest(log: Path) -> None:
    said = scanned(log, "--rules", "orphan_writ", "--source", "contextforg", "--register", "gone")
    assert [sentence.split(": ")[0] for sentence in said.sentences] == ["orphan_writ", "contextforg", "gone"]


def test_too_little_memory_is_one_sentence_that_says_what_to_do(log: Path) -> None:
    said = scanned(log, "--memory", "20MB")
    sentence = "--memory: 20MB is too little for these logs; give more, such as --memory 2GB, or take --threads 1\n"
    assert said == Said(2, "", sentence)


@pytest.mark.parametrize(
    ("raised", "sentence"),
    [
        (duckdb.OutOfMemoryException("Out of Memory Error: x\n\nPossible solutions: y"), "--memory: the default is too little for these logs; "),
        (duckdb.IOException("IO Error: No space left on device\nmore"), "no room for temporary files (IO Error: No space left on device); make room"),
        (PermissionError(13, "Permission denied", "/logs/x"), "/logs/x: it can't be read or written: Permission denied\n"),
        (OSError(5, "Input/output error"), "scan: it can't be read or written: Input/output error\n"),
    ],
    ids=["memory", "disk", "permission", "disk error"],
)  # fmt: skip
def test_what_stops_a_scan_and_can_be_mended_is_one_sentence(
    log: Path, raised: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scan(_options: ScanOptions, _progress: Report) -> ScanResult:
        raise raised

    monkeypatch.setattr(engine, "scan", scan)
    said = scanned(log)
    assert (said.code, said.out, len(said.sentences)) == (2, "", 1)
    assert sentence in said.err


def test_with_debug_a_mistake_shows_where_it_comes_from(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scan(_options: ScanOptions, _progress: Report) -> ScanResult:
        raise duckdb.OutOfMemoryException("full")

    monkeypatch.setattr(engine, "scan", scan)
    with pytest.raises(Exception, match="is too little for these logs") as raised:
        main(["--debug", "scan", str(log)])
    assert isinstance(raised.value.__cause__, duckdb.OutOfMemoryException)


def test_a_defect_of_ours_is_one_sentence_too_and_another_exit_code(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "scan", lambda _options, _progress: 1 / 0)
    said = scanned(log)
    assert (said.code, len(said.sentences)) == (70, 1)
    with pytest.raises(ZeroDivisionError):
        main(["--debug", "scan", str(log)])


# ---- progress


@pytest.mark.parametrize(
    ("stderr", "flags", "seen"),
    [(io.StringIO(), [], False), (Terminal(), ["--quiet"], False), (Terminal(), [], True)],
    ids=["no terminal", "--quiet", "a terminal"],
)
@pytest.mark.usefixtures("asked")
def test_progress_is_shown_on_a_terminal_alone(log: Path, stderr: io.StringIO, flags: list[str], seen: bool) -> None:  # noqa: FBT001
    said = countersign("scan", log, "--format", "jsonl", *flags, stderr=stderr)
    assert (said.code, bool(said.err)) == (0, seen)
    assert len([json.loads(line) for line in said.out.splitlines()]) == 1


def test_a_real_call_keeps_its_progress_out_of_its_report(log: Path) -> None:
    """Standard output is piped, standard error is a terminal; then the same without."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "harness.cli", "scan", str(log), "--rules", "53", "--fail-on", "high"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT.path), "TERM": "xterm-256color", "COLUMNS": "100"}
    shown = subprocess.run(command, stdout=subprocess.PIPE, stderr=follower, env=environment, check=False)
    os.close(follower)
    progress = os.read(leader, 1 << 16)
    os.close(leader)
    assert shown.returncode == 1
    assert b"reading" in progress
    assert b"\x1b" not in shown.stdout
    assert b"1 finding: 1 high." in shown.stdout


def test_a_summary_without_records_says_so(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "scan", lambda _options, _progress: replace(ONE_HIGH, findings=(), summary=Summary()))
    assert "Nothing was judged: no record could be read." in scanned(log).out
