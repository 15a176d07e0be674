"""The cases beside a rule: honest records, bent only in the fields that matter.

``<stem>.cases.json`` is described by ``schemas/cases.schema.json``. Every mistake of a file is reported at once, with
the line where it stands.
"""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import yaml

from backends.errors import Mistake, Mistakes
from backends.form import form_of
from backends.marked_yaml import LOADER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from backends.vocabulary import Vocabulary

SUFFIX = ".cases.json"
Tables = dict[str, list[dict[str, Any]]]

_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_OFFSET = re.compile(r"([+-])([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_STAGES = ("prompt", "decision", "tool_call", "tool_response", "token", "consent", "access", "change")


@dataclass(frozen=True)
class Bases:
    """Where honest records and the honest register come from.

    Attributes:
        event: stage to its honest nested record; all stages belong to one chain.
        register: the honest world's register, table name to rows.
    """

    event: Callable[[str], Mapping[str, Any]]
    register: Callable[[], Mapping[str, Sequence[Mapping[str, Any]]]]

    @classmethod
    def honest(cls) -> Bases:
        """Those of the generator."""
        from generator.session import base_event, base_register  # noqa: PLC0415 - the generator is heavy

        return cls(base_event, base_register)

    @property
    def start(self) -> datetime:
        """Time of the first record of the honest chain."""
        return min(moment(self.event(stage)["@timestamp"]) for stage in _STAGES)


@dataclass(frozen=True)
class Bend:
    """One record of a case: an honest one and what is different in it.

    Attributes:
        base: stage of the honest record.
        at: time after the first record of the honest chain; None keeps the record's own.
        set: values by dotted name; None takes the field away.
    """

    base: str
    at: timedelta | None = None
    set: Mapping[str, Any] = field(default_factory=dict)

    def record(self, bases: Bases) -> dict[str, Any]:
        """The nested record."""
        record = copy.deepcopy(dict(bases.event(self.base)))
        if self.at is not None:
            record["@timestamp"] = rfc3339(bases.start + self.at)
        for name, value in self.set.items():
            put(record, name, value)
        return record


@dataclass(frozen=True)
class Case:
    """One sentence about a rule, and the records that prove it.

    Attributes:
        sentence: what happens.
        fires: whether the rule must fire.
        why: the reason, in one sentence.
        proves: the selection, filter or false positive that it proves, if it says so.
        bends: its records.
        register: ``None`` for none, ``"base"``, or tables, which replace the honest world's where they extend it.
        now: end of what is judged; None judges everything as settled.
        never: sources of its own: dataset to stage to the concepts that its records can never supply.
        rule: of a filter's case, the rule whose finding it is about, if it says so: id, name or stem.
        file: the cases file, as given.
        line: where the case begins.
    """

    sentence: str
    fires: bool
    why: str
    bends: tuple[Bend, ...]
    proves: str | None = None
    register: Any = None
    now: datetime | None = None
    never: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    rule: str | None = None
    file: str = ""
    line: int = 0

    def records(self, bases: Bases) -> list[dict[str, Any]]:
        """The nested records, in the order of the file."""
        return [bend.record(bases) for bend in self.bends]

    def tables(self, bases: Bases) -> Tables:
        """The register's tables; none when the case has no register."""
        if self.register is None:
            return {}
        own = {} if self.register == "base" else dict(self.register)
        extends = self.register == "base" or own.pop("extends", None) == "base"
        tables = {**(bases.register() if extends else {}), **own}
        return {name: [dict(row) for row in rows] for name, rows in tables.items()}


def load(path: Path, schema: Path, vocabulary: Vocabulary) -> list[Case]:
    """The cases of one file.

    Raises:
        Mistakes: everything that is wrong with the file.
    """
    text = path.read_text(encoding="utf-8")
    try:
        document = json.loads(text)
    except json.JSONDecodeError as broken:
        raise Mistakes([Mistake(str(path), broken.lineno, f"is not JSON: {broken.msg}")]) from None
    lines = Lines(text)
    found = [Mistake(str(path), lines.of(place), message) for place, message in _wrong(document, schema)]
    found += [Mistake(str(path), line, f"{key!r} is given twice; only the last counts") for key, line in lines.twice]
    if not found:
        places = _wrong_fields(document, vocabulary)
        found = [Mistake(str(path), lines.of(place), message) for place, message in places]
        found += [Mistake(str(path), 0, message) for message in _missing(document)]
    if found:
        raise Mistakes(sorted(set(found)))
    return [_case(raw, str(path), lines.of(("cases", index))) for index, raw in enumerate(document["cases"])]


class Lines:
    """Where each value of a JSON text stands."""

    def __init__(self, text: str) -> None:
        self.twice: list[tuple[str, int]] = []
        self._lines: dict[tuple[str | int, ...], int] = {}
        try:
            self._walk(yaml.compose(text, Loader=LOADER), ())  # JSON is YAML, and YAML's nodes know lines
        except yaml.YAMLError:
            self._lines = {}

    def of(self, place: Sequence[str | int]) -> int:
        """1-based line of a place such as ``("cases", 0, "set")``, or of the nearest that has one."""
        for end in range(len(place), -1, -1):
            line = self._lines.get(tuple(place)[:end])
            if line is not None:
                return line
        return 0

    def _walk(self, node: Any, place: tuple[str | int, ...]) -> None:
        self._lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                if key.value in seen:
                    self.twice.append((key.value, key.start_mark.line + 1))
                seen.add(key.value)
                self._lines[*place, key.value] = key.start_mark.line + 1
                self._walk(value, (*place, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self._walk(value, (*place, index))


def _wrong(document: Any, schema: Path) -> Iterator[tuple[Sequence[str | int], str]]:
    """What the schema refuses, at its most telling depth."""
    for error in form_of(schema.read_text(encoding="utf-8")).errors(document):
        if error.validator == "minItems":
            yield error.absolute_path, f"{error.validator_value} or more are needed here"
        elif error.validator == "oneOf" and not error.absolute_path:
            yield (), error.message
        elif error.validator == "oneOf" and error.absolute_path[-1] != "register":
            yield error.absolute_path, "a case has either a base (with set) or a list of events"
        elif error.validator == "oneOf":
            # what the schema says of tables tells more than that it is not "base" either
            inner = [part for part in error.context or () if part.validator != "const"]
            telling = inner[0] if inner else error
            yield telling.absolute_path, telling.message if inner else 'a register is "base" or an object of tables'
        else:
            yield error.absolute_path, error.message


def _wrong_fields(document: Any, vocabulary: Vocabulary) -> Iterator[tuple[Sequence[str | int], str]]:
    for index, case in enumerate(document["cases"]):
        where: list[tuple[tuple[str | int, ...], Any]] = [(("cases", index), case)]
        where += [(("cases", index, "events", n), event) for n, event in enumerate(case.get("events", ()))]
        for place, holder in where:
            for name in holder.get("set", ()):
                known = vocabulary.fields.get(name)
                if known is None:
                    near = vocabulary.closest(name)
                    hint = f"; did you mean {near}?" if near else ""
                    yield (*place, "set", name), f"{name} is not a field of the schema{hint}"
                elif known.derived:
                    yield (*place, "set", name), f"{name} is computed by the event view; set what it is computed from"


def _missing(document: Any) -> Iterator[str]:
    """What the set of cases lacks."""
    expected = {case["expect"] for case in document["cases"]}
    for verdict in ("fire", "quiet"):
        if verdict not in expected:
            yield f"no case expects {verdict}; add one"
    sentences = [case["case"] for case in document["cases"]]
    for sentence in dict.fromkeys(sentences):
        if sentences.count(sentence) > 1:
            yield f"two cases say {sentence!r}; tell them apart"


def _case(raw: Mapping[str, Any], file: str, line: int) -> Case:
    events = raw.get("events") or [{"base": raw["base"], "set": raw.get("set", {})}]
    return Case(
        sentence=raw["case"],
        fires=raw["expect"] == "fire",
        why=raw["why"],
        proves=raw.get("proves"),
        bends=tuple(bend for event in events for bend in _bends(event)),
        register=raw.get("register"),
        now=moment(raw["now"]) if "now" in raw else None,
        never=raw.get("never", {}),
        rule=raw.get("rule"),
        file=file,
        line=line,
    )


def _bends(event: Mapping[str, Any]) -> Iterator[Bend]:
    """One record, or as many as ``repeat`` says: each ``every`` later, and ``{n}`` in its texts is its number."""
    at, every = _offset(event.get("at")), _offset(event.get("every"))
    for number in range(event.get("repeat", 1)):
        values = event.get("set", {})
        if "repeat" in event:
            values = json.loads(json.dumps(values).replace("{n}", str(number + 1)))
        later = (at or timedelta()) + number * every if every is not None else at
        yield Bend(event["base"], later, values)


def _offset(text: str | None) -> timedelta | None:
    match = _OFFSET.fullmatch(text) if text else None
    if match is None:
        return None
    sign, amount, unit = match.groups()
    return timedelta(**{_UNITS[unit]: float(sign + amount)})


def put(record: dict[str, Any], name: str, value: Any) -> None:
    """Set a dotted name in a nested record; None takes it away, and with it objects that become empty."""
    *above, last = name.split(".")
    node = record
    for key in above:
        if value is None and not isinstance(node.get(key), dict):
            return
        node = node.setdefault(key, {})
    if value is not None:
        node[last] = copy.deepcopy(value)
    elif node.pop(last, None) is not None and not node and above:
        put(record, ".".join(above), None)


def moment(text: str) -> datetime:
    """An RFC 3339 time."""
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


def rfc3339(time: datetime) -> str:
    """RFC 3339 with six decimals, in UTC."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
