"""Expressions of eval and where, turned into Python functions of a row.

Splunk checks types before it runs: AND, OR, NOT, if and where take booleans, and a field can't hold one. So does this.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

from harness.engines.spl import functions, values
from harness.engines.spl.syntax import Node, fields_of, parsed
from harness.engines.spl.values import Unknown, of, several, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.engines.spl.values import Row

    Places = dict[str, str]
    Evaluate = Callable[[Row], Any]


def mapped(value: Any, function: Callable[[str], Any]) -> Any:
    """Page "Multivalue functions", mvmap; a value for which it is null is left out."""
    found = [function(item) for item in several(value)]
    return of([part for item in found for part in several(item)])


def filtered(value: Any, function: Callable[[str], Any]) -> Any:
    """Page "Multivalue functions", mvfilter."""
    return of([item for item in several(value) if function(item) is True])


class Compiler:
    """One expression as Python text; each function adds what it needs by name."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {
            "_compared": values.compared,
            "_joined": values.joined,
            "_calculated": values.calculated,
            "_negated": values.negated,
            "_mapped": mapped,
            "_filtered": filtered,
        }
        self.fresh = count()

    def constant(self, value: Any) -> str:
        """A name for a value."""
        name = f"_k{next(self.fresh)}"
        self.names[name] = value
        return name

    def boolean(self, node: Node, places: Places) -> str:
        """A part that must be a boolean."""
        if not is_boolean(node):
            raise Unknown(f"{node.kind} {node.value or ''} where a condition is needed")
        return self.of(node, places)

    def plain(self, node: Node, places: Places) -> str:
        """A part that must not be a boolean."""
        if is_boolean(node):
            raise Unknown(f"{node.kind} {node.value or ''} where a value is needed: write if(…, 1, 0)")
        return self.of(node, places)

    def of(self, node: Node, places: Places) -> str:  # noqa: C901, PLR0911 - one return a kind
        """Python for a part.

        Args:
            node: the part.
            places: fields that mvmap or mvfilter hold one value of, by the name of the Python variable.
        """
        match node.kind:
            case "number" | "string":
                return self.constant(node.value)
            case "field":
                return places.get(node.value) or f"r.get({node.value!r})"
            case "group":
                return self.of(node.parts[0], places)
            case "minus":
                return f"_calculated('-', 0, {self.plain(node.parts[0], places)})"
            case "join":
                return f"_joined({', '.join(self.plain(part, places) for part in node.parts)})"
            case "arithmetic":
                return f"_calculated({node.value!r}, {', '.join(self.plain(part, places) for part in node.parts)})"
            case "compare":
                return f"_compared({node.value!r}, {', '.join(self.plain(part, places) for part in node.parts)})"
            case "not":
                return f"_negated({self.boolean(node.parts[0], places)})"
            case "and" | "or":
                return self._logic(node, places)
            case "call":
                return self._call(node, places)
        raise Unknown(node.kind)

    def _logic(self, node: Node, places: Places) -> str:
        """Three truth values: AND is false where one is false, OR true where one is true; else null where one is."""
        decided = "False" if node.kind == "and" else "True"
        held = [f"_t{next(self.fresh)}" for _ in node.parts]
        tests = [
            f"({name} := ({self.boolean(part, places)})) is {decided}"
            for name, part in zip(held, node.parts, strict=True)
        ]
        unknown = " or ".join(f"{name} is None" for name in held)
        other = "True" if node.kind == "and" else "False"
        return f"({decided} if {' or '.join(tests)} else None if {unknown} else {other})"

    def _call(self, node: Node, places: Places) -> str:
        name, parts = node.value, node.parts
        special = getattr(self, f"_{name}", None) if name in SPECIAL else None
        if special:
            return str(special(parts, places))
        if name not in functions.PLAIN:
            raise Unknown(f"the function {name}")
        function, least, most = functions.PLAIN[name]
        if not least <= len(parts) <= most:
            raise Unknown(f"{name} with {len(parts)} arguments")
        arguments = ", ".join(self.plain(part, places) for part in parts)
        return f"{self.constant(function)}({arguments})"

    def _if(self, parts: tuple[Node, ...], places: Places) -> str:
        """Page "Comparison and conditional functions", if."""
        condition, yes, no = parts
        return (
            f"({self.plain(yes, places)} if ({self.boolean(condition, places)}) is True else {self.plain(no, places)})"
        )

    def _case(self, parts: tuple[Node, ...], places: Places) -> str:
        """Page "Comparison and conditional functions", case: the first that is true, else null."""
        if len(parts) % 2:
            raise Unknown("case with a condition that has no value")
        out = "None"
        for at in range(len(parts) - 2, -1, -2):
            value = self.plain(parts[at + 1], places)
            out = f"({value} if ({self.boolean(parts[at], places)}) is True else {out})"
        return out

    def _coalesce(self, parts: tuple[Node, ...], places: Places) -> str:
        """Page "Comparison and conditional functions", coalesce: the first that is not null."""
        out = "None"
        for part in reversed(parts):
            name = f"_t{next(self.fresh)}"
            out = f"({name} if ({name} := ({self.plain(part, places)})) is not None else {out})"
        return out

    def _isnull(self, parts: tuple[Node, ...], places: Places) -> str:
        """Page "Informational functions", isnull."""
        (part,) = parts
        return f"(({self.plain(part, places)}) is None)"

    def _isnotnull(self, parts: tuple[Node, ...], places: Places) -> str:
        """Page "Informational functions", isnotnull."""
        (part,) = parts
        return f"(({self.plain(part, places)}) is not None)"

    def _null(self, parts: tuple[Node, ...], _places: Places) -> str:
        """Page "Informational functions", null."""
        if parts:
            raise Unknown("null with an argument")
        return "None"

    def _now(self, parts: tuple[Node, ...], _places: Places) -> str:
        """Page "Date and time functions", now: when the search started, in seconds since 1970."""
        if parts:
            raise Unknown("now with an argument")
        return f"{self.constant(STARTED.get)}()"

    def _mvmap(self, parts: tuple[Node, ...], places: Places) -> str:
        """Page "Multivalue functions", mvmap: the field stands for one of its values in the expression."""
        field, inner = parts
        if field.kind != "field":
            raise Unknown("mvmap over what is no field")
        name = f"_v{next(self.fresh)}"
        body = self.plain(inner, {**places, field.value: name})
        return f"_mapped({self.of(field, places)}, lambda {name}: {body})"

    def _mvfilter(self, parts: tuple[Node, ...], places: Places) -> str:
        """Page "Multivalue functions", mvfilter: it may read one field only."""
        (predicate,) = parts
        read = fields_of(predicate)
        if len(read) != 1:
            raise Unknown(f"mvfilter reads one field, not {len(read)}")
        (field,) = read
        name = f"_v{next(self.fresh)}"
        body = self.boolean(predicate, {**places, field: name})
        return f"_filtered({self.of(Node('field', field), places)}, lambda {name}: {body})"


STARTED: ContextVar[float] = ContextVar("STARTED")
"""When the search started: what ``now()`` gives. Nobody else's clock decides what is judged."""

SPECIAL = frozenset({"now", "if", "case", "coalesce", "isnull", "isnotnull", "null", "mvmap", "mvfilter"})


def is_boolean(node: Node) -> bool:
    """Whether a part is a condition."""
    if node.kind == "group":
        return is_boolean(node.parts[0])
    if node.kind == "call":
        return node.value in functions.PREDICATES | {"isnull", "isnotnull"}
    return node.kind in {"compare", "and", "or", "not"}


def value_of(node: Node) -> Evaluate:
    """A function that gives a row's value; it may not be a boolean."""
    compiler = Compiler()
    body = compiler.plain(node, {})
    return eval(f"lambda r: {body}", compiler.names)  # type: ignore[no-any-return]  # noqa: S307 - our own text; every value is passed by name


def condition_of(node: Node) -> Evaluate:
    """A function that gives True, False or None for a row."""
    compiler = Compiler()
    body = compiler.boolean(node, {})
    return eval(f"lambda r: {body}", compiler.names)  # type: ignore[no-any-return]  # noqa: S307 - as above


@lru_cache(maxsize=4096)
def condition(expression: str) -> Evaluate:
    """`condition_of` the text of an expression."""
    return condition_of(parsed(expression))


__all__ = ["Compiler", "condition", "condition_of", "text", "value_of"]
