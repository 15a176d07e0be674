"""From the SQL that DuckDB runs to Spark's: one text of the views, two engines.

sqlglot reads DuckDB's SQL and writes Spark's. What it leaves as it was, or gets wrong, is rewritten here, node by node:
macros, which Spark lacks within lambdas, are written out; unsigned numbers, list functions that count from 1 or pass
over nulls, regular expressions of RE2, hashes, letter case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp

from backends.duckdb import engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VIEWS = Path(engine.__file__).parent / "views"
Macros = Mapping[str, tuple[tuple[str, ...], exp.Expr]]
"""Name → parameters and body."""

MAPS = frozenset({"scopes", "covered", "agent_of_client", "client_ids"})
"""Session variables that are maps: a key that they lack is NULL."""

WIDER = {"UTINYINT": "INT", "UINTEGER": "BIGINT", "UINT": "BIGINT", "UBIGINT": "BIGINT", "UHUGEINT": "BIGINT"}
"""Spark has no unsigned numbers; none of these reaches a number's last bit but hashes, which are never counted with."""

OWN = r"""
CREATE MACRO of_slice(chain) AS true;
CREATE MACRO countersign_own(address) AS
  len(list_filter(getvariable('networks'), lambda n: address BETWEEN n.first AND n.last)) > 0;
CREATE MACRO countersign_named(arguments, keys) AS
  list_distinct(list_filter(flatten(list_transform(keys, lambda k: list_transform(
    coalesce(regexp_values(to_json(try_parse_json(arguments)),
      '"\Q' || replace(replace(k, '\', '\\'), '"', '\"') || '\E":("(?:[^"\\]|\\.)*")'), []),
    lambda v: get_json_object('{"v":' || v || '}', '$.v')))), lambda v: v <> ''))
"""
"""Macros of DuckDB's that Spark says in other words. JSON is written anew first, so that keys have one form; then a key
and the text that follows it are found wherever they stand. A text within a text has its quotes escaped, and is no key."""


def select(sql: str) -> str:
    """One query or expression of DuckDB's as Spark's."""
    return _spark_of(sqlglot.parse_one(_marked(sql), read="duckdb"))


def view(name: str) -> str:
    """The text of one of DuckDB's views."""
    return (VIEWS / name).read_text(encoding="utf-8")


def statements(name: str) -> Iterator[tuple[str, str]]:
    """Each table that a view file makes, and the Spark query that makes it."""
    for statement in engine.statements(name):
        tree = sqlglot.parse_one(_marked(statement), read="duckdb")
        yield tree.this.name, _spark_of(tree.expression)


@cache
def macros() -> Macros:
    """Name → parameters and body of every macro, those of others written out."""
    found: dict[str, tuple[tuple[str, ...], exp.Expr]] = {}
    own = [text for text in OWN.split(";\n") if text.strip()]
    ours = {text.split("MACRO ")[1].split("(")[0] for text in own}
    others = [*engine.statements("macros.sql"), *engine.bit_macros().split(";\n")]
    for text in [*own, *(each for each in others if not any(f"MACRO {name}(" in each for name in ours))]:
        tree = sqlglot.parse_one(_marked(text), read="duckdb")
        function = tree.this
        parameters = tuple(parameter.name for parameter in function.expressions)
        found[function.this.name.lower()] = (parameters, tree.expression)
    return found


_LEN = re.compile(r"""--[^\n]*|'(?:[^']|'')*'|"(?:[^"]|"")*"|\blen\(""")


def _marked(sql: str) -> str:
    """``len`` of a list told from ``length`` of a text, which sqlglot does not tell apart; what is quoted or remarked stays."""
    return _LEN.sub(lambda found: "array_size(" if found[0] == "len(" else found[0], sql)


def _spark_of(tree: exp.Expr) -> str:
    return _bottom_up(_inlined(tree, macros(), count()), _spark).sql(dialect="spark", comments=False, pretty=True)


def _inlined(tree: exp.Expr, known: Macros, fresh: Iterator[int]) -> exp.Expr:
    """The tree with macros written out, variables of lambdas renamed so that none hides another."""

    def visit(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Anonymous) or node.name.lower() not in known:
            return node
        parameters, body = known[node.name.lower()]
        given = dict(zip(parameters, node.expressions, strict=True))
        if isinstance(body, exp.Boolean):
            return body.copy()  # Spark reads `FROM a WHERE (TRUE)` as an alias with a column
        return exp.Paren(this=_inlined(_filled(_renamed(body.copy(), fresh), given), known, fresh))

    return _bottom_up(tree, visit)


def _bottom_up(tree: exp.Expr, change: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """Each node changed after those that it holds."""
    for node in reversed(list(tree.dfs())):
        new = change(node)
        if new is node:
            continue
        if node is tree:
            tree = new
        else:
            node.replace(new)
    return tree


def _renamed(body: exp.Expr, fresh: Iterator[int]) -> exp.Expr:
    for function in list(body.find_all(exp.Lambda)):
        for variable in function.expressions:
            old, new = variable.name, f"{variable.name}_{next(fresh)}"
            for node in list(function.find_all(exp.Identifier)):
                first = not (isinstance(node.parent, exp.Dot) and node.arg_key == "expression")
                key = isinstance(node.parent, exp.PropertyEQ) and node.arg_key == "this"
                if node.name == old and first and not key:
                    node.set("this", new)
    return body


def _filled(body: exp.Expr, given: Mapping[str, exp.Expr]) -> exp.Expr:
    def visit(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and not node.table and node.name in given:
            return given[node.name].copy()
        return node

    return _bottom_up(body, visit)


def _call(name: str, *arguments: exp.Expr | None) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=[each for each in arguments if each is not None])


def _spark(node: exp.Expr) -> exp.Expr:  # noqa: C901, PLR0911, PLR0912 - one branch a construct
    if isinstance(node, exp.Paren) and isinstance(node.this, (exp.Paren, exp.Coalesce, exp.Column, exp.Anonymous)):
        return node.this
    if isinstance(node, exp.DataType) and node.this.name in WIDER:
        return exp.DataType.build(WIDER[node.this.name])
    if isinstance(node, exp.Bracket):
        return _item(node)
    if isinstance(node, exp.Lower) and not isinstance(node.this, exp.Literal):
        # Java folds a whole text and knows a final sigma; every engine here folds character by character
        return exp.Lower(this=_call("translate", node.this, exp.Literal.string("Σİ"), exp.Literal.string("σi")))
    if isinstance(node, (exp.ArgMax, exp.ArgMin)) and isinstance(node.expression, exp.Tuple):
        name = "max_by" if isinstance(node, exp.ArgMax) else "min_by"
        return _call(name, node.this, _call("struct", *node.expression.expressions))
    if isinstance(node, exp.AnyValue):
        return _call("any_value", node.this, exp.true())
    if isinstance(node, exp.ArraySize):
        return _call("array_size", node.this)
    if isinstance(node, exp.RegexpFullMatch):
        whole = exp.Literal.string(rf"\A(?:{java(node.expression.name)})\z")
        return exp.RegexpLike(this=node.this, expression=whole)
    if isinstance(node, exp.RegexpReplace) and node.expression.name == r"\.0$":
        return _number(node)
    if isinstance(node, exp.RegexpLike):
        return exp.RegexpLike(this=node.this, expression=_pattern(node.expression))
    if isinstance(node, exp.BitwiseLeftShift):
        return _call("shiftleft", node.this, exp.cast(node.expression.copy(), "INT"))
    if isinstance(node, exp.Between) and any(c.name == "countersign_rid_first" for c in node.find_all(exp.Column)):
        return exp.true()  # slices are DuckDB's: Spark spills by itself
    if isinstance(node, exp.ArrayConcat):
        parts = [node.this, *node.expressions]
        return _call("concat", *(exp.Coalesce(this=part, expressions=[exp.Array()]) for part in parts))
    if isinstance(node, exp.Anonymous):
        return _function(node)
    return node


def _function(node: exp.Anonymous) -> exp.Expr:
    name, arguments = node.name.lower(), node.expressions
    if name == "getvariable":
        return exp.column(f"countersign_{arguments[0].name}")
    if name == "list_position":
        return exp.cast(_call("nullif", _call("array_position", *arguments), exp.Literal.number(0)), "INT")
    if name == "list_append":
        return _call("array_append", *arguments)
    if name == "hash":
        return _call("xxhash64", *arguments)
    if name == "regexp_values":
        return _call("regexp_extract_all", *arguments, exp.Literal.number(1))
    return node


def _item(node: exp.Bracket) -> exp.Expr:
    """Items count from 1; sqlglot has moved written ones to count from 0. What is not there is NULL."""
    (index,) = node.expressions
    base = node.this
    if isinstance(base, exp.Anonymous) and base.name.lower() == "getvariable" and base.expressions[0].name in MAPS:
        return _call("try_element_at", base, index)
    if isinstance(index, (exp.Literal, exp.Neg)) and index.is_int:
        index = exp.Literal.number(int(index.to_py()) + 1)
    return _call("try_element_at", base, index)


def _number(node: exp.RegexpReplace) -> exp.Expr:
    """A number as JSON writes it: Spark gives ten million an exponent."""
    value = node.this.this
    whole = exp.EQ(this=_call("floor", value.copy()), expression=value.copy())
    small = exp.LT(this=exp.Abs(this=value.copy()), expression=exp.Literal.number("1e15"))
    as_text = exp.cast(exp.cast(value.copy(), "BIGINT"), "STRING")
    return exp.Case(ifs=[exp.If(this=exp.and_(whole, small), true=as_text)], default=exp.cast(value.copy(), "STRING"))


def _pattern(node: exp.Expr) -> exp.Expr:
    return exp.Literal.string(java(node.name)) if isinstance(node, exp.Literal) else node


_FLAGS = re.compile(r"\(\?([ims]+)\)")


def java(pattern: str) -> str:
    r"""A regular expression of RE2's as Java's.

    Java's ``$`` also matches before a line end, its ``.`` stops at five kinds of line end, its classes nest and intersect,
    and its ``(?i)`` folds ASCII alone.
    """
    begun = _FLAGS.match(pattern)
    flags = begun[1] if begun else ""
    rest = pattern[begun.end() :] if begun else pattern
    out: list[str] = []
    at = inside = 0  # inside: where the class that is open begins
    while at < len(rest):
        letter = rest[at]
        if letter == "\\":
            out.append(rest[at : at + 2])
            at += 2
            continue
        if inside:
            first = at == inside
            out.append("\\" + letter if letter in "[&" or (letter == "]" and first) else letter)
            inside = 0 if letter == "]" and not first else inside
        elif letter == "[":
            inside = at + (2 if rest[at + 1 : at + 2] == "^" else 1)
            out.append(rest[at:inside])
            at = inside
            continue
        else:
            out.append(r"\z" if letter == "$" and "m" not in flags else letter)
        at += 1
    return f"(?d{'u' * ('i' in flags)}{flags})" + "".join(out)
