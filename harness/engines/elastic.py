"""Elasticsearch itself: records as the ingest pipeline leaves them; ES|QL computes facts, chains and verdicts."""

from __future__ import annotations

import json
import re
import threading
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from backends.absence import WrongType, normalise
from backends.correlation import Correlation
from backends.elastic import correlate
from backends.elastic.backend import ElasticBackend
from backends.elastic.esql import quoted
from backends.elastic.ingest import prepared
from backends.elastic.register import SHAPES, identity, lookups, mapping
from backends.elastic.target import INDEX, LATE, VIEWS, chain_view, event_view
from backends.elastic.template import template
from backends.lucene.backend import LuceneQueries
from backends.target import Inexpressible, fields_read
from harness.case import moment
from harness.engines.node.elasticsearch import ELASTICSEARCH_8, Elasticsearch
from harness.judging import GRACE
from harness.matrix import Verdicts
from harness.paths import Root

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sigma.rule import SigmaRule

    from backends.duckdb.target import Sources
    from backends.vocabulary import Vocabulary
    from harness.case import Tables

FROM = f"FROM {INDEX} METADATA _id\n"
MOST = 1_000_000
"""Rows that one query may give here; the server's own limit is 10,000."""


@cache
def node() -> Elasticsearch:
    """The node of this process, started once and stopped when the process ends."""
    import atexit  # noqa: PLC0415 - only where a node is started

    started = Elasticsearch(ELASTICSEARCH_8, Root.default().path / ".cache" / "engines").__enter__()
    atexit.register(started.__exit__, None, None, None)
    for name in SHAPES:
        started.call("PUT", f"/{name}", mapping(name))
    started.call("PUT", "/_cluster/settings", {"persistent": {"esql.query.result_truncation_max_size": MOST}})
    return started


LOOKED_UP: dict[str, dict[str, str]] = {name: {} for name in SHAPES}
"""What this process's node holds in each lookup index: id → row."""


class Held:
    """What the node holds: the template, the lookup indices and the records of one data set.

    Args:
        events: the event's fields.
        sources: what the source maps say: blind concepts, and ids that a client may set.
    """

    def __init__(self, events: Vocabulary, sources: Sources) -> None:
        self.events, self.sources = events, sources

    def start(self) -> None:
        """Start the node where this process has none yet, and put the template."""
        self.node = node()
        self.node.call("PUT", f"/_index_template/{INDEX}", template(self.events))

    def stop(self) -> None:
        """Remove the records; the lookup indices stay, and the node stops with the process."""
        self.node.call("DELETE", f"/{INDEX}?ignore_unavailable=true")

    def rows(self, query: str) -> Iterable[dict[str, Any]]:
        """What a query gives, a row at a time, column → value; absent columns are left out."""
        said = self.node.call("POST", "/_query", {"query": f"{query}| LIMIT {MOST}"})
        names = [column["name"] for column in said["columns"]]
        for values in said["values"]:
            yield {name: value for name, value in zip(names, values, strict=True) if value is not None}

    def fill(self, tables: Tables) -> None:
        """Bring the lookup indices to this register: only rows that are new, changed or gone are sent."""
        lines: list[str] = []
        for name, rows in lookups(tables, self.sources.never, self.sources.client_ids).items():
            wanted = {identity(name, row): json.dumps(row, ensure_ascii=False, sort_keys=True) for row in rows}
            held = LOOKED_UP[name]
            lines += [json.dumps({"delete": {"_index": name, "_id": key}}) for key in held.keys() - wanted.keys()]
            for key, row in wanted.items():
                if held.get(key) != row:
                    lines += [json.dumps({"index": {"_index": name, "_id": key}}), row]
            LOOKED_UP[name] = wanted
        self._bulk("/_bulk", lines)

    def index(self, records: Sequence[dict[str, Any]]) -> None:
        """Index the records that an ingest would take."""
        self.node.call("DELETE", f"/{INDEX}?ignore_unavailable=true")
        self.node.call("PUT", f"/{INDEX}")
        lines: list[str] = []
        for place, record in enumerate(records):
            try:
                document = prepared(record, self.events)
            except WrongType:
                continue
            lines += [json.dumps({"create": {"_id": str(place)}}), json.dumps(document, ensure_ascii=False)]
        for first in range(0, len(lines), 4000):
            self._bulk(f"/{INDEX}/_bulk", lines[first : first + 4000])

    def _bulk(self, path: str, lines: Sequence[str]) -> None:
        if not lines:
            return
        said = self.node.call("POST", f"{path}?refresh=true&pipeline=_none", ("\n".join(lines) + "\n").encode())
        for item in said["items"]:
            (done,) = item.values()
            if "error" in done:
                raise ValueError(f"a record is refused: {done['error']}")


def _read(rule: SigmaRule | Correlation) -> frozenset[str]:
    """Fields that a rule's verdict depends on; nothing else is asked for."""
    if isinstance(rule, Correlation):
        return rule.fields.union(*(fields_read(step.rule) for step in rule.steps))
    return fields_read(rule)


class Elastic:
    """A node with the project's template, lookup indices and rules. Use it as a context.

    Args:
        rules: by stem.
        events: the event's fields.
        chains: the chain's fields.
        sources: what the source maps say: blind concepts, and ids that a client may set.
    """

    def __init__(
        self,
        rules: Mapping[str, SigmaRule | Correlation],
        events: Vocabulary,
        chains: Vocabulary,
        sources: Sources,
    ) -> None:
        self.events, self.chains, self.held = events, chains, Held(events, sources)
        self.correlations = {stem: rule for stem, rule in rules.items() if isinstance(rule, Correlation)}
        singles = {stem: rule for stem, rule in rules.items() if not isinstance(rule, Correlation)}
        of_chains = {stem for stem, rule in singles.items() if rule.logsource.service == "chain"}
        read = {name for rule in rules.values() for name in _read(rule)}
        self._facts = sorted((read & set(events.fields) | {"@timestamp"} if rules else set(events.fields)) - LATE)
        mine = {stem: rule for stem, rule in singles.items() if stem not in of_chains}
        self._event_query = FROM + event_view(events, self._facts) + self._judging(mine, events, ["_id", *self._facts])
        self._chain_query = ""
        if "chain.esql" in VIEWS and (of_chains or not rules):
            shown = [*sorted(chains.fields), "cs_members"]
            theirs = {stem: rule for stem, rule in singles.items() if stem in of_chains}
            self._chain_query = FROM + chain_view(events, shown) + self._judging(theirs, chains, shown)
        self._correlated = {stem: self._correlating(rule) for stem, rule in self.correlations.items()}
        self.stems = list(rules)
        self._lock = threading.Lock()

    def _judging(self, rules: Mapping[str, SigmaRule], vocabulary: Vocabulary, shown: Sequence[str]) -> str:
        """A column for each rule, never null, beside what is shown."""
        backend = ElasticBackend(vocabulary)
        verdicts = [f"    rule_{stem} = COALESCE({backend.expression(rule)}, false)" for stem, rule in rules.items()]
        kept = ", ".join([*map(quoted, shown), *(f"rule_{stem}" for stem in rules)])
        return ("| EVAL\n" + ",\n".join(verdicts) + "\n" if verdicts else "") + f"| KEEP {kept}\n"

    def _correlating(self, rule: Correlation) -> str:
        read = correlate.columns_read(rule) | _read(rule)
        return FROM + event_view(self.events, read) + correlate.commands(rule, self.events)

    def __enter__(self) -> Self:
        """Start the node, and put what the queries read."""
        self.held.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        """Remove what was indexed."""
        self.held.stop()

    def judge(self, records: Sequence[dict[str, Any]], tables: Tables, now: datetime | None) -> Verdicts:
        """All rules over one data set with one register; of chains, those that have settled by ``now``."""
        with self._lock:
            self.held.fill(tables)
            self.held.index(records)
            events: list[dict[str, Any] | None] = [None] * len(records)
            event_hits: dict[str, set[int]] = {stem: set() for stem in self.stems}
            chain_hits: dict[str, set[str]] = {stem: set() for stem in self.stems}
            for row in self.held.rows(self._event_query):
                place = int(row.pop("_id"))
                for stem in _fired(row):
                    event_hits[stem].add(place)
                events[place] = _record(row, self.events)
            for stem, query in self._correlated.items():
                event_hits[stem] = {int(row["_id"]) for row in self.held.rows(query)}
            chains: dict[str, dict[str, Any]] = {}
            for row in self.held.rows(self._chain_query) if self._chain_query else ():
                members = row.pop("cs_members")
                fired = _fired(row)
                chain = _record(row, self.chains)
                for member in [members] if isinstance(members, str) else members:
                    key, _, source = member.rpartition("␟")
                    event = events[int(key)]
                    if event is not None:
                        event.update({"chain.id": chain["chain.id"], "chain.id_source": source})
                if now is None or moment(chain["chain.end"]) < now - GRACE:
                    chains[chain["chain.id"]] = chain
                    for stem in fired:
                        chain_hits[stem].add(chain["chain.id"])
            return Verdicts(events, chains, event_hits, chain_hits)

    def view(self, *, of_chains: bool) -> str:
        """A query that gives every field and fact, of events or of chains."""
        if of_chains:
            return FROM + chain_view(self.events, [*sorted(self.chains.fields), "cs_members"])
        return FROM + event_view(self.events, sorted(set(self.events.fields) - LATE))

    def pasted(self, query: str) -> list[dict[str, Any]]:
        """Rows that a compiled query gives over the data set judged last, whatever the time."""
        timeless = re.sub(r"(?m)^\| WHERE [^\n]*NOW\(\)[^\n]*\n", "", query)
        return list(self.held.rows(timeless))


def _fired(row: dict[str, Any]) -> list[str]:
    """Stems of the rules that fired on a row; their columns are taken out of it."""
    verdicts = [name for name in row if name.startswith("rule_")]
    return [name.removeprefix("rule_") for name in verdicts if row.pop(name)]


def _record(row: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """A row as a flat record: lists as lists, times to the microsecond, whole numbers whole."""
    record = normalise(row, vocabulary, derived=True)
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in record.items()
    }


class Lucene:
    """The same node, asked by Lucene's query strings. Use it as a context; arguments as `Elastic`."""

    def __init__(
        self, rules: Mapping[str, SigmaRule | Correlation], events: Vocabulary, _chains: Vocabulary, sources: Sources
    ) -> None:
        self.events, self.held = events, Held(events, sources)
        self.queries = self.sayable(rules, events)
        self._lock = threading.Lock()

    @staticmethod
    def sayable(rules: Mapping[str, SigmaRule | Correlation], events: Vocabulary) -> dict[str, str]:
        """Query strings of the rules that Lucene's words can say, by stem; that they read no view is seen elsewhere."""
        backend, found = LuceneQueries(events), {}
        for stem, rule in rules.items():
            if not isinstance(rule, Correlation):
                with suppress(Inexpressible):
                    found[stem] = backend.expression(rule)
        return found

    def __enter__(self) -> Self:
        """Start the node, and put what is searched."""
        self.held.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        """Remove what was indexed."""
        self.held.stop()

    def judge(self, records: Sequence[dict[str, Any]], _tables: Tables, _now: datetime | None) -> Verdicts:
        """All rules over one data set; they read no fact, so no register."""
        with self._lock:
            self.held.index(records)
            events: list[dict[str, Any] | None] = [None] * len(records)
            for place, record in enumerate(records):
                try:
                    events[place] = {**prepared(record, self.events)}
                except WrongType:
                    continue
            hits = {stem: self.found(query) for stem, query in self.queries.items()}
            return Verdicts(events, {}, hits, {})

    def found(self, query: str) -> set[int]:
        """The records that a query string finds in the data set judged last."""
        body = {"query": {"query_string": {"query": query}}, "size": 10_000, "_source": False}
        found = self.held.node.call("POST", f"/{INDEX}/_search", body)["hits"]
        if found["total"]["relation"] != "eq" or len(found["hits"]) < found["total"]["value"]:
            raise ValueError("a search found more than one page holds; judge fewer records at once")
        return {int(hit["_id"]) for hit in found["hits"]}
