"""A rule and its proof share stem and folder: here they are brought together, and what stands alone is a mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.correlation import Correlation
from backends.errors import Mistake, Mistakes
from harness.case import SUFFIX, load
from harness.matrix import Subject
from harness.oracle import Unsupported

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from sigma.rule import SigmaRule

    from backends.vocabulary import Vocabulary

PREFIX, CORRELATION = "mcp_", "correlation_"
FALSE_POSITIVE = "false positive: "


def stem(path: Path) -> str:
    """What a person types for a rule: its file name without ``correlation_``, ``mcp_`` and suffix."""
    return path.name.removesuffix(SUFFIX).removesuffix(".yml").removeprefix(CORRELATION).removeprefix(PREFIX)


def cases_beside(rule: Path) -> Path:
    """Where the cases of a rule file must be."""
    return rule.with_name(rule.name.removesuffix(".yml") + SUFFIX)


def paired(
    rules: Mapping[Path, SigmaRule | Correlation],
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
    found = list(orphans(folder, rules))
    subjects = []
    for path, rule in rules.items():
        if only is None or path in only:
            subject, wrong = subject_of(path, rule, schema, vocabulary)
            subjects += [subject] if subject else []
            found += wrong
    if found:
        raise Mistakes(sorted(set(found)))
    return subjects


def orphans(folder: Path, files: Collection[Path]) -> Iterator[Mistake]:
    """Cases files of a folder that none of these files stands beside."""
    wanted = {cases_beside(file) for file in files}
    for orphan in sorted(folder.rglob(f"*{SUFFIX}")):
        if orphan not in wanted:
            message = f"there is no rule {orphan.name.removesuffix(SUFFIX)}.yml beside these cases"
            yield Mistake(str(orphan), 0, message)


def subject_of(
    path: Path, rule: SigmaRule | Correlation, schema: Path, vocabulary: Vocabulary
) -> tuple[Subject | None, list[Mistake]]:
    """A rule with its cases, and what is wrong with them."""
    cases = cases_beside(path)
    if not cases.exists():
        return None, [Mistake(str(path), 0, f"has no cases; write {cases.name} beside it")]
    try:
        subject = Subject(stem(path), rule, tuple(load(cases, schema, vocabulary)))
        found = [*_unknown_claims(subject), *_no_filter(subject)]
        subject.fields  # noqa: B018 - refuses now what the oracle does not know
    except Mistakes as mistakes:
        return None, mistakes.found
    except Unsupported as refused:
        return None, [Mistake(str(path), 0, f"{refused.construct} is not supported in this project's rules")]
    return subject, found


def proven(rule: SigmaRule | Correlation) -> set[str]:
    """What cases can prove: selections and filters (``base.selection`` in a correlation), and false positives."""
    if isinstance(rule, Correlation):
        parts = {f"{step.name}.{name}" for step in rule.steps for name in step.rule.detection.detections}
        listed = rule.rule.falsepositives or []
    else:
        parts, listed = set(rule.detection.detections), rule.falsepositives or []
    return parts | {f"{FALSE_POSITIVE}{text}" for text in listed}


def _unknown_claims(subject: Subject) -> list[Mistake]:
    """Cases that claim to prove a selection, filter or false positive that the rule does not have."""
    known = proven(subject.rule)
    return [
        Mistake(case.file, case.line, f"proves {case.proves!r}, which the rule does not have")
        for case in subject.cases
        if case.proves is not None and case.proves not in known
    ]


def _no_filter(subject: Subject) -> list[Mistake]:
    message = "only a case of a filter says which rule it is about; take the key away"
    return [Mistake(case.file, case.line, message) for case in subject.cases if case.rule is not None]
