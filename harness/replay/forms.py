"""What a kit looks like for each SIEM: bodies of requests that take records in, questions, and the register.

Limits: the HTTP Event Collector takes 1 MB a request in Splunk Cloud ("Format events for HTTP Event Collector"); the
Logs Ingestion API 1 MB a call ("Service limits, Logs ingestion API", Microsoft Learn); bulk requests have no such limit
below 100 MB, and a request of a few MB is advised ("Tune for indexing speed", Elasticsearch).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backends.absence import flatten, normalise
from backends.elastic import register as of_elastic
from backends.elastic.target import INDEX
from backends.opensearch import register as of_opensearch
from backends.opensearch.backend import compared
from backends.sentinel import register as of_sentinel
from backends.sentinel.columns import column
from backends.sentinel.package import FROM_SOURCES
from backends.splunk import register as of_splunk
from backends.splunk.knowledge import SOURCETYPE, comma_separated
from harness.case import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from backends.duckdb.target import Sources
    from backends.vocabulary import Vocabulary
    from harness.case import Tables
    from harness.compiling import Query
    from harness.replay.choosing import Plan

MEGABYTE = 1_000_000
SOURCE = "countersign-replay"
SPLUNK_INDEX = "mcp"
"""The index that the app's macro ``countersign_index`` names before an admin changes it."""


@dataclass(frozen=True)
class Form:
    """A SIEM's form.

    Attributes:
        siem: its module in `harness.replay.kit`.
        suffix: of a file that holds the body of one request.
        batches: plan and event fields → bodies.
        question: a compiled rule → what check.py asks, JSON.
        register: tables, sources, event fields and compiled rules → file name → text: the kit's register as the SIEM
            takes it.
        times: event fields → names of the times in a body.
        settle_sec: seconds after its last record from which on a query gives a chain.
        installing: how the register gets into the SIEM, a sentence for people.
        deleting: how the kit's records get out of it again; ``{mark}`` is the kit's.
    """

    siem: str
    suffix: str
    batches: Callable[[Plan, Vocabulary], Iterable[str]]
    question: Callable[[Query], Mapping[str, Any]]
    register: Callable[[Tables, Sources, Vocabulary, Sequence[Query]], Mapping[str, str]]
    times: Callable[[Vocabulary], list[str]]
    settle_sec: int
    installing: str
    deleting: str


def _times(events: Vocabulary) -> list[str]:
    return sorted(name for name, field in events.raw.items() if field.kind == "time")


def _packed(lines: Iterable[str], most: int, few: int) -> Iterator[str]:
    """Lines in bodies of at most so many bytes and so many lines."""
    body: list[str] = []
    size = 0
    for line in lines:
        length = len(line.encode()) + 1
        if body and (size + length > most or len(body) == few):
            yield "".join(f"{one}\n" for one in body)
            body, size = [], 0
        body.append(line)
        size += length
    if body:
        yield "".join(f"{one}\n" for one in body)


def _splunk_batches(plan: Plan, _events: Vocabulary) -> Iterator[str]:
    """Objects one behind the other, each with its own metadata."""
    lines = (
        _line(
            {
                "time": round(moment(record["@timestamp"]).timestamp(), 3),
                "host": SOURCE,
                "source": f"{SOURCE}:{plan.mark}",
                "sourcetype": SOURCETYPE,
                "index": SPLUNK_INDEX,
                "event": record,
            }
        )
        for case in plan.cases
        for record in case.records
    )
    return _packed(lines, MEGABYTE // 2, 100)


def _splunk_question(query: Query) -> Mapping[str, Any]:
    """The search without its times, which go beside it, and one column of its rows."""
    first, _, rest = query.text.rstrip().partition("\n")
    wanted = "chain.start" if query.rule.service == "chain" else "event.id"
    search = f"{re.sub(r' earliest=[^ ]+ latest=[^ ]+$', '', first)}\n{rest}\n| table {wanted}"
    return {"search": search, "column": wanted}


def _splunk_register(
    tables: Tables, sources: Sources, _events: Vocabulary, _queries: Sequence[Query]
) -> Mapping[str, str]:
    made = of_splunk.lookups(tables, sources.never, sources.client_ids)
    return {f"{name}.csv": comma_separated(of_splunk.COLUMNS[name], rows) for name, rows in made.items()}


def _bulk_batches(plan: Plan, _events: Vocabulary) -> Iterator[str]:
    """Pairs of lines; the id is the record's own, so that a record that is sent twice is there once."""
    pairs = (
        f"{_line({'create': {'_id': record['event']['id']}})}\n{_line(record)}"
        for case in plan.cases
        for record in case.records
    )
    return _packed(pairs, 5 * MEGABYTE, 250)


def _elastic_question(query: Query) -> Mapping[str, Any]:
    """The query without what it says of the time: the request's filter bounds that, as Kibana's does."""
    timeless = re.sub(r"(?m)^\| WHERE [^\n]*NOW\(\)[^\n]*\n", "", query.text)
    return {"query": timeless, "column": "chain.start" if query.rule.service == "chain" else "_id"}


def _elastic_register(
    tables: Tables, sources: Sources, _events: Vocabulary, _queries: Sequence[Query]
) -> Mapping[str, str]:
    lines = []
    for name, rows in of_elastic.lookups(tables, sources.never, sources.client_ids).items():
        for row in sorted(rows, key=lambda one: of_elastic.identity(name, one)):
            lines += [_line({"index": {"_index": name, "_id": of_elastic.identity(name, row)}}), _line(row)]
    return {"lookups.ndjson": "".join(f"{line}\n" for line in lines)}


def _opensearch_question(query: Query) -> Mapping[str, Any]:
    """A monitor's search without its time, and its trigger's script so that it names the records."""
    monitor = json.loads(re.sub(r"^(#.*|POST .*)\n", "", query.text, flags=re.MULTILINE))
    body = monitor["inputs"][0]["search"]["query"]
    body["query"]["bool"]["filter"] = [one for one in body["query"]["bool"]["filter"] if "range" not in one]
    script = monitor["triggers"][0]["query_level_trigger"]["condition"]["script"]["source"]
    naming, found = re.subn(
        r"return !fired\(ctx, (\[.*\])\)\.isEmpty\(\);\s*\Z", r"return fired(params.ctx, \1);", script
    )
    return {"body": body, "script": naming if found else ""}


def _opensearch_register(
    tables: Tables, sources: Sources, events: Vocabulary, queries: Sequence[Query]
) -> Mapping[str, str]:
    pairs = {pair for query in queries for part in query.rule.parts for pair in compared(part)}
    made = of_opensearch.pipeline(events, tables, sources.never, pairs)
    return {f"pipeline-{INDEX}.json": of_opensearch.text(made)}


def _sentinel_batches(plan: Plan, events: Vocabulary) -> Iterator[str]:
    """Arrays of flat objects, columns for names, without what is absent."""
    rows = (
        _line({column(name): value for name, value in normalise(flatten(record, events), events).items()})
        for case in plan.cases
        for record in case.records
    )
    for body in _packed(rows, MEGABYTE // 2, 200):
        yield "[\n" + ",\n".join(body.splitlines()) + "\n]\n"


def _sentinel_question(query: Query) -> Mapping[str, Any]:
    wanted = column("chain.start" if query.rule.service == "chain" else "event.id")
    return {"query": f"{query.text.rstrip()}\n| project {wanted}\n"}


def _sentinel_register(
    tables: Tables, _sources: Sources, _events: Vocabulary, _queries: Sequence[Query]
) -> Mapping[str, str]:
    lists = of_sentinel.watchlists(tables)
    return {
        f"countersign_{name}.csv": of_sentinel.as_csv(rows) for name, rows in lists.items() if name not in FROM_SOURCES
    }


def _line(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


_BY_QUERY = (
    'POST /countersign-events/_delete_by_query {"query": {"term": {"organization.id": "countersign-replay-{mark}"}}}'
)

FORMS: Mapping[str, Form] = {
    "splunk": Form(
        siem="splunk",
        suffix=".json",
        batches=_splunk_batches,
        question=_splunk_question,
        register=_splunk_register,
        times=_times,
        settle_sec=300,
        installing="Upload each file of `register-splunk/` under Settings > Lookups > Lookup table files, app "
        "countersign, and name it in `local/transforms.conf`; or build the app with it: `countersign build splunk "
        "--register register`.",
        deleting='search index={index} source="countersign-replay:{mark}" | delete',
    ),
    "elastic": Form(
        siem="elastic",
        suffix=".ndjson",
        batches=_bulk_batches,
        question=_elastic_question,
        register=_elastic_register,
        times=_times,
        settle_sec=0,
        installing="Send `register-elastic/lookups.ndjson` to POST /_bulk; or build the package with it, "
        "`countersign build elastic --register register`, and run its `install.py register`.",
        deleting=_BY_QUERY,
    ),
    "opensearch": Form(
        siem="opensearch",
        suffix=".ndjson",
        batches=_bulk_batches,
        question=_opensearch_question,
        register=_opensearch_register,
        times=_times,
        settle_sec=0,
        installing="Facts are computed as records come in, so before you send: PUT "
        "/_ingest/pipeline/countersign-events with `register-opensearch/pipeline-countersign-events.json`.",
        deleting=_BY_QUERY,
    ),
    "sentinel": Form(
        siem="sentinel",
        suffix=".json",
        batches=_sentinel_batches,
        question=_sentinel_question,
        register=_sentinel_register,
        times=lambda events: [column(name) for name in _times(events)],
        settle_sec=0,
        installing="Create a watchlist from each file of `register-sentinel/`, its alias as the file is called and the "
        "search key SearchKey; or deploy the package built with it: `countersign build sentinel --register register`.",
        deleting="Delete Data API of Log Analytics, table CountersignEvents_CL, filter "
        'organization_id == "countersign-replay-{mark}"',
    ),
}
"""SIEM → its form."""
