"""What the stock pySigma backends make of the rules: refused, not run by the engine, or run beside ours and compared.

The stock backend gets the project's pipeline, so that it names our columns and reads our views: what differs is what it
makes of the rule, and nothing else. A verdict is that of a case: whether the rule fires on it.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import yaml
from sigma.collection import SigmaCollection
from sigma.exceptions import SigmaError
from sigma.processing.pipeline import ProcessingPipeline

from backends import target
from backends.correlation import Correlation
from harness.matrix import Verdicts
from harness.proof import as_written, data_set

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from backends.vocabulary import Vocabulary
    from harness.case import Bases, Tables
    from harness.engines.listed import Running
    from harness.matrix import Judge, Subject

BACKENDS = Path(target.__file__).parent
EQUAL, REFUSED, NOT_RUN = "equal", "refused", "does not run"


@dataclass(frozen=True)
class Stock:
    """The stock backend that stands beside a target.

    Attributes:
        target: the target's folder, whose ``pipeline.yml`` is used.
        package: what is installed, for the page.
        backend: module and class.
        runner: module and class that runs its queries on the engine.
    """

    target: str
    package: str
    backend: tuple[str, str]
    runner: tuple[str, str]


STOCK = {
    "spl": Stock(
        "splunk",
        "pysigma-backend-splunk",
        ("sigma.backends.splunk", "SplunkBackend"),
        ("harness.engines.stock_runs", "OnSpl"),
    ),
    "kql": Stock(
        "sentinel",
        "pysigma-backend-kusto",
        ("sigma.backends.kusto", "KustoBackend"),
        ("harness.engines.stock_runs", "OnKql"),
    ),
    "spark": Stock(
        "spark",
        "pysigma-backend-databricks",
        ("sigma.backends.databricks", "DatabricksBackend"),
        ("harness.engines.stock_runs", "OnSpark"),
    ),
    "elastic": Stock(
        "elastic",
        "pysigma-backend-elasticsearch",
        ("sigma.backends.elasticsearch.elasticsearch_esql", "ESQLBackend"),
        ("harness.engines.stock_runs", "OnElastic"),
    ),
    "lucene": Stock(
        "lucene",
        "pysigma-backend-elasticsearch",
        ("sigma.backends.elasticsearch", "LuceneBackend"),
        ("harness.engines.stock_runs", "OnQueryStrings"),
    ),
    "opensearch2": Stock(
        "opensearch",
        "pysigma-backend-opensearch",
        ("sigma.backends.opensearch", "OpensearchLuceneBackend"),
        ("harness.engines.stock_runs", "OnQueryStrings"),
    ),
}
"""By the engine's name; an engine that is not here has no stock backend, or one that nothing here can run."""


@dataclass(frozen=True)
class Query:
    """A query of the stock backend.

    Attributes:
        text: as it gives it.
        of_chains: whether it reads the chain view.
    """

    text: str
    of_chains: bool


class Runner(Protocol):
    """Runs stock queries over the data set that an engine has just judged."""

    def left(
        self, queries: Mapping[str, Query], records: Sequence[dict[str, Any]], tables: Tables, now: datetime | None
    ) -> tuple[dict[str, set[Any]], dict[str, str]]:
        """Indices of records or ids of chains that each query leaves, and why others do not run, by stem."""


@dataclass(frozen=True)
class Said:
    """What became of one rule.

    Attributes:
        word: ``equal``, ``refused``, ``does not run`` or ``2 of 9 differ``.
        why: the reason, in the words of the backend or the engine.
        cells: cases that were run.
        others: sentences of those whose verdict is another than the case expects.
    """

    word: str
    why: str = ""
    cells: int = 0
    others: tuple[str, ...] = ()


@dataclass
class Converted:
    """Stock queries, and what the backend refuses with its reason, by stem."""

    queries: dict[str, Query] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def converted(subjects: Sequence[Subject], stock: Stock) -> Converted:
    """Every rule as the stock backend says it."""
    module, name = stock.backend
    text = (BACKENDS / stock.target / "pipeline.yml").read_text(encoding="utf-8")
    found = Converted()
    for subject in subjects:
        # a pipeline changes the rules that it is given, so each gets a copy
        backend = getattr(import_module(module), name)(ProcessingPipeline.from_yaml(text))
        try:
            queries = backend.convert(SigmaCollection.from_dicts(_copies(subject)))
        except (SigmaError, NotImplementedError) as refused:
            found.refused[subject.stem] = _plain(refused)
            continue
        if len(queries) == 1:
            found.queries[subject.stem] = Query(str(queries[0]), subject.of_chains)
        else:
            found.refused[subject.stem] = f"{len(queries)} queries, where one is needed"
    return found


def _copies(subject: Subject) -> list[dict[str, Any]]:
    rules: list[Any] = [*subject.parts]
    if isinstance(subject.rule, Correlation):
        rules.append(subject.rule.rule)
    return [yaml.safe_load(yaml.safe_dump(rule.to_dict(), sort_keys=False)) for rule in rules]


def _plain(refused: Exception) -> str:
    """The backend's reason without the rule's name, so that one reason is told once."""
    return str(refused).partition(" (while converting")[0].strip().rstrip(".")


class _Beside:
    """An engine's judge, with the stock queries' hits in the place of ours.

    Of a data set only those stock queries are asked whose cases may be in it.
    """

    def __init__(
        self,
        judge: Judge,
        runner: Runner,
        queries: Mapping[str, Query],
        asked: Mapping[tuple[str, Any], Collection[str]],
    ) -> None:
        self._judge, self._runner, self._queries, self._asked = judge, runner, queries, asked
        self._lock = threading.Lock()  # a runner reads what was judged last
        self.failed: dict[str, str] = {}

    def judge(self, records: Sequence[dict[str, Any]], tables: Tables, now: datetime | None) -> Verdicts:
        """Our facts, and the hits of the stock queries."""
        with self._lock:
            verdicts = self._judge(records, tables, now)
            stems = set(self._asked[data_set(tables, now)]) - self.failed.keys()
            wanted = {stem: query for stem, query in self._queries.items() if stem in stems}
            left, failed = self._runner.left(wanted, records, tables, now)
            self.failed |= failed
        hits = {of: {s: left.get(s, set()) for s, q in wanted.items() if q.of_chains is of} for of in (False, True)}
        return Verdicts(verdicts.events, verdicts.chains, hits[False], hits[True])


def compared(
    subjects: Sequence[Subject], stock: Stock, running: Running, bases: Bases, vocabulary: Vocabulary
) -> dict[str, Said]:
    """What the stock backend makes of each rule, run over its cases as they are written; by stem.

    Args:
        subjects: the rules, with their cases.
        stock: the backend.
        running: the engine, started.
        bases: honest records and register of the cases.
        vocabulary: the event's fields.
    """
    made = converted(subjects, stock)
    module, name = stock.runner
    asked: defaultdict[tuple[str, Any], set[str]] = defaultdict(set)
    for subject in subjects:
        for case in subject.cases:
            asked[data_set(case.tables(bases), case.now)].add(subject.stem)
    beside = _Beside(running.judge, getattr(import_module(module), name)(running), made.queries, asked)
    cells: Counter[str] = Counter()
    others: defaultdict[str, list[str]] = defaultdict(list)
    taken = [subject for subject in subjects if subject.stem in made.queries]
    for cell, answer in as_written(taken, beside.judge, bases, vocabulary):
        cells[cell.subject.stem] += 1
        if answer.engine != cell.case.fires:
            others[cell.subject.stem].append(cell.case.sentence)
    said = {stem: Said(REFUSED, why) for stem, why in made.refused.items()}
    said |= {stem: Said(NOT_RUN, why) for stem, why in beside.failed.items()}
    for stem, number in cells.items():
        if stem not in beside.failed:
            found = tuple(others[stem])
            said[stem] = Said(f"{len(found)} of {number} differ" if found else EQUAL, "", number, found)
    return said
