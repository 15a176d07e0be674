"""What one test of one field means: strings, numbers, networks, expressions, references to other fields.

The sections cited are those named in `harness.oracle`, which puts these tests together.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from sigma.types import (
    CompareOperators,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SigmaType,
    SpecialChars,
)

from backends.absence import absent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Record = Mapping[str, Any]
    Test = Callable[[Record, list[Any]], bool]

_COMPARISONS = {
    CompareOperators.LT: operator.lt,
    CompareOperators.LTE: operator.le,
    CompareOperators.GT: operator.gt,
    CompareOperators.GTE: operator.ge,
}
_REGEX_ESCAPE = re.compile(r"\\(?:[^a-zA-Z0-9]|[tnr]|x[0-9a-fA-F]{2})")
_REGEX_POSIX = re.compile(r"\[[:.=]")
_REGEX_CLASS = re.compile(r"\[\^?\]?[^\]]*\]")
_REGEX_BEYOND = re.compile(r"\(\?|[*+?}][*+?]")


class Unsupported(ValueError):  # noqa: N818 - says what the oracle cannot judge
    """A construct that this project does not use, so that no verdict about it is guessed.

    Attributes:
        rule: the rule's title.
        construct: what it uses, in words.
    """

    def __init__(self, rule: str, construct: str) -> None:
        super().__init__(f"{rule}: {construct} is not supported")
        self.rule, self.construct = rule, construct


@dataclass(frozen=True)
class Atom:
    """One test of one field.

    Attributes:
        field: dotted name.
        text: the test in words.
        test: the test itself, of the record and the field's items.
        reads: the fields that it reads, where these are more than its own.
        value: what the rule compares with, as pySigma has it.
        met_by: values of the field that make it true, as far as any can be named.
    """

    field: str
    text: str
    test: Test
    reads: tuple[str, ...] = ()
    value: Any = None
    met_by: tuple[Any, ...] = ()

    def holds(self, record: Record) -> bool:
        """Whether it is true of the record."""
        return self.test(record, _items(record.get(self.field)))


def atom(rule: str, field: str, value: Any) -> Atom:
    """What one value of pySigma's means for one field; ``rule`` is the title that an error names.

    Raises:
        Unsupported: the value is of a kind that this project does not use.
    """
    for kind, meant in _MEANINGS:
        if isinstance(value, kind):
            return replace(meant(rule, field, value), value=value)
    raise Unsupported(rule, f"the value kind {type(value).__name__} on {field}")


def _null(_rule: str, field: str, _value: Any) -> Atom:
    return Atom(field, f"{field} is absent", lambda _, items: not items)


def _exists(_rule: str, field: str, value: SigmaExists) -> Atom:
    """*Rules*, Field Existence."""
    wanted = value.exists
    return Atom(field, f"{field} {'exists' if wanted else 'does not exist'}", lambda _, items: bool(items) is wanted)


def _scalar(_rule: str, field: str, value: SigmaNumber | SigmaBool) -> Atom:
    wanted = value.boolean if isinstance(value, SigmaBool) else value.number
    test = _any_item(lambda item: _equal(item, wanted))
    return Atom(field, f"{field} equals {_text(wanted)}", test, met_by=(wanted,))


def _cidr(_rule: str, field: str, value: SigmaCIDRExpression) -> Atom:
    """*Modifiers*, IP Modifiers."""
    network = value.network
    test = _any_item(lambda item: _address_in(item, network))
    return Atom(field, f"{field} lies in {network}", test, met_by=(str(network[0]),))


def _time_part(rule: str, field: str, _value: Any) -> Atom:
    raise Unsupported(rule, f"a part of the time in {field}")


def _expansion(rule: str, field: str, value: SigmaExpansion) -> Atom:
    """A modifier made several values of one; any of them matches, even under ``all``."""
    parts = [atom(rule, field, part) for part in value.values]
    met_by = tuple(value for part in parts for value in part.met_by)
    text = " or ".join(p.text for p in parts)
    return Atom(field, text, lambda record, _: any(p.holds(record) for p in parts), met_by=met_by)


def _string(rule: str, field: str, value: SigmaString) -> Atom:
    """*Rules*, String Wildcard and Escaping; *Modifiers*, ``cased``. pySigma has already undone the escapes."""
    if not value.s:
        return _null(rule, field, value)
    cased = isinstance(value, SigmaCasedString)
    pattern = plain = ""
    for part in value.s:
        if isinstance(part, str):
            pattern += re.escape(part if cased else _fold(part))
            plain += part
        elif isinstance(part, SpecialChars):
            pattern += ".*" if part is SpecialChars.WILDCARD_MULTI else "."
            plain += "x"
        else:
            raise Unsupported(rule, f"the placeholder %{part.name}% on {field}")
    whole = re.compile(pattern, re.DOTALL).fullmatch
    text = f"{field} equals {str(value)!r}{' in this letter case' if cased else ''}"
    test = _any_item(lambda item: whole(_text(item) if cased else _fold(_text(item))) is not None)
    return Atom(field, text, test, met_by=(plain,))


def _comparison(rule: str, field: str, value: SigmaCompareExpression) -> Atom:
    """*Modifiers*, Numeric Modifiers."""
    if isinstance(value.number, SigmaTimestampPart):
        raise Unsupported(rule, f"a part of the time in {field}")
    if value.op not in _COMPARISONS:
        raise Unsupported(rule, f"the comparison {value.op.name} on {field}")
    compare, bound = _COMPARISONS[value.op], value.number.number
    text = f"{field} {value.op.name.lower()} {bound}"
    met_by = tuple(near for near in (bound, bound + 1, bound - 1) if compare(near, bound))
    return Atom(field, text, _any_item(lambda item: _is_number(item) and compare(item, bound)), met_by=met_by)


def _regular_expression(rule: str, field: str, value: SigmaRegularExpression) -> Atom:
    """*Modifiers*, Regular Expression: "Other metacharacters are unsupported and can not be used"."""
    pattern = value.regexp.to_plain_regex()
    beyond = _beyond_the_flavour(pattern)
    if beyond:
        raise Unsupported(rule, f"{beyond} in the regular expression on {field}")
    flags = 0
    for flag in value.flags:
        flags |= value.sigma_to_python_flags[flag]
    search = re.compile(pattern, flags).search
    return Atom(field, f"{field} matches /{pattern}/", _any_item(lambda item: search(_text(item)) is not None))


def _beyond_the_flavour(pattern: str) -> str | None:
    """The first construct of a regular expression that the specification's flavour lacks."""
    plain = _REGEX_ESCAPE.sub("x", pattern)
    if "\\" in plain:
        return repr(plain[plain.index("\\") :][:2])
    found = _REGEX_POSIX.search(plain) or _REGEX_BEYOND.search(_REGEX_CLASS.sub("x", plain))
    return repr(found[0]) if found else None


def _reference(_rule: str, field: str, value: SigmaFieldReference) -> Atom:
    """*Modifiers*, ``fieldref``: the other field's content is plain text, never a pattern."""
    other, (words, related) = value.field, _RELATIONS[value.starts_with, value.ends_with]

    def test(record: Record, items: list[Any]) -> bool:
        return any(related(item, there) for item in items for there in _items(record.get(other)))

    return Atom(field, f"{field} {words} the field {other}", test, reads=(field, other))


def _any_item(test: Callable[[Any], bool]) -> Test:
    return lambda _, items: any(test(item) for item in items)


def _items(value: Any) -> list[Any]:
    """The field's values: none when absent, one, or those of a list."""
    if absent(value):
        return []
    return [item for item in value if not absent(item)] if isinstance(value, list | tuple) else [value]


def _equal(left: Any, right: Any) -> bool:
    if _is_number(left) and _is_number(right):
        return bool(left == right)
    return _fold(_text(left)) == _fold(_text(right))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    """As JSON writes it; a whole number without a fraction."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _fold(text: str) -> str:
    # character by character: Python's whole-string form knows a final sigma, engines do not
    return text.lower() if text.isascii() else "".join(character.lower()[0] for character in text)


def _address_in(item: Any, network: Any) -> bool:
    try:
        return ip_address(_text(item)) in network
    except ValueError:
        return False


def _contains(left: Any, right: Any) -> bool:
    return _fold(_text(right)) in _fold(_text(left))


def _starts_with(left: Any, right: Any) -> bool:
    return _fold(_text(left)).startswith(_fold(_text(right)))


def _ends_with(left: Any, right: Any) -> bool:
    return _fold(_text(left)).endswith(_fold(_text(right)))


_RELATIONS: Mapping[tuple[bool, bool], tuple[str, Callable[[Any, Any], bool]]] = {
    (False, False): ("equals", _equal),
    (True, False): ("starts with", _starts_with),
    (False, True): ("ends with", _ends_with),
    (True, True): ("contains", _contains),
}
"""What a field reference asks, by its ``startswith`` and ``endswith``; ``contains`` sets both."""

_MEANINGS: tuple[tuple[type[SigmaType], Callable[[str, str, Any], Atom]], ...] = (
    (SigmaNull, _null),
    (SigmaExists, _exists),
    (SigmaString, _string),
    (SigmaTimestampPart, _time_part),  # before SigmaNumber, which it inherits from
    (SigmaNumber, _scalar),
    (SigmaBool, _scalar),
    (SigmaCompareExpression, _comparison),
    (SigmaRegularExpression, _regular_expression),
    (SigmaCIDRExpression, _cidr),
    (SigmaFieldReference, _reference),
    (SigmaExpansion, _expansion),
)
"""pySigma's value kinds, first match wins."""
