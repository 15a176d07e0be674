"""The real rules pass every SigmaHQ validator offline, and each validator can fail."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaRuleLocation
from sigma.rule import SigmaRule

from backends.errors import Mistakes
from backends.vocabulary import Vocabulary
from harness import sigma_check
from harness.commands.rules import command as rules_command
from harness.paths import Root
from harness.ruleset import load_rules
from harness.taxonomy import DATA

ROOT = Root.default()
VOCABULARIES = {service: Vocabulary.load(ROOT.schemas / f"{service}.schema.json") for service in ("event", "chain")}
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")

GOOD: dict[str, Any] = {
    "title": "Prompt-Less Tool Invocation",
    "id": "7d0f3f3e-8d0b-4f0e-9d1b-6f6a1c1f5b11",
    "status": "experimental",
    "description": "A tool call names no prompt. Nobody can say what was asked.",
    "references": ["https://www.rfc-editor.org/rfc/rfc8693.html#section-1.1"],
    "author": "countersign contributors",
    "date": date(2026, 11, 23),
    "tags": ["owasp.mcp08-2025", "atlas.aml.t0053", "iso.42001-a.6.2.8"],
    "logsource": {"product": "mcp", "service": "event"},
    "detection": {
        "selection": {"chain.stage": "tool_call", "chain.prompt.id|exists": False},
        "filter_main_blind": {"event.blind": "prompt"},
        "condition": "selection and not filter_main_blind",
    },
    "falsepositives": ["Servers whose source map does not declare it yet"],
    "level": "high",
}
WINDOWS = {"logsource": {"product": "windows", "category": "process_creation"}}


def selecting(selection: Any, condition: str = "selection", **others: Any) -> dict[str, Any]:
    return {"detection": {"selection": selection, **others, "condition": condition}}


BAD: dict[str, dict[str, Any]] = {
    # author, date, description, level, status, title, references
    "sigmahq_author_existence": {"author": None},
    "sigmahq_date_existence": {"date": None},
    "sigmahq_modified_date_order": {"modified": date(2025, 1, 1)},
    "sigmahq_modified_without_date": {"date": None, "modified": date(2026, 11, 24)},
    "sigmahq_redundant_modified": {"modified": date(2026, 11, 23)},
    "sigmahq_description_existence": {"description": None},
    "sigmahq_description_length": {"description": "Too short."},
    "sigmahq_link_in_description": {"description": "See https://owasp.org for what it is about.", "references": None},
    "sigmahq_level_existence": {"level": None},
    "sigmahq_status_existence": {"status": None},
    "sigmahq_status": {"status": "deprecated"},
    "sigmahq_status_to_high": {"status": "stable", "date": date(2999, 1, 1)},
    "sigmahq_title_case": {"title": "Prompt-Less Tool invocation"},
    "sigmahq_title_end": {"title": "Prompt-Less Tool Invocation."},
    "sigmahq_title_length": {"title": "Prompt " * 20},
    "sigmahq_title_start": {"title": "Detects Prompt-Less Tool Invocation"},
    "sigmahq_github_link": {"references": ["https://github.com/SigmaHQ/sigma/blob/master/README.md"]},
    "sigmahq_mitre_link": {"references": ["https://attack.mitre.org/techniques/T1078"]},
    "duplicate_references": {"references": ["https://owasp.org/a", "https://owasp.org/a"]},
    # false positives
    "sigmahq_falsepositives_banned_word": {"falsepositives": ["None"]},
    "sigmahq_falsepositives_capital": {"falsepositives": ["servers of a partner"]},
    "sigmahq_falsepositives_typo_word": {"falsepositives": ["Unkown"]},
    # fields and names of fields
    "sigmahq_fields_existence": {"fields": ["user.id"]},
    "sigmahq_unknown_field": {"register": "agents"},
    "sigmahq_invalid_fieldname": selecting({"chain.stages": "tool_call"}),
    "sigmahq_fieldname_cast": selecting({"Chain.Stage": "tool_call"}),
    "sigmahq_space_field_name": selecting({"chain stage": "tool_call"}),
    "sigmahq_field_user": selecting({"user.name": "AUTORITE NT"}),
    "sigmahq_invalid_hash_kv": {**WINDOWS, **selecting({"Hashes": "MD4=1"})},
    "sigmahq_redundant_field": {**WINDOWS, **selecting({"EventID": 1})},
    "fieldname_logsource": {"logsource": {"product": "mcp", "service": "event", "stage": "token"}},
    # log source, detection
    "sigmahq_logsource_unknown": {"logsource": {"product": "mcp", "service": "packet"}},
    "sigmahq_sysmon_missing_eventid": {"logsource": {"product": "windows", "service": "sysmon"}},
    "specific_instead_of_generic_logsource": {
        "logsource": {"product": "windows", "service": "sysmon"},
        **selecting({"EventID": 1}),
    },
    "sigmahq_category_event_id": {**WINDOWS, **selecting({"EventID": 1})},
    "sigmahq_category_windows_provider_name": {**WINDOWS, **selecting({"Provider_Name": "Microsoft-Windows-Sysmon"})},
    "sigmahq_unsupported_regex_group_construct": selecting({"user.id|re": "(?=svc)"}),
    # condition
    "all_of_them_condition": selecting({"user.id": "a"}, "all of them", selection_b={"user.name": "b"}),
    "them_condition_with_single_detection": selecting({"user.id": "a"}, "1 of them"),
    "sigmahq_ofthem_condition": selecting({"user.id": "a"}, "1 of them"),
    "sigmahq_ofselection_condition": selecting(
        {"user.id": "a"}, "selection and 1 of other_*", other_a={"user.name": "b"}
    ),
    "sigmahq_missing_asterisk_condition": selecting({"user.id": "a"}, "1 of selection"),
    "dangling_detection": selecting({"user.id": "a"}, "selection", selection_unused={"user.name": "b"}),
    "dangling_condition": selecting({"user.id": "a"}, "selection and 1 of other_*"),
    # modifiers, values
    "sigmahq_invalid_all_modifier": selecting({"oauth.scope.presented|all": "crm.read"}),
    "sigmahq_field_duplicate_value": selecting({"chain.stage": ["token", "TOKEN"]}),
    "invalid_modifier_combinations": selecting({"user.roles|all": ["a", "b"]}),
    "control_character": selecting({"user.id": "\tana"}),
    "double_wildcard": selecting({"user.id": "a**b"}),
    "number_as_string": selecting({"http.response.status_code": "401"}),
    "wildcards_instead_of_modifiers": selecting({"user.id": "svc-*"}),
    "escaped_wildcard": selecting({"user.id": r"svc\*"}),
    # tags
    "attacktag": {"tags": ["attack.t9999"]},
    "d3_fendtag": {"tags": ["d3fend.d3-none"]},
    "cartag": {"tags": ["car.1"]},
    "cvetag": {"tags": ["cve.none"]},
    "stptag": {"tags": ["stp.9"]},
    "detection_tag": {"tags": ["detection.guess"]},
    "tlptag": {"tags": ["tlp.blue"]},
    "tlpv1_tag": {"tags": ["tlp.clear"]},
    "tlpv2_tag": {"tags": ["tlp.white"]},
    "sigmahq_tags_tlp": {"tags": ["tlp.red"]},
    "sigmahq_tags_unique_tlp": {"tags": ["tlp.clear", "tlp.green"]},
    "sigmahq_tags_unique_detection": {"tags": ["detection.dfir", "detection.threat-hunting"]},
    "sigmahq_tags_techniques_without_tactics": {"tags": ["attack.t1078.004"]},
    "duplicate_tag": {"tags": ["owasp.mcp08-2025", "owasp.mcp08-2025"]},
    "tag_format": {"tags": ["owasp.MCP 08"]},
    "namespace_tag": {"tags": ["oswap.mcp08-2025"]},
    "taxonomy_tag": {"tags": ["owasp.mcp11-2025"]},
    # metadata
    "identifier_existence": {"id": None},
    "custom_attributes": {"realted": []},
}
FILE_NAMES = {
    "sigmahq_filename_prefix": "prompt_less_tool_call.yml",
    "sigmahq_filename_convention": "mcp_Prompt-Less.yml",
    "filename_length": "mcp_a.yml",
    "sigmahq_tags_detection": "rules-threat-hunting/mcp_prompt_less.yml",
}
TWICE = {
    "duplicate_title": {"id": "0d2c1c2b-3b56-4d1a-8e0f-0a4f5f2f9a01"},
    "identifier_uniqueness": {"title": "Another Title"},
    "duplicate_filename": {"id": "0d2c1c2b-3b56-4d1a-8e0f-0a4f5f2f9a01", "title": "Another Title"},
}
CORRELATION: dict[str, Any] = {
    "title": "Many Calls",
    "id": "0d2c1c2b-3b56-4d1a-8e0f-0a4f5f2f9a01",
    "correlation": {
        "type": "event_count",
        "rules": ["one"],
        "group-by": ["user.id"],
        "timespan": "1h",
        "condition": {"gte": 5},
    },
}
CORRELATIONS: dict[str, dict[str, Any]] = {
    "sigmahq_correlation_filename_prefix": {},
    "sigmahq_correlation_group_by_existence": {"group-by": None},
    "sigmahq_correlation_rules_minimum": {"type": "temporal", "condition": None},
}


def written(folder: Path, rule: dict[str, Any], name: str = "mcp_prompt_less_call.yml") -> Any:
    """The rule as read from a file, so that validators of file names have one."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(rule, sort_keys=False), encoding="utf-8")
    kind = SigmaCorrelationRule if "correlation" in rule else SigmaRule
    return kind.from_dict(rule, collect_errors=True, source=SigmaRuleLocation(path))


def changed(rule: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = {**copy.deepcopy(rule), **changes}
    return {key: value for key, value in merged.items() if value is not None}


def complaining(rules: list[Any], asked: str | None = None) -> set[str]:
    """Names of the validators, of all or of the one asked, that have something against the rules."""
    complaints = set()
    with sigma_check.pinned(VOCABULARIES):
        for name, validator in sigma_check.validators().items():
            if asked not in {None, name}:
                continue
            instance = validator()
            if [issue for rule in rules for issue in instance.validate(rule)] + list(instance.finalize()):
                complaints.add(name)
    return complaints


def test_every_rule_passes_every_validator() -> None:
    rules = [sigma for rule in load_rules(ROOT.rules) for sigma in rule.documents]
    assert len(rules) >= 24
    assert sigma_check.check(rules, VOCABULARIES) == []


def test_the_good_rule_that_the_bad_ones_are_made_from_is_good(tmp_path: Path) -> None:
    assert complaining([written(tmp_path, GOOD)]) == set()


@pytest.mark.parametrize("validator", BAD)
def test_a_validator_refuses_a_bad_rule(validator: str, tmp_path: Path) -> None:
    assert complaining([written(tmp_path, changed(GOOD, BAD[validator]))], validator) == {validator}


@pytest.mark.parametrize("validator", FILE_NAMES)
def test_a_validator_refuses_a_bad_place_or_name_of_a_file(validator: str, tmp_path: Path) -> None:
    assert complaining([written(tmp_path, GOOD, FILE_NAMES[validator])], validator) == {validator}


@pytest.mark.parametrize("validator", TWICE)
def test_a_validator_refuses_two_rules_that_share_what_must_be_their_own(validator: str, tmp_path: Path) -> None:
    other = written(tmp_path / "other", changed(GOOD, TWICE[validator]))
    assert complaining([written(tmp_path, GOOD), other], validator) == {validator}


@pytest.mark.parametrize("validator", CORRELATIONS)
def test_a_validator_refuses_a_bad_correlation(validator: str, tmp_path: Path) -> None:
    correlation = changed(CORRELATION["correlation"], CORRELATIONS[validator])
    assert complaining([written(tmp_path, {**CORRELATION, "correlation": correlation})], validator) == {validator}


def test_every_installed_validator_was_seen_to_refuse_something() -> None:
    assert set(sigma_check.validators()) == {*BAD, *FILE_NAMES, *TWICE, *CORRELATIONS}


def test_a_mistake_names_file_line_and_value(tmp_path: Path) -> None:
    rule = written(tmp_path, changed(GOOD, {"tags": ["owasp.mcp08-2025", "owasp.mcp11-2025"]}))
    (mistake,) = sigma_check.check([rule], VOCABULARIES)
    line = Path(mistake.file).read_text(encoding="utf-8").splitlines()[mistake.line - 1]
    assert "owasp.mcp11-2025" in line
    assert mistake.message.startswith("UnknownTaxonomyTag: ")


def test_a_pinned_list_that_was_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(DATA, tmp_path / "data")
    (tmp_path / "data" / "attack.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(sigma_check, "DATA", tmp_path / "data")
    with pytest.raises(Mistakes, match=r"attack\.json: is not the list that SHA256SUMS pins"):
        sigma_check.issues([], VOCABULARIES)


def test_every_pinned_list_has_its_digest_and_its_line_in_the_readme() -> None:
    lists = {path.name for path in DATA.glob("*.json")}
    assert {line.split()[1] for line in (DATA / "SHA256SUMS").read_text(encoding="ascii").splitlines()} == lists
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert [name for name in sorted(lists) if f"`{name}`" not in readme] == []


def test_the_command_says_that_nothing_was_found() -> None:
    result = CliRunner().invoke(rules_command, ["--check"])
    assert result.exit_code == 0
    assert f"{len(load_rules(ROOT.rules))} rules, {len(sigma_check.validators())} validators: nothing" in result.output


def test_the_command_fails_and_names_the_place_when_a_rule_is_bad(tmp_path: Path) -> None:
    shutil.copytree(ROOT.schemas, tmp_path / "schemas")
    written(tmp_path / "rules" / "audit", changed(GOOD, {"title": "Prompt-Less Tool invocation"}))
    result = CliRunner().invoke(rules_command, ["--root", str(tmp_path), "--check", "--format", "json"])
    assert result.exit_code == 1
    (issue,) = json.loads(result.output)["issues"]
    assert issue["file"].endswith("mcp_prompt_less_call.yml")
    assert "invocation" in issue["message"]


def test_the_stock_command_line_passes_offline_with_one_validator_excluded(tmp_path: Path) -> None:
    sigma_check.fill_stock_cache(tmp_path, VOCABULARIES)
    sigma = Path(sys.executable).with_name("sigma")
    result = subprocess.run(
        [sigma, "check", "--fail-on-issues", "--exclude", "namespace_tag", ROOT.rules],
        env={**os.environ, **NO_NETWORK, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Found 0 errors, 0 condition errors and 0 issues." in result.stdout
    assert result.returncode == 0
