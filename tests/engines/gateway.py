"""The real ContextForge gateway of a test run: its settings, its administration, and its tables as JSON Lines."""

from __future__ import annotations

import json
import sqlite3
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ADMIN = "admin@corp.example"
PASSWORD = "A-Password-Of-A-Test-Run-42!"  # noqa: S105 - of a server that lives for a test
TABLES = (
    "structured_log_entries",
    "audit_trails",
    "permission_audit_log",
    "security_events",
    "email_auth_events",
    "observability_traces",
    "observability_spans",
    "token_usage_logs",
    "token_revocations",
)


def settings(database: Path) -> dict[str, str]:
    """Environment of a gateway that writes every table that it can."""
    return {
        "DATABASE_URL": f"sqlite:///{database}",
        "CACHE_TYPE": "memory",
        "JWT_SECRET_KEY": "a-signing-key-of-a-test-run-which-is-long-enough",
        "AUTH_ENCRYPTION_SECRET": "a-sealing-key-of-a-test-run-which-is-long-enough",
        "PLATFORM_ADMIN_EMAIL": ADMIN,
        "PLATFORM_ADMIN_PASSWORD": PASSWORD,
        "DEFAULT_USER_PASSWORD": PASSWORD,
        "PASSWORD_CHANGE_ENFORCEMENT_ENABLED": "false",
        "LOG_LEVEL": "INFO",  # the structured log holds what is logged, so at ERROR it holds no call
        "AUTH_REQUIRED": "true",
        "MCPGATEWAY_UI_ENABLED": "false",
        "MCPGATEWAY_ADMIN_API_ENABLED": "true",
        "SSRF_ALLOW_LOCALHOST": "true",
        "SSRF_ALLOW_PRIVATE_NETWORKS": "true",
        "AUDIT_TRAIL_ENABLED": "true",
        "PERMISSION_AUDIT_ENABLED": "true",
        "SECURITY_LOGGING_ENABLED": "true",
        "SECURITY_LOGGING_LEVEL": "all",
        "STRUCTURED_LOGGING_DATABASE_ENABLED": "true",
        "TOKEN_USAGE_LOGGING_ENABLED": "true",
        "OBSERVABILITY_ENABLED": "true",
        "OTEL_ENABLE_OBSERVABILITY": "false",
        "CORRELATION_ID_PRESERVE": "true",
        "DB_SQLITE_BUSY_TIMEOUT": "1000",  # milliseconds; where it waits, it waits for a lock of its own
    }


@dataclass(frozen=True)
class Answer:
    """What the gateway answered over HTTP."""

    status: int
    body: Any


@dataclass
class Gateway:
    """Administration and JSON-RPC of a running gateway.

    Attributes:
        url: where it listens.
        tokens: session token by person, kept from log-in.
    """

    url: str
    tokens: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One HTTP request; errors are answers too."""
        request = urllib.request.Request(  # noqa: S310 - of our own server
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json", **(headers or {})},
        )
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return Answer(answer.status, _parsed(answer.read()))
        except urllib.error.HTTPError as refused:
            return Answer(refused.code, _parsed(refused.read()))

    def administer(self, method: str, path: str, body: Any = None, *, person: str = ADMIN) -> Any:
        """A request that must succeed, by a person who has signed in."""
        answer = self.ask(method, path, body, token=self.tokens[person])
        assert answer.status < 300, f"{method} {path} answered {answer.status}: {answer.body}"
        return answer.body

    def sign_in(self, person: str, password: str = PASSWORD) -> Answer:
        """A session token by e-mail and password, kept when it is given."""
        answer = self.ask("POST", "/auth/email/login", {"email": person, "password": password})
        if answer.status == 200:
            self.tokens[person] = answer.body["access_token"]
        return answer

    def call(
        self,
        tool: str,
        arguments: Mapping[str, str],
        *,
        token: str | None,
        correlation: str | None = None,
    ) -> Answer:
        """A tools/call by JSON-RPC."""
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
        headers = {"X-Correlation-ID": correlation} if correlation else {}
        return self.ask("POST", "/rpc", body, token=token, headers=headers)


def dump(database: Path, folder: Path) -> list[Path]:
    """Every table of `TABLES` as ``<table>.jsonl``, a row a line, in the order in which the rows were written."""
    written = []
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        for table in TABLES:
            columns = [(row[1], row[2]) for row in connection.execute(f"PRAGMA table_info({table})")]
            path = folder / f"{table}.jsonl"
            with path.open("w", encoding="utf-8") as output:
                for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid"):
                    record = {
                        name: json.loads(value) if kind.upper() == "JSON" and isinstance(value, str) else value
                        for (name, kind), value in zip(columns, row, strict=True)
                    }
                    output.write(json.dumps(record) + "\n")
            written.append(path)
    return written


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
