"""Microsoft Sentinel: records by the Logs Ingestion API, questions by the Log Analytics query API.

Sources: "Logs Ingestion API in Azure Monitor" and "Azure Monitor Log Analytics API: request format" (Microsoft Learn).
Both want a bearer token, of another resource each: https://monitor.azure.com to send, https://api.loganalytics.io to
ask. Python 3.9 and nothing else.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from typing import TYPE_CHECKING, Any, Collection, Mapping  # noqa: UP035 - evaluated by 3.9 too

from harness.replay.kit import dates
from harness.replay.kit.transport import Refused, who

if TYPE_CHECKING:
    import argparse
    from datetime import datetime, timedelta

    from harness.replay.kit.transport import Connection

SEND_TO = "the endpoint that the deployment told, https://….ingest.monitor.azure.com"
CHECK_AT = "https://api.loganalytics.azure.com"
SENDER = "COUNTERSIGN_TOKEN: az account get-access-token --resource https://monitor.azure.com"
ASKER = "COUNTERSIGN_TOKEN: az account get-access-token --resource https://api.loganalytics.io"


def arguments(parser: argparse.ArgumentParser, *, sending: bool) -> None:
    """What only Sentinel needs to be told."""
    if sending:
        parser.add_argument("--rule", help="the collection rule's immutable id, dcr-…, which the deployment told")
        parser.add_argument("--stream", default="Custom-CountersignEvents", help="its stream (%(default)s)")
    else:
        parser.add_argument("--workspace", help="the workspace's id")


def sender(environment: Mapping[str, str]) -> dict[str, str]:
    """The header that says who sends."""
    return who({"COUNTERSIGN_TOKEN": environment.get("COUNTERSIGN_TOKEN", "")}, "Bearer")


asker = sender


def redated(batch: bytes, by: timedelta, times: Collection[str], _said: argparse.Namespace) -> bytes:
    """The body of one request, later by so much."""
    rows = [dates.moved(row, by, times) for row in json.loads(batch)]
    return json.dumps(rows, ensure_ascii=False).encode()


def target(said: argparse.Namespace) -> str:
    """Path of the request that takes records."""
    rule, stream = (urllib.parse.quote(one or "", safe="") for one in (said.rule, said.stream))
    return f"/dataCollectionRules/{rule}/streams/{stream}?api-version=2023-01-01"


def send(connection: Connection, said: argparse.Namespace, batch: bytes) -> list[str]:
    """Send one body. The service answers 204 and nothing else; a record that it drops later shows as missing."""
    if not re.fullmatch(r"dcr-[0-9a-f]{32}", said.rule or ""):
        raise Refused("--rule is the immutable id of the collection rule: dcr- and 32 hexadecimal digits")
    connection.ask("POST", target(said), batch)
    return []


def fired(
    connection: Connection, said: argparse.Namespace, asked: Mapping[str, Any], first: datetime, last: datetime
) -> set[str]:
    """Ids of the records or chains that a rule's query finds among what is dated from first to last."""
    return {str(row[0]) for row in _rows(connection, said, asked["query"], first, last) if row and row[0]}


def alerted(
    connection: Connection, said: argparse.Namespace, rules: Mapping[str, Any], first: datetime, last: datetime
) -> set[str]:
    """Stems of the rules that made an alert since then."""
    details = "tostring(parse_json(ExtendedProperties)['Custom Details'])"
    rows = _rows(connection, said, f"SecurityAlert | project AlertName, {details}", first, last)
    text = "\n".join(str(cell) for row in rows for cell in row)
    return {
        stem for stem, rule in rules.items() if rule["title"] in text or re.search(rf"Rule\W+{re.escape(stem)}\b", text)
    }


def _rows(
    connection: Connection, said: argparse.Namespace, query: str, first: datetime, last: datetime
) -> list[list[Any]]:
    if not re.fullmatch(r"[0-9a-fA-F-]{36}", said.workspace or ""):
        raise Refused("--workspace is the workspace's id, a GUID")
    body = {"query": query, "timespan": f"{dates.written(first)}/{dates.written(last)}"}
    answer = connection.ask("POST", f"/v1/workspaces/{said.workspace}/query", body)
    try:
        (table,) = [one for one in answer["tables"] if one["name"] == "PrimaryResult"]
        rows = [list(row) for row in table["rows"]]
    except (TypeError, KeyError, ValueError):
        raise Refused("Log Analytics gave no table") from None
    if answer.get("error"):
        raise Refused("Log Analytics gave only a part of the result")
    return rows
