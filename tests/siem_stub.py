"""A server on loopback that stands for a SIEM: each request is recorded, and answered by a function of the test."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


@dataclass
class Stub:
    """A running server.

    Attributes:
        url: its address.
        asked: all requests, in their order.
    """

    url: str
    asked: list[Asked] = field(default_factory=list)


Answer = tuple[int, Any]


@contextmanager
def served(answering: Callable[[Asked], Answer], certified: ssl.SSLContext | None = None) -> Iterator[Stub]:
    """A server that answers by (status, document or bytes); an exception in the answer is 500 and its words."""
    stub = Stub("")

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, parts.path, dict(parse_qsl(parts.query)), headers, self.rfile.read(length))
            stub.asked.append(asked)
            try:
                status, said = answering(asked)
            except Exception as wrong:  # noqa: BLE001 - the test reads it in the answer
                status, said = 500, {"error": f"{type(wrong).__name__}: {wrong}"}
            data = said if isinstance(said, bytes) else b"" if said is None else json.dumps(said).encode()
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", data.decode())
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            with suppress(OSError):  # who asked did not wait
                self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - the names that http.server calls

        def log_message(self, *_said: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_said: Any) -> None:
            """Say nothing: who asked hung up."""

    server = Server(("127.0.0.1", 0), Handler)
    if certified:
        server.socket = certified.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    stub.url = f"http{'s' if certified else ''}://127.0.0.1:{server.server_address[1]}"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
