"""What people and agents do in a test run, good and bad, with a real client and by plain JSON-RPC."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway import ADMIN, PASSWORD, Gateway

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ANA, BOB, EVE, SERVICE = "ana@corp.example", "bob@corp.example", "eve@corp.example", "svc-crm@corp.example"
HOSTILE = '\' OR 1=1; DROP TABLE record; --<script>"}{"a":%n'
MAY_CALL = [
    "tools.read",
    "tools.execute",
    "servers.use",
    "servers.read",
    "tokens.create",
    "tokens.read",
    "tokens.revoke",
]


@dataclass
class Run:
    """What was done, by the name of each step.

    Attributes:
        outcomes: what the caller saw.
        tokens: id (jti) of each API token by its name.
        tools: names under which the gateway offers the server's tools.
    """

    outcomes: dict[str, Any] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    tools: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ApiToken:
    """An API token: its text, its id for the gateway, and the id that the logs name."""

    text: str
    identifier: str
    jti: str


@dataclass
class Client:
    """The real MCP client, a process a call."""

    python: Path
    script: Path
    spans: Path

    def call(self, url: str, token: str | None, tool: str, arguments: Mapping[str, str], **more: Any) -> dict[str, str]:
        """Connect, call a tool, disconnect."""
        wanted = {"url": url, "token": token, "tool": tool, "arguments": arguments, **more}
        done = subprocess.run(
            [str(self.python), str(self.script), str(self.spans)],
            input=json.dumps(wanted),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        outcome: dict[str, str] = json.loads(done.stdout)
        return outcome


def drive(gateway: Gateway, client: Client, crm: str) -> Run:
    """Set the gateway up and make every call of the story, one after the other."""
    run = Run()
    made = _set_up(gateway, crm)
    run.tools = sorted(tool["name"] for tool in gateway.administer("GET", "/tools"))
    read, update = "crm-mcp-crm-read-opportunity", "crm-mcp-crm-update-opportunity"
    mcp = f"{gateway.url}/servers/{made['server']}/mcp"
    session = gateway.tokens

    agent = _api_token(gateway, ANA, "sales copilot", days=30)
    service = _api_token(gateway, SERVICE, "crm service", days=365)
    lost = _api_token(gateway, EVE, "lost laptop", days=30)
    run.tokens = {"agent": agent.jti, "service": service.jti, "lost": lost.jti}

    done = run.outcomes
    # People and agents at work.
    done["ana reads"] = client.call(
        mcp, session[ANA], read, {"opportunity_id": "o-1"}, headers={"X-Correlation-ID": "corr-ana-1"}
    )
    done["ana updates"] = gateway.call(update, {"opportunity_id": "o-1", "stage": "won"}, token=session[ANA])
    done["ana's agent reads"] = client.call(mcp, agent.text, read, {"opportunity_id": "o-2"})
    # One service token for everybody; the person is a parameter.
    for person in (ANA, BOB, EVE):
        arguments = {"opportunity_id": "o-3", "stage": "won", "user_id": person}
        done[f"service updates for {person}"] = gateway.call(update, arguments, token=service.text)
    done["service reads"] = client.call(mcp, service.text, read, {"opportunity_id": "o-3"})
    # Ids that a caller chose.
    done["eve copies an id"] = gateway.call(
        read, {"opportunity_id": "o-1"}, token=session[EVE], correlation="corr-ana-1"
    )
    done["hostile id"] = gateway.call(read, {"opportunity_id": "o-1"}, token=session[ANA], correlation=HOSTILE)
    # What must not work.
    done["bob is a viewer"] = gateway.call(update, {"opportunity_id": "o-1", "stage": "lost"}, token=session[BOB])
    for tool in ("hr_export", "fin_pay"):
        done[f"eve tries {tool}"] = gateway.call(tool, {}, token=session[EVE])
    done["eve tries iam_grant"] = client.call(mcp, session[EVE], "iam_grant", {})
    done["tool fails"] = gateway.call("crm-mcp-crm-delete-opportunity", {"opportunity_id": "o-1"}, token=session[ANA])
    done["no token"] = gateway.call(read, {"opportunity_id": "o-1"}, token=None)
    done["garbage token"] = gateway.call(read, {"opportunity_id": "o-1"}, token="garbage")  # noqa: S106
    done["forged token"] = gateway.call(read, {"opportunity_id": "o-1"}, token=session[ANA][:-6] + "AAAAAA")
    done["wrong password"] = gateway.sign_in(ANA, "not-" + PASSWORD)
    gateway.administer("DELETE", f"/tokens/{lost.identifier}", person=EVE)
    done["revoked token"] = gateway.call(read, {"opportunity_id": "o-1"}, token=lost.text)
    # The server without the gateway.
    done["copilot reads directly"] = client.call(
        crm, "token-of-sales-copilot", "crm_read_opportunity", {"opportunity_id": "o-4"}, agent="sales-copilot"
    )
    done["no scopes"] = client.call(crm, "token-without-scopes", "crm_read_opportunity", {"opportunity_id": "o-4"})
    done["unknown token"] = client.call(crm, "not-a-token", "crm_read_opportunity", {"opportunity_id": "o-4"})
    # The server is switched off.
    gateway.administer("POST", f"/gateways/{made['gateway']}/state?activate=false")
    done["switched off"] = gateway.call(read, {"opportunity_id": "o-1"}, token=session[ANA])
    return run


def _set_up(gateway: Gateway, crm: str) -> dict[str, Any]:
    assert gateway.sign_in(ADMIN).status == 200
    for person in (ANA, BOB, EVE, SERVICE):
        account = {"email": person, "password": PASSWORD, "full_name": person.split("@", maxsplit=1)[0]}
        gateway.administer("POST", "/auth/email/admin/users", account)
    role = {"name": "agent_user", "description": "may call tools", "scope": "global", "permissions": MAY_CALL}
    made = gateway.administer("POST", "/rbac/roles", role)
    for person in (ANA, EVE, SERVICE):
        grant = {"role_id": made["id"], "scope": "global"}
        gateway.administer("POST", f"/rbac/users/{person}/roles", grant)
    for person in (ANA, BOB, EVE, SERVICE):
        assert gateway.sign_in(person).status == 200
    server = {
        "name": "crm-mcp",
        "url": crm,
        "transport": "STREAMABLEHTTP",
        "visibility": "public",
        "auth_type": "bearer",
        "auth_token": "token-of-the-gateway",
    }
    registered = gateway.administer("POST", "/gateways", server)
    tools = [tool["id"] for tool in gateway.administer("GET", "/tools")]
    bundle = {
        "server": {"name": "sales", "description": "sales tools", "associated_tools": tools},
        "visibility": "public",
    }
    virtual = gateway.administer("POST", "/servers", bundle)
    return {"gateway": registered["id"], "server": virtual["id"]}


def _api_token(gateway: Gateway, person: str, name: str, *, days: int) -> ApiToken:
    made = gateway.administer("POST", "/tokens", {"name": name, "expires_in_days": days}, person=person)
    token = made["access_token"]
    claims = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    return ApiToken(token, made["token"]["id"], claims["jti"])
