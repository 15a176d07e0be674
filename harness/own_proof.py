"""The proof of a folder of one's own: its rules as the pack's, and its filters on the findings that they exempt.

A filter is proven on each rule that its cases are about, with the filter laid over it: what it exempts is quiet, what
it must not exempt fires, in every variant. What is quiet must fire without the filter, or the case exempts nothing.
"""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from backends.errors import Mistake, Mistakes
from backends.sources import SourceMaps
from backends.vocabulary import Vocabulary
from harness.case import Bases, load
from harness.filter_file import narrowed
from harness.judging import duckdb, survivals_of
from harness.matrix import Subject, failure, word
from harness.oracle import Unsupported
from harness.own import cases_hints, read_own
from harness.pairing import cases_beside, orphans, stem, subject_of
from harness.proof import as_written, prove
from harness.ruleset import RuleSet, load_rules, named
from harness.survival import LISTED, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from harness.case import Case
    from harness.filter_file import Filter
    from harness.matrix import Failure, Judge, Proof
    from harness.own import Own
    from harness.paths import Root
    from harness.ruleset import Rule
    from harness.survival import Survival


def proofs_of_folders(root: Root, folders: Sequence[Path], selectors: Sequence[str] = ()) -> list[Proof]:
    """Prove the rules and filters of folders on the embedded engine.

    Args:
        root: where the pack, the schemas and the source maps lie.
        folders: rules and filters, each with its cases beside it.
        selectors: stems, numbers, ids, file names or globs of stems of what is proven; none for all.

    Raises:
        Mistakes: everything that is wrong in the folders.
    """
    events = Vocabulary.load(root.event_schema)
    rules, pairs = _subjects(root, folders, selectors, events)
    subjects = [*rules, *(subject for subject, _ in pairs)]
    proofs = prove(subjects, _embedded(root, subjects), Bases.honest(), events)
    by_stem = {proof.stem: proof for proof in proofs}
    for name, idle in _idle(root, [bare for _, bare in pairs], events):
        by_stem[name].failures.append(idle)
    return proofs


def survivals_of_folders(root: Root, folders: Sequence[Path], selectors: Sequence[str] = ()) -> list[Survival]:
    """Weaken every term of the rules of folders, each of which may list survivors; arguments as `proofs_of_folders`."""
    rules, _ = _subjects(root, folders, selectors, Vocabulary.load(root.event_schema))
    known: dict[str, Mapping[str, str]] = {}
    for folder in folders:
        known |= listed(
            folder / LISTED, root.schemas / "survivors.schema.json", {stem(p) for p in folder.rglob("*.yml")}
        )
    return survivals_of(root, rules, known)


def _subjects(
    root: Root, folders: Sequence[Path], selectors: Sequence[str], events: Vocabulary
) -> tuple[list[Subject], list[tuple[Subject, Subject]]]:
    """The rules that are asked for, and the filters: each on each rule that it narrows, with it and without."""
    pack = load_rules(root.rules, root.schemas)
    read = [read_own(folder, root, pack) for folder in folders]
    found: list[Mistake] = []
    subjects: list[Subject] = []
    filtered: list[tuple[Subject, Subject]] = []
    for own in read:
        found += [*own.mistakes, *(orphans(own.folder, own.files) if own.files else ())]
        found += [mistake for file in own.files for mistake in cases_hints(cases_beside(file))]
        found += _of_broken(own, root.schemas / "cases.schema.json", events)
        for rule in own.rules:
            subject, wrong = subject_of(rule.path, rule.judged, root.schemas / "cases.schema.json", events)
            found += wrong
            subjects += [subject] if subject and _asked(rule, selectors) else []
        for one in own.filters:
            pairs, wrong = _of_filter(one, RuleSet((*pack, *own.rules)), root.schemas / "cases.schema.json", events)
            found += wrong
            filtered += pairs if not selectors or any(_called(one, word) for word in selectors) else []
    found += _twice([*subjects, *(subject for subject, _ in filtered)])
    found += _unknown(selectors, read) if not found else []
    if found:
        raise Mistakes(sorted(set(found)))
    return subjects, filtered


def _embedded(root: Root, subjects: Sequence[Subject]) -> Judge:
    events, chains = Vocabulary.load(root.event_schema), Vocabulary.load(root.chain_schema)
    return duckdb(subjects, events, chains, SourceMaps.load(root.sources))


def _of_broken(own: Own, schema: Path, events: Vocabulary) -> Iterator[Mistake]:
    """What is wrong with the cases of files that are no good rule or filter themselves."""
    good = {rule.path for rule in own.rules} | {one.path for one in own.filters}
    for path in own.files:
        cases = cases_beside(path)
        if path not in good and cases.exists():
            try:
                load(cases, schema, events)
            except Mistakes as mistakes:
                yield from mistakes.found


def _twice(subjects: Sequence[Subject]) -> Iterator[Mistake]:
    first: dict[str, str] = {}
    for subject in subjects:
        file = subject.cases[0].file
        if first.setdefault(subject.stem, file) != file:
            yield Mistake(file, 0, f"{subject.stem} is proven by {first[subject.stem]} too; give one another name")


def _asked(rule: Rule, selectors: Sequence[str]) -> bool:
    return not selectors or any(named(rule, word) for word in selectors)


def _called(one: Filter, word: str) -> bool:
    return word == one.path.name or fnmatchcase(one.stem, word)


def _unknown(selectors: Sequence[str], read: Sequence[Own]) -> Iterator[Mistake]:
    for each in selectors:
        rules = [rule for own in read for rule in own.rules if named(rule, each)]
        if not rules and not any(_called(one, each) for own in read for one in own.filters):
            where = " or ".join(str(own.folder) for own in read)
            yield Mistake(each, 0, f"no rule or filter of {where} has this name")


def _of_filter(
    one: Filter, known: RuleSet, schema: Path, vocabulary: Vocabulary
) -> tuple[list[tuple[Subject, Subject]], list[Mistake]]:
    """Each rule that the filter's cases are about, with the filter and without; and what is wrong with the cases."""
    path = cases_beside(one.path)
    rules = [rule for rule in known if any(map(one.narrows, rule.parts))]
    if not path.exists():
        return [], [Mistake(str(one.path), 0, f"has no cases; write {path.name} beside it")]
    try:
        cases = load(path, schema, vocabulary)
    except Mistakes as mistakes:
        return [], mistakes.found
    about: dict[str, list[Case]] = {}
    found: list[Mistake] = []
    for case in cases:
        if rules:  # that it names no rule is said elsewhere
            rule, wrong = _about(case, one, rules)
            if rule:
                about.setdefault(rule.stem, []).append(case)
            found += [Mistake(case.file, case.line, message) for message in wrong]
        if case.proves is not None and case.proves not in one.parts:
            found.append(Mistake(case.file, case.line, f"proves {case.proves!r}, which the filter does not have"))
    pairs = []
    for rule in rules:
        mine = about.get(rule.stem, [])
        if not found and one.names is not None and not any(not case.fires for case in mine):
            message = f"no quiet case shows what it exempts of {rule.stem}; add one"
            found.append(Mistake(str(path), 0, message))
        if mine:
            label = f"{one.stem} on {rule.stem}"
            pairs.append(
                (Subject(label, narrowed(rule, [one]).judged, tuple(mine)), Subject(label, rule.judged, tuple(mine)))
            )
    found += _unsupported(one, pairs)
    return pairs, found


def _about(case: Case, one: Filter, rules: Sequence[Rule]) -> tuple[Rule | None, list[str]]:
    """The rule whose finding a case is about."""
    if case.rule is None:
        if len(rules) == 1:
            return rules[0], []
        return None, ['the filter narrows several rules; say with "rule" which of them this case is about']
    wanted = case.rule
    for rule in rules:
        if named(rule, wanted) or any(wanted in {part.name, str(part.id)} for part in rule.parts):
            return rule, []
    return None, [f"the filter {one.stem} narrows no rule {wanted!r}"]


def _unsupported(one: Filter, pairs: Sequence[tuple[Subject, Subject]]) -> Iterator[Mistake]:
    for subject, _ in pairs:
        try:
            subject.fields  # noqa: B018 - refuses what the oracle does not know
        except Unsupported as refused:
            yield Mistake(str(one.path), 0, f"{refused.construct} is not supported in this project's filters")
            return


def _idle(root: Root, bare: Sequence[Subject], events: Vocabulary) -> Iterator[tuple[str, Failure]]:
    """Quiet cases on which the rule says nothing even without the filter."""
    quiet = [replace(each, cases=tuple(case for case in each.cases if not case.fires)) for each in bare]
    asked = [each for each in quiet if each.cases]
    if not asked:
        return
    for cell, answer in as_written(asked, _embedded(root, asked), Bases.honest(), events):
        if not answer.engine:
            problem = "the rule is quiet on it without the filter too, so the case exempts nothing"
            yield cell.subject.stem, failure(cell, answer, problem, expected=word(fires=True))
