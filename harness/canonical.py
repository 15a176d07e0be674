"""A record as the schema writes it: nested, without what is absent, each value in its field's own type.

Values are read by `backends.absence`, as every engine reads them; here all that is odd about a record is said, not only
the first thing, and what cannot be read stays as it is, for the schema to refuse.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backends.absence import ARGUMENTS, PROVENANCE, WrongType, absent, normalise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from backends.vocabulary import Field, Vocabulary

_NAMES_KEPT = 1000
_OWN_FORM = {"keyword": "text", "number": "a number", "integer": "a number", "boolean": "a boolean"}


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
        self._plain_text = {
            name for name, f in vocabulary.raw.items() if f.kind == "keyword" and not f.array and not f.enum
        }
        self._near: dict[str, str | None] = {}
        self._namespaces = {
            name[:dot] for name in vocabulary.fields for dot, character in enumerate(name) if character == "."
        }

    def read(self, record: Mapping[str, Any]) -> Canonical:
        """Return the canonical form; the record itself is left alone."""
        result = Canonical()
        flat: dict[str, tuple[Any, Any]] = {}  # as sent, as read
        misplaced: dict[str, Any] = {}
        self._walk(record, "", flat, misplaced, result.remarks)
        for name, (_, value) in flat.items():
            _put(result.record, name, value)
        for name, value in misplaced.items():
            if not _put(result.record, name, value):
                result.remarks.append(Remark(name, "is given twice, as an object and as a value"))
        return result

    def _walk(
        self,
        node: Mapping[str, Any],
        above: str,
        flat: dict[str, tuple[Any, Any]],
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
                elif not absent(value):
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

    def _take(self, declared: Field, value: Any, flat: dict[str, tuple[Any, Any]], remarks: list[Remark]) -> None:
        name = declared.name
        if absent(value):
            return
        if declared.derived:
            message = "is computed from the record; what a log says of it is overwritten"
            remarks.append(Remark(name, message, error=False))
            return
        if name in flat:
            if (type(flat[name][0]), flat[name][0]) != (type(value), value):
                remarks.append(Remark(name, "is given twice, with different values"))
            return
        if type(value) is str and name in self._plain_text and "\0" not in value:
            flat[name] = (value, value)
            return
        flat[name] = (value, self._read_value(declared, value, remarks))

    def _read_value(self, declared: Field, value: Any, remarks: list[Remark]) -> Any:
        name = declared.name
        try:
            read = normalise({name: value}, self._vocabulary)[name]
        except WrongType as wrong:
            if "NUL" in wrong.found:
                remarks.append(Remark(name, "holds a NUL character"))
            return value  # the schema refuses it
        remarks += [Remark(name, hint, error=False) for hint in _hints(declared, value)]
        if declared.enum:
            return _lower(read, declared.enum)
        as_sent = declared.kind == "time" and isinstance(value, str) and not value.isdigit()
        return value if as_sent else read


def _lower(text: str, allowed: tuple[str, ...]) -> str:
    return text.lower() if text.lower() in allowed else text


def _hints(declared: Field, sent: Any) -> Iterator[str]:
    """How a value was read that was not sent in its field's own form."""
    if declared.name == ARGUMENTS and isinstance(sent, dict | list):
        return
    if declared.array != isinstance(sent, list):
        yield "is a list and was sent as a single value" if declared.array else "has one value and was sent as a list"
    items = [item for item in (sent if isinstance(sent, list) else [sent]) if not absent(item)]
    if declared.name.startswith("oauth.scope.") and any(isinstance(item, str) and " " in item for item in items):
        yield "holds a space in an item; send one scope an item"
    if declared.kind == "time" and any(not isinstance(item, str) or item.isdigit() for item in items):
        yield "is a time and was sent as an epoch number; send RFC 3339, such as 2026-03-02T09:15:04Z"
    elif any(isinstance(item, str) != (declared.kind in {"keyword", "time"}) for item in items):
        yield f"is {_OWN_FORM[declared.kind]} and was sent as {_kind(items)}"


def _kind(items: Sequence[Any]) -> str:
    sent = next((item for item in items if not isinstance(item, str)), items[0])
    return "text" if isinstance(sent, str) else "a boolean" if isinstance(sent, bool) else "a number"


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
