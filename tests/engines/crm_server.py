"""The real MCP server of a test run (runs in the environment of fastmcp.lock): a small CRM behind bearer tokens.

Usage: crm_server.py PORT SPANS — writes each OpenTelemetry span as a line of ``span.to_json()`` to the file SPANS.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.auth.providers.jwt import StaticTokenVerifier
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

TOKENS = {
    "token-of-the-gateway": {"client_id": "contextforge", "scopes": ["opportunity:read", "opportunity:write"]},
    "token-of-sales-copilot": {"client_id": "sales-copilot", "scopes": ["opportunity:read"]},
    "token-without-scopes": {"client_id": "svc-report", "scopes": []},
}

crm = FastMCP("crm-mcp", auth=StaticTokenVerifier(tokens=TOKENS))


@crm.tool
def crm_read_opportunity(opportunity_id: str) -> dict[str, str]:
    """Read an opportunity."""
    return {"id": opportunity_id, "stage": "open"}


@crm.tool
def crm_update_opportunity(opportunity_id: str, stage: str, user_id: str = "") -> dict[str, str]:
    """Change the stage of an opportunity."""
    return {"id": opportunity_id, "stage": stage, "by": user_id}


@crm.tool
def crm_delete_opportunity(opportunity_id: str) -> str:
    """Delete an opportunity."""
    raise ToolError(f"{opportunity_id} is not yours")


def main(port: int, spans: Path) -> None:
    """Serve until stopped."""
    provider = TracerProvider(resource=Resource.create({"service.name": "crm-mcp"}))
    output = spans.open("w", encoding="utf-8")
    exporter = ConsoleSpanExporter(out=output, formatter=lambda span: span.to_json(indent=None) + "\n")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    crm.run(transport="http", host="127.0.0.1", port=port, show_banner=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
