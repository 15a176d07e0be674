"""YAML that remembers its lines, so that a mistake can name one."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from backends.errors import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Path_ = tuple[str | int, ...]


@contextmanager
def _loading(path: Path) -> Iterator[Any]:
    """The safe loader over a file, in C where there is one: a node is composed once, its lines are read, then its data.

    In this order, since merge keys are resolved within the node.
    """
    loader = LOADER(path.read_text(encoding="utf-8"))
    try:
        yield loader
    finally:
        loader.dispose()


@dataclass
class MarkedYaml:
    """A YAML file read once.

    Attributes:
        file: the file, as a person gave it.
        data: what it holds, in plain Python.
        lines: 1-based line by path into the data; for a mapping's item, the line of its key.
        mistakes: what made the file unreadable, or a key that occurs twice.
    """

    file: str
    data: Any = None
    lines: dict[Path_, int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> MarkedYaml:
        """Read a file; nothing is raised, what is wrong is in ``mistakes``."""
        read = cls(str(path))
        try:
            with _loading(path) as loader:
                if node := loader.get_single_node():
                    read._mark(node, ())
                    read.data = loader.construct_document(node)
        except UnicodeDecodeError as wrong:
            read.mistakes.append(Mistake(read.file, 0, f"byte {wrong.start + 1} of the file is not UTF-8"))
        except yaml.YAMLError as wrong:
            mark = getattr(wrong, "problem_mark", None)
            problem = getattr(wrong, "problem", None) or str(wrong)
            read.mistakes.append(Mistake(read.file, mark.line + 1 if mark else 0, f"this is not YAML: {problem}"))
        return read

    @classmethod
    def read_all(cls, path: Path) -> list[MarkedYaml]:
        """Every document of a file, at least one; what makes the file unreadable is in the first."""
        try:
            found = []
            with _loading(path) as loader:
                while loader.check_node():
                    node = loader.get_node()
                    read = cls(str(path))
                    read._mark(node, ())
                    read.data = loader.construct_document(node)
                    found.append(read)
        except (UnicodeDecodeError, yaml.YAMLError):
            return [cls.read(path)]
        return found or [cls(str(path))]

    def line(self, path: Sequence[str | int]) -> int:
        """The line of the nearest place on the way to a path."""
        for length in range(len(path), -1, -1):
            if tuple(path[:length]) in self.lines:
                return self.lines[tuple(path[:length])]
        return 0

    def mistake(self, path: Sequence[str | int], message: str) -> Mistake:
        """A mistake at a path."""
        return Mistake(self.file, self.line(path), message)

    def _mark(self, node: yaml.Node, path: Path_) -> None:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                name = str(key.value)
                line = key.start_mark.line + 1
                if name in seen:
                    self.mistakes.append(Mistake(self.file, line, f"the key '{name}' occurs twice"))
                seen.add(name)
                self.lines[(*path, name)] = line
                self._mark(value, (*path, name))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._mark(item, (*path, index))
