"""The real MCP client of a test run (runs in the environment of fastmcp.lock).

Usage: mcp_client.py SPANS < CALL — CALL is {"url", "token", "tool", "arguments", "headers", "agent"}; prints the
outcome as JSON: {"outcome": "answered" | "failed" | "refused", "text": ...}. With "agent" the call is made inside an
``invoke_agent`` span of that agent. The client's own spans go to the file SPANS.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor


async def call(wanted: dict[str, Any]) -> dict[str, str]:
    """Connect, make one tool call, disconnect."""
    transport = StreamableHttpTransport(wanted["url"], headers=wanted.get("headers") or {}, auth=wanted.get("token"))
    agent = wanted.get("agent")
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": agent, "gen_ai.conversation.id": "c-1"}
    tracer = trace.get_tracer("agent-runtime")
    span = (
        tracer.start_as_current_span(f"invoke_agent {agent}", attributes=attributes)
        if agent
        else contextlib.nullcontext()
    )
    try:
        with span:
            async with Client(transport) as client:
                result = await client.call_tool(wanted["tool"], wanted["arguments"], raise_on_error=False)
    except Exception as wrong:  # noqa: BLE001 - whatever the library raises is the outcome
        return {"outcome": "refused", "text": f"{type(wrong).__name__}: {wrong}"}
    return {"outcome": "failed" if result.is_error else "answered", "text": str(result.content)[:300]}


def main(spans: Path) -> None:
    """Read the call, make it, print its outcome."""
    wanted = json.load(sys.stdin)
    provider = TracerProvider(resource=Resource.create({"service.name": wanted.get("agent") or "mcp-client"}))
    with spans.open("a", encoding="utf-8") as output:
        exporter = ConsoleSpanExporter(out=output, formatter=lambda span: span.to_json(indent=None) + "\n")
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        json.dump(asyncio.run(call(wanted)), sys.stdout)
        provider.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
