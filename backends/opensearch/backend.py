"""Sigma conditions as OpenSearch's query DSL.

Not a subclass of pysigma-backend-opensearch 2.0.3: that writes query strings, in which a newline, a quote and a backslash
of a value are the parser's, a field is compared with no other, and a regular expression can't be anchored
(docs/upstream.md). A monitor takes the DSL as it takes a query string. Text is compared with the index's folded form, a
letter case with ``.cased``, a network with ``.ip``; two fields by ``countersign.compared``, which the ingest script writes.
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
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SpecialChars,
)

from backends.folding import fold, plain_text
from backends.opensearch.expression import lucene
from backends.opensearch.template import is_address
from backends.target import Inexpressible

if TYPE_CHECKING:
    from sigma.rule import SigmaRule

    from backends.vocabulary import Field, Vocabulary

COMPARED = "countersign.compared"
NEVER: dict[str, Any] = {"match_none": {}}
_NUMBERS = frozenset({"number", "integer"})
_BOUNDS = {"LT": "lt", "LTE": "lte", "GT": "gt", "GTE": "gte"}


def query(rule: SigmaRule, vocabulary: Vocabulary) -> dict[str, Any]:
    """The rule's condition as a query.

    Raises:
        Inexpressible: one sentence that names the rule and the construct.
    """
    try:
        found = [_node(condition.parsed, vocabulary) for condition in rule.detection.parsed_condition]
    except Inexpressible as refused:
        raise Inexpressible(f"rule {rule.title!r}: {refused}") from None
    return found[0] if len(found) == 1 else _any(found)


def compared(rule: SigmaRule) -> set[tuple[str, str, str]]:
    """Pairs of fields that the rule compares: (field, how, other field), as the ingest script writes them."""
    found: set[tuple[str, str, str]] = set()

    def walk(node: Any) -> None:
        if isinstance(node, ConditionFieldEqualsValueExpression) and isinstance(node.value, SigmaFieldReference):
            found.add((node.field, _how(node.value), node.value.field))
        for child in getattr(node, "args", ()):
            walk(child)

    for condition in rule.detection.parsed_condition:
        walk(condition.parsed)
    return found


def _any(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"bool": {"should": parts, "minimum_should_match": 1}}


def _not(part: dict[str, Any]) -> dict[str, Any]:
    return {"bool": {"must_not": [part]}}


def _node(node: Any, vocabulary: Vocabulary) -> dict[str, Any]:
    if isinstance(node, ConditionAND):
        return {"bool": {"filter": [_node(arg, vocabulary) for arg in node.args]}}
    if isinstance(node, ConditionOR):
        return _any([_node(arg, vocabulary) for arg in node.args])
    if isinstance(node, ConditionNOT):
        return _not(_node(node.args[0], vocabulary))
    if isinstance(node, ConditionFieldEqualsValueExpression):
        return _atom(node.field, node.value, vocabulary)
    raise Inexpressible(f"{type(node).__name__.removeprefix('Condition')} has no field; name the field to search")


def _atom(name: str, value: Any, vocabulary: Vocabulary) -> dict[str, Any]:  # noqa: C901, PLR0911, PLR0912 - one branch a kind of value
    field = vocabulary.fields.get(name)
    if field is None:
        raise Inexpressible(f"the field {name!r} is not in the schema")
    there = {"exists": {"field": name}}
    if isinstance(value, SigmaNull) or (isinstance(value, SigmaString) and not value.s):
        return _not(there)  # "" is absent
    if isinstance(value, SigmaExists):
        return there if value.exists else _not(there)
    if isinstance(value, SigmaExpansion):
        return _any([_atom(name, part, vocabulary) for part in value.values])
    if isinstance(value, SigmaFieldReference):
        return _reference(field, value, vocabulary)
    if isinstance(value, SigmaCompareExpression):
        if field.kind not in _NUMBERS:
            return NEVER  # Sigma Modifiers 2.1.0, Numeric Modifiers: numbers only
        return {"range": {name: {_BOUNDS[value.op.name]: value.number.number}}}
    if isinstance(value, SigmaCIDRExpression):
        if not is_address(field):
            raise Inexpressible(f"the field {name!r} is not stored as an address; ask for a network of source.ip")
        return _network(f"{name}.ip", value.cidr)
    if field.kind == "time":
        raise Inexpressible(f"the field {name!r} is a time, and a text is compared with it; bound the search by time")
    if isinstance(value, SigmaRegularExpression):
        pattern, ignoring_case = lucene(name, value)
        asked = {"value": pattern, "flags": "NONE", "case_insensitive": ignoring_case}
        return {"regexp": {f"{name}.cased": asked}}
    if isinstance(value, SigmaBool | SigmaNumber):
        return _scalar(field, value.boolean if isinstance(value, SigmaBool) else value.number)
    if isinstance(value, SigmaString):
        return _string(field, value)
    raise Inexpressible(f"the value of {name!r} is a {type(value).__name__}, which OpenSearch can't compare")


_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def _network(at: str, cidr: str) -> dict[str, Any]:
    """A range: Lucene maps IPv4 into IPv6, so a network of IPv6 that holds ::ffff:0:0/96 leaves that out."""
    network = ipaddress.ip_network(cidr, strict=False)
    inside = {"range": {at: {"gte": str(network[0]), "lte": str(network[-1])}}}
    if isinstance(network, ipaddress.IPv6Network) and _MAPPED.subnet_of(network):
        mapped = {"range": {at: {"gte": str(_MAPPED[0]), "lte": str(_MAPPED[-1])}}}
        return {"bool": {"filter": [inside], "must_not": [mapped]}}
    return inside


def _scalar(field: Field, value: bool | float) -> dict[str, Any]:  # noqa: FBT001 - a value
    if isinstance(value, bool):
        if field.kind == "boolean":
            return {"term": {field.name: value}}
        return {"term": {_folded_at(field): str(value).lower()}}
    if field.kind in _NUMBERS:
        return {"term": {field.name: value}}
    return {"term": {_folded_at(field): str(value)}}


def _folded_at(field: Field) -> str:
    return field.name if field.kind == "keyword" else f"{field.name}.written"


def _string(field: Field, value: SigmaString) -> dict[str, Any]:
    cased = isinstance(value, SigmaCasedString)
    at = f"{field.name}.cased" if cased else _folded_at(field)
    if not value.contains_special():
        plain = plain_text(value)
        return {"term": {at: plain if cased else fold(plain)}}
    pattern = ""
    for part in value.s:
        if part == SpecialChars.WILDCARD_MULTI:
            pattern += "*"
        elif part == SpecialChars.WILDCARD_SINGLE:
            pattern += "?"
        else:
            text = str(part) if cased else fold(str(part))
            pattern += text.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")
    return {"wildcard": {at: {"value": pattern}}}


def _how(value: SigmaFieldReference) -> str:
    starts, ends = getattr(value, "starts_with", False), getattr(value, "ends_with", False)
    return "*=" if starts and ends else "^=" if starts else "$=" if ends else "="


def _reference(field: Field, value: SigmaFieldReference, vocabulary: Vocabulary) -> dict[str, Any]:
    other = vocabulary.fields.get(value.field)
    if other is None:
        raise Inexpressible(f"the field {value.field!r} is not in the schema")
    if field.array or other.array:
        raise Inexpressible(f"{field.name!r} and {value.field!r} are compared, and one of them holds many values")
    return {"term": {COMPARED: f"{field.name}{_how(value)}{value.field}"}}
