"""The report for a person: what was read, what was found, what could not be seen and why."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule as Line
from rich.table import Table
from rich.text import Text

from backends.errors import visible
from harness.finding import LEVELS, by_level, named
from harness.sentence import short

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.finding import Blind, Finding, ScanResult, Summary

STYLES = {
    "critical": "bold white on red",
    "high": "bold red",
    "medium": "bold yellow",
    "low": "cyan",
    "informational": "dim",
}
FINDINGS_SHOWN = 12
"""Findings of one rule that are written out; the rest is counted, and all are in the JSON report."""

REJECTED_SHOWN = 10
SOURCES_SHOWN = 8

LONGEST = 600
"""Characters of one text that is written out; the JSON report has more."""

PIPED = 110
"""Characters of a line where there is no terminal to ask."""

NARROW = 90
"""Characters of a line below which five columns are no longer readable."""


def render(result: ScanResult, stream: IO[str]) -> None:
    """Write the report; colours only where the stream is a terminal that has them."""
    terminal = stream.isatty()
    console = Console(
        file=stream,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if terminal else PIPED,
        force_terminal=None if terminal else False,
    )
    show(result, console)


def show(result: ScanResult, console: Console) -> None:
    """The whole report on a console (a terminal, a file, or a recorder for a picture)."""
    console.print(_summary(result))
    for level in reversed(LEVELS):
        some = [f for f in result.findings if f.rule.level == level and f.led_by is None]
        if some:
            console.print(Line(Text(f" {level.upper()} · {len(some)} ", STYLES[level]), align="left", style="dim"))
            console.print(Group(*_level(some, result.findings)))
    _blind(result, console)
    _rejected(result, console)
    console.print(Text(_conclusion(result), "bold"))


def _conclusion(result: ScanResult) -> str:
    count = len(result.findings)
    if not result.summary.records:
        return "Nothing was judged: no record could be read."
    if not count:
        records = result.summary.records
        return f"Nothing was found: no rule fired on {records:,} record{'s' * (records != 1)}."
    levels = ", ".join(f"{count:,} {level}" for level, count in by_level(result.findings).items() if count)
    return f"{count:,} finding{'s' * (count != 1)}: {levels}."


def _safe(text: str, style: str = "") -> Text:
    """Text from outside: nothing in it reaches the terminal as a code, is read as markup, or fills the screen."""
    return Text(visible(text, LONGEST), style)


def _summary(result: ScanResult) -> RenderableType:
    s = result.summary
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    sources = ", ".join(f"{short(name)} {count:,}" for name, count in named(s.sources, SOURCES_SHOWN).items())
    stages = ", ".join(f"{name or 'no stage'} {count:,}" for name, count in s.stages.items())
    rows = [
        (
            "read",
            f"{s.lines:,} lines in {s.files} file{'s' * (s.files != 1)}, {s.bytes / 1e6:,.1f} MB, {s.seconds:.1f} s",
        ),
        ("from – to", f"{s.start or '–'} – {s.end or '–'}"),
        ("sources", sources or "–"),
        ("stages", stages or "–"),
        ("chains", _chains(s)),
        ("register", ", ".join(s.register_used) or "none: rules that need one stay quiet"),
        ("rules", f"{s.rules_run} ran"),
    ]
    if s.overwritten:
        rows.append(("overwritten", ", ".join(f"{n} {c:,}" for n, c in s.overwritten.items())))
    if s.duplicates:
        rows.append(("copies", f"{s.duplicates:,} lines were there twice and count once"))
    for name, text in rows:
        grid.add_row(name, _safe(text))
    return Panel(grid, title=Text("who authorised this action?", "bold"), title_align="left", border_style="dim")


def _chains(s: Summary) -> str:
    text = f"{s.chains:,} judged"
    if s.chains_open:
        text += f", {s.chains_open:,} still open"
    if s.chains_ending_in_grace:
        text += f", {s.chains_ending_in_grace:,} ended so late that they may still grow"
    return text


def _level(leaders: list[Finding], findings: Iterable[Finding]) -> Iterable[RenderableType]:
    led: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.led_by:
            led.setdefault(finding.led_by, []).append(finding)
    rules: dict[str, list[Finding]] = {}
    for finding in leaders:
        rules.setdefault(finding.rule.stem, []).append(finding)
    for some in rules.values():
        rule = some[0].rule
        number = f"{rule.number} · " if rule.number is not None else ""
        heading = Text.assemble(
            ("■ ", STYLES[rule.level]), _safe(rule.title, "bold"), _safe(f"  {number}{rule.stem}", "dim")
        )
        yield Padding(heading, (1, 0, 0, 0))
        for finding in some[:FINDINGS_SHOWN]:
            yield Padding(_finding(finding, led.get(finding.id, [])), (0, 0, 0, 2))
        if len(some) > FINDINGS_SHOWN:
            yield Padding(Text(f"… and {len(some) - FINDINGS_SHOWN:,} more of this rule", "dim"), (0, 0, 0, 2))


def _finding(finding: Finding, others: list[Finding]) -> RenderableType:
    seen = finding.first_seen[:19].replace("T", " ")
    last = finding.last_seen[:19].replace("T", " ")
    when = seen if seen == last else f"{seen} – {last if last[:10] != seen[:10] else last[11:]}"
    facts = [
        ("who", finding.who.user or finding.who.effective),
        ("agent", finding.agent),
        ("server", finding.server),
        ("tool", finding.tool),
        ("system", finding.system),
        ("chain", finding.chain.id if finding.chain else None),
    ]
    named = " · ".join(f"{name} {visible(value, 60)}" for name, value in facts if value)
    places = ", ".join(visible(str(record), LONGEST) for record in finding.records[:3])
    more = finding.records_total - min(3, len(finding.records))
    times = f" ×{finding.count:,}" if finding.count > 1 else ""
    lines: list[RenderableType] = [
        _safe(finding.sentence),
        Text(f"{when}{times}" + (f" · {named}" if named else ""), "dim"),
        Text(f"{places}" + (f" and {more:,} more" if more > 0 else ""), "dim italic"),
    ]
    lines += [
        Text.assemble("  └ ", (other.rule.level, STYLES[other.rule.level]), " ", _safe(other.sentence))
        for other in others
    ]
    return Group(*lines)


def _blind(result: ScanResult, console: Console) -> None:
    quiet = result.summary.rules_quiet
    if not result.blind and not quiet:
        return
    console.print(Line(Text(" WHAT COULD NOT BE SEEN, AND WHY ", "bold"), align="left", style="dim"))
    if result.blind:
        console.print(_spots(result.blind) if console.width >= NARROW else Group(*map(_spot, result.blind)))
    by_table: dict[tuple[str, ...], list[str]] = {}
    for stem, tables in quiet.items():
        by_table.setdefault(tables, []).append(stem)
    for tables, stems in by_table.items():
        are = "is" if len(stems) == 1 else "are"
        console.print(_safe(f"{', '.join(stems)} {are} quiet: the register has no {' and no '.join(tables)}.", "dim"))


def _spots(spots: Iterable[Blind]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("source", "stage", "can never say", "records", "so these rules are blind, and what would mend it"):
        table.add_column(heading, overflow="fold")
    for spot in spots:
        last = Text("\n").join(_safe(part) for part in (", ".join(spot.rules), spot.remedy) if part)
        table.add_row(*map(_safe, (spot.source, spot.stage, spot.concept, f"{spot.records:,}")), last)
    return table


def _spot(spot: Blind) -> Text:
    rules = ", ".join(spot.rules)
    can = f"{spot.source} can never say at {spot.stage}: {spot.concept} ({spot.records:,} records). Blind: {rules}."
    return _safe(f"{can} {spot.remedy}".rstrip())


def _rejected(result: ScanResult, console: Console) -> None:
    total = result.summary.rejected_total
    if not total:
        return
    console.print(Line(Text(f" REJECTED LINES · {total:,} ", "bold yellow"), align="left", style="dim"))
    for line in result.rejected[:REJECTED_SHOWN]:
        console.print(_safe(f"{line.file}:{line.line}: {line.reason}"))
    if total > REJECTED_SHOWN:
        console.print(Text(f"… and {total - REJECTED_SHOWN:,} more (--rejects FILE keeps them all)", "dim"))
