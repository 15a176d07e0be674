"""Values of SPL: text, number, several values, or none (null).

A field holds text (``str``), a number (``int`` or ``float``), two or more values (``list`` of ``str``), or is null
(``None``, or not in the row). Booleans live inside an expression only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Row = dict[str, Any]

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


class Unknown(Exception):  # noqa: N818 - says what this interpreter refuses
    """SPL that this interpreter does not know, or that Splunk's documentation leaves open."""


def number(value: Any) -> int | float | None:
    """The value as a number; None where its text is none."""
    if isinstance(value, bool):
        raise Unknown("a boolean is no number")
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return None
    found = float(value)
    return int(found) if found.is_integer() and abs(found) < 1e15 else found  # noqa: PLR2004 - doubles hold these


def text(value: Any) -> str:
    """The value as text; a whole number has no fraction."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        raise Unknown('a boolean is no text: write if(…, "true", "false")')
    if isinstance(value, list):
        raise Unknown("several values where one is needed")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e17:  # noqa: PLR2004 - as doubles print
        return str(int(value))
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def several(value: Any) -> list[str]:
    """The values of a field: none, one or more."""
    if value is None:
        return []
    return value if isinstance(value, list) else [text(value)]


def of(items: list[str]) -> Any:
    """A field that holds these: null for none, the value itself for one."""
    return None if not items else items[0] if len(items) == 1 else items


def lowered(value: str) -> str:
    """Simple lower case, character by character."""
    return value.lower() if value.isascii() else "".join(character.lower()[0] for character in value)


def compared(operator: str, left: Any, right: Any) -> bool | None:
    """Comparison of eval and where: as numbers where both are, else as text; null where one is null.

    Search Reference, "where" and "Comparison and Conditional functions".
    """
    if left is None or right is None:
        return None
    if isinstance(left, list) or isinstance(right, list):
        raise Unknown("a comparison with several values: use mvfilter, mvmap or mvfind")
    if isinstance(left, bool) or isinstance(right, bool):
        raise Unknown("a comparison with a boolean")
    a: Any = number(left)
    b: Any = number(right)
    if a is None or b is None:
        a, b = text(left), text(right)
    tests: dict[str, Callable[[], bool]] = {
        "=": lambda: a == b,
        "!=": lambda: a != b,
        "<": lambda: a < b,
        "<=": lambda: a <= b,
        ">": lambda: a > b,
        ">=": lambda: a >= b,
    }
    return tests[operator]()


def joined(left: Any, right: Any) -> str | None:
    """The operator ``.``: null where one side is null."""
    return None if left is None or right is None else text(left) + text(right)


def calculated(operator: str, left: Any, right: Any) -> int | float | None:
    """Arithmetic; null where one side is no number, and of a division by nought."""
    a, b = number(left), number(right)
    if a is None or b is None:
        return None
    if operator in "/%":
        if not b:
            return None
        found: int | float = a / b if operator == "/" else a % b
    else:
        found = a + b if operator == "+" else a - b if operator == "-" else a * b
    return int(found) if isinstance(found, float) and found.is_integer() and abs(found) < 2**53 else found


def negated(value: bool | None) -> bool:  # noqa: FBT001 - an operand
    """NOT. Of a null it is not documented, and differs between descriptions: no query may depend on it."""
    if value is None:
        raise Unknown("NOT of a comparison with null: guard it")
    return not value
