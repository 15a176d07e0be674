"""``countersign generate``: an organisation's logs, with attacks in them, labels beside them."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from backends.errors import Mistake, Mistakes
from generator.attacks import attacks
from generator.clock import SECOND, micros
from generator.native import SOURCES, onboarded
from generator.plan import Plan
from generator.world import World
from generator.write import write, write_register, write_sources
from harness.log_files import check, logs, new_file, packing
from harness.paths import Root

FORMS = ".jsonl, .gz, .zst or .parquet"
LAST = micros("9999-12-31T00:00:00Z")
"""Years of five digits are no RFC 3339; the last records of a log may come hours after its end."""


@click.command(epilog="The same options give the same bytes, on any machine and for any number of shards.")
@click.option(
    *("-o", "--output"),
    default="-",
    metavar="FILE",
    help=f"The log: {FORMS}; - is standard output. A folder where a product has several files.",
)
@click.option("--native", "source", metavar="SOURCE", help=f"As a product logs it: {', '.join(SOURCES)}.")
@click.option("--events", type=click.IntRange(min=1), default=100_000, show_default=True, help="About how many.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--start", default="2026-10-05T00:00:00Z", show_default=True, help="When the log begins, RFC 3339.")
@click.option("--days", type=click.FloatRange(min=0.01), default=7.0, show_default=True, help="How long it is.")
@click.option("--attacks", "wanted", default="all", show_default=True, help="all, none, list, or names: a,b,c.")
@click.option("--attack-rate", type=click.FloatRange(0, 1), default=0.001, show_default=True, help="Of all chains.")
@click.option("--people", type=click.IntRange(min=2), default=500, show_default=True)
@click.option("--agents", "agent_count", type=click.IntRange(min=5), default=40, show_default=True)
@click.option("--servers", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--labels", type=click.Path(path_type=Path, dir_okay=False), help="What was attacked, a chain a line.")
@click.option("--register-out", type=click.Path(path_type=Path, file_okay=False), help="The register, as CSV files.")
@click.option(
    "--sources-out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Tell also of two logs that can never say something, and write their source maps here.",
)
@click.option("--shards", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
def command(
    output: str,
    source: str | None,
    events: int,
    seed: int,
    start: str,
    days: float,
    wanted: str,
    attack_rate: float,
    people: int,
    agent_count: int,
    servers: int,
    labels: Path | None,
    register_out: Path | None,
    sources_out: Path | None,
    shards: int,
) -> None:
    """Write synthetic logs, in the project's schema or as a product would: honest chains, and labelled attacks."""
    if wanted == "list":
        for name, attack in attacks().items():
            click.echo(f"{name:32}{(attack.__doc__ or '').strip()}")
        return
    check(output, source, labels)
    world = World(seed, people, agent_count, servers, own_sources=sources_out is not None)
    pack = packing(output, source, Root.default().event_schema)
    plan = Plan(events, seed, _begin(start, days), days, _names(wanted), attack_rate, world, pack, source)
    if len(plan.names) > plan.chains:
        message = (
            f"{events:,} events hold {plan.chains:,} chains, fewer than {len(plan.names)} attacks; ask for more events"
        )
        raise Mistakes([Mistake("--events", 0, message)])
    if register_out:
        try:
            write_register(onboarded(world.register, source) if source else world.register, register_out)
        except OSError as broken:
            message = f"the register can't be written there: {broken.strerror}"
            raise Mistakes([Mistake(str(register_out), 0, message)]) from broken
    if sources_out:
        try:
            write_sources(sources_out)
        except OSError as broken:
            message = f"the source maps can't be written there: {broken.strerror}"
            raise Mistakes([Mistake(str(sources_out), 0, message)]) from broken
    with ExitStack() as stack:
        files = stack.enter_context(logs(output, source, pack))
        told = stack.enter_context(new_file(str(labels))) if labels else None
        bar = stack.enter_context(
            Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
        )
        task = bar.add_task("writing", total=events)
        written = write(plan, files, told, shards, lambda count: bar.advance(task, count))
    click.echo(f"{written.events:,} events, {written.attacks:,} attacked chains", err=True)


def _names(wanted: str) -> tuple[str, ...]:
    known = tuple(attacks())
    if wanted in {"all", "none"}:
        return known if wanted == "all" else ()
    names = tuple(name.strip() for name in wanted.split(",") if name.strip())
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Mistakes([Mistake(name, 0, f"no attack has this name; there are {', '.join(known)}") for name in unknown])
    return names


def _begin(start: str, days: float) -> int:
    """Microseconds since 1970, of a log that ends before the year 10000."""
    try:
        moment = datetime.fromisoformat(start)
    except ValueError:
        raise Mistakes([Mistake("--start", 0, f"{start!r} is no time; write 2026-10-05T00:00:00Z")]) from None
    begin = int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()) * SECOND
    if not (begin >= 0 and begin + days * 86_400 * SECOND < LAST):  # so that days may be no number
        message = f"a log of {days:g} days from {start} lies not between the years 1970 and 9999"
        raise Mistakes([Mistake("--start", 0, message)])
    return begin
