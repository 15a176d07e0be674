"""One run of the real gateway and the real MCP server, from an empty folder to logs on disk and servers gone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gateway
from environment import environment
from process import free_port, running
from traffic import Client, Run, drive

HERE = Path(__file__).parent


@dataclass(frozen=True)
class RealRun:
    """What a run left behind.

    Attributes:
        run: what was done and what the callers saw.
        tables: the gateway's tables as JSON Lines, by table.
        server_spans: OpenTelemetry spans of the MCP server.
        client_spans: those of its clients.
        server: address under which the gateway knows the MCP server.
        processes: ids of the servers, which must be gone.
    """

    run: Run
    tables: dict[str, Path]
    server_spans: Path
    client_spans: Path
    server: str
    processes: tuple[int, ...]


def real_run(folder: Path) -> RealRun:
    """Start both, make every call of `traffic.drive`, stop both, and write down what they logged."""
    contextforge, fastmcp = environment("contextforge"), environment("fastmcp")
    database, spans, client_spans = folder / "gateway.db", folder / "server_spans.jsonl", folder / "client_spans.jsonl"
    crm_port, gateway_port = free_port(), free_port()
    crm = [str(fastmcp / "python"), str(HERE / "crm_server.py"), str(crm_port), str(spans)]
    front = [str(contextforge / "mcpgateway"), "--host", "127.0.0.1", "--port", str(gateway_port)]
    server = f"http://localhost:{crm_port}/mcp"
    url = f"http://127.0.0.1:{gateway_port}"
    with (
        running(crm, f"http://127.0.0.1:{crm_port}/mcp", folder / "crm.log", {}) as first,
        running(front, f"{url}/health", folder / "gateway.log", gateway.settings(database)) as second,
    ):
        client = Client(fastmcp / "python", HERE / "mcp_client.py", client_spans)
        run = drive(gateway.Gateway(url), client, server)
    tables = {path.stem: path for path in gateway.dump(database, folder)}
    return RealRun(run, tables, spans, client_spans, server, (first, second))
