"""A search over records: its macros, its commands, one after the other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.engines.spl.commands import COMMANDS
from harness.engines.spl.text import commands, expanded
from harness.engines.spl.values import Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.engines.spl.text import Macro
    from harness.engines.spl.values import Row

_BASE = re.compile(r"search\s+index=(\S+)\s+earliest=(\S+)\s+latest=(\S+)")


def run(
    search: str,
    index: Mapping[str, Sequence[Row]],
    macros: Mapping[str, Macro],
    lookups: Mapping[str, Sequence[Mapping[str, str]]],
) -> list[Row]:
    """The rows that a search gives.

    Args:
        search: begins with ``search index=… earliest=… latest=…``: without index or time it would read everything. The
            times are of the schedule; the records given are those that lie within.
        index: rows of each index, with the fields that extraction gives.
        macros: by name.
        lookups: tables by name.
    """
    first, *rest = commands(expanded(search, macros))
    base = _BASE.fullmatch(first)
    if not base:
        raise Unknown(f"a search begins with an index and a time, not {first[:60]!r}")
    if base[1] not in index:
        raise Unknown(f"the index {base[1]}")
    return piped([dict(row) for row in index[base[1]]], rest, lookups)


def piped(rows: list[Row], pipeline: Sequence[str], lookups: Mapping[str, Sequence[Mapping[str, str]]]) -> list[Row]:
    """Rows after a pipeline of commands.

    Raises:
        Unknown: with the command that it is about.
    """
    for command in pipeline:
        name, clause = [*command.split(maxsplit=1), ""][:2]
        if name not in COMMANDS:
            raise Unknown(f"the command {name!r}")
        try:
            rows = COMMANDS[name](rows, clause, lookups)
        except Unknown as wrong:
            raise Unknown(f"{wrong} — in | {command[:160]}") from None
    return rows
