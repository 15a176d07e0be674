"""``countersign validate``: every bad line is named with its field, what was expected and what was found."""

from __future__ import annotations

import gzip
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import jsonschema
import orjson
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backends.absence import WrongType, read
from backends.duckdb import careful, lines
from generator.session import base_event
from harness import validate, validator
from harness.canonical import Reader
from harness.commands.validate import command
from harness.paths import Root
from harness.validator import Validator

if TYPE_CHECKING:
    from pathlib import Path

    from backends.vocabulary import Field

SCHEMA = json.loads(Root.default().event_schema.read_text(encoding="utf-8"))
VALIDATOR = Validator(SCHEMA)
FIELDS = VALIDATOR.vocabulary.fields
READER = Reader(VALIDATOR.vocabulary)
STAGES = VALIDATOR.vocabulary.stages
TIME = "2026-03-02T09:15:04Z"
HONEST = {"@timestamp": TIME, "chain": {"stage": "tool_call"}}


def line(record: object) -> bytes:
    return orjson.dumps(record)


def zstd(text: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(text, asbytes=True))


def said(text: bytes) -> list[str]:
    return [f"{r.field}: {r.message}" if r.field else r.message for r in VALIDATOR.check(text)]


def errors(text: bytes) -> list[str]:
    return [f"{r.field}: {r.message}" if r.field else r.message for r in VALIDATOR.check(text) if r.error]


def hints(text: bytes) -> list[str]:
    return [f"{r.field}: {r.message}" for r in VALIDATOR.check(text) if not r.error]


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_is_said_about_an_honest_record(stage: str) -> None:
    assert said(line(base_event(stage))) == []


@pytest.mark.parametrize("stage", STAGES)
def test_an_honest_record_needs_no_careful_look(stage: str) -> None:
    assert VALIDATOR._passes_at_once(line(base_event(stage)), base_event(stage))


@pytest.mark.parametrize(
    "record",
    [
        HONEST,
        {"@timestamp": TIME, "chain.stage": "tool_call"},
        {"@timestamp": TIME, "chain": {"stage": "tool_call", "prompt.id": "p"}},
        {"@timestamp": TIME, "chain": {"stage": "tool_call"}, "chain.prompt": {"id": "p"}},
        HONEST | {"user": None, "oauth": {"scope": {"presented": []}}, "event": {"outcome": "", "duration": None}},
        HONEST | {"event": {"outcome": "SUCCESS"}},
        HONEST | {"gen_ai": {"tool": {"call": {"arguments": {"a": [1]}}}}},
        HONEST | {"user.id": "ana", "user": {"id": "ana"}},
        HONEST | {"countersign": {"records": [[0, 0]]}},
        {"@timestamp": "2026-03-02t11:15:04.123456789+02:00", "chain": {"stage": "tool_call"}},
        {"@timestamp": TIME, "mcp": {"method": {"name": "tools/list"}}},
    ],
    ids=json.dumps,
)
def test_a_record_is_valid_in_every_form_that_is_read(record: dict[str, Any]) -> None:
    assert said(line(record)) == []


@pytest.mark.parametrize(
    ("bent", "sentence"),
    [
        (
            {"event": {"outcome": "ok"}},
            'event.outcome: one of success, failure, unknown is expected, found the text "ok"',
        ),
        ({"user": "ana"}, 'user: an object with fields is expected, found the text "ana"'),
        ({"event": {"code": {"a": 1}}}, "event.code: text is expected, found an object"),
        ({"event": {"code": ["a", "b"]}}, "event.code: text is expected, found a list of 2"),
        (
            {"event": {"duration": "1s"}},
            'event.duration: a whole number, not negative, is expected, found the text "1s"',
        ),
        ({"event": {"duration": -1}}, "event.duration: a whole number, not negative, is expected, found the number -1"),
        (
            {"event": {"duration": 1.5}},
            "event.duration: a whole number, not negative, is expected, found the number 1.5",
        ),
        ({"chain": {"stage": "call"}}, "chain.stage: one of prompt, decision, "),
        ({"chain": {"via_proxy": 1}}, "chain.via_proxy: true or false is expected, found the number 1"),
        (
            {"oauth": {"scope": {"granted": [{}]}}},
            "oauth.scope.granted: text in each item is expected, found an object",
        ),
        ({"oauth": {"scope": {"granted": {}}}}, "oauth.scope.granted: a list of text is expected, found an object"),
        ({"oauth": {"token": {"issued_at": "today"}}}, "oauth.token.issued_at: an RFC 3339 time such as "),
        (
            {"oauth": {"token": {"issued_at": "2026-02-30T00:00:00Z"}}},
            "oauth.token.issued_at: an RFC 3339 time such as ",
        ),
        (
            {"oauth": {"token": {"issued_at": "2026-02-03T00:00:00"}}},
            "oauth.token.issued_at: an RFC 3339 time such as ",
        ),
        ({"@timestamp": None}, "@timestamp: is missing"),
        ({"@timestamp": True}, "@timestamp: an RFC 3339 time such as "),
        ({"user.id": "bo", "user": {"id": "ana"}}, "user.id: is given twice, with different values"),
        ({"event.duration": 5, "event": {"duration": "5"}}, "event.duration: is given twice, with different values"),
        ({"user.id": "bo", "user": "ana"}, "user: is given twice, as an object and as a value"),
        ({"event": {"code": "a\0b"}}, "event.code: holds a NUL character"),
        ({"user": {"email": 1.5e300, "name": {}}}, "user.name: text is expected, found an object"),
        ({"event": {"sequence": 1e300}}, "event.sequence: a whole number, not negative, is expected"),
    ],
    ids=str,
)
def test_a_field_that_breaks_the_schema_is_named_with_what_was_expected_and_found(
    bent: dict[str, Any], sentence: str
) -> None:
    found = errors(line(HONEST | bent))

    assert [text[: len(sentence)] for text in found] == [sentence], found


@pytest.mark.parametrize(
    ("bent", "sentence"),
    [
        ({"user.mail": "a"}, "user.mail: is not a field of the schema and is not read; did you mean user.email?"),
        ({"kubernetes": {"pod": 1}}, "kubernetes: is not a field of the schema and is not read"),
        ({"chain.id": "x"}, "chain.id: is computed from the record; what a log says of it is overwritten"),
        ({"event": {"duration": "5"}}, "event.duration: is a number and was sent as text"),
        ({"event": {"code": 5}}, "event.code: is text and was sent as a number"),
        ({"event": {"code": True}}, "event.code: is text and was sent as a boolean"),
        ({"chain.via_proxy": "True"}, "chain.via_proxy: is a boolean and was sent as text"),
        ({"event": {"code": ["a"]}}, "event.code: has one value and was sent as a list"),
        ({"oauth.scope.granted": "a"}, "oauth.scope.granted: is a list and was sent as a single value"),
        ({"oauth.scope.granted": ["a b"]}, "oauth.scope.granted: holds a space in an item; send one scope an item"),
        ({"@timestamp": 1772442904}, "@timestamp: is a time and was sent as an epoch number; send RFC 3339"),
        ({"@timestamp": "1772442904120"}, "@timestamp: is a time and was sent as an epoch number; send RFC 3339"),
        ({"chain": {"stage": "token"}}, "event.action: is missing; every token record carries it"),
        ({"chain": None}, "chain.stage: is missing: nothing says what kind of event this is"),
    ],
    ids=str,
)
def test_a_record_that_can_be_read_with_a_guess_is_valid_and_gets_a_hint(bent: dict[str, Any], sentence: str) -> None:
    text = line(HONEST | bent)

    assert errors(text) == []
    assert [hint[: len(sentence)] for hint in hints(text)] == [sentence]


def test_all_mistakes_of_a_line_are_named() -> None:
    bent = HONEST | {"event": {"outcome": "ok", "code": {}}, "user": 5, "usr": 1}

    assert {text.split(":")[0] for text in said(line(bent))} == {"event.code", "event.outcome", "user", "usr"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b'{"@timestamp":"2026', "the line is not JSON: "),
        (b"started", "the line is not JSON: "),
        (b'{"a":NaN}', "the line is not JSON: "),
        (b"[1]", "a JSON object is expected, one record a line; found a list of 1"),
        (b'"text"', 'a JSON object is expected, one record a line; found the text "text"'),
        (b'{"a":"\xc3\x28"}', "byte 7 of the line is not UTF-8"),
        (b'{"a":"\0"}', "byte 7 of the line is NUL"),
        (b'{"a":1,"a":1}', 'the key "a" is given twice in one object'),
        (b'{"u":{"id":1,"\\u0069d":2}}', 'the key "id" is given twice in one object'),
        (b'{"a":' * 1000 + b"1" + b"}" * 1000, "the record is nested 1,000 levels deep; at most 200 are read"),
        (b'{"a":' * 5000, "the record is nested very deep; at most 200 are read"),
        (b'{"a":' + b"1" * 5000 + b"}", "the line is not JSON: "),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_a_line_that_holds_no_record_is_one_sentence(text: bytes, sentence: str) -> None:
    assert [found[: len(sentence)] for found in errors(text)] == [sentence]


@pytest.mark.parametrize(
    "doubled",
    [
        b'"user":{"id":"bo"},"user":{"id":"bo"}',
        b'"user":{"id":"ana","id":"bo"}',
        b'"user":{"id" :"ana","id":"bo"}',
        b'"user":{"id":"ana","id":"bo","name":"\\u0022:"}',
        b'"user":{"id":"ana","i\\u0064":"bo"}',
        b'"user":{"id":"ana","name":"x\\":","id":"bo"}',
    ],
)
def test_a_key_given_twice_is_found_however_it_is_written(doubled: bytes) -> None:
    text = b'{"@timestamp":"2026-03-02T09:15:04Z","chain":{"stage":"tool_call"},' + doubled + b"}"

    assert [found for found in errors(text) if "given twice in one object" in found] != []


def test_personal_data_and_secrets_are_not_repeated() -> None:
    secret = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"  # noqa: S105 - a made-up token
    text = line(HONEST | {"user": {"roles": {}}, "event": {"outcome": secret}, "oauth": {"token": {"type": "x" * 60}}})

    assert secret not in str(said(text))
    assert "found a text of 60 characters" in str(said(text))


def test_a_record_of_ten_megabytes_is_judged_and_its_length_mentioned() -> None:
    found = VALIDATOR.check(line(HONEST | {"event": {"reason": "x" * 10_000_000}}))

    assert [(r.error, r.message) for r in found] == [
        (False, "the line is longer than 1,048,576 bytes; many collectors cut such lines"),
    ]


def test_limits_are_those_of_a_scan() -> None:
    assert (validate.LONGEST, validator.DEEPEST) == (lines.LONGEST_LINE, careful.DEEPEST)


# ── the compiled validator agrees with plain jsonschema ──────────────────────────────────────────────────────────────


def calendar(value: object) -> bool:
    try:
        datetime.fromisoformat(str(value).upper())
    except ValueError:
        return not isinstance(value, str)
    return True


FORMATS = jsonschema.FormatChecker(formats=())
FORMATS.checks("date-time")(calendar)
PLAIN = jsonschema.Draft202012Validator(SCHEMA, format_checker=FORMATS)


def plain_paths(record: dict[str, Any]) -> set[str]:
    """Failing fields as plain jsonschema sees them."""
    found = set()
    for error in PLAIN.iter_errors(record):
        missing = ["@timestamp"] if error.validator == "required" else []
        found.add(".".join([*[step for step in error.absolute_path if isinstance(step, str)], *missing]))
    return found


WORDS = st.sampled_from(
    ["", "a", "success", "TOKEN", "5", "-1", "true", TIME, "2026-02-30T00:00:00Z", "2026-01-01", "1772442904"]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    WORDS,
    st.text(max_size=5),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.text(max_size=3), SCALARS, max_size=2))


def fitting(field: Field) -> st.SearchStrategy[Any]:
    """Values that a field allows, and now and then anything else."""
    value = st.sampled_from(field.enum) if field.enum else st.just(field.example)
    value = st.lists(value, max_size=2) if field.array and not isinstance(field.example, list) else value
    return st.one_of(value, value, value, VALUES)


def records(most: int) -> st.SearchStrategy[dict[str, Any]]:
    """Flat records of a time and at most so many fields more."""
    return st.lists(st.sampled_from(list(FIELDS.values())), max_size=most, unique_by=lambda field: field.name).flatmap(
        lambda fields: st.fixed_dictionaries(
            {f.name: fitting(f) for f in fields} | {"@timestamp": st.one_of(st.just(TIME), st.just(TIME), VALUES)},
        ),
    )


RECORDS = records(12)
EXTRA = st.dictionaries(st.sampled_from(["user", "oauth", "oauth.scope", "usr", "user.id"]), VALUES, max_size=1)


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name, value in flat.items():
        *above, last = name.split(".")
        node = record
        for key in above:
            node = node.setdefault(key, {})
        node[last] = value
    return record


@settings(max_examples=300, deadline=None)
@given(flat=RECORDS, extra=EXTRA)
def test_compiled_and_plain_validator_name_the_same_fields(flat: dict[str, Any], extra: dict[str, Any]) -> None:
    record = nested(flat) | extra

    assert {remark.field for remark in VALIDATOR.judge(record)} == plain_paths(record)


@settings(max_examples=300, deadline=None)
@given(flat=RECORDS, extra=EXTRA)
@example(flat={"@timestamp": TIME, "event.sequence": 9007199254740993.0}, extra={})
def test_a_line_is_bad_exactly_where_plain_jsonschema_finds_fault_with_its_canonical_form(
    flat: dict[str, Any], extra: dict[str, Any]
) -> None:
    record = nested(flat) | extra
    canonical = READER.read(record)
    found = {remark.field for remark in VALIDATOR.check(line(record)) if remark.error}

    assert found == plain_paths(canonical.record) | {r.field for r in canonical.remarks if r.error}


@settings(max_examples=300, deadline=None)
@given(bent=st.lists(st.tuples(st.sampled_from(list(FIELDS)), VALUES), max_size=2), stage=st.sampled_from(STAGES))
def test_a_record_that_passes_at_once_would_pass_a_careful_look(bent: list[tuple[str, Any]], stage: str) -> None:
    honest = {f.name: f.example for f in VALIDATOR.vocabulary.raw.values() if not f.array} | {"chain.stage": stage}
    record = orjson.loads(line(nested(honest | dict(bent))))

    if VALIDATOR._passes_at_once(line(record), record):
        assert VALIDATOR._careful(line(record), record) == []
    else:
        assert VALIDATOR._passes_at_once(line(nested(honest)), nested(honest))


@settings(max_examples=600, deadline=None)
@given(flat=records(2), extra=EXTRA)
@example(flat={"@timestamp": TIME, "source.as.number": -3.5e16}, extra={})
@example(flat={"@timestamp": TIME, "http.response.status_code": -(2.0**70)}, extra={})
def test_a_valid_line_is_one_that_a_scan_reads(flat: dict[str, Any], extra: dict[str, Any]) -> None:
    record = orjson.loads(line(nested(flat) | extra))
    if any(remark.error for remark in VALIDATOR.check(line(record))):  # no `assume`: too much would be filtered
        return

    try:
        read(record, VALIDATOR.vocabulary)
    except WrongType as wrong:
        pytest.fail(str(wrong))


@settings(max_examples=300, deadline=None)
@given(flat=RECORDS)
def test_nested_and_dotted_records_are_judged_alike(flat: dict[str, Any]) -> None:
    dotted = {(r.field, r.error) for r in VALIDATOR.check(line(flat))}

    assert dotted == {(r.field, r.error) for r in VALIDATOR.check(line(nested(flat)))}


@settings(max_examples=500, deadline=None)
@given(text=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda t: t.encode("utf-8", "surrogatepass"))))
def test_no_line_crashes_the_validator(text: bytes) -> None:
    assert all(remark.message for remark in VALIDATOR.check(text))


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────


def run(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], input=stdin, catch_exceptions=False)


def log(place: Path, *texts: bytes, name: str = "x.jsonl") -> Path:
    (place / name).write_bytes(b"".join(text + b"\n" for text in texts))
    return place / name


GOOD, BAD = line(HONEST), line(HONEST | {"event": {"outcome": "ok"}})


def test_a_good_log_exits_with_0_and_its_count(tmp_path: Path) -> None:
    result = run(log(tmp_path, GOOD, b"", GOOD))

    assert (result.exit_code, result.output) == (0, "2 records in 1 file: 2 valid, 0 bad, 0 warnings\n")


def test_a_bad_line_is_named_with_its_number_and_the_exit_code_is_1(tmp_path: Path) -> None:
    path = log(tmp_path, GOOD, BAD)
    result = run(path)

    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f'{path}:2: event.outcome: one of success, failure, unknown is expected, found the text "ok"',
        "2 records in 1 file: 1 valid, 1 bad, 0 warnings",
    ]


def test_bad_lines_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    output = run(log(tmp_path, *[BAD] * 7), "--max-errors", 3).output.splitlines()

    assert output[3:] == [
        "and 4 bad lines more (--max-errors shows more)",
        "7 records in 1 file: 0 valid, 7 bad, 0 warnings",
    ]


def test_a_hint_is_given_once_with_the_number_of_lines(tmp_path: Path) -> None:
    path = log(tmp_path, *[line(HONEST | {"usr": 1})] * 3)
    result = run(path)

    assert (result.exit_code, run(path, "--strict").exit_code) == (0, 1)
    assert result.output.splitlines()[0].startswith(f"{path}:1: warning: usr: is not a field")
    assert result.output.splitlines()[0].endswith("(and on 2 lines more)")


def test_names_without_end_do_not_fill_the_memory(tmp_path: Path) -> None:
    path = log(tmp_path, *[line(HONEST | {f"made_up_{n}": 1}) for n in range(validate.HINTS_KEPT + 5)])

    assert "and 5 warnings more" in run(path).output


def test_folders_and_packed_logs_are_read(tmp_path: Path) -> None:
    log(tmp_path, GOOD)
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "y.log.gz").write_bytes(gzip.compress(GOOD + b"\n" + BAD))
    (tmp_path / "deeper" / "z.json.zst").write_bytes(zstd(BAD))
    (tmp_path / "notes.txt").write_text("not a log")
    result = run(tmp_path)

    assert f"{tmp_path / 'deeper' / 'y.log.gz'}:2: event.outcome" in result.output
    assert f"{tmp_path / 'deeper' / 'z.json.zst'}:1: event.outcome" in result.output
    assert "4 records in 3 files: 2 valid, 2 bad" in result.output


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
def test_standard_input_is_read(pack: Any) -> None:
    result = run("-", stdin=pack(BAD))

    assert result.output.startswith("-:1: event.outcome: ")


@pytest.mark.parametrize(
    ("content", "sentence", "code"),
    [
        (b"", "warning: the file is empty", 0),
        (b"PAR1\0\0\0\x15", "the Parquet file has no end: it was cut, or is still being written", 1),
        (gzip.compress(b"PAR1\0\0\0\x15"), "the file is Parquet within a packed file; unpack it first", 1),
        (b"\x7fELF\0\0\xff\xfe\0", "the file is binary, not lines of JSON", 1),
        ("{}".encode("utf-16"), "the file is UTF-16; convert it to UTF-8", 1),
        (zstd(GOOD + b"\n")[:-3], "the file cannot be read from here on", 1),
        (gzip.compress(GOOD + b"\n" + GOOD * 100)[:-20], "the file cannot be read from here on", 1),
        (b"\x1f\x8b\x08nonsense", "the file cannot be read from here on", 1),
    ],
    ids=["empty", "cut parquet", "packed parquet", "binary", "utf-16", "cut zstd", "cut gzip", "broken gzip"],
)
def test_a_file_that_is_no_log_is_one_sentence(tmp_path: Path, content: bytes, sentence: str, code: int) -> None:
    (tmp_path / "x.jsonl").write_bytes(content)
    result = run(tmp_path / "x.jsonl")

    assert result.exit_code == code
    assert sentence in result.output
    assert len(result.output.splitlines()) == 2


def test_a_line_longer_than_is_read_is_named_and_the_next_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validate, "LONGEST", 200)
    output = run(log(tmp_path, line({"a": "x" * 5000}), BAD)).output

    assert ":1: the line has 5,008 bytes; at most 200 are read" in output
    assert ":2: event.outcome" in output


def test_a_byte_order_mark_and_windows_line_ends_are_no_fault(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b"\xef\xbb\xbf" + GOOD + b"\r\n" + GOOD + b"\r\n")

    assert run(tmp_path / "x.jsonl").output == "2 records in 1 file: 2 valid, 0 bad, 0 warnings\n"


def test_text_from_a_log_cannot_reach_the_terminal_s_control(tmp_path: Path) -> None:
    output = run(log(tmp_path, line(HONEST | {"\x1b[2Jevil": 1, "event": {"outcome": "\x1b]0;x\x07"}}))).output

    assert "\x1b" not in output
    assert "\\x1b[2Jevil" in output


def test_json_output_holds_counts_errors_and_warnings(tmp_path: Path) -> None:
    path = log(tmp_path, BAD, b"{", line(HONEST | {"usr": 1}))
    report = json.loads(run(path, "--format", "json", "--max-errors", 1).output)

    assert {key: report[key] for key in ("files", "records", "valid", "bad", "errors_left")} == {
        "files": 1,
        "records": 3,
        "valid": 1,
        "bad": 2,
        "errors_left": 1,
    }
    assert [(e["file"], e["line"], e["field"]) for e in report["errors"]] == [(str(path), 1, "event.outcome")]
    assert [(w["line"], w["field"], w["lines"]) for w in report["warnings"]] == [(3, "usr", 1)]


def test_all_missing_files_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(validate.Mistakes) as raised:
        run(tmp_path / "a", tmp_path / "b", tmp_path / "empty")

    assert len(raised.value.found) == 3


@pytest.mark.parametrize("arguments", [[], ["-", "--register", "x"]], ids=["nothing", "both"])
def test_a_log_or_a_register_is_named_and_not_both(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_a_register_is_checked_instead_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "agents.csv").write_text("id,mode\na,never\n")
    bad = run("--register", tmp_path)
    (tmp_path / "agents.csv").write_text("id,mode\na,scheduled\n")
    good = run("--register", tmp_path)

    assert (bad.exit_code, bad.output.startswith(f"{tmp_path / 'agents.csv'}:2: agents.mode")) == (1, True)
    assert (good.exit_code, good.output) == (0, "the register is valid: 1 agents\n")


def test_a_register_is_reported_in_json_too(tmp_path: Path) -> None:
    (tmp_path / "agents.csv").write_text("id,mode\na,never\n")
    report = json.loads(run("--register", tmp_path, "--format", "json").output)

    assert [(error["line"], report["tables"]) for error in report["errors"]] == [(2, {})]


def test_the_help_says_the_exit_codes() -> None:
    assert "Exit codes: 0 every record is valid" in " ".join(run("--help").output.split())
