"""The terms of a rule: each test of one field, in its selection or filter, and the rule as SQL without one of them.

A term *decides* a record when the rule would fire were the term otherwise: a test of a selection is then taken as
true, a test of a filter as false. So a term that decides nothing benign is idle: nobody would miss it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionIdentifier,
    ConditionNOT,
    ConditionOR,
)

from backends.duckdb.backend import atom as sql_of
from harness.atom import atom

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sigma.rule import SigmaRule

    from backends.vocabulary import Vocabulary

FILTER = "filter_"


@dataclass(frozen=True)
class Leaf:
    """One test.

    Attributes:
        detection: the selection or filter that it stands in.
        text: the test in words.
        sql: the test over the view.
    """

    detection: str
    text: str
    sql: str

    @property
    def spares(self) -> bool:
        """Whether it stands in a filter."""
        return self.detection.startswith(FILTER)


@dataclass(frozen=True)
class Node:
    """AND, OR or NOT of parts."""

    word: str
    parts: tuple[Node | Leaf, ...]


@dataclass(frozen=True)
class Terms:
    """A rule on single records, taken apart.

    Attributes:
        tree: its condition.
        leaves: its tests, in the order of the condition.
    """

    tree: Node | Leaf
    leaves: tuple[Leaf, ...] = field(default=())

    @classmethod
    def of(cls, rule: SigmaRule, vocabulary: Vocabulary) -> Terms:
        """The terms of a rule, over the columns that a vocabulary names.

        Raises:
            Inexpressible, Unsupported: a test that engine or oracle does not know.
        """
        trees = [_tree(condition.parsed, rule.title, vocabulary) for condition in rule.detection.parsed_condition]
        tree = trees[0] if len(trees) == 1 else Node("OR", tuple(trees))
        return cls(tree, tuple(_leaves(tree)))

    @property
    def filters(self) -> tuple[str, ...]:
        """Names of its filters."""
        return tuple(dict.fromkeys(leaf.detection for leaf in self.leaves if leaf.spares))

    def sql(self, column: Callable[[Leaf], str], without: Sequence[Leaf] = ()) -> str:
        """The rule as SQL.

        Args:
            column: SQL of a test.
            without: tests that are taken as not being there: true in a selection, false in a filter.
        """
        left = {id(leaf) for leaf in without}

        def render(node: Node | Leaf) -> str:
            if isinstance(node, Leaf):
                return column(node) if id(node) not in left else "false" if node.spares else "true"
            if node.word == "NOT":
                return f"NOT ({render(node.parts[0])})"
            return f" {node.word} ".join(f"({render(part)})" for part in node.parts)

        return render(self.tree)

    def of_filter(self, name: str) -> tuple[Leaf, ...]:
        """The tests of one filter."""
        return tuple(leaf for leaf in self.leaves if leaf.detection == name)

    def named(self) -> dict[str, Leaf]:
        """The tests by ``detection: words``; one that stands there twice is numbered."""
        found: dict[str, Leaf] = {}
        for leaf in self.leaves:
            name, turn = f"{leaf.detection}: {leaf.text}", 2
            while name in found:
                name, turn = f"{leaf.detection}: {leaf.text} ({turn})", turn + 1
            found[name] = leaf
        return found


def _tree(node: Any, title: str, vocabulary: Vocabulary) -> Node | Leaf:
    if isinstance(node, ConditionFieldEqualsValueExpression):
        words = atom(title, node.field, node.value).text
        return Leaf(_detection(node), words, sql_of(node.field, node.value, vocabulary))
    word = {ConditionAND: "AND", ConditionOR: "OR", ConditionNOT: "NOT"}[type(node)]
    return Node(word, tuple(_tree(part, title, vocabulary) for part in node.args))


def _detection(node: Any) -> str:
    """The name of the selection or filter that a test was written in."""
    while not isinstance(node, ConditionIdentifier):
        node = node.parent
    return str(node.identifier)


def _leaves(node: Node | Leaf) -> Iterator[Leaf]:
    if isinstance(node, Leaf):
        yield node
    else:
        for part in node.parts:
            yield from _leaves(part)
