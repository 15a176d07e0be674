"""What every rule of the project must be, and what the loader says of one that is not."""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from backends.errors import Mistakes
from backends.sources import SourceMaps
from backends.vocabulary import Vocabulary
from generator.session import base_event, base_register
from harness.case import Bases, Case
from harness.commands.rules import command as rules_command
from harness.judging import duckdb
from harness.naming import COUNT, VALUES
from harness.oracle import fields_read, meaning
from harness.pairing import paired, proven
from harness.paths import Root
from harness.proof import as_written
from harness.ruleset import Rule, load_rules
from harness.sentence import render
from harness.sigma_check import check
from harness.survival import survivals

if TYPE_CHECKING:
    from pathlib import Path

ROOT = Root.default()
RULES = load_rules(ROOT.rules)
EVENTS, CHAINS = Vocabulary.load(ROOT.event_schema), Vocabulary.load(ROOT.chain_schema)
SUBJECTS = paired({r.path: r.judged for r in RULES}, ROOT.rules, ROOT.schemas / "cases.schema.json", EVENTS)
CASES: dict[str, tuple[Case, ...]] = {subject.stem: subject.cases for subject in SUBJECTS}

# The catalogue: number, chapter, level, kind, service, and the blind concepts that an absence rule must spare.
CATALOGUE: dict[int, tuple[str, str, str, str, set[str]]] = {
    1: ("identity", "high", "incident", "event", {"user"}),
    2: ("identity", "high", "incident", "event", set()),
    3: ("identity", "high", "incident", "event", {"user"}),
    4: ("identity", "high", "incident", "chain", {"tool_call.user", "access.user"}),
    5: ("identity", "critical", "incident", "chain", set()),
    6: ("identity", "high", "incident", "event", {"act"}),
    9: ("identity", "critical", "incident", "event", set()),
    10: ("identity", "critical", "incident", "chain", set()),
    12: ("identity", "critical", "incident", "event", set()),
    13: ("identity", "high", "incident", "event", set()),
    16: ("identity", "low", "incident", "event", {"audience", "resource"}),
    17: ("identity", "medium", "incident", "event", {"act"}),
    22: ("identity", "medium", "incident", "event", set()),
    27: ("scope", "high", "incident", "event", {"scope"}),
    28: ("scope", "high", "incident", "event", set()),
    29: ("scope", "critical", "incident", "event", set()),
    30: ("scope", "medium", "incident", "event", set()),
    31: ("scope", "high", "incident", "event", set()),
    33: ("scope", "medium", "incident", "event", set()),
    35: ("scope", "high", "incident", "event", {"consent"}),
    38: ("scope", "high", "incident", "event", set()),
    42: ("scope", "high", "incident", "chain", set()),
    43: ("scope", "high", "incident", "chain", set()),
    44: ("scope", "high", "incident", "event", set()),
    46: ("scope", "medium", "incident", "event", set()),
    53: ("audit", "high", "incident", "event", {"prompt"}),
    54: ("audit", "high", "incident", "chain", {"prompt", "tool_call.prompt"}),
    55: ("audit", "critical", "incident", "chain", set()),
    56: ("audit", "medium", "incident", "chain", {"tool_response", "tool_call.response"}),
    57: ("audit", "medium", "incident", "event", {"correlation"}),
    58: ("audit", "medium", "incident", "event", set()),
    59: ("audit", "high", "incident", "chain", set()),
    60: ("audit", "high", "incident", "chain", {"tool_call", "tool_call.correlation", "access.correlation"}),
    65: (
        *("audit", "medium", "incident", "chain"),
        {
            *("prompt", "tool_call.prompt", "tool_call.correlation", "access.correlation", "tool_call.user"),
            *("tool_response", "tool_call.response", "tool_call.scope", "access.user"),
        },
    ),
    67: ("exposure", "high", "posture", "event", set()),
    68: ("exposure", "high", "posture", "event", set()),
    69: ("exposure", "critical", "posture", "event", set()),
    70: ("exposure", "medium", "posture", "event", set()),
    72: ("exposure", "medium", "incident", "event", set()),
    74: ("exposure", "high", "incident", "event", set()),
    79: ("connectors", "high", "incident", "event", set()),
    80: ("connectors", "medium", "posture", "event", set()),
    82: ("connectors", "high", "incident", "event", set()),
    83: ("connectors", "high", "incident", "chain", set()),
    **{number: ("audit", "low", "posture", "event", set()) for number in (95, 96, 97, 98, 99)},
    100: ("audit", "medium", "incident", "chain", {"access.agent", "access.act"}),
    101: (
        *("audit", "medium", "incident", "chain"),
        {f"{stage}.correlation" for stage in ("decision", "tool_call", "tool_response", "access")},
    ),
}
EACH_RULE = pytest.mark.parametrize("rule", list(RULES), ids=lambda rule: rule.stem)
REFERENCE = re.compile(
    r"https://(www\.rfc-editor\.org/rfc/rfc\d+\.html#section-[\d.]+"
    r"|modelcontextprotocol\.io/(specification|docs)/2026-07-28/\S+"
    r"|owasp\.org/www-project-mcp-top-10/2025/\S+"
    r"|www\.w3\.org/TR/trace-context/#\S+)"
)


def test_the_catalogue_is_there() -> None:
    assert {rule.number for rule in RULES} == set(CATALOGUE)


@EACH_RULE
def test_a_rule_has_chapter_level_kind_and_service_of_its_catalogue_entry(rule: Rule) -> None:
    assert (rule.chapter, rule.level, rule.kind, rule.service) == CATALOGUE[rule.number or 0][:4]


@EACH_RULE
def test_an_absence_rule_spares_exactly_the_blindness_that_would_explain_the_absence(rule: Rule) -> None:
    spared = {
        str(value)
        for part in rule.parts
        for name, detection in part.detection.detections.items()
        if name.startswith("filter_main_blind")
        for item in _items(detection)
        if item.field in {"event.blind", "chain.blind"}
        for value in item.value
    }
    assert spared == CATALOGUE[rule.number or 0][4]


def _items(detection: Any) -> Any:
    for part in detection.detection_items:
        yield from [part] if hasattr(part, "field") else _items(part)


@EACH_RULE
def test_a_rule_reads_only_fields_of_its_schema(rule: Rule) -> None:
    known = CHAINS.fields if rule.service == "chain" else EVENTS.fields
    assert rule.reads <= set(known)
    assert frozenset().union(*(fields_read(meaning(part)) for part in rule.parts)) <= rule.reads


@EACH_RULE
def test_a_description_says_in_two_sentences_what_happens_and_why_it_matters(rule: Rule) -> None:
    assert len(re.findall(r"[.!?](?= |$)", " ".join((rule.sigma.description or "").split()))) == 2


@EACH_RULE
def test_references_are_a_section_a_specification_page_or_an_entry(rule: Rule) -> None:
    assert rule.sigma.references
    assert [r for r in rule.sigma.references if not REFERENCE.fullmatch(r)] == []


@EACH_RULE
def test_a_rule_is_tagged_for_owasp_mcp(rule: Rule) -> None:
    assert any(re.fullmatch(r"owasp\.mcp\d\d-2025", str(tag)) for tag in rule.sigma.tags)


@EACH_RULE
def test_a_rule_says_which_stages_it_needs_and_what_an_analyst_looks_at(rule: Rule) -> None:
    assert rule.stages
    assert rule.fields


@EACH_RULE
@pytest.mark.parametrize("known", [True, False], ids=["all known", "nothing known"])
def test_the_sentence_reads_as_one_sentence(rule: Rule, known: bool) -> None:  # noqa: FBT001
    counted = {COUNT: 7, VALUES: 5}
    values = dict.fromkeys((*EVENTS.fields, *CHAINS.fields), "value") if known else {}
    sentence = render(rule.sentence, values | counted)
    assert sentence[0].isupper() or sentence.startswith("value")
    assert sentence.endswith(".")
    assert sentence.count("(unknown)") <= 1


@EACH_RULE
def test_posture_is_told_once_a_day_for_each_entity_and_incidents_of_a_chain_for_each_chain(rule: Rule) -> None:
    if rule.kind == "posture":
        assert rule.period_sec == 86_400
        assert rule.group_by in {("mcp.server.name",), ("event.dataset",)}
    elif rule.service == "chain":
        assert rule.group_by == ("chain.id",)


@EACH_RULE
def test_cases_prove_every_selection_filter_and_false_positive(rule: Rule) -> None:
    quiet = {case.proves for case in CASES[rule.stem] if not case.fires}
    assert proven(rule.judged) - quiet == set()
    assert any(case.fires for case in CASES[rule.stem])


@EACH_RULE
def test_a_rule_that_the_register_matters_to_is_proven_with_and_without_one(rule: Rule) -> None:
    if rule.needs_register or {"agents", "servers", "people"} & set(rule.sharpened_by):
        registers = [case.register for case in CASES[rule.stem]]
        assert None in registers
        assert any(isinstance(register, dict) for register in registers)


def test_cases_and_rules_come_in_pairs() -> None:
    cases = {path.name.removesuffix(".cases.json") for path in ROOT.rules.rglob("*.cases.json")}
    assert cases == {path.stem for path in ROOT.rules.rglob("*.yml")}


# --- what the loader says of a rule that is not right


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A content root of its own, with two real rules."""
    shutil.copytree(ROOT.schemas, tmp_path / "schemas")
    for name in ("orphan_write", "tool_call_without_prompt"):
        real = ROOT.rules / "audit" / f"mcp_{name}.yml"
        (tmp_path / "rules" / "audit").mkdir(parents=True, exist_ok=True)
        shutil.copy(real, tmp_path / "rules" / "audit" / real.name)
    return tmp_path


def spoilt(home: Path, old: str, new: str, name: str = "mcp_tool_call_without_prompt.yml") -> list[str]:
    """What the loader says after a change of one rule."""
    path = home / "rules" / "audit" / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return said(home)


def said(home: Path) -> list[str]:
    with pytest.raises(Mistakes) as caught:
        load_rules(home / "rules")
    return [str(mistake).replace(str(home), "HOME") for mistake in caught.value.found]


RULE_FILE = "HOME/rules/audit/mcp_tool_call_without_prompt.yml"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("chain.stage:", "chain.stge:", "'chain.stge' is not a field of an event; did you mean chain.stage?"),
        ("service: event", "service: chain", "'chain.stage' is not a field of a chain record"),
        ("service: event", "service: packet", "logsource is product mcp with service event or chain"),
        ("not filter_main_blind", "not filter_main_blnd", "this is no Sigma rule:"),
        ("level: high", "level: huge", "this is no Sigma rule: 'huge' is not a valid Sigma rule level"),
        ("level: high", "", "the rule has no level; it is one of informational, low, medium, high, critical"),
        ("id: ", "x: ", "the rule has no id; give it a UUID of version 4"),
        ("title: ", "title: [", "this is not YAML:"),
        ("title: ", "tags:\ntitle: ", "the key 'tags' occurs twice"),
        ("chain.stage: tool_call", "chain.stage|near: tool_call", "this is no Sigma rule:"),
    ],
    ids=["field", "service", "logsource", "condition", "level", "no level", "no id", "yaml", "twice", "modifier"],
)
def test_a_broken_rule_is_named_with_its_line_and_what_to_do(home: Path, old: str, new: str, message: str) -> None:
    found = spoilt(home, old, new)
    assert any(re.match(rf"{RULE_FILE}:\d+: {re.escape(message)}", each) for each in found), found


def test_the_line_of_an_unknown_field_is_that_of_the_field(home: Path) -> None:
    (mistake,) = spoilt(home, "event.blind: prompt", "event.blinds: prompt")
    line = int(mistake.split(":")[1])
    text = (home / "rules" / "audit" / "mcp_tool_call_without_prompt.yml").read_text(encoding="utf-8")
    assert "event.blinds" in text.splitlines()[line - 1]


def test_all_mistakes_of_all_files_come_at_once(home: Path) -> None:
    path = home / "rules" / "audit" / "mcp_orphan_write.yml"
    path.write_text(path.read_text(encoding="utf-8").replace("chain.orphan_write", "chain.orphan"), encoding="utf-8")
    found = spoilt(home, "chain.prompt.id|exists", "chain.promt.id|exists")
    assert [each.partition(": ")[2] for each in found] == [
        "'chain.orphan' is not a field of a chain record" + (f"; did you mean {near}?" if near else "")
        for near in [CHAINS.closest("chain.orphan")]
    ] + ["'chain.promt.id' is not a field of an event; did you mean chain.prompt.id?"]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("audit/tool_call.yml", "the file of a rule is called mcp_<stem>.yml"),
        ("audit/mcp_tool_call.yaml", "the file of a rule is called mcp_<stem>.yml"),
        ("mcp_tool_call.yml", "a rule lies in the folder of its chapter"),
        ("audit/more/mcp_tool_call.yml", "a rule lies in the folder of its chapter"),
    ],
)
def test_a_rule_in_the_wrong_place_or_by_the_wrong_name_is_refused(home: Path, place: str, message: str) -> None:
    (home / "rules" / place).parent.mkdir(exist_ok=True)
    shutil.move(home / "rules" / "audit" / "mcp_tool_call_without_prompt.yml", home / "rules" / place)
    assert any(message in each for each in said(home))


def test_two_rules_with_one_id_are_refused(home: Path) -> None:
    folder = home / "rules" / "audit"
    shutil.copy(folder / "mcp_orphan_write.yml", folder / "mcp_orphan_write_two.yml")
    (mistake,) = said(home)
    assert re.search(r"mcp_orphan_write_two.yml: its id [0-9a-f-]{36} is that of mcp_orphan_write.yml too", mistake)


@pytest.mark.parametrize(
    ("parameters", "line", "message"),
    [
        ({"orphan_writ": {}}, 5, "there is no rule 'orphan_writ'; remove its entry or rename it"),
        (
            {"orphan_write": {"group_by": ["user.id"]}},
            6,
            "group_by of orphan_write: 'user.id' is not a field of a chain",
        ),
        (
            {"orphan_write": {"sentence": "{chain.user} wrote."}},
            6,
            "sentence of orphan_write: 'chain.user' is not a field",
        ),
        ({"orphan_write": {"sentence": "{chain.users wrote."}}, 6, "a brace without a field"),
        ({"orphan_write": {"period": "1 hour"}}, 6, "rules.orphan_write.period: '1 hour' does not match"),
        ({"orphan_write": {"needs": ["servants"]}}, 7, "rules.orphan_write.needs.0: 'servants' is not one of"),
        ({"orphan_write": {"cind": "posture"}}, 5, "rules.orphan_write: Additional properties are not allowed"),
    ],
    ids=["stranger", "group_by", "sentence", "brace", "period", "table", "key"],
)
def test_a_mistake_in_the_parameters_is_named_with_its_line(
    home: Path, parameters: dict[str, Any], line: int, message: str
) -> None:
    all_rules = {"kind": "incident", "group_by": ["chain.id"], "period": "1h"}
    text = '{\n"defaults": {"all": ' + json.dumps(all_rules) + '},\n"rules": {\n'
    text += ",\n".join(f"\n{json.dumps(stem)}: {json.dumps(values, indent=0)}" for stem, values in parameters.items())
    (home / "rules" / "parameters.json").write_text(text + "}}", encoding="utf-8")
    (mistake,) = said(home)
    assert mistake.startswith(f"HOME/rules/parameters.json:{line}: {message}")


def test_parameters_that_are_no_json_are_named_with_their_line(home: Path) -> None:
    (home / "rules" / "parameters.json").write_text('{\n"defaults": }', encoding="utf-8")
    assert said(home) == ["HOME/rules/parameters.json:2: this is not JSON: Expecting value"]


def test_a_rule_without_parameters_takes_all_defaults(home: Path) -> None:
    (rule,) = load_rules(home / "rules").select(["orphan_write"])
    assert (rule.number, rule.kind, rule.group_by, rule.sentence) == (None, "incident", ("chain.id",), f"{rule.title}.")


def test_a_rules_own_value_comes_before_its_levels_its_chapters_and_that_of_all(home: Path) -> None:
    defaults = {
        "all": {"kind": "incident", "group_by": ["chain.id"], "period": "1h"},
        "service": {"chain": {"period": "2h"}},
        "chapter": {"audit": {"period": "3h"}},
        "level": {"high": {"period": "4h"}},
    }
    document = {"defaults": defaults, "rules": {"orphan_write": {"period": "5h"}}}
    periods = []
    for layer in ("rules", "level", "chapter", "service", "all"):
        (home / "rules" / "parameters.json").write_text(json.dumps(document), encoding="utf-8")
        (rule,) = load_rules(home / "rules").select(["orphan_write"])
        periods.append(rule.period_sec // 3600)
        if layer == "rules":
            document["rules"] = {}
        else:
            defaults.pop(layer, None)
    assert periods == [5, 4, 3, 2, 1]


# --- choosing rules


@pytest.mark.parametrize(
    ("selector", "stems"),
    [
        ("orphan_write", ["orphan_write"]),
        ("mcp_orphan_write", ["orphan_write"]),
        ("60", ["orphan_write"]),
        ("mcp_orphan_write.yml", ["orphan_write"]),
        ("rules/audit/mcp_orphan_write.yml", ["orphan_write"]),
        ("*_write", ["orphan_write"]),
        (next(rule.id for rule in RULES if rule.number == 60), ["orphan_write"]),
        ("source_blind_to_*", [rule.stem for rule in RULES if 95 <= (rule.number or 0) <= 99]),
    ],
)
def test_a_rule_is_chosen_by_stem_number_id_file_or_glob(selector: str, stems: list[str]) -> None:
    assert [rule.stem for rule in RULES.select([selector])] == stems


def test_levels_and_chapters_narrow_the_choice() -> None:
    chosen = RULES.select(levels=["critical"], chapters=["identity"])
    assert {(rule.level, rule.chapter) for rule in chosen} == {("critical", "identity")}


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"selectors": ["orphan_writ"]}, "orphan_writ: no rule has this name; did you mean orphan_write?"),
        ({"selectors": ["61"]}, "61: no rule has this name; 'countersign rules' lists them"),
        ({"levels": ["hihg"]}, "hihg: no level has this name; did you mean high?"),
        ({"chapters": ["audits"]}, "audits: no chapter has this name; did you mean audit?"),
    ],
)
def test_a_name_that_names_nothing_gets_the_closest_one(choice: dict[str, list[str]], sentence: str) -> None:
    with pytest.raises(Mistakes) as caught:
        RULES.select(**choice)
    assert str(caught.value) == sentence


# --- the command


def test_the_command_lists_every_rule() -> None:
    result = CliRunner().invoke(rules_command, env={"COLUMNS": "160"})
    assert result.exit_code == 0
    assert [rule.stem for rule in RULES if rule.stem not in result.output] == []


def test_the_command_lists_as_json_what_was_asked_for() -> None:
    result = CliRunner().invoke(rules_command, ["--format", "json", "--level", "critical", "--chapter", "exposure"])
    (rule,) = json.loads(result.output)["rules"]
    assert (rule["number"], rule["stem"], rule["kind"]) == (69, "unauthenticated_call_served", "posture")
    assert rule["group_by"] == ["mcp.server.name"]


# --- the guide


def test_the_rule_of_the_guide_loads_passes_every_validator_and_is_proven_to_the_last_term(tmp_path: Path) -> None:
    shutil.copytree(ROOT.schemas, tmp_path / "schemas")
    guide = (ROOT.path / "docs" / "writing-a-rule.md").read_text(encoding="utf-8")
    blocks = [textwrap.dedent(block) for block in re.findall(r"(?:^(?: {4}.*)?\n)+", guide, re.MULTILINE)]
    rule, cases, entry = (
        next(block.strip() for block in blocks if block.strip().startswith(start))
        for start in ("title:", '{\n  "$schema"', '"restricted_read')
    )
    chapter = tmp_path / "rules" / "scope"
    chapter.mkdir(parents=True)
    (chapter / "mcp_restricted_read_without_scope.yml").write_text(rule, encoding="utf-8")
    (chapter / "mcp_restricted_read_without_scope.cases.json").write_text(cases, encoding="utf-8")
    parameters = json.loads((ROOT.rules / "parameters.json").read_text(encoding="utf-8"))
    parameters["rules"] = json.loads(f"{{{entry}}}")
    (tmp_path / "rules" / "parameters.json").write_text(json.dumps(parameters), encoding="utf-8")

    rules = load_rules(tmp_path / "rules")
    assert check([sigma for each in rules for sigma in each.documents], {"event": EVENTS, "chain": CHAINS}) == []
    subjects = paired({r.path: r.judged for r in rules}, tmp_path / "rules", ROOT.schemas / "cases.schema.json", EVENTS)
    judge = duckdb(subjects, EVENTS, CHAINS, SourceMaps.load(ROOT.sources))
    told = list(as_written(subjects, judge, Bases.honest(), EVENTS))
    assert [cell.case.sentence for cell, answer in told if answer.engine != cell.case.fires] == []
    (found,) = survivals(told, EVENTS, CHAINS, {})
    assert (found.survivors, found.wrong) == ((), ())


# --- the honest world


@pytest.mark.parametrize("tables", [{}, base_register()], ids=["without a register", "with the register"])
def test_no_rule_fires_on_the_honest_chain(tables: dict[str, Any]) -> None:
    stages = ("prompt", "decision", "tool_call", "tool_response", "token", "consent", "access", "change")
    judge = duckdb(SUBJECTS, EVENTS, CHAINS, SourceMaps.load(ROOT.sources))
    verdicts = judge([base_event(stage) for stage in stages], tables, None)
    hits = {**verdicts.event_hits, **verdicts.chain_hits}
    assert {stem: found for stem, found in hits.items() if found} == {}
    assert len(verdicts.chains) == 1
