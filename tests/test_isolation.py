"""Many cases in one data set, told apart by their own keys."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backends.absence import flatten, read
from backends.vocabulary import Vocabulary
from harness.isolation import KEYS, may_move, moved, own_key, own_keys

EVENTS = Vocabulary.load(Path(__file__).parent.parent / "schemas" / "event.schema.json")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
RECORD: dict[str, Any] = {
    "@timestamp": "2026-03-02T09:00:00Z",
    "event": {"id": "e1", "dataset": "countersign"},
    "trace": {"id": TRACE},
    "span": {"id": "00f067aa0ba902b7"},
    "chain": {"prompt": {"id": "prm-1"}},
    "oauth": {"token": {"hash": "abc=", "expires_at": "2026-03-02T10:00:00Z"}},
    "user": {"id": "u-ana"},
}


def flat(record: dict[str, Any]) -> dict[str, Any]:
    return read(record, EVENTS)


def test_every_key_is_a_field() -> None:
    assert set(EVENTS.raw) >= KEYS


def test_two_cases_share_no_key_and_no_event_id() -> None:
    one, two = (flat(own_keys([RECORD], label)[0]) for label in ("a", "b"))
    shared = {name for name in (KEYS | {"event.id"}) & set(one) if one[name] == two[name]}
    assert not shared


def test_what_is_no_key_stays() -> None:
    (record,) = own_keys([RECORD], "a")
    changed = {name for name, value in flat(record).items() if value != flat(RECORD).get(name)}
    assert changed == {"event.id", "trace.id", "span.id", "chain.prompt.id", "oauth.token.hash"}


def test_a_field_that_the_rule_reads_stays() -> None:
    (record,) = own_keys([RECORD], "a", keep=["trace.id", "event.id"])
    assert (flat(record)["trace.id"], flat(record)["event.id"]) == (TRACE, "e1")


@pytest.mark.parametrize("pair", [("x", "x"), ("x", "y"), (TRACE, TRACE), (TRACE, TRACE[:-1] + "7")], ids=repr)
def test_equal_ids_stay_equal_and_different_ones_different(pair: tuple[str, str]) -> None:
    left, right = (own_key(text, "case 7") for text in pair)
    assert (left == right) is (pair[0] == pair[1])


@pytest.mark.parametrize("text", [TRACE, TRACE.upper(), "00f067aa0ba902b7"])
def test_a_hexadecimal_id_keeps_its_form(text: str) -> None:
    own = own_key(text, "a")
    assert (len(own), own.isupper(), int(own, 16) > 0) == (len(text), text.isupper(), True)


@pytest.mark.parametrize("text", ["", "0" * 32])
def test_what_is_no_id_becomes_none(text: str) -> None:
    assert own_key(text, "a") == text


@pytest.mark.parametrize("record", [RECORD, flatten(RECORD, EVENTS), {"trace.id": TRACE, "event": None}], ids=str)
def test_nested_and_dotted_records_get_the_same_keys(record: dict[str, Any]) -> None:
    (own,) = own_keys([record], "a")
    assert flat(own)["trace.id"] == own_key(TRACE, "a")
    assert flat(own)["event.id"] == "a-0"


@pytest.mark.parametrize(
    ("form", "own"),
    [(None, None), ([], []), ("", ""), (5, 5), ([TRACE], [own_key(TRACE, "a")]), ([None, "x"], [None, "x-a"])],
)
def test_the_form_of_a_value_stays(form: Any, own: Any) -> None:
    assert own_keys([{"trace": {"id": form}}], "a")[0]["trace"]["id"] == own


def test_every_time_moves_by_the_same() -> None:
    (later,) = moved([RECORD], timedelta(days=3), EVENTS)
    assert flat(later)["@timestamp"] == "2026-03-05T09:00:00.000000Z"
    assert flat(later)["oauth.token.expires_at"] == "2026-03-05T10:00:00.000000Z"


def test_what_is_no_time_does_not_move() -> None:
    (same,) = moved([{"@timestamp": "soon", "user": {"id": "2026-03-02T09:00:00Z"}}], timedelta(days=3), EVENTS)
    assert same == {"@timestamp": "soon", "user": {"id": "2026-03-02T09:00:00Z"}}


@pytest.mark.parametrize(
    ("tables", "may"),
    [
        ({}, True),
        ({"agents": [{"id": "a", "status_since": "2026-01-01T00:00:00Z"}]}, True),
        ({"agents": [{"id": "a", "status_since": None}]}, True),
        ({"coverage": [{"system": "crm", "since": "2026-04-01T00:00:00Z"}]}, False),
        ({"coverage": [{"system": "crm", "since": "once"}]}, False),
    ],
)
def test_a_register_that_turns_later_keeps_its_cases_where_they_are(tables: Any, *, may: bool) -> None:
    assert may_move(tables, "2026-03-02T09:00:00Z") is may
