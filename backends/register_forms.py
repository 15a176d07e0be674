"""The register as the views look it up, in plain Python: services, people, what a scope covers, spans of networks.

Ids are compared without letter case, so they are in lower case. Every target makes its tables from these, and the lake
packages carry this file, so it needs nothing but Python.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

Tables = Mapping[str, Sequence[Mapping[str, Any]]]

IPV4 = 4

TEXT, TEXTS, NUMBER, BOOLEAN, TIME = "text", "texts", "number", "boolean", "time"
"""Kinds of a column; a time is whole microseconds since 1970, texts are a list."""

SHAPES: Mapping[str, Mapping[str, str]] = {
    "agents": {
        "id": TEXT,
        "service_identities": TEXTS,
        "client_ids": TEXTS,
        "mode": TEXT,
        "status": TEXT,
        "status_since": TIME,
        "tools": TEXTS,
        "max_token_lifetime_sec": NUMBER,
    },
    "people": {"alias": TEXT, "person": TEXT},
    "identities": {"person": TEXT, "names": TEXTS},
    "services": {"identity": TEXT, "kind": TEXT, "agent": TEXT},
    "clients": {"id": TEXT, "kind": TEXT, "agent": TEXT, "trusted": BOOLEAN, "first_seen": TIME},
    "servers": {
        "name": TEXT,
        "uri": TEXT,
        "address": TEXT,
        "tls_sha256": TEXT,
        "party": TEXT,
        "approval": TEXT,
        "review_expires": TIME,
        "revoked_at": TIME,
        "regions": TEXTS,
        "scopes_offered": TEXTS,
        "min_protocol": TEXT,
    },
    "tools": {
        "server": TEXT,
        "name": TEXT,
        "definition_hash": TEXT,
        "risk": TEXT,
        "required_scopes": TEXTS,
        "identity_arguments": TEXTS,
    },
    "coverage": {"system": TEXT, "agent": TEXT, "stages": TEXTS, "since": TIME},
}
"""Table → column → kind: what the views join with."""

_FOLDED = {
    "id",
    "identity",
    "name",
    "server",
    "agent",
    "system",
    "tools",
    "service_identities",
    "client_ids",
    "mode",
    "kind",
    "party",
    "approval",
    "risk",
}


def rows(tables: Tables) -> dict[str, list[dict[str, Any]]]:
    """Every table in its columns, ids in lower case, times in microseconds; services and people as looked up."""
    found: dict[str, list[Mapping[str, Any]]] = {name: list(tables.get(name, ())) for name in SHAPES}
    found["services"] = list(services(tables))
    found["people"], found["identities"] = people(tables.get("people", ()))
    return {
        name: [{column: _cell(row.get(column), column, kind) for column, kind in shape.items()} for row in found[name]]
        for name, shape in SHAPES.items()
    }


def look_ups(tables: Tables) -> dict[str, Any]:
    """What the view looks up within a list, by the variable's name: flags, maps and lists."""
    found: dict[str, Any] = {f"has_{name}": bool(tables.get(name)) for name in FLAGGED}
    found["networks"] = [tuple(_span(row["cidr"])) for row in tables.get("networks", ())]
    found["domains"] = [
        d.lower() for row in tables.get("clients", ()) if row.get("trusted") for d in row.get("domains") or ()
    ]
    found["agent_of_client"] = clients_of_agents(tables)
    return found | _scopes(tables.get("scopes", ()))


FLAGGED = ("servers", "clients", "networks", "agents", "coverage")
"""Tables of which a look-up says whether the team keeps them."""

IDENTITY_ARGUMENTS = (
    *("on_behalf_of", "act_as", "run_as", "impersonate", "acting_user"),
    *("user_id", "userId", "username", "requester"),
)
"""Keys of a tool's arguments that can name a user; the register's `tools.identity_arguments` adds its own."""


def services(tables: Tables) -> Iterable[Mapping[str, Any]]:
    """Identities that the register calls a service; a client's own kind comes before its agent's listing."""
    found: dict[str, dict[str, Any]] = {}
    for agent in tables.get("agents", ()):
        for identity in agent.get("service_identities") or ():
            found[identity.lower()] = {"identity": identity, "kind": "service", "agent": agent["id"]}
    for client in tables.get("clients", ()):
        if client.get("kind") in {"service", "workload", "system"}:
            known = found.get(client["id"].lower(), {})
            agent_id = client.get("agent") or known.get("agent")
            found[client["id"].lower()] = {"identity": client["id"], "kind": client["kind"], "agent": agent_id}
    return found.values()


def clients_of_agents(tables: Tables) -> dict[str, str]:
    """OAuth client id → id of the agent whose own it is, both in lower case."""
    found = {c["id"].lower(): c["agent"].lower() for c in tables.get("clients", ()) if c.get("agent")}
    found |= {
        c.lower(): agent["id"].lower() for agent in tables.get("agents", ()) for c in agent.get("client_ids") or ()
    }
    return found


def people(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """``issuer|id``, ``|id`` where no issuer is given, and the e-mail lead to the person; and back."""
    forward: dict[str, str] = {}
    back: dict[str, set[str]] = {}
    for row in rows:
        person = str(row["person"])
        names = (
            [f"{row['issuer']}|{row['id']}" if row.get("issuer") else f"|{row['id'].lower()}"] if row.get("id") else []
        )
        names += [str(row["email"]).lower()] if row.get("email") else []
        for name in names:
            forward.setdefault(name, person)
        known = back.setdefault(person, {person.lower()})
        known.update(str(row[column]).lower() for column in ("id", "email", "name") if row.get(column))
    return (
        [{"alias": name, "person": person} for name, person in forward.items()],
        [{"person": person, "names": sorted(names)} for person, names in back.items()],
    )


_LONG = re.compile(r"[^.:/][.:/]+[^.:/]+[.:/]+[^.:/]")
"""Three parts or more; with a URI in front there may be fewer, which costs time and nothing else."""


def _scopes(scopes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    parents = {row["scope"].lower(): str(row["parent"]).lower() for row in scopes if row.get("parent")}
    covered = {}
    for scope in parents:
        above, at = [], scope
        while at in parents and parents[at] not in above:
            at = parents[at]
            above.append(at)
        covered[scope] = above
    known = {
        row["scope"].lower(): {
            "system_wide": row.get("system_wide"),
            "resource": row.get("resource"),
            "verb": row.get("verb"),
        }
        for row in scopes
    }
    systems = sorted({str(row["system"]).lower() for row in scopes if row.get("system")})
    long_names_wide = any(row.get("system_wide") and _LONG.search(str(row["scope"])) for row in scopes)
    return {"scopes": known, "covered": covered, "systems": systems, "long_names_wide": bool(long_names_wide)}


def _span(cidr: str) -> list[str]:
    """First and last address as 32 hexadecimal digits; an IPv4 address is mapped (RFC 4291 §2.5.5.2)."""
    network = ipaddress.ip_network(cidr, strict=False)
    prefix = "0" * 20 + "ffff" if network.version == IPV4 else ""
    width = 32 - len(prefix)
    return [f"{prefix}{int(end):0{width}x}" for end in (network[0], network[-1])]


def _cell(value: Any, column: str, kind: str) -> Any:
    if value is None or value in ("", []):
        return None
    if kind == TIME:
        return microseconds(value)
    if column in _FOLDED:
        return [str(v).lower() for v in value] if isinstance(value, list | tuple) else str(value).lower()
    return value


def microseconds(value: str | datetime) -> int:
    """RFC 3339 to microseconds since 1970, UTC."""
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    whole = moment - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return (whole.days * 86_400 + whole.seconds) * 1_000_000 + whole.microseconds
