"""The variants that the harness makes of a record by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backends.absence import WrongType, read
from backends.vocabulary import Vocabulary
from harness.variants import ABSENT_FORMS, Same, Variant, dotted, variants

EVENTS = Vocabulary.load(Path(__file__).parent.parent / "schemas" / "event.schema.json")
RECORD: dict[str, Any] = {
    "@timestamp": "2026-03-02T09:00:00Z",
    "chain": {"stage": "tool_call", "via_proxy": True},
    "user": {"id": "u-Ana", "email": "ana@corp.example"},
    "oauth": {"scope": {"presented": ["a.read", "b.write"], "granted": ["a.read"]}, "act": {"depth": 2}},
    "gen_ai": {"tool": {"call": {"arguments": {"user_id": "ana"}}}},
}


def of(*fields: str, cased: tuple[str, ...] = (), records: list[dict[str, Any]] | None = None) -> dict[str, Variant]:
    made = list(variants(records or [RECORD], fields, EVENTS, cased=cased))
    named = {variant.name: variant for variant in made}
    assert len(named) == len(made), "two variants share a name"
    return named


def value(variant: Variant, name: str) -> Any:
    return read(variant.records[0], EVENTS).get(name)


def test_without_fields_only_the_keys_vary() -> None:
    assert list(of()) == ["dotted keys"]


def test_dotted_keys_say_the_same_and_hold_no_nested_field() -> None:
    record = dotted(RECORD, EVENTS)
    assert read(record, EVENTS) == read(RECORD, EVENTS)
    assert {"user.id", "oauth.scope.presented", "gen_ai.tool.call.arguments"} <= set(record)
    assert not {"user", "oauth", "gen_ai", "chain"} & set(record)


def test_what_the_vocabulary_does_not_name_stays_beside_dotted_keys() -> None:
    assert dotted({"vendor": {"x": 1}, "user": {"id": "a"}}, EVENTS) == {"vendor": {"x": 1}, "user.id": "a"}


@pytest.mark.parametrize(
    "name", ["user.id", "oauth.scope.presented", "oauth.act.depth", "chain.via_proxy", "user.name"]
)
def test_absence_has_four_forms_that_must_share_a_verdict(name: str) -> None:
    forms = {n: v for n, v in of(name).items() if v.same is Same.IN_GROUP}
    assert list(forms) == [f"{name} {form}" for form in ABSENT_FORMS]
    assert len({variant.group for variant in forms.values()}) == 1
    assert [value(variant, name) for variant in forms.values()] == [None] * 4


def test_each_form_of_absence_is_really_in_the_record() -> None:
    made = of("user.id")
    assert "id" not in made["user.id missing"].records[0]["user"]
    forms = ("as null", "as an empty text", "as an empty array")
    assert [made[f"user.id {form}"].records[0]["user"]["id"] for form in forms] == [None, "", []]


def test_an_absent_field_has_no_other_variant() -> None:
    assert {v.same for n, v in of("user.name").items() if n != "dotted keys"} == {Same.IN_GROUP}


@pytest.mark.parametrize(
    ("name", "what", "same", "expected"),
    [
        ("user.id", "as one item", Same.AS_CASE, "u-Ana"),
        ("user.id", "as one value", Same.AS_CASE, "u-Ana"),
        ("user.id", "in upper case", Same.AS_FACTS, "U-ANA"),
        ("user.id", "in lower case", Same.AS_FACTS, "u-ana"),
        ("user.id", "with a letter after", Same.FREE, "u-Anax"),
        ("user.id", "with a letter before", Same.FREE, "xu-Ana"),
        ("user.id", "without its last letter", Same.FREE, "u-An"),
        ("user.id", "without its first letter", Same.FREE, "-Ana"),
        ("user.id", "as a wildcard", Same.FREE, "*"),
        ("oauth.scope.granted", "as one value", Same.AS_CASE, ["a.read"]),
        ("oauth.scope.granted", "and one more item", Same.FREE, ["a.read", "a.read-other"]),
        ("oauth.scope.presented", "in another order", Same.AS_FACTS, ["b.write", "a.read"]),
        ("oauth.scope.presented", "in upper case", Same.AS_FACTS, ["A.READ", "B.WRITE"]),
        ("oauth.scope.presented", "with a letter after", Same.FREE, ["a.readx", "b.write"]),
        ("oauth.act.depth", "as text", Same.AS_CASE, 2),
        ("oauth.act.depth", "one more", Same.FREE, 3),
        ("oauth.act.depth", "one less", Same.FREE, 1),
        ("chain.via_proxy", "as text", Same.AS_CASE, True),
        ("chain.via_proxy", "turned round", Same.FREE, False),
        ("gen_ai.tool.call.arguments", "as one text", Same.AS_CASE, '{"user_id": "ana"}'),
    ],
)
def test_a_present_field_varies(name: str, what: str, same: Same, expected: Any) -> None:
    variant = of(name)[f"{name} {what}"]
    assert (variant.same, value(variant, name)) == (same, expected)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("user.id", "as many items"),
        ("user.id", "as an object"),
        ("oauth.act.depth", "as many items"),
        ("oauth.scope.presented", "as an object"),
    ],
)
def test_a_wrong_type_must_be_rejected_and_is_one(name: str, what: str) -> None:
    variant = of(name)[f"{name} {what}"]
    assert variant.same is Same.REJECTED
    with pytest.raises(WrongType):
        read(variant.records[0], EVENTS)


def test_only_rejected_variants_hold_wrong_types() -> None:
    for variant in of(*EVENTS.raw).values():
        if variant.same is not Same.REJECTED:
            assert read(variant.records[0], EVENTS)


def test_letter_case_is_free_where_the_rule_compares_it() -> None:
    assert of("user.id", cased=("user.id",))["user.id in upper case"].same is Same.FREE


def test_a_field_that_matters_only_in_form_is_absent_or_one_item() -> None:
    made = list(variants([RECORD], (), EVENTS, forms=("user.id", "user.name")))
    assert {v.field for v in made} == {"", "user.id"}
    assert {v.same for v in made} == {Same.AS_CASE, Same.IN_GROUP}


def test_derived_fields_time_and_stage_are_never_bent() -> None:
    assert list(of("user.key", "@timestamp", "chain.stage")) == ["dotted keys"]


def test_each_record_of_a_case_is_bent_alone() -> None:
    second = {"@timestamp": "2026-03-02T09:01:00Z", "user": {"id": "u-bob"}}
    made = of("user.id", records=[RECORD, second])
    first_gone, second_gone = made["user.id of record 1 missing"], made["user.id of record 2 missing"]
    assert [read(r, EVENTS).get("user.id") for r in first_gone.records] == [None, "u-bob"]
    assert [read(r, EVENTS).get("user.id") for r in second_gone.records] == ["u-Ana", None]


def test_making_variants_leaves_the_case_alone() -> None:
    before = repr(RECORD)
    of(*EVENTS.raw)
    assert repr(RECORD) == before
