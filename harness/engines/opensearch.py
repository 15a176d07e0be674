"""OpenSearch itself: the ingest pipeline computes the facts, and each rule's query is a search over what it indexed."""

from __future__ import annotations

import json
import re
import threading
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from backends.correlation import Correlation
from backends.opensearch.backend import compared, query
from backends.opensearch.correlate import search, trigger
from backends.opensearch.register import pipeline
from backends.opensearch.target import takes
from backends.opensearch.template import template
from harness.engines.node.start import OPENSEARCH_2, OPENSEARCH_3, Node, Release
from harness.matrix import Verdicts
from harness.paths import Root

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sigma.rule import SigmaRule

    from backends.duckdb.target import Sources
    from backends.vocabulary import Vocabulary
    from harness.case import Tables

INDEX, PIPELINE = "countersign-events", "countersign-events"
MOST = 10_000
"""Hits that one search gives; a data set of a proof holds fewer records a search."""


@cache
def node(release: Release) -> Node:
    """The node of this process, started once and stopped when the process ends."""
    import atexit  # noqa: PLC0415 - only where a node is started

    started = Node(release, Root.default().path / ".cache" / "engines").__enter__()
    atexit.register(started.__exit__, None, None, None)
    return started


class OpenSearch:
    """A node with the project's pipeline, template and rules on events. Use it as a context.

    Args:
        rules: by stem; those that are no single-record rules on events are the target's to refuse.
        events: the event's fields.
        chains: the chain's fields; no chain is built here.
        sources: what the source maps say: blind concepts.
    """

    release = OPENSEARCH_2

    def __init__(
        self,
        rules: Mapping[str, SigmaRule | Correlation],
        events: Vocabulary,
        chains: Vocabulary,
        sources: Sources,
    ) -> None:
        self.events, self.chains, self.sources = events, chains, sources
        taken = {stem: rule for stem, rule in rules.items() if takes(rule, events, chains)}
        self.correlations = {stem: rule for stem, rule in taken.items() if isinstance(rule, Correlation)}
        singles = {stem: rule for stem, rule in taken.items() if not isinstance(rule, Correlation)}
        self.queries = {stem: query(rule, events) for stem, rule in singles.items()}
        steps = [step.rule for rule in self.correlations.values() for step in rule.steps]
        self.pairs = {pair for rule in (*singles.values(), *steps) for pair in compared(rule)}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Start the node where this process has none yet, and put the template."""
        self.node = node(self.release)
        self.node.call("PUT", f"/_index_template/{INDEX}", template(self.events))
        return self

    def __exit__(self, *_raised: object) -> None:
        """Remove the index; the node stops with the process."""
        self.node.call("DELETE", f"/{INDEX}*?ignore_unavailable=true&allow_no_indices=true")

    def judge(self, records: Sequence[dict[str, Any]], tables: Tables, _now: datetime | None) -> Verdicts:
        """Index one data set by one register's pipeline, and search it by every rule."""
        with self._lock:
            self.node.call("DELETE", f"/{INDEX}*?ignore_unavailable=true&allow_no_indices=true")
            made = pipeline(self.events, tables, self.sources.never, self.pairs)
            self.node.call("PUT", f"/_ingest/pipeline/{PIPELINE}", made)
            self._index(records)
            events: list[dict[str, Any] | None] = [None] * len(records)
            for hit in self._search({"query": {"match_all": {}}}, source=True):
                events[int(hit["_id"])] = self._record(hit["_source"])
            hits = {
                stem: {int(hit["_id"]) for hit in self._search({"query": asked}, source=False)}
                for stem, asked in self.queries.items()
            }
            hits |= {stem: self.completed(rule) for stem, rule in self.correlations.items()}
            return Verdicts(events, {}, hits, {})

    def completed(self, correlation: Correlation) -> set[int]:
        """The records at which a correlation fires: its search, and its trigger's script on what that gathered."""
        body = search(correlation, self.events, {"match_all": {}})
        buckets: list[Any] = []
        while True:
            keys = self.node.call("POST", f"/{INDEX}/_search", body)["aggregations"]["keys"]
            buckets += keys["buckets"]
            if "after_key" not in keys:
                break
            body["aggs"]["keys"]["composite"]["after"] = keys["after_key"]
        ctx = {"results": [{"aggregations": {"keys": {"buckets": buckets}}}]}
        script = {"source": trigger(correlation, "return fired(params.ctx, P);"), "params": {"ctx": ctx}}
        said = self.node.call("POST", "/_scripts/painless/_execute", {"script": script})["result"]
        return {int(place) for place in re.findall(r"\d+", said)}

    def found(self, query_string: str) -> set[int]:
        """The records that a query string finds in the data set judged last."""
        return {
            int(hit["_id"]) for hit in self._search({"query": {"query_string": {"query": query_string}}}, source=False)
        }

    def pasted(self, request: str) -> set[int]:
        """The records that the query of a compiled monitor finds, whatever the time."""
        monitor = json.loads(re.sub(r"^(#.*|POST .*)\n", "", request, flags=re.MULTILINE))
        body = monitor["inputs"][0]["search"]["query"]
        body["query"]["bool"]["filter"][0] = {"match_all": {}}
        return {int(hit["_id"]) for hit in self._search({"query": body["query"]}, source=False)}

    def _index(self, records: Sequence[dict[str, Any]]) -> None:
        for first in range(0, len(records), 1000):
            lines = []
            for place, record in enumerate(records[first : first + 1000], first):
                lines += [json.dumps({"create": {"_id": str(place)}}), json.dumps(record, ensure_ascii=False)]
            said = self.node.call("POST", f"/{INDEX}/_bulk", ("\n".join(lines) + "\n").encode())
            for item in said["items"]:
                error = item["create"].get("error")
                if error and "must be" not in json.dumps(error):
                    raise ValueError(f"a record is refused for another reason than its types: {error}")
        self.node.call("POST", f"/{INDEX}/_refresh")

    def _search(self, body: dict[str, Any], *, source: bool) -> list[dict[str, Any]]:
        """All hits, a page at a time."""
        found: list[dict[str, Any]] = []
        more = {**body, "size": MOST, "sort": ["_id"], "_source": source}
        while True:
            page = self.node.call("POST", f"/{INDEX}/_search", more)["hits"]["hits"]
            found += page
            if len(page) < MOST:
                return found
            more["search_after"] = page[-1]["sort"]

    def _record(self, source: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: int(value) if isinstance(value, float) and value.is_integer() else value
            for name, value in source.items()
            if name in self.events.fields
        }


class OpenSearch3(OpenSearch):
    """The newest line."""

    release = OPENSEARCH_3
