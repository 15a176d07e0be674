"""Sigma conditions as Lucene query strings over the index of the Elastic target.

A subclass of pySigma's Lucene backend 2.1.1, whose AND, OR and grouping stand. The stock one escapes characters; but in
a query string ``<`` and ``>`` can't be escaped, and a newline ends a term. So a plain text stands in quotes, and a text
with wildcards is a regular expression. Text is compared in the folded form that the template keeps beside it; with
letter case in its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sigma.backends.elasticsearch.elasticsearch_lucene import LuceneBackend
from sigma.types import (
    SigmaBool,
    SigmaCasedString,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SpecialChars,
)

from backends.elastic.pattern import literal, whole
from backends.elastic.template import FOLDED
from backends.folding import fold, plain_text
from backends.target import Inexpressible
from backends.typed_backend import TypedBackend

if TYPE_CHECKING:
    from sigma.conversion.state import ConversionState

    from backends.vocabulary import Field, Vocabulary

_NUMBERS = frozenset({"number", "integer"})
_MEETS = {"LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}


class LuceneQueries(TypedBackend, LuceneBackend):
    """One rule at a time.

    Attributes:
        vocabulary: the event's fields; the stock backend knows no types.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.vocabulary = vocabulary

    def decide_convert_condition_as_in_expression(self, cond: Any, state: ConversionState) -> bool:  # noqa: ARG002
        """A list is an OR of tests: each value has its own form."""
        return False

    def convert_condition_not(self, cond: Any, state: ConversionState) -> str:
        """``NOT`` alone in brackets finds nothing in a query string: it takes from what stands beside it."""
        return f"(*:* AND NOT ({self.convert_condition(cond.args[0], state)}))"

    def convert_condition_field_eq_val(self, cond: Any, state: ConversionState) -> str:
        """One test of one field."""
        del state
        field = self.vocabulary.fields.get(cond.field)
        if field is None:
            raise Inexpressible(f"the field {cond.field!r} is not in the schema")
        return self._atom(field, cond.value)

    def _atom(self, field: Field, value: Any) -> str:  # noqa: C901, PLR0911 - one branch a kind of value
        if isinstance(value, SigmaExpansion):
            return "(" + " OR ".join(self._atom(field, part) for part in value.values) + ")"
        if isinstance(value, SigmaNull | SigmaExists) or (isinstance(value, SigmaString) and not value.s):
            there = _there(field)
            return there if isinstance(value, SigmaExists) and value.exists else f"(*:* AND NOT {there})"
        if isinstance(value, SigmaBool) and field.kind == "boolean":
            return f"{field.name}:{str(value.boolean).lower()}"
        if isinstance(value, SigmaNumber) and field.kind in _NUMBERS:
            return f"{field.name}:{_number(value.number)}"
        if isinstance(value, SigmaCompareExpression) and field.kind in _NUMBERS:
            if not isinstance(value.number, SigmaNumber):
                raise Inexpressible(f"{field.name!r} is compared with a part of a time; compare the whole number")
            return f"{field.name}:{_MEETS[value.op.name]}{_number(value.number.number)}"
        if field.kind != "keyword" or isinstance(value, SigmaCompareExpression):
            raise Inexpressible(f"{field.name!r} is no text, and is compared as one; take the ES|QL query")
        if isinstance(value, SigmaBool | SigmaNumber):
            said = str(value.boolean).lower() if isinstance(value, SigmaBool) else str(value.number)
            return f"{field.name}.{FOLDED}:{_quoted(said)}"
        if isinstance(value, SigmaRegularExpression):
            return f"{field.name}:{_slashed(whole(field.name, value))}"
        if isinstance(value, SigmaString):
            return _string(field, value)
        raise Inexpressible(
            f"the value of {field.name!r} is a {type(value).__name__}, which a query string can't compare; "
            "take the ES|QL query"
        )


def _there(field: Field) -> str:
    """Present and not "": a query string's ``_exists_`` takes an empty text for a value."""
    return f"{field.name}:/(.|\n)+/" if field.kind == "keyword" else f"_exists_:{field.name}"


def _number(value: float) -> str:
    return str(value).replace("-", "\\-")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _slashed(pattern: str) -> str:
    return "/" + pattern.replace("/", "\\/") + "/"


def _string(field: Field, value: SigmaString) -> str:
    cased = isinstance(value, SigmaCasedString)
    if list(value.s) == [SpecialChars.WILDCARD_MULTI]:
        return _there(field)
    at = field.name if cased else f"{field.name}.{FOLDED}"
    if not value.contains_special():
        plain = plain_text(value)
        return f"{at}:{_quoted(plain if cased else fold(plain))}"
    shapes = {SpecialChars.WILDCARD_MULTI: "(.|\n)*", SpecialChars.WILDCARD_SINGLE: "(.|\n)"}
    parts = [
        shapes[part] if isinstance(part, SpecialChars) else literal(str(part) if cased else fold(str(part)))
        for part in value.s
    ]
    return f"{at}:{_slashed(''.join(parts))}"
