"""Source maps: how the records of a product become events, what they can never say, and whose ids they carry.

A map is ``schemas/sources/<source>.yml``; ``schemas/source-map.schema.json`` gives its form,
``docs/adding-a-source.md`` explains it by example. `backends.duckdb.assemble` runs it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from backends.errors import Mistake, Mistakes
from backends.form import form_of
from backends.marked_yaml import MarkedYaml
from backends.otlp import unpacked
from backends.source_checks import check, check_together

if TYPE_CHECKING:
    from pathlib import Path

Expression = Any
"""A JSON Pointer, or an object with one key: value, json, first, lookup, capture, parsed, time, scale, span, split."""


@dataclass(frozen=True)
class Recognised:
    """What a record must hold to be of a kind.

    Attributes:
        keys: keys at its top, whatever their values.
        values: by JSON Pointer, a value, a list of values, ``{"pattern": RE2}`` or ``{"present": bool}``.
    """

    keys: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, shape: Mapping[str, Any]) -> Recognised:
        """From a map's own form."""
        return cls(tuple(shape.get("keys", ())), shape.get("values", {}))

    def fits(self, record: Mapping[str, Any]) -> bool:
        """Whether a parsed record is of this kind; the SQL of `assemble` decides alike."""
        if any(key not in record for key in self.keys):
            return False
        return all(_holds(_text(_at(record, pointer)), wanted) for pointer, wanted in self.values.items())


@dataclass(frozen=True)
class Takes:
    """Another record that belongs to one of this kind, see ``takes`` in the schema."""

    source: str
    same: Mapping[str, str]
    when: Literal["inside", "before", "around", "near", "any"]
    compatible: Mapping[str, str] = field(default_factory=dict)
    agree: Mapping[str, str] = field(default_factory=dict)
    slack_ms: float = 0.0
    shared: bool = False
    gives: tuple[str, ...] = ()
    alone: bool = False
    disputed_is_event: bool = False

    @classmethod
    def of(cls, shape: Mapping[str, Any]) -> Takes:
        """From a map's own form."""
        return cls(
            source=shape["from"],
            same=shape["same"],
            when=shape["when"],
            compatible=shape.get("compatible", {}),
            agree=shape.get("agree", {}),
            slack_ms=shape.get("slack_ms", 0),
            shared=shape.get("shared", False),
            gives=tuple(shape.get("gives", ())),
            alone=shape.get("alone", False),
            disputed_is_event="disputed" in shape,
        )


@dataclass(frozen=True)
class RecordKind:
    """One kind of record of a source.

    Attributes:
        name: its name in the map.
        recognised: what a record must hold.
        ignored: why it makes no event, None when it does or gives something.
        stage: ``chain.stage`` of its events.
        event: always, alone (when no other record took it) or never.
        speaks_as: the map whose ``never`` and ids hold for its events, None for its own.
        unused: why a record that nothing took makes no event.
        at: when it happened.
        written_at_end: whether ``at`` is the end of the interval that ``event.duration`` spans.
        fields: expression by dotted field.
        marks: expression by name, for values that only match records.
        takes: what other records give, in this order.
    """

    name: str
    recognised: Recognised
    ignored: str | None = None
    stage: str | None = None
    event: Literal["always", "alone", "never"] = "never"
    speaks_as: str | None = None
    unused: str = "nothing took it"
    at: Expression = None
    written_at_end: bool = True
    fields: Mapping[str, Expression] = field(default_factory=dict)
    marks: Mapping[str, Expression] = field(default_factory=dict)
    takes: tuple[Takes, ...] = ()

    @classmethod
    def of(cls, name: str, shape: Mapping[str, Any]) -> RecordKind:
        """From a map's own form."""
        recognised = Recognised.of(shape["recognised"])
        if "ignored" in shape:
            return cls(name, recognised, ignored=shape["ignored"])
        return cls(
            name=name,
            recognised=recognised,
            stage=shape.get("stage"),
            event=shape.get("event", "always" if "stage" in shape else "never"),
            speaks_as=shape.get("speaks_as"),
            unused=shape.get("unused", "nothing took it"),
            at=shape["at"],
            written_at_end=shape.get("written", "end") == "end",
            fields=shape["fields"],
            marks=shape.get("marks", {}),
            takes=tuple(map(Takes.of, shape.get("takes", ()))),
        )


@dataclass(frozen=True)
class SourceMap:
    """One source.

    Attributes:
        name: ``event.dataset`` of its events.
        about: what writes the records and how one gets at them.
        product: name, version, documentation.
        schema_form: its records are events already.
        unpack: the form in which one line holds many records, None where a line is a record.
        detect: a record that fits one of these speaks for this source; none for a map that only others speak as.
        issued_ids: dotted id fields that a trusted component sets.
        client_ids: dotted id fields that whoever sends the request may set.
        never: by stage, the concepts that its records can never say.
        settings: by concept, the product's setting that would supply it.
        longest_seconds: a record's interval counts for at most this long.
        kinds: kinds of record; a record is of the first that it fits.
        types: by field of a kind, keyword, number, integer, boolean or time, and whether it is an array.
    """

    name: str
    about: str
    product: Mapping[str, str]
    schema_form: bool
    unpack: Literal["otlp"] | None
    detect: tuple[Recognised, ...]
    issued_ids: frozenset[str]
    client_ids: frozenset[str]
    never: Mapping[str, list[str]]
    settings: Mapping[str, str]
    longest_seconds: float
    kinds: tuple[RecordKind, ...]
    types: Mapping[str, tuple[str, bool]]

    @classmethod
    def of(cls, shape: Mapping[str, Any], types: Mapping[str, tuple[str, bool]]) -> SourceMap:
        """From a map that has been checked."""
        return cls(
            name=shape["source"],
            about=shape["about"],
            product=shape["product"],
            schema_form=shape.get("schema_form", False),
            unpack=shape.get("unpack"),
            detect=tuple(map(Recognised.of, shape.get("detect", ()))),
            issued_ids=frozenset(shape["ids"]["issued"]),
            client_ids=frozenset(shape["ids"]["client"]),
            never={stage: list(concepts) for stage, concepts in shape["never"].items()},
            settings=shape.get("settings", {}),
            longest_seconds=shape.get("longest_seconds", 300),
            kinds=tuple(RecordKind.of(name, kind) for name, kind in shape.get("kinds", {}).items()),
            types=types,
        )

    def speaks_for(self, record: Mapping[str, Any]) -> bool:
        """Whether a parsed line is one of this source's, or holds a record that is."""
        return any(recognised.fits(one) for one in self.records(record) for recognised in self.detect)

    def kinds_of(self, line: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the kinds that a parsed line's records are of; those that are of none left out."""
        found = (next((k.name for k in self.kinds if k.recognised.fits(one)), None) for one in self.records(line))
        return tuple(name for name in found if name)

    def records(self, line: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The records of a parsed line; the SQL of `assemble_unpack` finds the same."""
        return unpacked(line) if self.unpack else [line]

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """Stages of which it makes events."""
        return tuple(dict.fromkeys(kind.stage for kind in self.kinds if kind.stage and kind.event != "never"))


@dataclass(frozen=True)
class SourceMaps(Mapping[str, SourceMap]):
    """All maps by name, in alphabetical order."""

    maps: Mapping[str, SourceMap]

    @classmethod
    def load(cls, folder: Path, *own: Path) -> SourceMaps:
        """Read and check every ``*.yml`` of a folder, and of folders of one's own.

        The event schema and the form of a map are looked for in the folder above the first.

        Raises:
            Mistakes: every mistake of every map, with file and line.
        """
        fields = _leaves(json.loads((folder.parent / "event.schema.json").read_text(encoding="utf-8")))
        form = form_of((folder.parent / "source-map.schema.json").read_text(encoding="utf-8"))
        found: list[Mistake] = []
        read = [MarkedYaml.read(path) for each in (folder, *own) for path in sorted(each.glob("*.yml"))]
        found += [
            Mistake(str(each), 0, "it holds no source map: no file ends in .yml")
            for each in own
            if not any(each.glob("*.yml"))
        ]
        for marked in read:
            found += marked.mistakes or check(marked, form, fields)
        if not found:
            found += check_together(read)
        if found:
            raise Mistakes(sorted(found))
        return cls({marked.data["source"]: SourceMap.of(marked.data, fields) for marked in read})

    def detect(self, sample: Sequence[Mapping[str, Any]]) -> str | None:
        """The source that speaks for most of a sample of parsed records, if it does for half of them or more."""
        votes = {name: sum(map(source.speaks_for, sample)) for name, source in self.maps.items()}
        name = max(votes, key=lambda name: votes[name], default=None)
        return name if name is not None and votes[name] and 2 * votes[name] >= len(sample) else None

    def __getitem__(self, name: str) -> SourceMap:
        return self.maps[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.maps)

    def __len__(self) -> int:
        return len(self.maps)


def _leaves(schema: Mapping[str, Any], above: str = "") -> dict[str, tuple[str, bool]]:
    """Kind of each field that a source may send, and whether it is an array."""
    found: dict[str, tuple[str, bool]] = {}
    for key, node in schema["properties"].items():
        if "properties" in node:
            found |= _leaves(node, f"{above}{key}.")
        elif not node.get("x-derived"):
            array = "array" in _types(node)
            shape = node["items"] if array else node
            kind = next(t for t in _types(shape) if t != "null")
            kind = "time" if shape.get("format") == "date-time" else "keyword" if kind == "string" else kind
            found[f"{above}{key}"] = (kind, array)
    return found


def _types(shape: Mapping[str, Any]) -> list[str]:
    declared: str | list[str] = shape["type"]
    return [declared] if isinstance(declared, str) else declared


def _at(record: Any, pointer: str) -> Any:
    """The value at a JSON Pointer (RFC 6901), None where there is none."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(record, Mapping):
            record = record.get(key)
        elif isinstance(record, list) and key.isdigit() and int(key) < len(record):
            record = record[int(key)]
        else:
            return None
    return record


def _text(value: Any) -> str | None:
    """A value as its text, as DuckDB's ``->>`` gives it."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _holds(text: str | None, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        if "present" in wanted:
            return (text is not None) == bool(wanted["present"])
        return text is not None and re.search(wanted["pattern"], text) is not None
    return text is not None and text in {_text(one) for one in (wanted if isinstance(wanted, list) else [wanted])}
