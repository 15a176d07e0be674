"""``countersign validate``: check records against the schema, or a register against its own."""

from __future__ import annotations

import json
from pathlib import Path

import click

from backends.errors import Mistakes
from harness.paths import Root


@click.command(
    epilog="Exit codes: 0 every record is valid (warnings allowed); 1 at least one is not, or the register has a "
    "mistake; 2 the call itself is mistaken; 70 a defect of ours.",
)
@click.argument("files", nargs=-1, metavar="FILE...")
@click.option("--register", metavar="FOLDER", help="Check the tables of a register instead of a log.")
@click.option("--max-errors", type=click.IntRange(min=0), default=100, show_default=True, help="Bad lines to name.")
@click.option("--strict", is_flag=True, help="Exit with 1 for a warning too.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--root", type=click.Path(path_type=Path), default=None, help="Folder that holds rules/ and schemas/.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    files: tuple[str, ...],
    register: str | None,
    max_errors: int,
    strict: bool,
    form: str,
    root: Path | None,
) -> None:
    """Check records against the schema, line by line.

    FILE is a log with one JSON object a line, also packed with gzip or zstd, or Parquet with a record a row; a folder
    of logs; or - for standard input. What a file is, is told by its content.
    Records may be nested, have dotted keys, or both. Each bad line is named with its field, what was expected and
    what was found. Fields that the schema does not know, and derived fields that arrive in a log, are warnings.
    """
    if bool(files) == bool(register):
        raise click.UsageError("name the logs to check, or a register with --register")
    place = Root.at(root)
    if register:
        ctx.exit(_register(Path(register), form))

    from harness.validate import check, inputs  # noqa: PLC0415 - so that --help needs no compiled validator
    from harness.validator import Validator  # noqa: PLC0415

    validator = Validator(json.loads(place.event_schema.read_text(encoding="utf-8")))
    report = check(inputs(files), validator, max_errors)
    if form == "json":
        click.echo(json.dumps(report.to_dict(), indent=2))
    else:
        for line in report.to_text():
            click.echo(line)
    ctx.exit(1 if report.failed or (strict and report.hints) else 0)


def _register(folder: Path, form: str) -> int:
    from backends.register import Register  # noqa: PLC0415

    try:
        register = Register.load(folder)
    except Mistakes as mistakes:
        if form == "json":
            errors = [{"file": m.file, "line": m.line, "message": m.message} for m in mistakes.found]
            click.echo(json.dumps({"tables": {}, "errors": errors}, indent=2))
        else:
            click.echo("\n".join(map(str, mistakes.found)))
        return 1
    rows = {name: len(table) for name, table in register.tables.items() if table}
    if form == "json":
        click.echo(json.dumps({"tables": rows, "errors": []}, indent=2))
    else:
        click.echo("the register is valid: " + (", ".join(f"{n:,} {name}" for name, n in rows.items()) or "no rows"))
    return 0
