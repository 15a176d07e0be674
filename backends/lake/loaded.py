"""A lake package unpacked: its rules, queries and register, and what the team keeps beside it.

It needs nothing but Python: the lake packages carry this file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backends.lake.findings import excepted, of_rule
from backends.lake.own import Own
from backends.register import Register

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from backends.lake.dialect import Dialect

VIEWS = {"event": "countersign_events", "chain": "countersign_chains"}


@dataclass(frozen=True)
class Loaded:
    """What a run needs.

    Attributes:
        home: the unpacked package.
        said: the catalogue.
        own: the team's folder.
        tables: the register.
    """

    home: Path
    said: Mapping[str, Any]
    own: Own
    tables: Mapping[str, Sequence[Mapping[str, Any]]]

    @classmethod
    def read(cls, home: Path, own: Path | None) -> Loaded:
        """Read the package and the team's folder; its ``register/`` stands for the package's.

        Raises:
            Mistakes: everything in the team's folder that is wrong.
        """
        said = json.loads((home / "catalogue.json").read_text(encoding="utf-8"))
        rules = {rule["stem"]: rule for rule in said["rules"]}
        mine = Own.read(own, rules, said["fields"])
        register = own / "register" if own and (own / "register").is_dir() else home / "register"
        return cls(home, said, mine, Register.load(register).tables)

    def statements(self, file: str) -> list[str]:
        """The statements of a script; no statement of ours holds a semicolon at a line's end inside a string."""
        script = (self.home / "sql" / file).read_text(encoding="utf-8")
        return [one.strip() for one in script.split(";\n") if one.strip()]

    def rules(self) -> Iterator[dict[str, Any]]:
        """Those that run, as the team wants them."""
        for rule in self.said["rules"]:
            if self.own.enabled(rule["stem"]):
                yield self.own.applied(rule)

    def found(self, rule: Mapping[str, Any], dialect: Dialect, now: datetime) -> str:
        """The query that gives the rule's rows of findings."""
        stem, service = rule["stem"], rule["service"]
        kinds = self.said["fields"][service]
        query = self.own.queries.get(stem) or (self.home / "rules" / f"{stem}.sql").read_text(encoding="utf-8")
        kept = excepted(query, self.own.excepts(rule, kinds, dialect, now), VIEWS[service])
        return of_rule(rule, kept, kinds, dialect, self.said["pack"])
