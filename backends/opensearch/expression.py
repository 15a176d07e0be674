"""Regular expressions of Sigma's flavour as Lucene's, which match a whole value and know no anchors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sigma.types import SigmaRegularExpressionFlag

from backends.target import Inexpressible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sigma.types import SigmaRegularExpression

_WRITTEN = {"t": "\t", "n": "\n", "r": "\r"}
_SPECIAL = frozenset('.?+*|{}[]()"\\#@&<>~^$-')


def lucene(name: str, value: SigmaRegularExpression) -> tuple[str, bool]:
    """Lucene's pattern, and whether it ignores the letter case of ASCII.

    Each branch that no bracket holds is found anywhere: what its anchors do not hold is let go before and after it.

    Args:
        name: the field, for the refusal.
        value: the expression.

    Raises:
        Inexpressible: an anchor stands elsewhere than at the end of a branch.
    """
    flags = set(value.flags)
    lines = SigmaRegularExpressionFlag.MULTILINE in flags
    folded = SigmaRegularExpressionFlag.IGNORECASE in flags
    dot = "(.|\n)" if SigmaRegularExpressionFlag.DOTALL in flags else "[^\n]"
    branches = []
    every = _branches(list(_pieces(value.regexp.to_plain_regex())))
    for branch in (one for each in every for one in _spread(each)):
        pieces, before, after = branch, "(.|\n)*", "(.|\n)*"
        if pieces[:1] == ["^"]:
            pieces, before = pieces[1:], "((.|\n)*\n)?" if lines else ""
        if pieces[-1:] == ["$"]:
            pieces, after = pieces[:-1], "(\n(.|\n)*)?" if lines else ""
        if "^" in pieces or "$" in pieces:
            raise Inexpressible(f"the regular expression on {name!r} has an anchor within; write it as two")
        body = "".join(dot if piece == "." else _written(piece, folded=folded) for piece in pieces)
        branches.append(f"{before}{f'({body})' if body else ''}{after}")
    return "|".join(branches), folded


def _pieces(pattern: str) -> Iterator[str]:
    """Letters, escapes, classes; everything else by itself."""
    at = 0
    while at < len(pattern):
        end = at + 1
        if pattern[at] == "\\":
            end = at + (4 if pattern[at + 1 : at + 2] == "x" else 2)
        elif pattern[at] == "[":
            end += pattern[end : end + 1] == "^"
            end += 1  # the first of a class is never its end
            while pattern[end : end + 1] not in {"]", ""}:
                end += 2 if pattern[end] == "\\" else 1
            end += 1
        yield pattern[at:end]
        at = end


def _branches(pieces: list[str]) -> Iterator[list[str]]:
    """The parts between bars that stand in no bracket."""
    depth, branch = 0, list[str]()
    for piece in pieces:
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if piece == "|" and depth == 0:
            yield branch
            branch = []
        else:
            branch.append(piece)
    yield branch


def _spread(branch: list[str]) -> Iterator[list[str]]:
    """A branch that begins or ends with a bracket of choices, one of them an anchor, as a branch a choice."""
    first = _closed(branch) if branch[:1] == ["("] else 0
    if first and "^" in branch[:first] and branch[first + 1 : first + 2] not in (["*"], ["+"], ["?"], ["{"]):
        for choice in _branches(branch[1:first]):
            yield from _spread([*choice, *branch[first + 1 :]])
        return
    last = next((at for at in range(len(branch)) if branch[at] == "(" and _closed(branch, at) == len(branch) - 1), None)
    if last is not None and "$" in branch[last:]:
        for choice in _branches(branch[last + 1 : -1]):
            yield from _spread([*branch[:last], *choice])
        return
    yield branch


def _closed(pieces: list[str], start: int = 0) -> int:
    """Where the bracket that opens at ``start`` closes."""
    depth = 0
    for at in range(start, len(pieces)):
        depth += {"(": 1, ")": -1}.get(pieces[at], 0)
        if depth == 0:
            return at
    return len(pieces)


def _written(piece: str, *, folded: bool) -> str:
    if piece[0] == "[":
        return _class(piece, folded=folded)
    if piece[0] == "\\":
        return _plain(_letter(piece), folded=folded)
    return piece if piece in set("()|*+?{},") else _plain(piece, folded=folded)


def _letter(escape: str) -> str:
    """The letter that an escape stands for."""
    if escape[1] == "x":
        return chr(int(escape[1:].replace("x", "0x", 1), 0))
    return _WRITTEN.get(escape[1], escape[1])


def _plain(letter: str, *, folded: bool) -> str:
    forms = {letter, letter.lower(), letter.upper()} if folded and not letter.isascii() else {letter}
    single = sorted(form for form in forms if len(form) == 1)
    return f"[{''.join(single)}]" if len(single) > 1 else f"\\{letter}" if letter in _SPECIAL else letter


def _class(piece: str, *, folded: bool) -> str:
    negated = piece[1] == "^"
    body, at, out = piece[1 + negated : -1], 0, ""
    while at < len(body):
        width = (4 if body[at + 1 : at + 2] == "x" else 2) if body[at] == "\\" else 1
        written = body[at : at + width]
        letter = _letter(written) if width > 1 else written
        between = letter == "-" and width == 1 and 0 < at < len(body) - 1
        out += "-" if between else f"\\{letter}" if letter in _SPECIAL else letter
        if folded and not letter.isascii():
            out += "".join(sorted(form for form in {letter.lower(), letter.upper()} - {letter} if len(form) == 1))
        at += width
    return f"[{'^' * negated}{out}]"
