"""What an attacker writes into a log stays text in every report, and a report is readable wherever it is shown."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import sys
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from backends.errors import Mistakes
from harness import report
from harness.finding import Blind, ChainRef, Finding, RecordRef, Rejected, RuleRef, ScanResult, Summary, Who, led
from harness.report import json_report, jsonl_report, table_report
from harness.sentence import render

if TYPE_CHECKING:
    from pathlib import Path

AT, LATER = "2026-10-05T09:00:00.000000Z", "2026-10-06T10:00:00.000000Z"
RULE = RuleRef("8b0f5c8e-7e0b-4c07-9d8e-0d3b7d7d5a11", "some_rule", "Some Rule", "high", "scope", "incident", 53)
FORMATS = {"table": table_report.render, "json": json_report.render, "jsonl": jsonl_report.render}

HOSTILE = {
    "an ANSI colour": "\x1b[31mred\x1b[0m",
    "an eight-bit control sequence": "\x9b31mred",
    "a window title": "\x1b]0;pwned\x07",
    "a hyperlink": "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "cleared screen": "\x1b[2J\x1b[H",
    "a backspace": "root\x08\x08\x08\x08ana",
    "a carriage return": "honest\rforged",
    "a new line": "a\n■ Forged Rule  1 · forged\n  all is well",
    "a line separator": "a\u2028b\u2029c\x85d",
    "a tab": "a\tb",
    "NUL": "a\x00b",
    "a bidi override": "\u202etxt.exe\u202c\u2066x\u2069",
    "zero width": "a\u200bd\u200dm\ufeffin",
    "rich markup": "[red]x[/red] [link=https://evil.example]y[/link] [/] [bold",
    "an emoji code": ":skull:",
    "a lone surrogate": "a\ud800b\udcffc",
    "a private character": "\ue000\U000f0000",
    "a very long value": "x" * 100_000,
    "a long line of words": "many words " * 10_000,
    "combining marks": "a" + "\u0301" * 2_000,
    "wide characters": "漢字" * 500,
    "a format": "{user.id} %s %(x)s $HOME `id`",
    "quotes": '"\'\\" }] --',
}


def result_with(text: str) -> ScanResult:
    """A result that shows the text wherever a report shows any."""
    one = Finding(
        id="a" * 20,
        rule=RULE,
        sentence=render("{a} did it on {b}.", {"a": text, "b": [text, text]}),
        first_seen=AT,
        last_seen=LATER,
        count=3,
        who=Who(text, text, text),
        agent=text,
        server=text,
        tool=text,
        system=text,
        chain=ChainRef(text, text),
        group={"user.id": text, text: text},
        fields={"chain.prompt.text": text, "oauth.scope.presented": [text], text: 1},
        records=(RecordRef(text, 1), RecordRef(f"/logs/{text}.jsonl", 2)),
        records_total=30,
        tags=(text,),
    )
    other = replace(one, id="b" * 20, rule=replace(RULE, stem="another_rule", level="low"))
    raw = replace(
        one, id="c" * 20, sentence=text, chain=None, rule=replace(RULE, stem=text, title=text, level="medium")
    )
    summary = Summary(
        files=2,
        bytes=10,
        lines=4,
        start=AT,
        end=LATER,
        sources={text: 4, "contextforge": 1},
        stages={"tool_call": 4},
        duplicates=1,
        rejected={text: 12},
        overwritten={text: 1},
        register_used=(text,),
        rules_quiet={text: (text,)},
        rules_run=3,
    )
    rejected = tuple(Rejected(text, line, text) for line in range(12))
    return ScanResult(led([one, other, raw]), (Blind(text, text, text, 3, (text,), text),), rejected, summary)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def written(result: ScanResult, form: str = "table", stream: io.StringIO | None = None) -> str:
    out = stream or io.StringIO()
    FORMATS[form](result, out)
    return out.getvalue()


def shown(result: ScanResult, width: int) -> list[str]:
    """The lines of a table on a terminal of that width."""
    out = io.StringIO()
    table_report.show(result, Console(file=out, width=width, markup=False, emoji=False, highlight=False))
    return out.getvalue().splitlines()


def unsafe(text: str) -> set[str]:
    """Characters that a terminal could act on."""
    return {c for c in text if c != "\n" and not c.isprintable()}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_of_a_log_reaches_a_terminal_as_a_code(name: str) -> None:
    assert unsafe(written(result_with(HOSTILE[name]))) == set()


@given(st.text(st.characters(), max_size=40))
@settings(max_examples=60, deadline=None)
def test_no_text_reaches_a_terminal_as_a_code(text: str) -> None:
    assert unsafe(written(result_with(text))) == set()
    assert unsafe(written(result_with(text), "json") + written(result_with(text), "jsonl")) == set()


@pytest.mark.parametrize("name", HOSTILE)
def test_on_a_terminal_only_the_reports_own_colours_are_codes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = written(result_with(HOSTILE[name]), stream=Terminal())
    assert "\x1b[1;31m" in coloured
    assert unsafe(re.sub(r"\x1b\[[0-9;]*m", "", coloured)) == set()
    assert "\x1b]8" not in coloured


def test_a_forged_line_is_not_one() -> None:
    lines = written(result_with(HOSTILE["a new line"])).splitlines()
    assert [line for line in lines if line.startswith("■ Forged")] == []


def test_markup_is_shown_as_it_was_written() -> None:
    assert "[red]x[/red] [link=https://evil.example]y" in written(result_with(HOSTILE["rich markup"]))
    assert ":skull:" in written(result_with(":skull:"))


@pytest.mark.parametrize("name", HOSTILE)
def test_json_is_one_valid_document_of_plain_ascii(name: str) -> None:
    text = written(result_with(HOSTILE[name]), "json")
    assert text.isascii()
    assert json.loads(text)["findings"][0]["agent"] == HOSTILE[name]


@pytest.mark.parametrize("name", HOSTILE)
def test_jsonl_is_one_finding_a_line(name: str) -> None:
    text = written(result_with(HOSTILE[name]), "jsonl")
    assert text.isascii()
    assert [json.loads(line)["server"] for line in text.splitlines()] == [HOSTILE[name]] * 3


@pytest.mark.parametrize("width", [20, 60, 89, 90, 110, 300])
@pytest.mark.parametrize("name", ["a very long value", "wide characters", "a long line of words", "combining marks"])
def test_the_table_fits_the_terminal(width: int, name: str) -> None:
    lines = shown(result_with(HOSTILE[name]), width)
    assert [line for line in lines if cell_len(line) > width] == []


def test_a_long_value_does_not_fill_the_screen() -> None:
    assert len(shown(result_with("x" * 100_000), 110)) < 400


@pytest.mark.parametrize("width", [60, 110])
def test_blind_spots_are_readable_on_narrow_and_wide_terminals(width: int) -> None:
    spot = Blind("contextforge_otel", "tool_call", "correlation", 6, ("tool_call_without_prompt",), "Turn it on.")
    text = "\n".join(shown(ScanResult(blind=(spot,), summary=Summary(stages={"tool_call": 6})), width))
    for word in ("contextforge_otel", "tool_call", "correlation", "tool_call_without_prompt", "Turn it on."):
        assert word in text


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE", "CLICOLOR_FORCE"])
def test_there_is_no_colour_where_there_is_no_terminal(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    assert "\x1b" not in written(result_with("x"))


def test_there_is_no_colour_on_a_terminal_that_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", written(result_with("x"), stream=Terminal()))


def test_away_from_a_terminal_the_width_is_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert max(map(cell_len, written(result_with("word " * 50)).splitlines())) == table_report.PIPED


@pytest.mark.parametrize(
    ("result", "last"),
    [
        (ScanResult(summary=Summary(stages={"tool_call": 7})), "Nothing was found: no rule fired on 7 records."),
        (ScanResult(summary=Summary(stages={"": 1})), "Nothing was found: no rule fired on 1 record."),
        (ScanResult(), "Nothing was judged: no record could be read."),
        (
            ScanResult((replace(result_with("x").findings[0], also=()),), summary=Summary(stages={"": 1})),
            "1 finding: 1 high.",
        ),
        (result_with("x"), "3 findings: 1 high, 1 medium, 1 low."),
    ],
    ids=["nothing found", "one record", "nothing read", "one finding", "several"],
)
def test_the_last_line_says_plainly_what_came_out(result: ScanResult, last: str) -> None:
    assert written(result).splitlines()[-1].strip() == last


def test_an_empty_result_is_empty_in_every_format() -> None:
    assert written(ScanResult(), "jsonl") == ""
    assert json.loads(written(ScanResult(), "json"))["findings"] == []


def test_a_led_finding_stands_under_its_leader() -> None:
    lines = [line.strip() for line in written(result_with("ana")).splitlines()]
    leader = lines.index("ana did it on ana, ana.")
    assert "└ low ana did it on ana, ana." in lines[leader:]
    assert not any("another_rule" in line for line in lines)


def test_what_is_not_written_out_is_counted() -> None:
    one = replace(result_with("x").findings[0], also=())
    many = tuple(replace(one, id=f"{n:020}", chain=None) for n in range(table_report.FINDINGS_SHOWN + 5))
    text = written(ScanResult(many, summary=Summary(stages={"": 1}, rejected={"it is not JSON": 900})))
    assert "… and 5 more of this rule" in text
    assert "… and 890 more (--rejects FILE keeps them all)" in text
    assert "x:1, /logs/x.jsonl:2 and 28 more" in text


def test_rules_that_one_missing_table_keeps_quiet_are_named_together() -> None:
    summary = Summary(stages={"": 1}, rules_quiet={"a": ("servers",), "b": ("servers",), "c": ("servers", "tools")})
    text = written(ScanResult(summary=summary))
    assert "a, b are quiet: the register has no servers." in text
    assert "c is quiet: the register has no servers and no tools." in text


def test_every_field_of_a_result_holds_hostile_text_here() -> None:
    """A field that is added to a finding and not to this test would go unseen."""

    def empty(value: Any, at: str) -> list[str]:
        if is_dataclass(value):
            return [path for f in fields(value) for path in empty(getattr(value, f.name), f"{at}.{f.name}")]
        return [at] if value in (None, "", (), {}) else []

    result = result_with("x")
    assert empty(replace(result.findings[0], led_by="x"), "finding") == []
    assert set(empty(result.summary, "summary")) == {"summary.register_absent"}


# ---- where a report goes


def test_a_file_is_replaced_only_when_the_report_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "report.json"
    out.write_text("before")

    def torn(_result: ScanResult, stream: io.StringIO) -> None:
        stream.write("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json_report, "render", torn)
    with pytest.raises(Mistakes, match="can't be written here: No space left on device"):
        report.write(ScanResult(), "json", out)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report.json", "before")]


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_holds_what_the_terminal_would(form: str, tmp_path: Path) -> None:
    result = result_with("\x1b[31m\ud800")
    report.write(result, form, tmp_path / "out")
    assert (tmp_path / "out").read_text(encoding="utf-8") == written(result, form)


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("before")
    (tmp_path / "link").symlink_to("real")
    report.write(ScanResult(), "json", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert json.loads((tmp_path / "real").read_text())


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    report.write(ScanResult(), "json", pipe)
    assert json.loads(os.read(reader, 1 << 20))["findings"] == []
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    os.close(reader)


@pytest.mark.parametrize(
    "path", ["missing/report", "file/report", "x" * 300], ids=["no folder", "no folder either", "name too long"]
)
def test_a_path_that_can_not_be_written_is_one_sentence(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Mistakes) as mistakes:
        report.write(ScanResult(), "json", tmp_path / path)
    assert len(mistakes.value.found) == 1
    assert "the report can't be written here: " in str(mistakes.value)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_that_lacks_a_character_gets_an_escape(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    report.write(result_with("漢字"), "table")
    assert b"\\u6f22\\u5b57" in raw.getvalue()
