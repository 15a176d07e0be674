"""The register as DuckDB tables and session variables: what the logs cannot say.

Every table exists, empty where the team keeps none; `has_<table>` tells the two apart. Ids are compared without letter
case, so they are stored in lower case.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from backends.duckdb.columns import text

if TYPE_CHECKING:
    import duckdb

IPV4 = 4
Tables = Mapping[str, Sequence[Mapping[str, Any]]]

_WORDS = pa.list_(pa.string())
_SHAPES: dict[str, pa.Schema] = {
    "agents": pa.schema(
        [
            ("id", pa.string()),
            ("service_identities", _WORDS),
            ("client_ids", _WORDS),
            ("mode", pa.string()),
            ("status", pa.string()),
            ("status_since", pa.int64()),
            ("tools", _WORDS),
            ("max_token_lifetime_sec", pa.float64()),
        ],
    ),
    "people": pa.schema([("alias", pa.string()), ("person", pa.string())]),
    "identities": pa.schema([("person", pa.string()), ("names", _WORDS)]),
    "services": pa.schema([("identity", pa.string()), ("kind", pa.string()), ("agent", pa.string())]),
    "clients": pa.schema(
        [
            ("id", pa.string()),
            ("kind", pa.string()),
            ("agent", pa.string()),
            ("trusted", pa.bool_()),
            ("first_seen", pa.int64()),
        ],
    ),
    "servers": pa.schema(
        [
            ("name", pa.string()),
            ("uri", pa.string()),
            ("address", pa.string()),
            ("tls_sha256", pa.string()),
            ("party", pa.string()),
            ("approval", pa.string()),
            ("review_expires", pa.int64()),
            ("revoked_at", pa.int64()),
            ("regions", _WORDS),
            ("scopes_offered", _WORDS),
            ("min_protocol", pa.string()),
        ],
    ),
    "tools": pa.schema(
        [
            ("server", pa.string()),
            ("name", pa.string()),
            ("definition_hash", pa.string()),
            ("risk", pa.string()),
            ("required_scopes", _WORDS),
            ("identity_arguments", _WORDS),
        ],
    ),
    "coverage": pa.schema(
        [("system", pa.string()), ("agent", pa.string()), ("stages", _WORDS), ("since", pa.int64())],
    ),
}
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


def load(connection: duckdb.DuckDBPyConnection, tables: Tables) -> None:
    """Create ``reg_<table>`` for every table and set the variables that the event view's macros read."""
    for name, table in tabled(tables).items():
        connection.register("reg_rows", table)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE reg_{name} AS SELECT * FROM reg_rows")
        connection.unregister("reg_rows")
    values = look_ups(tables)
    for name, kind in _KINDS.items():
        _set(connection, name, values[name], kind)
    own = " OR ".join(f"address BETWEEN {text(first)} AND {text(last)}" for first, last in values["networks"])
    connection.execute(f"CREATE OR REPLACE TEMP MACRO countersign_own(address) AS ({own or 'false'})")
    _arguments(connection, tables.get("tools", ()))


def tabled(tables: Tables) -> dict[str, pa.Table]:
    """Every table in its columns, ids in lower case, times in microseconds; services and people as the view looks them up."""
    rows: dict[str, list[Mapping[str, Any]]] = {name: list(tables.get(name, ())) for name in _SHAPES}
    rows["services"] = list(services(tables))
    rows["people"], rows["identities"] = people(tables.get("people", ()))
    return {
        name: pa.table(
            {column.name: [_cell(row.get(column.name), column) for row in rows[name]] for column in shape}, schema=shape
        )
        for name, shape in _SHAPES.items()
    }


def look_ups(tables: Tables) -> dict[str, Any]:
    """What the view looks up within a list, by the variable's name: flags, maps and lists."""
    found: dict[str, Any] = {f"has_{name}": bool(tables.get(name)) for name in _FLAGGED}
    found["networks"] = [tuple(_span(row["cidr"])) for row in tables.get("networks", ())]
    found["domains"] = [
        d.lower() for row in tables.get("clients", ()) if row.get("trusted") for d in row.get("domains") or ()
    ]
    found["agent_of_client"] = clients_of_agents(tables)
    return found | _scopes(tables.get("scopes", ()))


_FLAGGED = ("servers", "clients", "networks", "agents", "coverage")
_KINDS = {
    **dict.fromkeys((f"has_{name}" for name in _FLAGGED), "BOOLEAN"),
    "domains": "VARCHAR[]",
    "agent_of_client": "MAP(VARCHAR, VARCHAR)",
    "scopes": "MAP(VARCHAR, STRUCT(system_wide BOOLEAN, resource VARCHAR, verb VARCHAR))",
    "covered": "MAP(VARCHAR, VARCHAR[])",
    "systems": "VARCHAR[]",
    "long_names_wide": "BOOLEAN",
}
"""Variables, and their types."""

IDENTITY_ARGUMENTS = (
    *("on_behalf_of", "act_as", "run_as", "impersonate", "acting_user"),
    *("user_id", "userId", "username", "requester"),
)
"""Keys of a tool's arguments that can name a user; the register's `tools.identity_arguments` adds its own."""


def _arguments(connection: duckdb.DuckDBPyConnection, tools: Sequence[Mapping[str, Any]]) -> None:
    own = {key for row in tools for key in row.get("identity_arguments") or ()}
    branches = " ".join(
        f"WHEN {text(key)} THEN json_extract(arguments, {text('$..' + json.dumps(key, ensure_ascii=False))})"
        for key in sorted(own | set(IDENTITY_ARGUMENTS))
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP MACRO countersign_argument(arguments, key) AS CASE key {branches} END",
    )


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


def _set(connection: duckdb.DuckDBPyConnection, name: str, value: Any, kind: str) -> None:
    if isinstance(value, dict):
        keys, values = list(value), list(value.values())
        item = kind.removeprefix("MAP(VARCHAR, ").removesuffix(")")
        connection.execute(f"SET VARIABLE {name} = map($1::VARCHAR[], $2::{item}[])", [keys, values])
    else:
        connection.execute(f"SET VARIABLE {name} = $1::{kind}", [value])


def _span(cidr: str) -> list[str]:
    """First and last address as 32 hexadecimal digits; an IPv4 address is mapped (RFC 4291 §2.5.5.2)."""
    network = ipaddress.ip_network(cidr, strict=False)
    prefix = "0" * 20 + "ffff" if network.version == IPV4 else ""
    width = 32 - len(prefix)
    return [f"{prefix}{int(end):0{width}x}" for end in (network[0], network[-1])]


def _cell(value: Any, column: pa.Field) -> Any:
    if value is None or value in ("", []):
        return None
    if column.type == pa.int64():
        return microseconds(value)
    if column.name in _FOLDED:
        return [str(v).lower() for v in value] if isinstance(value, list | tuple) else str(value).lower()
    return value


def microseconds(value: str | datetime) -> int:
    """RFC 3339 to microseconds since 1970, UTC."""
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    whole = moment - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return (whole.days * 86_400 + whole.seconds) * 1_000_000 + whole.microseconds
