"""Splunk: records by the HTTP Event Collector, questions by search jobs.

Sources: "Format events for HTTP Event Collector" (Getting Data In) and "search/jobs" (REST API Reference), Splunk 9.
The collector asks for a token of its own: COUNTERSIGN_HEC_TOKEN. Python 3.9 and nothing else.
"""

from __future__ import annotations

import json
import urllib.parse
from typing import TYPE_CHECKING, Any, Collection, Mapping  # noqa: UP035 - evaluated by 3.9 too

from harness.replay.kit import dates
from harness.replay.kit.transport import Refused, who

if TYPE_CHECKING:
    import argparse
    from datetime import datetime, timedelta

    from harness.replay.kit.transport import Connection

SEND_TO = "https://HOST:8088, the HTTP Event Collector"
CHECK_AT = "https://HOST:8089, the management port"
SENDER = "COUNTERSIGN_HEC_TOKEN, the token of the collector"
ASKER = "COUNTERSIGN_TOKEN, or COUNTERSIGN_USER and COUNTERSIGN_PASSWORD"
LONGEST_JOB = 600
"""Seconds that one search may take."""


def arguments(parser: argparse.ArgumentParser, *, sending: bool) -> None:
    """What only Splunk needs to be told."""
    if sending:
        parser.add_argument("--index", help="another index than the kit's records name")


def sender(environment: Mapping[str, str]) -> dict[str, str]:
    """The header that says who sends."""
    token = environment.get("COUNTERSIGN_HEC_TOKEN", "")
    return who({"COUNTERSIGN_HEC_TOKEN": token}, "Splunk", "COUNTERSIGN_HEC_TOKEN")


def asker(environment: Mapping[str, str]) -> dict[str, str]:
    """The header that says who asks."""
    return who(environment, "Bearer")


def redated(batch: bytes, by: timedelta, times: Collection[str], said: argparse.Namespace) -> bytes:
    """The body of one request, later by so much."""
    lines = []
    for line in batch.decode().splitlines():
        row = json.loads(line)
        row["event"] = dates.moved(row["event"], by, times)
        row["time"] = round(dates.read(row["event"]["@timestamp"]).timestamp(), 3)
        if said.index:
            row["index"] = said.index
        lines.append(json.dumps(row, ensure_ascii=False))
    return ("\n".join(lines) + "\n").encode()


def target(_said: argparse.Namespace) -> str:
    """Path of the request that takes records."""
    return "/services/collector/event"


def send(connection: Connection, said: argparse.Namespace, batch: bytes) -> list[str]:
    """Send one body; sentences about what was not taken."""
    answer = connection.ask("POST", target(said), batch)
    if not isinstance(answer, dict) or answer.get("code") != 0:
        return [f"the collector says {json.dumps(answer)[:200]}"]
    return []


def fired(
    connection: Connection, _said: argparse.Namespace, asked: Mapping[str, Any], first: datetime, last: datetime
) -> set[str]:
    """Ids of the records or chains that a rule's search finds among what is dated from first to last."""
    rows = _rows(connection, asked["search"], first, last)
    return {str(row[asked["column"]]) for row in rows if row.get(asked["column"])}


def alerted(
    connection: Connection, _said: argparse.Namespace, rules: Mapping[str, Any], first: datetime, last: datetime
) -> set[str]:
    """Stems of the rules whose scheduled searches wrote a finding."""
    search = "search `countersign_findings` | stats count BY countersign_rule"
    found = {str(row.get("countersign_rule")) for row in _rows(connection, search, first, last)}
    return found & set(rules)


def _rows(connection: Connection, search: str, first: datetime, last: datetime) -> list[dict[str, Any]]:
    form = {
        "search": search,
        "exec_mode": "oneshot",
        "output_mode": "json",
        "count": "0",
        "earliest_time": f"{first.timestamp():.3f}",
        "latest_time": f"{last.timestamp():.3f}",
        "timeout": str(LONGEST_JOB),
    }
    path = "/servicesNS/nobody/countersign/search/jobs"
    answer = connection.ask("POST", path, urllib.parse.urlencode(form).encode(), "application/x-www-form-urlencoded")
    if not isinstance(answer, dict) or not isinstance(answer.get("results"), list):
        raise Refused("Splunk gave no results")
    for message in answer.get("messages") or []:
        if isinstance(message, dict) and message.get("type") in {"FATAL", "ERROR"}:
            raise Refused(f"Splunk says: {message.get('text')}")
    return [row for row in answer["results"] if isinstance(row, dict)]
