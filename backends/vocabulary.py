"""The vocabulary: every field that a record may carry, read from the schema that declares it.

The schema nests fields as records do; here each has its dotted name. ``event.schema.json`` gives the fields of an
event, ``chain.schema.json`` those of a chain record, which are all derived.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Kind = Literal["keyword", "number", "integer", "boolean", "time"]

_KINDS: Mapping[str, Kind] = {"string": "keyword", "number": "number", "integer": "integer", "boolean": "boolean"}


@dataclass(frozen=True)
class Source:
    """Where a field's name comes from.

    Attributes:
        standard: title of the standard, ``countersign`` for a name of ours.
        version: version or date of the standard.
        name: what the standard calls it.
    """

    standard: str
    version: str
    name: str


@dataclass(frozen=True)
class Field:
    """One field.

    Attributes:
        name: dotted name, as rules write it.
        kind: type of its value, or of each item of an array.
        array: True when it holds many values.
        derived: True when the event view computes it and no source may send it.
        enum: allowed values in lower case, empty when any value is allowed; letter case never matters.
        sensitive: True when it may hold personal data or content.
        description: its meaning.
        example: a value as JSON would hold it.
        unit: unit of a number, form of a time, else None.
        source: where the name comes from.
        ocsf: its counterpart in OCSF, None where there is none.
        cim: its counterpart in Splunk's Common Information Model, None where there is none.
        must: stages whose records must carry it.
        may: stages whose records may carry it.
    """

    name: str
    kind: Kind
    array: bool = False
    derived: bool = False
    enum: tuple[str, ...] = ()
    sensitive: bool = False
    description: str = ""
    example: Any = None
    unit: str | None = None
    source: Source = Source("countersign", "1", "")
    ocsf: str | None = None
    cim: str | None = None
    must: tuple[str, ...] = ()
    may: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, leaf: Mapping[str, Any]) -> Field:
        """Read one leaf of a schema, ``{"type": [...], "description": ..., "x-...": ...}``."""
        array = "array" in _types(leaf)
        shape = leaf["items"] if array else leaf
        kind = _KINDS[next(t for t in _types(shape) if t != "null")]
        stages = leaf["x-stages"]
        return cls(
            name=name,
            kind="time" if shape.get("format") == "date-time" else kind,
            array=array,
            derived=leaf["x-derived"],
            enum=tuple(value for value in shape.get("enum", ()) if value is not None),
            sensitive=leaf["x-sensitive"],
            description=leaf["description"],
            example=leaf["examples"][0],
            unit=leaf.get("x-unit"),
            source=Source(**leaf["x-source"]),
            ocsf=leaf["x-ocsf"],
            cim=leaf["x-cim"],
            must=tuple(stages["must"]),
            may=tuple(stages["may"]),
        )

    @property
    def path(self) -> tuple[str, ...]:
        """The keys that lead to it in a nested record."""
        return tuple(self.name.split("."))

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages whose records must or may carry it."""
        return self.must + self.may


@dataclass(frozen=True)
class Vocabulary:
    """All fields by dotted name, in the order in which the schema declares them."""

    fields: Mapping[str, Field] = field(default_factory=dict)

    @cached_property
    def namespaces(self) -> frozenset[str]:
        """Dotted names that lie above a field: objects in a nested record."""
        return frozenset(".".join(f.path[:depth]) for f in self.fields.values() for depth in range(1, len(f.path)))

    @cached_property
    def structured(self) -> frozenset[str]:
        """Dotted names of what is an object or a list in a nested record."""
        return self.namespaces | {f.name for f in self.fields.values() if f.array}

    @classmethod
    def load(cls, schema: Path) -> Vocabulary:
        """Read ``event.schema.json`` or ``chain.schema.json``."""
        return cls.of(json.loads(schema.read_text(encoding="utf-8")))

    @classmethod
    def of(cls, schema: Mapping[str, Any]) -> Vocabulary:
        """The fields of a schema that is already parsed."""
        return cls({name: Field.of(name, leaf) for name, leaf in leaves(schema)})

    @cached_property
    def raw(self) -> Mapping[str, Field]:
        """Fields that a source may send."""
        return {name: f for name, f in self.fields.items() if not f.derived}

    @cached_property
    def derived(self) -> Mapping[str, Field]:
        """Fields that a view computes."""
        return {name: f for name, f in self.fields.items() if f.derived}

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """The stages, in the order of the road."""
        stage = self.fields.get("chain.stage")
        return stage.enum if stage else ()

    def closest(self, name: str) -> str | None:
        """The declared name that an unknown one was probably meant to be."""
        return closest(name, self.fields)


def _types(shape: Mapping[str, Any]) -> list[str]:
    declared: str | list[str] = shape["type"]
    return [declared] if isinstance(declared, str) else declared


def leaves(schema: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every leaf of a nested schema with its dotted name, in the order of the file."""
    for key, node in schema["properties"].items():
        if "properties" in node:
            yield from leaves(node, f"{above}{key}.")
        else:
            yield f"{above}{key}", node


def closest(name: str, known: Mapping[str, Any]) -> str | None:
    """The known name that a person probably meant, or None when nothing is near."""
    lowered = {k.lower(): k for k in known}
    near = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.75)
    return lowered[near[0]] if near else None
