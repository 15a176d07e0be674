"""Every rule of the pack is proven; and the proof itself can fail."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from backends.absence import WrongType, read
from backends.errors import Mistakes
from backends.sources import SourceMaps
from backends.vocabulary import Vocabulary
from harness.case import Bases
from harness.commands.test import block, command
from harness.judging import duckdb, proofs_of
from harness.matrix import Failure, Proof, Subject, Verdicts
from harness.pairing import paired, stem
from harness.paths import Root
from harness.proof import prove
from harness.ruleset import load_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Root.default()
EVENTS = Vocabulary.load(ROOT.event_schema)
CASES_SCHEMA = ROOT.schemas / "cases.schema.json"
PACK = sorted(ROOT.rules.rglob("*.yml"))


EVENT_RULES = {
    rule.stem for rule in load_rules(ROOT.rules, ROOT.schemas) if rule.service == "event" and not rule.correlation
}


SAMPLES = [24, pytest.param(1, marks=pytest.mark.slow)]
"""One in twenty-four variants, or each of them."""

USUAL = 5
"""Cases that share a register, of which variants are sampled: those of any other are judged with the slow tests."""


def correlates(name: str) -> bool:
    """Whether a file is that of a correlation, by its name."""
    return name.startswith("correlation_")


@cache
def pack(one_in: int) -> dict[str, Proof]:
    """All rules in one go: a data set is judged once for all of them."""
    least = 1 if one_in == 1 else USUAL
    return {proof.stem: proof for proof in proofs_of(ROOT, ROOT.rules, one_in=one_in, least=least)}


@pytest.mark.xdist_group("proof")
@pytest.mark.parametrize("one_in", SAMPLES)
@pytest.mark.parametrize("rule", PACK, ids=stem)
def test_a_rule_is_proven(rule: Path, one_in: int) -> None:
    proof = pack(one_in)[stem(rule)]
    told = "\n".join(block(failure).plain for failure in proof.failures[:10])
    assert not proof.failures, f"{len(proof.failures)} of {proof.cells} cells failed\n{told}"


@pytest.mark.xdist_group("proof")
@pytest.mark.parametrize("one_in", SAMPLES)
@pytest.mark.parametrize("rule", PACK, ids=stem)
def test_every_cell_of_a_rule_is_executed(rule: Path, one_in: int) -> None:
    proof = pack(one_in)[stem(rule)]
    # a correlation is asked of other rules' cases only where these have a time of their own
    asked = [each for each in pack(one_in).values() if not (correlates(rule.name) and each.stem in EVENT_RULES)]
    others = sum(each.cases for each in asked) - proof.cases
    assert proof.variants > (proof.cases if one_in == 1 else 0)
    assert proof.cells >= proof.cases + proof.variants + others


@pytest.mark.xdist_group("proof")
def test_one_worker_proves_the_pack(request: pytest.FixtureRequest) -> None:
    """Several workers would each prove all of it: see the versions in pyproject.toml."""
    assert request.node.nodeid.endswith("@proof") or "PYTEST_XDIST_WORKER" not in os.environ


# The proof itself: a small rule, its cases, and engines that answer rightly and wrongly.

RULE: dict[str, Any] = {
    "title": "Call by the Wrong User",
    "id": "0b5f2f6e-3a54-4a7c-9f3e-1f1f6f0f6c11",
    "status": "experimental",
    "logsource": {"product": "mcp", "service": "event"},
    "detection": {
        "selection": {"chain.stage": "tool_call", "user.id": "u-ana"},
        "filter_main_read": {"oauth.scope.presented|startswith": "read:"},
        "condition": "selection and not filter_main_read",
    },
    "falsepositives": ["None known"],
    "level": "high",
}
FIRES = {"case": "Ana calls.", "expect": "fire", "why": "She is Ana.", "base": "tool_call", "proves": "selection"}
QUIET = {
    "case": "Ana calls with a scope to read.",
    "expect": "quiet",
    "why": "Reading is harmless.",
    "base": "tool_call",
    "set": {"oauth.scope.presented": ["read:x"]},
    "proves": "filter_main_read",
}
CHAIN_RULE = RULE | {
    "title": "Chain of Two Calls",
    "logsource": {"product": "mcp", "service": "chain"},
    "detection": {"selection": {"chain.tool_calls|gte": 2}, "condition": "selection"},
}
TWICE = {
    "case": "Two calls share a trace.",
    "expect": "fire",
    "why": "They are one chain.",
    "events": [{"base": "tool_call"}, {"base": "tool_call", "at": "+1m"}],
}
ONCE = {"case": "One call is alone.", "expect": "quiet", "why": "One is not two.", "base": "tool_call"}

HONEST = {
    "@timestamp": "2026-03-02T09:00:00Z",
    "chain": {"stage": "tool_call"},
    "trace": {"id": "4bf92f3577b34da6a3ce929d0e0e4736"},
    "user": {"id": "u-ana"},
}
BASES = Bases(lambda stage: HONEST | {"chain": {"stage": stage}}, lambda: {"agents": [{"id": "a"}]})


def folder(at: Path, *cases: dict[str, Any], rule: dict[str, Any] = RULE) -> Path:
    (at / "scope").mkdir(parents=True, exist_ok=True)
    (at / "scope" / "mcp_wrong_user.yml").write_text(yaml.safe_dump(rule), encoding="utf-8")
    written = {"cases": list(cases) or [FIRES, QUIET]}
    (at / "scope" / "mcp_wrong_user.cases.json").write_text(json.dumps(written, indent=1), encoding="utf-8")
    return at


def subjects(at: Path) -> list[Subject]:
    return paired({rule.path: rule.judged for rule in load_rules(at, ROOT.schemas)}, at, CASES_SCHEMA, EVENTS)


class Engine:
    """An engine that answers as the oracle does, and remembers what it was asked; a wrong one changes the verdicts."""

    def __init__(self, proven: Sequence[Subject], key: str = "trace.id") -> None:
        self.proven, self.key = proven, key
        self.data_sets: list[list[dict[str, Any]]] = []

    def read(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Flat facts of one record; None rejects it."""
        try:
            return read(record, EVENTS)
        except WrongType:
            return None

    def __call__(self, records: Sequence[dict[str, Any]], _tables: Any, _now: Any) -> Verdicts:
        """Judge one data set."""
        self.data_sets.append(list(records))
        events = [self.read(record) for record in records]
        chains: dict[str, dict[str, Any]] = {}
        for place, facts in enumerate(events):
            if facts is not None:
                facts["chain.id"] = f"{facts.get(self.key, f'record:{place}')}"
                chain = chains.setdefault(facts["chain.id"], {"chain.id": facts["chain.id"], "chain.tool_calls": 0})
                chain["chain.tool_calls"] += facts["chain.stage"] == "tool_call"
        return Verdicts(
            events,
            chains,
            {s.stem: self.event_hits(s, events) for s in self.proven if not s.of_chains},
            {s.stem: {i for i, c in chains.items() if s.term.holds(c)} for s in self.proven if s.of_chains},
        )

    def event_hits(self, subject: Subject, events: Sequence[dict[str, Any] | None]) -> set[int]:
        """Records on which a rule fires."""
        return {n for n, facts in enumerate(events) if facts is not None and subject.term.holds(facts)}


def proven(at: Path, engine: Callable[..., Engine] = Engine) -> Proof:
    mine = subjects(at)
    (proof,) = prove(mine, engine(mine), BASES, EVENTS)
    return proof


def problems(proof: Proof) -> set[str]:
    return {failure.problem for failure in proof.failures}


def test_a_right_rule_on_a_right_engine_has_no_failure(tmp_path: Path) -> None:
    proof = proven(folder(tmp_path))
    assert (proof.cases, proof.failures) == (2, [])
    assert proof.cells == proof.cases + proof.variants


def test_a_chain_rule_is_proven_apart_and_with_all_cases_together(tmp_path: Path) -> None:
    proof = proven(folder(tmp_path, TWICE, ONCE, rule=CHAIN_RULE))
    assert (proof.failures, proof.cells) == ([], 2 * proof.cases + proof.variants)


def test_a_rule_is_judged_on_the_cases_of_the_others_too(tmp_path: Path) -> None:
    mine = subjects(folder(tmp_path / "a")) + subjects(folder(tmp_path / "b"))
    mine = [replace(subject, stem=name) for subject, name in zip(mine, ("one", "two"), strict=True)]
    proofs = prove(mine, Engine(mine), BASES, EVENTS)
    assert [proof.cells for proof in proofs] == [2 + proof.variants + 2 for proof in proofs]


def test_a_case_that_expects_the_wrong_verdict_fails(tmp_path: Path) -> None:
    proof = proven(folder(tmp_path, FIRES | {"expect": "quiet"}, QUIET | {"expect": "fire"}))
    told = [(f.case, f.expected, f.got) for f in proof.failures if f.problem == "not what the case expects"]
    assert told == [("Ana calls.", "quiet", "fire"), ("Ana calls with a scope to read.", "fire", "quiet")]


@pytest.mark.parametrize(
    ("weaker", "case"),
    [
        ({"selection": {"chain.stage": "tool_call"}}, "Bob calls."),
        ({"filter_main_read": {"oauth.scope.presented": "never"}}, "Ana calls with a scope to read."),
        ({"filter_main_read": {"oauth.scope.presented|exists": True}}, "Ana calls with a scope to write."),
    ],
    ids=["a term of the selection taken", "a filter that no longer holds", "a filter that holds too often"],
)
def test_a_weakened_rule_fails_by_one_of_its_cases(tmp_path: Path, weaker: dict[str, Any], case: str) -> None:
    bob = QUIET | {"case": "Bob calls.", "set": {"user.id": "u-bob"}}
    write = FIRES | {"case": "Ana calls with a scope to write.", "set": {"oauth.scope.presented": ["write:x"]}}
    rule = RULE | {"detection": RULE["detection"] | weaker}
    proof = proven(folder(tmp_path, FIRES, QUIET, bob, write, rule=rule))
    assert {f.case for f in proof.failures if f.problem == "not what the case expects"} == {case}


class NeverFires(Engine):
    """Knows no hit."""

    def event_hits(self, *_: Any) -> set[int]:
        """None."""
        return set()


class AlwaysFires(Engine):
    """Takes every good record for a hit."""

    def event_hits(self, _subject: Subject, events: Any) -> set[int]:
        """All."""
        return {n for n, facts in enumerate(events) if facts is not None}


class ComparesLetterCase(Engine):
    """Fires only for ``u-ana`` as the rule writes it."""

    def event_hits(self, subject: Subject, events: Any) -> set[int]:
        """As the class says."""
        return {n for n in super().event_hits(subject, events) if events[n]["user.id"] == "u-ana"}


class FindsPartsOfWords(Engine):
    """Takes ``u-anax`` for ``u-ana``."""

    def event_hits(self, subject: Subject, events: Any) -> set[int]:
        """As the class says."""
        longer = {n for n, facts in enumerate(events) if facts is not None and facts.get("user.id") == "u-anax"}
        return super().event_hits(subject, events) | longer


class TellsFormsOfAbsenceApart(Engine):
    """Knows an empty text from a missing field: NOT of the filter is unknown for it."""

    def read(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """As the class says."""
        facts = super().read(record)
        if facts is not None and record.get("oauth", {}).get("scope", {}).get("presented") == "":
            facts["oauth.scope.presented"] = ["read:"]
        return facts


class TakesTheFirstOfMany(Engine):
    """Lets a wrong type through."""

    def read(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """As the class says."""
        user = record.get("user", {})
        first = user["id"][0] if isinstance(user.get("id"), list) and user["id"] else user.get("id")
        return super().read(record | {"user": {"id": first}}) if user else super().read(record)


class RejectsOneItem(Engine):
    """Takes a list of one for a wrong type."""

    def read(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """As the class says."""
        return None if isinstance(record.get("user", {}).get("id"), list) else super().read(record)


class IgnoresDottedKeys(Engine):
    """Reads nested objects only."""

    def read(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """As the class says."""
        return super().read({key: value for key, value in record.items() if key != "user.id"})


@pytest.mark.parametrize(
    ("engine", "problem", "variant"),
    [
        (NeverFires, "engine and oracle differ on the same facts", ""),
        (AlwaysFires, "engine and oracle differ on the same facts", ""),
        (ComparesLetterCase, "engine and oracle differ on the same facts", "user.id in upper case"),
        (FindsPartsOfWords, "engine and oracle differ on the same facts", "user.id with a letter after"),
        (TellsFormsOfAbsenceApart, "the view misread oauth.scope.presented", "oauth.scope.presented as an empty text"),
        (TakesTheFirstOfMany, "a record of the wrong type", "user.id as many items"),
        (RejectsOneItem, "a good record", "user.id as one item"),
        (IgnoresDottedKeys, "another verdict than the case as written", "dotted keys"),
    ],
)
def test_an_engine_that_answers_wrongly_is_found_out(
    tmp_path: Path, engine: type[Engine], problem: str, variant: str
) -> None:
    proof = proven(folder(tmp_path), engine)
    assert (problem, variant) in {(f.problem, f.variant) for f in proof.failures}


def test_forms_of_absence_that_differ_are_named(tmp_path: Path) -> None:
    proof = proven(folder(tmp_path), TellsFormsOfAbsenceApart)
    assert any(problem.startswith("the forms of absence differ") for problem in problems(proof))


def test_two_cases_that_join_are_found_out_when_they_run_together(tmp_path: Path) -> None:
    mine = subjects(folder(tmp_path, TWICE, ONCE, rule=CHAIN_RULE))
    (proof,) = prove(mine, Engine(mine, key="user.id"), BASES, EVENTS)
    assert "another verdict when all cases run together: something leaks between them" in problems(proof)


def test_many_cells_go_into_few_data_sets(tmp_path: Path) -> None:
    mine = subjects(folder(tmp_path))
    engine = Engine(mine)
    (proof,) = prove(mine, engine, BASES, EVENTS)
    assert (len(engine.data_sets), sum(map(len, engine.data_sets))) == (1, proof.cells)


def test_cases_with_other_registers_are_judged_apart(tmp_path: Path) -> None:
    mine = subjects(folder(tmp_path, FIRES | {"register": "base"}, QUIET))
    engine = Engine(mine)
    prove(mine, engine, BASES, EVENTS)
    assert len(engine.data_sets) == 2


def test_a_failure_says_what_was_read_and_which_term_decided(tmp_path: Path) -> None:
    proof = proven(folder(tmp_path, FIRES | {"expect": "quiet"}, FIRES | {"case": "She calls again."}, QUIET))
    failure = proof.failures[0]
    assert failure.values == ({"chain.stage": "tool_call", "oauth.scope.presented": None, "user.id": "u-ana"},)
    assert failure.term == "chain.stage equals 'tool_call' is true"
    assert failure.place.endswith("mcp_wrong_user.cases.json:3")


def test_a_failure_is_one_readable_block_without_control_characters() -> None:
    failure = Failure("x", "A \x1b[31mcase.", "", "x.json:1", "problem", "fire", "quiet", ({"user.id": "\x1b[2J"},))
    shown = block(failure).plain
    assert "\x1b" not in shown
    assert shown.splitlines()[:2] == ["x: problem", "  case       A \\x1b[31mcase. (x.json:1)"]


# Rules and cases that do not fit together


def mistakes(at: Path) -> list[str]:
    with pytest.raises(Mistakes) as found:
        subjects(at)
    return [f"{Path(m.file).name}: {m.message}" for m in found.value.found]


def test_cases_without_a_rule_are_a_mistake(tmp_path: Path) -> None:
    at = folder(tmp_path)
    (at / "scope" / "mcp_wrong_user.cases.json").rename(at / "scope" / "mcp_wrong_usr.cases.json")
    assert mistakes(at) == [
        "mcp_wrong_user.yml: has no cases; write mcp_wrong_user.cases.json beside it",
        "mcp_wrong_usr.cases.json: there is no rule mcp_wrong_usr.yml beside these cases",
    ]


def test_a_case_that_proves_what_the_rule_has_not_is_a_mistake(tmp_path: Path) -> None:
    at = folder(tmp_path, FIRES | {"proves": "filter_main_gone"}, QUIET | {"proves": "false positive: None known"})
    assert mistakes(at) == ["mcp_wrong_user.cases.json: proves 'filter_main_gone', which the rule does not have"]


def test_a_rule_that_the_oracle_cannot_judge_is_a_mistake(tmp_path: Path) -> None:
    detection = {"selection": {"user.id|re": r"^u-\d"}, "condition": "selection"}
    quiet = QUIET | {"proves": "selection"}
    (told,) = mistakes(folder(tmp_path, FIRES, quiet, rule=RULE | {"detection": detection}))
    assert told.startswith(r"mcp_wrong_user.yml: '\\d' in the regular expression on user.id is not supported")


# The real engine, with rules of one's own


@pytest.mark.parametrize(
    ("cases", "rule"), [((FIRES, QUIET), RULE), ((TWICE, ONCE), CHAIN_RULE)], ids=["event rule", "chain rule"]
)
def test_small_rules_are_proven_on_duckdb(tmp_path: Path, cases: Any, rule: Any) -> None:
    mine = subjects(folder(tmp_path, *cases, rule=rule))
    engine = duckdb(mine, EVENTS, Vocabulary.load(ROOT.chain_schema), SourceMaps.load(ROOT.sources))
    (proof,) = prove(mine, engine, BASES, EVENTS)
    assert proof.failures == []
    assert proof.cells > 20


def run(*arguments: str) -> Any:
    return CliRunner().invoke(command, list(arguments), catch_exceptions=True)


def test_rules_of_ones_own_are_proven_on_duckdb(tmp_path: Path) -> None:
    own = folder(tmp_path, FIRES | {"set": {"user.id": "u-ana", "oauth.scope.presented": None}}, QUIET)
    result = run("--rules-dir", str(own), "--format", "json")
    assert result.exit_code == 0, result.output
    (proof,) = json.loads(result.output)["proofs"]
    assert (proof["stem"], proof["cases"], proof["failures"]) == ("wrong_user", 2, [])


def test_a_failing_case_ends_the_command_with_1_and_is_spelt_out(tmp_path: Path) -> None:
    own = folder(tmp_path, QUIET | {"expect": "fire"}, QUIET | {"case": "The same."})
    result = run("--rules-dir", str(own))
    assert result.exit_code == 1
    assert "not what the case expects" in result.output
    assert "Ana calls with a scope to read." in result.output


def test_an_orphan_ends_the_command_with_mistakes(tmp_path: Path) -> None:
    own = folder(tmp_path)
    (own / "scope" / "mcp_wrong_user.yml").unlink()
    result = run("--rules-dir", str(own))
    assert isinstance(result.exception, Mistakes)
