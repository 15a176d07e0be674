"""What the sources of a scan can never say, and which rules that makes blind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sigma.rule import SigmaDetection, SigmaDetectionItem

from backends.concepts import CONCEPTS
from backends.duckdb.engine import STAGES, Engine
from harness.finding import Blind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backends.sources import SourceMaps
    from harness.ruleset import Rule


def blind_spots(engine: Engine, maps: SourceMaps, rules: Sequence[Rule]) -> tuple[Blind, ...]:
    """One a source, stage and concept, with the rules that stay quiet for it and what would mend it."""
    rows = engine.connection.execute(
        "SELECT dataset, stage, blind, count(*) FROM ev WHERE blind <> 0 AND stage IS NOT NULL GROUP BY ALL ORDER BY ALL",
    ).fetchall()
    counts: dict[tuple[str, str, str], int] = {}
    for dataset, stage, bits, count in rows:
        for bit, concept in enumerate(CONCEPTS):
            if bits >> bit & 1:
                place = (dataset, STAGES[stage - 1], concept)
                counts[place] = counts.get(place, 0) + count
    needs = {rule.stem: frozenset(needed(rule)) for rule in rules}
    spots = []
    for (dataset, stage, concept), count in sorted(counts.items()):
        blinded = tuple(rule.stem for rule in rules if (stage, concept) in needs[rule.stem])
        if blinded:
            remedy = maps[dataset].settings.get(concept, "") if dataset in maps else ""
            spots.append(Blind(dataset, stage, concept, count, blinded, remedy))
    return tuple(spots)


def needed(rule: Rule) -> Iterator[tuple[str, str]]:
    """(stage, concept) without which the rule stays quiet, from its ``filter_*`` on blindness."""
    detections = [item for part in rule.parts for item in part.detection.detections.items()]
    for name, detection in detections:
        if not name.startswith("filter_"):
            continue
        for field, value in _items(detection):
            stage, dot, concept = value.partition(".")
            if field == "chain.blind" and dot:
                yield stage, concept
            elif field == "event.blind":
                yield from ((at, value) for at in rule.stages or ("tool_call",))


def _items(detection: Any) -> Iterator[tuple[str, str]]:
    for item in detection.detection_items:
        if isinstance(item, SigmaDetection):
            yield from _items(item)
        elif isinstance(item, SigmaDetectionItem) and item.field:
            for value in item.value:
                yield item.field, str(value)
