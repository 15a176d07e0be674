"""``countersign scan``: logs in, findings out."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from backends.errors import Mistake, Mistakes
from backends.vocabulary import closest
from harness import report
from harness.finding import LEVELS, level_rank
from harness.options import NO_LOGS, STANDARD_INPUT, Progress, Report, ScanOptions, is_log
from harness.paths import Root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from harness.finding import ScanResult

P = ParamSpec("P")
T = TypeVar("T")

_AGO = re.compile(r"(\d+)([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


_MEMORY = re.compile(r"\d+(\.\d+)?\s*[KMGT]i?B", re.ASCII | re.IGNORECASE)
_LONGEST = timedelta(days=3660)


@click.command(
    epilog=f"LEVEL is one of {', '.join(LEVELS)}; TIME is RFC 3339 or 24h for a day ago; SPAN is 90s, 5m, 24h or 2d. "
    "Exit codes: 0 done; 1 --fail-on was met; 2 a mistake in the call, a rule or the register; 70 a defect of ours."
)
@click.argument("logs", nargs=-1, required=True, metavar="LOG…")
@click.option("--source", metavar="NAME", help="Source map of every log; otherwise each file's is detected.")
@click.option("--sources", multiple=True, type=click.Path(path_type=Path), help="Folder of your source maps.")
@click.option("--rules", "selectors", multiple=True, metavar="RULE", help="Stem, number, id, glob, or your folder.")
@click.option("--filters", multiple=True, type=click.Path(path_type=Path), help="Folder of your Sigma filters.")
@click.option("--level", "levels", multiple=True, metavar="LEVEL", help="Only rules of this level.")
@click.option("--chapter", "chapters", multiple=True, metavar="NAME", help="Only rules of this chapter.")
@click.option("--register", type=click.Path(path_type=Path), help="Folder of register tables.")
@click.option("--since", metavar="TIME", help="Judge from this time on.")
@click.option("--until", metavar="TIME", help="Judge only what had settled by this time.")
@click.option("--carry", type=click.Path(path_type=Path, dir_okay=False), help="Start from and keep what is open.")
@click.option("--rejects", type=click.Path(path_type=Path, dir_okay=False), help="Keep rejected lines here.")
@click.option("--fail-on", metavar="LEVEL", help="Exit with 1 for a finding of this level or higher.")
@click.option("--lookback", metavar="SPAN", default="24h", show_default=True, help="How far apart records may join.")
@click.option("--grace", metavar="SPAN", default="5m", show_default=True, help="How long a chain may still grow.")
@click.option("--format", "form", type=click.Choice(report.FORMATS), default="table", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the report here.")
@click.option("--show-sensitive", is_flag=True, help="Show content fields; secrets stay masked.")
@click.option("--memory", metavar="SIZE", help="Memory limit of the engine, such as 800MB.")
@click.option("--threads", type=click.IntRange(1, 256), help="Worker threads.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.option("--root", type=click.Path(path_type=Path), help="Folder that holds rules/ and schemas/.")
@click.pass_context
def command(
    ctx: click.Context,
    logs: tuple[str, ...],
    source: str | None,
    selectors: tuple[str, ...],
    sources: tuple[Path, ...],
    filters: tuple[Path, ...],
    levels: tuple[str, ...],
    chapters: tuple[str, ...],
    register: Path | None,
    since: str | None,
    until: str | None,
    carry: Path | None,
    rejects: Path | None,
    fail_on: str | None,
    lookback: str,
    grace: str,
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

    LOG is a file, a folder, a glob, or - for standard input: a record a line, also packed with gzip or zstd, or Parquet
    with a record a row. What a file is, and its source, is told by its content.
    """
    if carry and not until:
        raise click.UsageError("--carry needs --until: a scan without it treats the end of the logs as settled")
    wrong = _Wrong()
    files = wrong.or_none(found, logs) or ()
    options = ScanOptions(
        logs=files,
        root=wrong.or_none(Root.at, root) or Root.default(),
        source=source,
        rules=selectors,
        sources=sources,
        filters=filters,
        levels=levels,
        chapters=chapters,
        register=register,
        since=wrong.or_none(moment, "--since", since) if since is not None else None,
        until=wrong.or_none(moment, "--until", until) if until is not None else None,
        carry=carry,
        rejects=rejects,
        lookback=wrong.or_none(span, "--lookback", lookback) or timedelta(0),
        grace=wrong.or_none(span, "--grace", grace) or timedelta(0),
        show_sensitive=show_sensitive,
        memory=memory,
        threads=threads,
    )
    if options.since and options.until and options.since >= options.until:
        wrong.found.append(Mistake("--since", 0, "it is not before --until, so nothing would be judged"))
    if memory and not _MEMORY.fullmatch(memory):
        wrong.found.append(Mistake("--memory", 0, f"{memory!r} is no size; write 800MB or 2GB"))
    if fail_on and fail_on not in LEVELS:
        near = closest(fail_on, dict.fromkeys(LEVELS))
        message = f"{fail_on!r} is no level; " + (f"did you mean {near}?" if near else f"take {', '.join(LEVELS)}")
        wrong.found.append(Mistake("--fail-on", 0, message))
    wrong.or_none(writable, files, {"--output": output, "--rejects": rejects, "--carry": carry})
    if wrong.found:
        wrong.of(options)
        raise Mistakes(wrong.found)
    result = _scanned(options, shown=not quiet and sys.stderr.isatty())
    report.write(result, form, output)
    if fail_on and any(level_rank(f.rule.level) >= level_rank(fail_on) for f in result.findings):
        ctx.exit(1)


class _Wrong:
    """Mistakes, kept until all are known."""

    def __init__(self, found: Iterable[Mistake] = ()) -> None:
        self.found = list(found)

    def or_none(self, ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What ``ask`` answers; None where it finds a mistake, or a file that can't be read."""
        try:
            return ask(*args, **kwargs)
        except (Mistakes, OSError) as some:
            found = some.found if isinstance(some, Mistakes) else [_broken(some)]
            self.found += [mistake for mistake in found if mistake not in self.found]
            return None

    def of(self, options: ScanOptions) -> None:
        """What a scan would find wrong with the rules, the source and the register, one after the other."""
        from backends.register import Register  # noqa: PLC0415 - as with the engine
        from backends.sources import SourceMaps  # noqa: PLC0415
        from harness.inputs import known_source  # noqa: PLC0415
        from harness.own import chosen  # noqa: PLC0415

        self.or_none(chosen, options.root, options.rules, options.levels, options.chapters, options.filters)
        known = options.source or options.sources
        maps = self.or_none(SourceMaps.load, options.root.sources, *options.sources) if known else None
        if maps and options.source:
            self.or_none(known_source, options.source, maps)
        if options.register:
            self.or_none(Register.load, options.register)


def _scanned(options: ScanOptions, *, shown: bool) -> ScanResult:
    """The scan; whatever stops it that a person can mend is a mistake, told with all others."""
    import duckdb  # noqa: PLC0415 - so that --help needs no engine

    from harness.scan import scan  # noqa: PLC0415

    try:
        with _progress(shown=shown) as tell:
            return scan(options, tell)
    except Mistakes as some:
        wrong = _Wrong(some.found)
        wrong.of(options)
        raise Mistakes(wrong.found) from some
    except duckdb.OutOfMemoryException as full:
        size = options.memory or "the default"
        message = f"{size} is too little for these logs; give more, such as --memory 2GB, or take --threads 1"
        raise Mistakes([Mistake("--memory", 0, message)]) from full
    except duckdb.IOException as broken:
        reason = str(broken).splitlines()[0]
        message = f"no room for temporary files ({reason}); make room, or set TMPDIR to another folder"
        raise Mistakes([Mistake(tempfile.gettempdir(), 0, message)]) from broken
    except BrokenPipeError:
        raise
    except OSError as broken:
        raise Mistakes([_broken(broken)]) from broken


def _broken(error: OSError) -> Mistake:
    return Mistake(str(error.filename or "scan"), 0, f"it can't be read or written: {error.strerror or error}")


def moment(option: str, text: str) -> datetime:
    """A time in UTC: RFC 3339, or how long ago: ``90m``, ``24h``, ``7d``."""
    try:
        if _AGO.fullmatch(text):
            return datetime.now(UTC) - span(option, text)
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{text!r} is no time; write 2026-10-05T09:00:00Z, or 24h for a day ago"
        raise Mistakes([Mistake(option, 0, message)]) from None


def span(option: str, text: str) -> timedelta:
    """A length of time: ``90s``, ``5m``, ``24h``, ``2d``; at most ten years."""
    match = _AGO.fullmatch(text)
    try:
        length = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None
    except (ValueError, OverflowError):
        length = None
    if length is None or length > _LONGEST:
        message = f"{text!r} is no length of time up to ten years; write 90s, 5m, 24h or 2d"
        raise Mistakes([Mistake(option, 0, message)])
    return length


def found(logs: tuple[str, ...]) -> tuple[str, ...]:
    """Files behind files, folders and globs, in a fixed order, each once, however often and by what path it is named.

    Raises:
        Mistakes: every argument that leads to no file.
    """
    files: dict[str, str] = {}
    missing = []
    for log in logs:
        path = Path(log)
        if log == STANDARD_INPUT or path.is_file():
            some = [log]
        elif path.is_dir():
            some = [str(file) for file in sorted(path.rglob("*")) if is_log(file)]
        else:
            matches = sorted(glob(log, recursive=True)) if has_magic(log) else []  # noqa: PTH207 - globs may be absolute
            some = [match for match in matches if Path(match).is_file()]
        if not some:
            missing.append(Mistake(log, 0, _nothing(log, path)))
        for file in some:
            files.setdefault(file if file == STANDARD_INPUT else str(Path(file).resolve()), file)
    if missing:
        raise Mistakes(missing)
    return tuple(files.values())


def _nothing(log: str, path: Path) -> str:
    if path.is_dir():
        return NO_LOGS
    if path.exists():
        return "it can't be read twice, as a scan does; pipe it in and give - instead"
    return "no file matches" if has_magic(log) else "there is no such file"


def writable(logs: tuple[str, ...], outputs: Mapping[str, Path | None]) -> None:
    """Check before a long scan that its results can be written, and over nothing that is needed.

    Raises:
        Mistakes: a folder that is not there or not ours to write, a log, or a file that two options name.
    """
    taken = {Path(log).resolve(): "one of the logs" for log in logs if log != STANDARD_INPUT}
    wrong = []
    for option, path in outputs.items():
        if path is None:
            continue
        file = path.resolve()
        if not file.parent.is_dir():
            wrong.append(Mistake(str(path), 0, f"{option} can't be written: there is no folder {file.parent}"))
        elif not os.access(file if file.exists() else file.parent, os.W_OK):
            wrong.append(Mistake(str(path), 0, f"{option} can't be written: permission denied"))
        elif file in taken:
            wrong.append(Mistake(str(path), 0, f"{option} would overwrite it, and it is {taken[file]}"))
        if not file.exists() or file.is_file():
            taken.setdefault(file, f"the file of {option}")
    if wrong:
        raise Mistakes(wrong)


@contextmanager
def _progress(*, shown: bool) -> Iterator[Report]:
    if not shown:
        yield lambda _progress: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def tell(progress: Progress) -> None:
            if progress.total is None:  # work of unknown length: the bar stays where the reading left it
                bar.update(task, description=progress.doing)
            else:
                done = min(progress.done, progress.total)
                bar.update(task, description=progress.doing, completed=done, total=progress.total)

        yield tell
