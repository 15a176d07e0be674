"""``countersign rules``: the rules at a glance, and their check against every SigmaHQ validator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from backends.errors import visible
from backends.vocabulary import Vocabulary
from harness.paths import Root
from harness.rule_file import LEVELS, SERVICES
from harness.ruleset import load_rules

if TYPE_CHECKING:
    from harness.ruleset import Rule, RuleSet

COLOURS = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan", "informational": "dim"}


@click.command(
    "rules",
    epilog="Exit codes: 0 done; 1 --check found something; 2 a rule or the call is mistaken; 70 a defect of ours.",
)
@click.option("--root", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Content root.")
@click.option("--rules", "selectors", multiple=True, metavar="RULE", help="Stem, number, id, file or glob of stems.")
@click.option("--level", "levels", multiple=True, type=click.Choice(LEVELS), help="Only this level; repeat for more.")
@click.option("--chapter", "chapters", multiple=True, metavar="NAME", help="Only this chapter; repeat for more.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--check", is_flag=True, help="Run every SigmaHQ validator on them, offline.")
@click.option(
    "--stock-cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="Fill this folder so that the stock 'sigma check' runs offline with it as its HOME.",
)
@click.pass_context
def command(
    ctx: click.Context,
    *,
    root: Path | None,
    selectors: tuple[str, ...],
    levels: tuple[str, ...],
    chapters: tuple[str, ...],
    form: str,
    check: bool,
    stock_cache: Path | None,
) -> None:
    """List the rules: number, stem, title, level, kind, chapter, and what they need.

    Register tables in brackets only sharpen a rule: without them it finds less, or errs more.
    """
    place = Root.at(root)
    rules = load_rules(place.rules, place.schemas).select(selectors, levels, chapters)
    if check or stock_cache:
        ctx.exit(_checked(rules, place, form, stock_cache))
    if form == "json":
        click.echo(json.dumps({"rules": [record(rule) for rule in rules]}, indent=2, ensure_ascii=False))
    else:
        show(rules, Console())


def record(rule: Rule) -> dict[str, Any]:
    """A rule as the JSON form lists it."""
    return {
        "number": rule.number,
        "stem": rule.stem,
        "title": rule.title,
        "level": rule.level,
        "kind": rule.kind,
        "chapter": rule.chapter,
        "service": rule.service,
        "id": rule.id,
        "file": str(rule.path),
        "group_by": list(rule.group_by),
        "period_sec": rule.period_sec,
        "needs_register": list(rule.needs_register),
        "sharpened_by": list(rule.sharpened_by),
        "stages": list(rule.stages),
    }


def show(rules: RuleSet, console: Console) -> None:
    """The table, and one line that sums up."""
    table = Table(box=None, pad_edge=False)
    table.add_column("no.", justify="right", no_wrap=True)
    table.add_column("rule", no_wrap=True)
    table.add_column("title", min_width=20)
    for column in ("level", "kind", "chapter"):
        table.add_column(column, no_wrap=True)
    table.add_column("register")
    for rule in rules:
        register = [*rule.needs_register, *(f"({name})" for name in rule.sharpened_by)]
        table.add_row(
            str(rule.number or ""),
            visible(rule.stem),
            Text(visible(rule.title)),
            Text(rule.level, style=COLOURS[rule.level]),
            rule.kind,
            visible(rule.chapter),
            " ".join(register),
        )
    console.print(table)
    console.print(f"{len(rules)} rules; 'countersign explain RULE' tells more of one.", highlight=False)


def _checked(rules: RuleSet, place: Root, form: str, stock_cache: Path | None) -> int:
    """Exit code of the check: 1 when a validator has something against a rule."""
    from harness import sigma_check  # noqa: PLC0415 - a development dependency

    vocabularies = {service: Vocabulary.load(place.schemas / f"{service}.schema.json") for service in SERVICES}
    if stock_cache:
        sigma_check.fill_stock_cache(stock_cache, vocabularies)
    found = sigma_check.check([sigma for rule in rules for sigma in rule.documents], vocabularies)
    count = len(sigma_check.validators())
    if form == "json":
        issues = [{"file": m.file, "line": m.line, "message": m.message} for m in found]
        click.echo(json.dumps({"rules": len(rules), "validators": count, "issues": issues}, indent=2))
        return 1 if found else 0
    for mistake in found:
        click.echo(str(mistake))
    click.echo(f"{len(rules)} rules, {count} validators: {len(found) or 'nothing'} found.")
    return 1 if found else 0
