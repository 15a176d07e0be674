"""An organisation: people, agents, MCP servers of both parties, tools and the systems behind them.

Everything follows from the seed. Faker names people, since people read names; ids are plain and never need escaping.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

Row = dict[str, Any]
Register = dict[str, list[Row]]

ISSUER = "https://idp.corp.example"
DOMAIN = "corp.example"
SYSTEMS = ("crm", "erp", "hr", "tickets", "files", "mail", "billing", "wiki")
RESOURCES = ("record", "case", "order", "note", "invoice", "page", "contact", "report")
VERBS = (("read", "read"), ("update", "write"), ("create", "write"), ("delete", "destructive"))
"""Verb of a tool's name, and its risk; reading is what most tools do."""


LAPSED: Row = {
    "name": "archive-mcp",
    "uri": f"https://archive-mcp.{DOMAIN}/mcp",
    "party": "first",
    "approval": "approved",
    "review_expires": "2026-01-01T00:00:00Z",
}
"""A server that was reviewed once, whose approval ran out, and that honest work leaves alone."""

KEYED: Row = {
    "name": "print-mcp",
    "uri": f"https://print-mcp.{DOMAIN}/mcp",
    "party": "first",
    "approval": "approved",
    "review_expires": "2030-01-01T00:00:00Z",
    "exposure": "internal",
}
"""An old server that knows one static key; everybody knows that it does."""

OTHER_ISSUER = "https://login.vendor.example"
"""Where people have a second account each, which the register links."""


@dataclass(frozen=True)
class Person:
    """A human: ``sub`` at the identity provider, name and e-mail."""

    id: str
    name: str
    email: str


@dataclass(frozen=True)
class Tool:
    """A tool: name, risk, the one scope that it requires, and the hash of its approved definition."""

    name: str
    risk: str
    scope: str
    definition: str

    @property
    def operation(self) -> str:
        """What it does to a record: read, write or delete."""
        return {"read": "read", "write": "write", "destructive": "delete"}[self.risk]

    @property
    def resource(self) -> str:
        """The kind of record that it works on."""
        return self.name.split("_", 1)[1]


@dataclass(frozen=True)
class Server:
    """An MCP server in front of one system; ``number`` is its place among all."""

    number: int
    name: str
    uri: str
    system: str
    party: str
    tools: tuple[Tool, ...]

    @cached_property
    def _by_effect(self) -> dict[bool, tuple[Tool, ...]]:
        return {writes: tuple(t for t in self.tools if (t.risk != "read") == writes) for writes in (True, False)}

    @property
    def cleared(self) -> bool:
        """Whether a vendor's server may be shown restricted data: every other one may."""
        return self.number % 8 == 7  # noqa: PLR2004

    def tools_that(self, *, writes: bool) -> tuple[Tool, ...]:
        """Its tools that change something, or those that only read."""
        return self._by_effect[writes]


@dataclass(frozen=True)
class Agent:
    """An agent: its OAuth client, its own service identity, and whether people or a schedule start it."""

    id: str
    name: str
    client: str
    service: str
    mode: str


@dataclass(frozen=True)
class World:
    """An organisation of any size.

    Attributes:
        seed: two worlds of one seed and size are the same.
        people_count, agent_count, server_count: sizes, one or more each.
        own_sources: whether it also keeps the logs of `generator.story.OWN_SOURCES`.
    """

    seed: int = 1
    people_count: int = 500
    agent_count: int = 40
    server_count: int = 16
    own_sources: bool = False

    @cached_property
    def people(self) -> tuple[Person, ...]:
        """Numbered from one; two people may bear one name, never one id or e-mail."""
        from faker import Faker  # noqa: PLC0415 - it takes a moment, and processes that are sent the people need it not

        fake = Faker("en_US")
        fake.seed_instance(self.seed)
        return tuple(
            Person(f"u-{number:05d}", fake.name(), f"person{number:05d}@{DOMAIN}")
            for number in range(1, self.people_count + 1)
        )

    @cached_property
    def servers(self) -> tuple[Server, ...]:
        """Every fourth is a vendor's."""
        return tuple(map(self._server, range(self.server_count)))

    @cached_property
    def agents(self) -> tuple[Agent, ...]:
        """Every fifth is started by a schedule."""
        return tuple(
            Agent(
                id=f"agent-{number:03d}",
                name=f"{SYSTEMS[number % len(SYSTEMS)].title()} Copilot {number}",
                client=f"client-{number:03d}",
                service=f"svc-agent-{number:03d}",
                mode="scheduled" if number % 5 == 4 else "interactive",  # noqa: PLR2004 - every fifth
            )
            for number in range(self.agent_count)
        )

    @cached_property
    def _by_use(self) -> dict[str, tuple[Agent, ...]]:
        interactive = tuple(agent for agent in self.agents if agent.mode == "interactive")
        few = max(1, len(interactive) // 8)
        by = {
            "scheduled": tuple(agent for agent in self.agents if agent.mode == "scheduled"),
            "preauthorized": interactive[:few],
            "interactive": interactive[few:],
        }
        return {use: some or self.agents for use, some in by.items()}

    def agents_of(self, use: str) -> tuple[Agent, ...]:
        """Agents that a schedule starts, or people do; of these a few work under grants that were given beforehand."""
        return self._by_use[use]

    @cached_property
    def _by_party(self) -> dict[str, tuple[Server, ...]]:
        by = {party: tuple(s for s in self.servers if s.party == party) for party in ("first", "third")}
        by["cleared"] = tuple(s for s in by["third"] if s.cleared)
        return {"any": self.servers, **{party: some or self.servers for party, some in by.items()}}

    def servers_of(self, party: str) -> tuple[Server, ...]:
        """Servers of a party: first, third, third and cleared for restricted data, or any; any where there is none."""
        return self._by_party[party]

    @cached_property
    def register(self) -> Register:
        """What a careful team would have written down about it: every table."""
        tools = {tool.name: tool for server in self.servers for tool in server.tools}
        return {
            "agents": [
                {
                    "id": agent.id,
                    "name": agent.name,
                    "owner": "Operations",
                    "service_identities": [agent.service],
                    "client_ids": [agent.client],
                    "mode": agent.mode,
                    "status": "active",
                    "max_token_lifetime_sec": 3600,
                }
                for agent in self.agents
            ],
            "servers": [
                {
                    "name": server.name,
                    "uri": server.uri,
                    "party": server.party,
                    "approval": "approved",
                    "review_expires": "2030-01-01T00:00:00Z",
                    "exposure": "internal",
                    "tools_offered": [tool.name for tool in server.tools],
                    "min_protocol": "2025-06-18",
                    "regions": ["*=eu-central-1,eu-west-1"] + ["restricted=eu-central-1"] * server.cleared,
                }
                for server in self.servers
            ]
            + [LAPSED, KEYED],
            "tools": [
                {
                    "server": server.name,
                    "name": tool.name,
                    "definition_hash": tool.definition,
                    "risk": tool.risk,
                    "required_scopes": [tool.scope],
                }
                for server in self.servers
                for tool in server.tools
            ],
            "scopes": [
                {
                    "scope": tool.scope,
                    "system": tool.scope.split(".")[0],
                    "resource": tool.scope.split(".")[1],
                    "verb": tool.risk,
                }
                for tool in {tool.scope: tool for tool in tools.values()}.values()
            ],
            "people": [
                {"person": person.id, "issuer": issuer, "id": account, "email": person.email, "name": person.name}
                for person in self.people
                for issuer, account in ((ISSUER, person.id), (OTHER_ISSUER, f"v-{person.id}"))
            ],
            "clients": [
                {"id": agent.client, "kind": "agent", "agent": agent.id, "trusted": True} for agent in self.agents
            ]
            + [
                {"id": f"{name}-{system}", "kind": kind, "trusted": True}
                for name, kind in (("batch", "workload"), ("platform", "system"))
                for system in SYSTEMS
            ]
            + [{"id": "portal", "kind": "human", "trusted": True}],
            "networks": [{"cidr": "10.0.0.0/8", "name": "office"}],
            "coverage": [
                {"agent": agent.id, "stages": ["prompt", "decision", "token", "tool_call", "tool_response", "access"]}
                for agent in self.agents
            ],
        }

    def _server(self, number: int) -> Server:
        system = SYSTEMS[number % len(SYSTEMS)]
        name = f"{system}-mcp" if number < len(SYSTEMS) else f"{system}-mcp-{number // len(SYSTEMS)}"
        rng = np.random.default_rng([self.seed, 7, number])
        resources = rng.permutation(len(RESOURCES))[:4]
        tools = tuple(
            self._tool(name, system, verb, risk, RESOURCES[int(place)]) for place in resources for verb, risk in VERBS
        )
        party = "third" if number % 4 == 3 else "first"  # noqa: PLR2004 - every fourth
        return Server(number, name, f"https://{name}.{DOMAIN}/mcp", system, party, tools)

    @staticmethod
    def _tool(server: str, system: str, verb: str, risk: str, resource: str) -> Tool:
        name = f"{verb}_{resource}"
        definition = hashlib.sha256(f"{server}/{name}".encode()).hexdigest()
        right = {"read": "read", "write": "write", "destructive": "delete"}[risk]
        return Tool(name, risk, f"{system}.{resource}.{right}", definition)
