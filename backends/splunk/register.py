"""The register as Splunk lookups: CSV tables whose ids are in lower case, lists in a cell as JSON arrays.

One row, ``countersign_register``, says which tables a team keeps and holds what is asked for by name inside a list.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Tables = Mapping[str, Sequence[Mapping[str, Any]]]
Lookups = dict[str, list[dict[str, str]]]

COLUMNS: dict[str, tuple[str, ...]] = {
    "countersign_register": (
        *("key", "has_servers", "has_clients", "has_networks", "systems", "domains", "networks", "scopes", "covered"),
    ),
    "countersign_services": ("identity", "kind", "agent"),
    "countersign_clients": ("id", "kind", "agent", "trusted", "first_seen"),
    "countersign_client_agents": ("client", "agent"),
    "countersign_agents": ("id", "mode", "tools", "service_identities", "client_ids", "max_token_lifetime_sec"),
    "countersign_servers": (
        *("name", "uri", "address", "tls_sha256", "party", "approval", "review_expires", "review_expires_us"),
        *("revoked_at_us", "regions", "scopes_offered", "min_protocol"),
    ),
    "countersign_tools": ("server", "name", "definition_hash", "risk", "required_scopes", "identity_arguments"),
    "countersign_people": ("alias", "person"),
    "countersign_identities": ("person", "names"),
    "countersign_coverage": ("who", "entries"),
    "countersign_blind": ("dataset", "stage", "concepts"),
    "countersign_sources": ("dataset", "client_ids"),
}
"""Columns of each lookup. The first, or the first two, are the key, folded on both sides."""


def lookups(
    tables: Tables,
    never: Iterable[tuple[str, str, Sequence[str]]] = (),
    client_ids: Iterable[tuple[str, str]] = (),
) -> Lookups:
    """Every lookup, with the rows that the register and the source maps give it.

    Args:
        tables: the register's tables; times are RFC 3339.
        never: (dataset, stage, concepts that this kind of record can never supply).
        client_ids: (dataset, dotted id field that a client may set).
    """
    rows: dict[str, Iterable[Mapping[str, Any]]] = {
        "countersign_register": [_one(tables)],
        "countersign_services": _services(tables),
        "countersign_clients": ({**row, **_low(row, "id", "kind", "agent")} for row in tables.get("clients", ())),
        "countersign_client_agents": _client_agents(tables),
        "countersign_agents": (
            {**row, **_low(row, "id", "mode", "tools", "service_identities", "client_ids")}
            for row in tables.get("agents", ())
        ),
        "countersign_servers": (
            {
                **row,
                **_low(row, "name", "party", "approval"),
                "review_expires_us": _us(row.get("review_expires")),
                "revoked_at_us": _us(row.get("revoked_at")),
            }
            for row in tables.get("servers", ())
        ),
        "countersign_tools": ({**row, **_low(row, "server", "name", "risk")} for row in tables.get("tools", ())),
        "countersign_people": _aliases(tables),
        "countersign_identities": _identities(tables),
        "countersign_coverage": _coverage(tables),
        "countersign_blind": ({"dataset": d, "stage": s, "concepts": list(c)} for d, s, c in never),
        "countersign_sources": _sources(client_ids),
    }
    return {name: _unique(name, found) for name, found in rows.items()}


def _unique(name: str, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Rows with the columns of the lookup, as texts; of two with one key the first."""
    keys = 2 if name in {"countersign_tools", "countersign_blind"} else 1
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        cells = {column: _cell(row.get(column)) for column in COLUMNS[name]}
        key = tuple(list(cells.values())[:keys])
        found.setdefault(key, cells)
    return list(found.values())


def _cell(value: Any) -> str:
    if value is None or value in ("", []):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
    return str(value)


def _low(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: lower(row[name]) for name in names if row.get(name)}


def lower(value: Any) -> Any:
    """A text, or each of a list, in lower case."""
    return [str(item).lower() for item in value] if isinstance(value, list | tuple) else str(value).lower()


def _us(value: str | datetime | None) -> int | None:
    """RFC 3339 as microseconds since 1970."""
    if not value:
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    whole = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (whole.days * 86_400 + whole.seconds) * 1_000_000 + whole.microseconds


def _one(tables: Tables) -> Mapping[str, Any]:
    scopes = tables.get("scopes", ())
    parents = {row["scope"].lower(): str(row["parent"]).lower() for row in scopes if row.get("parent")}
    covered = {}
    for scope in parents:
        above, at = [], scope
        while at in parents and parents[at] not in above:
            at = parents[at]
            above.append(at)
        covered[scope] = above
    said = ("system_wide", "resource", "verb")
    return {
        "key": "everything",
        **{f"has_{name}": bool(tables.get(name)) for name in ("servers", "clients", "networks")},
        "systems": sorted({str(row["system"]).lower() for row in scopes if row.get("system")}),
        "domains": [
            d.lower() for row in tables.get("clients", ()) if row.get("trusted") for d in row.get("domains") or ()
        ],
        "networks": [row["cidr"] for row in tables.get("networks", ())],
        "scopes": {
            row["scope"].lower(): {name: row[name] for name in said if row.get(name) is not None} for row in scopes
        },
        "covered": covered,
    }


def _services(tables: Tables) -> Iterable[Mapping[str, Any]]:
    """Identities that the register calls a service; a client's own kind comes before its agent's listing."""
    found: dict[str, dict[str, Any]] = {}
    for agent in tables.get("agents", ()):
        for identity in agent.get("service_identities") or ():
            found[lower(identity)] = {"identity": lower(identity), "kind": "service", "agent": lower(agent["id"])}
    for client in tables.get("clients", ()):
        if client.get("kind") in {"service", "workload", "system"}:
            key = lower(client["id"])
            agent_id = client.get("agent") or found.get(key, {}).get("agent")
            found[key] = {"identity": key, "kind": client["kind"], "agent": lower(agent_id) if agent_id else ""}
    return found.values()


def _client_agents(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """OAuth client → the agent whose own it is; what the agent lists comes before what the client says."""
    found = {lower(c["id"]): lower(c["agent"]) for c in tables.get("clients", ()) if c.get("agent")}
    found |= {lower(c): lower(agent["id"]) for agent in tables.get("agents", ()) for c in agent.get("client_ids") or ()}
    yield from ({"client": client, "agent": agent} for client, agent in found.items())


def _names(row: Mapping[str, Any]) -> list[str]:
    names = [f"{row['issuer']}|{row['id']}" if row.get("issuer") else f"|{row['id'].lower()}"] if row.get("id") else []
    return names + ([str(row["email"]).lower()] if row.get("email") else [])


def _aliases(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """``issuer|id``, ``|id`` where no issuer is given, and the e-mail lead to the person."""
    for row in tables.get("people", ()):
        yield from ({"alias": name, "person": str(row["person"])} for name in _names(row))


def _identities(tables: Tables) -> Iterator[Mapping[str, Any]]:
    found: dict[str, set[str]] = {}
    for row in tables.get("people", ()):
        known = found.setdefault(str(row["person"]), {str(row["person"]).lower()})
        known.update(str(row[column]).lower() for column in ("id", "email", "name") if row.get(column))
    yield from ({"person": person, "names": sorted(names)} for person, names in found.items())


def _coverage(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """For each agent or system what is onboarded: texts of JSON, since when in microseconds."""
    found: dict[str, list[str]] = {}
    for row in tables.get("coverage", ()):
        for kind in ("agent", "system"):
            if row.get(kind):
                entry = {"stages": list(row.get("stages") or ()), "since": str(_us(row.get("since")) or 0)}
                found.setdefault(f"{kind} {lower(row[kind])}", []).append(json.dumps(entry))
    yield from ({"who": who, "entries": entries} for who, entries in found.items())


def _sources(client_ids: Iterable[tuple[str, str]]) -> Iterator[Mapping[str, Any]]:
    found: dict[str, list[str]] = {}
    for dataset, name in client_ids:
        found.setdefault(dataset, []).append(name)
    yield from ({"dataset": dataset, "client_ids": names} for dataset, names in found.items())
