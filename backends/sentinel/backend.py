"""Sigma rules as KQL conditions over `countersign_events()` or `countersign_chains()`.

A subclass of pySigma's Kusto backend 1.0.1, whose AND, OR, NOT and grouping stand. Each override says what the stock
one gets wrong. Every test of a field is two-valued: on an absent field it is false, so that ``not()`` makes it true.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from sigma.backends.kusto.kusto import KustoBackend
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
    SigmaRegularExpressionFlag,
    SigmaString,
    SpecialChars,
)

from backends.folding import fold, plain_text
from backends.sentinel.columns import ROW, column, network, text
from backends.target import Inexpressible
from backends.typed_backend import TypedBackend

if TYPE_CHECKING:
    from sigma.conversion.state import ConversionState

    from backends.vocabulary import Field, Vocabulary

_NUMBERS = frozenset({"number", "integer"})
_FLAGS = {
    SigmaRegularExpressionFlag.IGNORECASE: "i",
    SigmaRegularExpressionFlag.MULTILINE: "m",
    SigmaRegularExpressionFlag.DOTALL: "s",
}


class SentinelBackend(TypedBackend, KustoBackend):
    """One rule at a time: conditions, and `lets` that must stand before the query.

    Attributes:
        vocabulary: the fields of the view; the stock backend knows no types.
        source: the view, as the query calls it.
        row: the column that tells one row of it from another.
        lets: statements that the condition reads: rows of which an array has an item that matches.
    """

    convert_and_as_in: ClassVar[bool] = False  # stock: `has_all`, which finds terms, not values
    in_expressions_allow_wildcards: ClassVar[bool] = False  # stock: drops the order of the parts of `a*b`

    def __init__(self, vocabulary: Vocabulary, source: str, row: str = ROW, prefix: str = "any") -> None:
        super().__init__()
        self.vocabulary, self.source, self.row, self.prefix = vocabulary, source, row, prefix
        self.lets: list[str] = []

    def convert_condition_as_in_expression(self, cond: Any, state: ConversionState) -> str:
        """``in~`` compares ASCII without letter case, as ``=~`` does."""
        del state
        values = ", ".join(text(plain_text(arg.value)) for arg in cond.args)
        return f"{column(cond.args[0].field)} in~ ({values})"

    def convert_condition_field_eq_val(self, cond: Any, state: ConversionState) -> str:
        """One test of one field; stock knows no types, arrays, references or `cased`, and `?` becomes `*`."""
        field = self.vocabulary.fields.get(cond.field)
        if field is None:
            raise Inexpressible(f"the field {cond.field!r} is not in the schema")
        return self._atom(field, cond.value, state)

    def _atom(self, field: Field, value: Any, state: ConversionState) -> str:
        at = column(field.name)
        if isinstance(value, SigmaExpansion):
            return "(" + " or ".join(self._atom(field, part, state) for part in value.values) + ")"
        if isinstance(value, SigmaNull | SigmaExists) or (isinstance(value, SigmaString) and not value.s):
            there = isinstance(value, SigmaExists) and value.exists
            words = (
                ("isnotempty", "isempty") if field.kind == "keyword" and not field.array else ("isnotnull", "isnull")
            )
            return f"{words[0] if there else words[1]}({at})"  # stock: isnull, always false on a string
        if isinstance(value, SigmaFieldReference):
            return self._reference(field, value)
        if not field.array:
            return _test(field, value, at)
        if type(value) in (SigmaString, SigmaCasedString) and not value.contains_special():
            # `has_any` and `contains` on a dynamic column search its JSON text; a set knows its elements
            cased = isinstance(value, SigmaCasedString)
            items = at if cased else f"parse_json(tolower(tostring({at})))"
            wanted = text(plain_text(value) if cased else fold(plain_text(value)))
            return f"(isnotnull({at}) and set_has_element({items}, {wanted}))"
        name = f"{self.prefix}_{len(self.lets) + 1}"
        self.lets.append(
            f"let {name} = {self.source} | where isnotnull({at}) | project {self.row}, item = {at} "
            f"| mv-expand item to typeof(string) | where {_test(field, value, 'item')} | distinct {self.row};"
        )
        return f"{self.row} in ({name})"

    def _reference(self, field: Field, value: SigmaFieldReference) -> str:
        other = self.vocabulary.fields.get(value.field)
        if other is None:
            raise Inexpressible(f"the field {value.field!r} is not in the schema")
        if field.array or other.array:
            raise Inexpressible(f"{field.name!r} and {value.field!r} are compared, and one of them holds many values")
        left, right = (f"tolower({_written(f, column(f.name))})" for f in (field, other))
        starts, ends = getattr(value, "starts_with", False), getattr(value, "ends_with", False)
        word = {(True, True): "contains_cs", (True, False): "startswith_cs", (False, True): "endswith_cs"}.get(
            (starts, ends), "=="
        )
        guard = " and ".join(f"isnotempty({_written(f, column(f.name))})" for f in (field, other))
        return f"({guard} and {left} {word} {right})"


def _test(field: Field, value: Any, at: str) -> str:  # noqa: C901, PLR0911 - one return a kind of value
    if isinstance(value, SigmaBool):
        if field.kind == "boolean":
            return f"{at} == {str(value.boolean).lower()}"
        return f"{_written(field, at)} =~ {text(str(value.boolean).lower())}"
    if isinstance(value, SigmaNumber):
        if field.kind in _NUMBERS:
            return f"{at} == {value.number}"
        return f"{_written(field, at)} =~ {text(str(value.number))}"
    if isinstance(value, SigmaCompareExpression):
        if field.kind not in _NUMBERS:
            return "false"  # Sigma Modifiers 2.1.0, Numeric Modifiers: numbers only
        if not isinstance(value.number, SigmaNumber):
            raise Inexpressible(f"{field.name!r} is compared with a part of a time; compare the whole number")
        symbol = {"LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}[value.op.name]
        return f"(isnotnull({at}) and {at} {symbol} {value.number.number})"  # stock: null, and not(null) is null
    if isinstance(value, SigmaCIDRExpression):
        family = "contains" if ":" in value.cidr else "!contains"
        return (
            f'({at} {family} ":" and {at} !contains "/" and parse_ipv6({at}) matches regex {text(network(value.cidr))})'
        )
    if isinstance(value, SigmaRegularExpression):
        flags = "".join(sorted(_FLAGS[flag] for flag in value.flags))
        pattern = (f"(?{flags})" if flags else "") + str(value.regexp)
        written = _written(field, at)
        return f"(isnotempty({written}) and {written} matches regex {text(pattern)})"
    if isinstance(value, SigmaString):
        return _string(field, value, at)
    raise Inexpressible(f"the value of {field.name!r} is a {type(value).__name__}, which KQL can't compare")


def _written(field: Field, at: str) -> str:
    """A value as JSON writes it, a whole number without a fraction; absent is the empty text."""
    if field.kind == "boolean":
        return f'iff(isnull({at}), "", iff({at}, "true", "false"))'
    if field.kind == "number":
        return f'replace_regex(tostring({at}), @"\\.0$", "")'
    if field.kind == "time":
        day, clock = f'format_datetime({at}, "yyyy-MM-dd")', f'format_datetime({at}, "HH:mm:ss.ffffff")'
        return f'iff(isnull({at}), "", strcat({day}, "T", {clock}, "Z"))'
    return f"tostring({at})" if field.kind == "integer" else at


def _string(field: Field, value: SigmaString, at: str) -> str:  # noqa: PLR0911 - one return a shape
    cased, whole = isinstance(value, SigmaCasedString), _written(field, at)
    if not value.contains_special():
        plain = plain_text(value)
        if field.kind == "boolean" and not cased and plain.lower() in {"true", "false"}:
            return f"{at} == {plain.lower()}"
        if cased:
            return f"{whole} == {text(plain)}"  # stock: forgets `cased`
        # KQL, String operators: without letter case "only for ASCII text. For non-ASCII comparison, use … tolower()"
        return f"{whole} =~ {text(plain)}" if plain.isascii() else f"tolower({whole}) == {text(fold(plain))}"
    parts = list(value.s)
    texts = [part for part in parts if isinstance(part, str)]
    if not texts and SpecialChars.WILDCARD_SINGLE not in parts:
        return f"isnotempty({whole})"
    shape = tuple(
        "*" if part == SpecialChars.WILDCARD_MULTI else "?" if part == SpecialChars.WILDCARD_SINGLE else "a"
        for part in parts
    )
    word = {("a", "*"): "startswith", ("*", "a"): "endswith", ("*", "a", "*"): "contains"}.get(shape)
    if word and (cased or texts[0].isascii()):
        return f"{whole} {word}{'_cs' if cased else ''} {text(texts[0])}"
    folded = [part if cased else fold(part) for part in texts]
    left = whole if cased else f"tolower({whole})"
    if word:
        return f"{left} {word}_cs {text(folded[0])}"
    rest = iter(folded)
    pattern = "".join({"*": ".*", "?": "."}.get(letter) or _quoted(next(rest)) for letter in shape)
    return f"{left} matches regex {text(f'(?s)^{pattern}$')}"


def _quoted(plain: str) -> str:
    r"""A text as a pattern of RE2. Python's ``re.escape`` also escapes spaces and line ends, which RE2 refuses."""
    return re.sub(r"[\\.+*?()\[\]{}|^$]", r"\\\g<0>", plain)
