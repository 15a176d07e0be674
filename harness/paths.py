"""The one module that knows where the content lies: every command takes ``--root``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backends.errors import Mistake, Mistakes


@dataclass(frozen=True)
class Root:
    """A content root: the folder that holds ``rules/`` and ``schemas/``."""

    path: Path

    @classmethod
    def default(cls) -> Root:
        """The checkout that this package was installed from."""
        return cls(Path(__file__).resolve().parent.parent)

    @classmethod
    def at(cls, path: Path | None) -> Root:
        """The content root that a person names; this checkout when they name none.

        Raises:
            Mistakes: it holds no schemas.
        """
        if path is None:
            return cls.default()
        if not (path / "schemas" / "event.schema.json").is_file():
            message = "it is no content root: there is no schemas/event.schema.json in it; leave --root out for our own"
            raise Mistakes([Mistake(str(path), 0, message)])
        return cls(path)

    @property
    def rules(self) -> Path:
        """Folder of Sigma rules, one chapter a folder."""
        return self.path / "rules"

    @property
    def parameters(self) -> Path:
        """Grouping, period and kind: defaults and exceptions."""
        return self.path / "rules" / "parameters.json"

    @property
    def schemas(self) -> Path:
        """Folder of JSON Schemas."""
        return self.path / "schemas"

    @property
    def event_schema(self) -> Path:
        """The one place where an event field is declared."""
        return self.path / "schemas" / "event.schema.json"

    @property
    def chain_schema(self) -> Path:
        """The fields of a chain record."""
        return self.path / "schemas" / "chain.schema.json"

    @property
    def sources(self) -> Path:
        """Folder of source maps and their samples."""
        return self.path / "schemas" / "sources"
