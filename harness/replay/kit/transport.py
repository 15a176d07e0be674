"""Requests to a SIEM: who asks is in the environment and never printed, certificates are checked, answers are bounded.

COUNTERSIGN_TOKEN, or COUNTERSIGN_USER and COUNTERSIGN_PASSWORD, say who asks. Python 3.9 and nothing else.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Mapping  # noqa: UP035 - evaluated by 3.9 too

MOST_BYTES = 64 * 1024 * 1024
"""Of one answer; more is no answer that is understood here."""

REFUSED = 400
TOO_MANY = (429, 503)
LOOPBACK = ("localhost", "127.0.0.1", "::1")

_ADDRESS = re.compile(r"https?://[^\s/@\\?#]+(/[^\s?#\\]*)?")


class Refused(Exception):  # noqa: N818 - it is a refusal
    """A server can't be asked, or says no. One sentence, without who asked."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Connection:
    """A server.

    Args:
        url: its address, without a user or a password in it.
        headers: sent with each request; the one that says who asks too.
        timeout: seconds that a request may take.
        ca: file of certificates to trust instead of the system's.
        insecure: whether certificates are not checked, and plain http takes a token anywhere.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout: float = 30,
        ca: str | None = None,
        insecure: bool = False,
    ) -> None:
        parts = urllib.parse.urlsplit(url) if _ADDRESS.fullmatch(url) else None
        if parts is None or not parts.hostname:
            raise Refused(
                f"{shown(without_user(url))} is no address; write https://host:port, and who asks in the environment"
            )
        own = parts.hostname in LOOPBACK
        if parts.scheme == "http" and headers and not own and not insecure:
            raise Refused(f"{shown(url)} is not encrypted, so no token is sent there; use https, or --insecure")
        self.url, self.headers, self.timeout = url.rstrip("/"), dict(headers), timeout
        self._secrets = _secrets(headers)
        try:
            context = ssl.create_default_context(cafile=ca)
        except (OSError, ssl.SSLError) as wrong:
            raise Refused(f"the certificates in {shown(str(ca))} can't be read: {shown(str(wrong))}") from None
        if insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        handlers: list[Any] = [urllib.request.HTTPSHandler(context=context), _NoRedirect()]
        self._opener = urllib.request.build_opener(*handlers, *([urllib.request.ProxyHandler({})] if own else []))

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """What the server answers to one request, parsed; None if it says nothing.

        Args:
            method: of HTTP.
            path: below the address, beginning with ``/``.
            body: a document, or bytes that are sent as they are.
            kind: of these bytes.

        Raises:
            Refused: it does not answer, says no, or says what is no JSON.
        """
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"accept": "application/json", "user-agent": "countersign", **self.headers}
        if data is not None:
            headers["content-type"] = kind
        place = f"{method} {shown(self.url + path.partition('?')[0])}"
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)  # noqa: S310 - checked above
        try:
            with self._opener.open(request, timeout=self.timeout) as answer:
                said = answer.read(MOST_BYTES + 1)
        except urllib.error.HTTPError as wrong:
            with wrong:
                words = wrong.read(2000).decode(errors="replace")
            raise Refused(f"{place}: {wrong.code} {shown(self._hidden(_words(words)))}", wrong.code) from None
        except urllib.error.URLError as wrong:
            raise Refused(f"{place}: no answer ({shown(str(wrong.reason))})") from None
        except TimeoutError:
            raise Refused(f"{place}: no answer within {self.timeout:g} seconds; --timeout gives it more") from None
        except (OSError, http.client.HTTPException) as wrong:
            raise Refused(f"{place}: the answer broke off ({type(wrong).__name__})") from None
        if len(said) > MOST_BYTES:
            raise Refused(f"{place}: the answer is larger than {MOST_BYTES} bytes")
        if not said.strip():
            return None
        try:
            return json.loads(said)
        except (ValueError, RecursionError):
            raise Refused(f"{place}: the answer is no JSON") from None

    def _hidden(self, said: str) -> str:
        """Words of a server without who asked, which some repeat."""
        for secret in self._secrets:
            said = said.replace(secret, "…")
        return said


def _secrets(headers: Mapping[str, str]) -> list[str]:
    """What must not be shown: the value of the header that says who asks, and the password in it."""
    _, _, value = headers.get("authorization", "").partition(" ")
    found = [value]
    if headers.get("authorization", "").startswith("Basic "):
        found.append(base64.b64decode(value).decode().partition(":")[2])
    return [one for one in found if one]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token goes to the server that a person named, and to no other."""

    def redirect_request(self, *_asked: Any, **_more: Any) -> None:
        return None


def who(environment: Mapping[str, str], scheme: str, *tokens: str) -> dict[str, str]:
    """The header that says who asks; empty if the environment does not say.

    Args:
        environment: variables.
        scheme: of a token: Bearer, ApiKey or Splunk.
        tokens: names of variables beside COUNTERSIGN_TOKEN, the first comes first.

    Raises:
        Refused: a token holds what no header can; it is not shown.
    """
    for name in (*tokens, "COUNTERSIGN_TOKEN"):
        token = environment.get(name, "").strip()
        if token:
            if not re.fullmatch(r"[\x21-\x7e]+", token):
                raise Refused(f"{name} holds a character that no token has; is there a line too much?")
            return {"authorization": f"{scheme} {token}"}
    user = environment.get("COUNTERSIGN_USER", "")
    if user:
        pair = f"{user}:{environment.get('COUNTERSIGN_PASSWORD', '')}".encode()
        return {"authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}


def shown(text: str, limit: int = 300) -> str:
    """A text that is safe for a terminal and fits a line; what a server says is not trusted."""
    safe = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:limit])
    return safe + ("…" if len(text) > limit else "")


def without_user(url: str) -> str:
    """An address without what stands before ``@``."""
    return re.sub(r"//[^/]*@", "//…@", url)


def _words(said: str) -> str:
    """The sentence within an error that a server gives as JSON; else the whole."""
    try:
        node = json.loads(said)
    except (ValueError, RecursionError):
        return " ".join(said.split())
    for key in ("error", "reason", "message", "messages", "text"):
        for _ in range(2):
            if isinstance(node, list) and node:
                node = node[0]
            if isinstance(node, dict) and key in node:
                node = node[key]
    return node if isinstance(node, str) else " ".join(said.split())
