"""A record as rules see it: one value a field, in the field's own type, without what is absent.

Records come nested, with dotted keys, or mixed; `flatten` brings all to dotted names. null, ``""`` and ``[]`` mean
that a field is absent, on every engine: engines cannot tell them apart, so no rule may. `normalise` takes them out and
gives every other value its field's type where nothing is lost by it; what is left is a `WrongType`, and the record is
bad. This is the readable form of what the event view does to a whole column at once.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from backends.vocabulary import Field, Vocabulary

ARGUMENTS = "gen_ai.tool.call.arguments"
"""The one keyword that may be sent as an object or array; it is kept as its JSON text."""

PROVENANCE = "countersign"
"""Top-level key of an assembled record: which native records it was made of. No field."""

_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.(\d+))?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,9})?")
_EPOCH_TEXT = re.compile(r"[0-9]{9,19}")
_EPOCH_START, _EPOCH_END = 10**8, 10**19
_EPOCH_UNITS = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3), (_EPOCH_END, 1))
"""Epoch numbers below the first figure are multiplied by the second to give nanoseconds: s, ms, µs, ns."""
_SAFE_INTEGER, _INTEGER_LIMIT = 2**53, 2**63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class WrongType(ValueError):  # noqa: N818 - says what is wrong with the record
    """A known field holds what it cannot hold; the record is bad.

    Attributes:
        field: dotted name.
        expected: what the schema asks for, in words.
        found: what the record holds, in words, without the value itself.
    """

    def __init__(self, field: str, expected: str, found: str) -> None:
        super().__init__(f"{field} must be {expected}, not {found}")
        self.field, self.expected, self.found = field, expected, found


def absent(value: Any) -> bool:
    """True for null, "" and [], and for an array that holds nothing else."""
    return value is None or value == "" or (isinstance(value, list) and all(v is None or v == "" for v in value))


def flatten(record: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """The declared fields of a parsed record by dotted name, values as sent; unknown fields are left out.

    Nested objects, dotted keys and mixtures read alike. A key given twice in one JSON object is not visible here: the
    parser keeps one; who reads the text rejects such lines.

    Raises:
        WrongType: a value where the vocabulary has a namespace, or one field given in two forms that differ.
    """
    namespaces = vocabulary.namespaces
    flat: dict[str, Any] = {}
    for name, value in _walk(record, "", vocabulary.fields, namespaces):
        if name in flat and not absent(flat[name]):
            if not absent(value) and (type(flat[name]), flat[name]) != (type(value), value):
                raise WrongType(name, "given once", "two values that differ")
            continue
        flat[name] = value
    return flat


def normalise(flat: Mapping[str, Any], vocabulary: Vocabulary, *, derived: bool = False) -> dict[str, Any]:
    """The present fields in their own types; derived ones, which a view overwrites, only when asked for.

    Times become RFC 3339 text in UTC with six decimals, the resolution that every engine keeps.

    Raises:
        WrongType: the first field whose value cannot be read without loss.
    """
    present = {}
    for name, value in flat.items():
        field = vocabulary.fields[name]
        if absent(value) or (field.derived and not derived) or (name == ARGUMENTS and value == "[]"):
            continue
        present[name] = _many(field, value) if field.array else _one(field, value)
    return present


def read(record: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """Flatten and normalise one parsed record.

    Raises:
        WrongType: see `flatten` and `normalise`.
    """
    return normalise(flatten(record, vocabulary), vocabulary)


def _walk(
    node: Mapping[str, Any], above: str, fields: Mapping[str, Field], namespaces: frozenset[str]
) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        name = above + key
        if name in fields:
            yield name, value
        elif name in namespaces:
            if isinstance(value, dict):
                yield from _walk(value, f"{name}.", fields, namespaces)
            elif not absent(value):
                raise WrongType(name, "an object", _kind_of(value))


def _one(field: Field, value: Any) -> Any:
    if isinstance(value, list) and field.name != ARGUMENTS:
        items = [item for item in value if not (item is None or item == "")]
        if len(items) > 1:
            raise WrongType(field.name, _expected(field), f"an array of {len(items)} values")
        value = items[0]
    return _item(field, value)


def _many(field: Field, value: Any) -> list[Any]:
    items = value if isinstance(value, list) else [value]
    return [_item(field, item) for item in items if not (item is None or item == "")]


def _item(field: Field, value: Any) -> Any:
    converted = _CONVERSIONS[field.kind](field, value)
    if converted is None:
        raise WrongType(field.name, _expected(field), _kind_of(value))
    return converted


def _keyword(field: Field, value: Any) -> str | None:
    if isinstance(value, str):
        return None if "\0" in value else value
    if isinstance(value, dict | list):
        return _json_text(value) if field.name == ARGUMENTS else None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _json_text(value)


def _json_text(value: Any) -> str | None:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        return None


def _integer(field: Field, value: Any) -> int | None:
    number = _number(field, value) if not isinstance(value, str) else _from_digits(value)
    if isinstance(number, float):
        return int(number) if number.is_integer() and abs(number) <= _SAFE_INTEGER else None
    return number if number is not None and -_INTEGER_LIMIT <= number < _INTEGER_LIMIT else None


def _number(field: Field, value: Any) -> int | float | None:  # noqa: ARG001 - one signature for all kinds
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not isinstance(value, str):
        return None
    return _from_digits(value) if _INTEGER.fullmatch(value) else float(value) if _NUMBER.fullmatch(value) else None


def _from_digits(text: str) -> int | None:
    return int(text) if _INTEGER.fullmatch(text) else None


def _boolean(field: Field, value: Any) -> bool | None:  # noqa: ARG001 - one signature for all kinds
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def _time(field: Field, value: Any) -> str | None:  # noqa: ARG001 - one signature for all kinds
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        match = _TIME.fullmatch(value)
        if match is None:
            return _from_epoch(int(value)) if _EPOCH_TEXT.fullmatch(value) else None
        day, clock, fraction, offset = match.groups()
        try:
            second = datetime.fromisoformat(f"{day}T{clock}{offset.upper().replace('Z', '+00:00')}")
            return _rfc3339(second.astimezone(UTC), (fraction or "")[:6])
        except (ValueError, OverflowError):
            return None
    return _from_epoch(value)


def _from_epoch(number: float) -> str | None:
    """Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size."""
    if not _EPOCH_START <= number < _EPOCH_END:
        return None
    scale = next(scale for limit, scale in _EPOCH_UNITS if number < limit)
    microseconds = Fraction(number) * scale / 1000
    # a float is the nearest to what was meant, so it is rounded; digits that were sent are cut
    second, rest = divmod(round(microseconds) if isinstance(number, float) else int(microseconds), 10**6)
    return _rfc3339(_EPOCH + timedelta(seconds=second), f"{rest:06d}")


def _rfc3339(second: datetime, fraction: str) -> str:
    return f"{second.replace(tzinfo=None).isoformat()}.{fraction:0<6}Z"  # %Y would write years before 1000 short


_CONVERSIONS = {
    "keyword": _keyword,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "time": _time,
}

_EXPECTED = {
    "keyword": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "time": "an RFC 3339 time",
}


def _expected(field: Field) -> str:
    return f"an array, each item {_EXPECTED[field.kind]}" if field.array else f"one value, {_EXPECTED[field.kind]}"


def _kind_of(value: Any) -> str:
    if isinstance(value, str):
        return "text with a NUL character" if "\0" in value else "text"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, list):
        return "an array"
    return "an object"
