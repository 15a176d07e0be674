"""What a Sigma file has no place for: kind, grouping, period, sentence, needs. ``rules/parameters.json`` holds it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from backends.errors import Mistake
from backends.form import form_of
from backends.marked_yaml import MarkedYaml
from harness.validator import given_twice

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    import jsonschema

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True)
class Parameters:
    """The parameters file, read once.

    Attributes:
        file: the file, as a person gave it.
        document: what it holds; empty defaults where there is no file.
        mistakes: what is wrong with it.
    """

    file: str
    document: Mapping[str, Any] = field(default_factory=lambda: {"defaults": {"all": {}}, "rules": {}})
    mistakes: tuple[Mistake, ...] = ()
    _path: Path | None = None

    @cached_property
    def _marks(self) -> MarkedYaml | None:
        """Read only where a line is asked for: it takes longer than all else."""
        return MarkedYaml.read(self._path) if self._path else None  # JSON is YAML, and YAML's nodes know their lines

    @classmethod
    def read(cls, path: Path, schema: Path) -> Parameters:
        """Read ``path``; nothing is raised, what is wrong is in ``mistakes``. A missing file is an empty one."""
        if not path.exists():
            return cls(str(path))
        try:
            text = path.read_text(encoding="utf-8")
            document = json.loads(text)
        except UnicodeDecodeError as wrong:
            return cls(str(path), mistakes=(Mistake(str(path), 0, f"byte {wrong.start + 1} is not UTF-8"),))
        except json.JSONDecodeError as wrong:
            return cls(str(path), mistakes=(Mistake(str(path), wrong.lineno, f"this is not JSON: {wrong.msg}"),))
        errors = list(form_of(schema.read_text(encoding="utf-8")).errors(document))
        if errors or (doubled := given_twice(text)):
            marks = MarkedYaml.read(path)
            found = [marks.mistake(list(error.absolute_path), _said(error)) for error in errors]
            found += [m for m in marks.mistakes if "twice" in m.message]
            found = found or [Mistake(str(path), 0, f"the key {doubled[0]!r} occurs twice")]
            return cls(str(path), mistakes=tuple(sorted(set(found))))
        return cls(str(path), document, (), path)

    @property
    def stems(self) -> tuple[str, ...]:
        """Rules that have an entry of their own."""
        return tuple(self.document["rules"])

    def of(self, *, stem: str, chapter: str, service: str, level: str) -> dict[str, Any]:
        """All values for one rule, its own before its level's, its chapter's, its service's, and those of all."""
        defaults = self.document["defaults"]
        layers = (
            defaults.get("all", {}),
            defaults.get("service", {}).get(service, {}),
            defaults.get("chapter", {}).get(chapter, {}),
            defaults.get("level", {}).get(level, {}),
            self.document["rules"].get(stem, {}),
        )
        return {key: value for layer in layers for key, value in layer.items()}

    def line(self, stem: str, key: str) -> int:
        """The line of a rule's own value, of its entry where the value is a default; 0 where it has none."""
        if self._marks is None:
            return 0
        for place in (("rules", stem, key), ("rules", stem)):
            if place in self._marks.lines:
                return self._marks.lines[place]
        return 0

    def strangers(self, known: Collection[str]) -> Iterator[Mistake]:
        """Entries for rules that do not exist."""
        for stem in self.stems:
            if stem not in known:
                yield Mistake(
                    self.file, self.line(stem, ""), f"there is no rule {stem!r}; remove its entry or rename it"
                )


def seconds(period: str) -> int:
    """``90s``, ``15m``, ``1h``, ``1d`` as seconds.

    Raises:
        ValueError: another form.
    """
    match = re.fullmatch(r"([1-9][0-9]*)([smhd])", period)
    if match is None:
        raise ValueError(f"{period!r} is not a period such as 15m, 1h or 1d")
    return int(match[1]) * _SECONDS[match[2]]


def in_words(period_sec: int) -> str:
    """A period as a person says it: ``hour``, ``15 minutes``."""
    length, name = next((length, name) for length, name in _UNITS if period_sec % length == 0)
    count = period_sec // length
    return name if count == 1 else f"{count} {name}s"


def _said(error: jsonschema.ValidationError) -> str:
    where = ".".join(map(str, error.absolute_path)) or "the file"
    return f"{where}: {error.message}"
