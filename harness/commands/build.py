"""``countersign build``: one file for each SIEM, imported the way its admin imports everything else."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from backends.errors import visible
from backends.package import load, packages
from harness.building import build, content
from harness.own import chosen
from harness.paths import Root


@click.command(
    epilog="Exit codes: 0 done; 1 a rule can't be expressed on a target, the others are inside; "
    "2 a rule, filter, register, name or folder is mistaken: nothing was written for that target.",
)
@click.argument("names", nargs=-1, type=click.Choice(packages()), metavar="[TARGET]...")
@click.option("-o", "--output", default="dist", type=click.Path(path_type=Path, file_okay=False), show_default=True)
@click.option("--register", type=click.Path(path_type=Path), help="Your register; its tables go into the package.")
@click.option("--filters", multiple=True, type=click.Path(path_type=Path), help="Folder of your Sigma filters.")
@click.option("--rule", "rules", multiple=True, metavar="RULE", help="Only these: stem, number, id or glob of stems.")
@click.option("--root", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Content root.")
def command(
    names: tuple[str, ...],
    *,
    output: Path,
    register: Path | None,
    filters: tuple[Path, ...],
    rules: tuple[str, ...],
    root: Path | None,
) -> None:
    """Build the packages that SIEMs import; all of them, if none is named.

    Each archive holds the rules and their versions (rules.json), an SBOM (CycloneDX) and checksums. The same pack and
    the same register give the same bytes.
    """
    place = Root.at(root)
    wanted = list(chosen(place, rules, filters=filters))
    incomplete = False
    for name in names or packages():
        package = load(name)
        built = build(package, content(place, package, wanted, register), output)
        click.echo(f"{visible(str(built.path))}: {built.rules} rules, sha256 {built.sha256}")
        for stem, reason in built.refused.items():
            click.echo(f"{visible(stem)}: {visible(reason)}", err=True)
        incomplete |= bool(built.refused)
    sys.exit(1 if incomplete else 0)
