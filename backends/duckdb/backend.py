"""Sigma rules as DuckDB expressions over the event view or the chain view.

Each atom is two-valued: on an absent field it is false, so that NOT makes it true, as Sigma means it. Strings are
compared without letter case unless `|cased`. What DuckDB can't say is refused with one sentence.
The DuckDB backend on PyPI (0.1.4) has no NULL guard under NOT and compares with letter case: not a base to build on.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from sigma.conditions import ConditionAND, ConditionFieldEqualsValueExpression, ConditionNOT, ConditionOR
from sigma.types import (
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaRegularExpressionFlag,
    SigmaString,
    SpecialChars,
)

from backends.duckdb.columns import quoted, text
from backends.folding import fold, plain_text
from backends.target import Inexpressible

if TYPE_CHECKING:
    from collections.abc import Callable

    from sigma.rule import SigmaRule

    from backends.vocabulary import Field, Vocabulary

_NUMBERS = frozenset({"number", "integer"})


IPV4 = 4


def expression(rule: SigmaRule, vocabulary: Vocabulary, unknown: frozenset[str] = frozenset()) -> str:
    """One SQL boolean, never NULL, over columns named by the dotted fields.

    Args:
        rule: the rule.
        vocabulary: the fields of the view.
        unknown: fields that the view lacks. The expression is then true wherever any value of them could make it so.

    Raises:
        Inexpressible: one sentence that names the rule and the construct.
    """
    try:
        conditions = [condition.parsed for condition in rule.detection.parsed_condition]
        return " OR ".join(f"({_node(condition, vocabulary, unknown)})" for condition in conditions)
    except Inexpressible as refused:
        raise Inexpressible(f"rule {rule.title!r}: {refused}") from None


def _node(node: Any, vocabulary: Vocabulary, unknown: frozenset[str], *, assume: bool = True) -> str:
    """``assume``: what a test of an unknown field counts as, so that the whole is true rather than false."""
    if isinstance(node, ConditionAND):
        return " AND ".join(f"({_node(arg, vocabulary, unknown, assume=assume)})" for arg in node.args)
    if isinstance(node, ConditionOR):
        return " OR ".join(f"({_node(arg, vocabulary, unknown, assume=assume)})" for arg in node.args)
    if isinstance(node, ConditionNOT):
        return f"NOT ({_node(node.args[0], vocabulary, unknown, assume=not assume)})"
    if isinstance(node, ConditionFieldEqualsValueExpression):
        if unknown & {node.field, getattr(node.value, "field", node.field)}:
            return "true" if assume else "false"
        return atom(node.field, node.value, vocabulary)
    raise Inexpressible(f"{type(node).__name__.removeprefix('Condition')} has no field; name the field to search")


def atom(name: str, value: Any, vocabulary: Vocabulary) -> str:
    """One test of one field: a SQL boolean, never NULL.

    Raises:
        Inexpressible: DuckDB can't say it.
    """
    field = vocabulary.fields.get(name)
    if field is None:
        raise Inexpressible(f"the field {name!r} is not in the schema")
    column = quoted(name)
    if isinstance(value, SigmaNull):
        return f"{column} IS NULL"
    if isinstance(value, SigmaExists):
        return f"{column} IS NOT NULL" if value.exists else f"{column} IS NULL"
    if isinstance(value, SigmaFieldReference):
        return _reference(field, value, vocabulary)
    if isinstance(value, SigmaString) and not value.s:
        return f"{column} IS NULL"  # "" is absent
    test = _test(field, value)
    if field.array:
        return f"coalesce(len(list_filter({column}, lambda item: {test('item')})) > 0, false)"
    return f"coalesce({test(column)}, false)"


def _test(field: Field, value: Any) -> Callable[[str], str]:  # noqa: PLR0911 - one return a kind of value
    if isinstance(value, SigmaBool):
        if field.kind == "boolean":
            return lambda at: at if value.boolean else f"NOT {at}"
        return lambda at: f"lower({_written(field, at)}) = {text(str(value.boolean).lower())}"
    if isinstance(value, SigmaNumber):
        if field.kind in _NUMBERS:
            return lambda at: f"{at} = {value.number}"
        return lambda at: f"lower({at}::VARCHAR) = {text(str(value.number))}"
    if isinstance(value, SigmaCompareExpression):
        if field.kind not in _NUMBERS:
            return lambda _at: "false"  # Sigma Modifiers 2.1.0, Numeric Modifiers: numbers only
        symbol = {"LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}[value.op.name]
        return lambda at: f"{at} {symbol} {value.number.number}"
    if isinstance(value, SigmaCIDRExpression):
        network = ipaddress.ip_network(value.cidr)
        # an IPv4 address is mapped into IPv6, and in no network of it
        width, prefix, family = (8, "0" * 20 + "ffff", "NOT ") if network.version == IPV4 else (32, "", "")
        first, last = (text(f"{prefix}{int(end):0{width}x}") for end in (network[0], network[-1]))
        return lambda at: f"({family}contains({at}, ':') AND countersign_address({at}) BETWEEN {first} AND {last})"
    if isinstance(value, SigmaRegularExpression):
        letters = {
            SigmaRegularExpressionFlag.IGNORECASE: "i",
            SigmaRegularExpressionFlag.MULTILINE: "m",
            SigmaRegularExpressionFlag.DOTALL: "s",
        }
        flags = "".join(sorted(letters[flag] for flag in value.flags))
        pattern = f"(?{flags})" + str(value.regexp) if flags else str(value.regexp)
        return lambda at: f"regexp_matches({_written(field, at)}, {text(pattern)})"
    if isinstance(value, SigmaString):
        return _string(field, value)
    raise Inexpressible(f"the value of {field.name!r} is a {type(value).__name__}, which DuckDB can't compare")


def _written(field: Field, at: str) -> str:
    """A value as JSON writes it, a whole number without a fraction."""
    if field.kind in _NUMBERS:
        return f"regexp_replace({at}::VARCHAR, '\\.0$', '')"
    return at if field.kind == "keyword" else f"{at}::VARCHAR"


def _string(field: Field, value: SigmaString) -> Callable[[str], str]:
    cased = isinstance(value, SigmaCasedString)

    def column(at: str) -> str:
        plain = _written(field, at)
        return plain if cased else f"lower({plain})"

    def folded(part: str) -> str:
        return part if cased else fold(part)

    if not value.contains_special():
        if field.kind == "boolean" and str(value).lower() in {"true", "false"}:
            return lambda at: at if str(value).lower() == "true" else f"NOT {at}"
        literal = text(folded(plain_text(value)))
        return lambda at: f"{column(at)} = {literal}"
    pieces = []
    for part in value.s:
        if part == SpecialChars.WILDCARD_MULTI:
            pieces.append("%")
        elif part == SpecialChars.WILDCARD_SINGLE:
            pieces.append("_")
        else:
            escaped = folded(str(part)).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            pieces.append(escaped)
    pattern = text("".join(pieces))
    return lambda at: f"{column(at)} LIKE {pattern} ESCAPE '\\'"


def _reference(field: Field, value: SigmaFieldReference, vocabulary: Vocabulary) -> str:
    other = vocabulary.fields.get(value.field)
    if other is None:
        raise Inexpressible(f"the field {value.field!r} is not in the schema")
    if field.array or other.array:
        raise Inexpressible(f"{field.name!r} and {value.field!r} are compared, and one of them holds many values")
    left, right = (f"lower({_written(f, quoted(f.name))})" for f in (field, other))
    starts, ends = getattr(value, "starts_with", False), getattr(value, "ends_with", False)
    if starts and ends:
        return f"coalesce(contains({left}, {right}), false)"
    if starts:
        return f"coalesce(starts_with({left}, {right}), false)"
    if ends:
        return f"coalesce(ends_with({left}, {right}), false)"
    return f"coalesce({left} = {right}, false)"
