"""ES|QL as text that can be sliced: a view holds every fact, a rule's query only those that it reads.

ES|QL has no functions of one's own, so a query carries its view. `parse` reads a view into commands, `sliced` keeps
what something later reads, `written` puts them back, one assignment a line. Source: Elasticsearch 8.19, "ES|QL
commands".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*) | (?P<text>\"{3}.*?\"{3}|"(?:\\.|[^"\\])*") | (?P<quoted>`(?:[^`]|``)+`)
    | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?) | (?P<cast>::\s*\w+)
    | (?P<name>[@A-Za-z_][\w@*]*(?:\.[@\w*]+)*) | (?P<space>\s+) | (?P<mark>==|!=|<=|>=|=~|.)""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = frozenset(
    [
        "and",
        "or",
        "not",
        "in",
        "like",
        "rlike",
        "is",
        "null",
        "true",
        "false",
        "by",
        "where",
        "as",
        "on",
        "asc",
        "desc",
        "nulls",
        "first",
        "last",
        "with",
        "metadata",
    ]
)
_UNITS = re.compile(r"(?:micro|milli)?seconds?|minutes?|hours?|days?|weeks?|months?|quarters?|years?|ms|s|min|h|d|w")
_KINDS = (
    *("INLINE STATS", "LOOKUP JOIN", "EVAL", "STATS", "WHERE", "MV_EXPAND"),
    *("DROP", "KEEP", "RENAME", "DISSECT", "SORT", "LIMIT"),
)


class Unreadable(ValueError):  # noqa: N818 - says what is wrong with a view
    """A text that is no sequence of known commands; says which line."""


@dataclass(frozen=True)
class Token:
    """One word of a text: its kind, a group of ``_TOKEN``, and how it is written."""

    kind: str
    text: str


@dataclass(frozen=True)
class Assignment:
    """``name = expression``, of EVAL, STATS or INLINE STATS; of RENAME the new name and the old.

    Attributes:
        name: the column, without backticks.
        expression: what it becomes, as written; of an aggregate with its ``WHERE``.
        reads: columns of the expression.
        comment: lines of comment that stand before it, each with ``//``.
    """

    name: str
    expression: str
    reads: frozenset[str]
    comment: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{quoted(self.name)} = {self.expression}"


@dataclass(frozen=True)
class Command:
    """One processing command.

    Attributes:
        kind: one of ``_KINDS``.
        body: all after the word, as written, where it has no assignments.
        assignments: of EVAL, STATS, INLINE STATS and RENAME.
        by: columns that STATS and INLINE STATS group by.
        reads: columns that it reads.
        writes: columns that it makes or makes anew.
        comment: lines of comment that stand before it.
    """

    kind: str
    body: str = ""
    assignments: tuple[Assignment, ...] = ()
    by: tuple[str, ...] = ()
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    comment: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """As it stands in a query, with ``| ``."""
        return written([self])


def quoted(name: str) -> str:
    """A column's name, in backticks where it is more than words and dots."""
    return name if re.fullmatch(r"[@A-Za-z_][\w@]*(\.[@A-Za-z_]\w*)*", name) else f"`{name.replace('`', '``')}`"


def string(value: str) -> str:
    """A text as a literal; nothing in it ends the literal."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(escapes.get(character, character) for character in value) + '"'


def tokens(text: str) -> list[Token]:
    """Words of a text, spaces included."""
    return [Token(str(found.lastgroup), found[0]) for found in _TOKEN.finditer(text)]


def columns(words: Iterable[Token]) -> frozenset[str]:
    """Columns that an expression reads: names that are no function, no keyword and no unit of time."""
    solid = [word for word in words if word.kind not in {"space", "comment"}]
    found = set()
    for at, word in enumerate(solid):
        after = solid[at + 1].text if at + 1 < len(solid) else ""
        if word.kind == "quoted":
            found.add(word.text[1:-1].replace("``", "`"))
        elif word.kind == "name" and after != "(" and word.text.lower() not in _WORDS:
            counted = at and solid[at - 1].kind == "number" and _UNITS.fullmatch(word.text.lower())
            found |= set() if counted else {word.text}
    return frozenset(found - {"*"})


def parse(text: str, lookups: Mapping[str, Iterable[str]] | None = None) -> list[Command]:
    """The commands of a view.

    Args:
        text: each command begins with ``|``.
        lookups: lookup index → its columns; LOOKUP JOIN writes them.

    Raises:
        Unreadable: a command that is not known, or an assignment without ``=``.
    """
    found = []
    for comment, words in _pieces(text):
        line = "".join(word.text for word in words).strip()
        kind = next((k for k in _KINDS if re.match(k.replace(" ", r"\s+") + r"\b", line, re.IGNORECASE)), None)
        if kind is None:
            raise Unreadable(f"no known command: {line[:60]!r}")
        body = words[_head(words, len(kind.split())) :]
        found.append(replace(_command(kind, body, lookups or {}), comment=comment))
    return found


def _pieces(text: str) -> Iterator[tuple[tuple[str, ...], list[Token]]]:
    """Comment before a command, and the words of it."""
    comment: list[str] = []
    words: list[Token] = []
    begun = False
    for word in tokens(text):
        if word.text == "|" and word.kind == "mark":
            if begun:
                tail = _tail(words)
                yield tuple(comment), words[: len(words) - len(tail)]
                comment = [w.text for w in tail if w.kind == "comment"]
            begun, words = True, []
        elif begun:
            words.append(word)
        elif word.kind == "comment":
            comment.append(word.text)
        elif word.kind != "space":
            raise Unreadable(f"a view begins with a command, not with {word.text!r}")
    if begun:
        yield tuple(comment), words


def _tail(words: Sequence[Token]) -> Sequence[Token]:
    """Comment lines at the end of a command belong to the next one, if they begin their line."""
    at = len(words)
    while at and words[at - 1].kind in {"space", "comment"}:
        at -= 1
    while at < len(words) and not (words[at].kind == "space" and "\n" in words[at].text):
        at += 1
    return words[at:]


def _head(words: Sequence[Token], count: int) -> int:
    """Where the words of a command's name end."""
    at = 0
    while count:
        count -= words[at].kind == "name"
        at += 1
    return at


def _command(kind: str, words: Sequence[Token], lookups: Mapping[str, Iterable[str]]) -> Command:
    body = "".join(word.text for word in words if word.kind != "comment").strip()
    if kind == "LOOKUP JOIN":
        index, _, key = re.split(r"\s+", body)
        key = key.strip("`")
        return Command(kind, body, reads=frozenset({key}), writes=frozenset(lookups.get(index, ())) - {key})
    if kind == "MV_EXPAND":
        return Command(kind, body, reads=frozenset({body.strip("`")}), writes=frozenset({body.strip("`")}))
    if kind == "RENAME":
        pairs = [re.split(r"\s+as\s+", "".join(w.text for w in p).strip(), flags=re.IGNORECASE) for p in _split(words)]
        made = tuple(Assignment(new.strip("`"), old, frozenset({old.strip("`")})) for old, new in pairs)
        return _assigning(kind, made, ())
    if kind == "DISSECT":
        made_names = re.findall(r"%\{([^}?]+?)(?:->)?\}", body)
        return Command(kind, body, reads=columns(words[: _head(words, 1)]), writes=frozenset(made_names))
    if kind in {"EVAL", "STATS", "INLINE STATS"}:
        grouped = _at_top(words, "by") if kind != "EVAL" else None
        by = tuple(sorted_columns(words[grouped + 1 :])) if grouped is not None else ()
        made = tuple(_assignment(part) for part in _split(words[:grouped]) if columns(part))
        return _assigning(kind, made, by)
    return Command(kind, body, reads=columns(words))


def sorted_columns(words: Sequence[Token]) -> list[str]:
    """Columns in their order, each once."""
    found = [name for word in words for name in columns([word])]
    return list(dict.fromkeys(found))


def _assigning(kind: str, made: tuple[Assignment, ...], by: tuple[str, ...]) -> Command:
    reads: set[str] = set(by)
    before: set[str] = set()
    for one in made:
        reads |= one.reads - (before if kind == "EVAL" else set())
        before.add(one.name)
    return Command(kind, assignments=made, by=by, reads=frozenset(reads), writes=frozenset(before))


def _assignment(words: Sequence[Token]) -> Assignment:
    comment = tuple(word.text for word in words if word.kind == "comment")
    solid = [word for word in words if word.kind != "comment"]
    text = "".join(word.text for word in solid)
    at = next((n for n, word in enumerate(solid) if word.text == "="), None)
    if at is None:
        raise Unreadable(f"name what {text.strip()[:60]!r} makes")
    (name,) = columns(solid[:at])
    expression = re.sub(r"[ \t]+\n", "\n", "".join(word.text for word in solid[at + 1 :]).strip())
    return Assignment(name, expression, columns(solid[at + 1 :]), comment)


def _split(words: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """At commas outside of brackets."""
    depth, start = 0, 0
    for at, word in enumerate(words):
        depth += (word.text in "([") - (word.text in ")]") if word.kind == "mark" else 0
        if word.text == "," and not depth:
            yield words[start:at]
            start = at + 1
    yield words[start:]


def _at_top(words: Sequence[Token], wanted: str) -> int | None:
    depth = 0
    for at, word in enumerate(words):
        depth += (word.text in "([") - (word.text in ")]") if word.kind == "mark" else 0
        if not depth and word.kind == "name" and word.text.lower() == wanted:
            return at
    return None


def sliced(commands: Sequence[Command], wanted: Iterable[str]) -> list[Command]:
    """What the wanted columns need, in its order. DROP is left out: what is not wanted is not made."""
    kept = [command for command, _ in lively(commands, wanted)]
    return [command for command in kept if command.kind != "DROP"]


def lively(commands: Sequence[Command], wanted: Iterable[str]) -> list[tuple[Command, frozenset[str]]]:
    """Each command that is needed, cut to what is needed, with the columns that are read after it."""
    live = set(wanted)
    found: list[tuple[Command, frozenset[str]]] = []
    for command in reversed(commands):
        after = frozenset(live)
        kept = _cut(command, live)
        if kept is None:
            continue
        found.append((kept, after))
    return found[::-1]


def _cut(command: Command, live: set[str]) -> Command | None:
    """The command as far as it is needed; ``live`` becomes what is read before it."""
    if command.kind in {"LOOKUP JOIN", "DISSECT"}:
        if not command.writes & live and (command.writes or command.kind == "DISSECT"):
            return None
        live -= command.writes
        live |= command.reads
        return command
    if command.kind not in {"EVAL", "STATS", "INLINE STATS", "RENAME"}:
        live |= set() if command.kind in {"DROP", "KEEP"} else command.reads
        return command if command.kind != "KEEP" else replace(command, body=", ".join(map(quoted, sorted(live))))
    made = [one for one in command.assignments if one.name in live] if command.kind != "EVAL" else []
    if command.kind == "EVAL":
        for one in reversed(command.assignments):
            if one.name in live:
                made.insert(0, one)
                live.discard(one.name)
                live |= one.reads
    else:
        if command.kind == "STATS":
            live.clear()
        live -= {one.name for one in made}
        live |= {name for one in made for name in one.reads}
        live |= set(command.by) if made or command.kind == "STATS" else set()
    if not made and command.kind != "STATS":
        return None
    return replace(_assigning(command.kind, tuple(made), command.by), comment=command.comment)


def written(commands: Iterable[Command]) -> str:
    """The commands as lines of a query, each beginning with ``| ``."""
    return "".join(_written(command) for command in commands)


def _written(command: Command) -> str:
    comment = "".join(f"{line}\n" for line in command.comment)
    if command.kind == "RENAME":
        pairs = ", ".join(f"{one.expression} AS {quoted(one.name)}" for one in command.assignments)
        return f"{comment}| RENAME {pairs}\n"
    if not command.assignments and command.kind not in {"STATS", "INLINE STATS"}:
        return f"{comment}| {command.kind} {command.body}\n"
    lines = []
    for at, one in enumerate(command.assignments):
        comma = "," if at + 1 < len(command.assignments) else ""
        lines += [*(f"    {said}" for said in one.comment), f"    {one}{comma}"]
    if len(lines) == 1 and not command.assignments[0].comment:
        lines = [lines[0].strip()]
        begin = f"| {command.kind} "
    else:
        begin = f"| {command.kind}\n" if lines else f"| {command.kind} "
    by = f" BY {', '.join(map(quoted, command.by))}" if command.by else ""
    if by and len(lines) > 1:
        by = "\n   " + by
    return f"{comment}{begin}" + "\n".join(lines) + by + "\n"
