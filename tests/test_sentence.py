"""A finding's sentence: what a template may say, what stands for what is missing, and how long values are shortened."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.paths import Root
from harness.ruleset import load_rules
from harness.sentence import VALUE_LIMIT, Placeholder, fields, parsed, render, short


@pytest.mark.parametrize(
    ("template", "values", "sentence"),
    [
        (
            "{user.id} called {gen_ai.tool.name}.",
            {"user.id": "ana", "gen_ai.tool.name": "export"},
            "ana called export.",
        ),
        ("{user.id} and {user.id}", {"user.id": "ana"}, "ana and ana"),
        ("at {@timestamp}", {"@timestamp": "2026-10-05T09:00:00Z"}, "at 2026-10-05T09:00:00Z"),
        ("no field", {"user.id": "ana"}, "no field"),
        ("{n} s", {"n": 7200}, "7200 s"),
        ("{n} s", {"n": 7200.0}, "7200 s"),
        ("{n} s", {"n": 0.5}, "0.5 s"),
        ("{n}", {"n": 0}, "0"),
        ("{b}", {"b": False}, "false"),
        ("{b}", {"b": True}, "true"),
        ("{a}", {"a": ["x"]}, "x"),
        ("{a}", {"a": ["x", "y", "z"]}, "x, y, z"),
        ("{a}", {"a": ["x", "y", "z", "u", "v"]}, "x, y, z and 2 more"),
        ("{a}", {"a": [True, 1.0]}, "true, 1"),
        ("{user.id}", {"user.id": "{gen_ai.tool.name}", "gen_ai.tool.name": "x"}, "{gen_ai.tool.name}"),
    ],
)
def test_a_placeholder_is_replaced_by_its_value(template: str, values: dict[str, Any], sentence: str) -> None:
    assert render(template, values) == sentence


@pytest.mark.parametrize("value", [None, "", [], [""], [None, ""]], ids=repr)
@pytest.mark.parametrize(
    ("template", "said"),
    [("{user.id|an unnamed caller}", "an unnamed caller"), ("{user.id}", "(unknown)"), ("{user.id|}", "(unknown)")],
)
def test_what_is_absent_is_said_by_the_fallback(template: str, said: str, value: Any) -> None:
    assert render(template, {"user.id": value}) == render(template, {}) == said


@pytest.mark.parametrize(
    "template", ["{", "}", "{user.id", "{user.id|a {b}", "{}", "{user id}", "{{user.id}}", "{user.id|{x}}"]
)
def test_a_brace_without_a_field_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="a brace without a field"):
        parsed(template)


def test_a_template_is_text_and_placeholders_in_order() -> None:
    assert parsed("{a|who} did {b.c}.") == (Placeholder("a", "who"), " did ", Placeholder("b.c"), ".")
    assert fields("{b} {a} {b}") == ("b", "a")


def test_every_value_goes_through_the_mask() -> None:
    asked = []

    def shown(name: str, value: Any) -> str:
        asked.append((name, value))
        return "[masked]"

    assert render("{a} {b|x} {c|x}", {"a": "1", "b": [2]}, shown) == "[masked] [masked] x"
    assert asked == [("a", "1"), ("b", [2])]


@pytest.mark.parametrize(
    "text", ["\x1b[31mred", "a\nb", "a\rb", "\u202eevil", "\u200bx", "\x00", "\ud800", "\x9b31m", "\u2028"], ids=repr
)
def test_what_a_terminal_could_act_on_is_written_as_an_escape(text: str) -> None:
    assert render("{a} did it", {"a": text}).isprintable()


def test_a_long_value_gives_way_in_the_middle_since_ids_differ_at_their_ends() -> None:
    assert short("a" * 100 + "z" * 100) == "a" * 59 + "…" + "z" * 20


@given(st.text(max_size=300) | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Ll"]), min_size=70, max_size=5_000))
def test_a_value_is_never_longer_than_its_limit(text: str) -> None:
    assert len(short(text)) <= VALUE_LIMIT
    assert short(text).isprintable()


@given(st.text(st.characters(categories=["Ll", "Nd"]), min_size=VALUE_LIMIT + 1, max_size=9_000))
def test_a_shortened_value_keeps_both_ends(text: str) -> None:
    head, tail = short(text).split("…")
    assert text.startswith(head)
    assert text.endswith(tail)


@given(st.text(st.characters(categories=["Ll", "Nd"]), max_size=VALUE_LIMIT))
def test_a_value_within_the_limit_stays_whole(text: str) -> None:
    assert short(text) == text


@pytest.mark.parametrize("rule", list(load_rules(Root.default().rules)), ids=lambda rule: rule.stem)
def test_a_rules_sentence_says_something_even_when_nothing_is_known(rule: Any) -> None:
    sentence = render(rule.sentence, {})
    assert sentence.endswith(".")
    assert sentence[0].isupper() or sentence[0] == "("
    assert "None" not in sentence
