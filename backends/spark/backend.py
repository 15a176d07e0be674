"""Sigma conditions as Spark SQL.

Not a subclass of pysigma-backend-databricks 0.1.7: nothing of that would be left (docs/upstream.md: it does not quote
dotted names, compares with `lower()` on one side only where told to, has SQL's three truth values under NOT, one array
form and no correlations). The condition is DuckDB's, whose every atom is two-valued, in Spark's words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.duckdb import backend
from backends.spark.translate import select

if TYPE_CHECKING:
    from sigma.rule import SigmaRule

    from backends.vocabulary import Vocabulary


def condition(rule: SigmaRule, vocabulary: Vocabulary) -> str:
    """A rule's condition over a view; raises `Inexpressible`."""
    return select(backend.expression(rule, vocabulary))
