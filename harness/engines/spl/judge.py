"""Records judged by what the Splunk target emits, run by the interpreter: an engine as a proof sees it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import md5
from typing import TYPE_CHECKING, Any, Self

from backends.correlation import Correlation
from backends.splunk.correlate import correlated
from backends.splunk.register import lookups
from backends.splunk.target import condition, macros, views
from harness.engines.spl.commands import extracted
from harness.engines.spl.expression import STARTED
from harness.engines.spl.expression import condition as holding
from harness.engines.spl.run import piped, run
from harness.engines.spl.text import Macro, commands, expanded
from harness.engines.spl.values import several
from harness.matrix import Verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sigma.rule import SigmaRule

    from backends.duckdb.target import Sources
    from backends.splunk.register import Lookups
    from backends.vocabulary import Field, Vocabulary
    from harness.case import Tables
    from harness.engines.spl.values import Row

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 1, 1, tzinfo=UTC)
TIMES = {
    "chain.start": "chain.start",
    "chain.end": "chain.end",
    "@timestamp": "cs_ts",
    "oauth.token.issued_at": "cs_issued",
    "oauth.token.expires_at": "cs_expires",
}
"""Fields that a log sends as times, and the view's microseconds of each."""


class Spl:
    """The interpreter with the target's macros; a context as other engines are, though it holds nothing open."""

    def __init__(
        self, rules: Mapping[str, SigmaRule | Correlation], events: Vocabulary, chains: Vocabulary, sources: Sources
    ) -> None:
        self.rules, self.events, self.chains, self.sources = dict(rules), events, chains, sources
        self.macros = {name: Macro(text, arguments) for name, (text, arguments) in macros(views()).items()}
        self.view, self.chain_view, self.evidence = _pipelines()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        """Nothing to close."""

    def judge(self, records: Sequence[Mapping[str, Any] | bytes], tables: Tables, now: datetime | None) -> Verdicts:
        """All rules over one data set with one register."""
        tabled = self.lookups(tables)
        rows = piped(indexed(records), self.view, tabled)
        events: list[dict[str, Any] | None] = [None] * len(records)
        for row in rows:
            events[int(row["_place"])] = shown(row, self.events)
        for row in piped([dict(row) for row in rows], self.evidence, tabled):
            (events[int(row["_place"])] or {}).update(
                {name: row[name] == "true" for name in ("event.sequence_gap", "event.hash_broken") if name in row}
            )
        hits: dict[str, set[int]] = {}
        for stem, rule in self.rules.items():
            if isinstance(rule, Correlation):
                steps = [condition(step.rule, self.events) for step in rule.steps]
                search = expanded(" | ".join(correlated(rule, steps)), self.macros)
                found = piped([dict(row) for row in rows], commands(search), tabled)
                hits[stem] = {int(row["_place"]) for row in found}
            elif rule.logsource.service != "chain":
                holds = holding(expanded(condition(rule, self.events), self.macros))
                hits[stem] = {int(row["_place"]) for row in rows if holds(row) is True}
        chains, chain_hits = self._chains(rows, events, tabled, now)
        return Verdicts(events, chains, hits, chain_hits)

    def _chains(
        self, rows: Sequence[Row], events: list[dict[str, Any] | None], tabled: Lookups, now: datetime | None
    ) -> tuple[dict[str, dict[str, Any]], dict[str, set[str]]]:
        """Chains by id, and the ids that each chain rule finds; records learn the chain that they are in."""
        STARTED.set((now or LAST).timestamp())
        places = {
            md5(row["_raw"].encode(), usedforsecurity=False).hexdigest(): int(row["_place"]) for row in reversed(rows)
        }
        found = piped([dict(row) for row in rows], self.chain_view, tabled)
        chains: dict[str, dict[str, Any]] = {}
        for row in found:
            chain = shown(row, self.chains)
            row["_id"] = chain["chain.id"] = dated(chain["chain.id"])
            chains[chain["chain.id"]] = chain
            for record, _, source in (hit.partition("|") for hit in several(row["cs_records"])):
                event = events[places[record]]
                assert event is not None  # noqa: S101 - it is in a chain
                event.update({"chain.id": chain["chain.id"], "chain.id_source": source})
        hits = {}
        for stem, rule in self.rules.items():
            if not isinstance(rule, Correlation) and rule.logsource.service == "chain":
                holds = holding(expanded(condition(rule, self.chains), self.macros))
                hits[stem] = {row["_id"] for row in found if holds(row) is True}
        return chains, hits

    def pasted(self, search: str, records: Sequence[Mapping[str, Any] | bytes], tables: Tables) -> set[int]:
        """Places of the records that one search leaves."""
        rows = run(search, {"mcp": indexed(records)}, self.macros, self.lookups(tables))
        return {int(row["_place"]) for row in rows}

    def pasted_chains(
        self, search: str, records: Sequence[Mapping[str, Any] | bytes], tables: Tables, now: datetime | None
    ) -> set[str]:
        """Ids of the chains that one search leaves, started at that time."""
        STARTED.set((now or LAST).timestamp())
        rows = run(search, {"mcp": indexed(records)}, self.macros, self.lookups(tables))
        return {dated(row["chain.id"]) for row in rows}

    def lookups(self, tables: Tables) -> Lookups:
        """The register's lookups."""
        return lookups(tables, self.sources.never, self.sources.client_ids)


@cache
def _pipelines() -> list[list[str]]:
    """The commands of the event view, of the chain view, and of what emitters' records say together."""
    known = {name: Macro(text, arguments) for name, (text, arguments) in macros(views()).items()}
    names = ("countersign_events", "countersign_chains", "countersign_evidence")
    return [commands(expanded(f"`{name}`", known)) for name in names]


DEFAULTS = {
    "host": "gateway",
    "index": "mcp",
    "linecount": "1",
    "punct": "{",
    "source": "http:mcp",
    "sourcetype": "countersign:event",
    "splunk_server": "indexer",
    "timestamp": "none",
}
"""Fields that Splunk gives every record (Knowledge Manager Manual, "Use default fields"); some bear names of ours."""


def indexed(records: Sequence[Mapping[str, Any] | bytes]) -> list[Row]:
    """Records as the index gives them: the text of the line, its fields, and a place, as ``_cd`` is one."""
    rows = []
    for place, record in enumerate(records):
        raw = record.decode() if isinstance(record, bytes) else json.dumps(record, ensure_ascii=False)
        found = extracted(json.loads(raw, parse_int=str, parse_float=str))
        rows.append({"_raw": raw, "_place": place, **DEFAULTS, **found})
    return rows


def shown(row: Row, vocabulary: Vocabulary) -> dict[str, Any]:
    """A row's fields in the types of the schema, times as RFC 3339."""
    out: dict[str, Any] = {}
    for name, field in vocabulary.fields.items():
        if name in TIMES and row.get(TIMES[name]) is not None:
            out[name] = _rfc3339(row[TIMES[name]])
        elif row.get(name) is not None:
            out[name] = (
                [_typed(field, item) for item in several(row[name])] if field.array else _typed(field, row[name])
            )
    return out


def _rfc3339(microseconds: Any) -> str:
    return f"{EPOCH + timedelta(microseconds=int(float(microseconds))):%Y-%m-%dT%H:%M:%S.%f}Z"


def dated(chain: str) -> str:
    """An id that several chains share ends in the begin of its own, here in words."""
    return re.sub(r"@(\d{16})$", lambda found: f"@{_rfc3339(found[1])}", chain)


def _typed(field: Field, value: Any) -> Any:
    if field.kind == "boolean":
        return {"true": True, "false": False}[value]
    if field.kind in {"number", "integer"}:
        found = float(value)
        return int(found) if found.is_integer() else found
    return value if isinstance(value, str) else str(value)
