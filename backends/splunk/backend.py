"""Sigma rules as SPL: a condition of `where` over the event view or the chain view.

The stock backend writes a `search`, which compares well but can't say everything, and defers the rest to commands
behind it. Each override says what the stock one gets wrong. Every atom is two-valued: true or false, never null, so
that NOT means what Sigma means. No atom hangs on what Splunk makes of NOT null, nor on numbers that look alike as text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from sigma.backends.splunk.splunk import SplunkBackend
from sigma.conditions import ConditionAND, ConditionNOT, ConditionOR
from sigma.conversion.state import ConversionState
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

from backends.folding import fold
from backends.target import Inexpressible

if TYPE_CHECKING:
    from collections.abc import Callable

    from sigma.conditions import ConditionFieldEqualsValueExpression, ConditionValueExpression
    from sigma.rule import SigmaRule

    from backends.vocabulary import Field, Vocabulary

_PLAIN = re.compile(r"[A-Za-z0-9 _.,:;/@+=()<>{}!?*#&'~^%|\[\]\-\u00a1-\uffff]*")
_NUMERIC = re.compile(
    r"\s*[+-]?(?:0[xX])?[0-9a-fA-F.]*[0-9][0-9a-fA-F.]*(?:[eE][+-]?[0-9]+)?\s*|\s*[+-]?(?:inf|infinity|nan)\s*",
    re.IGNORECASE,
)
_COMPARE = {"LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}
_LETTERS = {
    SigmaRegularExpressionFlag.IGNORECASE: "i",
    SigmaRegularExpressionFlag.MULTILINE: "m",
    SigmaRegularExpressionFlag.DOTALL: "s",
}


def expression(rule: SigmaRule, vocabulary: Vocabulary) -> str:
    """A condition of `where`, never null.

    Args:
        rule: the rule.
        vocabulary: the fields of the view.

    Raises:
        Inexpressible: one sentence that names the rule and the construct.
    """
    backend = Backend(vocabulary)
    try:
        parts = [
            str(backend.convert_condition(condition.parsed, ConversionState()))
            for condition in rule.detection.parsed_condition
        ]
    except Inexpressible as refused:
        raise Inexpressible(f"rule {rule.title!r}: {refused}") from None
    return parts[0] if len(parts) == 1 else " OR ".join(f"({part})" for part in parts)


class Backend(SplunkBackend):
    """The stock backend, writing `where` instead of `search`."""

    # where has no implied AND, and binds AND before OR where search binds OR before AND: parentheses everywhere
    and_token: ClassVar[str] = "AND"  # noqa: S105 - a word of SPL
    # IN (…) of search compares what looks like a number as one
    convert_or_as_in: ClassVar[bool] = False
    requires_pipeline: ClassVar[bool] = False

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.vocabulary = vocabulary

    def compare_precedence(self, outer: Any, inner: Any) -> bool:
        """No part stands without parentheses, but a plain atom beside AND and OR."""
        del outer
        return not isinstance(inner, ConditionAND | ConditionOR | ConditionNOT)

    def convert_condition_not(self, cond: ConditionNOT, state: ConversionState) -> str:
        """Stock puts NOT before a bare comparison, where it is not documented to bind less."""
        return f"NOT ({self.convert_condition(cond.args[0], state)})"

    def convert_condition_field_eq_val(self, cond: ConditionFieldEqualsValueExpression, state: ConversionState) -> str:
        """Stock: ``?`` becomes ``*``; |cased, and fieldref under OR, are refused; NOT drops what lacks a field."""
        del state
        return self.atom(cond.field, cond.value)

    def convert_condition_val(self, cond: ConditionValueExpression, state: ConversionState) -> str:
        """Stock searches the whole event for the word, our views' own fields among them."""
        del cond, state
        raise Inexpressible("a value has no field; name the field to search")

    def atom(self, name: str, value: Any) -> str:  # noqa: PLR0911 - one return a kind of value
        """One test of one field.

        Raises:
            Inexpressible: SPL can't say it.
        """
        field = self.vocabulary.fields.get(name)
        if field is None:
            raise Inexpressible(f"the field {name!r} is not in the schema")
        column = quoted(name)
        if isinstance(value, SigmaNull) or (isinstance(value, SigmaString) and not value.s):
            return f"isnull({column})"  # "" is absent
        if isinstance(value, SigmaExists):
            return f"isnotnull({column})" if value.exists else f"isnull({column})"
        if isinstance(value, SigmaExpansion):
            return "(" + " OR ".join(self.atom(name, part) for part in value.values) + ")"
        if field.kind == "time":
            raise Inexpressible(
                f"{name!r} is a time, compared as text; use a fact of the view, such as oauth.token.expired"
            )
        if isinstance(value, SigmaFieldReference):
            return self._reference(field, value)
        if isinstance(value, SigmaCompareExpression) and field.kind not in {"number", "integer"}:
            return "1=0"  # Sigma Modifiers 2.1.0, Numeric Modifiers: numbers only
        test = _test(field, value)
        if field.array:
            return f"isnotnull(mvfilter({test(column)}))"  # any item; an absent field has none
        if isinstance(test, Equals):
            return test(f'coalesce({column},"")')
        return f"if({test(column)},1,0)=1"

    def _reference(self, field: Field, value: SigmaFieldReference) -> str:
        other = self.vocabulary.fields.get(value.field)
        if other is None:
            raise Inexpressible(f"the field {value.field!r} is not in the schema")
        if field.array or other.array:
            raise Inexpressible(f"{field.name!r} and {other.name!r} are compared, and one of them holds many values")
        if other.kind == "time":
            raise Inexpressible(f"{other.name!r} is a time, compared as text; use a fact of the view")
        starts, ends = getattr(value, "starts_with", False), getattr(value, "ends_with", False)
        left, right = quoted(field.name), quoted(other.name)
        if not starts and not ends:
            # a letter before both, or Splunk would compare as numbers what looks like numbers
            return f'if("=".lower({left})="=".lower({right}),1,0)=1'
        # the other field's content is plain text: between \Q and \E, where no backslash of its own can end it
        left, right = (f"lower(`countersign_plain({side})`)" for side in (left, right))
        begin = "(?<!~)" if ends else "^"
        end = '."\\E"' if starts else '."\\E\\z"'
        return f'if(match({left},"{begin}\\Q".{right}{end}),1,0)=1'


class Equals:
    """A test for one text: false, not null, of an empty one."""

    def __init__(self, literal: str, *, cased: bool) -> None:
        self.literal, self.cased = literal, cased

    def __call__(self, at: str) -> str:
        """The test of a value."""
        return f"{at if self.cased else f'lower({at})'}={self.literal}"


def _test(field: Field, value: Any) -> Callable[[str], str]:  # noqa: PLR0911 - one return a kind of value
    numeric = field.kind in {"number", "integer"}
    if isinstance(value, SigmaBool):
        return Equals(text(str(value.boolean).lower()), cased=False)
    if isinstance(value, SigmaNumber):
        if numeric:
            return lambda at: f"{at}={value.number}"
        return _string(SigmaString(str(value.number)))
    if isinstance(value, SigmaCompareExpression):
        number: Any = value.number
        return lambda at: f"{at}{_COMPARE[value.op.name]}{number.number}"
    if isinstance(value, SigmaCIDRExpression):
        return lambda at: f"cidrmatch({text(str(value.cidr))},{at})"
    if isinstance(value, SigmaRegularExpression):
        flags = "".join(sorted(_LETTERS[flag] for flag in value.flags))
        pattern = (f"(?{flags})" if flags else "") + str(value.regexp.to_plain_regex())
        return lambda at: f"match({at},{text(pattern)})"
    if isinstance(value, SigmaString):
        return _string(value)
    raise Inexpressible(f"the value of {field.name!r} is a {type(value).__name__}, which SPL can't compare")


def _string(value: SigmaString) -> Callable[[str], str]:
    cased = isinstance(value, SigmaCasedString)
    parts = [part if cased or not isinstance(part, str) else fold(part) for part in value.s]
    plain = "".join(part for part in parts if isinstance(part, str))
    if not value.contains_special() and _PLAIN.fullmatch(plain) and not _NUMERIC.fullmatch(plain):
        return Equals(text(plain), cased=cased)
    pieces = {SpecialChars.WILDCARD_MULTI: ".*", SpecialChars.WILDCARD_SINGLE: "."}
    pattern = ""
    for part in parts:
        if not isinstance(part, str | SpecialChars):
            raise Inexpressible(f"the placeholder {part!r} has no value")
        pattern += pieces[part] if isinstance(part, SpecialChars) else literal(part)
    pattern = text(f"(?s)^{pattern}\\z")
    return lambda at: f"match({at if cased else f'lower({at})'},{pattern})"


def quoted(name: str) -> str:
    """A field in an expression. Names come from the schema, which allows no quotes."""
    return f"'{name}'"


def text(value: str) -> str:
    r"""A text in an expression: ``\`` and ``"`` are escaped, and a backtick, which would begin a macro."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'.replace("`", "\\\\x60")


def literal(value: str) -> str:
    r"""Plain text in a regular expression; what is special to it, to SPL or to a dashboard is written ``\x..``."""
    return "".join(
        c if c.isalnum() or c in " _,:;/@=<>!#&'~%-" else f"\\x{ord(c):02x}" if ord(c) < 256 else c  # noqa: PLR2004 - two digits
        for c in value
    )
