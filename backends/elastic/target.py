"""The Elastic target: ES|QL queries that carry their view, as detection rules of type ES|QL take them.

ES|QL has no saved functions, so each query holds as much of the views as its rule reads
(`backends.elastic.esql.sliced`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from backends.correlation import Correlation
from backends.elastic import correlate, inline
from backends.elastic.backend import ElasticBackend
from backends.elastic.esql import parse, quoted, sliced, written
from backends.elastic.fields import normalising
from backends.elastic.ingest import pipeline
from backends.elastic.register import SHAPES, mapping
from backends.elastic.template import template
from backends.opensearch.register import text
from backends.opensearch.sources import source_pipelines
from backends.target import Inexpressible, Target, Wanted, fields_read
from backends.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sigma.rule import SigmaRule

    from backends.elastic.esql import Command

INDEX = "countersign-events"
VIEWS: Mapping[str, str] = MappingProxyType(
    {path.name: path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parent / "views").glob("*.esql"))}
)
LATE = frozenset({"event.sequence_gap", "event.hash_broken", "chain.id", "chain.id_source"})
"""Event facts that only several records together say: the event view sees one."""

RECORD = ("_id", "_index", "_version")
"""What tells a record from all others: Kibana makes one alert of it, however many runs see it."""

HOP_MINUTES, LATE_MINUTES = 60, 5
"""A rule runs each hour, over the hour that ended five minutes before: by then late records are in."""

CHAIN_MINUTES, GRACE_MINUTES = 2 * 24 * 60, 5
"""Chains: a day of lookback before the day that a chain may take. One has settled when nothing came for the grace."""

MOST = 10_000
"""Rows that one query gives; ES|QL's own end is 1,000, in silence."""


def compiled(wanted: Wanted, events: Vocabulary, chains: Vocabulary) -> str:
    """One query, ready to paste: index, time, as much of the view as is read, rule.

    Raises:
        Inexpressible: one sentence that names rule, construct and the nearest that works.
    """
    judged = wanted.judged
    for part in wanted.parts:
        late = sorted(fields_read(part) & LATE)
        if late and part.logsource.service != "chain":
            raise Inexpressible(f"rule {part.title!r} reads {late[0]}, which only an emitter's records together say")
    if wanted.of_chains:
        if isinstance(judged, Correlation):
            raise Inexpressible(
                f"rule {wanted.stem!r} is correlated and judges chains; correlate events, or group findings"
            )
        shown = shown_with(judged, wanted, chains)
        where = f"| WHERE {ElasticBackend(chains).expression(judged)}\n"
        return (
            source(CHAIN_MINUTES + HOP_MINUTES, GRACE_MINUTES)
            + chain_view(events, shown)
            + settled()
            + where
            + _end([], shown)
        )
    if isinstance(judged, Correlation):
        reach = -(-judged.window_us // 60_000_000)
        read = correlate.columns_read(judged).union(*map(fields_read, wanted.parts))
        late_us = f"(TO_LONG(TO_DATE_NANOS(NOW())) / 1000 - {(HOP_MINUTES + LATE_MINUTES) * 60_000_000})"
        text = source(HOP_MINUTES + LATE_MINUTES + reach, LATE_MINUTES)
        text += event_view(events, read) + correlate.commands(judged, events)
        return text + f"| WHERE cs_fired >= {late_us}\n| LIMIT {MOST}\n"
    shown = [name for name in shown_with(judged, wanted, events) if name not in LATE]
    where = f"| WHERE {ElasticBackend(events).expression(judged)}\n"
    return source(HOP_MINUTES + LATE_MINUTES, LATE_MINUTES) + event_view(events, shown) + where + _end(RECORD, shown)


def source(earliest: int, latest: int, index: str = INDEX) -> str:
    """The index and the time that a query reads, in minutes before now."""
    time = f"@timestamp >= NOW() - {earliest} minutes AND @timestamp < NOW() - {latest} minutes"
    return f"FROM {index} METADATA _id, _index, _version\n| WHERE {time}\n"


def settled() -> str:
    """A chain is judged in the hour after nothing more came to it."""
    return (
        f"| WHERE chain.end >= NOW() - {HOP_MINUTES + 2 * GRACE_MINUTES} minutes"
        f" AND chain.end < NOW() - {2 * GRACE_MINUTES} minutes\n"
    )


def shown_with(rule: SigmaRule, wanted: Wanted, vocabulary: Vocabulary) -> list[str]:
    """What a row of a result holds: what the rule reads and says that an analyst needs, and what groups it."""
    named = [*sorted(fields_read(rule)), *(rule.fields or ()), *wanted.group_by]
    always = ["chain.id", "chain.start", "chain.end"] if wanted.of_chains else ["@timestamp", "event.id"]
    return [name for name in dict.fromkeys([*always, *named]) if name in vocabulary.fields]


def _end(keys: Sequence[str], shown: Sequence[str]) -> str:
    return f"| KEEP {', '.join(map(quoted, [*keys, *shown]))}\n| LIMIT {MOST}\n"


@cache
def _parsed(view: str) -> tuple[Command, ...]:
    return tuple(parse(view, SHAPES))


def event_view(vocabulary: Vocabulary, wanted: Iterable[str]) -> str:
    """As much of the event view as gives the wanted columns."""
    commands = _parsed(normalising(vocabulary) + VIEWS["events.esql"])
    return written(sliced(commands, {*wanted, "_id"}))


def chain_view(vocabulary: Vocabulary, wanted: Iterable[str], *, newest: bool = False) -> str:
    """The event view and the chain view, as far as they give the wanted columns.

    Args:
        vocabulary: the event's fields.
        wanted: chain fields, and columns of the view's own.
        newest: with INLINE STATS, which Elasticsearch 9 has; else in words of 8.19.
    """
    commands = _parsed(normalising(vocabulary) + VIEWS["events.esql"] + VIEWS["chain.esql"])
    return written((sliced if newest else inline.lowered)(commands, set(wanted)))


def made(root: Path) -> dict[str, str]:
    """The index template, the ingest pipelines, the lookup indices, and the chain view for 8.19 and for 9."""
    events = Vocabulary.load(root / "schemas" / "event.schema.json")
    chains = Vocabulary.load(root / "schemas" / "chain.schema.json")
    return {
        "fields.esql": normalising(events),
        "chains-8.19.esql": chain_view(events, chains.fields),
        "chains-9.esql": chain_view(events, chains.fields, newest=True),
        "template.json": text(template(events)),
        f"pipeline-{INDEX}.json": text(pipeline(events)),
        **{f"lookup-{name}.json": text(mapping(name)) for name in SHAPES},
        **source_pipelines(root),
    }


TARGET = Target(
    name="elastic",
    product="Elasticsearch and Kibana 8.19 and later",
    language="ES|QL",
    suffix=".esql",
    comment=lambda text: "".join(f"// {line}".rstrip() + "\n" for line in text.splitlines()),
    change=MappingProxyType(
        {
            INDEX: "your index or data stream, which has the template and the ingest pipeline of views/",
            "NOW()": "Kibana's own time filter bounds a rule too; keep the widest of both",
        }
    ),
    compile=compiled,
    views=VIEWS,
    made=made,
)
