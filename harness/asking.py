"""Questions about rules and records, put to the embedded engine."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from backends.duckdb.target import judge
from backends.register import Register
from backends.sources import SourceMaps
from backends.vocabulary import Vocabulary
from harness.case import Bases, load
from harness.flip import Lessons
from harness.given_record import Finder
from harness.inputs import known_source
from harness.naming import Namer
from harness.scan import sources_of
from harness.why_chain import of_chain
from harness.why_correlation import of_correlation
from harness.why_not import Inquiry, Verdict, of_record

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path
    from typing import Any, TypeVar

    from backends.duckdb.target import Sources
    from harness.given_record import Given
    from harness.paths import Root
    from harness.ruleset import Rule
    from harness.why_not import Record, WhyNot

    T = TypeVar("T")

ANSWERS = 5
"""Events of one native record that are told of."""


@dataclass(frozen=True)
class Desk:
    """What the engine needs beside rules and records.

    Attributes:
        root: where schemas and source maps lie.
        events, chains: fields.
        maps: source maps.
        sources: what the engine needs of them.
        tables: the register's.
    """

    root: Root
    events: Vocabulary
    chains: Vocabulary
    maps: SourceMaps
    sources: Sources
    tables: Mapping[str, Sequence[Mapping[str, Any]]]

    @classmethod
    def of(cls, root: Root, register: Path | None = None) -> Desk:
        """The desk of a content root.

        Raises:
            Mistakes: everything that is wrong with source maps or register.
        """
        maps = SourceMaps.load(root.sources)
        tables = (Register.load(register) if register else Register.empty()).tables
        events, chains = Vocabulary.load(root.event_schema), Vocabulary.load(root.chain_schema)
        return cls(root, events, chains, maps, sources_of(maps), tables)

    def inquiry(self, rule: Rule, record: str = "-") -> Inquiry:
        """What is known about a rule before a record is asked about.

        Raises:
            Mistakes: its cases cannot be read.
        """
        schema = self.root.schemas / "cases.schema.json"
        cases = load(rule.cases, schema, self.events) if rule.cases.exists() else []
        lessons = Lessons(cases, Bases.honest(), self.events)
        missing = tuple(table for table in rule.needs_register if not self.tables.get(table))
        namer = Namer(self.chains if rule.service == "chain" else self.events)
        settings = {name: source.settings for name, source in self.maps.items()}
        return Inquiry(rule, lessons, namer, missing, record, settings)

    def find(self, name: str, source: str | None = None) -> Given:
        """A record that a person names, with its surroundings.

        Raises:
            Mistakes: there is none.
        """
        return self.finder(source).named(name)

    def finder(self, source: str | None = None) -> Finder:
        """What finds records in logs.

        Raises:
            Mistakes: there is no such source.
        """
        if source:
            known_source(source, self.maps)
        return Finder(self.maps, source, self.events.structured)

    def verdict(self, records: Sequence[Record], rule: Rule) -> Verdict:
        """One rule on some records, judged together."""
        # ASCII: a lone surrogate from a log has no UTF-8 form
        lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in records]
        judgement = judge(
            lines,
            rules={rule.stem: rule.judged},
            vocabulary=self.events,
            chain_vocabulary=self.chains,
            register=self.tables,
            sources=self.sources,
            joined=rule.service == "chain" or rule.correlation is not None,
        )
        fired = judgement.chain_hits.get(rule.stem, set())
        members = {
            at for chain in judgement.chains if chain["chain.id"] in fired for at in chain["countersign.members"]
        }
        hits = frozenset(judgement.event_hits.get(rule.stem, ())) | members
        return Verdict(judgement.events, hits, judgement.chains, judgement.rejected)

    def put(self, asking: Generator[Sequence[Record], Verdict, T], rule: Rule) -> T:
        """Answer every question until there is an answer."""
        try:
            records = next(asking)
            while True:
                records = asking.send(self.verdict(records, rule))
        except StopIteration as done:
            answer: T = done.value
            return answer


def why_not(desk: Desk, rule: Rule, name: str, source: str | None = None) -> list[WhyNot]:
    """Why a rule does not fire on a record that a person names: one answer for each event it is or was made into.

    Raises:
        Mistakes: there is no such record; the rule's cases cannot be read.
    """
    found = desk.find(name, source)
    inquiry = desk.inquiry(rule)
    answers = []
    for target in found.targets[:ANSWERS]:
        this = replace(found, targets=(target,))
        asked = replace(inquiry, record=found.name)
        if rule.correlation is not None:
            answers.append(desk.put(of_correlation(asked, this), rule))
        elif rule.service == "chain":
            answers.append(desk.put(of_chain(asked, this), rule))
        else:
            answers.append(desk.put(of_record(asked, this.lines[target]), rule))
    return answers
