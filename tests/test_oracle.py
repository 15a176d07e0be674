"""What a Sigma rule means, as tables: rule values by record values, and the logic that joins them.

Sections are those of the Sigma Rules Specification 2.0.0 and of Sigma Modifiers 2.1.0.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from sigma.correlations import SigmaCorrelationRule
from sigma.rule import SigmaRule

from harness.oracle import Unsupported, deciding, fields_read, matches, meaning

ABSENT: Any = object()


def rule(condition: str = "selection", **detections: Any) -> SigmaRule:
    return SigmaRule.from_dict(
        {
            "title": "A rule",
            "logsource": {"product": "mcp", "service": "event"},
            "detection": {**detections, "condition": condition},
        }
    )


def holds(key: str, value: Any, found: Any, **others: Any) -> bool:
    record = others if found is ABSENT else {"f": found, **others}
    return matches(rule(selection={f"f{key}": value}), record)


# modifier, rule value, record values that match, record values that do not
ATOMS: list[tuple[str, Any, list[Any], list[Any]]] = [
    # Rules, General: case-insensitive strings
    ("", "Ana", ["Ana", "ana", "ANA", ["ana"], ["bob", "ANA"]], ["anna", "an", "ana ", " ana", "a", ["bob", "an"]]),
    ("", "ÄRGER", ["ärger", "ÄRGER"], ["arger", "a\u0308rger"]),
    # a final sigma is another letter: U+03A3 is lowered to U+03C3 wherever it stands
    ("", "\u0394\u03a3", ["\u03b4\u03c3", "\u0394\u03c3"], ["\u03b4\u03c2"]),
    ("", "straße", ["STRAßE"], ["strasse", "STRASSE"]),
    ("", "a.c", ["a.c"], ["abc", "a.cc"]),
    ("", "5", ["5", 5, 5.0, [4, 5]], ["05", "5.0", 50, 5.5]),
    ("", "true", [True, "TRUE", "true"], [False, 1, "1"]),
    # Rules, String Wildcard
    ("", "adm?n", ["admin", "ADMXN", "adm\nn"], ["admn", "admiin", "xadmin"]),
    ("", "adm*", ["adm", "Admin", "adm\nx", ["x", "admin"]], ["ad", "xadm"]),
    ("", "*min", ["min", "ADMIN"], ["minx"]),
    ("", "a*b?c", ["abxc", "axxbxc", "a b\nc"], ["abc", "bxc"]),
    ("", "*", ["a", " ", 0, False, ["a"]], []),
    ("", "?", ["a", 5, "é"], ["ab", 55]),
    # Rules, Escaping
    ("", r"a\*b", ["a*b", "A*B"], ["axb", r"a\*b", "ab"]),
    ("", r"a\?b", ["a?b"], ["axb"]),
    ("", r"a\b", [r"a\b"], ["ab", r"a\\b"]),
    ("", r"a\\b", [r"a\b"], ["ab", r"a\\b"]),
    ("", r"a\\*", ["a\\", r"a\x"], ["a*", "ax"]),
    ("", r"a\\\*", [r"a\*"], [r"a\x", "a*"]),
    ("", r"a\\\\b", [r"a\\b"], [r"a\b"]),
    ("", "a%_b", ["a%_b"], ["axxb", "a%xb"]),
    ("", "[a]+(b)|^c$", ["[A]+(B)|^C$"], ["ab", "c"]),
    # Modifiers, Generic
    ("|startswith", "Adm", ["adm", "ADMIN", ["x", "admin"]], ["xadm", "ad", ["x", "xadm"]]),
    ("|endswith", "Min", ["min", "ADMIN"], ["minx", "mi"]),
    ("|contains", "dmi", ["DMI", "admin", ["x", "admin"]], ["dm", ["d", "mi"]]),
    ("|contains", "a*b", ["xaxbx", "ab"], ["ba"]),
    ("|contains", r"50\%*", [r"x50\%*", r"50\%"], ["50%"]),
    ("|cased", "Ana", ["Ana", ["x", "Ana"]], ["ana", "ANA", ["ana"]]),
    ("|cased", "A*a", ["Ana", "Aa"], ["ana", "AnA"]),
    ("|contains|cased", "dMi", ["adMin"], ["admin"]),
    ("|exists", True, ["a", 0, False, ["a"], " "], []),
    # Rules, Lists and Modifiers, all
    ("", ["ana", "bob"], ["ana", "BOB", ["x", "bob"]], ["anabob", "x", ["x"]]),
    ("", ["ana", 5], ["ana", "5", 5], ["x", 6]),
    ("|contains|all", ["an", "na"], ["ana", ["xan", "nax"]], ["an", "na", ["an", "x"]]),
    ("|all", ["a", "b"], [["a", "b"], ["B", "x", "A"]], ["a", "b", ["a"], ["a", "x"]]),
    # Modifiers, Regular Expression
    ("|re", "a[0-9]+c", ["a1c", "xa12cx", ["b", "a1c"]], ["A1C", "ac"]),
    ("|re", "^a.c$", ["abc"], ["a\nc", "xabc", "abcx"]),
    ("|re", r"^a\.c$", ["a.c"], ["abc"]),
    ("|re", "^(ab|cd){2}$", ["abcd"], ["ab", "ababab"]),
    ("|re", "[^a-z*+?]", ["A", "a1"], ["a", "a*", "+?"]),
    ("|re", r"\*+\.", ["**."], ["a."]),
    ("|re|i", "^Ana$", ["ana", "ANA"], ["anna"]),
    ("|re|m", "^b$", ["a\nb\nc", "b"], ["ab"]),
    ("|re|s", "^a.c$", ["a\nc"], ["ac"]),
    ("|re|i|m|s", "^B.C$", ["a\nb\nc"], ["bc"]),
    ("|re", "^5$", [5, "5"], [55]),
    # Modifiers, IP
    ("|cidr", "10.0.0.0/8", ["10.0.0.1", "10.255.255.255", ["192.168.0.1", "10.1.1.1"]], ["11.0.0.0", "110.0.0.1"]),
    ("|cidr", "10.1.2.3/32", ["10.1.2.3"], ["10.1.2.30", "10.1.2.4", "10.0.0.0/8", "10.1.2", "x", "010.1.2.3"]),
    ("|cidr", "2001:db8::/32", ["2001:db8::1", "2001:DB8:0:0::1"], ["2001:db9::1", "10.0.0.1", "::1"]),
    ("|cidr", ["10.0.0.0/8", "fd00::/8"], ["10.0.0.1", "fd12::1"], ["11.0.0.1"]),
    # Modifiers, Numeric
    ("", 5, [5, 5.0, "5", [4, 5]], [6, 5.5, "05", "5.0", "five"]),
    ("", 0, [0, "0", -0.0], [False, 1]),
    ("", 1, [1, "1"], [True, "true"]),
    ("", 2.5, [2.5, "2.5"], [2, 3]),
    ("|lt", 5, [4, 4.9, -1, [9, 4]], [5, 6, "4", True]),
    ("|lte", 5, [5, 4], [5.1, "5"]),
    ("|gt", 5, [6, 5.1, [1, 6]], [5, 4, "6", [1, 5]]),
    ("|gte", 5, [5, 6], [4.9, "5"]),
    ("|gt", 0, [1], [True, "true"]),
    # booleans
    ("", True, [True, "true", "TRUE", [False, True]], [False, 1, "1", "yes"]),
    ("", False, [False, "false"], [True, 0, ""]),
    # encodings are plain strings once pySigma has made them; any of an expansion's forms matches
    ("|base64", "foo", ["Zm9v"], ["foo"]),
    ("|base64offset|contains", "foobar", ["xxZm9vYmFyxx", "Zvb2Jhc"], ["foobar"]),
    ("|windash|contains", " -a", ["x -a", "x /a", "x \u2014a"], ["x +a"]),
]


def each(*, truth: bool) -> list[Any]:
    return [
        pytest.param(key, value, found, id=f"f{key}: {value!r} {'matches' if truth else 'does not match'} {found!r}")
        for key, value, yes, no in ATOMS
        for found in (yes if truth else no)
    ]


@pytest.mark.parametrize(("key", "value", "found"), each(truth=True))
def test_a_value_matches(key: str, value: Any, found: Any) -> None:
    assert holds(key, value, found)


@pytest.mark.parametrize(("key", "value", "found"), each(truth=False))
def test_a_value_does_not_match(key: str, value: Any, found: Any) -> None:
    assert not holds(key, value, found)


KINDS = [(key, value) for key, value, *_ in ATOMS]


@pytest.mark.parametrize(("key", "value"), KINDS, ids=[f"f{k}: {v!r}" for k, v in KINDS])
@pytest.mark.parametrize(
    "nothing", [ABSENT, None, "", [], [None, ""]], ids=["missing", "null", "''", "[]", "[null,'']"]
)
def test_an_absent_field_matches_nothing(key: str, value: Any, nothing: Any) -> None:
    assert not holds(key, value, nothing)


@pytest.mark.parametrize(("key", "value"), KINDS, ids=[f"f{k}: {v!r}" for k, v in KINDS])
@pytest.mark.parametrize(
    "nothing", [ABSENT, None, "", [], [None, ""]], ids=["missing", "null", "''", "[]", "[null,'']"]
)
def test_not_of_an_absent_field_is_true(key: str, value: Any, nothing: Any) -> None:
    record = {} if nothing is ABSENT else {"f": nothing}
    assert matches(rule("not selection", selection={f"f{key}": value}), record)


@pytest.mark.parametrize(("key", "value", "found"), each(truth=True) + each(truth=False))
def test_not_turns_every_verdict_round(key: str, value: Any, found: Any) -> None:
    assert matches(rule("not selection", selection={f"f{key}": value}), {"f": found}) is not holds(key, value, found)


SINGLE = [case for case in each(truth=True) + each(truth=False) if not isinstance(case.values[2], list)]


@pytest.mark.parametrize(("key", "value", "found"), SINGLE)
def test_one_item_in_a_list_reads_as_the_item(key: str, value: Any, found: Any) -> None:
    assert holds(key, value, [found]) is holds(key, value, found)


@pytest.mark.parametrize(("key", "value"), [("", None), ("", ""), ("|exists", False)], ids=["null", "''", "exists: no"])
@pytest.mark.parametrize("nothing", [ABSENT, None, "", [], [None]], ids=["missing", "null", "''", "[]", "[null]"])
def test_null_empty_text_and_not_existing_all_mean_absent(key: str, value: Any, nothing: Any) -> None:
    assert holds(key, value, nothing)


@pytest.mark.parametrize(("key", "value"), [("", None), ("", ""), ("|exists", False)], ids=["null", "''", "exists: no"])
@pytest.mark.parametrize("found", ["a", " ", 0, False, ["a"], ["", "a"]], ids=repr)
def test_a_present_field_is_not_absent(key: str, value: Any, found: Any) -> None:
    assert not holds(key, value, found)


def test_null_in_a_list_of_values_is_one_more_alternative() -> None:
    assert [holds("", ["ana", None], found) for found in ("ana", ABSENT, "bob")] == [True, True, False]


# Modifiers, neq: pySigma puts NOT around the whole item
@pytest.mark.parametrize(
    ("key", "value", "found", "expected"),
    [
        ("|neq", "ana", "bob", True),
        ("|neq", "ana", "ANA", False),
        ("|neq", "ana", ABSENT, True),
        ("|neq", "ana", ["bob", "ana"], False),
        ("|neq", "ana", ["bob", "eve"], True),
        ("|neq", ["ana", "bob"], "eve", True),
        ("|neq", ["ana", "bob"], "bob", False),
        ("|neq", 5, 6, True),
        ("|neq", 5, 5.0, False),
        ("|neq", 5, ABSENT, True),
        ("|contains|neq", "dmi", "admin", False),
        ("|contains|neq", "dmi", "bob", True),
        ("|startswith|all|neq", ["a", "ad"], "admin", False),
        ("|startswith|all|neq", ["a", "ad"], "ana", True),
        ("|fieldref|neq", "g", "bob", True),
        ("|fieldref|neq", "g", "Ana", False),
        ("|fieldref|neq", "g", ABSENT, True),
    ],
)
def test_neq_is_not_of_the_whole_item(key: str, value: Any, found: Any, *, expected: bool) -> None:
    assert holds(key, value, found, g="ana") is expected


# Modifiers, fieldref
REFERENCES: list[tuple[str, Any, Any, bool]] = [
    ("|fieldref", "ana", "ANA", True),
    ("|fieldref", "ana", "anna", False),
    ("|fieldref", "ana", "*", False),
    ("|fieldref", "a*", "a*", True),
    ("|fieldref", ABSENT, "ana", False),
    ("|fieldref", "ana", ABSENT, False),
    ("|fieldref", ABSENT, ABSENT, False),
    ("|fieldref", "", "", False),
    ("|fieldref", None, None, False),
    ("|fieldref", 5, 5.0, True),
    ("|fieldref", 5, "5", True),
    ("|fieldref", 1, True, False),
    ("|fieldref", True, "TRUE", True),
    ("|fieldref", ["a", "b"], ["B", "c"], True),
    ("|fieldref", ["a", "b"], ["c"], False),
    ("|fieldref", ["a", "b"], "b", True),
    ("|fieldref", ["a"], [], False),
    ("|fieldref|startswith", "Admin", "adm", True),
    ("|fieldref|startswith", "admin", "min", False),
    ("|fieldref|startswith", "adm", "admin", False),
    ("|fieldref|startswith", "admin", ABSENT, False),
    ("|fieldref|startswith", "admin", "a*", False),
    ("|fieldref|endswith", "admin", "MIN", True),
    ("|fieldref|endswith", "admin", "adm", False),
    ("|fieldref|contains", "admin", "DMI", True),
    ("|fieldref|contains", "admin", "x", False),
    ("|fieldref|contains", ["x", "admin"], ["y", "dmi"], True),
]


@pytest.mark.parametrize(("key", "left", "right", "expected"), REFERENCES)
def test_a_field_is_compared_with_another(key: str, left: Any, right: Any, *, expected: bool) -> None:
    others = {} if right is ABSENT else {"g": right}
    assert holds(key, "g", left, **others) is expected


TWO = {"selection_a": {"a": "1"}, "selection_b": {"b": "1"}, "filter_main_c": {"c": "1"}, "_note": {"d": "1"}}
ALL_RECORDS = [{k: "1" for k, on in zip("abcd", f"{n:04b}", strict=True) if on == "1"} for n in range(16)]


# Rules, Condition
@pytest.mark.parametrize(
    ("condition", "means"),
    [
        ("selection_a", lambda r: r.a),
        ("not selection_a", lambda r: not r.a),
        ("selection_a and selection_b", lambda r: r.a and r.b),
        ("selection_a or selection_b", lambda r: r.a or r.b),
        ("selection_a or selection_b and filter_main_c", lambda r: r.a or (r.b and r.c)),
        ("(selection_a or selection_b) and filter_main_c", lambda r: (r.a or r.b) and r.c),
        ("not selection_a and selection_b", lambda r: (not r.a) and r.b),
        ("not (selection_a and selection_b)", lambda r: not (r.a and r.b)),
        ("1 of selection_*", lambda r: r.a or r.b),
        ("all of selection_*", lambda r: r.a and r.b),
        ("all of selection_* and not 1 of filter_main_*", lambda r: r.a and r.b and not r.c),
        ("1 of them", lambda r: r.a or r.b or r.c),
        ("all of them", lambda r: r.a and r.b and r.c),
        ("1 of _*", lambda r: r.d),
        (["selection_a", "selection_b"], lambda r: r.a or r.b),
    ],
    ids=lambda value: "means" if callable(value) else str(value),
)
def test_a_condition_means_what_its_words_say_for_every_combination(condition: Any, means: Any) -> None:
    written = rule(condition, **TWO)
    for record in ALL_RECORDS:
        assert matches(written, record) is means(SimpleNamespace(**{letter: letter in record for letter in "abcd"}))


def test_all_items_of_a_map_are_needed() -> None:
    written = rule(selection={"a": "1", "b": "2"})
    assert [matches(written, r) for r in ({"a": "1", "b": "2"}, {"a": "1"}, {"b": "2"})] == [True, False, False]


def test_one_map_of_a_list_is_enough() -> None:
    written = rule(selection=[{"a": "1", "b": "2"}, {"c": "3"}])
    assert [matches(written, r) for r in ({"a": "1", "b": "2"}, {"c": "3"}, {"a": "1"})] == [True, True, False]


def test_not_of_a_map_is_true_as_soon_as_one_item_is_absent() -> None:
    written = rule("selection and not filter", selection={"a": "1"}, filter={"b": "1", "c": "1"})
    assert matches(written, {"a": "1", "b": "1"})


UNSUPPORTED = [
    ({"selection": ["word"]}, "selection", "keyword search"),
    ({"selection": {"|all": ["a", "b"]}}, "selection", "keyword search"),
    ({"selection": {"f|hour": 5}}, "selection", "a part of the time in f"),
    ({"selection": {"f|hour|gte": 5}}, "selection", "a part of the time in f"),
    ({"selection": {"f|expand": "%admins%"}}, "selection", "placeholder %admins% on f"),
    ({"selection": {"f|cased|fieldref": "g"}}, "selection", "|cased with |fieldref on f"),
    ({"selection": {"f|re": r"\d+"}}, "selection", r"regular expression on f"),
    ({"selection": {"f|re": r"\bx"}}, "selection", "regular expression on f"),
    ({"selection": {"f|re": "(?=x)"}}, "selection", "regular expression on f"),
    ({"selection": {"f|re": "(?i)x"}}, "selection", "regular expression on f"),
    ({"selection": {"f|re": "x+?"}}, "selection", "regular expression on f"),
    ({"selection": {"f|re": r"(x)\1"}}, "selection", "regular expression on f"),
    ({"selection": {"f|re": "[a[:alpha:]]"}}, "selection", "regular expression on f"),
]


@pytest.mark.parametrize(("detections", "condition", "construct"), UNSUPPORTED, ids=[str(u[0]) for u in UNSUPPORTED])
def test_what_it_cannot_judge_is_refused_by_rule_and_construct(detections: Any, condition: str, construct: str) -> None:
    with pytest.raises(Unsupported) as refused:
        meaning(rule(condition, **detections))
    assert str(refused.value).startswith("A rule: ")
    assert construct in str(refused.value)


def test_a_correlation_rule_is_refused() -> None:
    counted = {
        "type": "event_count",
        "rules": ["a"],
        "group-by": ["user.id"],
        "timespan": "1h",
        "condition": {"gte": 3},
    }
    correlation: Any = SigmaCorrelationRule.from_dict({"title": "Many", "correlation": counted})
    with pytest.raises(Unsupported, match="Many: a correlation rule"):
        meaning(correlation)


def test_it_knows_every_field_that_a_rule_reads() -> None:
    written = rule(
        "selection and not filter", selection={"a": "1", "b|fieldref": "c"}, filter=[{"d": None}, {"e|gt": 5}]
    )
    assert fields_read(meaning(written)) == {"a", "b", "c", "d", "e"}


@pytest.mark.parametrize(
    ("record", "deciders"),
    [
        ({}, [("a equals '1'", False)]),
        ({"a": "1"}, [("b equals '1'", False)]),
        ({"a": "1", "b": "1", "c": "1"}, [("c equals '1'", True)]),
        ({"a": "1", "b": "1"}, [("a equals '1'", True), ("b equals '1'", True), ("c equals '1'", False)]),
    ],
    ids=["first selection", "second selection", "filter", "fires"],
)
def test_it_names_the_terms_that_decide(record: dict[str, Any], deciders: list[tuple[str, bool]]) -> None:
    term = meaning(rule("all of selection_* and not filter_main_c", **TWO))
    assert [(atom.text, truth) for atom, truth in deciding(term, record)] == deciders
