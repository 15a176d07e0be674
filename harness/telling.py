"""Answers about findings and records as sections of plain text; nothing in them is safe for a terminal yet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.sentence import short

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from harness.explain_finding import FindingExplained
    from harness.quiet_row import Row
    from harness.why_not import Flip, Lack, Reach, Seen, WhyNot

VALUE, TERM = 120, 300
"""Characters of a value, and of a term in words, that are shown."""

PLACES = 5
"""Places that are named; the rest is counted."""


@dataclass(frozen=True)
class Section:
    """A heading and its lines.

    Attributes:
        title: the heading; "" for lines without one.
        lines: each a paragraph.
        bullet: what stands before each line.
        verbatim: whether the lines are to be copied as they are.
    """

    title: str
    lines: Sequence[str]
    bullet: str = ""
    verbatim: bool = False


def why_not_told(answer: WhyNot) -> Iterator[Section]:
    """The answer about one record."""
    where = f"{answer.record}" + (f", a {answer.stage} record" if answer.stage else "")
    if answer.rejected:
        yield Section(f"{answer.rule} can't judge {where}", [f"The record was set aside: {answer.rejected}."])
        return
    verdict = "fires" if answer.fires else "does not fire"
    of = "the chain of " if answer.chain else ""
    yield Section(f"{answer.rule} {verdict} on {of}{where}", [*_first(answer), *answer.notes])
    if answer.chain:
        source = f" (id source: {answer.chain.source})" if answer.chain.source else ""
        yield Section("The chain", [f"{answer.chain.id}{source}: {places(answer.chain.places)}"])
    if answer.reach:
        yield Section("How far it came", list(_reach(answer.reach)))
    yield Section("What else failed", [_lack(lack) for lack in answer.lacks[1:]], bullet="-")
    if not answer.fires:
        yield Section("What would make it fire", [_turning(answer)])


def finding_told(told: FindingExplained) -> Iterator[Section]:
    """Everything about a finding, in the order in which a person asks."""
    finding, rule = told.finding, told.finding["rule"]
    number = f"{rule['number']}. " if rule.get("number") else ""
    yield Section(
        f"{number}{rule['title']}",
        [f"{rule['level']} · {rule['kind']} · {rule['chapter']} · {rule['stem']} · {finding['id']}"],
    )
    yield Section("What happened", [finding["sentence"], *([told.description] if told.description else [])])
    yield Section("Who and when", list(_who_and_when(told)))
    yield Section("Why the rule fired", [_met(each) for each in told.matched], bullet="-")
    yield Section("Look first at", [f"{seen.field}: {value(seen.value)}" for seen in told.first], bullet="-")
    yield Section("Records", list(_records(told)))
    yield Section("What looks like it and is benign", told.false_positives, bullet="-")
    yield Section("What would make it quiet", list(_quiet(told)), bullet="-")
    if told.quiet.own_filter:
        yield Section("A filter of your own", told.quiet.own_filter.splitlines(), verbatim=True)
    yield Section("What to do next", told.next, bullet="-")
    yield Section("Notes", told.notes, bullet="-")


def _first(answer: WhyNot) -> Iterator[str]:
    if answer.lacks:
        yield _lack(answer.lacks[0])
    elif answer.reach and not answer.fires:
        yield "The record takes part, and what must come together did not."


def _lack(lack: Lack) -> str:
    found = "; ".join(_found(seen) for seen in lack.seen)
    more = (
        f" ({lack.others} other way{'s' * (lack.others != 1)} failed too)" if lack.others and not lack.exempts else ""
    )
    if lack.exempts:
        return f"{lack.part} exempts it, since {short(lack.asks, TERM)}: {found}."
    return f"{lack.part} asks that {short(lack.asks, TERM)}: {found}{more}."


def _met(lack: Lack) -> str:
    held = "; ".join(f"{seen.field} is {value(seen.value)}" for seen in lack.seen)
    if lack.exempts:
        return f"{lack.part} did not apply (it asks that {short(lack.asks, TERM)}): {held}"
    return f"{lack.part}: {short(lack.asks, TERM)}; {held}"


def _found(seen: Seen) -> str:
    if seen.value is None:
        return f"{seen.field} is absent" + (f", and {seen.absent}" if seen.absent else "")
    return f"{seen.field} is {value(seen.value)}"


def value(found: Any) -> str:
    """A value as JSON writes it, cut in its middle; "absent" for none."""
    return "absent" if found is None else short(json.dumps(found, ensure_ascii=False, default=str), VALUE)


def places(found: Sequence[str]) -> str:
    """Where records are."""
    more = len(found) - PLACES
    return ", ".join(found[:PLACES]) + (f" and {more:,} more" if more > 0 else "")


def _reach(reach: Reach) -> Iterator[str]:
    yield f"{reach.reached:,} of {reach.needed:,} {reach.counts}, within {reach.window_sec:,} seconds"
    if reach.group:
        yield "group: " + ", ".join(f"{name} {value(held)}" for name, held in reach.group.items())
    if reach.missing:
        yield f"no record of {' or '.join(reach.missing)} in that time"
    yield f"in the window: {places(reach.places)}"


def _turning(answer: WhyNot) -> str:
    if answer.flip:
        return f"{_flip(answer.flip, answer.record)}. The engine judged it so, and the rule fired."
    short_of = answer.reach.needed - answer.reach.reached if answer.reach else 0
    if short_of > 0 and not answer.lacks:
        return f"{short_of:,} more within the window. No change of one field of this record does it."
    count = len(answer.lacks)
    failed = f"{count} terms failed, and no" if count > 1 else "No"
    return f"{failed} change of one field does it: {answer.tried:,} were tried and judged."


def _flip(flip: Flip, here: str = "") -> str:
    at = f" in {flip.place}" if flip.place != here else ""
    if flip.value is None:
        return f"{flip.field} absent{at} (it is {value(flip.was)})"
    was = "it is absent" if flip.was is None else f"it is {value(flip.was)}"
    return f"{flip.field} = {value(flip.value)}{at} ({was})"


def _who_and_when(told: FindingExplained) -> Iterator[str]:
    finding, who = told.finding, told.finding["who"]
    facts = [
        ("person", who["user"]),
        ("identity used", who["effective"]),
        ("kind of actor", who["actor_type"]),
        *((name, finding[name]) for name in ("agent", "server", "tool", "system")),
    ]
    yield from (f"{name}: {value(held)}" for name, held in facts if held)
    count = f"{finding['count']:,} time{'s' * (finding['count'] != 1)}"
    yield f"from {finding['first_seen']} to {finding['last_seen']}, {count}"
    if finding["chain"]:
        source = finding["chain"]["source"]
        yield f"chain: {value(finding['chain']['id'])}" + (f" (id source: {source})" if source else "")
    if told.grouping:
        group = ", ".join(f"{name} {value(held)}" for name, held in finding["group"].items())
        yield f"{told.grouping}" + (f"; here {group}" if group else "")


def _records(told: FindingExplained) -> Iterator[str]:
    total = told.finding["records_total"]
    for record in told.records:
        if record.missing:
            yield f"{record.place}: not shown, {record.missing}"
        else:
            yield f"{record.place}"
            yield from (f"    {name}: {value(held)}" for name, held in record.fields.items())
    if total > len(told.records):
        yield f"and {total - len(told.records):,} more"


def _quiet(told: FindingExplained) -> Iterable[str]:
    if told.quiet.flip:
        yield f"one field: {_flip(told.quiet.flip)}. The engine judged it so, and the rule was quiet"
    if told.quiet.row:
        yield _row(told.quiet.row)
    for name, asks in told.quiet.filters.items():
        yield f"{name} of the rule, which exempts what has {short(asks, TERM)}"


def _row(row: Row) -> str:
    columns = ", ".join(f"{name} {value(held)}" for name, held in row.values.items())
    verb = "the row that is there, saying" if row.known else "a row"
    return f"the register's {row.table}: {verb} {columns}. The engine judged it so, if that is true of your environment"
