#!/usr/bin/env python3
"""Requests to a search engine or its dashboards, and the steps of install.json. Python 3.9 and nothing else.

Who asks is in the environment, and never printed: COUNTERSIGN_API_KEY, or COUNTERSIGN_USER and COUNTERSIGN_PASSWORD.
COUNTERSIGN_CA names a file of certificates.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BULK = 500
"""Rows of one bulk request."""

MOST = 1000
"""Ids of one page."""

NOT_FOUND = 404


class Refused(Exception):  # noqa: N818 - it is a refusal
    """A server said no: what was asked, and its answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Server:
    """One server.

    Args:
        url: its address.
        headers: sent with each request.
    """

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise SystemExit(f"{url!r} is no address; it begins with https://")
        self.url, self.headers = url.rstrip("/"), {**(headers or {}), **_who()}
        context = ssl.create_default_context(cafile=os.environ.get("COUNTERSIGN_CA"))
        self._ask = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """What it answers, parsed; a body of bytes is sent as it is."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {**self.headers, "content-type": kind}
        request = urllib.request.Request(f"{self.url}/{path}", data=data, method=method, headers=headers)  # noqa: S310
        try:
            with self._ask.open(request, timeout=300) as answer:
                said = answer.read()
        except urllib.error.HTTPError as wrong:
            said = wrong.read().decode(errors="replace")[:1000]
            raise Refused(f"{method} {path}: {wrong.code} {said}", wrong.code) from None
        except urllib.error.URLError as wrong:
            raise SystemExit(f"{self.url} does not answer: {wrong.reason}") from None
        if not said:
            return {}
        return json.loads(said) if said[:1] in b"{[" else said.decode()

    def upload(self, path: str, name: str, data: bytes) -> Any:
        """A file as a form sends it."""
        edge = uuid.uuid4().hex
        head = f'--{edge}\r\ncontent-disposition: form-data; name="file"; filename="{name}"\r\n'
        body = f"{head}content-type: application/ndjson\r\n\r\n".encode() + data + f"\r\n--{edge}--\r\n".encode()
        return self.call("POST", path, body, f"multipart/form-data; boundary={edge}")


def _who() -> dict[str, str]:
    key, user = os.environ.get("COUNTERSIGN_API_KEY"), os.environ.get("COUNTERSIGN_USER")
    if key:
        return {"authorization": f"ApiKey {key}"}
    if user:
        pair = f"{user}:{os.environ.get('COUNTERSIGN_PASSWORD', '')}".encode()
        return {"authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}


def steps(kinds: set[str], here: Path = HERE) -> list[dict[str, str]]:
    """The steps of install.json of these kinds: put, index, rows."""
    said = json.loads((here / "install.json").read_text(encoding="utf-8"))
    return [step for step in said["steps"] if step["kind"] in kinds]


def do(server: Server, step: dict[str, str], here: Path = HERE) -> str:
    """One step; says what was done."""
    text = (here / step["file"]).read_text(encoding="utf-8")
    path = step["path"]
    if step["kind"] == "put":
        server.call("PUT", path, json.loads(text))
        return f"put {path}"
    if step["kind"] == "index":
        return _index(server, path, json.loads(text))
    return _rows(server, path, step["key"], text)


def _index(server: Server, name: str, wanted: dict[str, Any]) -> str:
    """Make an index; give one that is there the columns that are new."""
    try:
        server.call("GET", f"{name}/_mapping")
    except Refused as wrong:
        if wrong.status != NOT_FOUND:
            raise
        server.call("PUT", name, wanted)
        return f"made {name}"
    server.call("PUT", f"{name}/_mapping", wanted["mappings"])
    return f"{name} is there"


def _rows(server: Server, name: str, key: str, text: str) -> str:
    """Bring an index to exactly these rows, without a moment in which it is empty."""
    lines = [line for line in text.split("\n") if line]
    pairs = zip(lines[::2], lines[1::2])  # noqa: B905 - Python 3.9
    wanted = {json.loads(head)["index"]["_id"]: row for head, row in pairs}
    held = held_in(server, name, key)
    gone = sorted(held - wanted.keys())
    requests = [[json.dumps({"index": {"_id": one}}), row] for one, row in wanted.items()]
    requests += [[json.dumps({"delete": {"_id": one}})] for one in gone]
    for first in range(0, len(requests), BULK):
        part = [line for request in requests[first : first + BULK] for line in request]
        said = server.call("POST", f"{name}/_bulk", ("\n".join(part) + "\n").encode(), "application/x-ndjson")
        for item in said["items"]:
            (done,) = item.values()
            if "error" in done:
                raise Refused(f"a row of {name} is refused: {json.dumps(done['error'])[:500]}", 400)
    server.call("POST", f"{name}/_refresh")
    return f"{name}: {len(wanted)} rows, {len(gone)} old ones taken out"


def held_in(server: Server, name: str, key: str) -> set[str]:
    """Ids of all documents of an index."""
    found: set[str] = set()
    server.call("POST", f"{name}/_refresh")
    body: dict[str, Any] = {"size": MOST, "_source": False, "sort": [{key: "asc"}, {"_doc": "asc"}]}
    while True:
        page = server.call("POST", f"{name}/_search", body)["hits"]["hits"]
        found |= {hit["_id"] for hit in page}
        if len(page) < MOST:
            return found
        body["search_after"] = page[-1]["sort"]


def quoted(text: str) -> str:
    """A text within an address."""
    return urllib.parse.quote(text, safe="")
