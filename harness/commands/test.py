"""``countersign test [RULE…] [DIR…]``: prove rules and filters by their own cases, and by variants of them."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from backends.errors import visible
from harness.judging import proofs_of, survivals_of_pack
from harness.own_proof import proofs_of_folders, survivals_of_folders
from harness.paths import Root
from harness.survival import LISTED, score

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.matrix import Failure, Proof
    from harness.survival import Survival

FAILURES_SHOWN = 5
"""Failures of one rule that the table form spells out; the rest is counted, JSON holds them all."""


@click.command(
    "test",
    epilog="Exit codes: 0 all is proven; 1 a cell fails, or a mutant survives without a reason; "
    "2 a rule, filter or its cases are mistaken.",
)
@click.argument("rules", nargs=-1, metavar="[RULE|DIR]...")
@click.option("--root", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Content root.")
@click.option(
    "--rules-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Such a DIR, as an option.",
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--all", "everything", is_flag=True, help="Spell out every failure, or every listed survivor.")
@click.option("--mutate", is_flag=True, help="Weaken each term of the rules instead: a case must fail on it.")
def command(
    rules: tuple[str, ...], root: Path | None, rules_dir: Path | None, form: str, *, everything: bool, mutate: bool
) -> None:
    """Run the cases of rules, and every variant of them, and compare the engine with the oracle.

    DIR is a folder of your own rules and Sigma filters, each with its cases beside it; RULE then names some of them.
    RULE is a stem such as orphan_write, a number, an id, a file or a glob of stems. Without either, the pack is proven.
    """
    home = Root.at(root)
    folders = [Path(word) for word in rules if Path(word).is_dir()] + ([rules_dir] if rules_dir else [])
    words = [word for word in rules if not Path(word).is_dir()]
    if mutate:
        found = survivals_of_folders(home, folders, words) if folders else survivals_of_pack(home, words)
        report_survivals(found, form, everything=everything)
        sys.exit(1 if any(each.failed for each in found) else 0)
    proofs = proofs_of_folders(home, folders, words) if folders else proofs_of(home, home.rules, words)
    failed = any(proof.failures for proof in proofs)
    if form == "json":
        document = {"proofs": [asdict(proof) for proof in proofs], "failed": failed}
        click.echo(json.dumps(document, indent=1, ensure_ascii=False, default=str))
    else:
        show(proofs, Console(), limit=None if everything else FAILURES_SHOWN)
    sys.exit(1 if failed else 0)


def show(proofs: list[Proof], console: Console, limit: int | None) -> None:
    """A table of all rules, after one block a failure."""
    for proof in proofs:
        for failure in proof.failures[:limit]:
            console.print(block(failure), soft_wrap=True)
        if limit is not None and len(proof.failures) > limit:
            more = len(proof.failures) - limit
            console.print(f"… and {more} more failures of {visible(proof.stem)} (--all shows them)\n", highlight=False)
    table = Table("rule", box=None, pad_edge=False)
    for column in ("cases", "variants", "cells", "failures"):
        table.add_column(column, justify="right")
    for proof in proofs:
        failures = Text(str(len(proof.failures)), style="bold red" if proof.failures else "green")
        table.add_row(Text(visible(proof.stem)), str(proof.cases), str(proof.variants), str(proof.cells), failures)
    console.print(table)
    console.print(total(proofs), highlight=False)


def report_survivals(found: list[Survival], form: str, *, everything: bool) -> None:
    """Score and survivors, as JSON or as a table after what needs somebody's work."""
    if form == "json":
        rules = [{**asdict(each), "killed": each.killed, "failed": each.failed} for each in found]
        document = {"score": score(found), "rules": rules, "failed": any(each.failed for each in found)}
        click.echo(json.dumps(document, indent=1, ensure_ascii=False, default=dict))
        return
    console = Console()
    for each in found:
        for problem, lines in _told(each, everything=everything):
            text = Text(
                f"{visible(each.stem)}: {problem}\n", style="bold" if problem.startswith("listed") else "bold red"
            )
            text.append("".join(f"  {visible(line)}\n" for line in lines), style="not bold default")
            console.print(text, soft_wrap=True)
    table = Table("rule", box=None, pad_edge=False)
    for column in ("mutants", "killed", "listed", "survive"):
        table.add_column(column, justify="right")
    for each in found:
        alive = Text(str(len(each.unexplained)), style="bold red" if each.unexplained else "green")
        explained = str(len(each.survivors) - len(each.unexplained))
        table.add_row(Text(visible(each.stem)), str(each.mutants), str(each.killed), explained, alive)
    console.print(table)
    console.print(summary(found), highlight=False, soft_wrap=True)


def _told(each: Survival, *, everything: bool) -> Iterator[tuple[str, list[str]]]:
    """What is to be said of one rule: a heading and its lines."""
    if each.wrong:
        yield "cases whose verdict is not what they expect; run countersign test", list(each.wrong)
    if each.unexplained:
        yield f"no case fails on these; add one, or say in {LISTED} why it makes no difference", [*each.unexplained]
    if each.stale:
        yield f"listed in {LISTED}, and killed by a case or no mutant; remove them", list(each.stale)
    if everything and (known := [words for words in each.survivors if words in each.reasons]):
        yield "listed survivors", [f"{words}: {each.reasons[words]}" for words in known]


def summary(found: list[Survival]) -> str:
    """One line that sums up mutation."""
    mutants, killed = sum(each.mutants for each in found), sum(each.killed for each in found)
    unexplained = sum(len(each.unexplained) for each in found)
    rules = f"{len(found)} rule{'' if len(found) == 1 else 's'}"
    explained = mutants - killed - unexplained
    said = f"{killed:,} killed, {explained:,} listed with a reason, {unexplained:,} unexplained"
    return f"{rules}, {mutants:,} mutants: {said}; score {score(found):.3f}"


def total(proofs: list[Proof]) -> str:
    """One line that sums up."""
    cells, failures = sum(p.cells for p in proofs), sum(len(p.failures) for p in proofs)
    rules = f"{len(proofs)} rule{'' if len(proofs) == 1 else 's'}"
    return f"{rules}, {cells:,} cells executed on DuckDB: " + (
        f"{failures:,} failed" if failures else "all as they must be"
    )


def block(failure: Failure) -> Text:
    """What a person needs to mend it: sentence, what was expected and got, what the rule read."""
    text = Text()
    text.append(f"{visible(failure.stem)}: {visible(failure.problem)}\n", style="bold red")
    lines = [("case", f"{failure.case} ({failure.place})")]
    if failure.variant:
        lines.append(("variant", failure.variant))
    lines += [("expected", failure.expected), ("got", failure.got)]
    if failure.term:
        lines.append(("decided by", failure.term))
    for number, values in enumerate(failure.values, 1):
        shown = ", ".join(f"{name}={json.dumps(v, ensure_ascii=False, default=str)}" for name, v in values.items())
        lines.append((f"read {number}" if len(failure.values) > 1 else "read", shown))
    for label, value in lines:
        text.append(f"  {label:<11}", style="dim")
        text.append(f"{visible(value)}\n")
    return text
