"""One line as a record of known fields, plainly nested, or what is wrong with it.

It needs nothing but Python: the lake packages carry this file.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from backends.absence import absent, flatten, normalise

if TYPE_CHECKING:
    from backends.vocabulary import Vocabulary

DEEPEST = 200
"""Nesting that no log needs; deeper lines are set aside before a parser recurses into them."""


class Doubtful(ValueError):  # noqa: N818 - says what is wrong with the line
    """The line can't be read; the message says why."""


def plain(line: bytes, vocabulary: Vocabulary) -> dict[str, Any]:  # noqa: C901 - one branch a kind of doubt
    """One line as a nested record of known fields in their own types.

    Raises:
        Doubtful: no JSON object, a duplicate key, nested too deep, or without a time.
        WrongType: a known field holds what it cannot hold.
    """
    if _depth(line) > DEEPEST:
        raise Doubtful(f"it is nested more than {DEEPEST} deep")
    try:
        record = json.loads(line, object_pairs_hook=_unique, parse_constant=_no_constant)
    except Doubtful:
        raise
    except UnicodeDecodeError as broken:
        raise Doubtful(f"byte {broken.start + 1} of the line is not UTF-8") from None
    except json.JSONDecodeError as broken:
        raise Doubtful(f"it is not JSON: {broken.msg.lower()} at character {broken.pos + 1}") from None
    except RecursionError:
        raise Doubtful(f"it is nested more than {DEEPEST} deep") from None
    except ValueError:  # Python refuses to read integers of thousands of digits
        raise Doubtful("it holds a number with too many digits") from None
    if not isinstance(record, dict):
        raise Doubtful("it is not a JSON object")
    sent = flatten(record, vocabulary)
    known = normalise(sent, vocabulary)
    if "@timestamp" not in known:
        raise Doubtful("it has no @timestamp, so nothing can be placed in time")
    nested: dict[str, Any] = {}
    for name, value in known.items():
        _put(nested, name, value)
    for name, value in sent.items():  # a derived field that arrived: that it did is counted, what it said is not read
        field = vocabulary.fields[name]
        if field.derived and not absent(value):
            _put(nested, name, ["arrived"] if field.array else "arrived")
    return nested


def _put(nested: dict[str, Any], name: str, value: Any) -> None:
    *parents, leaf = name.split(".")
    node = nested
    for key in parents:
        node = node.setdefault(key, {})
    node[leaf] = value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise Doubtful(f"the key {key[:80]!r} occurs twice in one object")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise Doubtful(f"{name} is not JSON")


_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)


def _depth(line: bytes) -> int:
    """The deepest nesting, counted without recursion."""
    if line.count(b"{") + line.count(b"[") <= DEEPEST:
        return 0
    deepest = depth = 0
    for byte in _STRINGS.sub(b"", line):
        if byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest
