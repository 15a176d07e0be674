"""A record as the schema writes it: nested, without what is absent, each value in its field's own type.

Records arrive nested, with dotted keys, or mixed. null, "" and [] are absent; one item on a single-valued field is
that item, a single value on a list is a list of one; a number sent as text and the reverse are converted where
nothing is lost. What cannot be read so stays as it is, for the schema to refuse.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.vocabulary import Field, Vocabulary

JSON_TEXT = "gen_ai.tool.call.arguments"
"""The one field that may be given as an object and is kept as its JSON text."""

PROVENANCE = "countersign"
"""Top-level key of an assembled record: which native records it was made of. No field."""

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,9})?")
_EPOCH = re.compile(r"[0-9]{9,19}")
_EPOCH_UNITS = ((10**11, 10**9, "seconds"), (10**14, 10**6, "milliseconds"), (10**17, 10**3, "microseconds"))
_EARLIEST_EPOCH = 10**8
_MISSING = object()
_NAMES_KEPT = 1000


@dataclass(frozen=True)
class Remark:
    """What there is to say about one field of one record.

    Attributes:
        field: dotted name, "" when it is about the whole line.
        message: one sentence without the field's name.
        error: True when the record does not meet the schema, False for a hint.
    """

    field: str
    message: str
    error: bool = True


@dataclass
class Canonical:
    """A record in the schema's form, and what was noticed on the way."""

    record: dict[str, Any] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)


class Reader:
    """Reads records of one vocabulary into their canonical form."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._fields = vocabulary.fields
        self._near: dict[str, str | None] = {}
        self._namespaces = {
            name[:dot] for name in vocabulary.fields for dot, character in enumerate(name) if character == "."
        }

    def read(self, record: Mapping[str, Any]) -> Canonical:
        """Return the canonical form; the record itself is left alone."""
        result = Canonical()
        flat: dict[str, Any] = {}
        misplaced: dict[str, Any] = {}
        self._walk(record, "", flat, misplaced, result.remarks)
        for name, value in flat.items():
            _put(result.record, name, value)
        for name, value in misplaced.items():
            if not _put(result.record, name, value):
                result.remarks.append(Remark(name, "is given twice, as an object and as a value"))
        return result

    def _walk(
        self,
        node: Mapping[str, Any],
        above: str,
        flat: dict[str, Any],
        misplaced: dict[str, Any],
        remarks: list[Remark],
    ) -> None:
        for key, value in node.items():
            name = above + key
            declared = self._fields.get(name)
            if declared is not None:
                self._take(declared, value, flat, remarks)
            elif name in self._namespaces:
                if isinstance(value, dict):
                    self._walk(value, f"{name}.", flat, misplaced, remarks)
                elif not _absent(value):
                    misplaced[name] = value
            elif name != PROVENANCE:
                near = self._closest(name)
                hint = f"; did you mean {near}?" if near else ""
                remarks.append(Remark(name, f"is not a field of the schema and is not read{hint}", error=False))

    def _closest(self, name: str) -> str | None:
        if name not in self._near:
            if len(self._near) >= _NAMES_KEPT:  # a log may invent names without end: they are not worth a search each
                return None
            self._near[name] = self._vocabulary.closest(name)
        return self._near[name]

    @staticmethod
    def _take(declared: Field, value: Any, flat: dict[str, Any], remarks: list[Remark]) -> None:
        if declared.derived:
            if not _absent(value):
                message = "is computed from the record; what a log says of it is overwritten"
                remarks.append(Remark(declared.name, message, error=False))
            return
        before = len(remarks)
        value = _list(declared, value, remarks) if declared.array else _single(declared, value, remarks)
        if value is _MISSING:
            return
        if declared.name in flat:
            del remarks[before:]
            if flat[declared.name] != value:
                remarks.append(Remark(declared.name, "is given twice, with different values"))
            return
        flat[declared.name] = value


def _absent(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, list) and all(v is None or v == "" for v in value))


def _single(declared: Field, value: Any, remarks: list[Remark]) -> Any:
    if _absent(value):
        return _MISSING
    if isinstance(value, list) and declared.name != JSON_TEXT:
        present = [item for item in value if not _absent(item)]
        if len(present) > 1 or isinstance(present[0], list):
            return value
        value = present[0]
        remarks.append(Remark(declared.name, "has one value and was sent as a list of one", error=False))
    return _value(declared, value, remarks)


def _list(declared: Field, value: Any, remarks: list[Remark]) -> Any:
    if _absent(value):
        return _MISSING
    if not isinstance(value, list):
        if isinstance(value, dict):
            return value
        value = [value]
        remarks.append(Remark(declared.name, "is a list and was sent as a single value", error=False))
    items = [_value(declared, item, remarks) for item in value if item is not None and item != ""]
    if declared.name.startswith("oauth.scope.") and any(isinstance(item, str) and " " in item for item in items):
        remarks.append(Remark(declared.name, "holds a space in an item; send one scope an item", error=False))
    return items


def _value(declared: Field, value: Any, remarks: list[Remark]) -> Any:
    """The value in the field's own type where nothing is lost by it, else as it is."""
    if isinstance(value, str):
        if "\0" in value:
            remarks.append(Remark(declared.name, "holds a NUL character"))
        if declared.kind == "keyword":
            return lowered if declared.enum and (lowered := value.lower()) in declared.enum else value
        converted = _from_text(declared, value)
    elif declared.kind == "keyword":
        converted = _to_text(declared, value)
        if declared.name == JSON_TEXT and isinstance(value, dict | list):
            return converted
    elif declared.kind == "time" and isinstance(value, int | float) and not isinstance(value, bool):
        converted = _from_epoch(value)
    else:
        return value
    if converted is None:
        return value
    if converted is not value and converted != value:
        remarks.append(Remark(declared.name, _sent_as(declared, value), error=False))
    return converted


def _to_text(declared: Field, value: Any) -> str | None:
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode() if declared.name == JSON_TEXT else None
    return orjson.dumps(value).decode()


def _from_text(declared: Field, text: str) -> Any:
    if declared.kind == "boolean":
        return {"true": True, "false": False}.get(text.lower())
    if declared.kind == "time":
        return _from_epoch(int(text)) if _EPOCH.fullmatch(text) else text
    if _INTEGER.fullmatch(text):
        return int(text)
    if declared.kind == "number" and _NUMBER.fullmatch(text):
        return float(text)
    return None


def _from_epoch(number: float) -> str | None:
    """An RFC 3339 time from seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size."""
    if number < _EARLIEST_EPOCH or number >= 10**19:
        return None
    scale, _unit = _epoch_unit(number)
    nanoseconds = number * scale if isinstance(number, int) else round(number * scale)
    try:
        second = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=nanoseconds // 10**9)
    except OverflowError:
        return None
    return f"{second:%Y-%m-%dT%H:%M:%S}.{nanoseconds % 10**9:09d}Z"


def _epoch_unit(number: float) -> tuple[int, str]:
    return next(((scale, unit) for limit, scale, unit in _EPOCH_UNITS if number < limit), (1, "nanoseconds"))


def _sent_as(declared: Field, value: Any) -> str:
    if declared.kind == "time":
        unit = _epoch_unit(float(value))[1]
        return f"is a time and was sent in epoch {unit}; send RFC 3339, such as 2026-03-02T09:15:04Z"
    if isinstance(value, str):
        return f"is {'a boolean' if declared.kind == 'boolean' else 'a number'} and was sent as text"
    return f"is text and was sent as {'a boolean' if isinstance(value, bool) else 'a number'}"


def _put(record: dict[str, Any], name: str, value: Any) -> bool:
    """Set a dotted name in a nested record; False when something else is in its place."""
    *above, last = name.split(".")
    node: Any = record
    for key in above:
        node = node.setdefault(key, {})
        if not isinstance(node, dict):
            return False
    if last in node:
        return False
    node[last] = value
    return True
