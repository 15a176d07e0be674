"""`explain FINDING --report FILE`: what matched, who and when, what would make it quiet, and what to do next."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import ready
import yaml
from sampling import one_in

from backends.marked_yaml import MarkedYaml
from backends.vocabulary import Vocabulary
from generator.session import base_event
from harness.case import put
from harness.filter_file import read_filter
from harness.own_filter import own_filter
from harness.paths import Root
from harness.ruleset import Rule, load_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

ROOT = Root.default()
RULES = load_rules(ROOT.rules)
SERVICES = {service: Vocabulary.load(ROOT.schemas / f"{service}.schema.json") for service in ("event", "chain")}
HOSTILE = "\x1b[2J\x1b]0;owned\x07[red]x[/red]\u202e\r\n[/]\\*?"
SECRET = "gh" + "p_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4"


def rule_of(stem: str) -> Rule:
    (rule,) = RULES.select([stem])
    return rule


def records() -> list[dict[str, Any]]:
    """A call without a prompt, a token handed on, a server that nobody knows, and refusals in a row."""
    call = dict(base_event("tool_call"))
    put(call, "chain.prompt.id", None)
    chain = [dict(base_event(stage)) for stage in ("prompt", "tool_call", "access")]
    for record in chain:
        for name in ("trace.id", "chain.prompt.id", "gen_ai.tool.call.id"):
            put(record, name, "b" * 32)
    put(chain[2], "oauth.token.hash", chain[1]["oauth"]["token"]["hash"])
    stranger = dict(base_event("tool_call"))
    for name in ("trace.id", "chain.prompt.id", "gen_ai.tool.call.id"):
        put(stranger, name, "c" * 32)
    put(stranger, "mcp.server.name", "stranger-mcp")
    put(stranger, "mcp.server.uri", "https://stranger.example/mcp")
    refusals = [dict(base_event("tool_call")) for _ in range(21)]
    for number, record in enumerate(refusals):
        put(record, "http.response.status_code", 401)
        put(record, "@timestamp", f"2026-10-05T11:00:{number:02d}Z")
    every = [call, *chain, stranger, *refusals]
    for number, record in enumerate(every):
        put(record, "event.id", f"event-{number}")
    return every


RULES_RUN = ("53", "10", "79", "unauthorized_burst")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log, a register, and the report of a scan with both."""
    folder = tmp_path_factory.mktemp("finding")
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records()))
    (folder / "register").mkdir()
    rows = "name,uri,party,approval\ncrm-mcp,https://crm-mcp.corp.example/mcp,first,approved\n"
    (folder / "register" / "servers.csv").write_text(rows)
    scan(folder, "log.jsonl", "--format", "json", "-o", "report.json")
    scan(folder, "log.jsonl", "--format", "jsonl", "-o", "report.jsonl")
    return folder


def countersign(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*ready.command(), *map(str, arguments)]
    environment = {"PYTHONPATH": str(ROOT.path), "COLUMNS": "250"}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)


def scan(folder: Path, *arguments: object) -> list[dict[str, Any]]:
    """The findings of a scan of these rules, as objects where it writes them to standard output."""
    rules = [word for rule in RULES_RUN for word in ("--rules", rule)]
    done = countersign(folder, "scan", *arguments, "--register", "register", *rules)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()] if done.stdout.startswith("{") else []


def finding(home: Path, stem: str) -> dict[str, Any]:
    findings = json.loads((home / "report.json").read_text())["findings"]
    return next(each for each in findings if each["rule"]["stem"] == stem)


def explained(home: Path, stem: str, *more: object) -> str:
    found = finding(home, stem)
    done = countersign(home, "explain", found["id"], "--report", "report.json", "--register", "register", *more)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def document(home: Path, stem: str) -> Any:
    return json.loads(explained(home, stem, "--format", "json"))


def changed(home: Path, tmp_path: Path, change: Callable[[list[dict[str, Any]]], None]) -> Path:
    """A copy of the folder whose log has a change."""
    shutil.copytree(home / "register", tmp_path / "register")
    every = [json.loads(line) for line in (home / "log.jsonl").read_text().splitlines()]
    change(every)
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in every))
    return tmp_path


# What is said.

PARTS = {
    "what happened": "on crm-mcp by agent-sales-copilot for u-ana, and the record names no prompt.",
    "why it matters": "Whether a person asked for it, a schedule did, or a poisoned document did cannot be told afterwards.",
    "who": 'person: "ana@corp.example"',
    "agent": 'agent: "agent-sales-copilot"',
    "server": 'server: "crm-mcp"',
    "tool": 'tool: "update_opportunity"',
    "when": "from 2026-10-05T09:00:04.000000Z to 2026-10-05T09:00:04.000000Z, 1 time",
    "chain": "(id source: ",
    "grouping": "one finding for each user.key, user.effective.id, gen_ai.agent.id, mcp.server.name and hour; here ",
    "a term that matched": "selection: chain.stage equals 'tool_call'; chain.stage is \"tool_call\"",
    "an absence that matched": "selection: chain.prompt.id does not exist; chain.prompt.id is absent",
    "a filter that did not apply": "filter_main_blind did not apply (it asks that event.blind equals 'prompt'): event.blind is absent",
    "where to look": 'mcp.server.name: "crm-mcp"',
    "a record": "log.jsonl:1",
    "its fields": 'gen_ai.tool.name: "update_opportunity"',
    "its content, masked": 'gen_ai.tool.call.arguments: "[content, 39 characters]"',
    "false positives": "- Servers that never log prompts and whose source map does not declare it yet",
    "one field": "one field: chain.prompt.",
    "a filter of the rule": "filter_main_blind of the rule, which exempts what has event.blind equals 'prompt'",
    "a filter of one's own": "title: 'Expected: Prompt-Less Tool Invocation'",
    "next": "Ask ana@corp.example whether this was meant.",
    "more": "countersign explain tool_call_without_prompt tells all that the rule reads and needs.",
}


@pytest.fixture(scope="module")
def text(home: Path) -> str:
    return explained(home, "tool_call_without_prompt")


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_a_finding_is_explained_in_all_its_parts(text: str, part: str) -> None:
    assert part in text


@pytest.mark.parametrize("stem", ["token_passed_through", "unregistered_server_called", "unauthorized_burst"])
def test_findings_of_every_kind_of_rule_are_explained(home: Path, stem: str) -> None:
    told = document(home, stem)

    assert told["finding"] == finding(home, stem)
    assert told["matched"]
    assert all(told[part] for part in ("description", "grouping", "false_positives", "records", "next"))
    assert not any(record["missing"] for record in told["records"])


# What would make it quiet does.


@pytest.mark.parametrize(
    "stem", one_in(2, ["tool_call_without_prompt", "token_passed_through", "unregistered_server_called"])
)
def test_the_change_of_one_field_makes_the_rule_quiet(home: Path, tmp_path: Path, stem: str) -> None:
    flip = document(home, stem)["quiet"]["flip"]
    line = int(flip["place"].rpartition(":")[2])

    folder = changed(home, tmp_path, lambda every: put(every[line - 1], flip["field"], flip["value"]))

    before = {(each["rule"]["stem"], each["id"]) for each in json.loads((home / "report.json").read_text())["findings"]}
    after = {(each["rule"]["stem"], each["id"]) for each in scan(folder, "log.jsonl", "--format", "jsonl")}
    assert before - after == {(stem, finding(home, stem)["id"])}


def test_the_row_of_the_register_makes_the_rule_quiet(home: Path, tmp_path: Path) -> None:
    row = document(home, "unregistered_server_called")["quiet"]["row"]
    assert (row["table"], row["values"]["name"], row["known"]) == ("servers", "stranger-mcp", False)
    folder = changed(home, tmp_path, lambda _every: None)
    values = row["values"]
    with (folder / "register" / "servers.csv").open("a") as table:
        table.write(f"{values['name']},,{values['party']},{values['approval']}\n")

    stems = {each["rule"]["stem"] for each in scan(folder, "log.jsonl", "--format", "jsonl")}
    assert "unregistered_server_called" not in stems
    assert "tool_call_without_prompt" in stems


@pytest.mark.parametrize(
    "stem", ["tool_call_without_prompt", "token_passed_through", "unregistered_server_called", "unauthorized_burst"]
)
def test_the_filter_that_is_written_for_a_finding_spares_it_and_no_other_rules(
    home: Path, tmp_path: Path, stem: str
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "expected.yml").write_text(document(home, stem)["quiet"]["own_filter"])

    after = {
        each["rule"]["stem"] for each in scan(home, "log.jsonl", "--format", "jsonl", "--filters", tmp_path / "mine")
    }
    before = {each["rule"]["stem"] for each in json.loads((home / "report.json").read_text())["findings"]}
    assert before - after == {stem}


WRITTEN = {
    "a star and a question mark": "a*b?",
    "backslashes": "a\\*b\\\\?c\\",
    "YAML": "x: [y] # z",
    "control characters": "a\x1b[2J\u202eb",
    "a number": 5,
}


@pytest.mark.parametrize("value", WRITTEN.values(), ids=WRITTEN)
def test_a_filter_that_is_written_means_just_these_values(home: Path, tmp_path: Path, value: Any) -> None:
    rule = rule_of("tool_call_without_prompt")
    found = {**finding(home, "tool_call_without_prompt"), "group": {"gen_ai.agent.id": value}}
    path = tmp_path / "expected.yml"
    path.write_text(own_filter(found, rule))
    one, mistakes = read_filter(MarkedYaml.read(path), path, SERVICES)

    assert (one is not None, mistakes) == (True, [])
    assert path.read_text().isprintable() or path.read_text().replace("\n", "").isprintable()


@pytest.mark.parametrize("value", ["[secret 0123abcd]", "[content, 7 characters]", "x… (9000 characters)", None, []])
def test_no_filter_is_written_from_what_is_masked_or_absent(home: Path, value: Any) -> None:
    found = finding(home, "tool_call_without_prompt")
    masked = {"group": {"gen_ai.agent.id": value}, "agent": None, "server": None, "tool": None, "system": None}

    assert own_filter({**found, **masked}, rule_of("tool_call_without_prompt")) == ""


# The records may be elsewhere by now.


def without_log(folder: Path) -> None:
    (folder / "log.jsonl").unlink()


def with_another_log(folder: Path) -> None:
    record = dict(base_event("tool_call"))
    put(record, "@timestamp", "2027-01-01T00:00:00Z")
    (folder / "log.jsonl").write_text(json.dumps(record) + "\n")


GONE = {
    "gone": (without_log, "log.jsonl:1: not shown, there is no such file here any more"),
    "another": (
        with_another_log,
        "log.jsonl:1: not shown, another record is there now: the log has changed since the scan",
    ),
}


@pytest.mark.parametrize(("harm", "sentence"), GONE.values(), ids=GONE)
def test_without_its_records_a_finding_is_explained_from_the_report(
    home: Path, tmp_path: Path, harm: Callable[[Path], None], sentence: str
) -> None:
    folder = tmp_path / "elsewhere"
    shutil.copytree(home, folder)
    harm(folder)
    text = explained(folder, "tool_call_without_prompt")

    assert sentence in text
    assert "selection: chain.prompt.id does not exist; chain.prompt.id is absent" in text
    assert "one field:" not in text
    assert "the records are not at hand, so no change of them was judged" in text


def test_without_the_scans_register_it_says_that_the_rule_does_not_fire_again(home: Path) -> None:
    found = finding(home, "unregistered_server_called")
    done = countersign(home, "explain", found["id"], "--report", "report.json")

    assert "judged again, with what is at hand, the rule does not fire" in done.stdout
    assert "(--register DIR gives one)" in done.stdout
    assert "one field:" not in done.stdout


def test_a_finding_of_a_rule_that_is_here_no_more_is_told_by_its_report(home: Path, tmp_path: Path) -> None:
    found = finding(home, "tool_call_without_prompt")
    found["rule"]["id"] = "00000000-0000-4000-8000-000000000000"
    (tmp_path / "one.jsonl").write_text(json.dumps(found) + "\n")
    done = countersign(home, "explain", found["id"], "--report", tmp_path / "one.jsonl")

    assert done.returncode == 0, done.stderr
    assert found["sentence"] in done.stdout
    assert "no rule here has the id of this finding's" in done.stdout


def test_a_finding_of_a_rule_of_ones_own_is_explained_with_its_folder(home: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    rule = {
        "title": "Opportunity Updated",
        "id": "5b0f6f3e-8a35-4a52-9a94-3f0f4f6a6d10",
        "description": "An opportunity was updated. Nobody should.",
        "logsource": {"product": "mcp", "service": "event"},
        "detection": {"selection": {"gen_ai.tool.name": "update_*"}, "condition": "selection"},
        "level": "low",
    }
    (mine / "updated.yml").write_text(yaml.safe_dump(rule))
    done = countersign(home, "scan", "log.jsonl", "--rules", mine, "--format", "jsonl", "-o", tmp_path / "own.jsonl")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "own.jsonl").read_text().splitlines()[0])
    done = countersign(home, "explain", found["id"][:9], "--report", tmp_path / "own.jsonl", "--rules", mine)

    assert "selection: gen_ai.tool.name equals 'update_*'; gen_ai.tool.name is \"update_opportunity\"" in done.stdout


# The id and the report.


@pytest.mark.parametrize("report", ["report.json", "report.jsonl"])
def test_the_beginning_of_an_id_is_enough(home: Path, report: str) -> None:
    found = finding(home, "token_passed_through")
    done = countersign(home, "explain", found["id"][:8].upper(), "--report", report)

    assert found["id"] in done.stdout


def mistaken(home: Path, *arguments: object) -> str:
    done = countersign(home, "explain", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def test_an_id_that_no_finding_has_is_told_with_those_that_there_are(home: Path) -> None:
    said = mistaken(home, "zz", "--report", "report.json")

    assert said.startswith("zz: no finding of report.json has this id; it holds ")
    assert finding(home, "token_passed_through")["id"] in said


def test_a_beginning_that_several_share_asks_for_more(home: Path) -> None:
    assert "findings begin so: " in mistaken(home, "", "--report", "report.json")


def test_an_id_without_a_report_asks_for_one(home: Path) -> None:
    assert mistaken(home, "9ddf29c7") == (
        "9ddf29c7: no rule has this name; if it is a finding's id, --report names the file that scan -o wrote\n"
    )


NO_REPORTS = {
    "no file": (None, "bad.json: the report can't be read: "),
    "a CSV report": ("id,rule\n1,2\n", "bad.json:1: this is no report of scan in JSON; "),
    "some JSON": ('{"a": 1}', "bad.json: this is no report of scan in JSON; "),
    "a list": ("[1]", "bad.json: this is no report of scan in JSON; "),
    "deep JSON": ("[" * 100_000, "bad.json:1: this is no report of scan in JSON; "),
    "an edited finding": (
        '{"findings": [{"id": "abcdef01", "rule": {"stem": "../../x"}}]}',
        "bad.json: finding abcdef01: ",
    ),
}


@pytest.mark.parametrize(("content", "sentence"), NO_REPORTS.values(), ids=NO_REPORTS)
def test_what_is_no_report_is_a_sentence(tmp_path: Path, content: str | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / "bad.json").write_text(content)

    assert mistaken(tmp_path, "abcdef01", "--report", "bad.json").startswith(sentence)


# Nothing of a record or of a report reaches the terminal as a code or as markup, and no secret leaves.


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose log and report hold what harms terminals."""
    folder = tmp_path_factory.mktemp("hostile")
    call = dict(base_event("tool_call"))
    changes: Mapping[str, Any] = {
        "chain.prompt.id": None,
        "gen_ai.agent.id": HOSTILE,
        "gen_ai.tool.name": SECRET,
        "user.id": HOSTILE,
        "mcp.server.name": HOSTILE,
        "error.message": "\ud800",
    }
    for name, value in changes.items():
        put(call, name, value)
    (folder / "log[1].jsonl").write_text(json.dumps(call) + "\n")
    done = countersign(folder, "scan", "log[[]1].jsonl", "--rules", "53", "--format", "jsonl", "-o", "report.jsonl")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("form", ["text", "json"])
def test_hostile_values_are_harmless_and_secrets_masked(hostile: Path, form: str) -> None:
    found = json.loads((hostile / "report.jsonl").read_text())
    done = countersign(hostile, "explain", found["id"], "--report", "report.jsonl", "--format", form)

    assert done.returncode == 0, done.stderr
    assert not any(character in done.stdout for character in "\x1b\x07\r\u202e")
    assert "[red]x[/red]" in done.stdout
    assert SECRET not in done.stdout
    assert "log[1].jsonl:1" in done.stdout


def test_the_filter_for_a_hostile_finding_is_one_that_can_be_read(hostile: Path, tmp_path: Path) -> None:
    found = json.loads((hostile / "report.jsonl").read_text())
    done = countersign(hostile, "explain", found["id"], "--report", "report.jsonl")
    lines = done.stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("A filter of your own")) + 1
    end = next(number for number, line in enumerate(lines[start:], start) if not line.strip())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "expected.yml").write_text("\n".join(line[2:] for line in lines[start:end]) + "\n")

    arguments = ("log[[]1].jsonl", "--rules", "53", "--format", "jsonl")
    assert countersign(hostile, "scan", *arguments).stdout
    assert countersign(hostile, "scan", *arguments, "--filters", tmp_path / "mine").stdout == ""
