"""Many cases in one data set, told apart by their own keys, so that records of different cases never join.

Keys are renamed one to one within a case: equal ids stay equal, different ids stay different, and a hexadecimal id
keeps its form. Where more than keys could join records (what another chain of the same agent or system logged within
the window makes a stage expected), a case is also moved in time.
"""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from harness.case import moment, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from backends.vocabulary import Vocabulary

KEYS = frozenset(
    {
        "chain.prompt.id",
        "chain.agent.instance_id",
        "trace.id",
        "span.id",
        "span.parent_id",
        "transaction.id",
        "http.request.id",
        "gen_ai.tool.call.id",
        "gen_ai.conversation.id",
        "oauth.token.id",
        "oauth.token.hash",
        "oauth.token.parent_id",
        "oauth.token.downstream_hash",
    }
)
"""Fields by whose values records join."""

OWN = "event.id"
"""Two records with one event id are one record told twice: every record gets its own."""

APART = timedelta(days=3)
"""More than twice the window in which records join."""

_HEX = re.compile(r"[0-9a-f]{16,}|[0-9A-F]{16,}")


def own_keys(
    records: list[dict[str, Any]], label: str, keep: Collection[str] = (), also: Collection[str] = ()
) -> list[dict[str, Any]]:
    """The records with keys of their own; fields in ``keep`` stay as they are, since a rule reads them.

    Args:
        records: nested or dotted.
        label: tells this case from all others.
        keep: dotted names that must not change.
        also: more fields to rename.
    """
    renamed = (KEYS | set(also)) - set(keep)

    def change(name: str, value: Any) -> Any:
        return _each(value, lambda text: own_key(text, label)) if name in renamed else value

    changed = [rewritten(record, change) for record in records]
    if OWN in keep:
        return changed
    return [_with_own_id(record, f"{label}-{index}") for index, record in enumerate(changed)]


def own_key(text: str, label: str) -> str:
    """Another id of the same form; all zeros, the nil UUID and the absent id stay, since they are no ids."""
    if not text or not text.strip("0-"):
        return text
    if not _HEX.fullmatch(text):
        return f"{text}-{label}"
    turn = int(hashlib.sha256(f"{label} {len(text)}".encode()).hexdigest(), 16) % 16 ** len(text)
    own = f"{int(text, 16) ^ turn:0{len(text)}x}"
    return own if text == text.lower() else own.upper()


def moved(records: list[dict[str, Any]], by: timedelta, vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """The records at another time: every time field moves, so that times keep their distances."""
    times = {name for name, field in vocabulary.raw.items() if field.kind == "time"}

    def change(name: str, value: Any) -> Any:
        return _each(value, lambda text: _later(text, by)) if name in times else value

    return [rewritten(record, change) for record in records]


def may_move(tables: Mapping[str, Iterable[Mapping[str, Any]]], start: str) -> bool:
    """Whether a later time leaves the register's own times on the side of the records where they were."""
    first = moment(start)
    times = [
        _read(value)
        for rows in tables.values()
        for row in rows
        for column, value in row.items()
        if column in {"since", "status_since"} and value
    ]
    return all(time is not None and time <= first for time in times)


def rewritten(node: dict[str, Any], change: Callable[[str, Any], Any], above: str = "") -> dict[str, Any]:
    """A copy of a record, nested or dotted, each value replaced by ``change(dotted name, value)``."""
    return {
        key: rewritten(value, change, f"{above}{key}.") if isinstance(value, dict) else change(above + key, value)
        for key, value in node.items()
    }


def _with_own_id(record: dict[str, Any], own: str) -> dict[str, Any]:
    if OWN in record:
        return {**record, OWN: own}
    event = record.get("event")
    return {**record, "event": {**event, "id": own}} if isinstance(event, dict) else {**record, OWN: own}


def _each(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [_each(item, change) for item in value]
    return change(value) if isinstance(value, str) and value else value


def _later(text: str, by: timedelta) -> str:
    time = _read(text)
    return text if time is None else rfc3339(time + by)


def _read(value: Any) -> Any:
    try:
        return moment(str(value))
    except ValueError:
        return None
