"""The matrix: every rule on every engine, each cell executed and compared with the oracle."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from backends.correlation import Correlation
from backends.sources import SourceMaps
from backends.target import Inexpressible, Wanted, load
from harness.judging import sources_of, subjects_of
from harness.matrix import Proof, failure, word
from harness.proof import as_written, prove
from harness.stock import STOCK, compared

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from backends.target import Target
    from backends.vocabulary import Vocabulary
    from harness.case import Bases
    from harness.engines.listed import Listed
    from harness.matrix import Failure, Judge, Subject
    from harness.matrix_kept import Kept
    from harness.paths import Root
    from harness.stock import Said

EQUAL, DIFFERS, BOUNDED, REFUSED = "equal", "differs", "bounded", "not expressible"
"""States of a rule on an engine. Bounded: it finds all that the oracle does, and more within a stated bound."""


@dataclass(frozen=True)
class Stand:
    """How one rule stands on one engine.

    Attributes:
        stem, engine: which.
        state: one of ``EQUAL``, ``DIFFERS``, ``BOUNDED``, ``REFUSED``.
        cells: how many were executed; ``failures``: those that differ.
        why: the reason or the bound, in a sentence.
        stock: what the stock backend makes of the rule, in a word or two; None where there is none.
    """

    stem: str
    engine: str
    state: str
    cells: int = 0
    failures: tuple[Failure, ...] = ()
    why: str = ""
    stock: Said | None = None


@dataclass
class Matrix:
    """Everything that was executed.

    Attributes:
        engines: in the order of the columns.
        stands: one a rule and engine.
    """

    engines: Sequence[Listed]
    stands: list[Stand] = field(default_factory=list)

    @property
    def differing(self) -> list[Stand]:
        """What must not be."""
        return [stand for stand in self.stands if stand.state == DIFFERS]


def run(
    root: Root,
    engines: Sequence[Listed],
    bases: Bases,
    *,
    selectors: Sequence[str] = (),
    one_in: int = 1,
    stock: bool = True,
    progress: Callable[[str], None] = lambda _name: None,
    kept: Kept | None = None,
) -> Matrix:
    """Execute the cells of rules on engines, one engine after the other.

    Args:
        root: where rules, cases, schemas and maps lie.
        engines: those that are started.
        bases: honest records and register of the cases.
        selectors: stems, numbers, ids or globs of stems; none for all.
        one_in: of so many variants of a case one is executed, always the same ones; 0 for none.
        stock: whether the stock backends' queries are run beside ours.
        progress: called with what begins.
        kept: where the stands of each engine are kept as soon as it is done, and taken from if they are there.
    """
    subjects, events, chains = subjects_of(root, root.rules, selectors)
    sources = sources_of(subjects, SourceMaps.load(root.sources))
    matrix = Matrix(engines)
    for engine in engines:
        if kept and (found := kept.of(engine.name)) is not None:
            matrix.stands += found
            continue
        progress(engine.title)
        target = load(engine.target) if engine.target != "duckdb" else None
        takes, refused = _split(subjects, target, events, chains)
        bounds = target.bounded if target else {}
        with engine.start({each.stem: each.rule for each in takes}, events, chains, sources) as running:
            proofs = _executed(takes, running.judge, bases, events, one_in)
            beside = STOCK.get(engine.name) if stock else None
            said = compared(takes, beside, running, bases, events) if beside else {}
        stands = []
        for each in subjects:
            kind = each.rule.kind if isinstance(each.rule, Correlation) else ""
            stand = _stand(each, engine, proofs.get(each.stem), refused.get(each.stem, ""), bounds.get(kind, ""))
            stands.append(replace(stand, stock=said.get(each.stem)))
        matrix.stands += stands
        if kept:
            kept.put(engine.name, stands)
    return matrix


def _split(
    subjects: Sequence[Subject], target: Target | None, events: Vocabulary, chains: Vocabulary
) -> tuple[list[Subject], dict[str, str]]:
    """Rules that the target takes, and those that it refuses with their reason."""
    takes, refused = [], {}
    for subject in subjects:
        try:
            if target is not None:
                target.compile(Wanted(subject.stem, subject.rule), events, chains)
            takes.append(subject)
        except Inexpressible as reason:
            refused[subject.stem] = str(reason)
    return takes, refused


def _executed(
    subjects: Sequence[Subject], judge: Judge, bases: Bases, events: Vocabulary, one_in: int
) -> dict[str, Proof]:
    if one_in:
        return {proof.stem: proof for proof in prove(subjects, judge, bases, events, one_in=one_in)}
    proofs = {subject.stem: Proof(subject.stem, len(subject.cases)) for subject in subjects}
    for cell, answer in as_written(subjects, judge, bases, events):
        proof = proofs[cell.subject.stem]
        proof.cells += 1
        if not answer.agrees or answer.engine != cell.case.fires:
            problem = "not what oracle and case say"
            proof.failures.append(failure(cell, answer, problem, expected=word(fires=cell.case.fires)))
    return proofs


def _stand(subject: Subject, engine: Listed, proof: Proof | None, refused: str, bound: str) -> Stand:
    if proof is None:
        return Stand(subject.stem, engine.name, REFUSED, why=refused)
    # within its bound a scheduled window may see more than a sliding one; it may never see less
    wrong = tuple(f for f in proof.failures if not bound or (f.expected, f.got) != ("quiet", "fire"))
    state = DIFFERS if wrong else BOUNDED if bound else EQUAL
    return Stand(subject.stem, engine.name, state, proof.cells, wrong, bound)
