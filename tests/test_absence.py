"""Absence and types: what a record says, whatever form it is sent in (schema.md, "Missing is not false")."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backends.absence import WrongType, absent, flatten, normalise, read
from backends.vocabulary import Field, Vocabulary

EVENTS = Vocabulary.load(Path(__file__).parent.parent / "schemas" / "event.schema.json")
LIST, TEXT, COUNT, FLAG, TIME = (
    "oauth.scope.presented",
    "user.id",
    "oauth.act.depth",
    "oauth.act.present",
    "oauth.token.expires_at",
)
AMOUNT = "oauth.token.expires_in"


def one(name: str, value: Any) -> Any:
    return normalise({name: value}, EVENTS).get(name)


@pytest.mark.parametrize("name", [TEXT, LIST, COUNT, FLAG, TIME, "gen_ai.tool.call.arguments"])
@pytest.mark.parametrize("value", [None, "", [], [None], [""], [None, ""]], ids=repr)
def test_null_empty_text_and_empty_array_are_absent(name: str, value: Any) -> None:
    assert normalise({name: value}, EVENTS) == {}


@pytest.mark.parametrize("value", [0, False, " ", [0], {}, ["a", ""]], ids=repr)
def test_zero_false_blank_and_an_empty_object_are_something(value: Any) -> None:
    assert not absent(value)


@pytest.mark.parametrize(
    "record",
    [
        {"user": {"id": "ana"}, "oauth": {"scope": {"presented": ["a"]}}},
        {"user.id": "ana", "oauth.scope.presented": ["a"]},
        {"user": {"id": "ana"}, "oauth": {"scope.presented": ["a"]}},
        {"user.id": "ana", "oauth.scope": {"presented": ["a"]}},
        {"user": {"id": "ana"}, "user.id": None, "oauth": None, "oauth.scope.presented": ["a"]},
    ],
    ids=["nested", "dotted", "dotted inside nested", "nested inside dotted", "absent in the other form"],
)
def test_nested_dotted_and_mixed_keys_read_alike(record: dict[str, Any]) -> None:
    assert read(record, EVENTS) == {TEXT: "ana", LIST: ["a"]}


def test_a_field_given_in_two_forms_with_one_value_is_that_value() -> None:
    assert read({"user": {"id": "ana"}, "user.id": "ana"}, EVENTS) == {TEXT: "ana"}


@pytest.mark.parametrize("other", ["bob", "Ana", ["ana"]], ids=repr)
def test_a_field_given_in_two_forms_that_differ_makes_the_record_bad(other: Any) -> None:
    with pytest.raises(WrongType, match=r"user\.id must be given once"):
        flatten({"user": {"id": "ana"}, "user.id": other}, EVENTS)


def test_fields_that_the_schema_does_not_name_are_left_out() -> None:
    record = {"user": {"shoe_size": 41, "id": "ana"}, "countersign": {"records": [[0, 0]]}, "x": {"user": {"id": "b"}}}
    assert read(record, EVENTS) == {TEXT: "ana"}


@pytest.mark.parametrize("value", ["ana", 5, True, [{"id": "ana"}]], ids=repr)
def test_a_value_in_the_place_of_a_namespace_makes_the_record_bad(value: Any) -> None:
    with pytest.raises(WrongType, match="user must be an object"):
        flatten({"user": value}, EVENTS)


@pytest.mark.parametrize("value", [None, "", []], ids=repr)
def test_an_absent_namespace_is_nothing(value: Any) -> None:
    assert read({"user": value}, EVENTS) == {}


def test_a_derived_field_in_a_log_is_dropped_whatever_it_holds() -> None:
    assert read({"user": {"id": "ana", "key": {"a": 1}}}, EVENTS) == {TEXT: "ana"}


def test_derived_fields_are_kept_when_a_view_gave_them() -> None:
    assert normalise({"user.key": "ana@corp.example"}, EVENTS, derived=True) == {"user.key": "ana@corp.example"}


CONVERTED = [
    (TEXT, "ana", "ana"),
    (TEXT, ["ana"], "ana"),
    (TEXT, ["ana", None, ""], "ana"),
    (TEXT, 5, "5"),
    (TEXT, 2.5, "2.5"),
    (TEXT, True, "true"),
    (TEXT, " Ana ", " Ana "),
    (LIST, "a", ["a"]),
    (LIST, ["a", "b"], ["a", "b"]),
    (LIST, ["a", None, "", "a"], ["a", "a"]),
    (LIST, 7, ["7"]),
    (LIST, ["a b"], ["a b"]),
    (COUNT, 5, 5),
    (COUNT, "5", 5),
    (COUNT, ["5"], 5),
    (COUNT, 5.0, 5),
    (COUNT, "-3", -3),
    (COUNT, 2**63 - 1, 2**63 - 1),
    (AMOUNT, "2.5", 2.5),
    (AMOUNT, "3600", 3600),
    (FLAG, "true", True),
    (FLAG, "FALSE", False),
    (FLAG, [False], False),
    (TIME, "2026-03-02T09:15:04Z", "2026-03-02T09:15:04.000000Z"),
    (TIME, "2026-03-02t11:15:04.12+02:00", "2026-03-02T09:15:04.120000Z"),
    (TIME, "2026-03-02T09:15:04.123456789Z", "2026-03-02T09:15:04.123456Z"),
    (TIME, 1772442904, "2026-03-02T09:15:04.000000Z"),
    (TIME, 1772442904.25, "2026-03-02T09:15:04.250000Z"),
    (TIME, 1772442904.12, "2026-03-02T09:15:04.120000Z"),
    (TIME, 1772442904120, "2026-03-02T09:15:04.120000Z"),
    (TIME, 1772442904120456, "2026-03-02T09:15:04.120456Z"),
    (TIME, 1772442904120456789, "2026-03-02T09:15:04.120456Z"),
    (TIME, "1772442904120", "2026-03-02T09:15:04.120000Z"),
    ("gen_ai.tool.call.arguments", {"user_id": "é", "n": [1]}, '{"user_id":"é","n":[1]}'),
    ("gen_ai.tool.call.arguments", [1, {"a": 2}], '[1,{"a":2}]'),
    ("gen_ai.tool.call.arguments", {}, "{}"),
    ("gen_ai.tool.call.arguments", '{"a": 1}', '{"a": 1}'),
]


@pytest.mark.parametrize(("name", "value", "expected"), CONVERTED, ids=[f"{n} {v!r}" for n, v, _ in CONVERTED])
def test_a_value_is_read_in_its_fields_own_type_where_nothing_is_lost(name: str, value: Any, expected: Any) -> None:
    got = one(name, value)
    assert (type(got), got) == (type(expected), expected)


REFUSED = [
    (TEXT, ["ana", "bob"]),
    (TEXT, ["ana", "ana"]),
    (TEXT, {"a": 1}),
    (TEXT, {}),
    (TEXT, [["ana"]]),
    (TEXT, "an\0a"),
    (TEXT, float("nan")),
    (LIST, {"a": 1}),
    (LIST, [["a"]]),
    (LIST, ["a", {"b": 1}]),
    (COUNT, "five"),
    (COUNT, "5.0"),
    (COUNT, " 5"),
    (COUNT, "05"),
    (COUNT, "\u0665"),
    (COUNT, 5.5),
    (COUNT, 2**63),
    (COUNT, True),
    (AMOUNT, "1e3"),
    (AMOUNT, float("inf")),
    (FLAG, 1),
    (FLAG, "yes"),
    (TIME, "yesterday"),
    (TIME, "2026-02-30T00:00:00Z"),
    (TIME, "2026-03-02T09:15:04"),
    (TIME, "2026-03-02 09:15:04Z"),
    (TIME, "0001-01-01T00:00:00+01:00"),
    (TIME, 12),
    (TIME, True),
]


@pytest.mark.parametrize(("name", "value"), REFUSED, ids=[f"{n} {v!r}" for n, v in REFUSED])
def test_what_cannot_be_read_without_loss_makes_the_record_bad(name: str, value: Any) -> None:
    with pytest.raises(WrongType) as wrong:
        one(name, value)
    assert wrong.value.field == name


def test_arguments_nested_too_deep_for_json_make_the_record_bad() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(WrongType):
        one("gen_ai.tool.call.arguments", {"a": deep})


def test_the_reason_names_field_expectation_and_find_but_not_the_value() -> None:
    with pytest.raises(WrongType) as wrong:
        one(TEXT, ["secret-1", "secret-2"])
    assert str(wrong.value) == "user.id must be one value, text, not an array of 2 values"


def test_the_vocabulary_decides_not_the_name() -> None:
    mine = Vocabulary({"a.b": Field("a.b", "integer", array=True)})
    assert read({"a": {"b": ["1", 2]}}, mine) == {"a.b": [1, 2]}
