"""Engines as a proof sees them: something that judges one data set with one register."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from backends.duckdb.target import Sources, judge
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

    from harness.case import Tables
    from harness.matrix import Judge, Proof, Subject
    from harness.paths import Root
    from harness.survival import Reasons, Survival

GRACE = timedelta(minutes=5)
"""How long a chain may still grow after its last record."""


def proofs_of(root: Root, folder: Path, selectors: Sequence[str] = ()) -> list[Proof]:
    """Prove the rules of a folder on the embedded engine.

    Args:
        root: where schemas and source maps lie.
        folder: rules with their cases beside them.
        selectors: stems, numbers, ids, file names or globs of stems; none for all.

    Raises:
        Mistakes: everything that cannot be read.
    """
    subjects, events, chains = _subjects(root, folder, selectors)
    return prove(subjects, duckdb(subjects, events, chains, SourceMaps.load(root.sources)), Bases.honest(), events)


def survivals_of_pack(root: Root, selectors: Sequence[str] = ()) -> list[Survival]:
    """Weaken every term of the pack's rules; arguments and mistakes as `proofs_of`."""
    subjects, _, _ = _subjects(root, root.rules, selectors)
    every = {stem(path) for path in root.rules.rglob("*.yml")}
    return survivals_of(root, subjects, listed(root.rules / LISTED, root.schemas / "survivors.schema.json", every))


def survivals_of(root: Root, subjects: Sequence[Subject], known: Reasons) -> list[Survival]:
    """Weaken every term of rules; ``known`` are the survivors that are listed."""
    events, chains = Vocabulary.load(root.event_schema), Vocabulary.load(root.chain_schema)
    judge = duckdb(subjects, events, chains, SourceMaps.load(root.sources), compiled=False)
    return survivals(as_written(subjects, judge, Bases.honest(), events), events, chains, known)


def _subjects(root: Root, folder: Path, selectors: Sequence[str]) -> tuple[list[Subject], Vocabulary, Vocabulary]:
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
        subjects: the rules, with their cases.
        events: the event's fields.
        chains: the chain's fields.
        maps: the source maps.
        compiled: whether it also judges by the rules; else it gives facts only, in a third of the time.
    """
    rules = {subject.stem: subject.rule for subject in subjects if compiled}
    never: dict[str, Mapping[str, Sequence[str]]] = {name: source.never for name, source in maps.items()}
    never |= {name: stages for subject in subjects for case in subject.cases for name, stages in case.never.items()}
    sources = Sources(
        never=tuple((name, stage, tuple(what)) for name, stages in never.items() for stage, what in stages.items()),
        client_ids=tuple((name, key) for name, source in maps.items() for key in sorted(source.client_ids)),
    )

    def judged(records: Sequence[dict[str, Any]], tables: Tables, now: datetime | None) -> Verdicts:
        judgement = judge(
            records, rules=rules, vocabulary=events, chain_vocabulary=chains, register=tables, sources=sources
        )
        settled = {
            chain["chain.id"]: chain
            for chain in judgement.chains
            if now is None or moment(chain["chain.end"]) < now - GRACE
        }
        hits = {stem: ids & set(settled) for stem, ids in judgement.chain_hits.items()}
        return Verdicts(judgement.events, settled, judgement.event_hits, hits)

    return judged
