"""The commands of stock Splunk searches that ours do without: search, bin, rex with any groups, stats by plain names.

Only the stock backend's verdict is read from these (`harness.stock`); what the project emits never runs here. Each is
as its page of the Search Reference says, and raises on anything else.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from harness.engines.spl.commands import COMMANDS
from harness.engines.spl.pattern import compiled
from harness.engines.spl.syntax import unescaped
from harness.engines.spl.values import Row, Unknown, number, several

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Test = Callable[[Row], bool]

PLACES = "_places"
"""The records that a row of `stats` was made of, by their places: a column of the runner's own."""

_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([()]|,|!=|<=|>=|=|<|>)|([^\s()=<>!,"]+))', re.DOTALL)
_SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_STATS = re.compile(r"(count|dc\(([\w.@]+)\)) as (\w+)(?: by ([\w.@ ]+))?")
_REX = re.compile(r'field=([\w.@]+)\s+("(?:[^"\\]|\\.)*")', re.DOTALL)


def piped(rows: Sequence[Row], pipeline: Iterable[str]) -> list[Row]:
    """Rows after the commands of a stock search.

    Raises:
        Unknown: with the command that it is about.
    """
    left = [dict(row) for row in rows]
    for command in pipeline:
        name, clause = [*command.split(maxsplit=1), ""][:2]
        if name in _OWN:
            left = _OWN[name](left, clause)
        elif name in {"eval", "where"}:
            left = COMMANDS[name](left, clause, {})
        else:
            raise Unknown(f"the command {name!r}")
    return left


def search(rows: list[Row], clause: str) -> list[Row]:
    """Page "search": terms without letter case, ``*`` for any text, any of several values."""
    holds = condition(clause)
    return [row for row in rows if holds(row)]


def bin_(rows: list[Row], clause: str) -> list[Row]:
    """Page "bin": times are put at the beginning of their span, counted from 1970."""
    span = re.fullmatch(r"_time span=(\d+)([smhd])", clause.strip())
    if not span:
        raise Unknown(f"bin {clause[:40]!r}")
    length = int(span[1]) * _SPANS[span[2]]
    for row in rows:
        row["_time"] = row["_time"] // length * length
    return rows


def rex(rows: list[Row], clause: str) -> list[Row]:
    """Page "rex": the named groups of the first match."""
    parts = _REX.fullmatch(clause.strip())
    if not parts:
        raise Unknown(f"rex {clause[:40]!r}")
    # the stock backend writes a flag within its group; Python wants it around the group
    pattern = compiled(
        re.sub(r"\(\?<(\w+)>\(\?(\w+)\)(.*)\)$", r"(?\2:(?<\1>\3))", unescaped(parts[2]), flags=re.DOTALL)
    )
    for row in rows:
        for value in several(row.get(parts[1])):
            if match := pattern.search(value):
                row.update({name: text for name, text in match.groupdict().items() if text is not None})
                break
    return rows


def stats(rows: list[Row], clause: str) -> list[Row]:
    """Page "stats": one row a group; a row that lacks a field of the group is in none."""
    parts = _STATS.fullmatch(clause.strip())
    if not parts:
        raise Unknown(f"stats {clause[:40]!r}")
    names = (parts[4] or "").split()
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        key = tuple(row.get(name) for name in names)
        if any(isinstance(value, list) for value in key):
            raise Unknown("a group by several values")
        if None not in key:
            groups.setdefault(key, []).append(row)
    counted = parts[2]
    return [
        {
            **dict(zip(names, key, strict=True)),
            parts[3]: len({v for row in held for v in several(row.get(counted))}) if counted else len(held),
            PLACES: [row["_place"] for row in held],
        }
        for key, held in groups.items()
    ]


_OWN: dict[str, Callable[[list[Row], str], list[Row]]] = {"search": search, "bin": bin_, "rex": rex, "stats": stats}


@lru_cache(maxsize=512)
def condition(clause: str) -> Test:
    """A search expression as a test of a row; NOT binds first, then OR, then AND, which is also unwritten."""
    tokens = list(_tokens(clause))
    test, rest = _all(tokens)
    if rest:
        raise Unknown(f"the search {' '.join(rest)[:40]!r}")
    return test


def _tokens(clause: str) -> Iterator[str]:
    at = 0
    while at < len(clause.rstrip()):
        match = _TOKEN.match(clause, at)
        if not match:
            raise Unknown(f"the search {clause[at : at + 40]!r}")
        yield match[0].strip()
        at = match.end()


def _all(tokens: list[str]) -> tuple[Test, list[str]]:
    tests: list[Test] = []
    while tokens and tokens[0] != ")":
        test, tokens = _any(tokens[1:] if tokens[0] == "AND" else tokens)
        tests.append(test)
    if not tests:
        raise Unknown("an empty search")
    return lambda row: all(test(row) for test in tests), tokens


def _any(tokens: list[str]) -> tuple[Test, list[str]]:
    test, tokens = _one(tokens)
    tests = [test]
    while tokens[:1] == ["OR"]:
        test, tokens = _one(tokens[1:])
        tests.append(test)
    return lambda row: any(test(row) for test in tests), tokens


def _one(tokens: list[str]) -> tuple[Test, list[str]]:
    match tokens:
        case ["NOT", *rest]:
            inner, rest = _one(rest)
            return lambda row: not inner(row), rest
        case ["(", *rest]:
            inner, rest = _all(rest)
            if rest[:1] != [")"]:
                raise Unknown("a bracket is not closed")
            return inner, rest[1:]
        case [field, "IN", "(", *rest]:
            end = rest.index(")")
            return _listed(field, [word for word in rest[:end] if word != ","]), rest[end + 1 :]
        case [field, ("=" | "<" | ">" | "<=" | ">=") as sign, value, *rest]:
            return (_equal(field, value) if sign == "=" else _ordered(field, sign, value)), rest
        case ["*", *rest]:
            return lambda _row: True, rest
    raise Unknown(f"the search {' '.join(tokens)[:40]!r}")


def _listed(field: str, values: list[str]) -> Test:
    tests = [_equal(field, value) for value in values]
    return lambda row: any(test(row) for test in tests)


def _equal(field: str, written: str) -> Test:
    value = unescaped(written) if written.startswith('"') else written
    if "\\" in value:
        raise Unknown("a backslash in a search term")
    form = re.compile(".*".join(map(re.escape, value.split("*"))), re.IGNORECASE | re.DOTALL)
    wanted = number(value)

    def holds(row: Row) -> bool:
        return any(
            form.fullmatch(each) is not None or (wanted is not None and number(each) == wanted)
            for each in several(row.get(field))
        )

    return holds


def _ordered(field: str, sign: str, written: str) -> Test:
    bound = number(written.strip('"'))
    if bound is None:
        raise Unknown(f"{sign} of what is no number")
    tests: dict[str, Callable[[float], bool]] = {
        "<": lambda value: value < bound,
        ">": lambda value: value > bound,
        "<=": lambda value: value <= bound,
        ">=": lambda value: value >= bound,
    }
    found = tests[sign]

    def holds(row: Row) -> bool:
        numbers = [number(each) for each in several(row.get(field))]
        return any(value is not None and found(value) for value in numbers)

    return holds
