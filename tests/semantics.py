"""Small rules and records, and what the Sigma specification says of each: one table for every engine.

"Sigma Rules Specification" 2.0.0 and "Sigma Modifiers" 2.1.0; where they leave a choice, the project's (`harness.oracle`).
A row is (what, detection as YAML, record by dotted name, whether it matches).
"""

from __future__ import annotations

from typing import Any

import yaml
from sigma.rule import SigmaRule

Row = tuple[str, str, dict[str, Any], bool]


def rule(detection: str) -> SigmaRule:
    """A rule with this detection; ``condition: selection`` where it names none."""
    items = yaml.safe_load(detection)
    found = items if "condition" in items else {"selection": items, "condition": "selection"}
    return SigmaRule.from_dict(
        {"title": "Semantics", "logsource": {"product": "mcp", "service": "event"}, "detection": found}
    )


_NOT = "{{selection: {{{0}}}, condition: not selection}}"
HOSTILE = {
    "a double quote": 'say "hi"',
    "a single quote": "o'neil",
    "a backslash": "corp\\ana",
    "two backslashes": "\\\\host\\share",
    "a backslash at the end": "corp\\",
    "a pipe": "a | delete",
    "a per cent": "100%",
    "a brace": "{user}",
    "a bracket": "[search x]",
    "a dollar": "$user$",
    "a backtick": "`drop`",
    "a newline": "a\nb",
    "a tab": "a\tb",
    "a semicolon and dashes": "x; --",
    "a regular expression": ".+(a|b)[c]^$",
    "letters beyond ASCII": "Zoë Łukasz 日本",
    "a digit": "5",
    "a digit with noughts": "05",
    "an exponent": "1e3",
    "an underscore": "a_b",
    "an escape": "a\\x62",
    "the end of a quotation": "\\E.*",
    "a tilde": "~0~1",
    "a function": "len(x) -- y",
}
"""Values that a query must carry unharmed."""


def _quoted(value: str) -> str:
    """A value as a rule writes it: Sigma's wildcards and backslashes escaped, then YAML's quotes."""
    escaped = value.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")
    return yaml.safe_dump(escaped, default_style='"', width=10**6).strip()


ROWS: list[Row] = [
    ("another letter case", "{user.name: ANA}", {"user.name": "ana"}, True),
    ("another letter case in the record", "{user.name: ana}", {"user.name": "aNA"}, True),
    ("letter case beyond ASCII", "{user.name: ZOË}", {"user.name": "zoë"}, True),
    ("the whole text", "{user.name: ana}", {"user.name": "ana "}, False),
    ("cased, the same", "{user.name|cased: Ana}", {"user.name": "Ana"}, True),
    ("cased, another", "{user.name|cased: Ana}", {"user.name": "ana"}, False),
    ("cased and contains", "{user.name|contains|cased: nA}", {"user.name": "ana"}, False),
    ("an absent field", "{user.name: ana}", {}, False),
    ("an absent field under NOT", _NOT.format("user.name: ana"), {}, True),
    ("a present field under NOT", _NOT.format("user.name: ana"), {"user.name": "ana"}, False),
    ("another value under NOT", _NOT.format("user.name: ana"), {"user.name": "bob"}, True),
    ("a star", "{user.name: a*a}", {"user.name": "abba"}, True),
    ("a star for nothing", "{user.name: a*}", {"user.name": "a"}, True),
    ("a star across a line", "{user.name: a*b}", {"user.name": "a\nb"}, True),
    ("a question mark is one character", "{user.name: 'a?a'}", {"user.name": "aba"}, True),
    ("a question mark is not two", "{user.name: 'a?a'}", {"user.name": "abba"}, False),
    ("a question mark is not none", "{user.name: 'a?a'}", {"user.name": "aa"}, False),
    ("an escaped star", r"{user.name: 'a\*'}", {"user.name": "ab"}, False),
    ("an escaped star itself", r"{user.name: 'a\*'}", {"user.name": "a*"}, True),
    ("an escaped question mark", r"{user.name: 'a\?'}", {"user.name": "ab"}, False),
    ("a per cent is none", "{user.name: 'a%'}", {"user.name": "abc"}, False),
    ("an underscore is none", "{user.name: a_c}", {"user.name": "abc"}, False),
    ("a per cent in contains", "{user.name|contains: '%'}", {"user.name": "abc"}, False),
    ("a dot is none", "{user.name: a.c}", {"user.name": "abc"}, False),
    ("contains", "{user.name|contains: NN}", {"user.name": "anna"}, True),
    ("startswith", "{user.name|startswith: an}", {"user.name": "Anna"}, True),
    ("startswith, not in the middle", "{user.name|startswith: nn}", {"user.name": "anna"}, False),
    ("endswith", "{user.name|endswith: NA}", {"user.name": "anna"}, True),
    ("endswith, not before a newline", "{user.name|endswith: a}", {"user.name": "a\n"}, False),
    ("contains all", "{user.name|contains|all: [an, na]}", {"user.name": "anna"}, True),
    ("contains all but one", "{user.name|contains|all: [an, x]}", {"user.name": "anna"}, False),
    ("one of a list", "{user.name: [bob, ana]}", {"user.name": "ana"}, True),
    ("none of a list under NOT", _NOT.format("user.name: [bob, ana]"), {"user.name": "eve"}, True),
    ("a regular expression", "{user.name|re: '^a.*a$'}", {"user.name": "anna"}, True),
    ("a regular expression anywhere", "{user.name|re: 'nn'}", {"user.name": "anna"}, True),
    ("a regular expression has letter case", "{user.name|re: 'NN'}", {"user.name": "anna"}, False),
    ("a regular expression without", "{user.name|re|i: 'NN'}", {"user.name": "anna"}, True),
    ("a dot is no newline", "{user.name|re: 'a.b'}", {"user.name": "a\nb"}, False),
    ("a dot is a newline", "{user.name|re|s: 'a.b'}", {"user.name": "a\nb"}, True),
    ("many lines", "{user.name|re|m: '^b'}", {"user.name": "a\nb"}, True),
    ("an escape in a regular expression", r"{user.name|re: 'a\.b'}", {"user.name": "axb"}, False),
    ("a quote in a regular expression", "{user.name|re: 'a\"b'}", {"user.name": 'a"b'}, True),
    ("a backslash in a regular expression", r"{user.name|re: 'a\\b'}", {"user.name": "a\\b"}, True),
    ("a regular expression on nothing", "{user.name|re: '.*'}", {}, False),
    ("a regular expression on nothing, under NOT", _NOT.format("user.name|re: '.*'"), {}, True),
    ("a network", "{source.ip|cidr: 10.0.0.0/8}", {"source.ip": "10.255.0.1"}, True),
    ("outside of a network", "{source.ip|cidr: 10.0.0.0/8}", {"source.ip": "11.0.0.1"}, False),
    ("a network that ends within a number", "{source.ip|cidr: 192.168.8.0/22}", {"source.ip": "192.168.11.255"}, True),
    ("just outside of it", "{source.ip|cidr: 192.168.8.0/22}", {"source.ip": "192.168.12.0"}, False),
    ("a network of IPv6", "{source.ip|cidr: '2001:db8::/32'}", {"source.ip": "2001:DB8:0:1::5"}, True),
    ("outside of one", "{source.ip|cidr: '2001:db8::/32'}", {"source.ip": "2001:db9::1"}, False),
    ("the network of all IPv6", "{source.ip|cidr: '::/0'}", {"source.ip": "2001:db9::1"}, True),
    ("IPv4 in that", "{source.ip|cidr: '::/0'}", {"source.ip": "10.1.2.3"}, False),
    ("IPv6 in the network of all IPv4", "{source.ip|cidr: 0.0.0.0/0}", {"source.ip": "2001:db9::1"}, False),
    ("no address", "{source.ip|cidr: 10.0.0.0/8}", {"source.ip": "10.0.0"}, False),
    ("no address under NOT", _NOT.format("source.ip|cidr: 10.0.0.0/8"), {"source.ip": "unknown"}, True),
    ("an absent address under NOT", _NOT.format("source.ip|cidr: 10.0.0.0/8"), {}, True),
    ("a number", "{http.response.status_code: 401}", {"http.response.status_code": 401}, True),
    ("a number as text", "{http.response.status_code: '401'}", {"http.response.status_code": 401}, True),
    ("another number", "{http.response.status_code: 401}", {"http.response.status_code": 4010}, False),
    ("a number's first digit", "{http.response.status_code|startswith: '4'}", {"http.response.status_code": 404}, True),
    ("at least", "{http.response.status_code|gte: 400}", {"http.response.status_code": 400}, True),
    ("more than", "{http.response.status_code|gt: 400}", {"http.response.status_code": 400}, False),
    ("less, as numbers", "{http.response.status_code|lt: 1000}", {"http.response.status_code": 999}, True),
    ("less than, absent", "{http.response.status_code|lt: 1000}", {}, False),
    ("less than, absent, under NOT", _NOT.format("http.response.status_code|lt: 1000"), {}, True),
    ("more than, of text", "{user.name|gt: 4}", {"user.name": "5"}, False),
    ("text that is a number", "{user.name: 5}", {"user.name": "5"}, True),
    ("text that is nearly a number", "{user.name: 5}", {"user.name": "05"}, False),
    ("text that is a number with a fraction", "{user.name: 5}", {"user.name": "5.0"}, False),
    ("true", "{chain.via_proxy: true}", {"chain.via_proxy": True}, True),
    ("false", "{chain.via_proxy: false}", {"chain.via_proxy": False}, True),
    ("false is not absent", "{chain.via_proxy: false}", {}, False),
    ("true as text", "{chain.via_proxy: 'True'}", {"chain.via_proxy": True}, True),
    ("true is not 1", "{chain.via_proxy: 1}", {"chain.via_proxy": True}, False),
    ("exists", "{user.name|exists: true}", {"user.name": "x"}, True),
    ("exists not", "{user.name|exists: false}", {"user.name": "x"}, False),
    ("exists, empty", "{user.name|exists: true}", {"user.name": ""}, False),
    ("exists, null", "{user.name|exists: true}", {"user.name": None}, False),
    ("null", "{user.name: null}", {}, True),
    ("null of a value", "{user.name: null}", {"user.name": "x"}, False),
    ("an empty text", "{user.name: ''}", {"user.name": None}, True),
    ("an empty array", "{oauth.scope.presented: null}", {"oauth.scope.presented": []}, True),
    ("any item", "{oauth.scope.presented: B}", {"oauth.scope.presented": ["a", "b"]}, True),
    ("no item", "{oauth.scope.presented: c}", {"oauth.scope.presented": ["a", "b"]}, False),
    ("any item under NOT", _NOT.format("oauth.scope.presented: b"), {"oauth.scope.presented": ["a", "b"]}, False),
    ("no item under NOT", _NOT.format("oauth.scope.presented: c"), {"oauth.scope.presented": ["a", "b"]}, True),
    ("an absent array under NOT", _NOT.format("oauth.scope.presented: c"), {}, True),
    (
        "an item's beginning",
        "{oauth.scope.presented|startswith: 'mail.'}",
        {"oauth.scope.presented": ["x", "mail.read"]},
        True,
    ),
    (
        "all, of different items",
        "{oauth.scope.presented|contains|all: [x, y]}",
        {"oauth.scope.presented": ["ax", "ay"]},
        True,
    ),
    (
        "a regular expression of an item",
        "{oauth.scope.presented|re: '^y'}",
        {"oauth.scope.presented": ["x", "y"]},
        True,
    ),
    ("an array exists", "{oauth.scope.presented|exists: true}", {"oauth.scope.presented": ["x"]}, True),
    ("the same as a field", "{user.id|fieldref: user.name}", {"user.id": "ANA", "user.name": "ana"}, True),
    ("another than a field", "{user.id|fieldref: user.name}", {"user.id": "ana", "user.name": "bob"}, False),
    ("nearly the same number", "{user.id|fieldref: user.name}", {"user.id": "5", "user.name": "5.0"}, False),
    ("a field that is absent", "{user.id|fieldref: user.name}", {"user.id": "ana"}, False),
    ("two fields that are absent", "{user.id|fieldref: user.name}", {}, False),
    ("a field under NOT", _NOT.format("user.id|fieldref: user.name"), {"user.id": "ana", "user.name": "ana"}, False),
    ("an absent field compared under NOT", _NOT.format("user.id|fieldref: user.name"), {"user.id": "ana"}, True),
    (
        "a field under OR",
        "{a: {user.id|fieldref: user.name}, b: {event.code: x}, condition: a or b}",
        {"user.id": "ana", "event.code": "x"},
        True,
    ),
    (
        "a field's beginning",
        "{user.email|fieldref|startswith: user.name}",
        {"user.email": "Ana@x", "user.name": "ana"},
        True,
    ),
    (
        "not its middle",
        "{user.email|fieldref|startswith: user.name}",
        {"user.email": "x.ana@x", "user.name": "ana"},
        False,
    ),
    (
        "a field's end",
        "{user.email|fieldref|endswith: user.domain}",
        {"user.email": "ana@X.io", "user.domain": "x.io"},
        True,
    ),
    (
        "a field within",
        "{user.email|fieldref|contains: user.name}",
        {"user.email": "x.ana@x", "user.name": "ANA"},
        True,
    ),
    (
        "a field is no pattern",
        "{user.email|fieldref|contains: user.name}",
        {"user.email": "abc", "user.name": "a.c"},
        False,
    ),
    ("a field is no wildcard", "{user.id|fieldref: user.name}", {"user.id": "abc", "user.name": "a*"}, False),
    (
        "a field that ends a quotation",
        "{user.email|fieldref|contains: user.name}",
        {"user.email": "xyz", "user.name": "\\E.*"},
        False,
    ),
    (
        "a field with a tilde",
        "{user.email|fieldref|contains: user.name}",
        {"user.email": "a~b", "user.name": "0"},
        False,
    ),
    (
        "and, or, not",
        "{a: {event.code: x}, b: {user.name: y}, c: {user.id: z}, condition: a and (b or not c)}",
        {"event.code": "x"},
        True,
    ),
    (
        "or beside and",
        "{a: {event.code: x}, b: {user.name: y}, c: {user.id: z}, condition: a and b or c}",
        {"user.id": "z"},
        True,
    ),
    (
        "and beside or",
        "{a: {event.code: x}, b: {user.name: y}, c: {user.id: z}, condition: c or a and b}",
        {"event.code": "x"},
        False,
    ),
    ("not not", "{a: {event.code: x}, condition: not (not a)}", {}, False),
    *(
        (f"{what} itself", f"{{event.code: {_quoted(value)}}}", {"event.code": value}, True)
        for what, value in HOSTILE.items()
    ),
    *(
        (f"{what}, and more", f"{{event.code: {_quoted(value)}}}", {"event.code": value + "x"}, False)
        for what, value in HOSTILE.items()
    ),
    *(
        (f"{what} within", f"{{event.code|contains: {_quoted(value)}}}", {"event.code": f"<{value}>"}, True)
        for what, value in HOSTILE.items()
    ),
    *(
        (
            f"{what} in an item",
            f"{{oauth.scope.presented: {_quoted(value)}}}",
            {"oauth.scope.presented": ["a", value]},
            True,
        )
        for what, value in HOSTILE.items()
    ),
    *(
        (
            f"{what} in a field",
            "{user.email|fieldref|contains: user.name}",
            {"user.email": f"<{value}>", "user.name": value},
            True,
        )
        for what, value in HOSTILE.items()
    ),
]
"""Every row. ``user.*`` is not moved: no register is given."""
