"""The engines that a proof can be run on."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from sigma.rule import SigmaRule

    from backends.correlation import Correlation
    from backends.duckdb.target import Sources
    from backends.vocabulary import Vocabulary
    from harness.case import Tables
    from harness.matrix import Verdicts


class Running(Protocol):
    """An engine that was started with rules."""

    def judge(self, records: Sequence[dict[str, Any]], tables: Tables, now: datetime | None) -> Verdicts:
        """Judge one data set with one register."""


@dataclass(frozen=True)
class Listed:
    """An engine.

    Attributes:
        name: a word for options.
        title: a column's head.
        target: the target whose queries it runs.
        runs: what really runs here, and what it stands for.
        place: module and class, imported when it is started.
    """

    name: str
    title: str
    target: str
    runs: str
    place: tuple[str, str]

    def start(
        self,
        rules: Mapping[str, SigmaRule | Correlation],
        events: Vocabulary,
        chains: Vocabulary,
        sources: Sources,
    ) -> AbstractContextManager[Running]:
        """Start it; leaving the context stops it."""
        module, name = self.place
        started: AbstractContextManager[Running] = getattr(import_module(module), name)(rules, events, chains, sources)
        return started


ENGINES = {
    each.name: each
    for each in (
        Listed("duckdb", "DuckDB", "duckdb", "DuckDB itself", ("harness.judging", "Embedded")),
        Listed("spark", "Spark", "spark", "Spark itself, on this machine's cores", ("harness.engines.spark", "Spark")),
        Listed(
            "elastic",
            "Elasticsearch",
            "elastic",
            "an Elasticsearch 8.19 node: ES|QL over records that the ingest pipeline's rules were applied to",
            ("harness.engines.elastic", "Elastic"),
        ),
        Listed(
            "lucene",
            "Elasticsearch, Lucene",
            "lucene",
            "the same node, asked by query strings",
            ("harness.engines.elastic", "Lucene"),
        ),
        Listed(
            "opensearch2",
            "OpenSearch 2",
            "opensearch",
            "an OpenSearch 2.19 node: the ingest pipeline, the search of each monitor, and the script of its trigger",
            ("harness.engines.opensearch", "OpenSearch"),
        ),
        Listed(
            "opensearch3",
            "OpenSearch 3",
            "opensearch",
            "the same on OpenSearch 3.8",
            ("harness.engines.opensearch", "OpenSearch3"),
        ),
        Listed(
            "spl",
            "Splunk",
            "splunk",
            "an interpreter of exactly the SPL that we emit; no Splunk can be had here",
            ("harness.engines.spl.judge", "Spl"),
        ),
        Listed(
            "kql",
            "Sentinel",
            "sentinel",
            "the queries bound by Microsoft's own parser and executed by duckdb-kql; no workspace can be had here",
            ("harness.engines.kql", "Kql"),
        ),
    )
}
