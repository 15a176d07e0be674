"""Weaken one term of a rule and a case fails; what survives can make no difference, and says why."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from backends.errors import Mistakes
from backends.vocabulary import Vocabulary
from harness.commands.test import command
from harness.judging import survivals_of_pack
from harness.mutate import Mutant, mutants
from harness.own_proof import survivals_of_folders
from harness.pairing import paired, stem
from harness.paths import Root
from harness.ruleset import load_rules
from harness.survival import Survival, score
from harness.widening import without_a_part

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.matrix import Subject

ROOT = Root.default()
EVENTS = Vocabulary.load(ROOT.event_schema)
PACK = sorted(ROOT.rules.rglob("*.yml"))

# --- the pack


QUICK = 8
"""One rule in so many is weakened in the quick run; the slow one weakens all."""

EACH_RULE = pytest.mark.parametrize(
    ("rule", "every"),
    [
        *(pytest.param(rule, QUICK, id=stem(rule)) for rule in PACK[::QUICK]),
        *(pytest.param(rule, 1, id=f"{stem(rule)} of all", marks=pytest.mark.slow) for rule in PACK),
    ],
)


@cache
def pack(every: int) -> dict[str, Survival]:
    """One rule in so many, their facts computed once."""
    return {each.stem: each for each in survivals_of_pack(ROOT, [stem(rule) for rule in PACK[::every]])}


@pytest.mark.xdist_group("mutation")
@EACH_RULE
def test_a_case_fails_on_every_mutant_of_a_rule_but_for_those_that_are_listed_with_a_reason(
    rule: Path, every: int
) -> None:
    found = pack(every)[stem(rule)]
    assert found.mutants > 0
    assert found.unexplained == ()


@pytest.mark.xdist_group("mutation")
@EACH_RULE
def test_what_is_listed_as_a_survivor_survives(rule: Path, every: int) -> None:
    assert pack(every)[stem(rule)].stale == ()


@pytest.mark.xdist_group("mutation")
@pytest.mark.parametrize("every", [QUICK, pytest.param(1, marks=pytest.mark.slow)])
def test_nineteen_of_twenty_mutants_are_killed(every: int) -> None:
    assert score(list(pack(every).values())) >= 0.95


# --- the mutants of a rule


def subject(tmp_path: Path, *documents: dict[str, Any], name: str = "mcp_small.yml") -> Subject:
    """A rule of one or several documents, with two cases that only make it complete."""
    head = {"status": "experimental", "level": "low", "logsource": {"product": "mcp", "service": "event"}}
    texts = []
    for number, document in enumerate(documents):
        own = {"title": f"Small Rule {number}", "id": f"0b5f2f6e-3a54-4a7c-9f3e-1f1f6f0f6c1{number}"} | head
        if "correlation" in document:
            del own["logsource"]
        texts.append(yaml.safe_dump(own | document, sort_keys=False))
    chapter = tmp_path / "scope"
    chapter.mkdir()
    (chapter / name).write_text("---\n".join(texts), encoding="utf-8")
    case = {"case": "One.", "why": "So.", "base": "tool_call"}
    cases = [case | {"expect": "fire"}, case | {"case": "Two.", "expect": "quiet"}]
    (chapter / name.replace(".yml", ".cases.json")).write_text(json.dumps({"cases": cases}), encoding="utf-8")
    rules = load_rules(tmp_path, ROOT.schemas)
    (found,) = paired({r.path: r.judged for r in rules}, tmp_path, ROOT.schemas / "cases.schema.json", EVENTS)
    return found


def made(tmp_path: Path, **detection: Any) -> dict[str, Mutant]:
    """The mutants of a rule with these selections, by their words."""
    detection.setdefault("condition", "selection")
    return {m.words: m for m in mutants(subject(tmp_path, {"detection": detection}), EVENTS.fields)}


CALL = "chain.stage equals 'tool_call'"
ANA, BOB = "user.id equals 'u-ana'", "user.id equals 'u-bob'"
NO_READ = "not (oauth.scope.presented equals 'read:*')"


@pytest.mark.parametrize(
    ("detection", "words"),
    [
        (
            {"selection": {"user.id": "u-ana"}},
            {f"user.id contains 'u-ana' instead of {ANA}", f"user.id has any value instead of {ANA}"},
        ),
        (
            {"selection": {"chain.stage": "tool_call", "source.public": True}},
            {
                f"({CALL} or source.public equals true) instead of ({CALL} and source.public equals true)",
                f"without {CALL}",
                "without source.public equals true",
                f"chain.stage has any value instead of {CALL}",
                "source.public equals true, or it is absent",
                "source.public has any value instead of source.public equals true",
            },
        ),
        (
            {"selection": {"user.id": ["u-ana", "u-bob"]}},
            {
                f"({ANA} and {BOB}) instead of ({ANA} or {BOB})",
                f"without {ANA}",
                f"without {BOB}",
                f"user.id contains 'u-ana' instead of {ANA}",
                f"user.id contains 'u-bob' instead of {BOB}",
                f"user.id has any value instead of {ANA} or {BOB}",
            },
        ),
        (
            {
                "selection": {"user.id|exists": True},
                "filter_main_read": {"oauth.scope.presented|startswith": "read:"},
                "condition": "selection and not 1 of filter_main_*",
            },
            {
                f"(user.id exists or {NO_READ}) instead of (user.id exists and {NO_READ})",
                "without user.id exists",
                f"without {NO_READ}",
                f"forgotten: {NO_READ}",
                "oauth.scope.presented contains 'read:' instead of oauth.scope.presented equals 'read:*'",
                "oauth.scope.presented has any value instead of oauth.scope.presented equals 'read:*'",
            },
        ),
        (
            {"selection": {"oauth.scope.missing_count|gte": 2}},
            {
                "oauth.scope.missing_count gte 1 instead of oauth.scope.missing_count gte 2",
                "oauth.scope.missing_count gte 3 instead of oauth.scope.missing_count gte 2",
                "oauth.scope.missing_count has any value instead of oauth.scope.missing_count gte 2",
            },
        ),
        (
            {"selection": {"source.ip|cidr": "10.0.0.0/8"}},
            {
                "source.ip lies in 10.0.0.0/7 instead of source.ip lies in 10.0.0.0/8",
                "source.ip has any value instead of source.ip lies in 10.0.0.0/8",
            },
        ),
        (
            {"selection": {"user.effective.id|fieldref": "user.id"}},
            {
                "user.effective.id contains the field user.id instead of user.effective.id equals the field user.id",
                "user.effective.id has any value instead of user.effective.id equals the field user.id",
            },
        ),
        (
            {"selection": {"url.full|re|i": "(a|b)c?d"}},
            {
                "url.full in this letter case",
                "url.full without 'a'",
                "url.full without 'b'",
                "url.full without the option of 'c'",
                "url.full has any value instead of url.full matches /(a|b)c?d/",
            },
        ),
        ({"selection": {"user.id|contains": "ana"}}, {"user.id has any value instead of user.id equals '*ana*'"}),
        ({"selection": {"user.id|exists": False}}, set()),
    ],
    ids=["value", "and", "list", "filter", "bound", "network", "other field", "expression", "contains", "absence"],
)
def test_each_term_is_weakened_in_every_way_that_there_is(
    tmp_path: Path, detection: dict[str, Any], words: set[str]
) -> None:
    assert set(made(tmp_path, **detection)) == words


@pytest.mark.parametrize(
    ("words", "record"),
    [
        (f"without {CALL}", {"chain.stage": "prompt", "user.id": "u-ana", "source.public": True}),
        (f"without {ANA}", {"chain.stage": "tool_call", "source.public": True}),
        (f"user.id contains 'u-ana' instead of {ANA}", {"chain.stage": "tool_call", "user.id": "u-anabel", "source.public": True}),
        (f"user.id has any value instead of {ANA}", {"chain.stage": "tool_call", "user.id": "u-bob", "source.public": True}),
        ("source.public equals true, or it is absent", {"chain.stage": "tool_call", "user.id": "u-ana"}),
    ],
)  # fmt: skip
def test_a_mutant_asks_one_thing_less_than_the_rule(tmp_path: Path, words: str, record: Mapping[str, Any]) -> None:
    selection = {"chain.stage": "tool_call", "user.id": "u-ana", "source.public": True}
    rule = subject(tmp_path, {"detection": {"selection": selection, "condition": "selection"}})
    (mutant,) = (m for m in mutants(rule, EVENTS.fields) if m.words == words)
    assert (rule.verdicts([record]), mutant.fires([record])) == ((False,), True)
    assert (rule.verdicts([selection]), mutant.fires([selection])) == ((True,), True)


def test_a_value_that_no_other_word_of_its_list_holds_is_not_widened(tmp_path: Path) -> None:
    words = set(made(tmp_path, selection={"chain.stage": "token", "event.action": "revoke"}))
    assert "event.action contains 'revoke' instead of event.action equals 'revoke'" in words  # server_revoked
    assert not any(each.startswith("chain.stage contains") for each in words)


def test_a_list_of_all_the_words_that_there_are_is_any_value_already(tmp_path: Path) -> None:
    words = set(made(tmp_path, selection={"chain.correlation.flaw": ["malformed", "all_zero", "hostile"]}))
    assert not any("has any value" in each for each in words)


def test_two_mutants_of_a_rule_have_two_names(tmp_path: Path) -> None:
    twice = [{"source.public": True, "user.id": "a"}, {"source.public": True, "user.id": "b"}]
    named = [m.words for m in mutants(subject(tmp_path, {"detection": {"selection": twice, "condition": "selection"}}), EVENTS.fields)]  # fmt: skip
    assert "source.public equals true, or it is absent (2)" in named
    assert len(named) == len(set(named))


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("abc", {}),
        ("a|bc", {"'a'": "bc", "'bc'": "a"}),
        ("x(a|b(c|d))y", {
            "'a'": "x(b(c|d))y", "'b(c|d)'": "x(a)y", "'c'": "x(a|b(d))y", "'d'": "x(a|b(c))y",
        }),
        (r"[|(]\||b", {r"'[|(]\\|'": "b", "'b'": r"[|(]\|"}),
        ("a[_-]?b", {"the option of '[_-]'": "a[_-]b"}),
        (r"\(?x", {r"the option of '\\('": r"\(x"}),
    ],
)  # fmt: skip
def test_an_expression_loses_one_alternative_or_one_option(pattern: str, parts: dict[str, str]) -> None:
    assert dict(without_a_part(pattern)) == parts


BASE = {"name": "denied", "detection": {"selection": {"mcp.tool.decision": "deny"}, "condition": "selection"}}
LATER = {"name": "called", "detection": {"selection": {"chain.stage": "tool_call"}, "condition": "selection"}}


def correlated(tmp_path: Path, correlation: dict[str, Any], *bases: dict[str, Any]) -> set[str]:
    """What is done to the correlation itself."""
    rule = subject(tmp_path, {"correlation": correlation}, *bases, name="correlation_mcp_small.yml")
    return {m.words for m in mutants(rule, EVENTS.fields) if ": " not in m.words}


@pytest.mark.parametrize(
    ("correlation", "bases", "words"),
    [
        (
            {"type": "event_count", "rules": ["denied"], "group-by": ["user.id"], "timespan": "1m", "condition": {"gte": 3}},
            [BASE],
            {"gte 2 instead of 3", "gte 4 instead of 3", "a second longer", "a second shorter", "without group by user.id"},
        ),
        (
            {
                "type": "value_count", "rules": ["denied"], "group-by": ["user.id", "source.ip"], "timespan": "1m",
                "condition": {"field": "gen_ai.tool.name", "gte": 3},
            },
            [BASE],
            {
                "gte 2 instead of 3", "gte 4 instead of 3", "a second longer", "a second shorter",
                "without group by user.id", "without group by source.ip", "records counted instead of values",
            },
        ),
        (
            {
                "type": "temporal_ordered", "rules": ["denied", "called"], "group-by": ["who"], "timespan": "1m",
                "aliases": {"who": {"denied": "user.id", "called": "user.effective.id"}}, "condition": {"gte": 2},
            },
            [BASE, LATER],
            {
                "in any order", "a second longer", "a second shorter", "without the rule denied", "without the rule called",
                "without group by user.id", "without the alias of user.id",
            },
        ),
    ],
    ids=["event_count", "value_count", "temporal_ordered"],
)  # fmt: skip
def test_a_correlation_gets_another_count_window_key_or_order(
    tmp_path: Path, correlation: dict[str, Any], bases: list[dict[str, Any]], words: set[str]
) -> None:
    assert correlated(tmp_path, correlation, *bases) == words


@pytest.mark.parametrize(
    ("words", "records"),
    [
        ("without group by user.id", [("deny", "", "u-ana", None, 0), ("", "tool_call", "u-ana", "u-bob", 1)]),
        ("without the alias of user.id", [("deny", "", "u-ana", None, 0), ("", "tool_call", "u-ana", "u-bob", 1)]),
        ("in any order", [("", "tool_call", None, "u-ana", 0), ("deny", "", "u-ana", None, 1)]),
        ("a second longer", [("deny", "", "u-ana", None, 0), ("", "tool_call", None, "u-ana", 61)]),
        ("without the rule denied", [("", "tool_call", None, "u-ana", 0)]),
    ],
)
def test_a_mutant_of_a_correlation_fires_where_the_correlation_does_not(
    tmp_path: Path, words: str, records: list[tuple[str, str, str | None, str | None, int]]
) -> None:
    correlation = {
        "type": "temporal_ordered",
        "rules": ["denied", "called"],
        "group-by": ["who"],
        "timespan": "1m",
        "aliases": {"who": {"denied": "user.id", "called": "user.effective.id"}},
        "condition": {"gte": 2},
    }
    rule = subject(tmp_path, {"correlation": correlation}, BASE, LATER, name="correlation_mcp_small.yml")
    facts = [
        {
            "@timestamp": f"2026-10-05T09:{second // 60:02d}:{second % 60:02d}Z",
            "mcp.tool.decision": decision,
            "chain.stage": stage,
            "user.id": user,
            "user.effective.id": effective,
        }
        for decision, stage, user, effective, second in records
    ]
    (mutant,) = (m for m in mutants(rule, EVENTS.fields) if m.words == words)
    assert not any(rule.verdicts(facts))
    assert mutant.fires(facts)


# --- a weak rule, and what is said of it

RULE = {
    "title": "Call by Ana",
    "id": "0b5f2f6e-3a54-4a7c-9f3e-1f1f6f0f6c11",
    "status": "experimental",
    "logsource": {"product": "mcp", "service": "event"},
    "detection": {
        "selection": {"chain.stage": "tool_call", "user.id": "u-ana"},
        "filter_main_refused": {"oauth.token.accepted": False},
        "condition": "selection and not filter_main_refused",
    },
    "level": "high",
}
FIRES = {"case": "Ana calls.", "expect": "fire", "why": "She is Ana.", "base": "tool_call"}
PROMPT = {"case": "Ana asks.", "expect": "quiet", "why": "It is no call.", "base": "prompt"}
OTHERS = [
    {**PROMPT, "case": "Anabel calls.", "base": "tool_call", "set": {"user.id": "u-anabel"}},
    {**PROMPT, "case": "Nobody calls.", "base": "tool_call", "set": {"user.id": None}},
    {**FIRES, "case": "Nobody says how the call ended.", "set": {"event.outcome": None}},
]
REFUSED = {**PROMPT, "case": "Ana is refused.", "base": "tool_call", "set": {"event.outcome": "failure", "http.response.status_code": 401}}  # fmt: skip
FILTER = "without not (oauth.token.accepted equals false)"


def weak(at: Path, *cases: dict[str, Any], listed: dict[str, Any] | None = None) -> Path:
    """A folder with the rule, proven by these cases only, and with listed survivors."""
    (at / "scope").mkdir(exist_ok=True)
    (at / "scope" / "mcp_ana.yml").write_text(yaml.safe_dump(RULE), encoding="utf-8")
    (at / "scope" / "mcp_ana.cases.json").write_text(json.dumps({"cases": cases}), encoding="utf-8")
    if listed is not None:
        (at / "survivors.json").write_text(json.dumps({"survivors": listed}), encoding="utf-8")
    return at


def test_a_rule_whose_filter_no_case_proves_has_that_filter_for_a_survivor(tmp_path: Path) -> None:
    (found,) = survivals_of_folders(ROOT, [weak(tmp_path, FIRES, PROMPT, *OTHERS)])
    assert found.survivors == (FILTER,)
    assert (found.failed, found.wrong) == (True, ())


def test_the_case_that_was_missing_kills_it(tmp_path: Path) -> None:
    (found,) = survivals_of_folders(ROOT, [weak(tmp_path, FIRES, PROMPT, *OTHERS, REFUSED)])
    assert (found.survivors, found.failed) == ((), False)
    assert score([found]) == 1.0


def test_a_reason_lets_a_survivor_live_and_still_counts_it(tmp_path: Path) -> None:
    reason = {"ana": {FILTER: "It cannot be."}}
    (found,) = survivals_of_folders(ROOT, [weak(tmp_path, FIRES, PROMPT, *OTHERS, listed=reason)])
    assert (found.unexplained, found.failed) == ((), False)
    assert score([found]) == found.killed / found.mutants < 1


@pytest.mark.parametrize("words", [FILTER, "without a term that the rule never had"], ids=["killed", "no mutant"])
def test_a_reason_for_what_does_not_survive_fails(tmp_path: Path, words: str) -> None:
    reason = {"ana": {words: "It cannot be."}}
    (found,) = survivals_of_folders(ROOT, [weak(tmp_path, FIRES, PROMPT, *OTHERS, REFUSED, listed=reason)])
    assert (found.stale, found.failed) == ((words,), True)


def test_a_case_that_is_wrong_itself_kills_nothing_and_is_named(tmp_path: Path) -> None:
    (found,) = survivals_of_folders(ROOT, [weak(tmp_path, FIRES, PROMPT, *OTHERS, REFUSED | {"expect": "fire"})])
    assert found.wrong == ("Ana is refused.",)
    assert found.survivors == (FILTER,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"survivors": }', "survivors.json:1: is not JSON: Expecting value"),
        ('{"survivors": {"ana": {"x": "no full stop"}}}', r"\$.survivors.ana.x: 'no full stop' does not match"),
        ('{"survivors": {"bob": {"x": "So."}}}', "there is no rule 'bob'; remove its entry or rename it"),
    ],
    ids=["no JSON", "no sentence", "no rule"],
)
def test_a_mistake_in_the_list_is_named(tmp_path: Path, text: str, says: str) -> None:
    folder = weak(tmp_path, FIRES, PROMPT)
    (folder / "survivors.json").write_text(text, encoding="utf-8")
    with pytest.raises(Mistakes, match=says):
        survivals_of_folders(ROOT, [folder])


# --- the command


def run(folder: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(
        command, ["--mutate", "--rules-dir", str(folder), *options], env={"COLUMNS": "160"}, catch_exceptions=False
    )
    return result.exit_code, result.output


def test_the_command_names_what_survives_and_fails(tmp_path: Path) -> None:
    code, said = run(weak(tmp_path, FIRES, PROMPT, *OTHERS))
    assert code == 1
    assert f"  {FILTER}\n" in said
    assert said.endswith("0 listed with a reason, 1 unexplained; score 0.917\n")


def test_the_command_is_content_when_every_mutant_is_killed(tmp_path: Path) -> None:
    code, said = run(weak(tmp_path, FIRES, PROMPT, *OTHERS, REFUSED), "ana")
    assert code == 0
    assert said.endswith("1 rule, 12 mutants: 12 killed, 0 listed with a reason, 0 unexplained; score 1.000\n")


def test_the_command_gives_json(tmp_path: Path) -> None:
    code, said = run(
        weak(tmp_path, FIRES, PROMPT, *OTHERS, listed={"ana": {FILTER: "It cannot be."}}), "--format", "json"
    )
    document = json.loads(said)
    assert (code, document["failed"], document["score"]) == (0, False, 11 / 12)
    assert document["rules"][0]["reasons"] == {FILTER: "It cannot be."}


def test_a_folder_of_ones_own_is_mutated_beside_the_pack(tmp_path: Path) -> None:
    """As `countersign test DIR` proves it: without chapters too."""
    folder = weak(tmp_path, FIRES, PROMPT, *OTHERS)
    for file in (folder / "scope").iterdir():
        file.rename(folder / file.name)
    result = CliRunner().invoke(command, [str(folder), "--mutate"])
    assert result.exit_code == 1
    assert FILTER in result.output
