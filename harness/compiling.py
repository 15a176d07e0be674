"""Rules in the language of a target: one query a rule, ready to paste, under a head that says what it is."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backends.errors import Mistake, Mistakes, visible
from backends.target import Inexpressible, Wanted
from harness.parameters import in_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from backends.target import Target
    from backends.vocabulary import Vocabulary
    from harness.ruleset import Rule

VIEWS = "views"
"""Folder beside the queries, for what they call."""


@dataclass(frozen=True)
class Query:
    """A compiled rule.

    Attributes:
        rule: the rule.
        text: the query alone.
        head: comment lines of the language.
        file: name of its file.
    """

    rule: Rule
    text: str
    head: str
    file: str

    @property
    def whole(self) -> str:
        """Head and query."""
        return f"{self.head}\n{self.text.rstrip()}\n"


@dataclass(frozen=True)
class Refused:
    """A rule that the target can't express, and the sentence that says why."""

    rule: Rule
    reason: str


def compiled(
    rules: Iterable[Rule], target: Target, events: Vocabulary, chains: Vocabulary
) -> tuple[list[Query], list[Refused]]:
    """Compile rules.

    Returns:
        what was compiled, and what the target can't express; both in the order given.
    """
    queries, refused = [], []
    for rule in rules:
        try:
            text = target.compile(Wanted(rule.stem, rule.judged, rule.group_by, rule.period_sec), events, chains)
        except Inexpressible as reason:
            refused.append(Refused(rule, str(reason)))
            continue
        queries.append(Query(rule, text, _head(rule, target, text), rule.stem + target.suffix))
    return queries, refused


def _head(rule: Rule, target: Target, text: str) -> str:
    lines = [
        f"{rule.title} ({rule.level})",
        f"countersign rule {rule.stem}, id {rule.id}, for {target.product}",
        f"One finding for each {', '.join(rule.group_by) or 'record'} and {in_words(rule.period_sec)}.",
        *(f"Change {word}: {what}" for word, what in target.change.items() if word in text),
    ]
    return target.comment("\n".join(visible(line) for line in lines))


def written(queries: Sequence[Query], target: Target, folder: Path, root: Path) -> list[Path]:
    """Write one file a rule, and what the queries call; a file is whole or not there.

    Args:
        queries: compiled for the target.
        target: whose views lie beside them.
        folder: where.
        root: the content root, whose schemas and source maps templates and pipelines are made from.

    Raises:
        Mistakes: the folder can't be written.
    """
    texts = {Path(query.file): query.whole for query in queries}
    texts |= {Path(VIEWS) / name: text for name, text in {**target.views, **target.made(root)}.items()}
    paths = []
    try:
        for name, text in texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as out:
                out.write(text)
            Path(out.name).chmod(0o644)
            Path(out.name).replace(path)
            paths.append(path)
    except OSError as wrong:
        raise Mistakes(
            [Mistake(str(folder), 0, f"it can't be written ({wrong.strerror}); name another with -o")]
        ) from None
    return paths


def excerpt(rule: Rule, target: Target) -> list[str]:
    """Lines of the views that name a field which the rule reads, each under its file's name."""
    names = [target.spelled(name) for name in sorted(rule.reads)]
    found = []
    for name, text in target.views.items():
        lines = [line.strip() for line in text.splitlines() if any(word in line for word in names)]
        found += [f"{name}:", *(f"  {line}" for line in lines)] if lines else []
    return found
