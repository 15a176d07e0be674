"""``countersign compile``: the rules in a SIEM's own language, ready to paste."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from backends.errors import visible
from backends.target import load, targets
from backends.vocabulary import Vocabulary
from harness.compiling import compiled, excerpt, written
from harness.own import chosen
from harness.paths import Root

if TYPE_CHECKING:
    from backends.target import Target
    from harness.compiling import Query

WIDE = 150
"""Columns of a terminal from which on three texts stand side by side."""


@click.command(
    "compile",
    epilog="Exit codes: 0 done; 1 a rule can't be expressed, the others are compiled; "
    "2 a rule, filter or folder is mistaken.",
)
@click.argument("rules", nargs=-1, metavar="[RULE|DIR]...")
@click.option("-t", "--target", "name", required=True, type=click.Choice(targets()), help="The engine.")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder: one file a rule.")
@click.option("--filters", multiple=True, type=click.Path(path_type=Path), help="Folder of your Sigma filters.")
@click.option("--explain", "explained", is_flag=True, help="Show Sigma, the view's words for it, and the result.")
@click.option("--root", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Content root.")
def command(
    rules: tuple[str, ...],
    *,
    name: str,
    output: Path | None,
    filters: tuple[Path, ...],
    explained: bool,
    root: Path | None,
) -> None:
    """Compile rules for a SIEM: one query a rule, under a head that says which rule it is and what to change.

    RULE is a stem, a number, an id, a file or a glob of stems; DIR a folder of your own rules. Without either, all
    rules of the pack are compiled. What the queries call (views, macros, functions) is written beside them with -o.
    """
    place = Root.at(root)
    target = load(name)
    wanted = chosen(place, rules, filters=filters)
    events, chains = Vocabulary.load(place.event_schema), Vocabulary.load(place.chain_schema)
    queries, refused = compiled(wanted, target, events, chains)
    if explained:
        show(queries, target, Console())
    elif output is None:
        click.echo("\n".join(query.whole for query in queries), nl=False)
    if output is not None:
        paths = written(queries, target, output, place.path)
        click.echo(f"{len(queries)} rules, {len(paths)} files in {visible(str(output))}", err=True)
    for one in refused:
        click.echo(f"{visible(one.rule.stem)}: {visible(one.reason)}", err=True)
    sys.exit(1 if refused else 0)


def show(queries: list[Query], target: Target, console: Console) -> None:
    """Each rule's Sigma, what the views say of the fields it reads, and its query."""
    for query in queries:
        parts = {
            "Sigma": query.rule.path.read_text(encoding="utf-8"),
            "the views' words": "\n".join(excerpt(query.rule, target)) or "no view names a field of it",
            target.language: query.whole,
        }
        console.rule(Text(visible(query.rule.title)))
        panels = [Panel(Text("\n".join(map(visible, text.splitlines()))), title=title) for title, text in parts.items()]
        if console.width >= WIDE:
            console.print(Columns(panels, width=console.width // len(panels) - 1))
        else:
            console.print(*panels, sep="\n")
