"""``countersign drift``: what a SIEM has installed, beside what the pack has. Nothing is changed there."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path

import click

from backends.errors import Mistake, Mistakes, visible
from backends.package import NotAllowed, load
from harness.building import content
from harness.drift.difference import Compared
from harness.drift.targets import TARGETS, Asked
from harness.own import chosen
from harness.paths import Root
from harness.replay.kit.transport import Refused


@click.command(
    epilog="Who asks: COUNTERSIGN_TOKEN, or COUNTERSIGN_USER and COUNTERSIGN_PASSWORD, in the environment; they are "
    "never shown. Exit codes: 0 no drift; 1 drift; 2 a mistake, or the server can't be asked.",
)
@click.argument("target", type=click.Choice(list(TARGETS)))
@click.option("--url", help="Elasticsearch, OpenSearch, or Splunk's management port; for Sentinel Azure's by default.")
@click.option("--kibana", help="Kibana, for the rules of elastic.")
@click.option("--space", default="default", show_default=True, help="Kibana's space.")
@click.option("--workspace", help="Resource id of Sentinel's workspace.")
@click.option("--register", type=click.Path(path_type=Path), help="The register that the package was built with.")
@click.option("--filters", multiple=True, type=click.Path(path_type=Path), help="The filters that it was built with.")
@click.option("--rule", "rules", multiple=True, metavar="RULE", help="Only these: stem, number, id or glob of stems.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--timeout", type=click.FloatRange(0.1, 3600), default=30, show_default=True, metavar="SECONDS")
@click.option("--ca", envvar="COUNTERSIGN_CA", type=click.Path(dir_okay=False), help="File of certificates to trust.")
@click.option("--insecure", is_flag=True, help="Do not check certificates.")
@click.option("--root", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Content root.")
def command(
    target: str,
    *,
    url: str | None,
    kibana: str | None,
    space: str,
    workspace: str | None,
    register: Path | None,
    filters: tuple[Path, ...],
    rules: tuple[str, ...],
    form: str,
    timeout: float,
    ca: str | None,
    insecure: bool,
    root: Path | None,
) -> None:
    """Compare what is installed in TARGET with the pack.

    Says which rules are missing, changed, disabled or old, and which templates, pipelines, lookups and macros differ.

    Only reads: GET, and POST to a search. Without --register the rows of the register's tables are not compared.
    """
    place = Root.at(root)
    asked = Asked(url, kibana, space, workspace, register is not None, timeout, ca, insecure, os.environ)
    package, compared = load(target), Compared()
    try:
        files = package.files(content(place, package, list(chosen(place, rules, filters=filters)), register))
    except NotAllowed as refused:
        raise Mistakes([Mistake(target, 0, str(refused))]) from None
    try:
        TARGETS[target](asked, {name: said for name, said in files.items() if isinstance(said, str)}, compared)
    except Refused as refused:
        raise Mistakes([Mistake("drift", 0, str(refused))]) from None
    if register is None:
        compared.skipped.append("rows of the register: --register is needed for them")
    _told(compared, form, named=bool(rules))
    sys.exit(1 if any(_counted(compared, named=bool(rules))) else 0)


def _counted(compared: Compared, *, named: bool) -> list[str]:
    """Kinds of all drift. Where only some rules were asked for, the others are no surplus."""
    return [one.what for one in compared.differences if one.counts and not (named and one.what == "extra")]


def _told(compared: Compared, form: str, *, named: bool) -> None:
    every = sorted(one for one in compared.differences if not (named and one.what == "extra"))
    counts = Counter(_counted(compared, named=named))
    if form == "json":
        said = {
            "drift": sum(counts.values()),
            "rules": compared.rules,
            "assets": compared.assets,
            "differences": [
                {"thing": one.thing, "name": one.name, "what": one.what, "where": list(one.where)} for one in every
            ],
            "skipped": compared.skipped,
        }
        click.echo(json.dumps(said, indent=1))
        return
    for one in every:
        click.echo(visible(str(one)))
    for sentence in compared.skipped:
        click.echo(f"not compared: {visible(sentence)}")
    words = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    looked = f"{compared.rules} rules and {compared.assets} assets compared"
    click.echo(f"{sum(counts.values())} differences ({words}); {looked}" if counts else f"no drift; {looked}")
