"""What a scan says: findings, blind spots, rejected lines and a summary; how findings are numbered and led."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness.masking import masked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LEVELS = ("informational", "low", "medium", "high", "critical")
"""Sigma's levels, lowest first."""

RECORDS_SHOWN = 20
"""Records listed with a finding; the rest is counted."""

KINDS_SHOWN = 20
"""Sources, or kinds of rejected lines, that a report names; whoever writes a log could invent any number."""


@dataclass(frozen=True)
class RecordRef:
    """A line of a log: path as the person gave it, 1-based line number."""

    file: str
    line: int

    def __str__(self) -> str:
        """``file:line``, as editors open it."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class RuleRef:
    """The rule that fired.

    Attributes:
        id: Sigma's UUID.
        stem: file name without ``mcp_`` and suffix: what a person types.
        title: Sigma's title.
        level: one of ``LEVELS``.
        chapter: folder under ``rules/``.
        kind: ``incident`` (a record or chain) or ``posture`` (a state that every call repeats).
        number: its number in the catalogue, if it has one.
    """

    id: str
    stem: str
    title: str
    level: str
    chapter: str
    kind: str = "incident"
    number: int | None = None


@dataclass(frozen=True)
class Who:
    """The human principal, the identity really used, and what kind of actor it was; None is unknown."""

    user: str | None = None
    effective: str | None = None
    actor_type: str | None = None


@dataclass(frozen=True)
class ChainRef:
    """A chain and what joined it (``chain.id_source``)."""

    id: str
    source: str | None = None


@dataclass(frozen=True)
class Finding:
    """One finding: a rule that fired on one group of records within one period.

    Attributes:
        id: ``finding_id(rule.id, group, period_start)``; stays the same from scan to scan.
        sentence: what happened, in one plain sentence, safe to print.
        first_seen, last_seen: RFC 3339, microseconds, ``Z``.
        count: records (event rules) or chains (chain rules) that made it fire.
        agent, server, tool, system: the one concerned, or None where unknown or several.
        chain: the one chain it happened in, None when it spans several.
        group: the grouping fields and their values.
        fields: the fields that made it fire, masked.
        records: the first ``RECORDS_SHOWN`` lines; ``records_total`` counts them all.
        also: stems of the rules of the same incident that this one leads.
        led_by: id of the finding that leads this one; None for a leader.
        tags: the rule's tags.
    """

    id: str
    rule: RuleRef
    sentence: str
    first_seen: str
    last_seen: str
    count: int = 1
    who: Who = Who()
    agent: str | None = None
    server: str | None = None
    tool: str | None = None
    system: str | None = None
    chain: ChainRef | None = None
    group: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    records: tuple[RecordRef, ...] = ()
    records_total: int = 0
    also: tuple[str, ...] = ()
    led_by: str | None = None
    tags: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON form that ``schemas/finding.schema.json`` describes."""
        document = asdict(self)
        if self.rule.number is None:
            del document["rule"]["number"]
        document["group"], document["fields"] = dict(self.group), dict(self.fields)
        document["records"] = [asdict(record) for record in self.records[:RECORDS_SHOWN]]
        document["records_total"] = max(self.records_total, len(self.records))
        document["also"], document["tags"] = list(self.also), list(self.tags)
        return document


@dataclass(frozen=True)
class Blind:
    """What the records of one source and stage can never say.

    Attributes:
        source: the source map (``event.dataset``).
        stage: ``chain.stage`` of the records.
        concept: what they lack: prompt, user, scope, response, correlation …
        records: how many records are concerned.
        rules: stems of the rules that it makes blind.
        remedy: one sentence: which field to add, and where.
    """

    source: str
    stage: str
    concept: str
    records: int
    rules: tuple[str, ...] = ()
    remedy: str = ""


@dataclass(frozen=True)
class Rejected:
    """A line that could not be read, and why in one sentence, in which a secret of the line is masked."""

    file: str
    line: int
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", masked(self.reason))


@dataclass(frozen=True)
class Summary:
    """What was read and what was not.

    Attributes:
        files, bytes, lines: read, after unpacking.
        start, end: time of the first and last record, RFC 3339, or None without records.
        sources: records by source map.
        stages: records by ``chain.stage``; ``""`` for records without a stage.
        chains: chains judged.
        chains_open: chains not judged yet: written to the carry file.
        chains_ending_in_grace: chains judged though they end within the grace window of the end of the logs.
        duplicates: records dropped because the same record was there before.
        rejected: rejected lines by kind of reason.
        overwritten: derived fields that arrived in a log and were computed anew, by field.
        unknown_fields: fields that the schema does not name: how many records carry any.
        seconds: wall clock of the scan.
        rules_run: how many rules judged.
        register_used, register_absent: tables of the register that were there, and that were not.
        rules_quiet: stems of rules that could not fire for want of a register, with the tables they need.
    """

    files: int = 0
    bytes: int = 0
    lines: int = 0
    start: str | None = None
    end: str | None = None
    sources: Mapping[str, int] = field(default_factory=dict)
    stages: Mapping[str, int] = field(default_factory=dict)
    chains: int = 0
    chains_open: int = 0
    chains_ending_in_grace: int = 0
    duplicates: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    overwritten: Mapping[str, int] = field(default_factory=dict)
    unknown_fields: int = 0
    seconds: float = 0.0
    rules_run: int = 0
    register_used: tuple[str, ...] = ()
    register_absent: tuple[str, ...] = ()
    rules_quiet: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """Good records, over all stages."""
        return sum(self.stages.values())

    @property
    def rejected_total(self) -> int:
        """Rejected lines, over all reasons."""
        return sum(self.rejected.values())


@dataclass(frozen=True)
class ScanResult:
    """Everything a report needs. ``rejected`` may be bounded; ``summary.rejected`` counts them all."""

    findings: tuple[Finding, ...] = ()
    blind: tuple[Blind, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    summary: Summary = field(default_factory=Summary)

    def to_dict(self) -> dict[str, Any]:
        """The whole document, as ``--format json`` writes it."""
        summary = asdict(self.summary)
        summary["records"], summary["rejected_total"] = self.summary.records, self.summary.rejected_total
        summary["sources"], summary["rejected"] = named(self.summary.sources), named(self.summary.rejected)
        summary["findings"] = by_level(self.findings)
        return {
            "summary": summary,
            "findings": [finding.to_dict() for finding in self.findings],
            "blind": [asdict(blind) for blind in self.blind],
            "rejected": [asdict(rejected) for rejected in self.rejected],
        }


def named(counts: Mapping[str, int], most: int = KINDS_SHOWN) -> dict[str, int]:
    """Counts by names that came out of a log: secrets masked, and only the largest, in the order given."""
    shown: dict[str, int] = {}
    largest = set(sorted(counts, key=lambda name: (-counts[name], name))[:most])
    for name, count in counts.items():
        text = masked(name) if name in largest else "(others)"
        shown[text] = shown.get(text, 0) + count
    return shown


def by_level(findings: Iterable[Finding]) -> dict[str, int]:
    """Findings counted by level, highest level first, every level named."""
    counts = dict.fromkeys(reversed(LEVELS), 0)
    for finding in findings:
        counts[finding.rule.level] += 1
    return counts


def finding_id(rule_id: str, group: Mapping[str, Any], period_start: str) -> str:
    """A stable id: the same rule, group and period give the same 20 hexadecimal digits on every scan."""
    # ensure_ascii: a lone surrogate from a log has no UTF-8 form
    identity = json.dumps([rule_id, sorted(group.items()), period_start], ensure_ascii=True, default=str)
    return hashlib.sha256(identity.encode()).hexdigest()[:20]


def led(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings in the order of a report, each incident led by its highest rule.

    Findings of one incident are those of one chain; those that span chains, and posture findings, belong together when
    their group and first period are the same. The leader names the others' rules in ``also``; they name it in ``led_by``.
    """
    incidents: dict[str, list[Finding]] = {}
    for finding in sorted(findings, key=_rank):
        incidents.setdefault(_incident(finding), []).append(finding)
    ordered: list[Finding] = []
    for leader, *others in incidents.values():
        stems = dict.fromkeys(other.rule.stem for other in others if other.rule.stem != leader.rule.stem)
        ordered.append(replace(leader, also=tuple(stems), led_by=None))
        ordered.extend(replace(other, also=(), led_by=leader.id) for other in others)
    return tuple(ordered)


def level_rank(level: str) -> int:
    """0 for informational … 4 for critical."""
    return LEVELS.index(level)


def _rank(finding: Finding) -> tuple[int, str, int, str, str]:
    """Highest level first, then earliest, then by catalogue."""
    number = finding.rule.number if finding.rule.number is not None else 1_000
    return -level_rank(finding.rule.level), finding.first_seen, number, finding.rule.stem, finding.id


def _incident(finding: Finding) -> str:
    if finding.rule.kind == "incident" and finding.chain is not None:
        # a tool-call id names a chain only within its agent: `call_0` repeats
        whose = f" of {finding.agent}" if finding.chain.source == "tool_call" else ""
        return f"chain {finding.chain.id}{whose}"
    # a day is the period of posture rules; two rules with other periods still meet on the day
    same = sorted((name, str(value)) for name, value in finding.group.items())
    return f"{finding.rule.kind} {json.dumps(same)} {finding.first_seen[:10]}" if same else f"finding {finding.id}"
