"""An honest chain: one person, one agent, one tool call, from the prompt to the change in the downstream system.

`base_event` gives each record of it alone, as the cases of the rules need them; `base_register` is what a careful team
would have written down about this world. Together they are quiet for every rule.
"""

from __future__ import annotations

import copy
from typing import Any

Record = dict[str, Any]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPANS = {
    "prompt": "00f067aa0ba902b7",
    "decision": "00f067aa0ba902b8",
    "token": "00f067aa0ba902b9",
    "tool_call": "00f067aa0ba902ba",
    "tool_response": "00f067aa0ba902bb",
    "access": "00f067aa0ba902bc",
    "consent": "00f067aa0ba902bd",
    "change": "00f067aa0ba902be",
}
PARENTS = {
    "decision": "prompt",
    "token": "prompt",
    "tool_call": "prompt",
    "tool_response": "tool_call",
    "access": "tool_call",
    "consent": "prompt",
    "change": "prompt",
}
SECONDS = {
    "prompt": 0,
    "consent": 1,
    "decision": 2,
    "token": 3,
    "tool_call": 4,
    "access": 5,
    "tool_response": 6,
    "change": 7,
}
SERVER_URI = "https://crm-mcp.corp.example/mcp"
CALLED_TOKEN, DOWNSTREAM_TOKEN = "q1bKCbxFYuDbZbBvU2sPUw==", "Zm9yd2FyZGVkLXRva2VuLTE="

_COMMON: Record = {
    "chain": {"prompt": {"id": "prompt-7f3a"}},
    "trace": {"id": TRACE},
    "gen_ai": {
        "agent": {"id": "agent-sales-copilot", "name": "Sales Copilot"},
        "conversation": {"id": "conversation-81"},
    },
    "user": {"id": "u-ana", "name": "Ana Ruiz", "email": "ana@corp.example"},
    "source": {"ip": "10.2.3.4"},
}
_CLIENT: Record = {
    "client": {"id": "client-sales-copilot"},
    "act": {"sub": "agent-sales-copilot", "present": True, "depth": 1},
    "delegation": {"type": "delegation"},
}
_TOKEN: Record = {
    "hash": CALLED_TOKEN,
    "issuer": "https://idp.corp.example",
    "type": "access_token",
    "audience": [SERVER_URI],
    "issued_at": "2026-10-05T09:00:03.000000Z",
    "expires_at": "2026-10-05T09:15:03.000000Z",
    "client_id": "client-sales-copilot",
}
_SCOPE: Record = {"presented": ["crm.opportunity.write"], "required": ["crm.opportunity.write"]}
_SERVER: Record = {"name": "crm-mcp", "uri": SERVER_URI, "exposure": "internal", "auth": "oauth"}
_CALL: Record = {"name": "update_opportunity", "call": {"id": "call-1"}}

_STAGES: dict[str, Record] = {
    "prompt": {"chain": {"prompt": {"origin": "user", "length": 64, "hash": "p-hash-1"}}},
    "consent": {
        "event": {"action": "grant", "outcome": "success"},
        "oauth": {
            **_CLIENT,
            "consent": {"type": "user", "id": "consent-1"},
            "scope": {"granted": ["crm.opportunity.write"]},
        },
    },
    "decision": {
        "mcp": {"tool": {"decision": "allow", "decision_source": "policy"}, "server": _SERVER},
        "gen_ai": {"tool": _CALL},
    },
    "token": {
        "event": {"action": "exchange", "outcome": "success"},
        "oauth": {
            **_CLIENT,
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "resource": SERVER_URI,
            "token": _TOKEN,
            "scope": {"requested": ["crm.opportunity.write"], "granted": ["crm.opportunity.write"]},
        },
    },
    "tool_call": {
        "event": {"outcome": "success"},
        "chain": {"via_proxy": True},
        "mcp": {"method": {"name": "tools/call"}, "server": _SERVER, "protocol": {"version": "2026-07-28"}},
        "gen_ai": {"tool": {**_CALL, "call": {"id": "call-1", "arguments": '{"opportunity_id":"o-17","stage":"won"}'}}},
        "network": {"transport": "tcp"},
        "oauth": {**_CLIENT, "token": _TOKEN, "scope": _SCOPE},
    },
    "tool_response": {
        "event": {"outcome": "success"},
        "chain": {"response": {"hash": "r-hash-1"}},
        "mcp": {"server": _SERVER},
        "gen_ai": {"tool": _CALL},
    },
    "access": {
        "event": {"action": "update", "outcome": "success"},
        "chain": {
            "operation": "write",
            "resource": {"id": "o-17", "type": "opportunity", "classification": "internal"},
        },
        "service": {"target": {"name": "crm"}},
        "gen_ai": {"tool": {"call": {"id": "call-1"}}},
        "oauth": {
            **_CLIENT,
            "token": {**_TOKEN, "hash": DOWNSTREAM_TOKEN, "audience": ["https://crm.corp.example"]},
            "scope": _SCOPE,
        },
    },
    "change": {
        "event": {"action": "tool_definition_seen", "outcome": "success"},
        "mcp": {"server": _SERVER, "tool": {"definition": {"hash": "d-hash-1"}}},
        "gen_ai": {"tool": {"name": "update_opportunity"}},
    },
}


def base_event(name: str) -> Record:
    """The honest record of a stage, nested as it is logged; a fresh copy.

    Args:
        name: prompt, consent, decision, token, tool_call, access, tool_response or change.
    """
    record = _merged(copy.deepcopy(_COMMON), copy.deepcopy(_STAGES[name]))
    record["@timestamp"] = f"2026-10-05T09:00:{SECONDS[name]:02d}.000000Z"
    record["chain"]["stage"] = name
    record["event"] = {"id": f"event-{name}", **record.get("event", {})}
    record["span"] = {"id": SPANS[name]} | ({"parent_id": SPANS[PARENTS[name]]} if name in PARENTS else {})
    return record


def base_register() -> dict[str, list[Record]]:
    """Every table of the register for this world, filled."""
    return {
        "agents": [
            {
                "id": "agent-sales-copilot",
                "owner": "Sales Operations",
                "service_identities": ["svc-sales-copilot"],
                "client_ids": ["client-sales-copilot"],
                "mode": "interactive",
                "status": "active",
                "tools": ["update_opportunity", "read_opportunity"],
                "max_token_lifetime_sec": 3600,
            }
        ],
        "servers": [
            {
                "name": "crm-mcp",
                "uri": SERVER_URI,
                "party": "first",
                "approval": "approved",
                "review_expires": "2027-06-30T00:00:00Z",
                "exposure": "internal",
                "scopes_offered": ["crm.opportunity.read", "crm.opportunity.write"],
                "tools_offered": ["update_opportunity", "read_opportunity"],
                "min_protocol": "2025-06-18",
            }
        ],
        "tools": [
            {
                "server": "crm-mcp",
                "name": "update_opportunity",
                "definition_hash": "d-hash-1",
                "risk": "write",
                "required_scopes": ["crm.opportunity.write"],
            },
            {
                "server": "crm-mcp",
                "name": "read_opportunity",
                "risk": "read",
                "required_scopes": ["crm.opportunity.read"],
            },
        ],
        "scopes": [
            {"scope": "crm.opportunity.read", "system": "crm", "resource": "opportunity", "verb": "read"},
            {"scope": "crm.opportunity.write", "system": "crm", "resource": "opportunity", "verb": "write"},
        ],
        "people": [
            {
                "person": "ana",
                "issuer": "https://idp.corp.example",
                "id": "u-ana",
                "email": "ana@corp.example",
                "name": "Ana Ruiz",
            },
            {
                "person": "bob",
                "issuer": "https://idp.corp.example",
                "id": "u-bob",
                "email": "bob@corp.example",
                "name": "Bob Sauer",
            },
        ],
        "clients": [
            {"id": "client-sales-copilot", "kind": "agent", "agent": "agent-sales-copilot", "trusted": True},
        ],
        "networks": [{"cidr": "10.0.0.0/8", "name": "office"}],
        "coverage": [
            {
                "agent": "agent-sales-copilot",
                "stages": ["prompt", "decision", "tool_call", "tool_response", "token", "access"],
            }
        ],
    }


def _merged(base: Record, over: Record) -> Record:
    for key, value in over.items():
        base[key] = _merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
    return base
