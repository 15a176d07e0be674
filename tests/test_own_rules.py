"""Rules and Sigma filters of one's own: proven with their cases, run by a scan, and mistaken in one sentence each."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import ready
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sigma.collection import SigmaCollection
from sigma.rule import SigmaRule

from backends.duckdb.backend import expression
from backends.duckdb.chain_records import COLLECTED
from backends.marked_yaml import MarkedYaml
from backends.vocabulary import Vocabulary
from generator.session import base_event
from harness.case import put
from harness.filter_file import Filter, narrowed, part_in_words, read_filter
from harness.oracle import meaning
from harness.paths import Root
from harness.ruleset import Rule, load_rules
from harness.terms import by_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ROOT = Root.default()
RULES = load_rules(ROOT.rules)
SERVICES = {service: Vocabulary.load(ROOT.schemas / f"{service}.schema.json") for service in ("event", "chain")}
PROMPTLESS = "25e072a5-2761-4889-b325-66865d0e44a7"
ORPHAN = "d1433303-6b34-4b78-9381-79050c0fe8bc"
BURST = "d80aa643-16f0-4bc9-8c66-ddbc31f552e7"

RULE: dict[str, Any] = {
    "title": "Restricted Record Deleted",
    "id": "5b0f6f3e-8a35-4a52-9a94-3f0f4f6a6d10",
    "status": "experimental",
    "description": "A restricted record was deleted. Nobody here deletes those.",
    "logsource": {"product": "mcp", "service": "event"},
    "detection": {
        "selection": {"chain.stage": "access", "chain.operation": "delete"},
        "condition": "selection",
    },
    "level": "high",
}
DELETED = {
    "case": "A record was deleted.",
    "expect": "fire",
    "why": "Nobody does.",
    "base": "access",
    "set": {"chain.operation": "delete"},
}
READ = {
    "case": "A record was read.",
    "expect": "quiet",
    "why": "That is no harm.",
    "proves": "selection",
    "base": "access",
    "set": {"chain.operation": "read"},
}
FILTER: dict[str, Any] = {
    "title": "The Lab Names No Prompts",
    "logsource": {"product": "mcp", "service": "event"},
    "filter": {"rules": [PROMPTLESS], "selection": {"source.ip|cidr": "10.99.0.0/16"}, "condition": "not selection"},
}
EXEMPT = {
    "case": "A call of the lab names no prompt.",
    "expect": "quiet",
    "why": "The lab tests.",
    "base": "tool_call",
    "set": {"chain.prompt.id": None, "source.ip": "10.99.1.1"},
}
KEPT = {
    "case": "A call of the office names no prompt.",
    "expect": "fire",
    "why": "The office works.",
    "base": "tool_call",
    "set": {"chain.prompt.id": None},
}


def write(folder: Path, name: str, document: Mapping[str, Any], *cases: Mapping[str, Any], hint: str = "") -> Path:
    """A rule or filter with its cases beside it."""
    folder.mkdir(exist_ok=True, parents=True)
    (folder / f"{name}.yml").write_text(hint + yaml.safe_dump(dict(document), sort_keys=False))
    if cases:
        (folder / f"{name}.cases.json").write_text(json.dumps({"cases": list(cases)}, indent=1))
    return folder


def countersign(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*ready.command(), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT.path)


def without(document: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy of a filter's document with other keys of its ``filter`` section."""
    return {**document, "filter": {**document["filter"], **changes}}


def filter_of(tmp_path: Path, document: Mapping[str, Any]) -> Filter:
    path = tmp_path / "mine.yml"
    path.write_text(yaml.safe_dump(dict(document), sort_keys=False))
    one, found = read_filter(MarkedYaml.read(path), path, SERVICES)
    assert one is not None, found
    return one


def rule_of(stem: str) -> Rule:
    (rule,) = RULES.select([stem])
    return rule


# What a filter means.

CONDITIONS = (
    "not selection",
    "not 1 of selection*",
    "not all of them",
    "not (selection or selection_2)",
    "not 1 of them",
)
VALUES = st.sampled_from([None, "tool_call", "u-1", "prompt-1", "10.99.1.1", "10.1.1.1", "agent-1", "AGENT-1"])
RECORDS = st.fixed_dictionaries(
    {
        "chain.stage": VALUES,
        "chain.prompt.id": VALUES,
        "source.ip": VALUES,
        "gen_ai.agent.id": VALUES,
        "user.id": VALUES,
    }
)


@pytest.mark.parametrize("condition", CONDITIONS)
@given(record=RECORDS)
@settings(max_examples=60, deadline=None)
def test_a_filter_means_what_pysigma_makes_of_it(
    condition: str, record: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    document = without(FILTER, selection_2={"gen_ai.agent.id|startswith": "agent"}, condition=condition)
    one = filter_of(tmp_path_factory.mktemp("filter"), document)
    theirs = SigmaCollection.from_yaml(
        (ROOT.rules / "audit" / "mcp_tool_call_without_prompt.yml").read_text() + "\n---\n" + yaml.safe_dump(document)
    )
    ours = narrowed(rule_of("tool_call_without_prompt"), [one]).parts[0]
    held = {name: value for name, value in record.items() if value is not None}

    assert meaning(ours).holds(held) == meaning(theirs.rules[0]).holds(held)  # type: ignore[arg-type]


def test_two_filters_with_the_same_names_inside_are_kept_apart(tmp_path: Path) -> None:
    lab = filter_of(tmp_path, FILTER)
    bot = replace(filter_of(tmp_path, without(FILTER, selection={"user.id": "bot"})), path=tmp_path / "mine_x.yml")
    both = meaning(narrowed(rule_of("tool_call_without_prompt"), [lab, bot]).parts[0])

    assert both.holds({"chain.stage": "tool_call", "source.ip": "10.1.1.1", "user.id": "u-1"})
    assert not both.holds({"chain.stage": "tool_call", "source.ip": "10.99.1.1", "user.id": "u-1"})
    assert not both.holds({"chain.stage": "tool_call", "source.ip": "10.1.1.1", "user.id": "bot"})


def test_a_filter_leaves_the_rule_of_the_pack_as_it_was(tmp_path: Path) -> None:
    rule = rule_of("tool_call_without_prompt")
    before = dict(rule.parts[0].detection.detections)
    narrowed(rule, [filter_of(tmp_path, FILTER)])

    assert rule.parts[0].detection.detections == before


def test_a_filter_on_a_base_rule_narrows_the_correlation(tmp_path: Path) -> None:
    one = filter_of(tmp_path, without(FILTER, rules=["token_refused"]))
    (part,) = narrowed(rule_of("unauthorized_burst"), [one]).parts

    refused = {"mcp.server.name": "crm", "http.response.status_code": 401}
    assert meaning(part).holds({**refused, "source.ip": "10.1.1.1"})
    assert not meaning(part).holds({**refused, "source.ip": "10.99.1.1"})


def test_any_narrows_every_rule_of_its_service_and_no_other(tmp_path: Path) -> None:
    one = filter_of(tmp_path, without(FILTER, rules="any"))

    assert {rule.stem for rule in RULES if any(map(one.narrows, rule.parts))} == {
        rule.stem for rule in RULES if rule.service == "event"
    }


def test_a_part_that_a_filter_brought_is_named_after_the_filter(tmp_path: Path) -> None:
    rule = narrowed(rule_of("tool_call_without_prompt"), [filter_of(tmp_path, FILTER)])
    names = {part_in_words(name) for name in rule.parts[0].detection.detections}

    assert names == {"selection", "filter_main_blind", "selection of your filter mine"}


@pytest.mark.parametrize("rule", [part for rule in RULES for part in rule.parts], ids=lambda part: str(part.title))
def test_the_named_terms_of_a_rule_are_the_oracles(rule: Any) -> None:
    stages = ("prompt", "decision", "tool_call", "tool_response", "token", "consent", "access", "change")
    facts = [
        {f"{a}.{b}": c for a, x in base_event(s).items() if isinstance(x, dict) for b, c in x.items()} for s in stages
    ]

    assert [by_name(rule).holds(each) for each in facts] == [meaning(rule).holds(each) for each in facts]


# Proof.


def test_a_rule_and_a_filter_of_ones_own_are_proven_in_any_folder(tmp_path: Path) -> None:
    write(tmp_path / "mine", "deleted", RULE, DELETED, READ)
    write(tmp_path / "mine" / "filters", "lab", FILTER, EXEMPT, KEPT)
    done = countersign("test", tmp_path / "mine", "--format", "json")

    assert done.returncode == 0, done.stdout + done.stderr
    proofs = {proof["stem"]: proof for proof in json.loads(done.stdout)["proofs"]}
    assert set(proofs) == {"deleted", "lab on tool_call_without_prompt"}
    assert all(proof["variants"] > 20 and proof["cells"] > proof["variants"] for proof in proofs.values())


FAILING = {
    "exempts too little": (
        {**EXEMPT, "set": {"chain.prompt.id": None}},
        KEPT,
        "not what the case expects",
    ),
    "exempts too much": (EXEMPT, {**KEPT, "set": EXEMPT["set"]}, "not what the case expects"),
    "exempts nothing": (
        {**EXEMPT, "set": {"source.ip": "10.99.1.1"}},
        KEPT,
        "the rule is quiet on it without the filter too, so the case exempts nothing",
    ),
}


@pytest.mark.parametrize(("quiet", "fire", "problem"), FAILING.values(), ids=FAILING)
def test_a_filter_that_its_cases_do_not_bear_out_fails(
    tmp_path: Path, quiet: dict[str, Any], fire: dict[str, Any], problem: str
) -> None:
    done = countersign("test", write(tmp_path / "mine", "lab", FILTER, quiet, fire), "--format", "json")

    assert done.returncode == 1, done.stdout + done.stderr
    (proof,) = json.loads(done.stdout)["proofs"]
    assert problem in {failure["problem"] for failure in proof["failures"]}


def test_a_filter_over_several_rules_is_proven_on_each_that_its_cases_name(tmp_path: Path) -> None:
    document = without(FILTER, rules=[PROMPTLESS, "d0000000-0000-4000-8000-000000000000"])
    document["filter"]["rules"][1] = next(rule.id for rule in RULES if rule.stem == "call_without_correlation_id")
    other = {
        **EXEMPT,
        "case": "A call of the lab names nothing that joins.",
        "rule": "call_without_correlation_id",
        "set": {
            "chain.prompt.id": None,
            "trace.id": None,
            "transaction.id": None,
            "gen_ai.tool.call.id": None,
            "source.ip": "10.99.1.1",
        },
    }
    lab = write(tmp_path, "lab", document, {**EXEMPT, "rule": PROMPTLESS}, {**KEPT, "rule": "53"}, other)
    done = countersign("test", lab, "--format", "json")

    proofs = [proof["stem"] for proof in json.loads(done.stdout)["proofs"]]
    assert sorted(proofs) == ["lab on call_without_correlation_id", "lab on tool_call_without_prompt"]
    assert done.returncode == 0, done.stdout


def test_a_rule_of_ones_own_may_be_named(tmp_path: Path) -> None:
    write(tmp_path, "deleted", RULE, DELETED, READ)
    write(tmp_path, "lab", FILTER, EXEMPT, KEPT)
    done = countersign("test", tmp_path, "lab", "--format", "json")

    assert [proof["stem"] for proof in json.loads(done.stdout)["proofs"]] == ["lab on tool_call_without_prompt"]
    assert countersign("test", tmp_path, "lap").stderr == f"lap: no rule or filter of {tmp_path} has this name\n"


HANDED_ON = [
    {"base": "tool_call", "set": {"oauth.token.hash": "h-1"}},
    {"base": "access", "set": {"oauth.token.hash": "h-1"}},
]
OF_CHAINS: dict[str, Any] = {
    "title": "The Lab Hands Tokens On",
    "logsource": {"product": "mcp", "service": "chain"},
    "filter": {
        "rules": [next(rule.id for rule in RULES if rule.stem == "token_passed_through")],
        "selection": {"chain.agents": "AGENT-LAB", "chain.systems|startswith": "c"},
        "condition": "not selection",
    },
}


def handed_on_by(agent: str) -> list[dict[str, Any]]:
    return [{**each, "set": {**each["set"], "gen_ai.agent.id": agent}} for each in HANDED_ON]


def test_a_filter_on_what_a_chain_collects_is_proven_on_the_engine_too(tmp_path: Path) -> None:
    quiet = {"case": "The lab did.", "expect": "quiet", "why": "It tests.", "events": handed_on_by("agent-lab")}
    fire = {"case": "Another did.", "expect": "fire", "why": "It works.", "events": handed_on_by("agent-office")}
    done = countersign("test", write(tmp_path, "lab", OF_CHAINS, quiet, fire), "--format", "json")

    (proof,) = json.loads(done.stdout)["proofs"]
    assert (proof["failures"], proof["cases"]) == ([], 2)


LOOSE = {
    "chain.agents: x": ("selection", "(true)"),
    "not chain.agents: x": ("not selection", "(NOT (false))"),
    "not not": ("not not selection", "(NOT (NOT (true)))"),
}


@pytest.mark.parametrize(("condition", "sql"), LOOSE.values(), ids=LOOSE)
def test_what_the_chain_view_lacks_is_assumed_to_be_what_lets_the_rule_fire(condition: str, sql: str) -> None:
    detection = {"selection": {"chain.agents": "x"}, "condition": condition}
    rule = SigmaRule.from_dict({**RULE, "logsource": {"product": "mcp", "service": "chain"}, "detection": detection})

    assert expression(rule, SERVICES["chain"], COLLECTED) == sql


# Mistakes: all at once, each one sentence with file and line.

SAID = {
    "an unknown rule": (
        without(FILTER, rules=["no_such_rule"]),
        ":7: no rule has the id or name 'no_such_rule'; 'countersign explain RULE' tells the id of one",
    ),
    "a rule by its stem": (
        without(FILTER, rules=["orphan_write"]),
        f":7: a filter names a rule by its id; that of orphan_write is {ORPHAN}",
    ),
    "a rule on other records": (
        without(FILTER, rules=[ORPHAN]),
        f":7: {ORPHAN} judges chain records, and this filter's logsource is service event",
    ),
    "a correlation": (
        without(FILTER, rules=[BURST]),
        (
            f":7: {BURST} is a correlation, and a filter narrows single records; name its base rule token_refused "
            "(97ca15aa-232e-4d17-9841-9e8a415363d3)"
        ),
    ),
    "an unknown field": (
        without(FILTER, selection={"sauce.ip": "10.99.1.1"}),
        ":9: 'sauce.ip' is not a field of an event; did you mean source.ip?",
    ),
    "a field of chains": (
        without(FILTER, selection={"chain.agents": "agent-1"}),
        ":9: 'chain.agents' is not a field of an event",
    ),
    "no rules": (
        {**FILTER, "filter": {"selection": {"source.ip": "10.1.1.1"}, "condition": "not selection"}},
        ":5: this is no Sigma filter: Sigma filter must have a 'rules' field",
    ),
    "a condition without a selection": (
        without(FILTER, condition="not selektion"),
        ":10: this is no Sigma filter: Detection 'selektion' not defined in detections",
    ),
    "another logsource": (
        {**FILTER, "logsource": {"product": "windows"}},
        ":2: logsource is product mcp with service event or chain, like the rules'",
    ),
}


@pytest.mark.parametrize(("document", "sentence"), SAID.values(), ids=SAID)
@pytest.mark.parametrize("command", ["test", "scan"])
def test_a_mistake_in_a_filter_is_one_sentence_with_its_line(
    tmp_path: Path, command: str, document: dict[str, Any], sentence: str
) -> None:
    mine = write(tmp_path / "mine", "lab", document, EXEMPT, KEPT)
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps(base_event("tool_call")) + "\n")
    done = countersign("test", mine) if command == "test" else countersign("scan", log, "--filters", mine)

    assert (done.returncode, done.stdout) == (2, "")
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"{mine / 'lab.yml'}{sentence}")


def test_every_mistake_of_a_folder_is_said_at_once(tmp_path: Path) -> None:
    mine = write(tmp_path, "rule_a", {**RULE, "detection": {**RULE["detection"], "selection": {"chain.stag": "x"}}})
    (mine / "rule_a.cases.json").write_text("{")
    write(mine, "rule_b", {**RULE, "level": None}, DELETED, {**READ, "set": {"chain.operatoin": "read"}})
    write(mine, "rule_c", {**RULE, "id": "5b0f6f3e-8a35-4a52-9a94-3f0f4f6a6d11"})
    write(mine, "lab", without(FILTER, rules=["nobody"]), {**EXEMPT, "proves": "selection_x"}, KEPT)
    write(mine, "bad", FILTER, EXEMPT, hint="# yaml-language-server: $schema=gone.json\n")
    (mine / "Upper.yml").write_text(yaml.safe_dump(RULE))
    (mine / "orphan.cases.json").write_text(json.dumps({"cases": [DELETED, READ]}))
    (mine / "broken.yml").write_text("title: [")
    done = countersign("test", mine)
    said = [line.removeprefix(f"{mine}/") for line in done.stderr.splitlines()]

    assert done.returncode == 2
    assert [line.split(": ")[0] for line in said] == [
        "Upper.yml:1",
        "bad.cases.json:2",
        "bad.yml:1",
        "broken.yml:2",
        "lab.cases.json:3",
        "lab.yml:7",
        "orphan.cases.json",
        "rule_a.cases.json:1",
        "rule_a.yml:10",
        "rule_b.cases.json:19",
        "rule_b.yml:1",
        "rule_c.yml",
    ], done.stderr


CASES = {
    "no cases": ((), "lab.yml: has no cases; write lab.cases.json beside it"),
    "no quiet case": ((KEPT, {**KEPT, "case": "The same."}), "no case expects quiet; add one"),
    "a rule that it does not narrow": (
        (EXEMPT, {**KEPT, "rule": "orphan_write"}),
        "the filter lab narrows no rule 'orphan_write'",
    ),
    "a selection that it does not have": (
        ({**EXEMPT, "proves": "selection_lab"}, KEPT),
        "proves 'selection_lab', which the filter does not have",
    ),
}


@pytest.mark.parametrize(("cases", "sentence"), CASES.values(), ids=CASES)
def test_a_mistake_in_a_filters_cases_is_one_sentence(tmp_path: Path, cases: Any, sentence: str) -> None:
    done = countersign("test", write(tmp_path, "lab", FILTER, *cases))

    assert done.returncode == 2
    assert any(sentence in line for line in done.stderr.splitlines()), done.stderr


def test_a_filter_over_several_rules_asks_which_of_them_a_case_is_about(tmp_path: Path) -> None:
    done = countersign("test", write(tmp_path, "lab", without(FILTER, rules="any"), EXEMPT, KEPT))

    assert done.stderr.splitlines() == [
        f'{tmp_path}/lab.cases.json:{line}: the filter narrows several rules; say with "rule" which of them this case is about'
        for line in (3, 13)
    ]


def test_a_rules_case_names_no_rule(tmp_path: Path) -> None:
    done = countersign("test", write(tmp_path, "deleted", RULE, {**DELETED, "rule": "deleted"}, READ))

    assert "only a case of a filter says which rule it is about; take the key away" in done.stderr


def test_a_folder_without_any_is_a_mistake(tmp_path: Path) -> None:
    assert countersign("test", tmp_path).stderr == f"{tmp_path}: it holds no rule and no filter: no file ends in .yml\n"


# Scan.


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three records: a deletion, a call of the lab and one of the office without a prompt."""
    records = [base_event("access"), base_event("tool_call"), base_event("tool_call")]
    put(records[0], "chain.operation", "delete")
    for number, record in enumerate(records):
        put(record, "event.id", f"event-{number}")
    for record in records[1:]:
        put(record, "chain.prompt.id", None)
    put(records[1], "source.ip", "10.99.1.1")
    put(records[1], "gen_ai.agent.id", "agent-lab")
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def found(*arguments: object) -> list[tuple[str, int]]:
    """Stem and line of each finding."""
    done = countersign("scan", *arguments, "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    findings = map(json.loads, done.stdout.splitlines())
    return sorted((each["rule"]["stem"], each["records"][0]["line"]) for each in findings)


def test_a_scan_runs_rules_of_ones_own_alone_or_beside_the_packs(tmp_path: Path, log: Path) -> None:
    mine = write(tmp_path / "mine", "deleted", RULE, DELETED, READ)

    assert found(log, "--rules", mine) == [("deleted", 1)]
    both = found(log, "--rules", mine, "--rules", "53")
    assert both == [("deleted", 1), ("tool_call_without_prompt", 2), ("tool_call_without_prompt", 3)]
    assert ("deleted", 1) in found(log, "--rules", mine, "--rules", "*")
    assert found(log, "--rules", mine, "--level", "low") == []


def test_grouping_and_sentence_of_ones_own_rules_are_in_their_own_parameters(tmp_path: Path, log: Path) -> None:
    mine = write(tmp_path / "mine", "deleted", RULE, DELETED, READ)
    values = {"sentence": "{user.id|Somebody} deleted.", "group_by": ["user.id"], "period": "1h"}
    parameters = {
        "defaults": {"all": {"kind": "incident", "group_by": ["chain.id"], "period": "1d"}},
        "rules": {"deleted": values},
    }
    (mine / "parameters.json").write_text(json.dumps(parameters))
    done = countersign("scan", log, "--rules", mine, "--format", "jsonl")

    finding = json.loads(done.stdout)
    assert (finding["sentence"], finding["group"]) == ("u-ana deleted.", {"user.id": "u-ana"})


def test_a_scan_applies_filters_and_spares_only_what_they_exempt(tmp_path: Path, log: Path) -> None:
    mine = write(tmp_path / "mine", "lab", FILTER, EXEMPT, KEPT)

    assert found(log, "--rules", "53") == [("tool_call_without_prompt", 2), ("tool_call_without_prompt", 3)]
    assert found(log, "--rules", "53", "--filters", mine) == [("tool_call_without_prompt", 3)]


def test_a_filter_may_narrow_a_rule_of_ones_own(tmp_path: Path, log: Path) -> None:
    mine = write(tmp_path / "mine", "deleted", RULE, DELETED, READ)
    write(mine, "expected", without(FILTER, rules=[RULE["id"]], selection={"user.id": "u-ana"}))

    assert found(log, "--rules", mine) == [("deleted", 1)]
    assert found(log, "--rules", mine, "--filters", mine) == []


def test_two_rules_of_one_name_in_one_scan_are_a_mistake(tmp_path: Path, log: Path) -> None:
    mine = write(tmp_path / "mine", "orphan_write", RULE, DELETED, READ)
    done = countersign("scan", log, "--rules", mine, "--rules", "*")

    assert done.returncode == 2
    assert "its stem orphan_write is that of" in done.stderr


def test_a_rule_that_the_engine_cannot_run_is_a_mistake(tmp_path: Path, log: Path) -> None:
    late = {**RULE, "detection": {"selection": {"event.hash_broken": True}, "condition": "selection"}}
    done = countersign("scan", log, "--rules", write(tmp_path / "mine", "late", late))

    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path}/mine/late.yml: the scan can't run this rule: " in done.stderr


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: folder / "gone", "there is no such folder of filters"),
        (
            lambda folder: write(folder / "rules", "deleted", RULE),
            "it holds no filter; a filter is a YAML file with a section filter:",
        ),
    ],
    ids=["no folder", "no filter in it"],
)
def test_a_folder_that_holds_no_filter_is_a_mistake(tmp_path: Path, log: Path, make: Any, sentence: str) -> None:
    folder = make(tmp_path)

    assert countersign("scan", log, "--filters", folder).stderr == f"{folder}: {sentence}\n"


# What editors are told.


def editor(name: str) -> Any:
    return jsonschema.Draft202012Validator(json.loads((ROOT.schemas / f"{name}.schema.json").read_text()))


def plain(path: Path) -> list[Any]:
    """The documents of a YAML file as an editor reads them: a day is text."""
    text = yaml.safe_load_all(path.read_text())
    return json.loads(json.dumps(list(text), default=dt.date.isoformat))


@pytest.mark.parametrize("rule", list(RULES), ids=lambda rule: rule.stem)
def test_an_editor_underlines_nothing_in_a_rule_of_the_pack(rule: Rule) -> None:
    assert [error.message for document in plain(rule.path) for error in editor("rule").iter_errors(document)] == []


UNDERLINED = {
    "an unknown field": ({**RULE, "detection": {"selection": {"user.idd": "x"}, "condition": "selection"}}, "user.idd"),
    "a chain's field in an event rule": (
        {**RULE, "detection": {"selection": {"chain.agents": "x"}, "condition": "selection"}},
        "chain.agents",
    ),
    "no level": ({key: value for key, value in RULE.items() if key != "level"}, "'level' is a required property"),
    "another product": ({**RULE, "logsource": {"product": "windows", "service": "event"}}, "'mcp' was expected"),
}


@pytest.mark.parametrize(("document", "message"), UNDERLINED.values(), ids=UNDERLINED)
def test_an_editor_underlines_what_is_wrong_in_a_rule(document: dict[str, Any], message: str) -> None:
    assert any(message in error.message for error in editor("rule").iter_errors(document))


def test_an_editor_knows_filters_too() -> None:
    assert list(editor("filter").iter_errors(FILTER)) == []
    assert list(editor("filter").iter_errors(without(FILTER, rules="any"))) == []
    wrong = [error.message for error in editor("filter").iter_errors(without(FILTER, selection={"sauce.ip": "x"}))]
    assert any("sauce.ip" in message for message in wrong)
    assert list(editor("filter").iter_errors(without(FILTER, rules=None))) != []


@pytest.mark.parametrize("schema", ["absolute", "relative", "https://example.com/rule.schema.json"])
def test_a_hint_that_leads_to_a_schema_is_no_mistake(tmp_path: Path, schema: str) -> None:
    (tmp_path / "schemas").symlink_to(ROOT.schemas)
    there = {"absolute": str(ROOT.schemas / "rule.schema.json"), "relative": "../schemas/rule.schema.json"}
    hint = f"# yaml-language-server: $schema={there.get(schema, schema)}\n"
    mine = write(tmp_path / "mine", "deleted", RULE, hint=hint)
    cases = {"$schema": there.get(schema, schema).replace("rule.s", "cases.s"), "cases": [DELETED, READ]}
    (mine / "deleted.cases.json").write_text(json.dumps(cases))

    assert countersign("test", mine).returncode == 0


def test_a_hint_in_cases_that_leads_nowhere_is_a_mistake(tmp_path: Path) -> None:
    mine = write(tmp_path, "deleted", RULE)
    (mine / "deleted.cases.json").write_text(json.dumps({"$schema": "gone.json", "cases": [DELETED, READ]}, indent=1))

    assert countersign("test", mine).stderr == (
        f"{mine}/deleted.cases.json:2: the editor's hint leads nowhere: there is no file gone.json from here\n"
    )
