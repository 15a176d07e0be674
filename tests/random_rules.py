"""Random rules and records for the differential fuzzer: the whole supported language, over a few fields of each kind.

Values of rules and records are drawn from one small pool, so that equality, prefixes and patterns are often met. A
counter-example that hypothesis has shrunk becomes a row of `semantics.ROWS`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import semantics
from hypothesis import strategies as st
from sigma.rule import SigmaRule

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = ("user.name", "event.code", "user.email")
"""Fields that hold text and that no register moves."""

ARRAY, NUMBER, BOOLEAN, ADDRESS = (
    "oauth.scope.presented",
    "http.response.status_code",
    "chain.via_proxy",
    "source.ip",
)

LETTERS = "aAbB0. *?\\%_\"'|{}[]()$^+~`/-;:<>=,#&@!\n\téÉΣλ日"
NETWORKS = ("10.0.0.0/8", "192.168.8.0/22", "10.1.2.3/32", "0.0.0.0/0", "2001:db8::/32", "::/0", "fe80::/10")
ADDRESSES = ("10.1.2.3", "192.168.11.255", "192.168.12.0", "2001:db8::1", "2001:DB8:0::1", "fe80::1", "10.0.0", "x")
NUMBERS = (0, 1, 5, 99, 100, 200, 399, 400, 401, 404, 500)


@dataclass(frozen=True)
class Example:
    """Rules, as Sigma writes them, and records that all of them judge."""

    rules: tuple[dict[str, Any], ...]
    records: tuple[dict[str, Any], ...]

    def parsed(self) -> dict[str, SigmaRule]:
        """The rules by stem."""
        head = {"title": "Random", "logsource": {"product": "mcp", "service": "event"}}
        return {f"r{n}": SigmaRule.from_dict({**head, "detection": found}) for n, found in enumerate(self.rules)}


def escaped(value: str) -> str:
    """Plain text as Sigma writes it."""
    return re.sub(r"([\\*?])", r"\\\1", value)


def pools() -> st.SearchStrategy[list[str]]:
    """A few texts that rules and records share."""
    one = st.text(LETTERS, min_size=1, max_size=4) | st.sampled_from(sorted(semantics.HOSTILE.values()))
    return st.lists(one, min_size=2, max_size=4, unique=True)


def near(pool: list[str]) -> st.SearchStrategy[str]:
    """A text of the pool, or one that is like it."""
    changes: tuple[Callable[[str], str], ...] = (
        str,
        str.swapcase,
        lambda text: text + "x",
        lambda text: f"x{text}",
        lambda text: text[1:] or "x",
        lambda text: f"x {text}\ny",
    )
    return st.builds(lambda text, change: change(text), st.sampled_from(pool), st.sampled_from(changes))


def patterns(pool: list[str]) -> st.SearchStrategy[str]:
    """A value of a rule: plain, or with wildcards in it."""

    def holed(text: str, at: int, hole: str, *, instead: bool) -> str:
        at = at % (len(text) + 1)
        return escaped(text[:at]) + hole + escaped(text[at + instead :])

    holes = st.builds(
        holed, near(pool), st.integers(0, 5), st.sampled_from(("*", "?", "**", "*?")), instead=st.booleans()
    )
    return near(pool).map(escaped) | holes


def expressions(pool: list[str]) -> st.SearchStrategy[str]:
    """Regular expressions of the flavour that "Sigma Modifiers" names."""
    literal = st.sampled_from(pool).map(lambda text: "".join(_literal(letter) for letter in text if letter >= " "))
    atoms = literal.filter(bool) | st.sampled_from((".", "[ab0]", "[^a]", "a", "B", "\\.", "(a|b)", "é"))
    repeated = st.builds(
        lambda atom, times: f"(({atom}))"[1:-1] + times, atoms, st.sampled_from(("", "", "*", "+", "?", "{1,2}"))
    )
    body = st.lists(repeated, min_size=1, max_size=3).map("".join)
    return st.builds(
        lambda start, text, end: start + text + end, st.sampled_from(("", "^")), body, st.sampled_from(("", "$"))
    )


def _literal(letter: str) -> str:
    return letter if letter.isalnum() or letter in " _" else f"\\{letter}" if letter.isascii() else letter


def items(pool: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """One line of a selection."""
    field = st.sampled_from((*TEXTS, ARRAY))
    how = st.sampled_from(
        ("", "|contains", "|startswith", "|endswith", "|cased", "|contains|cased", "|startswith|cased")
    )
    several = st.lists(patterns(pool), min_size=1, max_size=3)
    text = st.builds(lambda f, h, v: {f + h: v[0] if len(v) == 1 else v}, field, how, several)
    every = st.builds(lambda f, v: {f"{f}|contains|all": v}, field, st.lists(patterns(pool), min_size=2, max_size=3))
    regex = st.builds(
        lambda f, flag, v: {f"{f}|re{flag}": v}, field, st.sampled_from(("", "|i", "|s")), expressions(pool)
    )
    number = st.builds(
        lambda how, v: {NUMBER + how: v}, st.sampled_from(("", "|gt", "|gte", "|lt", "|lte")), st.sampled_from(NUMBERS)
    )
    boolean = st.sampled_from((True, False, "true", "False", 1)).map(lambda v: {BOOLEAN: v})
    network = st.sampled_from(NETWORKS).map(lambda v: {f"{ADDRESS}|cidr": v})
    exists = st.builds(
        lambda f, v: {f"{f}|exists": v}, st.sampled_from((*TEXTS, ARRAY, NUMBER, BOOLEAN, ADDRESS)), st.booleans()
    )
    nothing = st.builds(lambda f, v: {f: v}, st.sampled_from((*TEXTS, ARRAY, NUMBER)), st.sampled_from((None, "")))
    reference = st.builds(
        lambda f, how, other: {f"{f}|fieldref{how}": other},
        st.sampled_from(TEXTS),
        st.sampled_from(("", "|startswith", "|endswith", "|contains")),
        st.sampled_from(TEXTS),
    ).filter(lambda item: next(iter(item)).split("|")[0] not in item.values())
    return st.one_of(text, text, every, regex, number, boolean, network, exists, nothing, reference)


def conditions(names: list[str]) -> st.SearchStrategy[str]:
    """Expressions over selections."""
    leaves = st.sampled_from(names)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            inner.map(lambda term: f"not ({term})"),
            st.builds(lambda a, word, b: f"({a}) {word} ({b})", inner, st.sampled_from(("and", "or")), inner),
            st.builds(lambda a, word, b: f"{a} {word} not {b}", leaves, st.sampled_from(("and", "or")), leaves),
        ),
        max_leaves=4,
    ) | st.sampled_from(("1 of them", "all of them", "not 1 of them"))


@st.composite
def detections(draw: st.DrawFn, pool: list[str]) -> dict[str, Any]:
    """A detection with one to three selections."""
    names = ["a", "b", "c"][: draw(st.integers(1, 3))]
    found: dict[str, Any] = {}
    for name in names:
        lines = draw(st.lists(items(pool), min_size=1, max_size=2))
        found[name] = {key: value for line in lines for key, value in line.items()}
    return {**found, "condition": draw(conditions(names))}


def records(pool: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """A record with some of the fields, by dotted name; null, "" and [] among the values."""
    text = near(pool) | st.sampled_from((None, ""))
    return st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(TEXTS, text),
            ARRAY: st.lists(text, max_size=3) | st.none(),
            NUMBER: st.sampled_from((*NUMBERS, None)),
            BOOLEAN: st.sampled_from((True, False, None)),
            ADDRESS: st.sampled_from((*ADDRESSES, None)),
        },
    )


@st.composite
def examples(draw: st.DrawFn, rules: int = 12, logged: int = 16) -> Example:
    """Rules and records that share a pool of texts."""
    pool = draw(pools())
    return Example(
        tuple(draw(st.lists(detections(pool), min_size=1, max_size=rules))),
        tuple(draw(st.lists(records(pool), min_size=1, max_size=logged))),
    )
