"""Which mutants of a rule no case fails on, and which of these are known to make no difference.

A mutant is killed by a case of its rule whose verdict it changes. One that survives is a term that no case proves, or
one that can make no difference: these are listed, each with its reason, in ``survivors.json`` beside the chapters.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jsonschema

from backends.errors import Mistake, Mistakes
from harness.mutate import mutants

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from backends.vocabulary import Vocabulary
    from harness.matrix import Answer, Cell

    Reasons = Mapping[str, Mapping[str, str]]

LISTED = "survivors.json"
"""Where the reasons lie: in the folder of the rules."""


@dataclass(frozen=True)
class Survival:
    """What mutation found out about one rule.

    Attributes:
        stem: the rule.
        mutants: how many there are.
        survivors: those that no case fails on, in words.
        reasons: why survivors make no difference, by their words, as they are listed.
        wrong: cases whose verdict is not what they expect; no mutant can be judged by these.
    """

    stem: str
    mutants: int
    survivors: tuple[str, ...]
    reasons: Mapping[str, str]
    wrong: tuple[str, ...] = ()

    @property
    def killed(self) -> int:
        """Mutants that a case fails on."""
        return self.mutants - len(self.survivors)

    @property
    def unexplained(self) -> tuple[str, ...]:
        """Survivors without a reason: a case is missing, or a term is."""
        return tuple(words for words in self.survivors if words not in self.reasons)

    @property
    def stale(self) -> tuple[str, ...]:
        """Reasons for what does not survive, or is no mutant of the rule."""
        return tuple(words for words in self.reasons if words not in self.survivors)

    @property
    def failed(self) -> bool:
        """Whether somebody has something to do."""
        return bool(self.unexplained or self.stale or self.wrong)


def survivals(
    answers: Iterable[tuple[Cell, Answer]], events: Vocabulary, chains: Vocabulary, reasons: Reasons
) -> list[Survival]:
    """Judge every mutant of every rule by the rule's own cases.

    Args:
        answers: each rule's cases as written, with the facts that an engine gave: these do not depend on the rule.
        events: the event's fields.
        chains: the chain's fields.
        reasons: listed survivors: stem to words to reason.
    """
    told: dict[str, list[tuple[Cell, Answer]]] = {}
    for cell, answer in answers:
        told.setdefault(cell.subject.stem, []).append((cell, answer))
    return [_survival(mine, events, chains, reasons.get(stem, {})) for stem, mine in told.items()]


def _survival(
    mine: Sequence[tuple[Cell, Answer]], events: Vocabulary, chains: Vocabulary, reasons: Mapping[str, str]
) -> Survival:
    subject = mine[0][0].subject
    wrong = [cell.case for cell, answer in mine if any(subject.verdicts(answer.facts)) != cell.case.fires]
    proving = [(cell.case.fires, answer.facts) for cell, answer in mine if cell.case not in wrong]
    made = mutants(subject, (chains if subject.of_chains else events).fields)
    alive = tuple(m.words for m in made if all(m.fires(facts) == fires for fires, facts in proving))
    return Survival(subject.stem, len(made), alive, reasons, tuple(case.sentence for case in wrong))


def score(found: Sequence[Survival]) -> float:
    """Killed mutants of all; one where there are none."""
    everything = sum(each.mutants for each in found)
    return sum(each.killed for each in found) / everything if everything else 1.0


def listed(path: Path, schema: Path, stems: Collection[str]) -> Reasons:
    """The listed survivors: stem to words to reason; none where there is no file.

    Args:
        path: ``survivors.json``.
        schema: ``survivors.schema.json``.
        stems: the rules that there are.

    Raises:
        Mistakes: everything that is wrong with the file.
    """
    if not path.exists():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as broken:
        raise Mistakes([Mistake(str(path), broken.lineno, f"is not JSON: {broken.msg}")]) from None
    validator = jsonschema.Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))
    found = [Mistake(str(path), 0, f"{error.json_path}: {error.message}") for error in validator.iter_errors(document)]
    if not found:
        strangers = [stem for stem in document["survivors"] if stem not in stems]
        found = [
            Mistake(str(path), 0, f"there is no rule {each!r}; remove its entry or rename it") for each in strangers
        ]
    if found:
        raise Mistakes(sorted(set(found)))
    reasons: Reasons = document["survivors"]
    return reasons
