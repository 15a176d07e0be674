"""Sigma rules as ES|QL conditions over the event view or the chain view.

A subclass of pySigma's ES|QL backend 2.1.1, whose AND, OR and grouping stand. Each override says what the stock one
gets wrong. ES|QL has three truth values; a condition of AND and OR alone keeps a row only where it is true, so absence
needs a word at NOT only: ``NOT COALESCE(…, false)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sigma.backends.elasticsearch.elasticsearch_esql import ESQLBackend
from sigma.types import (
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
    SpecialChars,
)

from backends.elastic.esql import quoted, string
from backends.elastic.pattern import literal, whole
from backends.folding import fold, plain_text
from backends.target import Inexpressible
from backends.typed_backend import TypedBackend

if TYPE_CHECKING:
    from sigma.conversion.state import ConversionState

    from backends.vocabulary import Field, Vocabulary

SEPARATOR = "␟"
"""U+241F, between the items of a list that is searched as one text. The ingest pipeline takes it out of values."""

_NUMBERS = frozenset({"number", "integer"})
_MEETS = {"LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}


class ElasticBackend(TypedBackend, ESQLBackend):
    """One rule at a time.

    Attributes:
        vocabulary: the fields of the view; the stock backend knows no types.
    """

    or_token: ClassVar[str] = "OR"  # noqa: S105 - a word of the language
    and_token: ClassVar[str] = "AND"  # noqa: S105

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.vocabulary = vocabulary

    def convert_condition_not(self, cond: Any, state: ConversionState) -> str:
        """Stock: ``not f == "a"`` is null where the field is absent, so the row is lost."""
        return f"NOT COALESCE({self.convert_condition(cond.args[0], state)}, false)"

    def convert_condition_as_in_expression(self, cond: Any, state: ConversionState) -> str:
        """Without letter case."""
        del state
        values = ", ".join(string(fold(plain_text(arg.value))) for arg in cond.args)
        return f"TO_LOWER({quoted(cond.args[0].field)}) IN ({values})"

    def convert_condition_field_eq_val(self, cond: Any, state: ConversionState) -> str:  # noqa: ARG002 - stock's
        """One test of one field; stock knows no types, no lists, and compares with letter case."""
        field = self.vocabulary.fields.get(cond.field)
        if field is None:
            raise Inexpressible(f"the field {cond.field!r} is not in the schema")
        return self._atom(field, cond.value)

    def _atom(self, field: Field, value: Any) -> str:  # noqa: PLR0911 - one return a kind of value
        at = quoted(field.name)
        if isinstance(value, SigmaExpansion):
            return "(" + " OR ".join(self._atom(field, part) for part in value.values) + ")"
        if isinstance(value, SigmaNull | SigmaExists) or (isinstance(value, SigmaString) and not value.s):
            there = isinstance(value, SigmaExists) and value.exists
            return f"{at} IS {'NOT ' if there else ''}NULL"
        if isinstance(value, SigmaFieldReference):
            return self._reference(field, value)
        if isinstance(value, SigmaBool):
            return _scalar(field, value.boolean, str(value.boolean).lower())
        if isinstance(value, SigmaNumber):
            return _scalar(field, value.number, str(value.number))
        if isinstance(value, SigmaCompareExpression):
            return _compared(field, value)
        if isinstance(value, SigmaCIDRExpression):
            return _network(field, value)
        if isinstance(value, SigmaRegularExpression):
            return _matched(field, whole(field.name, value, item=field.array))
        if isinstance(value, SigmaString):
            return _string(field, value)
        raise Inexpressible(f"the value of {field.name!r} is a {type(value).__name__}, which ES|QL can't compare")

    def _reference(self, field: Field, value: SigmaFieldReference) -> str:
        other = self.vocabulary.fields.get(value.field)
        if other is None:
            raise Inexpressible(f"the field {value.field!r} is not in the schema")
        if field.array or other.array:
            raise Inexpressible(f"{field.name!r} and {value.field!r} are compared, and one of them holds many values")
        left, right = (lowered(written(each)) for each in (field, other))
        starts, ends = getattr(value, "starts_with", False), getattr(value, "ends_with", False)
        if starts and ends:
            return f"LOCATE({left}, {right}) > 0"
        if starts or ends:
            return f"{'STARTS' if starts else 'ENDS'}_WITH({left}, {right})"
        return f"{left} == {right}"


def lowered(at: str) -> str:
    """Any text in lower case: Java writes a capital sigma at a word's end as another letter than elsewhere."""
    return f'TO_LOWER(REPLACE({at}, "Σ", "σ"))'


def _beside(at: str, said: str) -> str:
    """A text in lower case, to be compared with a constant.

    ES|QL makes ``TO_LOWER(x) == "…"`` a comparison that folds ASCII alone (8.19: its ReplaceStringCasing rules), so
    with other letters something must stand between the two.
    """
    return f"TO_LOWER({at})" if said.isascii() else f'CONCAT({lowered(at)}, "")'


def written(field: Field) -> str:
    """A value as JSON writes it: a whole number without a fraction."""
    at = quoted(field.name)
    if field.kind == "keyword":
        return at
    if field.kind == "number":
        return f'REPLACE(TO_STRING({at}), "\\\\.0$", "")'
    if field.kind == "time":
        return f'CONCAT(DATE_FORMAT("yyyy-MM-dd\'T\'HH:mm:ss.SSSSSS", {at}), "Z")'
    return f"TO_STRING({at})"


def _scalar(field: Field, value: float | bool, said: str) -> str:  # noqa: FBT001 - a value
    if field.kind == "boolean" if isinstance(value, bool) else field.kind in _NUMBERS:
        return f"{quoted(field.name)} == {said}"
    return _equal(field, said)


def _equal(field: Field, said: str, *, cased: bool = False) -> str:
    """Equality of text; a list holds it."""
    if field.array:
        return _like(field, said, cased=cased)
    if cased:
        return f"{written(field)} == {string(said)}"
    return f"{_beside(written(field), said)} == {string(fold(said))}"


def _compared(field: Field, value: SigmaCompareExpression) -> str:
    if field.kind not in _NUMBERS:
        return "false"  # Sigma Modifiers 2.1.0, Numeric Modifiers: numbers only
    if not isinstance(value.number, SigmaNumber):
        raise Inexpressible(f"{field.name!r} is compared with a part of a time; compare the whole number")
    return f"{quoted(field.name)} {_MEETS[value.op.name]} {value.number.number}"


def _network(field: Field, value: SigmaCIDRExpression) -> str:
    """An IPv4 address that is written as IPv6 is in no network of IPv4."""
    if field.array:
        raise Inexpressible(f"{field.name!r} holds many values, and a network is asked of it; ask for one address")
    at = written(field)
    family = "" if ":" in value.cidr else "NOT "
    return f'({family}{at} LIKE "*:*" AND CIDR_MATCH(TO_IP({at}), {string(value.cidr)}))'


def _string(field: Field, value: SigmaString) -> str:
    cased = isinstance(value, SigmaCasedString)
    if not value.contains_special():
        plain = plain_text(value)
        if field.kind == "boolean" and not cased and plain.lower() in {"true", "false"}:
            return f"{quoted(field.name)} == {plain.lower()}"
        return _equal(field, plain, cased=cased)
    parts = list(value.s)
    if parts == [SpecialChars.WILDCARD_MULTI]:
        return f"{quoted(field.name)} IS NOT NULL"
    inner = any(map(_shape, parts[1:-1])) or "?" in map(_shape, parts)
    if field.array and inner:
        pattern = "".join(
            {"*": f"[^{SEPARATOR}]*", "?": f"[^{SEPARATOR}]"}.get(_shape(part))
            or literal(str(part) if cased else fold(str(part)))
            for part in parts
        )
        return _matched(
            field, pattern, at=items(field) if cased else _beside(items(field), pattern.replace(SEPARATOR, ""))
        )
    pattern = "".join(
        {"*": "*", "?": "?"}.get(_shape(part))
        or str(part).replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")
        for part in parts
    )
    return _like(field, pattern, cased=cased, wild=True)


def _shape(part: Any) -> str:
    return "*" if part == SpecialChars.WILDCARD_MULTI else "?" if part == SpecialChars.WILDCARD_SINGLE else ""


def _like(field: Field, pattern: str, *, cased: bool, wild: bool = False) -> str:
    """``LIKE``; of a list, between the marks that its items stand between."""
    if not wild:
        pattern = pattern.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")
    pattern = pattern if cased else fold(pattern)
    if not field.array:
        at = written(field) if cased else _beside(written(field), pattern)
        return f"{at} LIKE {string(pattern)}"
    starts, ends = pattern.startswith("*"), pattern.endswith("*") and not pattern.endswith("\\*")
    body = f"{'' if starts else '*' + SEPARATOR}{pattern}{'' if ends else SEPARATOR + '*'}"
    return f"{items(field) if cased else _beside(items(field), pattern)} LIKE {string(body)}"


def items(field: Field) -> str:
    """A list as one text, a mark before and after each item."""
    return f'CONCAT("{SEPARATOR}", MV_CONCAT({quoted(field.name)}, "{SEPARATOR}"), "{SEPARATOR}")'


def _matched(field: Field, pattern: str, at: str = "") -> str:
    """``RLIKE``, which is Lucene's and matches a whole text; of a list, one item."""
    if field.array:
        body = f"(.|\n)*{SEPARATOR}({pattern}){SEPARATOR}(.|\n)*"
        return f"{at or items(field)} RLIKE {string(body)}"
    return f"{at or written(field)} RLIKE {string(pattern)}"
