"""Expressions of eval and where, parsed (Search Reference, "eval", and Search Manual, "Order of evaluation").

Where precedence differs between commands or is easily misread, parentheses are asked for: AND beside OR, NOT before
anything but a function or parentheses, and the dot beside arithmetic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from harness.engines.spl.values import Unknown

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<string>"(?:[^"\\]|\\.)*")|(?P<field>'[^']+')"""
    r"""|(?P<name>[A-Za-z_]\w*)|(?P<sign>==|!=|<=|>=|[-+*/%.=<>(),]))""",
    re.DOTALL,
)


@dataclass(frozen=True)
class Node:
    """A part of an expression.

    Attributes:
        kind: number, string, field, call, compare, arithmetic, join, and, or, not, minus.
        value: the number, text, field's or function's name, or the operator.
        parts: its operands or arguments.
    """

    kind: str
    value: Any = None
    parts: tuple[Node, ...] = ()


def tokens(expression: str) -> list[tuple[str, str]]:
    """(kind, text) of each token; raises `Unknown` on any other character."""
    found, at = [], 0
    expression = expression.rstrip()
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if not match or match.end() == at:
            raise Unknown(f"the expression {expression[at : at + 40]!r}")
        assert match.lastgroup  # noqa: S101 - one of the groups matched
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


def unescaped(quoted: str) -> str:
    r"""The text of a string in double quotes: ``\"`` is a quote and ``\\`` a backslash; any other backslash stays.

    Search Manual, "Quotes and escaping characters" and "Backslashes".
    """
    return re.sub(r'\\(["\\])', r"\1", quoted[1:-1])


class Parser:
    """Reads one expression; `rest` says whether anything is left."""

    def __init__(self, found: list[tuple[str, str]]) -> None:
        self.found, self.at = found, 0

    def peek(self) -> tuple[str, str]:
        """The next token; ("end", "") where there is none."""
        return self.found[self.at] if self.at < len(self.found) else ("end", "")

    def take(self, *texts: str) -> str | None:
        """The next token if it is one of these; keywords in any letter case."""
        kind, text = self.peek()
        if kind in {"sign", "name"} and (text in texts or text.upper() in texts):
            self.at += 1
            return text.upper()
        return None

    def need(self, text: str) -> None:
        """The next token is this one."""
        if not self.take(text):
            raise Unknown(f"{text!r} is missing before {self.peek()[1]!r}")

    def expression(self) -> Node:
        """A whole expression."""
        node = self.negation()
        for word in ("AND", "OR"):
            if self.take(word):
                parts = [node, self.negation()]
                while self.take(word):
                    parts.append(self.negation())
                if self.peek()[1].upper() in {"AND", "OR"}:
                    raise Unknown("AND beside OR: put parentheses")
                return Node(word.lower(), None, tuple(parts))
        return node

    def negation(self) -> Node:
        """NOT, or a comparison."""
        if not self.take("NOT"):
            return self.comparison()
        plain = self.peek()[1] == "(" or (self.found[self.at + 1 : self.at + 2] == [("sign", "(")])
        node = self.value()
        if not plain or self.peek()[1] in {"=", "==", "!=", "<", ">", "<=", ">=", "."}:
            raise Unknown("NOT before a bare comparison: put parentheses")
        return Node("not", None, (node,))

    def comparison(self) -> Node:
        """``a < b``."""
        left = self.sum()
        operator = self.take("=", "==", "!=", "<=", ">=", "<", ">")
        if not operator:
            return left
        return Node("compare", operator.replace("==", "="), (left, self.sum()))

    def sum(self) -> Node:
        """``a + b`` and ``a - b``."""
        node = self.product()
        while operator := self.take("+", "-"):
            other = self.product()
            if "join" in {node.kind, other.kind}:
                raise Unknown("the dot beside arithmetic: put parentheses")
            node = Node("arithmetic", operator, (node, other))
        return node

    def product(self) -> Node:
        """``a * b``, ``a / b``, ``a % b`` and ``a . b``."""
        node = self.value()
        while operator := self.take("*", "/", "%", "."):
            other = self.value()
            kind, sign = ("join", None) if operator == "." else ("arithmetic", operator)
            node = Node(kind, sign, (node, other))
        return node

    def value(self) -> Node:  # noqa: PLR0911 - one return a kind
        """A literal, a field, a call, or parentheses."""
        kind, text = self.peek()
        self.at += 1
        if kind == "number":
            return Node("number", float(text) if "." in text or "e" in text.lower() else int(text))
        if kind == "string":
            return Node("string", unescaped(text))
        if kind == "field":
            return Node("field", text[1:-1])
        if text == "(":
            node = self.expression()
            self.need(")")
            return Node("group", None, (node,))
        if text == "-":
            return Node("minus", None, (self.value(),))
        if kind == "name":
            if not self.take("("):
                return Node("field", text)
            arguments: list[Node] = []
            while not self.take(")"):
                if arguments:
                    self.need(",")
                arguments.append(self.expression())
            return Node("call", text, tuple(arguments))
        raise Unknown(f"{text!r} where a value is needed" if text else "the expression ends too early")


def parsed(expression: str) -> Node:
    """The tree of one expression."""
    parser = Parser(tokens(expression))
    node = parser.expression()
    if parser.peek()[0] != "end":
        raise Unknown(f"{parser.peek()[1]!r} after the expression {expression[:60]!r}")
    return node


def assignments(clause: str) -> list[tuple[str, Node]]:
    """The fields that an eval command sets, in turn."""
    parser, found = Parser(tokens(clause)), []
    while True:
        kind, text = parser.peek()
        if kind not in {"name", "string", "field"}:
            raise Unknown(f"eval sets {text!r}")
        parser.at += 1
        parser.need("=")
        found.append((unescaped(text) if kind == "string" else text.strip("'"), parser.expression()))
        if not parser.take(","):
            break
    if parser.peek()[0] != "end":
        raise Unknown(f"{parser.peek()[1]!r} in {clause[:80]!r}")
    return found


def fields_of(node: Node) -> set[str]:
    """The fields that an expression reads."""
    if node.kind == "field":
        return {node.value}
    return set().union(*(fields_of(part) for part in node.parts)) if node.parts else set()
