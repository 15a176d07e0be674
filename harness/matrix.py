"""The cells of a proof: one rule on one case or variant, what engine and oracle say of it, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sigma.modifiers import SigmaCaseSensitiveModifier, SigmaRegularExpressionModifier
from sigma.rule import SigmaDetection

from backends.correlation import Correlation
from harness.correlating import fires
from harness.oracle import Term, deciding, fields_read, meaning

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from sigma.rule import SigmaRule

    from harness.case import Case, Tables
    from harness.variants import Variant

    Facts = Mapping[str, Any]
    Judge = Callable[[Sequence[dict[str, Any]], Tables, datetime | None], "Verdicts"]

AS_WRITTEN = ""
"""Name of the variant that is the case itself."""


@dataclass(frozen=True)
class Subject:
    """A rule under proof, with its cases."""

    stem: str
    rule: SigmaRule | Correlation
    cases: tuple[Case, ...]

    @property
    def parts(self) -> tuple[SigmaRule, ...]:
        """The rules on single records: itself, or the base rules of a correlation."""
        return tuple(s.rule for s in self.rule.steps) if isinstance(self.rule, Correlation) else (self.rule,)

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """What each part means."""
        return tuple(map(meaning, self.parts))

    @property
    def term(self) -> Term:
        """What the rule on single records means."""
        (term,) = self.terms
        return term

    def verdicts(self, facts: Sequence[Facts | None], terms: Sequence[Term] | None = None) -> tuple[bool, ...]:
        """What the oracle says of each record or chain of one data set, by these terms instead of the rule's own."""
        terms = terms or self.terms
        if isinstance(self.rule, Correlation):
            return fires(self.rule, facts, terms)
        return tuple(record is not None and terms[0].holds(record) for record in facts)

    @cached_property
    def fields(self) -> frozenset[str]:
        """The fields that its condition reads, a correlation's key and value among them."""
        own = self.rule.fields if isinstance(self.rule, Correlation) else frozenset()
        return own.union(*map(fields_read, self.terms))

    @cached_property
    def cased(self) -> frozenset[str]:
        """The fields whose letter case it compares."""
        strict = {SigmaCaseSensitiveModifier, SigmaRegularExpressionModifier}
        waiting: list[Any] = [d for part in self.parts for d in part.detection.detections.values()]
        found = set()
        while waiting:
            part = waiting.pop()
            if isinstance(part, SigmaDetection):
                waiting.extend(part.detection_items)
            elif part.field and strict & set(part.modifiers):
                found.add(part.field)
        return frozenset(found)

    @property
    def of_chains(self) -> bool:
        """Whether it judges chains, not events."""
        return self.parts[0].logsource.service == "chain"

    @property
    def correlates(self) -> bool:
        """Whether it judges several records together."""
        return isinstance(self.rule, Correlation)


@dataclass(frozen=True)
class Verdicts:
    """What an engine says of one data set.

    Attributes:
        events: flat facts of each record, in the order of the input; None for a rejected one.
        chains: flat facts by chain id.
        event_hits: rule stem to the records on which it fires.
        chain_hits: rule stem to the ids of the chains on which it fires.
    """

    events: Sequence[Facts | None]
    chains: Mapping[str, Facts]
    event_hits: Mapping[str, Collection[int]]
    chain_hits: Mapping[str, Collection[str]]


@dataclass(frozen=True)
class Cell:
    """One case or variant, ready to be judged."""

    subject: Subject
    case: Case
    variant: Variant
    records: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Answer:
    """What engine and oracle say of one rule on one cell.

    Attributes:
        engine_each, oracle_each: for each record or chain, whether the rule fires on it.
        facts: of the cell's records, or of its chains; None where a record was rejected.
    """

    engine_each: tuple[bool, ...]
    oracle_each: tuple[bool, ...]
    facts: tuple[Facts | None, ...]

    @property
    def engine(self) -> bool:
        """Whether the rule fires, as the engine says."""
        return any(self.engine_each)

    @property
    def oracle(self) -> bool:
        """Whether the rule fires, as the oracle says."""
        return any(self.oracle_each)

    @property
    def agrees(self) -> bool:
        """Whether they say the same of each record or chain."""
        return self.engine_each == self.oracle_each


@dataclass(frozen=True)
class Failure:
    """One cell that is not as it must be.

    Attributes:
        stem, case, variant: the cell; the variant is "" for the case as written.
        place: file and line of the case.
        problem: what is wrong, in words.
        expected, got: ``fire``, ``quiet``, ``rejected`` or a value.
        values: the fields that the rule read, per record or chain.
        term: the first term of the rule that decided otherwise, with its truth.
    """

    stem: str
    case: str
    variant: str
    place: str
    problem: str
    expected: str
    got: str
    values: tuple[Mapping[str, Any], ...] = ()
    term: str = ""


@dataclass
class Proof:
    """What was proven of one rule."""

    stem: str
    cases: int = 0
    variants: int = 0
    cells: int = 0
    failures: list[Failure] = field(default_factory=list)


def failure(cell: Cell, answer: Answer, problem: str, *, expected: str) -> Failure:
    """A failure of a cell, with the values read and the first term that decided."""
    known = [facts for facts in answer.facts if facts is not None]
    atoms = list(deciding(cell.subject.terms[0], known[0])) if known else []
    term = f"{atoms[0][0].text} is {'true' if atoms[0][1] else 'false'}" if atoms else ""
    return Failure(
        stem=cell.subject.stem,
        case=cell.case.sentence,
        variant=cell.variant.name,
        place=f"{cell.case.file}:{cell.case.line}",
        problem=problem,
        expected=expected,
        got=word(fires=answer.engine),
        values=tuple({name: facts.get(name) for name in sorted(cell.subject.fields)} for facts in known),
        term=term,
    )


def word(*, fires: bool) -> str:
    """A verdict as cases write it."""
    return "fire" if fires else "quiet"
