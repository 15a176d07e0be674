"""Elasticsearch: records by bulk requests, questions by ES|QL; alerts are Kibana's alert index.

Sources: "Bulk API" and "ES|QL query API" (Elasticsearch 8.19 reference), and the alert schema of Elastic Security.
Python 3.9 and nothing else.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Collection, Mapping  # noqa: UP035 - evaluated by 3.9 too

from harness.replay.kit import dates
from harness.replay.kit.transport import Refused, who

if TYPE_CHECKING:
    import argparse
    from datetime import datetime, timedelta

    from harness.replay.kit.transport import Connection

SEND_TO = CHECK_AT = "https://HOST:9200, Elasticsearch"
SENDER = ASKER = "COUNTERSIGN_TOKEN, an API key, or COUNTERSIGN_USER and COUNTERSIGN_PASSWORD"
NAMED = 50


def arguments(parser: argparse.ArgumentParser, *, sending: bool) -> None:
    """What only Elasticsearch needs to be told."""
    if sending:
        parser.add_argument("--index", default="countersign-events", help="data stream or index (%(default)s)")
    else:
        parser.add_argument("--space", default="default", help="Kibana's space, for --alerts (%(default)s)")


def sender(environment: Mapping[str, str]) -> dict[str, str]:
    """The header that says who sends."""
    return who(environment, "ApiKey", "COUNTERSIGN_API_KEY")


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
    connection: Connection, _said: argparse.Namespace, asked: Mapping[str, Any], first: datetime, last: datetime
) -> set[str]:
    """Ids of the records or chains that a rule's query finds among what is dated from first to last."""
    span = {"range": {"@timestamp": {"gte": dates.written(first), "lte": dates.written(last)}}}
    answer = connection.ask("POST", "/_query?drop_null_columns=false", {"query": asked["query"], "filter": span})
    try:
        place = [column["name"] for column in answer["columns"]].index(asked["column"])
        cells = [row[place] for row in answer["values"]]
    except (TypeError, KeyError, ValueError, IndexError):
        raise Refused(f"the answer to an ES|QL query has no column {asked['column']}") from None
    if answer.get("is_partial"):
        raise Refused("Elasticsearch searched only a part of the shards")
    return {str(one) for cell in cells for one in (cell if isinstance(cell, list) else [cell])}


def alerted(
    connection: Connection, said: argparse.Namespace, rules: Mapping[str, Any], first: datetime, _last: datetime
) -> set[str]:
    """Stems of the rules that made an alert since then."""
    body = {
        "size": 0,
        "query": {"range": {"@timestamp": {"gte": dates.written(first)}}},
        "aggs": {"rules": {"terms": {"field": "kibana.alert.rule.rule_id", "size": 10_000}}},
    }
    answer = connection.ask("POST", f"/.alerts-security.alerts-{said.space}/_search", body)
    try:
        ids = {str(bucket["key"]) for bucket in answer["aggregations"]["rules"]["buckets"]}
    except (TypeError, KeyError):
        raise Refused("the alert index gave no counts") from None
    return {stem for stem, rule in rules.items() if rule["id"] in ids}
