"""A rule and its proof share stem and folder: here they are brought together, and what stands alone is a mistake."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import yaml
from sigma.collection import SigmaCollection
from sigma.exceptions import SigmaError
from sigma.rule import SigmaRule

from backends.errors import Mistake, Mistakes
from harness.case import SUFFIX, load
from harness.matrix import Subject
from harness.oracle import Unsupported

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from backends.vocabulary import Vocabulary

PREFIX = "mcp_"
FALSE_POSITIVE = "false positive: "


def stem(path: Path) -> str:
    """What a person types for a rule: its file name without ``mcp_`` and suffix."""
    return path.name.removesuffix(SUFFIX).removesuffix(".yml").removeprefix(PREFIX)


def cases_beside(rule: Path) -> Path:
    """Where the cases of a rule file must be."""
    return rule.with_name(rule.name.removesuffix(".yml") + SUFFIX)


def rules_in(folder: Path) -> dict[Path, SigmaRule]:
    """Every rule file of a folder, at any depth, in the order of the paths.

    Raises:
        Mistakes: each file that is no rule.
    """
    rules: dict[Path, SigmaRule] = {}
    found = []
    for path in sorted(folder.rglob("*.yml")):
        try:
            collection = SigmaCollection.from_yaml(path.read_text(encoding="utf-8"), collect_errors=True)
        except yaml.YAMLError as broken:
            mark = getattr(broken, "problem_mark", None)
            reason = getattr(broken, "problem", None) or "cannot be read"
            found.append(Mistake(str(path), mark.line + 1 if mark else 0, f"is not YAML: {reason}"))
            continue
        except (SigmaError, UnicodeDecodeError) as broken:
            found.append(Mistake(str(path), 0, f"is no Sigma rule: {broken}"))
            continue
        broken_parts = [error for each in (collection, *collection.rules) for error in each.errors]
        found += [Mistake(str(path), 0, f"is no Sigma rule: {error}") for error in broken_parts]
        if broken_parts:
            continue
        if len(collection.rules) == 1 and isinstance(collection.rules[0], SigmaRule):
            rules[path] = collection.rules[0]
        else:
            found.append(Mistake(str(path), 0, "holds no single event or chain rule, so no verdict can be given on it"))
    if found:
        raise Mistakes(sorted(set(found)))
    return rules


def chosen(rules: Mapping[Path, SigmaRule], folder: Path, selectors: Sequence[str]) -> list[Path] | None:
    """The rule files that a person named; None for all.

    Raises:
        Mistakes: a name that no rule has.
    """
    if not selectors:
        return None
    named = {
        selector: [path for path in rules if any(fnmatchcase(name, selector) for name in _names(path, folder))]
        for selector in selectors
    }
    nothing = [Mistake(selector, 0, f"names no rule in {folder}") for selector, paths in named.items() if not paths]
    if nothing:
        raise Mistakes(nothing)
    return [path for path in rules if any(path in paths for paths in named.values())]


def _names(path: Path, folder: Path) -> tuple[str, ...]:
    return stem(path), path.name.removesuffix(".yml"), path.name, str(path.relative_to(folder)), str(path)


def paired(
    rules: Mapping[Path, SigmaRule],
    folder: Path,
    schema: Path,
    vocabulary: Vocabulary,
    only: Collection[Path] | None = None,
) -> list[Subject]:
    """Every rule with its cases, in the order given.

    Args:
        rules: rule file to parsed rule: all of the folder, so that orphans are known.
        folder: where cases files are looked for, at any depth.
        schema: ``cases.schema.json``.
        vocabulary: the event's fields.
        only: rule files to prove; None for all.

    Raises:
        Mistakes: a rule without cases, cases without a rule, whatever is wrong with a cases file, a case that claims to
            prove what the rule has not, and a rule that no verdict can be given on.
    """
    found: list[Mistake] = []
    wanted = {cases_beside(rule) for rule in rules}
    found += [
        Mistake(str(orphan), 0, f"there is no rule {orphan.name.removesuffix(SUFFIX)}.yml beside these cases")
        for orphan in sorted(folder.rglob(f"*{SUFFIX}"))
        if orphan not in wanted
    ]
    subjects = []
    for path, rule in rules.items():
        if only is not None and path not in only:
            continue
        cases = cases_beside(path)
        if not cases.exists():
            found.append(Mistake(str(path), 0, f"has no cases; write {cases.name} beside it"))
            continue
        try:
            subject = Subject(stem(path), rule, tuple(load(cases, schema, vocabulary)))
            found += _unknown_claims(subject)
            subject.fields  # noqa: B018 - refuses now what the oracle does not know
        except Mistakes as mistakes:
            found += mistakes.found
        except Unsupported as refused:
            found.append(Mistake(str(path), 0, f"{refused.construct} is not supported in this project's rules"))
        else:
            subjects.append(subject)
    if found:
        raise Mistakes(sorted(set(found)))
    return subjects


def _unknown_claims(subject: Subject) -> list[Mistake]:
    """Cases that claim to prove a selection, filter or false positive that the rule does not have."""
    listed = subject.rule.falsepositives or []
    known = set(subject.rule.detection.detections) | {f"{FALSE_POSITIVE}{text}" for text in listed}
    return [
        Mistake(case.file, case.line, f"proves {case.proves!r}, which the rule does not have")
        for case in subject.cases
        if case.proves is not None and case.proves not in known
    ]
