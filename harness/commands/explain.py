"""``countersign explain RULE``: what it detects and why, what it reads and needs, and the cases that prove it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from backends.errors import visible
from backends.vocabulary import Vocabulary
from harness.explain import Explanation, explain
from harness.paths import Root
from harness.rule_file import SERVICES
from harness.ruleset import load_rules

if TYPE_CHECKING:
    from collections.abc import Iterable

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


@click.command("explain", epilog="Exit codes: 0 done; 2 no rule has this name; 70 a defect of ours.")
@click.argument("rule")
@click.option("--root", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Content root.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(rule: str, *, root: Path | None, form: str) -> None:
    """Say what a rule means, reads and needs.

    RULE is a stem such as orphan_write, a number of the catalogue, an id, or a file. A glob explains all that it names.
    """
    place = Root.at(root)
    vocabularies = {service: Vocabulary.load(place.schemas / f"{service}.schema.json") for service in SERVICES}
    chosen = load_rules(place.rules, place.schemas).select([rule])
    explained = [explain(each, vocabularies, place.schemas / "cases.schema.json") for each in chosen]
    if form == "json":
        documents = [asdict(each) for each in explained]
        click.echo(json.dumps(documents[0] if len(documents) == 1 else documents, indent=2, ensure_ascii=False))
        return
    console = Console()
    for each in explained:
        show(each, console)


def show(rule: Explanation, console: Console) -> None:
    """Everything, in the order in which a reader asks."""
    number = f"{rule.number}. " if rule.number else ""
    console.print(Text(visible(f"{number}{rule.title}"), style="bold"))
    console.print(Text(visible(f"{rule.level} · {rule.kind} · {rule.chapter} · {rule.stem} · {rule.id}"), style="dim"))
    _section(console, "What and why", [rule.description])
    _section(console, "It fires when", _conditions(rule))
    _section(console, "It reads", _readings(rule))
    _section(console, "It is silent where the source is blind to", rule.blind)
    _section(console, "It needs", _needs(rule))
    _section(console, "Its findings", _findings(rule))
    _section(console, "False positives", rule.false_positives, bullet="-")
    _section(console, "References", rule.references, bullet="-")
    _section(console, "Tags", [f"{tag}: {title}" if title else tag for tag, title in rule.tags.items()], bullet="-")
    for verdict in ("fire", "quiet"):
        told = [f"{case['case']} {case['why']}" for case in rule.cases if case["expect"] == verdict]
        _section(console, f"Cases: {verdict}", told, bullet="-")
    _section(console, "On DuckDB", [rule.duckdb])
    console.print()


def _conditions(rule: Explanation) -> Iterable[str]:
    yield from rule.condition
    for name, tests in rule.detections.items():
        yield f"    {name}"
        yield from (f"        {line}" for line in tests.splitlines())


def _readings(rule: Explanation) -> Iterable[str]:
    for reading in rule.reads:
        yield f"{reading.field}: {reading.about} {reading.origin}"
        yield from (f"    {missing}." for missing in reading.missing)


def _needs(rule: Explanation) -> Iterable[str]:
    record = "chains" if rule.service == "chain" else "records"
    if rule.stages:
        yield f"{record} with stage {' or '.join(rule.stages)}"
    if rule.needs_register:
        yield f"the register's {' and '.join(rule.needs_register)}; without it the rule stays quiet"
    if rule.sharpened_by:
        yield f"better with the register's {', '.join(rule.sharpened_by)}: it then finds more, or errs less"


def _findings(rule: Explanation) -> Iterable[str]:
    record = "chain" if rule.service == "chain" else "record"
    what = "a state that every call repeats" if rule.kind == "posture" else f"a {record} that matched"
    yield f"each tells of {what}: {rule.sentence}"
    yield f"one for each {', '.join(rule.group_by)} and {_period(rule.period_sec)}"
    if rule.fields:
        yield f"look first at {', '.join(rule.fields)}"


def _period(seconds: int) -> str:
    for unit, name in _UNITS:
        if seconds % unit == 0:
            count = seconds // unit
            return name if count == 1 else f"{count} {name}s"
    return f"{seconds} seconds"


def _section(console: Console, title: str, lines: Iterable[str], bullet: str = "") -> None:
    shown = [visible(line) for line in lines]
    if not shown:
        return
    console.print()
    console.print(Text(title, style="bold cyan"))
    for line in shown:
        indent = len(line) - len(line.lstrip())
        text = Text(f"{bullet} {line.lstrip()}" if bullet else line.lstrip())
        console.print(Padding(text, (0, 0, 0, 2 + indent), expand=False))
