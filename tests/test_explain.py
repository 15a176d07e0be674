"""`countersign explain` says what a rule means, from the rule, the schema, the parameters and the cases alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from backends.vocabulary import Vocabulary
from harness.commands.explain import command
from harness.explain import Explanation, Reading, explain
from harness.paths import Root
from harness.ruleset import Rule, load_rules

ROOT = Root.default()
RULES = load_rules(ROOT.rules)
VOCABULARIES = {service: Vocabulary.load(ROOT.schemas / f"{service}.schema.json") for service in ("event", "chain")}


def explained(stem: str) -> Explanation:
    (rule,) = RULES.select([stem])
    return explain(rule, VOCABULARIES, ROOT.schemas / "cases.schema.json")


def reading(stem: str, field: str) -> Reading:
    return next(each for each in explained(stem).reads if each.field == field)


def said(*arguments: str) -> str:
    result = CliRunner().invoke(command, list(arguments), env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("rule", list(RULES), ids=lambda rule: rule.stem)
def test_every_rule_is_explained_with_all_that_it_reads_its_cases_and_its_sql(rule: Rule) -> None:
    explanation = explain(rule, VOCABULARIES, ROOT.schemas / "cases.schema.json")
    assert all(each.about and each.origin and each.missing for each in explanation.reads)
    assert {case["expect"] for case in explanation.cases} == {"fire", "quiet"}
    assert not explanation.duckdb.startswith("not expressible")
    assert [each.field for each in explanation.reads if f'"{each.field}"' not in explanation.duckdb] == []


@pytest.mark.parametrize(
    ("stem", "field", "missing"),
    [
        ("tool_call_without_prompt", "chain.prompt.id", "selection: its absence is what the rule looks for"),
        ("tool_call_without_prompt", "chain.stage", "selection: absent is unknown, and the rule stays quiet"),
        ("tool_call_without_prompt", "event.blind", "filter_main_blind: absent, the filter does not apply"),
        ("orphan_write", "chain.orphan_write", "selection: absent is unknown, and the rule stays quiet"),
    ],
)
def test_it_says_what_a_missing_field_means(stem: str, field: str, missing: str) -> None:
    assert reading(stem, field).missing == (missing,)


def test_it_says_who_supplies_a_field() -> None:
    assert reading("orphan_write", "chain.orphan_write").origin.startswith("Computed by the view")
    assert (
        reading("service_actor_without_user", "user.id").origin
        == "From the log (a name of Elastic Common Schema 9.2.0)."
    )
    assert reading("tool_call_without_prompt", "chain.prompt.id").origin == "From the log."


def test_it_names_the_blindness_that_keeps_a_rule_silent_and_not_the_blindness_that_one_reports() -> None:
    assert explained("delegation_dropped").blind == ("tool_call.user", "access.user")
    assert explained("source_blind_to_prompt").blind == ()


def test_it_says_what_the_tags_stand_for() -> None:
    tags = explained("tool_call_without_prompt").tags
    assert tags["owasp.mcp08-2025"] == "Lack of Audit and Telemetry"
    assert tags["atlas.aml.t0053"] == "AI Agent Tool Invocation"


def test_it_names_the_register_that_a_rule_cannot_do_without() -> None:
    assert explained("unregistered_server_called").needs_register == ("servers",)
    assert "the register's servers; without it the rule stays quiet" in said("79")


@pytest.mark.parametrize(
    "part",
    [
        "53. Prompt-Less Tool Invocation",
        "What and why",
        "selection and not filter_main_blind",
        "chain.prompt.id|exists: false",
        "It is silent where the source is blind to",
        "one for each user.key, user.effective.id, gen_ai.agent.id, mcp.server.name and hour",
        "Servers that never log prompts and whose source map does not declare it yet",
        "https://www.w3.org/TR/trace-context/#traceparent-header",
        "A tool call names no prompt. What was asked cannot be found.",
        'coalesce(lower("chain.stage")',
    ],
)
def test_the_text_holds_every_part(part: str) -> None:
    assert part in said("53")


def test_a_glob_explains_every_rule_that_it_names() -> None:
    assert said("source_blind_to_*").count("What and why") == 5


def test_as_json_it_is_one_document_a_rule() -> None:
    one: dict[str, Any] = json.loads(said("53", "--format", "json"))
    assert (one["number"], one["stem"], one["period_sec"]) == (53, "tool_call_without_prompt", 3600)
    assert len(json.loads(said("source_blind_to_*", "--format", "json"))) == 5


def test_an_unknown_rule_is_one_sentence_with_the_closest_name_and_exit_code_two() -> None:
    countersign = Path(sys.executable).with_name("countersign")
    result = subprocess.run([countersign, "explain", "orphan_writ"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "orphan_writ: no rule has this name; did you mean orphan_write?\n"
