"""What a finding means: which terms matched with which values, what would make it quiet, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from backends.absence import WrongType, absent, normalise
from backends.errors import Mistakes
from harness.filter_file import part_in_words
from harness.finding import RecordRef
from harness.flip import proposals
from harness.naming import Namer
from harness.oracle import meaning
from harness.own_filter import is_masked, own_filter
from harness.parameters import in_words
from harness.quiet_row import Row, quieting_row
from harness.terms import by_name, met, part_of, words
from harness.why_chain import chain_of, turned_chain
from harness.why_not import Lack, Seen, raw, turned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.asking import Desk
    from harness.given_record import Finder, Given
    from harness.ruleset import Rule
    from harness.terms import Told
    from harness.why_not import Flip

    Facts = Mapping[str, Any]

RECORDS = 3
"""Records of a finding that are shown."""


@dataclass(frozen=True)
class RecordShown:
    """A record of a finding: where it is, and its fields as they were sent, masked; or why it is not shown."""

    place: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    missing: str = ""


@dataclass(frozen=True)
class Quiet:
    """What would make a finding quiet.

    Attributes:
        flip: a change of one field of a record; the engine has judged it.
        row: a row of the register; the engine has judged it.
        filters: the rule's own filters in words, by name.
        own_filter: a Sigma filter of one's own, as text; "" where nothing in the finding tells it apart.
    """

    flip: Flip | None = None
    row: Row | None = None
    filters: Mapping[str, str] = field(default_factory=dict)
    own_filter: str = ""


@dataclass(frozen=True)
class FindingExplained:
    """What ``explain FINDING`` says.

    Attributes:
        finding: as in the report, masked there.
        description: why it matters, from the rule.
        matched: the rule's terms with the values of the finding.
        grouping: which hits are one finding, in words.
        false_positives: benign situations that look like it.
        first: the fields to look at first, with their values.
        records: the first records, masked.
        quiet: what would make it quiet.
        next: what to do, step by step.
        notes: what bears on the answer.
    """

    finding: Facts
    description: str = ""
    matched: tuple[Lack, ...] = ()
    grouping: str = ""
    false_positives: tuple[str, ...] = ()
    first: tuple[Seen, ...] = ()
    records: tuple[RecordShown, ...] = ()
    quiet: Quiet = field(default_factory=Quiet)
    next: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def explain_finding(finding: Facts, rule: Rule | None, desk: Desk, source: str | None = None) -> FindingExplained:
    """Explain a finding of a report.

    Args:
        finding: as ``schemas/finding.schema.json`` describes it.
        rule: the rule that fired; None where none has its id any more.
        desk: what the engine needs; with the register of the scan, if there was one.
        source: the source map that the scan was told to read its logs by.

    Raises:
        Mistakes: the rule's cases cannot be read; there is no such source.
    """
    finder = desk.finder(source)
    found = [_found(finder, RecordRef(**ref), finding, desk) for ref in finding["records"][:RECORDS]]
    records = tuple(_shown(RecordRef(**ref), each, desk) for ref, each in zip(finding["records"], found, strict=False))
    if rule is None:
        note = "no rule here has the id of this finding's: it is of another version, or of a folder that --rules names"
        return FindingExplained(finding, records=records, next=tuple(_next(finding, "")), notes=(note,))
    values = {**finding["group"], **finding["fields"]}
    given = next((each for each in found if not isinstance(each, str)), None)
    told, quiet, notes = _again(given, values, rule, desk)
    quiet = replace(quiet, filters=dict(_filters(rule)), own_filter=own_filter(finding, rule))
    return FindingExplained(
        finding=finding,
        description=" ".join(str(rule.sigma.description or "").split()),
        matched=tuple(_matched(each, values) for each in told),
        grouping=_grouping(rule),
        false_positives=tuple(rule.sigma.falsepositives or ()),
        first=tuple(Seen(name, values[name]) for name in rule.fields if not absent(values.get(name))),
        records=records,
        quiet=quiet,
        next=tuple(_next(finding, quiet.own_filter)),
        notes=notes,
    )


def _found(finder: Finder, place: RecordRef, finding: Facts, desk: Desk) -> Given | str:
    """The record at a place of the report, if it still is the one that was found."""
    try:
        given = finder.at(place.file, place.line)
    except Mistakes as mistakes:
        return mistakes.found[0].message
    for target in given.targets:
        try:
            record = normalise(raw(given.lines[target], desk.events), desk.events)
        except WrongType:
            continue
        if finding["first_seen"] <= record.get("@timestamp", "") <= finding["last_seen"]:
            return replace(given, targets=(target,))
    return "another record is there now: the log has changed since the scan"


def _shown(place: RecordRef, found: Given | str, desk: Desk) -> RecordShown:
    if isinstance(found, str):
        return RecordShown(str(place), missing=found)
    namer = Namer(desk.events)
    record = raw(found.lines[found.target], desk.events)
    return RecordShown(str(place), {name: namer.shown(name, value) for name, value in record.items()})


def _again(given: Given | None, values: Facts, rule: Rule, desk: Desk) -> tuple[Sequence[Told], Quiet, tuple[str, ...]]:
    """What matched, and what would make it quiet, as far as the records at hand can be judged again."""
    said = _met(rule, values)
    if given is None:
        return said, Quiet(), ("the records are not at hand, so no change of them was judged",)
    if rule.correlation is not None:
        return said, Quiet(), ()
    inquiry = desk.inquiry(rule, str(given.places[given.target]))
    of_chains = rule.service == "chain"
    lines = list(given.lines) if of_chains else [given.lines[given.target]]
    at = given.target if of_chains else 0
    verdict = desk.verdict(lines, rule)
    facts = verdict.events[at]
    chain = chain_of(verdict, at) if of_chains else None
    if facts is None or at not in verdict.hits or (of_chains and chain is None):
        note = "judged again, with what is at hand, the rule does not fire: the scan had a register or other logs too"
        return said, Quiet(), (note + " (--register DIR gives one)" * (not any(desk.tables.values())),)
    flip: Flip | None
    if chain is not None:
        told: Sequence[Told] = met(by_name(rule.parts[0]), chain)
        flip, _ = desk.put(turned_chain(inquiry, given, chain, told, to_fire=False), rule)
    else:
        told = met(by_name(rule.parts[0]), facts)
        record = raw(lines[0], desk.events)
        changes = proposals(record, told, inquiry.lessons, to_fire=False, stage=facts.get("chain.stage"))
        flip = desk.put(turned(inquiry, record, changes, to_fire=False), rule)

    def quiet(other: Desk) -> bool:
        again = other.verdict(lines, rule)
        return again.events[at] is not None and at not in again.hits

    row = quieting_row(desk, rule, facts, inquiry.lessons.bases, quiet)
    return told, Quiet(flip, row), ()


def _met(rule: Rule, values: Facts) -> Sequence[Told]:
    """What matched, by the report alone; of a correlation, in the base rule that its first record meets."""
    hidden = frozenset(name for name, value in values.items() if is_masked(value))
    parts = [part for part in rule.parts if meaning(part).holds(values)]
    return met(by_name((parts or list(rule.parts))[0]), values, hidden)


def _matched(told: Told, values: Facts) -> Lack:
    seen = tuple(Seen(name, values.get(name)) for name in told.fields)
    return Lack(part_in_words(told.part), words(told.term), not told.wanted, seen, told.others)


def _filters(rule: Rule) -> Iterator[tuple[str, str]]:
    """The rule's filters, each with what it exempts, in words."""
    for part in rule.parts:
        base = f"{part.name}." if rule.correlation else ""
        for name in part.detection.detections:
            if name.startswith("filter_"):
                yield base + name, words(part_of(name, part).terms[0])


def _grouping(rule: Rule) -> str:
    if rule.correlation is not None:
        by = ", ".join(rule.group_by) or "all records together"
        return f"one finding for each {by} and {in_words(rule.period_sec)}"
    if rule.service == "chain":
        return "one finding for each chain"
    return f"one finding for each {', '.join(rule.group_by)} and {in_words(rule.period_sec)}"


def _next(finding: Facts, own: str) -> Iterator[str]:
    """What to do, step by step."""
    rule, who = finding["rule"], finding["who"]
    if rule["kind"] == "posture":
        yield "It is a state of a system, told again in each period until it is changed: mend the setting."
    elif who["user"]:
        yield f"Ask {who['user']} whether this was meant."
    elif finding["agent"] or who["effective"]:
        yield f"No person is named: ask whoever owns {finding['agent'] or who['effective']} what ran then."
    else:
        yield "Nobody is named: find in the log of the system who called it at that time."
    if finding["led_by"]:
        yield f"It is part of an incident that {finding['led_by']} leads; explain that one first."
    if finding["also"]:
        yield f"The same incident is told by {', '.join(finding['also'])} too: read these findings with it."
    if own:
        yield (
            "If it is expected here, keep the filter above in a folder of your own, with a case that it exempts and "
            "one that it must not: countersign test DIR proves it, countersign scan --filters DIR applies it."
        )
    yield f"countersign explain {rule['stem']} tells all that the rule reads and needs."
