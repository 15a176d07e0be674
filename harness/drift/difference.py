"""What drift is made of: one thing that is not as the pack has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MISSING, CHANGED, DISABLED, OLD, EXTRA, TUNED = "missing", "changed", "disabled", "old", "extra", "tuned"
"""Kinds of difference. ``tuned`` is an admin's own setting in a place that is made for it: told, and no drift."""

RULE, ASSET = "rule", "asset"
SHOWN = 4


@dataclass(frozen=True, order=True)
class Difference:
    """One.

    Attributes:
        thing: ``rule`` or ``asset``.
        name: a rule's stem, or an asset's name.
        what: see above.
        where: which of its settings, in words.
    """

    thing: str
    name: str
    what: str
    where: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether it is drift."""
        return self.what != TUNED

    def __str__(self) -> str:
        """A line for a person."""
        more = f" and {len(self.where) - SHOWN} more" if len(self.where) > SHOWN else ""
        return f"{self.thing} {self.name}: {self.what}" + (
            f" ({', '.join(self.where[:SHOWN])}{more})" if self.where else ""
        )


@dataclass
class Compared:
    """What a comparison found.

    Attributes:
        differences: in no order.
        rules, assets: how many of the pack's were looked for.
        skipped: what was not looked at, a sentence each.
    """

    differences: list[Difference] = field(default_factory=list)
    rules: int = 0
    assets: int = 0
    skipped: list[str] = field(default_factory=list)

    def rule(self, stem: str, what: str, where: Sequence[str] = ()) -> None:
        """Note a rule."""
        self.differences.append(Difference(RULE, stem, what, tuple(where)))

    def asset(self, name: str, what: str, where: Sequence[str] = ()) -> None:
        """Note an asset."""
        self.differences.append(Difference(ASSET, name, what, tuple(where)))

    def versioned(self, stem: str, installed: int | None, pack: int, changed: Sequence[str]) -> None:
        """A rule that is there: old, or changed; what an old one says otherwise is the pack's own doing."""
        if installed is not None and installed < pack:
            self.rule(stem, OLD, [f"{installed}, the pack has {pack}"])
        elif changed:
            self.rule(stem, CHANGED, changed)
