"""The vocabulary: every field by its dotted name, as the schema declares it."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.vocabulary import Field, Source, Vocabulary, closest

SCHEMAS = Path(__file__).parent.parent / "schemas"


@pytest.fixture(scope="module")
def event() -> Vocabulary:
    return Vocabulary.load(SCHEMAS / "event.schema.json")


def test_a_field_carries_what_the_schema_says_of_it(event: Vocabulary) -> None:
    assert event.fields["oauth.scope.missing_count"] == Field(
        name="oauth.scope.missing_count",
        kind="integer",
        derived=True,
        description="Number of scopes required and not presented.",
        example=1,
        unit="count",
        source=Source("countersign", "1", "oauth.scope.missing_count"),
        may=("decision", "tool_call", "access"),
    )


def test_a_list_has_the_type_of_its_items(event: Vocabulary) -> None:
    field = event.fields["oauth.scope.presented"]

    assert (field.kind, field.array) == ("keyword", True)


def test_a_time_is_told_from_text_by_its_format(event: Vocabulary) -> None:
    assert (event.fields["@timestamp"].kind, event.fields["event.id"].kind) == ("time", "keyword")


def test_null_is_no_allowed_value(event: Vocabulary) -> None:
    assert event.fields["event.outcome"].enum == ("success", "failure", "unknown")


def test_fields_come_in_the_order_of_the_schema(event: Vocabulary) -> None:
    assert list(event.fields)[:3] == ["@timestamp", "event.id", "event.action"]


def test_raw_and_derived_fields_are_all_fields_and_share_none(event: Vocabulary) -> None:
    assert {*event.raw, *event.derived} == set(event.fields)
    assert set(event.raw).isdisjoint(event.derived)


def test_a_path_leads_to_the_field_in_a_nested_record(event: Vocabulary) -> None:
    assert event.fields["oauth.client.id"].path == ("oauth", "client", "id")


def test_stages_are_listed_in_the_order_of_the_road(event: Vocabulary) -> None:
    assert event.stages[:3] == ("prompt", "decision", "tool_call")


def test_all_fields_of_a_chain_record_are_derived() -> None:
    chain = Vocabulary.load(SCHEMAS / "chain.schema.json")

    assert (len(chain.raw), "chain.has_prompt" in chain.derived, chain.stages) == (0, True, ())


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("user.mail", "user.email"),
        ("User.ID", "user.id"),
        ("oauth.scope.present", "oauth.scope.presented"),
        ("gen_ai.tool.nmae", "gen_ai.tool.name"),
        ("kubernetes.pod.uid", None),
    ],
)
def test_an_unknown_name_is_answered_with_the_closest_one(event: Vocabulary, written: str, meant: str | None) -> None:
    assert event.closest(written) == meant


def test_nothing_is_close_among_no_names() -> None:
    assert closest("user.id", {}) is None
