"""``countersign replay``: a kit that sends attacks into a SIEM and asks which rules fired."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import click

from backends.errors import Mistake, Mistakes, visible
from backends.register import Register
from backends.sources import SourceMaps
from backends.target import load
from backends.vocabulary import Vocabulary
from harness.case import Bases, moment
from harness.own import chosen
from harness.paths import Root
from harness.replay.choosing import Maker, marked
from harness.replay.forms import FORMS
from harness.replay.writing import files, written
from harness.scan import sources_of

MARK = "a-z, 0-9 and -, 40 characters at most"
EARLIEST, LATEST = datetime(1980, 1, 1, tzinfo=UTC), datetime(2250, 1, 1, tzinfo=UTC)


@click.command(
    epilog="Exit codes: 0 done; 1 a rule is not in the kit, and why is said; "
    "2 a rule, filter, register, time or folder is mistaken: nothing was written.",
)
@click.argument("target", type=click.Choice(list(FORMS)))
@click.argument("rules", nargs=-1, metavar="[RULE|DIR]...")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the kit."
)
@click.option("--at", "when", default="now", metavar="TIME", help="Time of the last records, RFC 3339; by default now.")
@click.option("--mark", help=f"Tells this kit's records from all others ({MARK}); by default made from time and rules.")
@click.option("--register", type=click.Path(path_type=Path), help="Your own register, where the SIEM has it already.")
@click.option("--filters", multiple=True, type=click.Path(path_type=Path), help="Folder of your Sigma filters.")
@click.option("--root", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Content root.")
def command(
    target: str,
    rules: tuple[str, ...],
    *,
    output: Path,
    when: str,
    mark: str | None,
    register: Path | None,
    filters: tuple[Path, ...],
    root: Path | None,
) -> None:
    """Make a kit: for each rule an attack and honest work that looks like it, as TARGET takes records in.

    RULE is a stem, a number, an id, a file or a glob of stems; DIR a folder of your own rules. Without either, all
    rules of the pack. The kit needs no countersign where it is used: send.py sends, check.py asks which rules fired.
    """
    place, at = Root.at(root), _time(when)
    wanted = list(chosen(place, rules, filters=filters))
    mark = _checked(mark or marked(at, [rule.stem for rule in wanted]))
    fields = Vocabulary.load(place.event_schema), Vocabulary.load(place.chain_schema)
    sources = sources_of(SourceMaps.load(place.sources))
    own = {name: list(rows) for name, rows in Register.load(register).tables.items()} if register else None
    schema = place.schemas / "cases.schema.json"
    plan = Maker(wanted, *fields, sources, Bases.honest(), schema, at, mark, own).plan()
    made, refused = files(plan, FORMS[target], load(target), wanted, fields, sources, version("countersign"))
    written(made, output)
    attacks = sum(1 for case in plan.cases if case.fires)
    click.echo(
        f"{visible(str(output))}: {sum(len(case.records) for case in plan.cases)} records, {attacks} attacks and "
        f"{len(plan.cases) - attacks} honest cases, marked {mark}"
    )
    for name, why in {**plan.left_out, **refused}.items():
        click.echo(f"{visible(name)}: {visible(why)}", err=True)
    sys.exit(1 if plan.left_out or refused else 0)


def _time(when: str) -> datetime:
    if when == "now":
        return datetime.now(UTC).replace(microsecond=0)
    try:
        at = moment(when)
    except (ValueError, OverflowError):
        raise Mistakes([Mistake("--at", 0, f"{when!r} is no time; write it as 2026-11-23T08:00:00Z")]) from None
    if not EARLIEST <= at <= LATEST - timedelta(days=1):
        raise Mistakes([Mistake("--at", 0, f"{when!r} is outside the years 1980 to 2249")])
    return at


def _checked(mark: str) -> str:
    if not 0 < len(mark) <= 40 or set(mark) - set("abcdefghijklmnopqrstuvwxyz0123456789-"):  # noqa: PLR2004 - MARK
        raise Mistakes([Mistake("--mark", 0, f"{mark!r} is no mark; use {MARK}")])
    return mark
