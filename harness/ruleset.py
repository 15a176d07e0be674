"""The rules as the commands see them: parsed, with their parameters, checked against the schema, and chosen by name."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sigma.rule import SigmaRule

from backends.errors import Mistake, Mistakes
from backends.target import fields_read
from backends.vocabulary import Vocabulary, closest
from harness.naming import COUNT, VALUES
from harness.pairing import PREFIX, cases_beside, stem
from harness.parameters import Parameters, seconds
from harness.rule_file import LEVELS, SERVICES, RuleFile, read_rule, unknown_field
from harness.sentence import fields as named_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sigma.correlations import SigmaCorrelationRule

    from backends.correlation import Correlation


@dataclass(frozen=True)
class Rule:
    """One rule with all that is said about it.

    Attributes:
        stem: what a person types: the file name without ``mcp_`` and suffix.
        path: its file.
        chapter: its folder.
        service: ``event`` or ``chain``: which record it judges.
        level: one of ``LEVELS``.
        sigma: the rule itself.
        correlation: what it correlates; None for a rule on single records.
        kind: ``incident`` or ``posture``.
        group_by: fields whose values, together, make one finding.
        period_sec: how long hits of one group are one finding.
        sentence: template of the finding's plain sentence.
        number: its number in the catalogue, if it has one.
        needs_register: register tables without which it stays quiet.
        sharpened_by: register tables that let it find more or spare it a false alarm.
        stages: stages whose records it needs.
        fields: fields that an analyst wants to see first.
    """

    stem: str
    path: Path
    chapter: str
    service: str
    level: str
    sigma: SigmaRule | SigmaCorrelationRule
    kind: str
    group_by: tuple[str, ...]
    period_sec: int
    sentence: str
    number: int | None = None
    needs_register: tuple[str, ...] = ()
    sharpened_by: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    correlation: Correlation | None = None

    @property
    def parts(self) -> tuple[SigmaRule, ...]:
        """The rules on single records: itself, or the base rules of a correlation."""
        if self.correlation is not None:
            return tuple(step.rule for step in self.correlation.steps)
        assert isinstance(self.sigma, SigmaRule)  # noqa: S101 - what is no correlation is a rule
        return (self.sigma,)

    @property
    def documents(self) -> tuple[SigmaRule | SigmaCorrelationRule, ...]:
        """Everything that its file holds."""
        return (self.sigma, *self.parts) if self.correlation else self.parts

    @property
    def judged(self) -> SigmaRule | Correlation:
        """What an engine compiles."""
        return self.correlation or self.parts[0]

    @cached_property
    def reads(self) -> frozenset[str]:
        """Fields that its conditions read, a correlation's key and value among them."""
        own = self.correlation.fields if self.correlation else frozenset()
        return own.union(*map(fields_read, self.parts))

    @property
    def id(self) -> str:
        """Sigma's UUID."""
        return str(self.sigma.id)

    @property
    def title(self) -> str:
        """Sigma's title."""
        return str(self.sigma.title)

    @property
    def cases(self) -> Path:
        """Where its cases lie."""
        return cases_beside(self.path)


@dataclass(frozen=True)
class RuleSet:
    """Rules in the order of their numbers, those without one last, by stem."""

    rules: tuple[Rule, ...]

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    def select(
        self, selectors: Sequence[str] = (), levels: Sequence[str] = (), chapters: Sequence[str] = ()
    ) -> RuleSet:
        """Those that a selector names (stem, number, id, glob of stems, path), of these levels and chapters.

        Nothing given is anything.

        Raises:
            Mistakes: a selector, level or chapter that names nothing, with the closest name.
        """
        found = [
            *self._unknown("rule", selectors, named, [r.stem for r in self.rules]),
            *self._unknown("level", levels, lambda _, word: word in LEVELS, LEVELS),
            *self._unknown(
                "chapter", chapters, lambda rule, word: rule.chapter == word, [r.chapter for r in self.rules]
            ),
        ]
        if found:
            raise Mistakes(found)
        return replace(
            self,
            rules=tuple(
                rule
                for rule in self.rules
                if (not selectors or any(named(rule, word) for word in selectors))
                and (not levels or rule.level in levels)
                and (not chapters or rule.chapter in chapters)
            ),
        )

    def _unknown(self, what: str, words: Sequence[str], names: Any, known: Sequence[str]) -> Iterator[Mistake]:
        for word in words:
            if not any(names(rule, word) for rule in self.rules):
                near = closest(word, dict.fromkeys(known)) or closest(word.removeprefix(PREFIX), dict.fromkeys(known))
                hint = f"; did you mean {near}?" if near else "; 'countersign rules' lists them"
                yield Mistake(word, 0, f"no {what} has this name{hint}")


def named(rule: Rule, word: str) -> bool:
    """Whether a word that a person typed names the rule: stem, number, id, file, or glob of stems."""
    if word.isdigit():
        return rule.number == int(word)
    if word.endswith(".yml"):
        return rule.path.name == word or str(rule.path) == word or rule.path.resolve().match(word)
    return word.lower() == rule.id or fnmatchcase(rule.stem, word) or fnmatchcase(PREFIX + rule.stem, word)


def load_rules(folder: Path, schemas: Path | None = None) -> RuleSet:
    """Every rule under ``folder``, with ``folder/parameters.json`` where there is one.

    Args:
        folder: rules, one chapter a folder.
        schemas: the folder of schemas; by default beside ``folder``.

    Raises:
        Mistakes: everything that is wrong, all at once, with file and line.
    """
    schemas = schemas or folder.parent / "schemas"
    vocabularies = {service: Vocabulary.load(schemas / f"{service}.schema.json") for service in SERVICES}
    parameters = Parameters.read(folder / "parameters.json", schemas / "parameters.schema.json")
    paths = sorted(path for path in folder.rglob("*") if path.suffix in {".yml", ".yaml"})
    files = [read_rule(path, folder, vocabularies) for path in paths]
    rules, found = completed(files, parameters, vocabularies)
    found += twice(rules)
    if found:
        raise Mistakes(sorted(set(found)))
    return in_order(rules)


def in_order(rules: Iterable[Rule]) -> RuleSet:
    """Rules in the order in which commands name them."""
    return RuleSet(tuple(sorted(rules, key=lambda rule: (rule.number is None, rule.number or 0, rule.stem))))


def completed(
    files: Sequence[RuleFile], parameters: Parameters, vocabularies: Mapping[str, Vocabulary]
) -> tuple[list[Rule], list[Mistake]]:
    """The good rules of one folder with their parameters, and what is wrong with files and parameters."""
    complete = [_complete(file, parameters, vocabularies) for file in files]
    found = [*parameters.mistakes, *(mistake for file in files for mistake in file.mistakes)]
    found += [mistake for _, mistakes in complete for mistake in mistakes]
    found += parameters.strangers({stem(file.path) for file in files})
    return [rule for rule, _ in complete if rule is not None], found


def _complete(
    file: RuleFile, parameters: Parameters, vocabularies: Mapping[str, Vocabulary]
) -> tuple[Rule | None, list[Mistake]]:
    """The rule with its parameters, and what is wrong with these."""
    if file.mistakes or parameters.mistakes or file.sigma is None or file.service is None or file.level is None:
        return None, []
    name, chapter = stem(file.path), file.path.resolve().parent.name
    values = parameters.of(stem=name, chapter=chapter, service=file.service, level=file.level)
    found = list(_unknown_in_parameters(name, values, parameters, vocabularies[file.service], file))
    if found:
        return None, found
    said = {"stem": name, "chapter": chapter, "service": file.service, "level": file.level}
    return _rule(file, values, **said), []


def _rule(file: RuleFile, values: Mapping[str, Any], **said: str) -> Rule:
    sigma, correlation = file.sigma, file.correlation
    assert sigma is not None  # noqa: S101 - `_complete` asked
    return Rule(
        **said,
        path=file.path,
        sigma=sigma,
        correlation=correlation,
        kind=values.get("kind", "incident"),
        group_by=correlation.steps[0].key if correlation else tuple(values.get("group_by", ("chain.id",))),
        period_sec=seconds(values.get("period", "1d")),
        sentence=values.get("sentence", f"{sigma.title}."),
        number=values.get("number"),
        needs_register=tuple(values.get("needs", ())),
        sharpened_by=tuple(values.get("sharpened_by", ())),
        stages=tuple(values.get("stages", ())),
        fields=tuple(values.get("fields", ())),
    )


def _unknown_in_parameters(
    name: str, values: Mapping[str, Any], parameters: Parameters, vocabulary: Vocabulary, file: RuleFile
) -> Iterator[Mistake]:
    more = {COUNT, VALUES} if file.correlation else set()
    if file.correlation and "group_by" in parameters.document["rules"].get(name, {}):
        message = f"group_by of {name}: a correlation's findings are grouped by its own group-by"
        yield Mistake(parameters.file, parameters.line(name, "group_by"), message)
    try:
        said = named_in(values.get("sentence", ""))
    except ValueError as wrong:
        yield Mistake(parameters.file, parameters.line(name, "sentence"), str(wrong))
        said = ()
    for key, fields in (
        ("group_by", values.get("group_by", ())),
        ("fields", values.get("fields", ())),
        ("sentence", said),
    ):
        for field in fields:
            if field not in vocabulary.fields and not (key == "sentence" and field in more):
                message = f"{key} of {name}: {unknown_field(field, vocabulary, file.service or 'event')}"
                yield Mistake(parameters.file, parameters.line(name, key), message)


def twice(rules: Sequence[Rule]) -> Iterator[Mistake]:
    """Ids, stems and numbers that two rules share."""
    for what in ("id", "stem", "number"):
        same: dict[Any, list[Rule]] = defaultdict(list)
        for rule in rules:
            same[getattr(rule, what)].append(rule)
        for value, sharing in same.items():
            for rule in sharing[1:] if value is not None else ():
                yield Mistake(str(rule.path), 0, f"its {what} {value} is that of {sharing[0].path.name} too")
