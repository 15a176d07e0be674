"""A source map's expressions as DuckDB SQL over one parsed line.

A line is parsed once: ``found`` is the list of texts at every JSON Pointer that the map names, in the order of
`Pointers`. Nothing of a log becomes part of the SQL; texts of the map are quoted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backends.duckdb.columns import told

if TYPE_CHECKING:
    from backends.sources import Recognised


def quoted(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def column(name: str) -> str:
    """A dotted name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


@dataclass
class Pointers:
    """The JSON Pointers of a map, each with its place in ``found``."""

    places: dict[str, int] = field(default_factory=dict)

    def place(self, pointer: str) -> int:
        """1-based place of a pointer, which is added when it is new."""
        return self.places.setdefault(pointer, len(self.places) + 1)

    def sql(self) -> str:
        """The list of pointers as an SQL literal."""
        return "[" + ", ".join(map(quoted, self.places)) + "]"


def pointers_of(expression: Any) -> Iterator[str]:
    """Pointers of an expression at which a plain value is expected, so neither an object nor an array."""
    if isinstance(expression, str):
        yield expression
        return
    ((word, shape),) = expression.items()
    if word == "first":
        for one in shape:
            yield from pointers_of(one)
    elif word == "span":
        yield from pointers_of(shape["from"])
        yield from pointers_of(shape["to"])
    elif word not in {"value", "json"}:
        yield from pointers_of(shape["of"])


def text(expression: Any, pointers: Pointers) -> str:
    """SQL of type VARCHAR, null when the value is absent; a list for ``split`` and constant lists."""
    if isinstance(expression, str):
        return f"nullif(found[{pointers.place(expression)}], '')"
    ((word, shape),) = expression.items()
    return _WORDS[word](shape, pointers)


def moment(expression: Any, pointers: Pointers) -> str:
    """SQL of type TIMESTAMP (UTC, µs), null when the value is no time; for a ``time``, or the ``first`` of several."""
    if "first" in expression:
        return f"coalesce({', '.join(moment(one, pointers) for one in expression['first'])})"
    shape = expression["time"]
    return _moment(text(shape["of"], pointers), shape["form"])


def recognises(recognised: Recognised, pointers: Pointers) -> str:
    """SQL that is true for the lines that `Recognised.fits` accepts, else false or null."""
    terms = []
    if recognised.keys:
        terms.append(f"list_has_all(keys, [{', '.join(map(quoted, recognised.keys))}])")
    for pointer, wanted in recognised.values.items():
        value = f"found[{pointers.place(pointer)}]"
        if isinstance(wanted, Mapping) and "present" in wanted:
            terms.append(f"{value} IS {'NOT ' if wanted['present'] else ''}NULL")
        elif isinstance(wanted, Mapping):
            terms.append(f"regexp_matches({value}, {quoted(wanted['pattern'])})")
        else:
            values = wanted if isinstance(wanted, list) else [wanted]
            terms.append(f"{value} IN ({', '.join(_constant(one) for one in values)})")
    return " AND ".join(terms)


def _constant(value: Any) -> str:
    if isinstance(value, bool):
        return "'true'" if value else "'false'"
    return quoted(str(value))


def _moment(sql: str, form: str) -> str:
    """SQL of type TIMESTAMP; null for what is no time, or lies outside the years 1 to 9999 that RFC 3339 can tell of."""
    since = _microseconds(sql, form)
    return f"CASE WHEN {told(since)} THEN make_timestamp({since}) END"


def _microseconds(sql: str, form: str) -> str:
    """SQL of type BIGINT, since 1970; null for what is no time."""
    if form == "utc":
        # DuckDB reads a zone's name, and the seconds of an offset, as if they said UTC; and 'epoch' and 'infinity' as times
        return (
            f"CASE WHEN regexp_full_match({sql}, '{_DAY}{_CLOCK}{_OFFSET}') THEN epoch_us(try_cast({sql} AS TIMESTAMPTZ)) "
            f"WHEN regexp_full_match({sql}, '{_DAY}({_CLOCK}Z?)? *') THEN epoch_us(try_cast({sql} AS TIMESTAMP)) END"
        )
    if form == "epoch_ns":
        return f"try_cast({sql} AS BIGINT) // 1000"
    per = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}[form]
    return f"try_cast(try_cast({sql} AS DOUBLE) * {per} AS BIGINT)"


_DAY = "[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
_CLOCK = r"(T| +)[0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}([.][0-9]*)?)?"
_OFFSET = "[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])? *"


def stamp(sql: str) -> str:
    """A TIMESTAMP as RFC 3339 text with microseconds."""
    return f"strftime({sql}, '%Y-%m-%dT%H:%M:%S.%fZ')"


def _value(shape: Any, _pointers: Pointers) -> str:
    return "[" + ", ".join(map(quoted, shape)) + "]" if isinstance(shape, list) else _constant(shape)


def _first(shape: Any, pointers: Pointers) -> str:
    return f"coalesce({', '.join(text(one, pointers) for one in shape)})"


def _lookup(shape: Any, pointers: Pointers) -> str:
    cases = " ".join(f"WHEN {quoted(key)} THEN {_constant(value)}" for key, value in shape["in"].items())
    otherwise = f" ELSE {_constant(shape['else'])}" if "else" in shape else ""
    return f"CASE {text(shape['of'], pointers)} {cases}{otherwise} END"


def _capture(shape: Any, pointers: Pointers) -> str:
    return f"nullif(regexp_extract({text(shape['of'], pointers)}, {quoted(shape['pattern'])}, 1), '')"


def _parsed(shape: Any, pointers: Pointers) -> str:
    inner = text(shape["of"], pointers)
    return f"CASE WHEN json_valid({inner}) THEN nullif(json_extract_string({inner}, {quoted(shape['at'])}), '') END"


def _time(shape: Any, pointers: Pointers) -> str:
    return stamp(_moment(text(shape["of"], pointers), shape["form"]))


def _scale(shape: Any, pointers: Pointers) -> str:
    return f"CAST(try_cast({text(shape['of'], pointers)} AS DOUBLE) * {float(shape['by'])!r} AS VARCHAR)"


def _span(shape: Any, pointers: Pointers) -> str:
    """Nanoseconds; null where there are too many for 64 bits (292 years)."""
    ends, form = [text(shape[end], pointers) for end in ("from", "to")], shape["form"]
    if form == "epoch_ns":
        since, until = (f"try_cast({end} AS BIGINT)::HUGEINT" for end in ends)
        return f"try_cast({until} - {since} AS BIGINT)::VARCHAR"
    since, until = (f"epoch_us({_moment(end, form)})::HUGEINT" for end in ends)
    return f"try_cast(({until} - {since}) * 1000 AS BIGINT)::VARCHAR"


def _split(shape: Any, pointers: Pointers) -> str:
    return f"list_filter(string_split({text(shape['of'], pointers)}, {quoted(shape['at'])}), lambda item: item <> '')"


def _json(shape: Any, pointers: Pointers) -> str:
    return text(shape, pointers)


_WORDS = {
    "value": _value,
    "json": _json,
    "first": _first,
    "lookup": _lookup,
    "capture": _capture,
    "parsed": _parsed,
    "time": _time,
    "scale": _scale,
    "span": _span,
    "split": _split,
}
