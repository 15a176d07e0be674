r"""Regular expressions of source maps as programs that an ingest script runs: data, so no pattern is part of its source.

Painless knows regular expressions as literals only, counts the characters that one may look at (so that many choices on a
short text are refused), and a cluster may switch them off. And Java's are not RE2's: ``$`` stands before a last newline too,
``.`` leaves out more, ``\s`` is wider. A program is run by a machine that holds every way to match at once, so a text costs
its length whatever it says.

Sources: RE2, *Syntax*; R. Cox, *Regular Expression Matching: the Virtual Machine Approach* (Pike's machine).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from backends.target import Inexpressible

Ranges = list[tuple[int, int]]
Node = tuple[Any, ...]

SET, SPLIT, JUMP, SAVE, ASSERT, MATCH = range(6)
"""A step: ``[SET, low, high, ...]``, ``[SPLIT, rather, else]``, ``[JUMP, to]``, ``[SAVE, 0 or 1]``, ``[ASSERT, what]``, ``[MATCH]``."""

ASSERTS = {"begin": 0, "end": 1, "line_begin": 2, "line_end": 3, "word": 4, "no_word": 5}
MOST_STEPS, MOST_REPEATS = 2000, 1000
_LAST = 0x10FFFF
_DIGIT: Ranges = [(48, 57)]
_SPACE: Ranges = [(9, 10), (12, 13), (32, 32)]
_WORD: Ranges = [(48, 57), (65, 90), (95, 95), (97, 122)]
_CLASSES = {"d": _DIGIT, "s": _SPACE, "w": _WORD}
_CONTROLS = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_PLACES = {"A": "begin", "z": "end", "b": "word", "B": "no_word"}
_REPEAT = re.compile(r"\{([0-9]+)(,([0-9]*))?\}")


def program(pattern: str) -> dict[str, Any]:
    """The program of a pattern, whether it can match at the text's beginning alone, and with what each match begins.

    Raises:
        Inexpressible: the pattern is none of RE2's, or holds what is not translated. One sentence.
    """
    tree = _Reader(pattern).whole()
    steps: list[list[int]] = []
    _emit(tree, steps, pattern)
    steps.append([MATCH])
    return {"anchored": _anchored(tree), "prefix": _prefix(tree)[0], "steps": steps}


@dataclass
class _Reader:
    """Reads a pattern once, from left to right."""

    pattern: str
    at: int = 0
    groups: int = 0
    flags: frozenset[str] = field(default_factory=frozenset)

    def whole(self) -> Node:
        tree = self._choices()
        if self.at < len(self.pattern):
            raise self._refused("a bracket closes that none opened")
        return tree

    def _refused(self, why: str) -> Inexpressible:
        return Inexpressible(f"the pattern {self.pattern!r} can't be run at ingest: {why}; write it in plain RE2")

    def _next(self, word: str) -> bool:
        if self.pattern.startswith(word, self.at):
            self.at += len(word)
            return True
        return False

    def _take(self) -> str:
        if self.at >= len(self.pattern):
            raise self._refused("it ends too early")
        self.at += 1
        return self.pattern[self.at - 1]

    def _choices(self) -> Node:
        outside = self.flags
        found = [self._sequence()]
        while self._next("|"):
            found.append(self._sequence())
        self.flags = outside
        return found[0] if len(found) == 1 else ("or", found)

    def _sequence(self) -> Node:
        found: list[Node] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            found.append(self._repeated(self._one()))
        return ("then", found)

    def _repeated(self, node: Node) -> Node:
        while True:
            counted = _REPEAT.match(self.pattern, self.at)
            if counted:
                self.at = counted.end()
                least = int(counted[1])
                most = None if counted[2] and not counted[3] else int(counted[3] or counted[1])
            elif self.at < len(self.pattern) and self.pattern[self.at] in "*+?":
                least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[self._take()]
            else:
                return node
            if max(least, most or 0) > MOST_REPEATS or (most is not None and most < least):
                raise self._refused(f"a repetition is beyond {MOST_REPEATS}, or ends before it begins")
            node = ("repeat", node, least, most, self._next("?"))

    def _one(self) -> Node:
        sign = self._take()
        if sign == "(":
            return self._group()
        if sign == "[":
            return ("set", self._class())
        if sign == ".":
            return ("set", [(0, _LAST)] if "s" in self.flags else _without([(10, 10)]))
        if sign in "^$":
            words = ("line_begin", "line_end") if "m" in self.flags else ("begin", "end")
            return ("assert", words[sign == "$"])
        if sign in "*+?":
            raise self._refused("nothing stands before a repetition")
        if sign == "\\" and self.pattern[self.at : self.at + 1] in _PLACES:
            return ("assert", _PLACES[self._take()])
        return ("set", self._folded(self._escape() if sign == "\\" else [(ord(sign), ord(sign))]))

    def _group(self) -> Node:
        captures = True
        inside = self.flags
        if self._next("?"):
            captures = self._next("P<")
            if captures:
                while self._take() != ">":
                    pass
            else:
                inside, rest = self._options()
                if rest:
                    self.flags = inside  # to the end of the group that holds it
                    return ("then", [])
        self.groups += captures
        own = captures and self.groups == 1
        outside, self.flags = self.flags, inside
        tree = self._choices()
        self.flags = outside
        if not self._next(")"):
            raise self._refused("a bracket is not closed")
        return ("group", tree) if own else tree

    def _options(self) -> tuple[frozenset[str], bool]:
        """Flags after ``(?``, and whether they hold for the rest of the group."""
        flags, off = set(self.flags), False
        while (sign := self._take()) not in ":)":
            if sign == "-":
                off = True
            elif sign in "ims":
                (flags.discard if off else flags.add)(sign)
            else:
                raise self._refused(f"it holds (?{sign}")
        return frozenset(flags), sign == ")"

    def _class(self) -> Ranges:
        negated = self._next("^")
        found: Ranges = []
        first = True
        while first or not self._next("]"):
            first = False
            if self.pattern.startswith("[:", self.at):
                raise self._refused("it holds a class by name")
            low = self._item()
            if len(low) == 1 and low[0][0] == low[0][1] and re.match(r"-[^\]]", self.pattern[self.at :]):
                self.at += 1
                high = self._item()
                if len(high) != 1 or high[0][0] != high[0][1] or high[0][0] < low[0][0]:
                    raise self._refused("a range ends before it begins")
                low = [(low[0][0], high[0][0])]
            found += low
        found = self._folded(found)
        return _without(found) if negated else found

    def _item(self) -> Ranges:
        sign = self._take()
        return self._escape() if sign == "\\" else [(ord(sign), ord(sign))]

    def _escape(self) -> Ranges:
        sign = self._take()
        if sign.lower() in _CLASSES:
            ranges = _CLASSES[sign.lower()]
            return ranges if sign.islower() else _without(ranges)
        if sign in _CONTROLS:
            return [(_CONTROLS[sign], _CONTROLS[sign])]
        if sign == "x":
            digits = re.compile(r"[0-9A-Fa-f]{2}|\{([0-9A-Fa-f]{1,6})\}").match(self.pattern, self.at)
            if digits:
                self.at = digits.end()
                code = int(digits[1] or digits[0], 16)
                return [(code, code)]
        if sign.isalnum():
            raise self._refused(f"it holds \\{sign}")
        return [(ord(sign), ord(sign))]

    def _folded(self, ranges: Ranges) -> Ranges:
        if "i" not in self.flags:
            return ranges
        both = {"k": "\u212a", "K": "\u212a", "\u212a": "kK", "s": "\u017f", "S": "\u017f", "\u017f": "sS"}
        more = {
            ord(other)
            for low, high in ranges
            for letter in map(chr, range(low, high + 1))
            for form in (letter.lower(), letter.upper(), both.get(letter, ""))
            for other in (form if len(form) == 1 or letter in both else "")
        }
        return ranges + [(code, code) for code in sorted(more)]


def _without(ranges: Ranges) -> Ranges:
    """All characters but those."""
    found, begin = [], 0
    for low, high in sorted(ranges):
        if low > begin:
            found.append((begin, low - 1))
        begin = max(begin, high + 1)
    return [*found, (begin, _LAST)] if begin <= _LAST else found


def _anchored(node: Node) -> bool:
    if node[0] == "then":
        return any(_anchored(one) for one in node[1][:1])
    if node[0] == "or":
        return all(map(_anchored, node[1]))
    return node == ("assert", "begin") or (node[0] == "group" and _anchored(node[1]))


def _prefix(node: Node) -> tuple[str, bool]:
    """The text with which each match of a node begins, and whether that is all of it."""
    if node[0] == "set" and len(node[1]) == 1 and node[1][0][0] == node[1][0][1]:
        return chr(node[1][0][0]), True
    if node[0] == "assert":
        return "", True
    if node[0] == "group":
        return _prefix(node[1])
    found = ""
    for one in node[1] if node[0] == "then" else ():
        text, whole = _prefix(one)
        found += text
        if not whole:
            return found, False
    return found, node[0] == "then"


def _emit(node: Node, steps: list[list[int]], pattern: str) -> None:
    """Append the steps of a node."""
    if len(steps) > MOST_STEPS:
        raise Inexpressible(f"the pattern {pattern!r} has more than {MOST_STEPS} steps; repeat less in it")
    if node[0] == "set":
        steps.append([SET, *(bound for span in node[1] for bound in span)])
    elif node[0] == "assert":
        steps.append([ASSERT, ASSERTS[node[1]]])
    elif node[0] == "then":
        for one in node[1]:
            _emit(one, steps, pattern)
    elif node[0] == "group":
        steps.append([SAVE, 0])
        _emit(node[1], steps, pattern)
        steps.append([SAVE, 1])
    elif node[0] == "or":
        _emit_choices(node[1], steps, pattern)
    else:
        _emit_repeated(node, steps, pattern)


def _emit_choices(choices: list[Node], steps: list[list[int]], pattern: str) -> None:
    jumps = []
    for choice in choices[:-1]:
        split = len(steps)
        steps.append([SPLIT, split + 1, 0])
        _emit(choice, steps, pattern)
        jumps.append(len(steps))
        steps.append([JUMP, 0])
        steps[split][2] = len(steps)
    _emit(choices[-1], steps, pattern)
    for jump in jumps:
        steps[jump][1] = len(steps)


def _emit_repeated(node: Node, steps: list[list[int]], pattern: str) -> None:
    _, inner, least, most, lazy = node
    for _ in range(least):
        _emit(inner, steps, pattern)

    def split(into: int, past: int) -> list[int]:
        return [SPLIT, past, into] if lazy else [SPLIT, into, past]

    if most is None:
        begin = len(steps)
        steps.append([])
        _emit(inner, steps, pattern)
        steps.append([JUMP, begin])
        steps[begin] = split(begin + 1, len(steps))
        return
    splits = []
    for _ in range(most - least):
        splits.append(len(steps))
        steps.append([])
        _emit(inner, steps, pattern)
    for begin in splits:
        steps[begin] = split(begin + 1, len(steps))
