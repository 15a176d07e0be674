"""What a rule means to the people who live with it: what it reads, what a missing field does, what it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml
from sigma.rule import SigmaDetection, SigmaDetectionItem
from sigma.types import SigmaExists, SigmaNull

from backends.correlation import ORDERED
from backends.duckdb import backend
from backends.target import Inexpressible
from harness.case import load
from harness.taxonomy import title_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from backends.vocabulary import Field, Vocabulary
    from harness.case import Case
    from harness.ruleset import Rule

OURS = "countersign"
BLIND = ("event.blind", "chain.blind")
"""Fields that say what a source can never supply; a filter on them keeps a rule from alerting on blindness."""


@dataclass(frozen=True)
class Reading:
    """One field that the rule reads.

    Attributes:
        field: dotted name.
        about: its meaning.
        origin: who supplies it, in one sentence.
        stages: stages whose records may carry it.
        missing: what the rule makes of its absence, one phrase for each part of the rule that reads it.
    """

    field: str
    about: str
    origin: str
    stages: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """Everything that ``countersign explain`` says, in the order in which it says it."""

    number: int | None
    stem: str
    title: str
    level: str
    kind: str
    chapter: str
    service: str
    id: str
    file: str
    description: str
    condition: tuple[str, ...]
    detections: Mapping[str, str]
    reads: tuple[Reading, ...]
    blind: tuple[str, ...]
    stages: tuple[str, ...]
    needs_register: tuple[str, ...]
    sharpened_by: tuple[str, ...]
    group_by: tuple[str, ...]
    period_sec: int
    sentence: str
    fields: tuple[str, ...]
    false_positives: tuple[str, ...]
    references: tuple[str, ...]
    tags: Mapping[str, str | None]
    cases: tuple[Mapping[str, str], ...]
    duckdb: str


def explain(rule: Rule, vocabularies: Mapping[str, Vocabulary], cases_schema: Path) -> Explanation:
    """Gather what is said of a rule.

    Args:
        rule: the rule.
        vocabularies: the fields of an event and of a chain record, by service.
        cases_schema: ``cases.schema.json``.

    Raises:
        Mistakes: its cases cannot be read.
    """
    vocabulary = vocabularies[rule.service]
    parts = list(_parts(rule))
    return Explanation(
        number=rule.number,
        stem=rule.stem,
        title=rule.title,
        level=rule.level,
        kind=rule.kind,
        chapter=rule.chapter,
        service=rule.service,
        id=rule.id,
        file=str(rule.path),
        description=" ".join(str(rule.sigma.description or "").split()),
        condition=_condition(rule),
        detections={name: _as_written(part) for name, part in _detections(rule)},
        reads=tuple(_readings(parts, vocabulary)),
        blind=tuple(str(value) for where, item in parts if _spares_blind(where, item) for value in item.value),
        stages=rule.stages,
        needs_register=rule.needs_register,
        sharpened_by=rule.sharpened_by,
        group_by=rule.group_by,
        period_sec=rule.period_sec,
        sentence=rule.sentence,
        fields=rule.fields,
        false_positives=tuple(rule.sigma.falsepositives or ()),
        references=tuple(rule.sigma.references or ()),
        tags={str(tag): title_of(str(tag)) for tag in rule.sigma.tags},
        cases=tuple(_told(case) for case in _cases(rule, vocabularies["event"], cases_schema)),
        duckdb=_compiled(rule, vocabulary),
    )


def _as_written(detection: SigmaDetection) -> str:
    """The tests of a selection or filter in Sigma's own form."""
    return str(yaml.safe_dump(detection.to_plain(), sort_keys=False, allow_unicode=True)).strip()


def _detections(rule: Rule) -> Iterator[tuple[str, SigmaDetection]]:
    """The selections and filters; those of a correlation's base rules are named ``base.selection``."""
    if rule.correlation is None:
        yield from rule.parts[0].detection.detections.items()
        return
    for step in rule.correlation.steps:
        for name, detection in step.rule.detection.detections.items():
            yield f"{step.name}.{name}", detection


def _condition(rule: Rule) -> tuple[str, ...]:
    correlation = rule.correlation
    if correlation is None:
        return tuple(rule.parts[0].detection.condition)
    first = correlation.steps[0]
    names = (" then " if correlation.kind == ORDERED else " and ").join(step.name for step in correlation.steps)
    by = f" by {' and '.join(first.key)}" if first.key else ""
    told = {
        "event_count": f"{correlation.least} or more of {names}",
        "value_count": f"{correlation.least} or more different {first.value} in {names}",
    }.get(correlation.kind, names)
    bases = (f"{step.name}: {condition}" for step in correlation.steps for condition in step.rule.detection.condition)
    return (f"{told} within {correlation.window_us // 1_000_000} s{by}", *bases)


def _parts(rule: Rule) -> Iterator[tuple[str, SigmaDetectionItem]]:
    """Every test of the rule with the name of the selection or filter that it stands in."""
    for name, detection in _detections(rule):
        waiting: list[SigmaDetection | SigmaDetectionItem] = [detection]
        while waiting:
            part = waiting.pop(0)
            if isinstance(part, SigmaDetection):
                waiting = [*part.detection_items, *waiting]
            else:
                yield name, part


def _spares_blind(where: str, item: SigmaDetectionItem) -> bool:
    return where.rpartition(".")[2].startswith("filter_") and item.field in BLIND


def _readings(parts: list[tuple[str, SigmaDetectionItem]], vocabulary: Vocabulary) -> Iterator[Reading]:
    for name in dict.fromkeys(item.field for _, item in parts if item.field):
        field = vocabulary.fields[name]
        said = dict.fromkeys(f"{where}: {_absent(where, item)}" for where, item in parts if item.field == name)
        yield Reading(name, field.description, _origin(field), field.stages, tuple(said))


def _origin(field: Field) -> str:
    if field.derived:
        return "Computed by the view; a value that arrives in a log is overwritten."
    source = field.source
    return (
        f"From the log (a name of {source.standard} {source.version})." if source.standard != OURS else "From the log."
    )


def _absent(where: str, item: SigmaDetectionItem) -> str:
    wants_absence = any(
        isinstance(value, SigmaNull) or (isinstance(value, SigmaExists) and not value.exists) for value in item.value
    )
    if where.rpartition(".")[2].startswith("filter_"):
        return "its absence is what the filter looks for" if wants_absence else "absent, the filter does not apply"
    return "its absence is what the rule looks for" if wants_absence else "absent is unknown, and the rule stays quiet"


def _cases(rule: Rule, vocabulary: Vocabulary, schema: Path) -> list[Case]:
    return load(rule.cases, schema, vocabulary) if rule.cases.exists() else []


def _told(case: Case) -> Mapping[str, str]:
    return {"expect": "fire" if case.fires else "quiet", "case": case.sentence, "why": case.why}


def _compiled(rule: Rule, vocabulary: Vocabulary) -> str:
    try:
        return "\n".join(backend.expression(part, vocabulary) for part in rule.parts)
    except Inexpressible as refused:
        return f"not expressible: {refused}"
