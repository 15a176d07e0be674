"""OpenSearch: records by bulk requests; a monitor's search, and its trigger's script where it has one.

Sources: "Bulk", "Search", "Execute Painless script" and "Alerting API" (OpenSearch documentation, 2 and 3).
Python 3.9 and nothing else.
"""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any, Collection, Mapping  # noqa: UP035 - evaluated by 3.9 too

from harness.replay.kit import dates
from harness.replay.kit.transport import Refused, who

if TYPE_CHECKING:
    import argparse
    from datetime import datetime, timedelta

    from harness.replay.kit.transport import Connection

SEND_TO = CHECK_AT = "https://HOST:9200, OpenSearch"
SENDER = ASKER = "COUNTERSIGN_USER and COUNTERSIGN_PASSWORD, or COUNTERSIGN_TOKEN, a bearer token"
PAGES = 1000
"""Pages of keys that are asked for at most."""


def arguments(parser: argparse.ArgumentParser, *, sending: bool) -> None:
    """What only OpenSearch needs to be told."""
    parser.add_argument("--index", default="countersign-events", help="the index (%(default)s)")
    del sending


def sender(environment: Mapping[str, str]) -> dict[str, str]:
    """The header that says who sends."""
    return who(environment, "Bearer")


asker = sender


def redated(batch: bytes, by: timedelta, times: Collection[str], _said: argparse.Namespace) -> bytes:
    """The body of one request, later by so much."""
    lines = batch.decode().splitlines()
    for place in range(1, len(lines), 2):
        lines[place] = json.dumps(dates.moved(json.loads(lines[place]), by, times), ensure_ascii=False)
    return ("\n".join(lines) + "\n").encode()


def target(said: argparse.Namespace) -> str:
    """Path of the request that takes records."""
    return f"/{said.index}/_bulk?refresh=true"


def send(connection: Connection, said: argparse.Namespace, batch: bytes) -> list[str]:
    """Send one body; sentences about what was not taken."""
    answer = connection.ask("POST", target(said), batch, "application/x-ndjson")
    if not isinstance(answer, dict) or not isinstance(answer.get("items"), list):
        raise Refused("the answer to a bulk request has no items")
    results = [item.get("create", {}) for item in answer["items"]]
    return [f"{one.get('_id')}: {json.dumps(one.get('error'))[:300]}" for one in results if one.get("error")]


def fired(
    connection: Connection, said: argparse.Namespace, asked: Mapping[str, Any], first: datetime, last: datetime
) -> set[str]:
    """Ids of the records that a monitor's search finds, or that its trigger's script names."""
    body = copy.deepcopy(asked["body"])
    span = {"range": {"@timestamp": {"gte": dates.written(first), "lte": dates.written(last)}}}
    body["query"]["bool"]["filter"].append(span)
    path = f"/{said.index}/_search"
    try:
        if not asked.get("script"):
            answer = connection.ask("POST", path, {**body, "size": 10_000, "_source": False})
            return {str(hit["_id"]) for hit in answer["hits"]["hits"]}
        buckets: list[Any] = []
        for _ in range(PAGES):
            keys = connection.ask("POST", path, body)["aggregations"]["keys"]
            buckets += keys["buckets"]
            if "after_key" not in keys:
                break
            body["aggs"]["keys"]["composite"]["after"] = keys["after_key"]
        ctx = {"results": [{"aggregations": {"keys": {"buckets": buckets}}}]}
        script = {"source": asked["script"], "params": {"ctx": ctx}}
        told = connection.ask("POST", "/_scripts/painless/_execute", {"script": script})["result"]
    except (TypeError, KeyError):
        raise Refused("a search gave an answer of another form than is documented") from None
    return set(re.findall(r"[\w-]+", str(told)))


def alerted(
    connection: Connection, _said: argparse.Namespace, rules: Mapping[str, Any], first: datetime, _last: datetime
) -> set[str]:
    """Stems of the rules whose monitors made an alert since then."""
    answer = connection.ask("GET", "/_plugins/_alerting/monitors/alerts?size=10000&alertState=ALL")
    try:
        since = first.timestamp() * 1000
        names = {str(one["monitor_name"]) for one in answer["alerts"] if one.get("last_notification_time", 0) >= since}
    except (TypeError, KeyError):
        raise Refused("Alerting gave an answer of another form than is documented") from None
    return {stem for stem in rules if f"countersign {stem}" in names}
