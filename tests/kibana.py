"""A Kibana for tests: what its API specification says of rules, and what an import does to rules that are there.

Specification: Kibana API, "Import detection rules" (POST /api/detection_engine/rules/_import), "List all detection
rules" (GET …/rules/_find), "Import saved objects" (POST /api/saved_objects/_import); the schema of a rule is
rule_schemas.schema.yaml and common_attributes.schema.yaml of the public repository
(x-pack/solutions/security/plugins/security_solution/common/api/detection_engine/model/rule_schema), 8.19 and 9.
"""

from __future__ import annotations

import json
import re
import threading
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

_TEXT = {"type": "string", "minLength": 1}
_TEXTS = {"type": "array", "items": {"type": "string"}}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": sorted(required),
        "additionalProperties": False,
    }


_NAMED = {"id": {"type": "string"}, "name": {"type": "string"}, "reference": {"type": "string"}}
_SUBTECHNIQUE = _object(_NAMED)
_TECHNIQUE = _object(_NAMED, {"subtechnique": {"type": "array", "items": _SUBTECHNIQUE}})

RULE_SCHEMA: dict[str, Any] = _object(
    {
        "rule_id": {"type": "string"},
        "name": _TEXT,
        "description": _TEXT,
        "risk_score": {"type": "integer", "minimum": 0, "maximum": 100},
        "severity": {"enum": ["low", "medium", "high", "critical"]},
        "type": {"const": "esql"},
        "language": {"const": "esql"},
        "query": _TEXT,
    },
    {
        "version": {"type": "integer", "minimum": 1},
        "enabled": {"type": "boolean"},
        "interval": {"type": "string", "pattern": r"^[1-9]\d*[smhd]$"},
        "from": {"type": "string", "pattern": r"^now-\d+[smhd]$"},
        "to": {"type": "string"},
        "tags": _TEXTS,
        "author": _TEXTS,
        "license": {"type": "string"},
        "false_positives": _TEXTS,
        "references": _TEXTS,
        "note": {"type": "string"},
        "setup": {"type": "string"},
        "max_signals": {"type": "integer", "minimum": 1},
        "meta": {"type": "object"},
        "timestamp_override": {"type": "string"},
        "severity_mapping": {"type": "array"},
        "risk_score_mapping": {"type": "array"},
        "actions": {"type": "array"},
        "investigation_fields": _object({"field_names": {"type": "array", "items": _TEXT, "minItems": 1}}),
        "related_integrations": {
            "type": "array",
            "items": _object({"package": _TEXT, "version": _TEXT}, {"integration": _TEXT}),
        },
        "required_fields": {"type": "array", "items": _object({"name": _TEXT, "type": _TEXT})},
        "threat": {
            "type": "array",
            "items": _object(
                {"framework": {"const": "MITRE ATT&CK"}, "tactic": _object(_NAMED)},
                {"technique": {"type": "array", "items": _TECHNIQUE}},
            ),
        },
        "exceptions_list": {
            "type": "array",
            "items": _object(
                {
                    "id": _TEXT,
                    "list_id": _TEXT,
                    "type": {"enum": ["detection", "rule_default", "endpoint"]},
                    "namespace_type": {"enum": ["agnostic", "single"]},
                }
            ),
        },
        "alert_suppression": _object(
            {"group_by": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3}},
            {
                "duration": _object(
                    {"value": {"type": "integer", "minimum": 1}, "unit": {"enum": ["s", "m", "h"]}},
                ),
                "missing_fields_strategy": {"enum": ["suppress", "doNotSuppress"]},
            },
        ),
    },
)
"""An ES|QL rule as it may be imported: EsqlRuleCreateProps, and nothing that it has not."""

LIST_SCHEMA: dict[str, Any] = _object(
    {"list_id": _TEXT, "name": _TEXT, "description": _TEXT, "type": {"enum": ["detection", "rule_default"]}},
    {
        "id": _TEXT,
        "namespace_type": {"enum": ["agnostic", "single"]},
        "immutable": {"type": "boolean"},
        "os_types": {"type": "array"},
        "tags": _TEXTS,
        "version": {"type": "integer"},
    },
)
"""A list of exceptions (ImportExceptionsListSchema)."""


def asked(rule: dict[str, Any], start: str, end: str, excepted: list[dict[str, Any]] = []) -> dict[str, Any]:  # noqa: B006
    """The request that Kibana makes of a rule (build_esql_search_request.ts): the time and exceptions filter the records."""
    fields = ["event.ingested", "@timestamp"]
    first = {"range": {fields[0]: {"gte": start, "lte": end, "format": "strict_date_optional_time"}}}
    second = {"range": {fields[1]: {"gte": start, "lte": end, "format": "strict_date_optional_time"}}}
    fallback = {"bool": {"filter": [second, {"bool": {"must_not": {"exists": {"field": fields[0]}}}}]}}
    time = {"bool": {"should": [first, fallback], "minimum_should_match": 1}}
    return {
        "query": f"{rule['query']} | limit {rule['max_signals']}",
        "filter": {"bool": {"filter": [time], "must_not": excepted}},
    }


class Kibana:
    """Rules, lists and saved objects over HTTP, in one space. Use it as a context.

    Attributes:
        rules: rule_id → rule.
        lists: list_id → list; ``items`` are the admin's exceptions.
        objects: id → saved object.
    """

    def __init__(self) -> None:
        self.rules: dict[str, dict[str, Any]] = {}
        self.lists: dict[str, dict[str, Any]] = {}
        self.objects: dict[str, dict[str, Any]] = {}
        self.headers: list[dict[str, str]] = []

    def __enter__(self) -> Self:
        """Serve on a free port of loopback."""
        kibana = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length)
                kibana.headers.append(dict(self.headers.items()))
                said = json.dumps(kibana.take(self.command, self.path, dict(self.headers.items()), body)).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the server's names

            def log_message(self, *_said: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_raised: object) -> None:
        """Stop."""
        self.server.shutdown()
        self.server.server_close()

    def take(self, method: str, path: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
        """One request."""
        place = urlsplit(path)
        options = {name: values[0] for name, values in parse_qs(place.query).items()}
        if method == "GET" and place.path == "/api/detection_engine/rules/_find":
            tag = re.findall(r'"(.*)"', options["filter"])[0]
            found = [rule for rule in self.rules.values() if tag in rule["tags"]]
            first, size = (int(options["page"]) - 1) * int(options["per_page"]), int(options["per_page"])
            return {"total": len(found), "data": found[first : first + size]}
        if method == "POST" and place.path == "/api/detection_engine/rules/_import":
            return self.imported(_file(headers, body), **options)
        if method == "POST" and place.path == "/api/saved_objects/_import":
            objects = [json.loads(line) for line in _file(headers, body).split("\n") if line]
            self.objects |= {one["id"]: one for one in objects}
            return {"success": True, "successCount": len(objects)}
        if method == "DELETE" and place.path == "/api/detection_engine/rules":
            return self.rules.pop(options["rule_id"])
        if method == "DELETE" and place.path.startswith("/api/saved_objects/dashboard/"):
            return self.objects.pop(place.path.rpartition("/")[2])
        raise AssertionError(f"{method} {path} is not among what the package may ask")

    def imported(self, text: str, overwrite: str = "false", overwrite_exceptions: str = "false") -> dict[str, Any]:
        """What an import does: a rule that is there is replaced whole, or refused; a list that is there stays."""
        lines = [json.loads(line) for line in text.split("\n") if line]
        errors = []
        for one in lines:
            if "rule_id" not in one and (one["list_id"] not in self.lists or overwrite_exceptions == "true"):
                self.lists[one["list_id"]] = {**one, "items": []}
        for one in lines:
            if "rule_id" not in one:
                continue
            if one["rule_id"] in self.rules and overwrite != "true":
                errors.append({"rule_id": one["rule_id"], "error": {"message": "already exists", "status_code": 409}})
                continue
            assert {each["list_id"] for each in one["exceptions_list"]} <= set(self.lists)
            self.rules[one["rule_id"]] = {**one, "id": f"object of {one['rule_id']}", "immutable": False}
        done = sum("rule_id" in one for one in lines) - len(errors)
        return {"success": not errors, "success_count": done, "errors": errors}


def _file(headers: dict[str, str], body: bytes) -> str:
    kind = next(value for name, value in headers.items() if name.lower() == "content-type")
    assert any(name.lower() == "kbn-xsrf" for name in headers)
    (part,) = BytesParser().parsebytes(b"content-type: " + kind.encode() + b"\r\n\r\n" + body).get_payload()
    assert part.get_filename().endswith(".ndjson")
    return part.get_payload(decode=True).decode()
