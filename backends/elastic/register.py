"""The register as lookup indices: one document a key, since LOOKUP JOIN gives a row for each document that it meets.

Ids are compared without letter case, so they are stored in lower case; times are microseconds since 1970, UTC. Names
of columns begin with ``cr_``, so that no join overwrites a field of a record. An index is there, empty, where the team
keeps no such table. Source: "LOOKUP JOIN", Elasticsearch 8.19 reference.
"""

from __future__ import annotations

import hashlib
import ipaddress
from typing import TYPE_CHECKING, Any

from backends.duckdb.register import Tables, look_ups, microseconds, tabled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Row = dict[str, Any]

ITEM, SECTION, PAIR = "␟", "␞", "␝"
"""What stands between the items of a list that is worked on as text, between such lists, and within a pair."""

REPLACED = "\N{REPLACEMENT CHARACTER}"
SPLIT_AT = "\x1f"
"""What the chain view splits lists at: SPLIT takes one byte alone."""

_PLAIN = str.maketrans(dict.fromkeys((ITEM, SECTION, PAIR, SPLIT_AT), REPLACED))

_TEXT, _YES, _WHOLE, _NUMBER = "keyword", "boolean", "long", "double"
SHAPES: Mapping[str, Mapping[str, str]] = {
    "countersign-register": {
        "cr_all": _TEXT,
        **dict.fromkeys(("cr_has_servers", "cr_has_clients", "cr_has_networks"), _YES),
        **dict.fromkeys(("cr_domains", "cr_systems", "cr_widths", "cr_verbs", "cr_covered", "cr_networks"), _TEXT),
    },
    "countersign-services": {"cr_identity": _TEXT, "cr_service_kind": _TEXT, "cr_service_agent": _TEXT},
    "countersign-clients": {
        "cr_client": _TEXT,
        "cr_client_known": _YES,
        "cr_client_kind": _TEXT,
        "cr_client_agent": _TEXT,
        "cr_client_trusted": _YES,
        "cr_client_first_seen": _WHOLE,
        "cr_client_owner": _TEXT,
    },
    "countersign-agents": {
        "cr_agent": _TEXT,
        "cr_agent_identities": _TEXT,
        "cr_agent_clients": _TEXT,
        "cr_agent_mode": _TEXT,
        "cr_agent_tools": _TEXT,
        "cr_agent_limit": _NUMBER,
    },
    "countersign-servers": {
        "cr_server": _TEXT,
        "cr_server_known": _YES,
        **dict.fromkeys(("cr_server_uri", "cr_server_address", "cr_server_tls", "cr_party", "cr_approval"), _TEXT),
        "cr_review_expires": _WHOLE,
        "cr_revoked_at": _WHOLE,
        **dict.fromkeys(("cr_regions", "cr_places", "cr_offered", "cr_min_protocol"), _TEXT),
    },
    "countersign-tools": {
        "cr_tool": _TEXT,
        **dict.fromkeys(("cr_tool_risk", "cr_tool_hash", "cr_tool_scopes", "cr_tool_arguments"), _TEXT),
    },
    "countersign-people": {"cr_alias": _TEXT, "cr_person": _TEXT},
    "countersign-names": {"cr_named": _TEXT, "cr_names": _TEXT},
    "countersign-blind": {"cr_source": _TEXT, "cr_blind": _TEXT},
    "countersign-client-ids": {"cr_dataset": _TEXT, "cr_client_ids": _TEXT},
    "countersign-coverage": {"cr_who": _TEXT, "cr_coverage": _TEXT},
}
"""Lookup index → its columns and their types; the first column is the key that is joined on.

``cr_widths`` holds ``scope␝wide`` or ``scope␝narrow``, ``cr_verbs`` ``scope␝verb``, ``cr_covered`` ``scope␝other``
where the other covers it, ``cr_networks`` the ends of the own networks (`ends`), ``cr_tool`` ``server␟tool``,
``cr_source`` ``dataset␟stage``, ``cr_who`` ``agent␟id`` or ``system␟id``, and ``cr_coverage`` ``since␝stage``, since
when in microseconds.
"""

ALL = "register"
"""The key of the one row of ``countersign-register``: what is asked of a whole table, not of a key."""


def lookups(
    tables: Tables,
    never: Iterable[tuple[str, str, Sequence[str]]] = (),
    client_ids: Iterable[tuple[str, str]] = (),
) -> dict[str, list[Row]]:
    """Rows by lookup index, keys unique.

    Args:
        tables: the register.
        never: dataset, stage and the concepts that its records can never supply, from the source maps.
        client_ids: dataset and a dotted id that a client may set.
    """
    tables = plain(tables)
    found = {name: table.to_pylist() for name, table in tabled(tables).items()}
    rows: dict[str, Iterable[Row]] = {
        "countersign-register": [_whole(tables)],
        "countersign-services": (
            {"cr_identity": r["identity"], "cr_service_kind": r["kind"], "cr_service_agent": r["agent"]}
            for r in found["services"]
        ),
        "countersign-clients": _clients(found["clients"], look_ups(tables)["agent_of_client"]),
        "countersign-agents": (
            {
                "cr_agent": r["id"],
                "cr_agent_identities": r["service_identities"],
                "cr_agent_clients": r["client_ids"],
                "cr_agent_mode": r["mode"],
                "cr_agent_tools": r["tools"],
                "cr_agent_limit": r["max_token_lifetime_sec"],
            }
            for r in found["agents"]
        ),
        "countersign-servers": map(_server, found["servers"]),
        "countersign-tools": (
            {
                "cr_tool": f"{r['server']}{ITEM}{r['name']}",
                "cr_tool_risk": r["risk"],
                "cr_tool_hash": r["definition_hash"],
                "cr_tool_scopes": r["required_scopes"],
                "cr_tool_arguments": r["identity_arguments"],
            }
            for r in found["tools"]
        ),
        "countersign-people": ({"cr_alias": r["alias"], "cr_person": r["person"]} for r in found["people"]),
        "countersign-names": ({"cr_named": r["person"], "cr_names": r["names"]} for r in found["identities"]),
        "countersign-blind": ({"cr_source": f"{d}{ITEM}{s}", "cr_blind": list(c)} for d, s, c in never),
        "countersign-client-ids": _gathered("cr_dataset", "cr_client_ids", client_ids),
        "countersign-coverage": _gathered("cr_who", "cr_coverage", _coverage(tables.get("coverage", ()))),
    }
    return {name: _unique(name, rows[name]) for name in SHAPES}


def mapping(name: str) -> dict[str, Any]:
    """Settings and mappings of a lookup index, as ``PUT <name>`` takes them."""
    return {
        "settings": {"index.mode": "lookup"},
        "mappings": {"dynamic": False, "properties": {c: {"type": kind} for c, kind in SHAPES[name].items()}},
    }


def identity(name: str, row: Mapping[str, Any]) -> str:
    """The ``_id`` of a row: the same whenever the register is written again, so that a row is replaced."""
    return hashlib.sha256(str(row[key(name)]).encode()).hexdigest()


def key(name: str) -> str:
    """The column that a lookup index is joined on."""
    return next(iter(SHAPES[name]))


def ends(networks: Iterable[str]) -> list[str]:
    """First and last addresses of the networks, merged, as texts that sort as the addresses do.

    ``4`` and three digits a number, or ``6`` and 32 hexadecimal digits (RFC 4291 §2.5.5.2 maps an IPv4 address into
    IPv6, so each lies in both orders), and ``a`` behind a first address, ``z`` behind a last one. An address with ``m``
    behind it is inside when the next end above it is a last one.
    """
    spans = []
    for cidr in networks:
        network = ipaddress.ip_network(cidr, strict=False)
        shift = _MAPPED if isinstance(network, ipaddress.IPv4Network) else 0
        spans.append((int(network[0]) + shift, int(network[-1]) + shift))
    found = []
    for first, last in _merged(spans):
        found += [f"6{first:032x}a", f"6{last:032x}z"]
        low, high = max(first, _MAPPED), min(last, _MAPPED + 0xFFFFFFFF)
        if low <= high:
            found += [f"4{_digits(low)}a", f"4{_digits(high)}z"]
    return found


_MAPPED = 0xFFFF << 32


def _digits(address: int) -> str:
    return "".join(f"{byte:03d}" for byte in (address & 0xFFFFFFFF).to_bytes(4, "big"))


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def _whole(tables: Tables) -> Row:
    known = look_ups(tables)
    widths, verbs = [], []
    for scope, row in known["scopes"].items():
        if row["system_wide"] is not None:
            widths.append(f"{scope}{PAIR}{'wide' if row['system_wide'] else 'narrow'}")
        elif row["resource"] is not None:
            widths.append(f"{scope}{PAIR}narrow")
        if row["verb"] is not None:
            verbs.append(f"{scope}{PAIR}{'delete' if row['verb'] == 'destructive' else row['verb']}")
    return {
        "cr_all": ALL,
        **{f"cr_has_{name}": known[f"has_{name}"] for name in ("servers", "clients", "networks")},
        "cr_domains": known["domains"],
        "cr_systems": known["systems"],
        "cr_widths": widths,
        "cr_verbs": verbs,
        "cr_covered": [f"{scope}{PAIR}{other}" for scope, above in known["covered"].items() for other in above],
        "cr_networks": ends(row["cidr"] for row in tables.get("networks", ())),
    }


def _clients(clients: Sequence[Mapping[str, Any]], owners: Mapping[str, str]) -> Iterator[Row]:
    """The clients that the register lists, and those that only an agent names."""
    for r in clients:
        yield {
            "cr_client": r["id"],
            "cr_client_known": True,
            "cr_client_kind": r["kind"],
            "cr_client_agent": r["agent"],
            "cr_client_trusted": r["trusted"],
            "cr_client_first_seen": r["first_seen"],
            "cr_client_owner": owners.get(r["id"]),
        }
    yield from ({"cr_client": client, "cr_client_owner": agent} for client, agent in owners.items())


def _server(r: Mapping[str, Any]) -> Row:
    return {
        "cr_server": r["name"],
        "cr_server_known": True,
        "cr_server_uri": r["uri"],
        "cr_server_address": r["address"],
        "cr_server_tls": r["tls_sha256"],
        "cr_party": r["party"],
        "cr_approval": r["approval"],
        "cr_review_expires": r["review_expires"],
        "cr_revoked_at": r["revoked_at"],
        "cr_regions": r["regions"],
        "cr_places": _places(r["regions"] or ()),
        "cr_offered": r["scopes_offered"],
        "cr_min_protocol": r["min_protocol"],
    }


def _places(regions: Iterable[str]) -> list[str]:
    """``class=place,place`` in lower case; of several entries of one class the first counts."""
    found: dict[str, str] = {}
    for entry in regions:
        found.setdefault(entry.lower().partition("=")[0], entry.lower())
    return list(found.values())


def _coverage(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for row in rows:
        since = microseconds(row["since"]) if row.get("since") else 0
        for kind in ("agent", "system"):
            if row.get(kind):
                who = f"{kind}{ITEM}{str(row[kind]).lower()}"
                yield from ((who, f"{since}{PAIR}{stage}") for stage in row.get("stages") or ())


def _gathered(one: str, many: str, pairs: Iterable[tuple[str, str]]) -> Iterator[Row]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    yield from ({one: name, many: values} for name, values in found.items())


def _unique(name: str, rows: Iterable[Row]) -> list[Row]:
    """The first row of each key, without what it does not say."""
    found: dict[str, Row] = {}
    for row in rows:
        said = {c: v for c, v in row.items() if v is not None and v not in ("", [])}
        found.setdefault(said[key(name)], said)
    return list(found.values())


def plain(value: Any) -> Any:
    """Tables, lists or a text without the characters that stand between items; a log's values are freed of them too."""
    if isinstance(value, dict):
        return {name: plain(below) for name, below in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.translate(_PLAIN) if isinstance(value, str) else value
