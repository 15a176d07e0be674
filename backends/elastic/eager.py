"""CASE and COALESCE in a form that Elasticsearch computes for many rows at once.

ES|QL 8.19 computes ``CASE(condition, a, b)`` by the column where ``a`` and ``b`` are columns or literals. Any other
CASE, and a COALESCE of anything else, it computes row by row, and for each row it copies every column that there is by
then: with a hundred columns that is a hundred times slower. So what stands between the brackets becomes a column of
its own first. No function here has an effect besides its value, so it may be computed where nobody asks for it.

Source: ``Case.toEvaluator`` and ``Coalesce.toEvaluator`` of Elasticsearch 8.19; measured on it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from backends.elastic.esql import Assignment, columns, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backends.elastic.esql import Command, Token

_SIMPLE = frozenset({"name", "quoted", "text", "number"})
_LITERALS = frozenset({"true", "false", "null"})


def eager(commands: Sequence[Command]) -> list[Command]:
    """The same commands; in each EVAL, what CASE and COALESCE choose from are columns and literals."""
    names = _Names(commands)
    found = []
    for command in commands:
        if command.kind == "EVAL":
            made = [part for one in command.assignments for part in _parts(one, names)]
            found.append(replace(command, assignments=tuple(made), writes=frozenset(part.name for part in made)))
        else:
            found.append(command)
    return found


class _Names:
    """Names that no command uses yet."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self.taken = {name for command in commands for name in (*command.reads, *command.writes, *command.by)}

    def new(self, of: str) -> str:
        base = of.replace(".", "_").replace("@", "").removeprefix("cs_")
        number = 1
        while f"cs_{base}_{number}" in self.taken:
            number += 1
        self.taken.add(f"cs_{base}_{number}")
        return f"cs_{base}_{number}"


def _parts(one: Assignment, names: _Names) -> Iterator[Assignment]:
    """The assignment, and before it those of what it chooses from."""
    before: list[Assignment] = []
    words = _simple(_solid(tokens(one.expression)), one.name, names, before)
    yield from before
    yield Assignment(one.name, _text(words), columns(words), one.comment)


def _simple(words: list[Token], of: str, names: _Names, before: list[Assignment]) -> list[Token]:
    """An expression whose CASE and COALESCE are simple; what had to be taken out of it is appended to ``before``."""
    found: list[Token] = []
    at = 0
    while at < len(words):
        word = words[at]
        calls = at + 1 < len(words) and words[at + 1].text == "(" and word.kind == "name"
        if not calls or word.text.upper() not in {"CASE", "COALESCE"}:
            found.append(word)
            at += 1
            continue
        end = _close(words, at + 1)
        parts = [_simple(part, of, names, before) for part in _arguments(words[at + 2 : end])]
        if word.text.upper() == "CASE":
            found += _chosen(parts, of, names, before)
        else:
            plain = [_plain(part, of, names, before) for part in parts]
            found += [*words[at : at + 2], *_listed(plain), words[end]]
        at = end + 1
    return found


def _chosen(parts: list[list[Token]], of: str, names: _Names, before: list[Assignment]) -> list[Token]:
    """CASE of one condition: the last one becomes a column, which the one before chooses, and so on."""
    pairs = [(parts[at], parts[at + 1]) for at in range(0, len(parts) - 1, 2)]
    other = _plain(parts[-1], of, names, before) if len(parts) % 2 else None
    words: list[Token] = []
    for condition, value in reversed(pairs):
        if words:
            other = _plain(words, of, names, before)
        chosen = [condition, _plain(value, of, names, before), *([other] if other else [])]
        words = [*_solid(tokens("CASE(")), *_listed(chosen), *_solid(tokens(")"))]
    return words


def _plain(words: list[Token], of: str, names: _Names, before: list[Assignment]) -> list[Token]:
    """A column or a literal: the expression, or a new column that holds it."""
    if len(words) == 1 and (
        words[0].kind in {"name", "quoted", "text", "number"} or words[0].text.lower() in _LITERALS
    ):
        return words
    name = names.new(of)
    before.append(Assignment(name, _text(words), columns(words)))
    return tokens(name)


def _solid(words: Sequence[Token]) -> list[Token]:
    return [word for word in words if word.kind not in {"space", "comment"}]


def _close(words: Sequence[Token], start: int) -> int:
    """Where the bracket that opens at ``start`` closes."""
    depth = 0
    for at in range(start, len(words)):
        if words[at].kind == "mark":
            depth += (words[at].text == "(") - (words[at].text == ")")
        if not depth:
            return at
    raise ValueError("a bracket is not closed: " + _text(words)[:60])


def _arguments(words: Sequence[Token]) -> Iterator[list[Token]]:
    depth, start = 0, 0
    for at, word in enumerate(words):
        if word.kind == "mark":
            depth += (word.text in "([") - (word.text in ")]")
            if word.text == "," and not depth:
                yield list(words[start:at])
                start = at + 1
    yield list(words[start:])


def _listed(parts: Sequence[Sequence[Token]]) -> list[Token]:
    comma = tokens(",")
    return [word for at, part in enumerate(parts) for word in ([*comma, *part] if at else part)]


def _text(words: Sequence[Token]) -> str:
    """Words with spaces where ES|QL is written with them."""
    found = ""
    for at, word in enumerate(words):
        before = words[at - 1] if at else None
        tight = before is None or word.text in {")", ",", "]"} or word.kind == "cast" or before.text in {"(", "["}
        tight = tight or (word.text == "(" and before is not None and before.kind == "name" and _is_function(before))
        found += ("" if tight else " ") + word.text
    return found


def _is_function(word: Token) -> bool:
    return word.text.lower() not in {"and", "or", "not", "in", "like", "rlike", "is", "where"}
