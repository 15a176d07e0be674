"""``countersign scan``: logs in, findings out."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from backends.errors import Mistake, Mistakes
from harness import report
from harness.finding import LEVELS, level_rank
from harness.options import STANDARD_INPUT, Progress, Report, ScanOptions
from harness.paths import Root

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGS = (".jsonl", ".ndjson", ".json", ".log", ".jsonl.gz", ".ndjson.gz", ".json.gz", ".log.gz")
"""Endings of the files that a folder is searched for."""

_AGO = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Moment(click.ParamType[datetime]):
    """RFC 3339, or how long ago: ``90m``, ``24h``, ``7d``."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """An aware time in UTC."""
        ago = _AGO.fullmatch(value)
        if ago:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time; write 2026-10-05T09:00:00Z, or 24h for a day ago", param, ctx)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)


class Span(click.ParamType[timedelta]):
    """A length of time: ``90s``, ``5m``, ``24h``, ``2d``."""

    name = "span"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """A timedelta."""
        if isinstance(value, timedelta):
            return value
        span = _AGO.fullmatch(value)
        if not span:
            self.fail(f"{value!r} is no length of time; write 90s, 5m, 24h or 2d", param, ctx)
        return timedelta(**{_UNITS[span[2]]: int(span[1])})


@click.command(epilog="Exit codes: 0 done; 1 --fail-on was met; 2 a mistake in the call, a rule or the register.")
@click.argument("logs", nargs=-1, required=True, metavar="LOG…")
@click.option("--source", help="Source map of every log; otherwise each file's is detected.")
@click.option("--rules", "selectors", multiple=True, metavar="RULE", help="Stem, number, id or glob; repeatable.")
@click.option("--level", "levels", multiple=True, type=click.Choice(LEVELS), help="Only rules of this level.")
@click.option("--chapter", "chapters", multiple=True, help="Only rules of this chapter.")
@click.option("--register", type=click.Path(path_type=Path), help="Folder of register tables.")
@click.option("--since", type=Moment(), help="Judge from this time on: RFC 3339, or 24h for a day ago.")
@click.option("--until", type=Moment(), help="Judge only what had settled by this time.")
@click.option("--carry", type=click.Path(path_type=Path, dir_okay=False), help="Start from and keep what is open.")
@click.option("--rejects", type=click.Path(path_type=Path, dir_okay=False), help="Keep rejected lines here.")
@click.option("--fail-on", type=click.Choice(LEVELS), help="Exit with 1 for a finding of this level or higher.")
@click.option("--lookback", type=Span(), default="24h", show_default=True, help="How far apart records may join.")
@click.option("--grace", type=Span(), default="5m", show_default=True, help="How long a chain may still grow.")
@click.option("--format", "form", type=click.Choice(report.FORMATS), default="table", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the report here.")
@click.option("--show-sensitive", is_flag=True, help="Show content fields; secrets stay masked.")
@click.option("--memory", help="Memory limit of the engine, such as 800MB.")
@click.option("--threads", type=click.IntRange(min=1), help="Worker threads.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.option("--root", type=click.Path(path_type=Path), help="Folder that holds rules/ and schemas/.")
@click.pass_context
def command(
    ctx: click.Context,
    logs: tuple[str, ...],
    source: str | None,
    selectors: tuple[str, ...],
    levels: tuple[str, ...],
    chapters: tuple[str, ...],
    register: Path | None,
    since: datetime | None,
    until: datetime | None,
    carry: Path | None,
    rejects: Path | None,
    fail_on: str | None,
    lookback: timedelta,
    grace: timedelta,
    form: str,
    output: Path | None,
    memory: str | None,
    threads: int | None,
    root: Path | None,
    *,
    show_sensitive: bool,
    quiet: bool,
) -> None:
    """Find who acted without authority, or without evidence, in logs.

    LOG is a file, a folder, a glob, or - for standard input; gzip is unpacked. The source of each file is detected.
    """
    if carry and not until:
        raise click.UsageError("--carry needs --until: a scan without it treats the end of the logs as settled")
    options = ScanOptions(
        logs=found(logs),
        root=Root(root) if root else Root.default(),
        source=source,
        rules=selectors,
        levels=levels,
        chapters=chapters,
        register=register,
        since=since,
        until=until,
        carry=carry,
        rejects=rejects,
        lookback=lookback,
        grace=grace,
        show_sensitive=show_sensitive,
        memory=memory,
        threads=threads,
    )
    from harness.scan import scan  # noqa: PLC0415 - so that --help needs no engine

    with _progress(shown=not quiet and sys.stderr.isatty()) as tell:
        result = scan(options, tell)
    report.write(result, form, output)
    if fail_on and any(level_rank(f.rule.level) >= level_rank(fail_on) for f in result.findings):
        ctx.exit(1)


def found(logs: tuple[str, ...]) -> tuple[str, ...]:
    """Files behind files, folders and globs, in a fixed order, each once.

    Raises:
        Mistakes: every argument that leads to no file.
    """
    files: dict[str, None] = {}
    missing = []
    for log in logs:
        path = Path(log)
        if log == STANDARD_INPUT or path.is_file():
            some = [log]
        elif path.is_dir():
            some = [str(file) for file in sorted(path.rglob("*")) if file.is_file() and file.name.endswith(LOGS)]
        else:
            matches = sorted(glob(log, recursive=True)) if has_magic(log) else []  # noqa: PTH207 - globs may be absolute
            some = [match for match in matches if Path(match).is_file()]
        if not some:
            what = f"no file in it ends in {', '.join(LOGS[:4])} or .gz" if path.is_dir() else "there is no such file"
            missing.append(Mistake(log, 0, what))
        files.update(dict.fromkeys(some))
    if missing:
        raise Mistakes(missing)
    return tuple(files)


@contextmanager
def _progress(*, shown: bool) -> Iterator[Report]:
    if not shown:
        yield lambda _progress: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def tell(progress: Progress) -> None:
            bar.update(task, description=progress.doing, completed=progress.done, total=progress.total)

        yield tell
