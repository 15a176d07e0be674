"""``countersign reference``: write the generated pages, or check that they are fresh."""

from __future__ import annotations

from pathlib import Path

import click

from harness.paths import Root
from harness.reference import stale, write


@click.command(epilog="Exit codes: 0 every page is fresh, or was written; 1 with --check, a page is stale.")
@click.option("--check", is_flag=True, help="Write nothing; name the pages that are stale.")
@click.option("--root", type=click.Path(path_type=Path), default=None, help="Folder that holds rules/ and schemas/.")
@click.pass_context
def command(ctx: click.Context, *, check: bool, root: Path | None) -> None:
    """Write the pages that are made from schemas and rules, or check that they are fresh."""
    place = Root.at(root)
    paths = stale(place) if check else write(place)
    for path in paths:
        click.echo(f"{path} is stale: run countersign reference" if check else f"wrote {path}")
    ctx.exit(1 if check and paths else 0)
