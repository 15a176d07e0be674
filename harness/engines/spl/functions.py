"""Functions of eval and where, each as its page of the Search Reference says.

Functions that decide which of their arguments are read (if, case, coalesce, mvmap …) are in ``expression.py``.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import math
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from harness.engines.spl.pattern import compiled, replaced
from harness.engines.spl.values import Unknown, lowered, number, of, several, text

if TYPE_CHECKING:
    from collections.abc import Callable


def lower(value: Any) -> str | None:
    """Page "Text functions", lower."""
    return None if value is None else lowered(text(value))


def length(value: Any) -> int | None:
    """Page "Text functions", len."""
    return None if value is None else len(text(value))


def substr(value: Any, start: Any, count: Any = None) -> str | None:
    """Page "Text functions", substr. The first character is 1; a negative start counts from the end."""
    if value is None or start is None:
        return None
    whole, first = text(value), int(number(start) or 0)
    if not first or -first > len(whole):
        raise Unknown("substr from 0, or from before the beginning")
    begin = first - 1 if first > 0 else len(whole) + first
    if count is None:
        return whole[begin:]
    return whole[begin : begin + max(0, int(number(count) or 0))]


def replace(value: Any, pattern: Any, replacement: Any) -> str | None:
    """Page "Text functions", replace."""
    if value is None or pattern is None or replacement is None:
        return None
    return replaced(text(value), text(pattern), text(replacement))


def match(value: Any, pattern: Any) -> bool | None:
    """Page "Comparison and conditional functions", match: anywhere in the text."""
    return None if value is None or pattern is None else compiled(text(pattern)).search(text(value)) is not None


def cidrmatch(network: Any, address: Any) -> bool | None:
    """Page "Comparison and conditional functions", cidrmatch, IPv4 and IPv6."""
    if network is None or address is None:
        return None
    try:
        return ipaddress.ip_address(text(address)) in ipaddress.ip_network(text(network), strict=False)
    except ValueError:
        return False


def split(value: Any, delimiter: Any) -> Any:
    """Page "Multivalue functions", split."""
    if value is None:
        return None
    parts = text(value).split(text(delimiter))
    if "" in parts:
        raise Unknown("split with nothing between two delimiters, at the beginning or the end")
    return of(parts)


def mvappend(*values: Any) -> Any:
    """Page "Multivalue functions", mvappend; null adds nothing."""
    return of([item for value in values for item in several(value)])


def mvcount(value: Any) -> int | None:
    """Page "Multivalue functions", mvcount; null where there is none."""
    return len(several(value)) or None


def mvdedup(value: Any) -> Any:
    """Page "Multivalue functions", mvdedup."""
    return of(list(dict.fromkeys(several(value))))


def mvfind(value: Any, pattern: Any) -> int | None:
    """Page "Multivalue functions", mvfind: the place, from 0, of the first value that matches."""
    if value is None or pattern is None:
        return None
    search = compiled(text(pattern)).search
    return next((at for at, item in enumerate(several(value)) if search(item)), None)


def mvindex(value: Any, start: Any, end: Any = None) -> Any:
    """Page "Multivalue functions", mvindex: from 0, negative from the end, both ends included."""
    items, first = several(value), number(start)
    if first is None or not items:
        return None
    begin = int(first) + (len(items) if first < 0 else 0)
    if end is None:
        return items[begin] if 0 <= begin < len(items) else None
    last = int(number(end) or 0)
    last += len(items) if last < 0 else 0
    return of(items[begin : last + 1]) if 0 <= begin <= last < len(items) else None


def mvjoin(value: Any, delimiter: Any) -> str | None:
    """Page "Multivalue functions", mvjoin."""
    return None if value is None else text(delimiter).join(several(value))


def tonumber(value: Any) -> int | float | None:
    """Page "Conversion functions", tonumber; null where the text is no number."""
    return None if value is None else number(value)


def tostring(value: Any) -> str | None:
    """Page "Conversion functions", tostring, of a number."""
    return None if value is None else text(value)


def absolute(value: Any) -> int | float | None:
    """Page "Mathematical functions", abs."""
    found = number(value)
    return None if found is None else abs(found)


def floor(value: Any) -> int | None:
    """Page "Mathematical functions", floor."""
    found = number(value)
    return None if found is None else math.floor(found)


def md5(value: Any) -> str | None:
    """Page "Cryptographic functions", md5."""
    return None if value is None else hashlib.md5(text(value).encode(), usedforsecurity=False).hexdigest()


def least(*values: Any) -> Any:
    """Page "Statistical eval functions", min, of numbers; null is left out."""
    return _extreme(values, min)


def most(*values: Any) -> Any:
    """Page "Statistical eval functions", max, of numbers; null is left out."""
    return _extreme(values, max)


def _extreme(values: tuple[Any, ...], choose: Callable[[list[Any]], Any]) -> Any:
    found = [number(value) for value in values if value is not None]
    if None in found:
        raise Unknown("min and max of text")
    return choose(found) if found else None


def strptime(value: Any, form: Any) -> float | int | None:
    """Page "Date and time functions", strptime, with ``%z``; null where the text is no such time."""
    if value is None:
        return None
    if text(form) != "%Y-%m-%dT%H:%M:%S%z":
        raise Unknown(f"strptime with {form!r}: without %z it depends on who asks")
    found = re.fullmatch(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})([+-]\d{4})", text(value), re.ASCII)
    if not found:
        return None
    try:
        moment = datetime.strptime(found[0], "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return None
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)


def _native(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return value


def _loaded(value: Any) -> Any:
    try:
        return json.loads(text(value))
    except ValueError:
        return None


def json_valid(value: Any) -> bool | None:
    """Page "JSON functions", json_valid."""
    if value is None:
        return None
    try:
        json.loads(text(value))
    except (ValueError, RecursionError):
        return False
    return True


def json_extract_exact(value: Any, key: Any) -> Any:
    """Page "JSON functions", json_extract_exact: the key is plain text, not a path."""
    if value is None or key is None:
        return None
    found = _cached(text(value))
    return _native(found.get(text(key))) if isinstance(found, dict) else None


def json_extract(value: Any, path: Any) -> Any:
    """Page "JSON functions", json_extract, of a path of keys with dots between."""
    if value is None or path is None:
        return None
    if "{" in text(path):
        raise Unknown("json_extract of a place in an array")
    found = _cached(text(value))
    for key in text(path).split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return _native(found)


_CACHE: dict[str, Any] = {}


def _cached(value: str) -> Any:
    """The same JSON is read for each of its keys."""
    if value not in _CACHE:
        if len(_CACHE) > 512:  # noqa: PLR2004 - a few registers and a few records
            _CACHE.clear()
        _CACHE[value] = _loaded(value)
    return _CACHE.get(value)


def json_array_to_mv(value: Any) -> Any:
    """Page "JSON functions", json_array_to_mv: its elements, texts without their quotes."""
    found = _cached(text(value)) if value is not None else None
    return of([text(_native(item)) for item in found if item is not None]) if isinstance(found, list) else None


def json_keys(value: Any) -> str | None:
    """Page "JSON functions", json_keys: the keys as a JSON array."""
    found = _cached(text(value)) if value is not None else None
    return _native(list(found)) if isinstance(found, dict) else None


PLAIN: dict[str, tuple[Callable[..., Any], int, int]] = {
    "lower": (lower, 1, 1),
    "len": (length, 1, 1),
    "substr": (substr, 2, 3),
    "replace": (replace, 3, 3),
    "match": (match, 2, 2),
    "cidrmatch": (cidrmatch, 2, 2),
    "split": (split, 2, 2),
    "mvappend": (mvappend, 1, 99),
    "mvcount": (mvcount, 1, 1),
    "mvdedup": (mvdedup, 1, 1),
    "mvfind": (mvfind, 2, 2),
    "mvindex": (mvindex, 2, 3),
    "mvjoin": (mvjoin, 2, 2),
    "tonumber": (tonumber, 1, 1),
    "tostring": (tostring, 1, 1),
    "abs": (absolute, 1, 1),
    "floor": (floor, 1, 1),
    "md5": (md5, 1, 1),
    "min": (least, 1, 99),
    "max": (most, 1, 99),
    "strptime": (strptime, 2, 2),
    "json_valid": (json_valid, 1, 1),
    "json_extract": (json_extract, 2, 2),
    "json_extract_exact": (json_extract_exact, 2, 2),
    "json_array_to_mv": (json_array_to_mv, 1, 1),
    "json_keys": (json_keys, 1, 1),
}
"""Name → the function, and how few and how many arguments it takes."""

PREDICATES = frozenset({"match", "cidrmatch", "json_valid"})
"""Functions that give a boolean, which a field can't hold."""
