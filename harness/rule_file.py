"""One Sigma file: read, parsed, and everything that is wrong with it, each at its line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sigma.exceptions import SigmaError, SigmaRuleLocation
from sigma.rule import SigmaRule

from backends.marked_yaml import MarkedYaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from backends.errors import Mistake
    from backends.vocabulary import Vocabulary

PRODUCT = "mcp"
SERVICES = ("event", "chain")
LEVELS = ("informational", "low", "medium", "high", "critical")
_FILE = re.compile(r"mcp_[a-z0-9_]+\.yml")


@dataclass(frozen=True)
class RuleFile:
    """What a file says.

    Attributes:
        path: the file.
        sigma: the rule; None where it can't be parsed.
        service: ``event`` or ``chain``; None where the logsource is another.
        mistakes: what is wrong with it.
    """

    path: Path
    sigma: SigmaRule | None
    service: str | None
    mistakes: tuple[Mistake, ...]

    @property
    def level(self) -> str | None:
        """Sigma's level in small letters."""
        return self.sigma.level.name.lower() if self.sigma and self.sigma.level else None


def read_rule(path: Path, folder: Path, vocabularies: Mapping[str, Vocabulary]) -> RuleFile:
    """Read one file; nothing is raised, what is wrong is in ``mistakes``.

    Args:
        path: the file.
        folder: the folder of rules that it lies under.
        vocabularies: the fields of an event and of a chain record, by service.
    """
    marks = MarkedYaml.read(path)
    if marks.mistakes:
        return RuleFile(path, None, None, tuple(marks.mistakes))
    if not isinstance(marks.data, dict):
        return RuleFile(path, None, None, (marks.mistake((), "this is no Sigma rule: the file holds no YAML map"),))
    found = [marks.mistake((), message) for message in _misplaced(path, folder)]
    sigma, broken = _parsed(marks, path)
    found += broken
    service = _service(marks.data.get("logsource"))
    if service is None:
        message = f"logsource is product {PRODUCT} with service {' or '.join(SERVICES)}"
        found.append(marks.mistake(("logsource",), message))
    else:
        found += _unknown_fields(marks, vocabularies[service], service)
    if sigma is not None and sigma.id is None:
        found.append(marks.mistake((), "the rule has no id; give it a UUID of version 4"))
    if sigma is not None and sigma.level is None:
        found.append(marks.mistake((), f"the rule has no level; it is one of {', '.join(LEVELS)}"))
    return RuleFile(path, sigma, service, tuple(found))


def _misplaced(path: Path, folder: Path) -> Iterator[str]:
    if not _FILE.fullmatch(path.name):
        yield "the file of a rule is called mcp_<stem>.yml, in small letters, digits and underscores"
    if len(path.relative_to(folder).parts) != 2:  # noqa: PLR2004 - chapter and file
        yield "a rule lies in the folder of its chapter, and a chapter right under the folder of rules"


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


def _service(source: Any) -> str | None:
    if not isinstance(source, dict) or source.get("product") != PRODUCT:
        return None
    service = source.get("service")
    return service if service in SERVICES else None


def _unknown_fields(marks: MarkedYaml, vocabulary: Vocabulary, service: str) -> Iterator[Mistake]:
    """Fields that the condition reads and no schema declares."""
    detection = marks.data.get("detection")
    waiting: list[tuple[tuple[str | int, ...], Any]] = []
    if isinstance(detection, dict):
        waiting += [(("detection", name), part) for name, part in detection.items() if name != "condition"]
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
