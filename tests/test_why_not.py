"""`explain RULE --why-not RECORD`: the first term that failed, and a change that turns the verdict, truly."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections import defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ready
from sampling import one_in

from backends.duckdb.target import LATE, Sources, judge
from backends.target import Inexpressible
from generator.session import base_event, base_register
from harness.asking import Desk, why_not
from harness.case import Bases, Case, load, put
from harness.finding import RecordRef
from harness.flip import Change
from harness.given_record import Given
from harness.paths import Root
from harness.ruleset import Rule, load_rules
from harness.telling import why_not_told
from harness.why_chain import of_chain
from harness.why_correlation import of_correlation
from harness.why_not import Asking, Verdict, WhyNot, of_record, raw

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Root.default()
RULES = load_rules(ROOT.rules)
DESK = Desk.of(ROOT)
BASES = Bases.honest()
SINGLE = [rule for rule in RULES if rule.service == "event" and not rule.correlation]
CONTEXTFORGE = ROOT.sources / "contextforge.sample.jsonl"
EVERY = 96
"""One case in so many is asked about in a quick run; all in a slow one."""


def rule_of(stem: str) -> Rule:
    (rule,) = RULES.select([stem])
    return rule


def record_of(stage: str = "tool_call", **changes: Any) -> dict[str, Any]:
    """An honest record with changes, ``__`` for the dots."""
    record = dict(base_event(stage))
    for name, value in changes.items():
        put(record, name.replace("__", "."), value)
    return record


def asked(stem: str, record: Mapping[str, Any], desk: Desk = DESK) -> WhyNot:
    """The answer about one record of an event rule."""
    return desk.put(of_record(desk.inquiry(rule_of(stem)), json.dumps(record).encode()), rule_of(stem))


def given(records: Sequence[Mapping[str, Any]], target: int) -> Given:
    lines = tuple(json.dumps(record).encode() for record in records)
    places = tuple(RecordRef("log.jsonl", number) for number in range(1, len(lines) + 1))
    return Given(f"log.jsonl:{target + 1}", "countersign", lines, places, (target,))


def told(answer: WhyNot) -> str:
    """The whole answer as text."""
    return "\n".join(line for section in why_not_told(answer) for line in (section.title, *section.lines))


def countersign(*arguments: object, stdin: str = "", cwd: Path = ROOT.path) -> subprocess.CompletedProcess[str]:
    command = [*ready.command(), *map(str, arguments)]
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT.path), "COLUMNS": "250"},
    )


# Records that are not joined: what a rule on single records reads is the same.


def test_records_that_are_not_joined_are_judged_alike_by_rules_on_single_records() -> None:
    schema = ROOT.schemas / "cases.schema.json"
    cases = [next(case for case in load(rule.cases, schema, DESK.events) if case.fires) for rule in SINGLE]
    told = {"vocabulary": DESK.events, "chain_vocabulary": DESK.chains, "register": BASES.register()}
    records = [record for case in cases for record in case.records(BASES)]
    records = [{**record, "event": {**record["event"], "id": f"e{number}"}} for number, record in enumerate(records)]
    rules = {rule.stem: rule.judged for rule in SINGLE}
    whole, alone = (judge(records, rules=rules, **told, joined=joined) for joined in (True, False))

    def single(events: Sequence[Mapping[str, Any] | None]) -> list[dict[str, Any]]:
        return [{name: value for name, value in (event or {}).items() if name not in LATE} for event in events]

    assert single(alone.events) == single(whole.events)
    assert alone.event_hits == whole.event_hits
    assert sum(map(bool, alone.event_hits.values())) > len(rules) / 2
    assert (alone.chains, bool(whole.chains)) == ([], True)


@pytest.mark.parametrize("stem", ["orphan_write", "runaway_calls"])
def test_a_rule_on_several_records_is_not_judged_where_they_are_not_joined(stem: str) -> None:
    rules = {stem: rule_of(stem).judged}
    with pytest.raises(Inexpressible, match="joined"):
        judge([record_of()], rules=rules, vocabulary=DESK.events, chain_vocabulary=DESK.chains, joined=False)


# Every quiet case of every rule on single records: a term is named, and a claimed change turns the verdict.


class Question:
    """One record of one quiet case."""

    def __init__(self, rule: Rule, case: Case, record: dict[str, Any]) -> None:
        self.rule, self.case, self.record = rule, case, record
        self.tables = json.dumps(case.tables(BASES), sort_keys=True)

    def asking(self) -> Asking:
        """What the engine is asked."""
        desk = replace(DESK, tables=json.loads(self.tables))
        return of_record(desk.inquiry(self.rule), json.dumps(self.record).encode())


@cache
def questions() -> tuple[Question, ...]:
    schema = ROOT.schemas / "cases.schema.json"
    return tuple(
        Question(rule, case, record)
        for rule in SINGLE
        for case in load(rule.cases, schema, DESK.events)
        if not case.fires
        for record in case.records(BASES)
    )


class Bench:
    """The engine, asked about many questions' records in few data sets; equal records are judged once."""

    def __init__(self, some: Sequence[Question]) -> None:
        never: dict[str, Mapping[str, Sequence[str]]] = {name: source.never for name, source in DESK.maps.items()}
        for question in some:
            never |= question.case.never
        self.sources = Sources(
            tuple((name, stage, tuple(what)) for name, stages in never.items() for stage, what in stages.items()),
            DESK.sources.client_ids,
        )
        self.rules = {question.rule.stem: question.rule.judged for question in some}

    def verdicts(self, asked: Mapping[int, tuple[Question, Sequence[Any]]]) -> Iterator[tuple[int, Verdict]]:
        """What the engine says to each question, by number."""
        by_register: dict[str, list[int]] = defaultdict(list)
        for number, (question, _) in asked.items():
            by_register[question.tables].append(number)
        for tables, numbers in by_register.items():
            index: dict[bytes, int] = {}
            places = {
                number: [index.setdefault(line_of(each), len(index)) for each in asked[number][1]] for number in numbers
            }
            judgement = judge(
                list(index),
                rules=self.rules,
                vocabulary=DESK.events,
                chain_vocabulary=DESK.chains,
                register=json.loads(tables),
                sources=self.sources,
                joined=False,
            )
            for number in numbers:
                hits = judgement.event_hits[asked[number][0].rule.stem]
                events = [judgement.events[at] for at in places[number]]
                yield number, Verdict(events, frozenset(n for n, at in enumerate(places[number]) if at in hits))

    def answers(self, some: Sequence[Question]) -> list[WhyNot]:
        """Every question asked until it is answered."""
        askings = {number: question.asking() for number, question in enumerate(some)}
        waiting = {number: (some[number], next(asking)) for number, asking in askings.items()}
        answers: dict[int, WhyNot] = {}
        while waiting:
            again = {}
            for number, verdict in self.verdicts(waiting):
                try:
                    again[number] = (some[number], askings[number].send(verdict))
                except StopIteration as done:
                    answers[number] = done.value
            waiting = again
        return [answers[number] for number in range(len(some))]


def line_of(record: Any) -> bytes:
    return record if isinstance(record, bytes) else json.dumps(record).encode()


def bears_out(some: Sequence[Question]) -> int:
    """Every answer names a term that is false, and every change that it claims turns the verdict by itself; how many do."""
    bench = Bench(some)
    answers = bench.answers(some)
    claimed = {}
    for number, (question, answer) in enumerate(zip(some, answers, strict=True)):
        assert (answer.fires, answer.rejected) == (False, ""), question.case.sentence
        assert answer.lacks, question.case.sentence
        assert answer.lacks[0].part, question.case.sentence
        if answer.flip:
            assert answer.flip.value != answer.flip.was, question.case.sentence
            changed = {**raw(question.record, DESK.events)}
            if "[content" not in str(answer.flip.value):  # what is masked cannot be tried again from outside
                claimed[number] = (question, [Change(answer.flip.field, answer.flip.value).of(changed)])
        else:
            assert "No change of one field" in told(answer) or "terms failed, and no change" in told(answer)
    turned = dict(bench.verdicts(claimed))
    assert [some[number].case.sentence for number, verdict in turned.items() if not verdict.hits] == []
    return len(claimed)


def test_a_claimed_change_turns_the_verdict_and_otherwise_it_says_that_none_does() -> None:
    some = questions()[::EVERY]

    assert bears_out(some) > 0.6 * len(some)


@pytest.mark.slow
def test_a_claimed_change_turns_the_verdict_for_every_quiet_case_of_the_pack() -> None:
    claimed = sum(bears_out(questions()[start::3]) for start in range(3))

    assert claimed > 0.8 * len(questions())  # for the rest the source or the register decides, or several fields do


# The first term that failed.


def test_it_names_the_first_term_that_failed_with_what_was_found_and_the_change() -> None:
    answer = asked("tool_call_without_prompt", record_of())

    assert told(answer).splitlines()[1:] == [
        'selection asks that chain.prompt.id does not exist: chain.prompt.id is "prompt-7f3a".',
        "What else failed",
        "What would make it fire",
        'chain.prompt.id absent (it is "prompt-7f3a"). The engine judged it so, and the rule fired.',
    ]


def test_several_terms_that_failed_are_all_named_in_the_rules_order() -> None:
    answer = asked("tool_call_without_prompt", record_of("token", chain__prompt__hash="p-1"))

    assert [lack.asks for lack in answer.lacks] == [
        "chain.stage equals 'tool_call'",
        "chain.prompt.id does not exist",
        "chain.prompt.hash does not exist",
    ]
    assert answer.flip is None
    assert "3 terms failed, and no change of one field does it" in told(answer)


def test_a_filter_that_exempts_the_record_is_named_and_its_source_is_blamed_for_its_blindness() -> None:
    record = record_of(chain__prompt__id=None, event__dataset="contextforge")
    answer = asked("tool_call_without_prompt", record)

    assert (answer.lacks[0].part, answer.lacks[0].exempts) == ("filter_main_blind", True)
    assert "By its source map contextforge can never say prompt." in told(answer)


BLIND = {"event.blind": ["agent", "required_scope", "proxy"], "event.dataset": "contextforge"}


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("gen_ai.agent.id", "contextforge, its source, can never say it"),
        ("oauth.scope.missing_count", "it is computed, and the source can never say required_scope"),
        ("user.id", ""),
    ],
)
def test_a_field_is_absent_since_its_source_can_never_say_it_or_just_absent(field: str, said: str) -> None:
    assert DESK.inquiry(rule_of("call_without_required_scope")).seen(field, BLIND).absent == said


def test_a_fact_that_only_a_register_gives_is_said_to_want_one() -> None:
    answer = asked("unregistered_server_called", record_of())

    assert "mcp.server.approval is absent, and it is computed with the register's servers, which is not there." in told(
        answer
    )
    assert "The rule needs the register's servers, and none is given: --register DIR gives one." in told(answer)
    with_one = asked("unregistered_server_called", record_of(), replace(DESK, tables=base_register()))
    assert 'mcp.server.approval is "approved"' in told(with_one)
    assert with_one.flip is not None


def test_alternatives_are_told_by_the_one_that_lacks_least() -> None:
    answer = asked("static_api_key", record_of())

    assert [lack.others for lack in answer.lacks] == [1]
    assert "other way failed too" in told(answer)


def test_a_record_that_fires_is_said_to_fire() -> None:
    answer = asked("tool_call_without_prompt", record_of(chain__prompt__id=None))

    assert (answer.fires, answer.lacks, answer.flip) == (True, (), None)
    assert told(answer).startswith("tool_call_without_prompt fires on")


def test_a_record_that_cannot_be_read_is_said_to_be_set_aside() -> None:
    answer = asked("tool_call_without_prompt", record_of(event__duration="long"))

    assert told(answer).endswith("The record was set aside: event.duration must be one value, an integer, not text.")


# Chains and correlations: the record in the midst of its log.


def chain_answer(stem: str, records: Sequence[Mapping[str, Any]], target: int, desk: Desk = DESK) -> WhyNot:
    rule = rule_of(stem)
    return desk.put(of_chain(desk.inquiry(rule), given(records, target)), rule)


def test_of_a_chain_rule_the_chain_of_the_record_is_judged_with_the_log_around_it() -> None:
    chain = [record_of("prompt"), record_of("tool_call"), record_of("access")]
    stranger = record_of("tool_call", chain__prompt__id="prompt-x", trace__id="a" * 32, gen_ai__tool__call__id="call-x")
    put(stranger, "event.id", "event-x")
    answer = chain_answer("token_passed_through", [*chain, stranger], 1)

    assert answer.chain is not None
    assert answer.chain.places == ("log.jsonl:1", "log.jsonl:2", "log.jsonl:3")
    assert answer.lacks[0].asks == "chain.token_passed_through equals true"
    assert answer.flip is not None
    assert (answer.flip.field, answer.flip.place) in {
        ("oauth.token.hash", "log.jsonl:2"),
        ("oauth.token.hash", "log.jsonl:3"),
    }


def test_a_claimed_change_of_a_chain_turns_it_in_its_own_surroundings() -> None:
    records = [record_of("prompt"), record_of("tool_call"), record_of("access")]
    answer = chain_answer("token_passed_through", records, 1)
    assert answer.flip is not None
    at = int(answer.flip.place.rpartition(":")[2]) - 1
    put(records[at], answer.flip.field, answer.flip.value)

    assert chain_answer("token_passed_through", records, 1).fires


def test_a_chain_rule_that_fires_is_said_to_fire_on_each_record_of_the_chain() -> None:
    records = [record_of("tool_call"), record_of("access")]
    put(records[1], "oauth.token.hash", records[0]["oauth"]["token"]["hash"])

    assert [chain_answer("token_passed_through", records, at).fires for at in (0, 1)] == [True, True]


def test_a_change_of_a_chain_shows_no_content() -> None:
    records = [record_of("prompt"), record_of("tool_call"), record_of("access")]
    rule = rule_of("token_passed_through")
    flip = DESK.inquiry(rule).flip(Change("gen_ai.tool.call.arguments", "hunter2"), raw(records[1], DESK.events), "x")

    assert (flip.was, flip.value) == ("[content, 39 characters]", "[content, 7 characters]")


def test_a_change_that_a_case_proposes_is_shown_as_the_case_writes_it() -> None:
    rule = rule_of("argument_names_other_user")
    inquiry = DESK.inquiry(rule)
    value = next(iter(inquiry.lessons.values("gen_ai.tool.call.arguments")))
    flip = inquiry.flip(Change("gen_ai.tool.call.arguments", value), raw(record_of(), DESK.events), "x")

    assert (flip.was, flip.value) == ("[content, 39 characters]", value)


def refused(number: int) -> dict[str, Any]:
    record = record_of(event__id=f"event-{number}", http__response__status_code=401, source__ip="10.1.1.1")
    put(record, "@timestamp", f"2026-10-05T09:00:{number:02d}Z")
    return record


def correlation_answer(stem: str, records: Sequence[Mapping[str, Any]], target: int) -> WhyNot:
    rule = rule_of(stem)
    return DESK.put(of_correlation(DESK.inquiry(rule), given(records, target)), rule)


def test_of_a_correlation_the_count_reached_and_needed_is_told_with_group_and_window() -> None:
    answer = correlation_answer("unauthorized_burst", [refused(number) for number in range(7)], 3)

    assert answer.reach is not None
    assert (answer.reach.reached, answer.reach.needed, answer.reach.window_sec) == (7, 20, 300)
    assert answer.reach.group == {"mcp.server.name": "crm-mcp", "source.ip": "10.1.1.1"}
    assert "7 of 20 records of token_refused, within 300 seconds" in told(answer)
    assert "13 more within the window. No change of one field of this record does it." in told(answer)


def test_a_record_that_takes_part_in_a_complete_window_is_told_where_it_is_complete() -> None:
    answer = correlation_answer("unauthorized_burst", [refused(number) for number in range(21)], 2)

    assert answer.fires
    assert any("its window is complete at log.jsonl:2" in note for note in answer.notes)


def test_a_record_that_takes_no_part_is_told_by_what_the_base_rule_lacks() -> None:
    answer = correlation_answer("unauthorized_burst", [*(refused(number) for number in range(19)), record_of()], 19)

    assert answer.reach is None
    assert answer.lacks[0].part.startswith("token_refused.selection_refused_")


def test_one_field_that_completes_a_window_is_told_and_does_complete_it() -> None:
    records = [refused(number) for number in range(20)]
    put(records[-1], "http.response.status_code", 200)
    answer = correlation_answer("unauthorized_burst", records, 19)
    assert answer.flip is not None
    put(records[-1], answer.flip.field, answer.flip.value)

    assert correlation_answer("unauthorized_burst", records, 19).fires


def test_a_record_without_the_group_takes_no_part() -> None:
    record = refused(0)
    put(record, "source.ip", None)
    answer = correlation_answer("unauthorized_burst", [record], 0)

    assert [lack.asks for lack in answer.lacks] == ["source.ip exists, since records are grouped by it"]


# The record that a person names.


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(record_of(stage)) + "\n" for stage in ("prompt", "tool_call")) + "\nno JSON\n")
    return path


FORMS = {
    "a line": lambda log: (f"{log}:2", ""),
    "a file with one record": lambda log: (written(log.with_name("one.json"), json.dumps(record_of(), indent=2)), ""),
    "standard input": lambda _log: ("-", json.dumps(record_of())),
    "a line after a byte order mark": lambda log: (
        written(log.with_name("marked.jsonl"), "\ufeff" + json.dumps(record_of()) + "\n"),
        "",
    ),
}


PACKED = {
    "a line of gzip": lambda log: packed(log.with_name("log.gz"), gzip.compress(log.read_bytes())),
    "a line of zstd": lambda log: packed(
        log.with_name("log.zst"), pa.Codec("zstd").compress(log.read_bytes(), asbytes=True)
    ),
    "a row of Parquet": lambda log: in_rows(log.with_name("log.parquet")),
}


def packed(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return f"{path}:2"


def in_rows(path: Path) -> str:
    pq.write_table(pa.Table.from_pylist([record_of("prompt"), record_of("tool_call")]), path)
    return f"{path}:2"


@pytest.mark.parametrize("form", one_in(3, PACKED.values()), ids=PACKED)
def test_a_record_of_a_packed_log_is_found(log: Path, form: Any) -> None:
    done = countersign("explain", "53", "--why-not", form(log), "--format", "json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["flip"]["field"] == "chain.prompt.id"


def test_a_row_that_is_not_there_and_a_file_that_is_no_parquet_are_one_sentence(log: Path) -> None:
    rows = in_rows(log.with_name("log.parquet")).removesuffix(":2")
    done = countersign("explain", "53", "--why-not", f"{rows}:3")
    assert (done.returncode, done.stderr) == (2, f"{rows}:3: there is no record on this line\n")

    Path(rows).write_bytes(Path(rows).read_bytes()[:-9])
    done = countersign("explain", "53", "--why-not", f"{rows}:2")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "Traceback" not in done.stderr


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("form", one_in(2, FORMS.values()), ids=FORMS)
def test_a_record_is_named_by_its_line_or_a_file_of_its_own_or_comes_in(log: Path, form: Any) -> None:
    name, stdin = form(log)
    done = countersign("explain", "53", "--why-not", name, "--format", "json", stdin=stdin)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["flip"]["field"] == "chain.prompt.id"


NOWHERE = {
    "no file": (
        "gone.jsonl:3",
        "gone.jsonl:3: there is no such file; name a record as FILE:LINE, as a file that holds one, or - for standard input",
    ),
    "no such line": ("{log}:99", "{log}:99: there is no record on this line"),
    "an empty line": ("{log}:3", "{log}:3: there is no record on this line"),
    "many records": ("{log}", "{log}: it is not one JSON record but 3 lines; say which is meant, as {log}:1"),
}


@pytest.mark.parametrize(("name", "sentence"), NOWHERE.values(), ids=NOWHERE)
def test_a_record_that_is_not_there_is_one_sentence(log: Path, name: str, sentence: str) -> None:
    done = countersign("explain", "53", "--why-not", name.format(log=log))

    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence.format(log=log) + "\n")


def test_a_line_that_is_no_record_is_said_to_be_set_aside(log: Path) -> None:
    done = countersign("explain", "53", "--why-not", f"{log}:4")

    assert done.returncode == 0
    assert "The record was set aside: it is not a JSON object." in done.stdout


def test_a_native_line_is_assembled_first() -> None:
    answers = why_not(DESK, rule_of("tool_call_without_prompt"), f"{CONTEXTFORGE}:5")

    assert [answer.stage for answer in answers] == ["tool_call"]
    assert answers[0].lacks[0].part == "filter_main_blind"


def test_of_a_native_line_that_is_no_event_the_source_maps_reason_is_told() -> None:
    done = countersign("explain", "53", "--why-not", f"{CONTEXTFORGE}:1")

    assert done.returncode == 2
    assert (
        ":1: contextforge makes no event of this line, which is of the kind request: no tool ran within it"
        in done.stderr
    )


def test_a_copy_of_a_record_is_told_to_count_once(tmp_path: Path) -> None:
    line = json.dumps(record_of())
    path = tmp_path / "log.jsonl"
    path.write_text(f"{line}\n{line}\n")
    (answer,) = why_not(DESK, rule_of("token_passed_through"), f"{path}:2")

    assert answer.rejected.startswith("the very same record is there before")


# Nothing of a record reaches the terminal as a code or as markup, and no secret leaves.

HOSTILE = "\x1b[2J\x1b]0;owned\x07[red]x[/red]\u202e\r\n[/]\\\ud800"


@pytest.mark.parametrize("stem", one_in(3, ["tool_call_without_prompt", "token_passed_through", "tools_enumerated"]))
@pytest.mark.parametrize("form", ["text", "json"])
def test_hostile_values_are_harmless(tmp_path: Path, stem: str, form: str) -> None:
    record = record_of(chain__prompt__id=HOSTILE, gen_ai__agent__id=HOSTILE, event__dataset=HOSTILE)
    put(record, "countersign", {"records": [[7, 7]]})
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(record) + "\n")
    done = countersign("explain", stem, "--why-not", f"{path}:1", "--format", form)

    assert done.returncode == 0, done.stderr
    assert not any(character in done.stdout for character in "\x1b\x07\r\u202e")
    assert stem in done.stdout
    if stem == "tool_call_without_prompt":
        assert "[red]x[/red]" in done.stdout


def test_a_secret_in_a_term_is_masked() -> None:
    token = "gh" + "p_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4"
    answer = asked("tool_call_without_prompt", record_of(chain__prompt__id=token))

    assert "[secret" in told(answer)
    assert token not in told(answer)
