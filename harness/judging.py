"""Engines as a proof sees them: something that judges one data set with one register."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from backends.duckdb.target import CompiledRules, Sources, compile_rules, judge
from backends.sources import SourceMaps
from backends.vocabulary import Vocabulary
from harness.case import Bases, moment
from harness.matrix import Verdicts
from harness.pairing import paired, stem
from harness.proof import as_written, prove
from harness.ruleset import load_rules
from harness.survival import LISTED, listed, survivals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from sigma.rule import SigmaRule

    from backends.correlation import Correlation
    from harness.case import Tables
    from harness.matrix import Judge, Proof, Subject
    from harness.paths import Root
    from harness.survival import Reasons, Survival

GRACE = timedelta(minutes=5)
"""How long a chain may still grow after its last record."""


def proofs_of(root: Root, folder: Path, selectors: Sequence[str] = (), one_in: int = 1, least: int = 1) -> list[Proof]:
    """Prove the rules of a folder on the embedded engine.

    Args:
        root: where schemas and source maps lie.
        folder: rules with their cases beside them.
        selectors: stems, numbers, ids, file names or globs of stems; none for all.
        one_in: of so many variants one is executed.
        least: of cases whose register fewer share, none is.

    Raises:
        Mistakes: everything that cannot be read.
    """
    subjects, events, chains = subjects_of(root, folder, selectors)
    judge = duckdb(subjects, events, chains, SourceMaps.load(root.sources))
    return prove(subjects, judge, Bases.honest(), events, one_in=one_in, least=least)


def survivals_of_pack(root: Root, selectors: Sequence[str] = ()) -> list[Survival]:
    """Weaken every term of the pack's rules; arguments and mistakes as `proofs_of`."""
    subjects, _, _ = subjects_of(root, root.rules, selectors)
    every = {stem(path) for path in root.rules.rglob("*.yml")}
    return survivals_of(root, subjects, listed(root.rules / LISTED, root.schemas / "survivors.schema.json", every))


def survivals_of(root: Root, subjects: Sequence[Subject], known: Reasons) -> list[Survival]:
    """Weaken every term of rules; ``known`` are the survivors that are listed."""
    events, chains = Vocabulary.load(root.event_schema), Vocabulary.load(root.chain_schema)
    judge = duckdb(subjects, events, chains, SourceMaps.load(root.sources), compiled=False)
    return survivals(as_written(subjects, judge, Bases.honest(), events), events, chains, known)


def subjects_of(
    root: Root, folder: Path, selectors: Sequence[str] = ()
) -> tuple[list[Subject], Vocabulary, Vocabulary]:
    """The rules of a folder with their cases, and the fields of events and chains."""
    events, chains = Vocabulary.load(root.event_schema), Vocabulary.load(root.chain_schema)
    rules = load_rules(folder, root.schemas)
    files = {rule.path: rule.judged for rule in rules}
    only = [rule.path for rule in rules.select(selectors)]
    return paired(files, folder, root.schemas / "cases.schema.json", events, only), events, chains


def duckdb(
    subjects: Sequence[Subject], events: Vocabulary, chains: Vocabulary, maps: SourceMaps, *, compiled: bool = True
) -> Judge:
    """The embedded engine; sources are those of the maps and those that cases make up.

    Args:
        subjects: the rules, with their cases; where all judge single records, records are not joined.
        events: the event's fields.
        chains: the chain's fields.
        maps: the source maps.
        compiled: whether it also judges by the rules; else it gives facts only, in a third of the time.
    """
    rules = {subject.stem: subject.rule for subject in subjects if compiled}
    joined = not subjects or any(subject.of_chains or subject.correlates for subject in subjects)
    return Embedded(rules, events, chains, sources_of(subjects, maps), joined=joined).judge


class Embedded:
    """DuckDB, as `scan` runs it."""

    def __init__(
        self,
        rules: Mapping[str, SigmaRule | Correlation],
        events: Vocabulary,
        chains: Vocabulary,
        sources: Sources,
        *,
        joined: bool = True,
    ) -> None:
        self._rules, self._events, self._chains, self._sources = rules, events, chains, sources
        self._joined = joined

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        """Nothing to stop."""

    @cached_property
    def _compiled(self) -> CompiledRules:
        return compile_rules(self._rules, self._events, self._chains)

    def judge(self, records: Sequence[dict[str, Any]], tables: Tables, now: datetime | None) -> Verdicts:
        """Judge one data set with one register; of chains, those that have settled by ``now``."""
        judgement = judge(
            records,
            rules=self._compiled,
            vocabulary=self._events,
            chain_vocabulary=self._chains,
            register=tables,
            sources=self._sources,
            joined=self._joined,
        )
        settled = {
            chain["chain.id"]: chain
            for chain in judgement.chains
            if now is None or moment(chain["chain.end"]) < now - GRACE
        }
        hits = {stem: ids & set(settled) for stem, ids in judgement.chain_hits.items()}
        return Verdicts(judgement.events, settled, judgement.event_hits, hits)


def sources_of(subjects: Sequence[Subject], maps: SourceMaps) -> Sources:
    """What the maps say, and the sources that cases make up."""
    never: dict[str, Mapping[str, Sequence[str]]] = {name: source.never for name, source in maps.items()}
    never |= {name: stages for subject in subjects for case in subject.cases for name, stages in case.never.items()}
    return Sources(
        never=tuple((name, stage, tuple(what)) for name, stages in never.items() for stage, what in stages.items()),
        client_ids=tuple((name, key) for name, source in maps.items() for key in sorted(source.client_ids)),
    )
