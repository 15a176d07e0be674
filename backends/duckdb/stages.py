"""The stages at which a rule can fire at all: at the others it is not judged, which costs a scan a tenth less.

Most rules name the stage of their records, and a CASE judges what it holds for the rows that get to it, while an AND
judges all its terms for all rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sigma.conditions import ConditionAND, ConditionFieldEqualsValueExpression, ConditionNOT, ConditionOR
from sigma.types import SigmaString

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sigma.rule import SigmaRule

FIELD = "chain.stage"


def stages_of(rule: SigmaRule, stages: Sequence[str]) -> tuple[str, ...] | None:
    """Those of the stages at which the rule can fire; None where a record without one of them can fire too."""
    conditions = [condition.parsed for condition in rule.detection.parsed_condition]

    def possible(condition: Any, stage: str | None) -> tuple[bool, bool]:
        """Whether the condition can be true, and whether it can be false, for some record of this stage."""
        if isinstance(condition, ConditionAND | ConditionOR):
            parts = [possible(part, stage) for part in condition.args]
            true, false = [one for one, _ in parts], [one for _, one in parts]
            return (all(true), any(false)) if isinstance(condition, ConditionAND) else (any(true), all(false))
        if isinstance(condition, ConditionNOT):
            can, cannot = possible(condition.args[0], stage)
            return cannot, can
        named = isinstance(condition, ConditionFieldEqualsValueExpression) and condition.field == FIELD
        # a value that is no stage is one that a record may have beside these; patterns and cased values the engine judges
        if named and type(condition.value) is SigmaString and (value := str(condition.value).lower()) in stages:
            return value == stage, value != stage
        return True, True

    def fires(stage: str | None) -> bool:
        return any(possible(condition, stage)[0] for condition in conditions)

    return None if fires(None) else tuple(stage for stage in stages if fires(stage))
