"""The concepts that a source map may declare itself blind to: the one list, for the maps and for the engine."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONCEPTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "prompt": ("chain.prompt.id", "chain.prompt.hash", "chain.prompt.length", "chain.prompt.text"),
        "user": ("user.id", "user.name", "user.email"),
        "agent": ("gen_ai.agent.id", "gen_ai.agent.name"),
        "act": ("oauth.act.sub", "oauth.act.chain", "oauth.act.depth", "oauth.act.present"),
        "scope": ("oauth.scope.requested", "oauth.scope.granted", "oauth.scope.presented"),
        "required_scope": ("oauth.scope.required",),
        "audience": ("oauth.token.audience", "oauth.resource"),
        "response": ("chain.response.hash", "chain.response.text", "mcp.tool.result.bytes"),
        "arguments": ("gen_ai.tool.call.arguments", "gen_ai.tool.call.arguments_hash"),
        "correlation": ("trace.id", "transaction.id"),
        "proxy": ("chain.via_proxy",),
        "token": ("oauth.token.id",),
        "token_hash": ("oauth.token.hash",),
        "expiry": ("oauth.token.expires_at", "oauth.token.expires_in"),
        "client": ("oauth.client.id",),
        "tool": ("gen_ai.tool.name",),
        "server": ("mcp.server.name", "mcp.server.id", "mcp.server.uri"),
        "definition": ("mcp.tool.definition.hash",),
        "decision": ("mcp.tool.decision",),
        "conversation": ("gen_ai.conversation.id",),
        "auth": ("mcp.server.auth",),
        "exposure": ("mcp.server.exposure",),
        "address": ("source.ip",),
        "outcome": ("event.outcome",),
        "actor": ("chain.actor.recorded_type",),
        "resource": ("oauth.resource",),
        "consent": ("oauth.consent.type", "oauth.consent.id"),
    }
)
"""The fields by which a record would say a concept. The order is that of the bits (`bits`): add at the end."""


def bits(concepts: Iterable[str]) -> int:
    """One bit a concept, in the order of the list; a 32-bit column holds them. Unknown words are nothing."""
    return sum(1 << bit for bit, concept in enumerate(CONCEPTS) if concept in set(concepts))
