"""One Sigma file: read, parsed, and everything that is wrong with it, each at its line.

A file holds one rule; or one correlation and, in documents of their own, the base rules that only it uses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaError, SigmaRuleLocation
from sigma.rule import SigmaRule

from backends import correlation
from backends.marked_yaml import MarkedYaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from backends.correlation import Correlation
    from backends.errors import Mistake
    from backends.vocabulary import Vocabulary

PRODUCT = "mcp"
SERVICES = ("event", "chain")
LEVELS = ("informational", "low", "medium", "high", "critical")
_NO_SELECTIONS = {"detection": {"condition"}, "filter": {"condition", "rules"}}
_FILE = re.compile(r"(correlation_)?mcp_[a-z0-9_]+\.yml")
_OWN_FILE = re.compile(r"[a-z0-9_]{3,90}\.yml")


@dataclass(frozen=True)
class RuleFile:
    """What a file says.

    Attributes:
        path: the file.
        sigma: the rule or correlation; None where it can't be parsed.
        service: ``event`` or ``chain``; None where the logsource is another.
        mistakes: what is wrong with it.
        correlation: the correlation over its base rules; None for a rule on single records.
    """

    path: Path
    sigma: SigmaRule | SigmaCorrelationRule | None
    service: str | None
    mistakes: tuple[Mistake, ...]
    correlation: Correlation | None = None

    @property
    def level(self) -> str | None:
        """Sigma's level in small letters."""
        return self.sigma.level.name.lower() if self.sigma and self.sigma.level else None


def read_rule(path: Path, folder: Path, vocabularies: Mapping[str, Vocabulary], *, own: bool = False) -> RuleFile:
    """Read one file; nothing is raised, what is wrong is in ``mistakes``.

    Args:
        path: the file.
        folder: the folder of rules that it lies under.
        vocabularies: the fields of an event and of a chain record, by service.
        own: the folder is a person's own, who names and orders files at will.
    """
    documents = MarkedYaml.read_all(path)
    if documents[0].mistakes:
        return RuleFile(path, None, None, tuple(documents[0].mistakes))
    for marks in documents:
        if not isinstance(marks.data, dict):
            message = "this is no Sigma rule: the file holds no YAML map"
            return RuleFile(path, None, None, (marks.mistake((), message),))
    misplaced = _misnamed(path) if own else _misplaced(path, folder)
    found = [documents[0].mistake((), message) for message in misplaced]
    correlations = [marks for marks in documents if "correlation" in marks.data]
    if not correlations:
        if len(documents) > 1:
            found.append(
                documents[1].mistake((), "a file holds one rule; only the base rules of a correlation share one")
            )
        sigma, service, wrong = _read_single(documents[0], path, vocabularies)
        return RuleFile(path, sigma, service, tuple(found + wrong))
    bases = [marks for marks in documents if "correlation" not in marks.data]
    if not own and not path.name.startswith("correlation_"):
        message = "the file of a correlation is called correlation_mcp_<stem>.yml, as SigmaHQ asks"
        found.append(correlations[0].mistake((), message))
    return _read_correlation(path, correlations, bases, vocabularies, found)


def _read_single(
    marks: MarkedYaml, path: Path, vocabularies: Mapping[str, Vocabulary]
) -> tuple[SigmaRule | None, str | None, list[Mistake]]:
    """A rule on single records, its service, and what is wrong with it."""
    sigma, found = _parsed(marks, path)
    service = service_of(marks.data.get("logsource"))
    if service is None:
        message = f"logsource is product {PRODUCT} with service {' or '.join(SERVICES)}"
        found.append(marks.mistake(("logsource",), message))
    else:
        found += unknown_fields(marks, vocabularies[service], service)
    return sigma, service, found + _unnamed(sigma, marks)


def _unnamed(sigma: SigmaRule | SigmaCorrelationRule | None, marks: MarkedYaml) -> list[Mistake]:
    found = []
    if sigma is not None and sigma.id is None:
        found.append(marks.mistake((), "the rule has no id; give it a UUID of version 4"))
    if sigma is not None and sigma.level is None:
        found.append(marks.mistake((), f"the rule has no level; it is one of {', '.join(LEVELS)}"))
    return found


def _read_correlation(
    path: Path,
    correlations: Sequence[MarkedYaml],
    documents: Sequence[MarkedYaml],
    vocabularies: Mapping[str, Vocabulary],
    found: list[Mistake],
) -> RuleFile:
    marks = correlations[0]
    if len(correlations) > 1:
        found.append(correlations[1].mistake((), "a file holds one correlation"))
    bases: dict[str, SigmaRule] = {}
    for document in documents:
        rule, service, wrong = _read_single(document, path, vocabularies)
        found += wrong
        if service == "chain":
            found.append(document.mistake(("logsource", "service"), "a correlation counts events, not chains"))
        name = document.data.get("name")
        if not isinstance(name, str):
            found.append(document.mistake((), "a base rule has a name, by which the correlation calls it"))
        elif rule is not None:
            bases[name] = rule
    try:
        sigma = SigmaCorrelationRule.from_dict(marks.data, collect_errors=True, source=SigmaRuleLocation(path))
    except (SigmaError, TypeError, ValueError, AttributeError, UnboundLocalError) as wrong_rule:
        found.append(marks.mistake(("correlation",), f"this is no Sigma correlation: {_words(wrong_rule)}"))
        return RuleFile(path, None, "event", tuple(found))
    found += [marks.mistake(("correlation",), f"this is no Sigma correlation: {_words(e)}") for e in sigma.errors]
    found += _unnamed(sigma, marks)
    if not found:
        said = correlation.mistakes(sigma, bases, vocabularies["event"])
        found += [marks.mistake(("correlation", key), message) for key, message in said]
    resolved = None if found else correlation.resolved(sigma, bases)
    return RuleFile(path, sigma, "event", tuple(found), resolved)


def _misplaced(path: Path, folder: Path) -> Iterator[str]:
    if not _FILE.fullmatch(path.name):
        yield "the file of a rule is called mcp_<stem>.yml, in small letters, digits and underscores"
    if len(path.relative_to(folder).parts) != 2:  # noqa: PLR2004 - chapter and file
        yield "a rule lies in the folder of its chapter, and a chapter right under the folder of rules"


def _misnamed(path: Path) -> Iterator[str]:
    if not _OWN_FILE.fullmatch(path.name):
        yield "the file of a rule is called <stem>.yml, the stem in 3 to 90 small letters, digits and underscores"


def _parsed(marks: MarkedYaml, path: Path) -> tuple[SigmaRule | None, list[Mistake]]:
    """The rule, and what pySigma has against it, at the line of the key that it speaks of."""
    try:
        rule = SigmaRule.from_dict(marks.data, collect_errors=True, source=SigmaRuleLocation(path))
        errors: list[Exception] = list(rule.errors)
        if not errors:
            errors += _broken_conditions(rule)
    except (SigmaError, TypeError, ValueError, AttributeError) as wrong:  # pySigma trusts the types that YAML gives
        return None, [marks.mistake((), f"this is no Sigma rule: {_words(wrong)}")]
    return rule, [
        marks.mistake(_place(error, marks.data), f"this is no Sigma rule: {_words(error)}") for error in errors
    ]


def _broken_conditions(rule: SigmaRule) -> Iterator[Exception]:
    for condition in rule.detection.parsed_condition:
        try:
            condition.parsed  # noqa: B018 - parsed at the first look
        except SigmaError as wrong:
            yield wrong


def _words(error: Exception) -> str:
    return str(error.args[0] if error.args else type(error).__name__).rstrip(".")


def _place(error: Exception, data: Mapping[str, Any]) -> tuple[str, ...]:
    name = type(error).__name__.removeprefix("Sigma").removesuffix("Error").lower()
    if name == "condition":
        return ("detection", "condition")
    return next(((key,) for key in data if isinstance(key, str) and name.startswith(key[:-1] or key)), ())


def service_of(source: Any) -> str | None:
    """``event`` or ``chain`` where a logsource names one of our product; None for any other."""
    if not isinstance(source, dict) or source.get("product") != PRODUCT:
        return None
    service = source.get("service")
    return service if service in SERVICES else None


def unknown_fields(
    marks: MarkedYaml, vocabulary: Vocabulary, service: str, section: str = "detection"
) -> Iterator[Mistake]:
    """Fields that the selections of a rule's ``detection`` or a filter's ``filter`` read and no schema declares."""
    detection = marks.data.get(section)
    waiting: list[tuple[tuple[str | int, ...], Any]] = []
    if isinstance(detection, dict):
        waiting += [((section, name), part) for name, part in detection.items() if name not in _NO_SELECTIONS[section]]
    while waiting:
        place, part = waiting.pop()
        if isinstance(part, list):
            waiting += [((*place, number), item) for number, item in enumerate(part)]
        elif isinstance(part, dict):
            for key, value in part.items():
                name, *modifiers = str(key).split("|")
                for field in [name, *(_texts(value) if "fieldref" in modifiers else ())]:
                    if field not in vocabulary.fields:
                        yield marks.mistake((*place, str(key)), unknown_field(field, vocabulary, service))
        elif isinstance(part, str):
            yield marks.mistake(place, f"{part!r} is searched in no field; name the field to search")


def _texts(value: Any) -> list[str]:
    return [str(item) for item in (value if isinstance(value, list) else [value])]


def unknown_field(name: str, vocabulary: Vocabulary, service: str) -> str:
    """One sentence on a field that the record does not have, with the closest name."""
    near = vocabulary.closest(name)
    record = "an event" if service == "event" else "a chain record"
    return f"{name!r} is not a field of {record}" + (f"; did you mean {near}?" if near else "")
