"""The commands that our searches are made of, each as its page of the Search Reference says."""

from __future__ import annotations

import json
import re
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from harness.engines.spl import stats
from harness.engines.spl.expression import condition, value_of
from harness.engines.spl.pattern import compiled
from harness.engines.spl.syntax import assignments, unescaped
from harness.engines.spl.values import Row, Unknown, number, of, several, text
from harness.engines.spl.words import aliases, words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness.engines.spl.expression import Evaluate

    Table = Sequence[Mapping[str, str]]


def _set(row: Row, name: str, value: Any) -> None:
    if value is None:
        row.pop(name, None)
    else:
        row[name] = value


@lru_cache(maxsize=8192)
def _steps(clause: str) -> list[tuple[str, Evaluate]]:
    return [(name, value_of(node)) for name, node in assignments(clause)]


def eval_(rows: list[Row], clause: str, _lookups: Mapping[str, Table]) -> list[Row]:
    """Page "eval": fields are set in turn; null takes a field away."""
    steps = _steps(clause)
    for row in rows:
        for name, evaluate in steps:
            _set(row, name, evaluate(row))
    return rows


def where(rows: list[Row], clause: str, _lookups: Mapping[str, Table]) -> list[Row]:
    """Page "where": only rows for which it is true; false and null are dropped."""
    holds = condition(clause)
    return [row for row in rows if holds(row) is True]


def fields(rows: list[Row], clause: str, _lookups: Mapping[str, Table]) -> list[Row]:
    """Page "fields": ``- a b`` takes fields away, ``a b`` keeps only these and what begins with ``_``."""
    names = words(clause)
    if names[:1] == ["-"]:
        gone = _matching(names[1:])
        return [{name: value for name, value in row.items() if not gone(name)} for row in rows]
    kept = _matching(names)
    return [{name: value for name, value in row.items() if kept(name) or name.startswith("_")} for row in rows]


def table(rows: list[Row], clause: str, _lookups: Mapping[str, Table]) -> list[Row]:
    """Page "table": only these fields."""
    kept = _matching(words(clause))
    return [{name: value for name, value in row.items() if kept(name)} for row in rows]


def _matching(names: Sequence[str]) -> Callable[[str], bool]:
    plain = {name for name in names if "*" not in name}
    forms = [re.compile(re.escape(name).replace(r"\*", ".*")) for name in names if "*" in name]
    return lambda name: name in plain or any(form.fullmatch(name) for form in forms)


def rename(rows: list[Row], clause: str, _lookups: Mapping[str, Table]) -> list[Row]:
    """Page "rename": ``"*{}" AS "*"`` renames every field that fits, over a field that has the new name."""
    for old, new in aliases(clause):
        if "*" not in old:
            for row in rows:
                if old in row:
                    row[new] = row.pop(old)
            continue
        if old.count("*") != 1 or new.count("*") != 1:
            raise Unknown("rename with other than one star on each side")
        form = re.compile(re.escape(old).replace(r"\*", "(.*)"))
        for row in rows:
            for name in [name for name in row if form.fullmatch(name)]:
                row[new.replace("*", form.fullmatch(name)[1])] = row.pop(name)  # type: ignore[index]
    return rows


def lookup(rows: list[Row], clause: str, lookups: Mapping[str, Table]) -> list[Row]:
    """Page "lookup": a CSV table, letter case compared (transforms.conf, case_sensitive_match is true by default).

    A cell that holds nothing is taken for an empty text. What is there before in an output field is not documented
    where no row of the table fits: such a name raises.
    """
    head, found, tail = clause.partition(" OUTPUT ")
    if not found:
        raise Unknown("lookup without OUTPUT")
    name, *keys = words(head)
    pairs, outputs = aliases(" ".join(f'"{key}"' if key.upper() != "AS" else key for key in keys)), aliases(tail)
    if name not in lookups:
        raise Unknown(f"the lookup {name}")
    index: dict[tuple[str, ...], Mapping[str, str]] = {}
    for entry in lookups[name]:
        key = tuple(entry[column] for column, _ in pairs)
        if key in index:
            raise Unknown(f"the lookup {name} has two rows for {key}")
        index[key] = entry
    for row in rows:
        if any(into in row for _, into in outputs):
            raise Unknown(f"lookup {name} into a field that is there")
        values = [row.get(field) for _, field in pairs]
        if None in values:
            continue
        hit = index.get(tuple(map(text, values)))
        if hit is not None:
            row.update({into: hit[column] for column, into in outputs})
    return rows


def rex(rows: list[Row], clause: str, _lookups: Mapping[str, Table]) -> list[Row]:
    """Page "rex": named groups of a match; with ``max_match=0`` of all matches."""
    parts = re.fullmatch(r'field=(\w+)\s+("(?:[^"\\]|\\.)*")(\s+max_match=0)?', clause)
    if not parts:
        raise Unknown(f"rex {clause[:40]!r}")
    pattern = compiled(unescaped(parts[2]))
    if len(pattern.groupindex) != 1 or pattern.groups != 1:
        raise Unknown("rex with other than one group: groups that do not match each time fall out of step")
    (into,) = pattern.groupindex
    for row in rows:
        value = row.get(parts[1])
        if value is None:
            continue
        found = [match[into] for match in pattern.finditer(text(value))]
        if found:
            row[into] = of(found if parts[3] else found[:1])
    return rows


def sort(rows: list[Row], clause: str, _lookups: Mapping[str, Table]) -> list[Row]:
    """Page "sort": ``0`` for all rows (10,000 otherwise), then ``num(a)`` or ``str(b)``, ``-`` for descending."""
    limit, *keys = words(clause)
    if limit != "0":
        raise Unknown("sort keeps 10,000 rows unless 0 comes first")
    for key in reversed(keys):
        match = re.fullmatch(r"(-?)(num|str)\(([^()]+)\)", key)
        if not match:
            raise Unknown(f"sort {key}: say num(…) or str(…)")
        name, kind = match[3], match[2]
        if any(row.get(name) is None or isinstance(row[name], list) for row in rows):
            raise Unknown(f"sort by {name}, which some row lacks")
        if kind == "num" and any(number(row[name]) is None for row in rows):
            raise Unknown(f"sort by {name}, which is no number everywhere")
        rows = sorted(rows, key=partial(_of_kind, name, kind), reverse=bool(match[1]))
    return rows


def _of_kind(name: str, kind: str, row: Row) -> Any:
    return number(row[name]) if kind == "num" else text(row[name])


def dedup(rows: list[Row], clause: str, _lookups: Mapping[str, Table]) -> list[Row]:
    """Page "dedup": the first row of each combination; a row that lacks one of the fields is dropped."""
    names, seen, kept = words(clause), set(), []
    if any("=" in name or name.isdigit() for name in names):
        raise Unknown("an option of dedup")
    for row in rows:
        key = tuple(row.get(name) for name in names)
        if None in key:
            continue
        if any(isinstance(value, list) for value in key):
            raise Unknown("dedup by several values")
        if key not in seen:
            seen.add(key)
            kept.append(row)
    return kept


def mvexpand(rows: list[Row], clause: str, _lookups: Mapping[str, Table]) -> list[Row]:
    """Page "mvexpand": one row a value; memory bounds it (limits.conf, [mvexpand] max_mem_usage_mb)."""
    (name,) = words(clause)
    expanded = []
    for row in rows:
        if name not in row:
            raise Unknown("mvexpand of a row that lacks the field")
        expanded += [{**row, name: item} for item in several(row[name])]
    return expanded


def foreach(rows: list[Row], clause: str, _lookups: Mapping[str, Table]) -> list[Row]:
    """Page "foreach": an eval for each field that is named or fits; ``<<FIELD>>`` stands for its name."""
    head, found, tail = clause.partition("[")
    inner = tail.strip().removesuffix("]").strip()
    if not found or not inner.startswith("eval "):
        raise Unknown("foreach takes one eval in brackets")
    fits = _matching(words(head))
    there = dict.fromkeys(name for row in rows for name in row)
    for name in [name for name in there if fits(name)]:
        rows = eval_(rows, inner.removeprefix("eval ").replace("<<FIELD>>", name), {})
    return rows


def _statistics(
    function: Callable[[list[Row], str], list[Row]],
) -> Callable[[list[Row], str, Mapping[str, Table]], list[Row]]:
    return lambda rows, clause, _lookups: function(rows, clause)


COMMANDS: dict[str, Callable[[list[Row], str, Mapping[str, Table]], list[Row]]] = {
    "eval": eval_,
    "where": where,
    "fields": fields,
    "table": table,
    "rename": rename,
    "lookup": lookup,
    "rex": rex,
    "sort": sort,
    "dedup": dedup,
    "mvexpand": mvexpand,
    "foreach": foreach,
    "stats": _statistics(stats.stats),
    "eventstats": _statistics(stats.eventstats),
    "streamstats": _statistics(stats.streamstats),
}


def extracted(record: Any) -> Row:
    """The fields of a JSON event, as ``KV_MODE = json`` names them: dots between keys, ``{}`` after an array.

    Knowledge Manager Manual, "Automatic key-value field extractions". A JSON null is taken for the text ``null``.
    """
    found: dict[str, list[str]] = {}

    def walk(node: Any, name: str) -> None:
        if isinstance(node, dict):
            for key, below in node.items():
                walk(below, f"{name}.{key}" if name else key)
        elif isinstance(node, list):
            for below in node:
                walk(below, name + "{}")
        else:
            written = node if isinstance(node, str) else json.dumps(node)
            found.setdefault(name, []).append(written)

    walk(record, "")
    return {name: of(items) for name, items in found.items()}
