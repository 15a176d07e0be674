"""Records at another time. Python 3.9 and nothing else."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any, Collection  # noqa: UP035 - evaluated by 3.9 too


def read(text: str) -> datetime:
    """An RFC 3339 time; one without an offset is UTC.

    Raises:
        ValueError: it is none.
    """
    text = re.sub(r"(\.\d{1,6})\d*", lambda digits: digits[1].ljust(7, "0"), text)  # 3.9 reads six digits and no others
    found = datetime.fromisoformat(text.strip().upper().replace("Z", "+00:00"))  # noqa: FURB162 - Python 3.9
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)  # noqa: UP017 - Python 3.9


def written(time: datetime) -> str:
    """RFC 3339 with six decimals, in UTC."""
    return f"{time.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}Z"  # noqa: UP017 - Python 3.9


def moved(node: Any, by: timedelta, times: Collection[str], above: str = "") -> Any:
    """A copy of a record, nested or dotted, whose ``times`` (dotted names) are later by so much."""
    if not isinstance(node, dict):
        return node
    found = {}
    for key, value in node.items():
        name = above + key
        if name in times and isinstance(value, str):
            found[key] = written(read(value) + by)
        else:
            found[key] = moved(value, by, times, f"{name}.")
    return found
