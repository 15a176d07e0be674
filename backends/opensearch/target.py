"""The OpenSearch target: monitors of the Alerting plugin, as Dev Tools takes them, over events that the pipeline judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.correlation import Correlation
from backends.opensearch.backend import query
from backends.opensearch.correlate import search, trigger
from backends.opensearch.register import pipeline, text
from backends.opensearch.sources import source_pipelines
from backends.opensearch.template import template
from backends.sources import SourceMaps
from backends.target import Inexpressible, Target, Wanted, fields_read
from backends.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sigma.rule import SigmaRule

INDEX = "countersign-events"
LATE = frozenset({"event.sequence_gap", "event.hash_broken", "chain.id", "chain.id_source"})
"""Event facts that only several records together say: the pipeline sees one."""

HOP_MINUTES, LATE_MINUTES, SHOWN = 60, 5, 100
REQUEST = "POST _plugins/_alerting/monitors\n"
_SEVERITY = {"critical": "1", "high": "2", "medium": "3", "low": "4", "informational": "5"}


def compiled(wanted: Wanted, events: Vocabulary, _chains: Vocabulary) -> str:
    """One monitor, ready to paste into Dev Tools.

    Raises:
        Inexpressible: one sentence that names rule, construct and the nearest that works.
    """
    judged = wanted.judged
    if wanted.of_chains:
        raise Inexpressible(
            f"rule {wanted.stem!r} judges chains, and a monitor joins no records; run `countersign scan` or the Spark job "
            "over the same logs, or take this rule on a product that joins"
        )
    for part in wanted.parts:
        if late := sorted(fields_read(part) & LATE):
            raise Inexpressible(f"rule {part.title!r} reads {late[0]}, which only an emitter's records together say")
    reach = judged.window_us // 60_000_000 + 1 if isinstance(judged, Correlation) else 0
    bound = {"gte": f"{{{{period_end}}}}||-{HOP_MINUTES + LATE_MINUTES + reach}m", "format": "epoch_millis"}
    time = {"range": {"@timestamp": {**bound, "lte": f"{{{{period_end}}}}||-{LATE_MINUTES}m"}}}
    if isinstance(judged, Correlation):
        body, condition, level = search(judged, events, time), trigger(judged), judged.rule.level
    else:
        body = {"size": SHOWN, "query": {"bool": {"filter": [time, query(judged, events)]}}}
        condition, level = "ctx.results[0].hits.total.value > 0", judged.level
    return REQUEST + json.dumps(_monitor(wanted.stem, body, condition, str(level)), indent=2, ensure_ascii=False) + "\n"


def _monitor(stem: str, body: Mapping[str, Any], condition: str, level: str) -> dict[str, Any]:
    script = {"source": condition, "lang": "painless"}
    severity = _SEVERITY.get(level.lower(), "3")
    return {
        "type": "monitor",
        "monitor_type": "query_level_monitor",
        "name": f"countersign {stem}",
        "enabled": True,
        "schedule": {"period": {"interval": HOP_MINUTES, "unit": "MINUTES"}},
        "inputs": [{"search": {"indices": [INDEX], "query": body}}],
        "triggers": [
            {
                "query_level_trigger": {
                    "name": stem,
                    "severity": severity,
                    "condition": {"script": script},
                    "actions": [],
                }
            }
        ],
    }


def takes(rule: SigmaRule | Correlation, events: Vocabulary, chains: Vocabulary) -> bool:
    """Whether the target takes a rule."""
    try:
        compiled(Wanted("asked", rule), events, chains)
    except Inexpressible:
        return False
    return True


def made(root: Path) -> dict[str, str]:
    """The index template, the pipeline of the facts with an empty register, and one pipeline a source map."""
    events = Vocabulary.load(root / "schemas" / "event.schema.json")
    never = [
        (name, stage, tuple(what))
        for name, one in SourceMaps.load(root / "schemas" / "sources").items()
        for stage, what in one.never.items()
    ]
    return {
        "template.json": text(template(events)),
        f"pipeline-{INDEX}.json": text(pipeline(events, {}, never)),
        **source_pipelines(root),
    }


def _views() -> dict[str, str]:
    folder = Path(__file__).parent / "views"
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())}


TARGET = Target(
    name="opensearch",
    product="OpenSearch 2 and 3, Alerting monitors",
    language="OpenSearch query DSL",
    suffix=".console",
    comment=lambda text: "".join(f"# {line}".rstrip() + "\n" for line in text.splitlines()),
    change={
        INDEX: "your index, which has the pipeline of views/ as its default",
        "period_end": "Alerting's own word for when a monitor runs; nothing to change",
        "actions": "where an alert goes",
    },
    compile=compiled,
    views=_views(),
    made=made,
)
