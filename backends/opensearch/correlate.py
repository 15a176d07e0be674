"""Correlations as a monitor holds them: a search that gathers the records of each key, and a trigger that slides over them.

The search looks back over its hop and the window. What it gathers is the time, the counted value and the id of each
record, by key and step; the trigger's script then slides a window over them, so no edge of a bucket or schedule matters.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.opensearch.backend import query
from backends.target import Inexpressible

if TYPE_CHECKING:
    from backends.correlation import Correlation, Step
    from backends.vocabulary import Vocabulary

SLIDE = (Path(__file__).parent / "views" / "slide.painless").read_text(encoding="utf-8")
KEYS = 1_000
"""Keys that one run of a monitor looks at; a run that finds more says so by an ``after_key``."""


def search(correlation: Correlation, vocabulary: Vocabulary, time: dict[str, Any]) -> dict[str, Any]:
    """The search's body.

    Args:
        correlation: what must come together.
        vocabulary: the event's fields.
        time: the query that bounds it.

    Raises:
        Inexpressible: what a monitor can't hold.
    """
    keys = {step.key for step in correlation.steps}
    title = correlation.rule.title
    if len(keys) > 1:
        raise Inexpressible(
            f"rule {title!r} groups its steps by different fields, and a search groups by one; give them one field at ingest"
        )
    (key,) = keys
    many = [name for name in key if vocabulary.fields[name].array]
    if many:
        raise Inexpressible(f"rule {title!r} groups by {many[0]!r}, which holds many values; group by a field of one")
    conditions = [_taking_part(step, query(step.rule, vocabulary)) for step in correlation.steps]
    asked = {"bool": {"filter": [time, {"bool": {"should": conditions, "minimum_should_match": 1}}]}}
    steps = {
        f"step_{number}": {"filter": condition, "aggs": {"records": {"scripted_metric": _gathered(step, vocabulary)}}}
        for number, (step, condition) in enumerate(zip(correlation.steps, conditions, strict=True))
    }
    if not key:
        grouped: dict[str, Any] = {"filters": {"filters": [{"match_all": {}}]}}
    else:
        sources = [{f"key_{at}": {"terms": {"field": name}}} for at, name in enumerate(key)]
        grouped = {"composite": {"size": KEYS, "sources": sources}}
    return {"size": 0, "query": asked, "aggs": {"keys": {**grouped, "aggs": steps}}}


def _taking_part(step: Step, condition: dict[str, Any]) -> dict[str, Any]:
    """A record without the counted value takes no part; nor does one without a key, which no bucket holds."""
    return {"bool": {"filter": [condition, {"exists": {"field": step.value}}]}} if step.value else condition


def _gathered(step: Step, vocabulary: Vocabulary) -> dict[str, Any]:
    value = "null"
    if step.value:
        at = step.value if vocabulary.fields[step.value].kind == "keyword" else f"{step.value}.written"
        value = f"doc['{at}'].size() == 0 ? null : doc['{at}'].value"
    return {
        "init_script": "state.records = []",
        "map_script": (
            f"state.records.add([doc['countersign.time_us'].value, {value}, "
            "doc['countersign.record'].size() == 0 ? null : doc['countersign.record'].value])"
        ),
        "combine_script": "return state.records",
        "reduce_script": "List all = []; for (def part : states) all.addAll(part); return all",
    }


def trigger(correlation: Correlation, answer: str = "return !fired(ctx, P).isEmpty();") -> str:
    """The script of the trigger; ``answer`` is its last line, in which ``P`` stands for what the correlation asks."""
    asked = (
        f"['kind': '{correlation.kind}', 'window': {correlation.window_us}L, "
        f"'least': {correlation.least}, 'steps': {len(correlation.steps)}]"
    )
    return SLIDE + answer.replace("P", asked)
