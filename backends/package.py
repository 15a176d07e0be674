"""What a package is: the files that a SIEM's admin imports, made from the rules and their views by one function.

``backends/<name>/package.py`` holds a `Package` called ``PACKAGE``. Nothing else knows a package; `harness.building`
gives it the `Content`, adds the list of rules, the SBOM and the checksums, and writes one archive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sigma.rule import SigmaRule

    from backends.correlation import Correlation
    from backends.vocabulary import Vocabulary

    Tables = Mapping[str, Sequence[Mapping[str, Any]]]


class NotAllowed(Exception):  # noqa: N818 - it is a refusal
    """A name or a value that the SIEM does not take. One sentence: what, where, and the fix."""


@dataclass(frozen=True)
class Packed:
    """A rule as a package holds it.

    Attributes:
        stem: its name in files and commands, ``[a-z0-9_]+``.
        id: Sigma's UUID; stays when the rule changes.
        title, description, sentence: for people; the last is the template of a finding's sentence.
        level: informational, low, medium, high or critical.
        kind: ``incident`` or ``posture``.
        chapter: its folder.
        service: ``event`` or ``chain``: which record it judges.
        query: in the target's language, without a head.
        version: date of its last change as a whole number, 20261123; grows with every change.
        references, tags, falsepositives: as Sigma has them.
        fields: fields that an analyst wants to see first.
        reads: fields that its condition reads.
        group_by: fields whose values, together, make one finding.
        period_sec: how long hits of one group are one finding.
        window_sec: how far a correlation reaches back; 0 for any other.
        needs_register: register tables without which it stays quiet.
        stages: stages whose records it needs.
        source: the rule's file, as it is in the pack.
        judged: the rule, or the correlation over its base rules, filters laid over it; for what `query` does not say.
    """

    stem: str
    id: str
    title: str
    description: str
    sentence: str
    level: str
    kind: str
    chapter: str
    service: str
    query: str
    version: int
    references: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ()
    period_sec: int = 3600
    window_sec: int = 0
    needs_register: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    source: str = ""
    judged: SigmaRule | Correlation | None = None


@dataclass(frozen=True)
class Content:
    """All that a package is made from.

    Attributes:
        version: of the pack, ``0.1.0``.
        rules: those that the target takes, in the order of the catalogue.
        refused: stem → the sentence that says why the target can't express the rule.
        register: the team's tables, read and checked; empty where it keeps none.
        never: (dataset, stage, concepts that this kind of record can never supply), from the source maps.
        client_ids: (dataset, dotted id that a client may set), from the source maps.
        events, chains: the fields.
        root: the content root, for what is copied as it is.
        blind: (rule's stem, source) → what it still sees of that source: ``fires``, ``posture only`` or ``blind``.
    """

    version: str
    rules: tuple[Packed, ...]
    refused: Mapping[str, str]
    register: Tables
    never: tuple[tuple[str, str, tuple[str, ...]], ...]
    client_ids: tuple[tuple[str, str], ...]
    events: Vocabulary
    chains: Vocabulary
    root: Path
    blind: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Package:
    """One kind of archive.

    Attributes:
        name: of the file, before the version.
        target: whose queries it holds; "" where it holds the rules as they are.
        suffix: ``.tgz`` or ``.zip``.
        top: the folder within the archive that holds everything.
        told: the folder below it for the list of rules, the SBOM and the checksums; "" for ``top`` itself.
        files: content → path below ``top`` → text or bytes. Raises `NotAllowed`.
    """

    name: str
    target: str
    suffix: str
    top: str
    told: str
    files: Callable[[Content], Mapping[str, str | bytes]]


def packages() -> list[str]:
    """Names of all packages: the folders beside this file that make one."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("*/package.py"))


def load(name: str) -> Package:
    """The package of that name; `KeyError` if there is none."""
    if name not in packages():
        raise KeyError(name)
    package: Package = import_module(f"backends.{name}.package").PACKAGE
    return package
