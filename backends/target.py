"""What a target is: one folder that says the project's views and rules in one engine's own language.

``backends/<name>/`` holds the stock pySigma backend's subclass (``backend.py``), the pipeline that stock sigma-cli
takes (``pipeline.yml``), the event view and the chain view (``views/``), the register's form (``register.py``) and, in
``target.py``, a `Target` called ``TARGET``. Nothing else knows a target; a new one is a new folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sigma.conditions import ConditionFieldEqualsValueExpression
from sigma.types import SigmaFieldReference

from backends.correlation import Correlation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sigma.rule import SigmaRule

    from backends.vocabulary import Vocabulary


class Inexpressible(Exception):  # noqa: N818 - it is a refusal
    """A rule uses something that a target can't express. One sentence: rule, construct, and the nearest that works."""


@dataclass(frozen=True)
class Wanted:
    """A rule to be compiled.

    Attributes:
        stem: what a person types.
        judged: the rule, or the correlation over its base rules.
        group_by: fields whose values, together, make one finding.
        period_sec: how long hits of one group are one finding.
    """

    stem: str
    judged: SigmaRule | Correlation
    group_by: tuple[str, ...] = ()
    period_sec: int = 3600

    @property
    def parts(self) -> tuple[SigmaRule, ...]:
        """The rules on single records or chains: itself, or the base rules of a correlation."""
        return tuple(s.rule for s in self.judged.steps) if isinstance(self.judged, Correlation) else (self.judged,)

    @property
    def of_chains(self) -> bool:
        """Whether it judges chain records."""
        return self.parts[0].logsource.service == "chain"


@dataclass(frozen=True)
class Target:
    """An engine and its language.

    Attributes:
        name: its folder.
        product: what a person calls it, with the versions that are meant.
        language: of its queries.
        suffix: of a file that holds one query.
        comment: text → the same as comment lines of the language.
        change: what a person puts in the place of ours, by the word in the query: an index, a macro, a table.
        compile: rule, event fields, chain fields → a query ready to paste. Raises `Inexpressible`.
        views: file name → text of the event view and the chain view, as `compile` reads them.
        bounded: kind of correlation → what a scheduled window finds beside what a sliding one does; none is exact.
        spelled: a field's dotted name → how the language writes it.
        made: content root → file name → text of what its schemas and source maps give: templates, pipelines, the
            form of the register.
    """

    name: str
    product: str
    language: str
    suffix: str
    comment: Callable[[str], str]
    change: Mapping[str, str]
    compile: Callable[[Wanted, Vocabulary, Vocabulary], str]
    views: Mapping[str, str]
    bounded: Mapping[str, str] = field(default_factory=dict)
    spelled: Callable[[str], str] = str
    made: Callable[[Path], Mapping[str, str]] = field(default=lambda _root: {})


def targets() -> list[str]:
    """Names of all targets: the folders beside this file that hold one."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("*/pipeline.yml"))


def load(name: str) -> Target:
    """The target of that name; `KeyError` if there is none."""
    if name not in targets():
        raise KeyError(name)
    target: Target = import_module(f"backends.{name}.target").TARGET
    return target


def fields_read(rule: SigmaRule) -> frozenset[str]:
    """Dotted names of all fields that a rule's condition reads, references included."""
    found: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, ConditionFieldEqualsValueExpression):
            found.add(node.field)
            if isinstance(node.value, SigmaFieldReference):
                found.add(node.value.field)
        for child in getattr(node, "args", ()):
            walk(child)

    for condition in rule.detection.parsed_condition:
        walk(condition.parsed)
    return frozenset(found)
