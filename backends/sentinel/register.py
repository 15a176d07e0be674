"""The register as Sentinel watchlists: one CSV a table, every cell a text, lists and their items as JSON.

A watchlist can't be empty, so each begins with a row whose ``SearchKey`` is `NONE`; the views leave it out. Ids are
compared without letter case, so they are stored in lower case.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from backends.duckdb.register import clients_of_agents, people, services
from backends.sentinel.columns import network

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Tables = Mapping[str, Sequence[Mapping[str, Any]]]

NONE = "-"
KEY = "SearchKey"
SHAPES: Mapping[str, tuple[str, ...]] = {
    "agents": ("id", "mode", "tools", "service_identities", "client_ids", "max_token_lifetime_sec"),
    "agent_clients": ("client", "agent"),
    "aliases": ("alias", "person"),
    "names": ("person", "names"),
    "services": ("identity", "actor", "agent"),
    "clients": ("id", "actor", "agent", "trusted", "first_seen"),
    "domains": ("domain",),
    "servers": (
        *("name", "uri", "address", "tls_sha256", "party", "approval", "review_expires", "revoked_at"),
        *("regions", "scopes_offered", "min_protocol"),
    ),
    "regions": ("server", "data_class", "places"),
    "tools": ("server", "name", "definition_hash", "risk", "required_scopes", "identity_arguments"),
    "scopes": ("scope", "system", "system_wide", "resource", "verb", "above"),
    "networks": ("cidr", "pattern"),
    "coverage": ("agent", "system", "stages", "since"),
    "never": ("dataset", "stage", "concepts"),
    "client_ids": ("dataset", "field"),
}
"""Watchlist → its columns beside ``SearchKey``; its alias is ``countersign_`` and this name."""

_FOLDED = frozenset(
    {
        *("id", "identity", "name", "server", "agent", "system", "tools", "service_identities", "client_ids"),
        *("mode", "actor", "party", "approval", "risk"),
    }
)


def watchlists(
    tables: Tables,
    never: Iterable[tuple[str, str, Sequence[str]]] = (),
    client_ids: Iterable[tuple[str, str]] = (),
) -> dict[str, list[dict[str, str]]]:
    """Rows by watchlist, the first of each being the empty one.

    Args:
        tables: the register.
        never: dataset, stage and the concepts that its records can never supply, from the source maps.
        client_ids: dataset and a dotted id that a client may set.
    """
    rows: dict[str, Iterable[Mapping[str, Any]]] = {name: tables.get(name, ()) for name in SHAPES}
    rows["aliases"], rows["names"] = people(tables.get("people", ()))
    rows["services"] = [row | {"actor": row["kind"]} for row in map(dict, services(tables))]
    rows["clients"] = [{**row, "actor": row.get("kind")} for row in tables.get("clients", ())]
    rows["agent_clients"] = [{"client": c, "agent": a} for c, a in clients_of_agents(tables).items()]
    rows["domains"] = [
        {"domain": d.lower()}
        for row in tables.get("clients", ())
        if row.get("trusted")
        for d in row.get("domains") or ()
    ]
    rows["regions"] = list(_regions(tables.get("servers", ())))
    rows["scopes"] = list(_scopes(tables.get("scopes", ())))
    rows["networks"] = [{"cidr": row["cidr"], "pattern": network(row["cidr"])} for row in tables.get("networks", ())]
    rows["never"] = [{"dataset": d, "stage": s, "concepts": list(c)} for d, s, c in never]
    rows["client_ids"] = [{"dataset": d, "field": f} for d, f in client_ids]
    return {
        name: [
            {KEY: NONE} | dict.fromkeys(columns, ""),
            *({KEY: str(at)} | {c: _cell(c, row.get(c)) for c in columns} for at, row in enumerate(rows[name], 1)),
        ]
        for name, columns in SHAPES.items()
    }


def as_csv(rows: Sequence[Mapping[str, str]]) -> str:
    """One watchlist as the CSV that Sentinel takes."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _cell(name: str, value: Any) -> str:
    if value is None or value in ("", []):
        return ""
    if isinstance(value, list | tuple):
        items = [str(v).lower() if name in _FOLDED else str(v) for v in value]
        return json.dumps(items, ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).lower() if name in _FOLDED else str(value)


def _regions(servers: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    """``class=place,place`` in three columns; of several entries of one class the first counts."""
    seen = set()
    for row in servers:
        for entry in row.get("regions") or ():
            name, _, places = str(entry).partition("=")
            key = (str(row["name"]).lower(), name.lower())
            if key not in seen:
                seen.add(key)
                yield {"server": key[0], "data_class": key[1], "places": places.split("=")[0].lower()}


def _scopes(scopes: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each scope with all that cover it: its parent, the parent's, and so on."""
    parents = {row["scope"].lower(): str(row["parent"]).lower() for row in scopes if row.get("parent")}
    known = {row["scope"].lower(): row for row in scopes}
    for scope, row in known.items():
        above, at = [], scope
        while at in parents and parents[at] not in above:
            at = parents[at]
            above.append(at)
        yield {**row, "scope": scope, "above": above}
