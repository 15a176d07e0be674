"""What the harness makes of a case by itself: the same record sent otherwise, or with one value nearly the same.

For every field that matters to a rule: absent in its four forms, one item and many, other letter case, look-alikes;
and the whole record with dotted keys. A variant says what it may change: see `Same`. Whatever it may change, engine
and oracle must agree about it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from backends.absence import ARGUMENTS, WrongType, absent, flatten
from harness.case import put

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from backends.vocabulary import Field, Vocabulary

Records = list[dict[str, Any]]

ABSENT_FORMS: dict[str, Any] = {"missing": None, "as null": None, "as an empty text": "", "as an empty array": []}
"""Four ways to say nothing; ``missing`` takes the key away, ``null`` keeps it."""

NEVER_BENT = frozenset({"@timestamp", "chain.stage"})
"""Without a time a record is none, and without its stage it is another case."""


class Same(Enum):
    """What a variant may change."""

    AS_CASE = "the verdict must be the case's"
    AS_FACTS = "the verdict must be the case's, unless a fact that the rule reads is another"
    IN_GROUP = "the verdict must be the same in every form"
    FREE = "the verdict may differ from the case's"
    REJECTED = "the record must be rejected"


@dataclass(frozen=True)
class Variant:
    """One variant of a case.

    Attributes:
        name: what is different, in words: ``user.id as an empty text``.
        records: the case's records, one or all of them changed.
        same: what it may change.
        group: forms that must share one verdict, when ``same`` is ``IN_GROUP``.
        field: the field that is different, "" for the whole record.
    """

    name: str
    records: Records
    same: Same = Same.FREE
    group: str = ""
    field: str = ""


def variants(
    records: Records,
    fields: Collection[str],
    vocabulary: Vocabulary,
    *,
    cased: Collection[str] = (),
    forms: Collection[str] = (),
    only: Collection[int] | None = None,
    drawn: Callable[[str], bool] = lambda _name: True,
) -> Iterator[Variant]:
    """Every variant of a case's records, in a fixed order.

    Args:
        records: nested, as the case makes them.
        fields: dotted names that matter; derived ones are left out, since no log may send them.
        vocabulary: the event's fields.
        cased: fields that the rule compares with letter case.
        forms: more fields, varied only in form: absent, and one value as one item.
        only: records to bend, by index; None for each.
        drawn: whether a sample holds the variant of a name; the others are not made.
    """
    if drawn("dotted keys"):
        yield Variant("dotted keys", [dotted(record, vocabulary) for record in records], Same.AS_CASE)
    for name in sorted((set(fields) | set(forms)) & set(vocabulary.raw) - NEVER_BENT):
        field = vocabulary.raw[name]
        for index, record in enumerate(records):
            if only is not None and index not in only:
                continue
            value = _value(record, field, vocabulary)
            place = f"{name} of record {index + 1}" if len(records) > 1 else name
            if absent(value) and name not in fields:
                continue
            for what, form, same in _of_field(field, value, cased=name in cased):
                if name not in fields and same not in {Same.IN_GROUP, Same.AS_CASE}:
                    continue
                if not drawn(f"{place} {what}"):
                    continue
                changed = [*records[:index], _copied(record), *records[index + 1 :]]
                _write(changed[index], name, form, missing=what == "missing")
                group = f"{place} absent" if same is Same.IN_GROUP else ""
                yield Variant(f"{place} {what}", changed, same, group, name)


def _of_field(field: Field, value: Any, *, cased: bool) -> Iterator[tuple[str, Any, Same]]:
    for what, form in ABSENT_FORMS.items():
        yield what, form, Same.IN_GROUP
    if absent(value):
        return
    if field.name == ARGUMENTS:  # JSON text: letter case and single characters belong to what it says
        yield "as one text", value if isinstance(value, str) else json.dumps(value), Same.AS_CASE
        return
    items = value if isinstance(value, list) else [value]
    yield "as an object", {"value": items[0]}, Same.REJECTED
    if len(items) == 1:
        yield "as one value", items[0], Same.AS_CASE
        yield "as one item", [items[0]], Same.AS_CASE
        if not isinstance(items[0], str):
            yield "as text", json.dumps(items[0]), Same.AS_CASE
    else:
        yield "in another order", [*reversed(items)], Same.AS_FACTS
    if field.array:
        yield "and one more item", [*items, other(items[-1])], Same.FREE
    else:
        yield "as many items", [items[0], other(items[0])], Same.REJECTED
    if field.kind == "keyword":
        yield from _spelled(field, items, Same.FREE if cased else Same.AS_FACTS)
    for what, form in look_alikes(field, items[0]):
        yield what, [form, *items[1:]] if field.array else form, Same.FREE


def _spelled(field: Field, items: Sequence[Any], same: Same) -> Iterator[tuple[str, Any, Same]]:
    for what, spell in SPELLINGS.items():
        other_case = [spell(item) if isinstance(item, str) else item for item in items]
        if other_case != list(items):
            yield what, other_case if field.array else other_case[0], same


SPELLINGS = {"in upper case": str.upper, "in lower case": str.lower, "in swapped case": str.swapcase}


def look_alikes(field: Field, value: Any) -> Iterator[tuple[str, Any]]:
    """Values that a careless comparison takes for this one."""
    if isinstance(value, bool):
        yield "turned round", not value
    elif isinstance(value, int | float):
        yield "one more", value + 1
        yield "one less", value - 1
    elif isinstance(value, str) and field.kind == "keyword":
        yield "with a letter after", f"{value}x"
        yield "with a letter before", f"x{value}"
        yield "with a blank after", f"{value} "
        yield "as a wildcard", "*"
        yield "with _ for a letter", f"_{value[1:]}"
        if len(value) > 1:
            yield "without its last letter", value[:-1]
            yield "without its first letter", value[1:]


def other(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int | float) else f"{value}-other"


def dotted(record: dict[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """The same record with one dotted key a field; what the vocabulary does not name stays as it is."""
    flat: dict[str, Any] = flatten(record, vocabulary)
    roots = {name.partition(".")[0] for name in vocabulary.fields}
    return {**{key: value for key, value in record.items() if key.partition(".")[0] not in roots}, **flat}


def _value(record: dict[str, Any], field: Field, vocabulary: Vocabulary) -> Any:
    try:
        return flatten(record, vocabulary).get(field.name)
    except WrongType:
        return None


def _copied(record: dict[str, Any]) -> dict[str, Any]:
    """The record with nodes of its own; lists and values are never changed in place."""
    return {key: _copied(value) if isinstance(value, dict) else value for key, value in record.items()}


def _write(record: dict[str, Any], name: str, value: Any, *, missing: bool) -> None:
    record.pop(name, None)  # a record may have been written with dotted keys
    put(record, name, None)
    if missing:
        return
    put(record, name, "")
    *above, last = name.split(".")
    node = record
    for key in above:
        node = node[key]
    node[last] = value
