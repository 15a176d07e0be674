"""INLINE STATS for Elasticsearch 8.19, which has none: rows are packed into texts, a group keeps them, they unpack.

``INLINE STATS x = MIN(a) BY k`` gives every row of a group the group's aggregates. Lowered it is::

    | EVAL cs_row = CONCAT(<the row's columns that something reads later>)
    | STATS cs_row = VALUES(cs_row), x = MIN(a) BY k
    | MV_EXPAND cs_row
    | DISSECT cs_row "%{a}<tab>%{b}"

Conventions of a view that is lowered, which its text can't say by itself:

- ``cs_rid`` tells the rows of one record from those of all others; it is always packed, so that no two records become
  one. Rows of one record that read alike may: an aggregate over them is MIN, MAX or VALUES, or groups by what parts
  them.
- ``cs_main_is`` is true on one row of each record, where MV_EXPAND made several. ``WHERE cs_main_is`` ends such a
  stretch, as a STATS does. A column that is read only after it, or in an aggregate ``... WHERE cs_main_is``, stays with
  that row.
- The end of a name is the type: ``_n`` a whole number, ``_is`` a boolean, ``_text`` anybody's text (packed in Base64).
  Every other column that lives through an INLINE STATS is a text, not empty, without a tab: a hash, our word, digits.
- What groups is never null, and no column that lives through has many values.

Source: "ES|QL commands" and "ES|QL functions", Elasticsearch 8.19 and 9.2.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from backends.elastic.eager import eager
from backends.elastic.esql import Command, lively, parse, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from backends.elastic.esql import Assignment

ROW, REST, RECORD, MAIN = "cs_row", "cs_rest", "cs_rid", "cs_main_is"
"""A row as text; what only the main row of a record carries, as text; the record; whether a row is its main one."""

HEAD = "cs_rest_begins"
"""Before the first column of ``cs_rest`` stands a dash: DISSECT loses a last part that begins with what parts them."""

BETWEEN = "\\t"
"""Between packed columns, as a literal of ES|QL writes it."""

_OF_MAIN = (f"WHERE {MAIN}", f"AND {MAIN}")

Lively = tuple[Command, frozenset[str]]


def lowered(commands: Sequence[Command], wanted: Iterable[str]) -> list[Command]:
    """What the wanted columns need, without INLINE STATS.

    Args:
        commands: of a view that keeps the conventions above.
        wanted: columns of its result.
    """
    wanted = frozenset(wanted)
    needed = _unmultiplied([command for command, _ in lively(commands, wanted)])
    line = [(command, after) for command, after in lively(needed, wanted) if command.kind != "DROP"]
    found: list[Command] = []
    rest: tuple[str, ...] = ()
    at = 0
    while at < len(line):
        command, after = line[at]
        if command.kind != "INLINE STATS":
            if command.kind == "MV_EXPAND":  # it copies all that there is
                found += parse(f"| KEEP {', '.join(map(quoted, sorted(after | command.reads)))}")
            found.append(command)
            at += 1
            continue
        stretch = line[at + 1 : _end(line, at) + 1]
        folds = bool(stretch) and _is_fold(stretch[0][0])
        last = not any(later.kind == "INLINE STATS" for later, _ in stretch)
        alive = after - command.writes - set(command.by)
        before, later, taken = _hoisted(line[at + 1 :], command, alive)
        own = sorted(alive - {RECORD, MAIN, *rest})
        if MAIN in alive and not last and not rest:
            rest = tuple(name for name in own if name not in _read(stretch))
            own = [name for name in own if name not in rest]
            found += _carried(rest)
        packed = (RECORD, *([MAIN] if MAIN in alive and not folds else []), *own)
        found += [*_grouped(command, packed, bool(rest), folds), *before]
        if not folds:
            found += parse(f"| MV_EXPAND {ROW}")
        if last:
            order = (*packed, *([HEAD] if rest else []), *rest)
            found += _unpacked(order, (name for name in order if name in alive))
            rest = ()
        else:
            found += _unpacked((*packed, *([REST] if rest else [])), packed)
        found += later
        at += 1 + taken + folds
    return eager(found)


def _unmultiplied(commands: Sequence[Command]) -> list[Command]:
    """Without the stretches of copies that nothing reads: a rule that asks for less needs only main rows there."""
    found: list[Command] = []
    begun: int | None = None
    for command in commands:
        if command.kind == "MV_EXPAND" and begun is None:
            begun = len(found)
        found.append(command)
        if command.kind == "INLINE STATS":
            begun = None if begun is None else -1
        elif command.kind == "STATS" or _is_fold(command):
            if (
                begun is not None
                and begun >= 0
                and all(one.expression.endswith(_OF_MAIN) for one in command.assignments)
            ):
                found[begun:] = [_single(part) for part in found[begun:] if part.kind != "MV_EXPAND"]
            begun = None
    return found


def _single(command: Command) -> Command:
    """A command where each record has one row."""
    made = tuple(
        replace(one, expression="true", reads=frozenset()) if one.name == MAIN else one for one in command.assignments
    )
    return _of(command, made) if command.kind == "EVAL" else command


def _is_fold(command: Command) -> bool:
    """Whether only main rows go on after the command."""
    return command.kind == "WHERE" and command.body.strip() == MAIN


def _end(line: Sequence[Lively], at: int) -> int:
    """Where the stretch of copies ends: at ``WHERE cs_main_is``, at a STATS, or where the view does."""
    for place in range(at + 1, len(line)):
        if line[place][0].kind == "STATS" or _is_fold(line[place][0]):
            return place
    return len(line) - 1


def _read(stretch: Sequence[Lively]) -> set[str]:
    """Columns that rows have until the stretch is packed for the last time, and that copies need even after that."""
    last = max(place for place, (command, _) in enumerate(stretch) if command.kind == "INLINE STATS")
    found = {name for command, _ in stretch[: last + 1] for name in command.reads}
    live: set[str] = set()
    for command, _ in reversed(stretch):
        if command.kind == "STATS":
            kept = [one for one in command.assignments if not one.expression.rstrip().endswith(_OF_MAIN)]
            live = {name for one in kept for name in one.reads}.union(command.by)
        elif command.kind == "EVAL":
            for one in reversed(command.assignments):
                if one.name in live:
                    live.discard(one.name)
                    live |= one.reads
        else:
            live -= command.writes
            live |= command.reads
    return found | live


def _carried(rest: Sequence[str]) -> list[Command]:
    """What only main rows carry, as a text; on copies as many empty ones."""
    if not rest:
        return []
    text = f'CONCAT("-{BETWEEN}", {_joined(rest)})'
    return [_eval(f'{REST} = CASE({MAIN}, {text}, "-{BETWEEN * len(rest)}")')]


def _hoisted(
    line: Sequence[Lively], command: Command, alive: frozenset[str]
) -> tuple[list[Command], list[Command], int]:
    """Of the EVAL that follows: what reads aggregates only, said once a group; the rest; and whether there is one."""
    if not line or line[0][0].kind != "EVAL":
        return [], [], 0
    known = {*command.writes, *command.by}
    early: list[Assignment] = []
    rest: list[Assignment] = []
    for one in line[0][0].assignments:
        if one.reads <= known and one.name not in alive and one.name not in {r for o in rest for r in o.reads}:
            early.append(one)
            known.add(one.name)
        else:
            rest.append(one)
            known.discard(one.name)
    return [_of(line[0][0], early)] * bool(early), [_of(line[0][0], rest)] * bool(rest), 1


def _of(command: Command, assignments: Sequence[Assignment]) -> Command:
    reads: set[str] = set()
    made: set[str] = set()
    for one in assignments:
        reads |= one.reads - made
        made.add(one.name)
    return replace(command, assignments=tuple(assignments), reads=frozenset(reads), writes=frozenset(made))


def _grouped(command: Command, packed: Sequence[str], rest: bool, folds: bool) -> list[Command]:  # noqa: FBT001
    parts = [f"{ROW} = {_joined(packed, (REST,) if rest else ())}"]
    keep = f"{ROW} = VALUES({ROW})" + (f" WHERE {MAIN}" if folds else "")
    made = [keep, *(f"{quoted(one.name)} = {one.expression}" for one in command.assignments)]
    by = ", ".join(map(quoted, command.by))
    stats = parse("| STATS\n    " + ",\n    ".join(made) + f"\n    BY {by}")[0]
    return [replace(_eval(*parts), comment=command.comment), stats]


def _eval(*assignments: str) -> Command:
    return parse("| EVAL " + ",\n    ".join(assignments))[0]


def _joined(names: Sequence[str], plain: Sequence[str] = ()) -> str:
    parts = [*map(_written, names), *plain]
    text = f', "{BETWEEN}", '.join(parts)
    return f"CONCAT({text})" if len(parts) > 1 else text


def _written(name: str) -> str:
    """A column as text, "" where it is null."""
    column = quoted(name)
    if name.endswith(("_n", "_is")):
        return f'COALESCE(TO_STRING({column}), "")'
    return f'COALESCE(TO_BASE64({column}), "")' if name.endswith("_text") else f'COALESCE({column}, "")'


def _unpacked(order: Sequence[str], turned: Iterable[str]) -> list[Command]:
    """Columns out of a packed row, in its order; those that something reads are turned into what they were."""
    pattern = BETWEEN.join(f"%{{{name}}}" for name in order)
    values = [f"{quoted(name)} = {_turned(name)}" for name in turned if name != RECORD]
    return [*parse(f'| DISSECT {ROW} "{pattern}"'), *([_eval(*values)] if values else [])]


def _turned(name: str) -> str:
    column = quoted(name)
    if name.endswith("_is"):
        return f'CASE({column} != "", {column} == "true")'
    text = f'CASE({column} != "", {column})'
    if name.endswith("_n"):
        return f"TO_LONG({text})"
    return f"FROM_BASE64({text})" if name.endswith("_text") else text
