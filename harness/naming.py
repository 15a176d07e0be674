"""Findings made of records: who, where, what made the rule fire, and one plain sentence."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from harness import masking
from harness.finding import RECORDS_SHOWN, ChainRef, Finding, RecordRef, RuleRef, Who, finding_id
from harness.sentence import ITEMS_SHOWN, plain, render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backends.vocabulary import Vocabulary
    from harness.ruleset import Rule

COUNT, VALUES = "correlation.count", "correlation.values"
"""Words of a correlation's sentence: how many records took part, and how many values they held."""

VALUES_SHOWN = 10
"""Items of an array that a finding carries."""


class Namer:
    """Makes findings of one kind of record (events, or chains)."""

    def __init__(self, vocabulary: Vocabulary, *, show_sensitive: bool = False) -> None:
        self._vocabulary, self._show = vocabulary, show_sensitive

    def event_finding(
        self,
        rule: Rule,
        records: Sequence[Mapping[str, Any]],
        places: Sequence[tuple[str, int]],
        *,
        count: int,
        places_total: int,
        seen: tuple[str, str],
        period: str,
        chain: tuple[str, str] | None,
        values: int = 0,
    ) -> Finding:
        """A finding of a single-record rule or a correlation; ``records`` are the first of its group.

        ``values``: how many values a correlation counted.
        """
        first = records[0]
        said = {**first, COUNT: count, VALUES: values, **({"chain.id": chain[0]} if chain else {})}
        return Finding(
            id=finding_id(rule.id, {name: _identity(said.get(name)) for name in rule.group_by}, period),
            rule=reference(rule),
            sentence=render(rule.sentence, said, self._text),
            first_seen=seen[0],
            last_seen=seen[1],
            count=count,
            who=Who(
                self._one(records, "user.key") or self._one(records, "user.email") or self._one(records, "user.id"),
                self._one(records, "user.effective.id"),
                self._one(records, "chain.actor.type"),
            ),
            agent=self._one(records, "gen_ai.agent.id"),
            server=self._one(records, "mcp.server.name"),
            tool=self._one(records, "gen_ai.tool.name"),
            system=self._one(records, "service.target.name"),
            chain=ChainRef(masking.masked(chain[0]), chain[1]) if chain else None,
            group={name: self.shown(name, said[name]) for name in rule.group_by if name in said},
            fields=self._fields(rule, first),
            records=tuple(RecordRef(*place) for place in places[:RECORDS_SHOWN]),
            records_total=places_total,
            tags=tuple(str(tag) for tag in rule.sigma.tags),
        )

    def chain_finding(
        self, rule: Rule, record: Mapping[str, Any], places: Sequence[tuple[str, int]], places_total: int
    ) -> Finding:
        """A finding of a chain rule."""
        return Finding(
            id=finding_id(rule.id, {"chain.id": _identity(record["chain.id"])}, record["chain.start"]),
            rule=reference(rule),
            sentence=render(rule.sentence, record, self._text),
            first_seen=record["chain.start"],
            last_seen=record["chain.end"],
            who=Who(self._one([record], "chain.users"), self._one([record], "chain.effective_users")),
            agent=self._one([record], "chain.agents"),
            server=self._one([record], "chain.servers"),
            tool=self._one([record], "chain.tools"),
            system=self._one([record], "chain.systems"),
            chain=ChainRef(masking.masked(record["chain.id"]), record.get("chain.id_source")),
            group={"chain.id": self.shown("chain.id", record["chain.id"])},
            fields=self._fields(rule, record),
            records=tuple(RecordRef(*place) for place in places[:RECORDS_SHOWN]),
            records_total=places_total,
            tags=tuple(str(tag) for tag in rule.sigma.tags),
        )

    def _fields(self, rule: Rule, record: Mapping[str, Any]) -> dict[str, Any]:
        """What the rule read on this record; an absent field that it read is null."""
        return {name: self.shown(name, record.get(name)) for name in sorted(rule.reads)}

    def shown(self, name: str, value: Any) -> Any:
        """A value of a field as it may be shown: without secrets, and of content only the length."""
        if isinstance(value, list):
            return [self.shown(name, item) for item in value[:VALUES_SHOWN]]
        if isinstance(value, float) and not isfinite(value):
            return str(value)  # JSON has no word for it
        return masking.masked(value, sensitive=self._sensitive(name)) if isinstance(value, str) else value

    def _text(self, name: str, value: Any) -> str:
        if isinstance(value, list):  # what is not named is counted
            return plain(name, [*self.shown(name, value[:ITEMS_SHOWN]), *value[ITEMS_SHOWN:]])
        return plain(name, self.shown(name, value))

    def _sensitive(self, name: str) -> bool:
        known = self._vocabulary.fields.get(name)
        return bool(known and known.sensitive and not self._show and name in masking.CONTENT)

    def _one(self, records: Sequence[Mapping[str, Any]], name: str) -> str | None:
        """The one value that all records share; several are none."""
        values = {
            str(v)
            for r in records
            for v in (r[name] if isinstance(r.get(name), list) else [r.get(name)])
            if v is not None
        }
        return str(self.shown(name, values.pop())) if len(values) == 1 else None


def _identity(value: Any) -> str:
    """A grouping value as it enters a finding's id: masked, since whoever knows the other parts could guess it."""
    return masking.masked(str(value))


def reference(rule: Rule) -> RuleRef:
    """The rule as a finding names it."""
    return RuleRef(rule.id, rule.stem, rule.title, rule.level, rule.chapter, rule.kind, rule.number)
