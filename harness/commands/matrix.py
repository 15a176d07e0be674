"""``countersign matrix``: run every rule on every engine, and write the pages that say how each stands."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from backends.errors import visible
from harness.commands.test import FAILURES_SHOWN, block
from harness.engines.listed import ENGINES
from harness.paths import Root


@click.command(
    "matrix",
    epilog="Exit codes: 0 every executed cell equals the oracle; 1 one differs; 2 a rule or its cases are mistaken.",
)
@click.argument("rules", nargs=-1, metavar="[RULE]...")
@click.option("-e", "--engine", "names", multiple=True, type=click.Choice(list(ENGINES)), help="Only this one.")
@click.option("--quick", is_flag=True, help="No variants of cases, no stock backends.")
@click.option(
    "--one-in", type=click.IntRange(1), default=1, help="Of so many variants, execute one: always the same ones."
)
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder; docs of the root else.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder: what each engine said; one that said it of the same rules and code does not run again.",
)
@click.option("--root", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Content root.")
@click.pass_context
def command(
    ctx: click.Context,
    rules: tuple[str, ...],
    *,
    names: tuple[str, ...],
    quick: bool,
    one_in: int,
    output: Path | None,
    keep: Path | None,
    root: Path | None,
) -> None:
    """Run every rule, case and variant on every engine, compare each cell with the oracle, and write the pages.

    All engines that can be started here, unless some are named. With every variant this takes hours, with
    --quick some minutes.
    """
    from backends.sources import SourceMaps  # noqa: PLC0415 - the engines are heavy
    from harness.blind_table import FILE, as_json, table  # noqa: PLC0415
    from harness.case import Bases  # noqa: PLC0415
    from harness.engine_matrix import run  # noqa: PLC0415
    from harness.judging import duckdb, subjects_of  # noqa: PLC0415
    from harness.matrix_kept import Kept  # noqa: PLC0415
    from harness.matrix_page import html, markdown  # noqa: PLC0415

    place, console = Root.at(root), Console(stderr=True)
    engines = [ENGINES[name] for name in names or ENGINES]
    bases = Bases.honest()
    with console.status("starting") as status:
        drawn = 0 if quick else one_in
        kept = Kept(keep, place, [*rules, drawn, quick]) if keep else None
        matrix = run(
            place, engines, bases, selectors=rules, one_in=drawn, stock=not quick, progress=status.update, kept=kept
        )
        status.update("what each rule sees of each source")
        subjects, events, chains = subjects_of(place, place.rules, rules)
        maps = SourceMaps.load(place.sources)
        seen = table(subjects, duckdb(subjects, events, chains, maps), bases, events, maps)
    folder = output or place.path / "docs"
    folder.mkdir(parents=True, exist_ok=True)
    first = "<!-- Written by harness/matrix_page.py: run `countersign matrix`. -->\n"
    (folder / "matrix.md").write_text(first + markdown(matrix, seen, drawn), encoding="utf-8", newline="\n")
    (folder / "matrix.html").write_text(html(matrix), encoding="utf-8", newline="\n")
    if not rules and output is None:
        (place.rules / FILE).write_text(as_json(seen), encoding="utf-8", newline="\n")
    for stand in matrix.differing:
        for failure in stand.failures[:FAILURES_SHOWN]:
            console.print(f"{visible(stand.engine)}:", block(failure), soft_wrap=True)
    cells = sum(stand.cells for stand in matrix.stands)
    wrong = sum(len(stand.failures) for stand in matrix.differing)
    click.echo(f"{cells:,} cells executed, {wrong} differ from the oracle; wrote matrix.md and matrix.html in {folder}")
    ctx.exit(1 if wrong else 0)
