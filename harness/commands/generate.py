"""``countersign generate``: an organisation's logs, with attacks in them, labels beside them."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress

from backends.errors import Mistake, Mistakes
from generator.attacks import attacks
from generator.world import World
from generator.write import MICRO, Plan, packed, write, write_register

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command(epilog="The same options give the same bytes, on any machine and for any number of shards.")
@click.option("-o", "--output", default="-", metavar="FILE", help="The log: .jsonl or .jsonl.gz; else standard output.")
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
@click.option("--shards", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
def command(
    output: str,
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
    shards: int,
) -> None:
    """Write synthetic logs in the project's schema: honest chains over all stages, and labelled attacks."""
    if wanted == "list":
        for name, attack in attacks().items():
            click.echo(f"{name:32}{(attack.__doc__ or '').strip()}")
        return
    world = World(seed, people, agent_count, servers)
    plan = Plan(events, seed, _micros(start), days, _names(wanted), attack_rate, world)
    if len(plan.names) > plan.chains:
        message = (
            f"{events:,} events hold {plan.chains:,} chains, fewer than {len(plan.names)} attacks; ask for more events"
        )
        raise Mistakes([Mistake("--events", 0, message)])
    if register_out:
        write_register(world.register, register_out)
    with ExitStack() as stack:
        log = stack.enter_context(_file(output))
        told = stack.enter_context(_file(str(labels))) if labels else None
        bar = stack.enter_context(
            Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
        )
        task = bar.add_task("writing", total=events)
        written = write(plan, log, told, shards, lambda count: bar.advance(task, count))
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


def _micros(start: str) -> int:
    try:
        moment = datetime.fromisoformat(start)
    except ValueError:
        raise Mistakes([Mistake("--start", 0, f"{start!r} is no time; write 2026-10-05T00:00:00Z")]) from None
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()) * MICRO


@contextmanager
def _file(name: str) -> Iterator[IO[bytes]]:
    """A file that replaces another only when it is whole; ``-`` is standard output."""
    if name == "-":
        yield sys.stdout.buffer
        return
    path = Path(name)
    if not path.parent.is_dir():
        raise Mistakes([Mistake(name, 0, f"there is no folder {path.parent}; make it first")])
    beside = path.with_name(path.name + ".new")
    try:
        with beside.open("wb") as stream:
            if path.suffix == ".gz":
                with packed(stream) as zipped:
                    yield zipped  # type: ignore[misc]
            else:
                yield stream
        beside.replace(path)
    except OSError as broken:
        raise Mistakes([Mistake(name, 0, f"it can't be written: {broken.strerror}")]) from broken
    finally:
        beside.unlink(missing_ok=True)
