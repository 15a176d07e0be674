"""``countersign quality``: measure every rule on labelled and benign logs, and write the page that says so."""

from __future__ import annotations

from pathlib import Path

import click

from harness.paths import Root


@click.command(epilog="Exit codes: 0 the page says what was measured, or was written; 1 with --check, it does not.")
@click.option("--check", is_flag=True, help="Write nothing; say whether docs/quality.md is what was measured.")
@click.option(
    "--root", type=click.Path(path_type=Path), default=None, help="Folder that holds rules/, schemas/, docs/."
)
@click.pass_context
def command(ctx: click.Context, *, check: bool, root: Path | None) -> None:
    """Measure recall, precision and false positives of every rule; this takes some minutes."""
    from harness.quality import measure, page  # noqa: PLC0415 - the engine is slow to load

    place = Root.at(root)
    path = place.path / "docs" / "quality.md"
    text = f"<!-- Written by harness/quality.py: run `countersign quality`. -->\n{page(measure(place))}"
    fresh = path.exists() and path.read_text(encoding="utf-8") == text
    if check:
        click.echo("docs/quality.md is fresh" if fresh else "docs/quality.md is stale: run countersign quality")
        ctx.exit(0 if fresh else 1)
    path.write_text(text, encoding="utf-8", newline="\n")
    click.echo("wrote docs/quality.md")
