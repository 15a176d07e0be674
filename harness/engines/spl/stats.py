"""stats, eventstats and streamstats, and the functions that they take.

Search Reference: pages of the commands, and "Statistical and charting functions".
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.engines.spl.syntax import parsed
from harness.engines.spl.values import Row, Unknown, number, of, text
from harness.engines.spl.words import options, split_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MAX_STREAM_WINDOW = 10_000
"""limits.conf, ``[stats] max_stream_window``: no larger ``window`` is taken."""

_CALL = re.compile(r"\s*,?\s*(\w+)")


@dataclass(frozen=True)
class Aggregate:
    """One function of a stats command.

    Attributes:
        name: of the function.
        read: gives the values of a row that it takes.
        into: the field that it makes.
    """

    name: str
    read: Callable[[Row], list[Any]]
    into: str


def aggregates(clause: str) -> list[Aggregate]:
    """``count AS n, min(ts) AS first, dc(id) AS d``."""
    found, rest = [], clause.strip()
    while rest:
        match = _CALL.match(rest)
        if not match:
            raise Unknown(f"the statistics {rest[:40]!r}")
        name, at, inside = match[1], match.end(), ""
        if rest[at : at + 1] == "(":
            end = _end(rest, at)
            inside, at = rest[at + 1 : end - 1].strip(), end
        alias = re.match(r"\s+[aA][sS]\s+(?:\"([^\"]+)\"|'([^']+)'|(\w+))", rest[at:])
        if not alias:
            raise Unknown(f"{name} without AS")
        found.append(Aggregate(name, _reader(name, inside), next(filter(None, alias.groups()))))
        if name not in _FUNCTIONS:
            raise Unknown(f"the statistic {name}")
        rest = rest[at + alias.end() :].lstrip().removeprefix(",").lstrip()
    return found


def _end(rest: str, at: int) -> int:
    """The place after the bracket that closes the one at ``at``."""
    deep, quote = 0, ""
    for place in range(at, len(rest)):
        character = rest[place]
        if quote:
            quote = "" if character == quote and rest[place - 1] != "\\" else quote
        elif character in "\"'":
            quote = character
        elif character in "()":
            deep += 1 if character == "(" else -1
            if not deep:
                return place + 1
    raise Unknown("a bracket is not closed")


def _reader(name: str, inside: str) -> Callable[[Row], list[Any]]:
    if not inside:
        if name != "count":
            raise Unknown(f"{name} of nothing")
        return lambda _row: [1]
    node = parsed(inside)
    if node.kind != "field":
        raise Unknown(f"{name}({inside}): set a field before")
    return lambda row: _items(row.get(node.value))


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _ordered(items: Iterable[Any]) -> list[Any]:
    """As numbers where all are, else as text."""
    held = list(items)
    numbers = [number(item) for item in held]
    if None not in numbers:
        return [item for _, item in sorted(zip(numbers, held, strict=True), key=lambda pair: pair[0] or 0)]
    if any(each is not None for each in numbers):
        raise Unknown("min, max or sort of numbers beside text")
    return sorted(held)


def _extreme(place: int) -> Callable[[list[Any]], Any]:
    return lambda items: _ordered(items)[place] if items else None


def _sum(items: list[Any]) -> Any:
    found = [number(item) for item in items]
    if None in found:
        raise Unknown("sum of text")
    return sum(each for each in found if each is not None) if found else None


_FUNCTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "count": len,
    "dc": lambda items: len({text(item) for item in items}),
    "min": _extreme(0),
    "max": _extreme(-1),
    "sum": _sum,
    "values": lambda items: of(sorted({text(item) for item in items})),
    "first": lambda items: items[0] if items else None,
    "last": lambda items: items[-1] if items else None,
}


def _grouped(rows: Sequence[Row], by: Sequence[str]) -> dict[tuple[str, ...], list[Row]]:
    """The rows of each group; a row without one of the fields is in none."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        key = _key(row, by)
        if key is not None:
            groups.setdefault(key, []).append(row)
    return groups


def _key(row: Row, by: Sequence[str]) -> tuple[str, ...] | None:
    values = [row.get(name) for name in by]
    if None in values:
        return None
    if any(isinstance(value, list) for value in values):
        raise Unknown("BY a field with several values")
    return tuple(map(text, values))


def _computed(found: Sequence[Aggregate], rows: Sequence[Row]) -> Row:
    made = {}
    for one in found:
        value = _FUNCTIONS[one.name]([item for row in rows for item in one.read(row)])
        if value is not None:
            made[one.into] = value
    return made


def stats(rows: list[Row], clause: str) -> list[Row]:
    """Search Reference, "stats"."""
    what, by = split_by(clause)
    found = aggregates(what)
    if not by:
        return [_computed(found, rows)]
    return [
        {**{name: group[0][name] for name in by}, **_computed(found, group)} for group in _grouped(rows, by).values()
    ]


def eventstats(rows: list[Row], clause: str) -> list[Row]:
    """Search Reference, "eventstats": the same, written beside each row; memory bounds it (max_mem_usage_mb)."""
    what, by = split_by(clause)
    found = aggregates(what)
    for group in _grouped(rows, by).values() if by else [rows]:
        made = _computed(found, group)
        for row in group:
            row.update(made)
    return rows


def streamstats(rows: list[Row], clause: str) -> list[Row]:  # noqa: C901 - one branch an option
    """Search Reference, "streamstats": over the rows so far, in their order; ``window`` of them at most."""
    given, rest = options(clause, {"current": "t", "window": "0", "global": "t"})
    what, by = split_by(rest)
    found, window = aggregates(what), int(given["window"])
    if window > MAX_STREAM_WINDOW:
        raise Unknown(f"a window of {window} rows: max_stream_window is {MAX_STREAM_WINDOW}")
    if window and by and given["global"] != "f":
        raise Unknown("a window with BY counts the rows of all groups unless global=f")
    current = given["current"] in {"t", "true"}
    held: dict[tuple[str, ...], list[_Running]] = {}
    for row in rows:
        key = _key(row, by) if by else ()
        if key is None:
            continue
        running = held.setdefault(key, [_Running(one, window) for one in found])
        values = [one.read(row) for one in found]
        if current:
            for each, items in zip(running, values, strict=True):
                each.take(items)
        for each in running:
            if (value := each.value()) is not None:
                row[each.aggregate.into] = value
        if not current:
            for each, items in zip(running, values, strict=True):
                each.take(items)
    return rows


class _Running:
    """One function over the rows so far, or the last few of them."""

    def __init__(self, aggregate: Aggregate, window: int) -> None:
        self.aggregate, self.window = aggregate, window
        self.rows: deque[list[Any]] = deque(maxlen=window or None)
        self.last: Any = None
        self.seen = 0

    def take(self, items: list[Any]) -> None:
        """One more row."""
        if self.window:
            self.rows.append(items)
        elif items:
            name, so_far = self.aggregate.name, [] if self.last is None else [self.last]
            self.seen += len(items)
            if name in {"count", "dc", "values"}:
                if name != "count":
                    raise Unknown(f"streamstats {name} without a window")
            elif name != "first" or self.last is None:
                self.last = _FUNCTIONS[name]([*so_far, *items])

    def value(self) -> Any:
        """What the function gives now."""
        if self.window:
            return _FUNCTIONS[self.aggregate.name]([item for items in self.rows for item in items])
        return self.seen if self.aggregate.name == "count" else self.last
