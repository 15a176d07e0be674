"""The Spark target: what a rule looks like in Spark SQL, and what lies beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from backends.correlation import Correlation
from backends.duckdb.target import LATE
from backends.spark.backend import condition
from backends.spark.correlate import correlated
from backends.spark.views import CHAINS, EVENTS, quoted
from backends.target import Inexpressible, Target, Wanted, fields_read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sigma.rule import SigmaRule

    from backends.vocabulary import Vocabulary

GRACE_US = 300_000_000
"""How long a chain may still grow after its last record, microseconds."""


def compiled(wanted: Wanted, events: Vocabulary, chains: Vocabulary) -> str:
    """One query, ready to run: table, time, rule.

    Raises:
        Inexpressible: one sentence that names rule, construct and the nearest that works.
    """
    judged = wanted.judged
    if isinstance(judged, Correlation):
        if wanted.of_chains:
            raise Inexpressible(f"rule {judged.rule.title!r} is correlated and judges chains; correlate events")
        hits = correlated(judged, [checked(step.rule, events) for step in judged.steps])
        return f"SELECT * FROM {EVENTS}\nWHERE `@timestamp` BETWEEN countersign_since AND countersign_until AND rid IN (\n{hits})\n"
    if wanted.of_chains:
        settled = f"`chain.end` BETWEEN countersign_since AND countersign_until - {GRACE_US}"
        return f"SELECT * FROM {CHAINS}\nWHERE {settled}\nAND ({condition(judged, chains)})\n"
    time = "`@timestamp` BETWEEN countersign_since AND countersign_until"
    return f"SELECT * FROM {EVENTS}\nWHERE {time}\nAND ({checked(judged, events)})\n"


def checked(rule: SigmaRule, events: Vocabulary) -> str:
    """The condition of a rule on events; raises `Inexpressible`."""
    if late := sorted(fields_read(rule) & LATE):
        raise Inexpressible(f"rule {rule.title!r} reads {late[0]}, which only an emitter's records together say")
    return condition(rule, events)


VIEWS: Mapping[str, str] = {
    path.name: path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parent / "views").glob("*.sql"))
}
LACKS: Mapping[str, str] = {}
"""Facts that Spark can't compute, with the reason and the nearest that works."""

TARGET = Target(
    name="spark",
    product="Apache Spark 4 and Databricks (SQL)",
    language="Spark SQL",
    suffix=".sql",
    comment=lambda text: "".join(f"-- {line}".rstrip() + "\n" for line in text.splitlines()),
    change={
        EVENTS: "the table that views/events.sql makes, with your catalog and schema in front",
        CHAINS: "the table that views/chain.sql makes",
        "countersign_since": "session variable: from when on records are judged, microseconds since 1970",
        "countersign_until": "session variable: until when",
    },
    compile=compiled,
    views=VIEWS,
    spelled=quoted,
)
