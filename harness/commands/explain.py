"""``countersign explain``: what a rule means, why it fired in a finding, or why it does not fire on a record."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from backends.errors import Mistake, Mistakes, visible
from backends.vocabulary import Vocabulary
from harness.explain import Explanation, explain
from harness.own import chosen
from harness.parameters import in_words
from harness.paths import Root
from harness.rule_file import SERVICES
from harness.ruleset import in_order
from harness.telling import Section, finding_told, why_not_told

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.ruleset import Rule, RuleSet

_ID = re.compile(r"[0-9a-fA-F]{6,20}")


@click.command("explain", epilog="Exit codes: 0 done; 2 no rule, finding or record has this name; 70 a defect of ours.")
@click.argument("what", metavar="RULE|FINDING")
@click.option("--report", type=click.Path(path_type=Path), help="Report (json or jsonl) that holds FINDING.")
@click.option("--why-not", "record", metavar="RECORD", help="Say why RULE does not fire on it: FILE:LINE, FILE or -.")
@click.option("--register", type=click.Path(path_type=Path), help="Folder of register tables to judge with.")
@click.option("--source", metavar="NAME", help="Source map of the log; otherwise it is detected.")
@click.option("--rules", "folders", multiple=True, metavar="DIR", help="Folder of your own rules to look in, too.")
@click.option("--filters", multiple=True, type=click.Path(path_type=Path), help="Folder of your Sigma filters.")
@click.option("--root", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Content root.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    what: str,
    *,
    report: Path | None,
    record: str | None,
    register: Path | None,
    source: str | None,
    folders: tuple[str, ...],
    filters: tuple[Path, ...],
    root: Path | None,
    form: str,
) -> None:
    """Say what a rule means, what a finding means, or why a rule does not fire.

    RULE is a stem such as orphan_write, a number of the catalogue, an id, or a file. A glob explains all that it names.

    FINDING is a finding's id, or the beginning of it, with --report.
    """
    place = Root.at(root)
    if report and record:
        raise click.UsageError("--report is about a finding, --why-not about a rule: take one of them")
    known = _known(place, folders, filters)
    if report:
        _finding(what, report, list(known), place, register, source, form)
        return
    rules = _named(what, known)
    if record:
        _why_not(list(rules), record, place, register, source, form)
        return
    vocabularies = {service: Vocabulary.load(place.schemas / f"{service}.schema.json") for service in SERVICES}
    explained = [explain(each, vocabularies, place.schemas / "cases.schema.json") for each in rules]
    if form == "json":
        documents = [asdict(each) for each in explained]
        click.echo(json.dumps(documents[0] if len(documents) == 1 else documents, indent=2, ensure_ascii=False))
        return
    console = Console()
    for each in explained:
        show(each, console)


def _known(place: Root, folders: tuple[str, ...], filters: tuple[Path, ...]) -> RuleSet:
    """The rules of a person's folders, and those of the pack that they do not replace."""
    pack = chosen(place, filters=filters)
    if not folders:
        return pack
    own = chosen(place, folders, filters=filters)
    taken = {name for rule in own for name in (rule.id, rule.stem)}
    return in_order([*own, *(rule for rule in pack if not taken & {rule.id, rule.stem})])


def _named(what: str, known: RuleSet) -> RuleSet:
    try:
        return known.select([what])
    except Mistakes as unknown:
        if not _ID.fullmatch(what):
            raise
        message = "no rule has this name; if it is a finding's id, --report names the file that scan -o wrote"
        raise Mistakes([Mistake(what, 0, message)]) from unknown


def _finding(
    word: str, report: Path, rules: Sequence[Rule], place: Root, register: Path | None, source: str | None, form: str
) -> None:
    from harness.asking import Desk  # noqa: PLC0415 - the engine is heavy
    from harness.explain_finding import explain_finding  # noqa: PLC0415
    from harness.report_file import finding_of  # noqa: PLC0415

    finding = finding_of(report, word, place.schemas / "finding.schema.json")
    rule = next((each for each in rules if each.id == finding["rule"]["id"]), None)
    told = explain_finding(finding, rule, Desk.of(place, register), source)
    if form == "json":
        click.echo(json.dumps(asdict(told), indent=2, default=str))  # ASCII only: it holds text from a log
        return
    show_sections(finding_told(told), Console())


def _why_not(
    rules: Sequence[Rule], record: str, place: Root, register: Path | None, source: str | None, form: str
) -> None:
    from harness.asking import Desk, why_not  # noqa: PLC0415 - the engine is heavy

    desk = Desk.of(place, register)
    if record == "-" and len(rules) > 1:
        raise click.UsageError("standard input is read once: name one rule")
    answers = [answer for rule in rules for answer in why_not(desk, rule, record, source)]
    if form == "json":
        documents = [asdict(each) for each in answers]
        click.echo(json.dumps(documents[0] if len(documents) == 1 else documents, indent=2, default=str))
        return
    console = Console()
    for each in answers:
        show_sections(why_not_told(each), console)


def show_sections(sections: Iterable[Section], console: Console) -> None:
    """Sections of text that came out of a log in part: none of it reaches the terminal as a code or as markup."""
    for section in sections:
        if section.verbatim:
            console.print()
            console.print(Text(visible(section.title), style="bold cyan"))
            for line in section.lines:
                console.print(Text(f"  {visible(line)}"), soft_wrap=True)
        else:
            _section(console, section.title, section.lines, section.bullet)
    console.print()


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
    yield f"one for each {', '.join(rule.group_by)} and {in_words(rule.period_sec)}"
    if rule.fields:
        yield f"look first at {', '.join(rule.fields)}"


def _section(console: Console, title: str, lines: Iterable[str], bullet: str = "") -> None:
    shown = [visible(line) for line in lines]
    if not shown:
        return
    console.print()
    console.print(Text(visible(title), style="bold cyan"))
    for line in shown:
        indent = len(line) - len(line.lstrip())
        text = Text(f"{bullet} {line.lstrip()}" if bullet else line.lstrip())
        console.print(Padding(text, (0, 0, 0, 2 + indent), expand=False))
