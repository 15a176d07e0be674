"""A Sigma filter in a folder of one's own: read, checked, and laid over the rules that it names.

"Sigma Filters Specification" 2.1.0. A filter narrows a rule: its condition is added to the rule's with AND. pySigma
does the same under random names (`SigmaFilter.apply_on_rule`); here the names say which filter a term comes from.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sigma.exceptions import SigmaError, SigmaRuleLocation
from sigma.filters import SigmaFilter
from sigma.rule import SigmaDetections

from backends.correlation import Correlation
from harness.rule_file import PRODUCT, SERVICES, service_of, unknown_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sigma.rule import SigmaRule

    from backends.errors import Mistake
    from backends.marked_yaml import MarkedYaml
    from backends.vocabulary import Vocabulary
    from harness.ruleset import Rule

ANY = "any"
_WORD = re.compile(r"[\w*-]+")
_KEYWORDS = frozenset({"not", "and", "or", "all", "any", "1", "of"})
_BROUGHT = re.compile(r"_[0-9]+_(.*?)__(.*)")


@dataclass(frozen=True)
class Filter:
    """One filter.

    Attributes:
        path: its file.
        marks: the file's lines.
        sigma: the filter itself.
        service: ``event`` or ``chain``.
        names: ids or names of the rules that it narrows; None for all of its service.
    """

    path: Path
    marks: MarkedYaml
    sigma: SigmaFilter
    service: str
    names: tuple[str, ...] | None

    @property
    def stem(self) -> str:
        """Its file name without suffix."""
        return self.path.stem

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of its selections."""
        return tuple(self.sigma.filter.detections)

    def narrows(self, rule: SigmaRule) -> bool:
        """Whether it is laid over this rule on single records."""
        if rule.logsource.service != self.service:
            return False
        return self.names is None or any(_names(name, rule) for name in self.names)


def read_filter(
    marks: MarkedYaml, path: Path, vocabularies: Mapping[str, Vocabulary]
) -> tuple[Filter | None, list[Mistake]]:
    """The filter of a YAML file, as far as it can be read, and what is wrong with it but for the rules it names."""
    found: list[Mistake] = []
    service = service_of(marks.data.get("logsource"))
    if service is None:
        message = f"logsource is product {PRODUCT} with service {' or '.join(SERVICES)}, like the rules'"
        found.append(marks.mistake(("logsource",), message))
    else:
        found += unknown_fields(marks, vocabularies[service], service, "filter")
    try:
        sigma = SigmaFilter.from_dict(marks.data, collect_errors=True, source=SigmaRuleLocation(path))
        errors: list[Exception] = list(sigma.errors) or list(_broken(sigma))
    except (SigmaError, TypeError, ValueError, AttributeError) as wrong:  # pySigma trusts the types that YAML gives
        return None, [*found, marks.mistake(("filter",), f"this is no Sigma filter: {_words(wrong)}")]
    found += [marks.mistake(_place(error), f"this is no Sigma filter: {_words(error)}") for error in errors]
    if errors or service is None:
        return None, found
    rules = sigma.filter.rules
    names = None if isinstance(rules, str) else tuple(str(each.reference) for each in rules)
    return Filter(path, marks, sigma, service, names), found


def _broken(sigma: SigmaFilter) -> Iterator[Exception]:
    try:
        for condition in SigmaDetections(sigma.filter.detections, sigma.filter.condition).parsed_condition:
            condition.parsed  # noqa: B018 - parsed at the first look
    except SigmaError as wrong:
        yield wrong


def _words(error: Exception) -> str:
    return str(error.args[0] if error.args else type(error).__name__).rstrip(".")


def _place(error: Exception) -> tuple[str, ...]:
    name = type(error).__name__
    if "Logsource" in name:
        return ("logsource",)
    if "Condition" in name:
        return ("filter", "condition")
    return ("filter", "rules") if "Reference" in name else ("filter",)


def strangers(one: Filter, rules: Iterable[Rule]) -> Iterator[Mistake]:
    """What a filter names that is no rule on records of its service."""
    known = list(rules)
    for number, name in enumerate(one.names or ()):
        if any(_names(name, part) and part.logsource.service == one.service for rule in known for part in rule.parts):
            continue
        yield one.marks.mistake(("filter", "rules", number), _stranger(name, one.service, known))


def _stranger(name: str, service: str, rules: Sequence[Rule]) -> str:
    for rule in rules:
        called = name in {rule.id, rule.stem, rule.path.stem, rule.title} or name.lower() == rule.id
        if called and rule.correlation:
            bases = " or ".join(f"{part.name} ({part.id})" for part in rule.parts)
            return f"{name} is a correlation, and a filter narrows single records; name its base rule {bases}"
        if any(_names(name, part) for part in rule.parts):
            return f"{name} judges {rule.service} records, and this filter's logsource is service {service}"
        if called:
            return f"a filter names a rule by its id; that of {rule.stem} is {rule.id}"
    return f"no rule has the id or name {name!r}; 'countersign explain RULE' tells the id of one"


def narrowed(rule: Rule, filters: Sequence[Filter]) -> Rule:
    """The rule with every filter laid over it that names it."""
    if isinstance(rule.correlation, Correlation):
        steps = tuple(replace(step, rule=_narrowed(step.rule, filters)) for step in rule.correlation.steps)
        return replace(rule, correlation=replace(rule.correlation, steps=steps))
    return replace(rule, sigma=_narrowed(rule.parts[0], filters))


def _narrowed(rule: SigmaRule, filters: Sequence[Filter]) -> SigmaRule:
    detections, conditions = dict(rule.detection.detections), list(rule.detection.condition)
    for number, one in enumerate(filters):
        if not one.narrows(rule):
            continue
        # a name that begins with _ is in no "1 of …" of the rule, and the number keeps two filters apart
        prefix = f"_{number}_{re.sub('[^a-zA-Z0-9]+', '_', one.stem)}__"
        detections |= {prefix + name: detection for name, detection in one.sigma.filter.detections.items()}
        condition = _WORD.sub(lambda word, prefix=prefix: _renamed(word[0], prefix), one.sigma.filter.condition[0])  # type: ignore[misc]
        conditions = [f"({each}) and ({condition})" for each in conditions]
    if len(detections) == len(rule.detection.detections):
        return rule
    copied = copy.copy(rule)
    copied.detection = SigmaDetections(detections, conditions, rule.detection.source)
    return copied


def _renamed(word: str, prefix: str) -> str:
    if word in _KEYWORDS:
        return word
    return f"{prefix}*" if word == "them" else prefix + word


def _names(name: str, rule: SigmaRule) -> bool:
    try:
        return UUID(name) == rule.id
    except ValueError:
        return rule.name is not None and name == rule.name


def part_in_words(name: str) -> str:
    """A part's name as a person knows it; of one that a filter brought, the filter's too."""
    brought = _BROUGHT.fullmatch(name)
    return f"{brought[2]} of your filter {brought[1]}" if brought else name


def document(marks: MarkedYaml) -> bool:
    """Whether a YAML document is a filter."""
    data: Any = marks.data
    return isinstance(data, dict) and "filter" in data and "detection" not in data and "correlation" not in data
