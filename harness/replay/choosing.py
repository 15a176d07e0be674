"""Which records a kit holds: for each rule one case that fires and one that is quiet, all in one world.

A SIEM holds one register and sees all records at once, so what a case proves alone must be true among the others. The
embedded engine judges the whole kit; where a case does not hold there, the next of the same rule is taken.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from backends.duckdb.target import judge
from backends.errors import Mistakes
from backends.register import Register
from harness.case import moment, put, rfc3339
from harness.isolation import moved as moved_records
from harness.isolation import own_keys
from harness.pairing import subject_of
from harness.replay import world

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from backends.duckdb.target import Judgement, Sources
    from backends.vocabulary import Vocabulary
    from harness.case import Bases, Case, Tables
    from harness.matrix import Subject
    from harness.ruleset import Rule

PREFIX = "countersign-replay-"
"""Every record's ``event.id`` begins so, and then with the kit's mark: by it records are found and deleted."""

ATTACK, BENIGN = "attack", "benign"
APART = timedelta(milliseconds=1)
"""Between the last records of two cases: so the begin of a chain says of which case it is."""

ROUNDS = 20
"""How often the whole is judged at most; each time every case that did not hold is replaced."""


@dataclass(frozen=True)
class Replayed:
    """A case of a kit.

    Attributes:
        stem: of the rule that it is about.
        fires: whether that rule must fire.
        sentence, why: of the case.
        records: nested, dated so that the last is the kit's time.
    """

    stem: str
    fires: bool
    sentence: str
    why: str
    records: tuple[dict[str, Any], ...]

    @property
    def label(self) -> str:
        """``<stem>/attack`` or ``<stem>/benign``."""
        return f"{self.stem}/{ATTACK if self.fires else BENIGN}"


@dataclass(frozen=True)
class Plan:
    """What a kit holds, whatever the SIEM.

    Attributes:
        mark: tells this kit's records from all others.
        at: time of the last record of each case.
        cases: in the order of the rules, attack before benign.
        tables: the register that the cases need.
        expected: label → stems of all rules that fire on the case.
        bare: the same with an empty register.
        chains: microseconds from `at` to the begin of a chain → label of the case that it is made of. A chain of
            records without any id is called otherwise by each engine; its begin is the same.
        left_out: label → why there is no such case.
    """

    mark: str
    at: datetime
    cases: tuple[Replayed, ...]
    tables: Tables
    expected: Mapping[str, tuple[str, ...]]
    bare: Mapping[str, tuple[str, ...]]
    chains: Mapping[int, str]
    left_out: Mapping[str, str]


@dataclass(frozen=True)
class Maker:
    """What makes a plan.

    Attributes:
        rules: in the order of the catalogue.
        events, chains: fields.
        sources: what the source maps say.
        bases: honest records and register.
        schema: of cases.
        at: time of the last record of each case.
        mark: see `Plan`.
        register: a team's own register, which nothing is added to; None: the honest world's.
    """

    rules: Sequence[Rule]
    events: Vocabulary
    chains: Vocabulary
    sources: Sources
    bases: Bases
    schema: Any
    at: datetime
    mark: str
    register: Tables | None = None

    def plan(self) -> Plan:
        """Choose the cases.

        Raises:
            Mistakes: everything that is wrong with cases or register.
        """
        waiting = {
            (s.stem, fires): list(self._ways(s, fires=fires)) for s in self._subjects() for fires in (True, False)
        }
        known = {key for key, ways in waiting.items() if ways}
        judged: Judgement | None = None
        for _ in range(ROUNDS):
            grown, cases = self._gathered(waiting)
            tables = self._tables(grown)
            fired, chains, judged = self._fired(cases, tables)
            wrong = {(c.stem, c.fires) for c in cases if (c.stem in fired[c.label]) != c.fires}
            wrong |= self._joined(cases, judged)
            if not wrong:
                break
            for key in wrong:
                waiting[key].pop(0)
        else:  # what never settles is left out, so that what is said is true
            for key in wrong:
                waiting[key] = []
            grown, cases = self._gathered(waiting)
            tables = self._tables(grown)
            fired, chains, judged = self._fired(cases, tables)
        bare, _, _ = self._fired(cases, {})
        return Plan(
            mark=self.mark,
            at=self.at,
            cases=tuple(cases),
            tables=tables,
            expected={label: tuple(sorted(stems)) for label, stems in fired.items()},
            bare={label: tuple(sorted(stems)) for label, stems in bare.items()},
            chains=chains,
            left_out={
                f"{stem}/{ATTACK if fires else BENIGN}": _LACKING if (stem, fires) not in known else _CONTRADICTED
                for (stem, fires), ways in waiting.items()
                if not ways
            },
        )

    def _subjects(self) -> list[Subject]:
        found, wrong = [], []
        for rule in self.rules:
            subject, mistakes = subject_of(rule.path, rule.judged, self.schema, self.events)
            found += [subject] if subject else []
            wrong += mistakes
        if wrong:
            raise Mistakes(sorted(set(wrong)))
        return found

    def _ways(self, subject: Subject, *, fires: bool) -> Iterator[tuple[Subject, Case, tuple[str, ...]]]:
        """Cases, the plainest first, each with new keys; then with the keys that the rule reads as they are written."""
        mine = [c for c in subject.cases if c.fires == fires and not c.never and c.now is None]
        mine.sort(key=lambda case: case.register not in (None, "base"))
        kept = () if subject.of_chains else tuple(sorted(subject.fields))
        for case in mine:
            yield subject, case, ()
            if kept and not subject.correlates:
                yield subject, case, kept

    def _gathered(self, waiting: dict[tuple[str, bool], list[Any]]) -> tuple[world.World, list[Replayed]]:
        """The first way of each that is left, in one world; ways that contradict it are dropped."""
        grown = world.World(
            self.bases.register() if self.register is None else self.register, fixed=self.register is not None
        )
        found = []
        for place, ((_, fires), ways) in enumerate(waiting.items()):
            while ways:
                subject, case, keep = ways[0]
                records = case.records(self.bases)
                if case.register not in (None, "base"):
                    taken = grown.taken(case.tables(self.bases), records)
                    if taken is None:
                        ways.pop(0)
                        continue
                    records = taken
                at = self.at - APART * place
                found.append(self._replayed(subject, case, fires=fires, records=records, keep=keep, at=at))
                break
        return grown, found

    def _replayed(
        self,
        subject: Subject,
        case: Case,
        *,
        fires: bool,
        records: list[dict[str, Any]],
        keep: tuple[str, ...],
        at: datetime,
    ) -> Replayed:
        """The case with ids, keys and times of this kit."""
        name = f"{subject.stem}-{ATTACK if fires else BENIGN}"
        records = own_keys(records, f"{name}-{self.mark}", keep)
        last = max(moment(record["@timestamp"]) for record in records)
        records = moved_records(records, at - last, self.events)
        for place, record in enumerate(records):
            put(record, "event.id", f"{PREFIX}{self.mark}-{name}-{place:03d}")
            put(record, "organization.id", f"{PREFIX}{self.mark}")
        return Replayed(subject.stem, fires, case.sentence, case.why, tuple(records))

    def _tables(self, grown: world.World) -> Tables:
        if self.register is not None:
            return grown.tables
        days = timedelta(days=(self.at - self.bases.start).days)
        return Register.of(world.moved(grown.tables, days)).tables  # type: ignore[return-value]

    def _fired(
        self, cases: Sequence[Replayed], tables: Tables
    ) -> tuple[dict[str, set[str]], dict[int, str], Judgement]:
        """Stems by label, labels by chain, and all that the engine says of the whole kit."""
        records = [record for case in cases for record in case.records]
        labels = [case.label for case in cases for _ in case.records]
        judged = judge(
            records,
            rules={rule.stem: rule.judged for rule in self.rules},
            vocabulary=self.events,
            chain_vocabulary=self.chains,
            register=tables,
            sources=self.sources,
        )
        fired: dict[str, set[str]] = {case.label: set() for case in cases}
        for stem, places in judged.event_hits.items():
            for place in places:
                fired[labels[place]].add(stem)
        members = {chain["chain.id"]: chain["countersign.members"] for chain in judged.chains}
        for stem, ids in judged.chain_hits.items():
            for place in (place for one in ids for place in members[one]):
                fired[labels[place]].add(stem)
        micro = timedelta(microseconds=1)
        begins = {
            (moment(chain["chain.start"]) - self.at) // micro: labels[chain["countersign.members"][0]]
            for chain in judged.chains
        }
        return fired, begins, judged

    def _joined(self, cases: Sequence[Replayed], judged: Judgement) -> set[tuple[str, bool]]:
        """Cases whose records are in one chain with another's: all but the first of each chain."""
        keys = [(case.stem, case.fires) for case in cases for _ in case.records]
        found: set[tuple[str, bool]] = set()
        for chain in judged.chains:
            several = list(dict.fromkeys(keys[place] for place in chain["countersign.members"]))
            found.update(several[1:])
        return found


_LACKING = "the rule's cases need a source of their own or a moment of judging, which no SIEM can be given"
_CONTRADICTED = "no case of the rule holds among the others with this register"


def marked(at: datetime, stems: Sequence[str]) -> str:
    """The mark of a kit that nobody names: its time, and a digest of its rules."""
    digest = hashlib.sha256(" ".join(stems).encode()).hexdigest()[:4]
    return f"{rfc3339(at)[:19].replace('-', '').replace(':', '').lower()}-{digest}"
