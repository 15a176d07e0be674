"""What the subclasses of stock pySigma backends share that know the types of fields, and judge one rule at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sigma.conditions import ConditionFieldEqualsValueExpression, ConditionOR
from sigma.conversion.base import TextQueryBackend
from sigma.conversion.state import ConversionState
from sigma.types import SigmaString

from backends.folding import plain_text
from backends.target import Inexpressible

if TYPE_CHECKING:
    from sigma.rule import SigmaRule

    from backends.vocabulary import Vocabulary


class TypedBackend(TextQueryBackend):
    """A mixin, before the stock backend.

    Attributes:
        vocabulary: the fields of the view; the stock backends know no types.
    """

    vocabulary: Vocabulary

    def expression(self, rule: SigmaRule) -> str:
        """The rule's condition.

        Raises:
            Inexpressible: one sentence that names the rule and the construct.
        """
        try:
            parts = [str(self.convert_condition(c.parsed, ConversionState())) for c in rule.detection.parsed_condition]
        except Inexpressible as refused:
            raise Inexpressible(f"rule {rule.title!r}: {refused}") from None
        return parts[0] if len(parts) == 1 else f" {self.or_token} ".join(f"({part})" for part in parts)

    def convert_condition_val(self, cond: Any, state: ConversionState) -> str:
        """Stock: searches all columns or none (`"text"` as a condition). Refused."""
        del state
        raise Inexpressible(f"the search for {str(cond.value)!r} has no field; name the field to search")

    def decide_convert_condition_as_in_expression(self, cond: Any, state: ConversionState) -> bool:  # noqa: ARG002
        """A list only for plain ASCII texts of one keyword; stock: numbers as texts, and `cased` is forgotten."""
        return (
            isinstance(cond, ConditionOR)
            and len({getattr(arg, "field", None) for arg in cond.args}) == 1
            and all(isinstance(arg, ConditionFieldEqualsValueExpression) and self._listed(arg) for arg in cond.args)
        )

    def _listed(self, cond: ConditionFieldEqualsValueExpression) -> bool:
        field, value = self.vocabulary.fields.get(cond.field), cond.value
        if type(value) is not SigmaString or not value.s or value.contains_special():
            return False
        return field is not None and field.kind == "keyword" and not field.array and plain_text(value).isascii()
