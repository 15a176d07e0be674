"""The package for Spark and Databricks: scripts of SQL, a query a rule, the register, a driver, a job to deploy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from backends.correlation import Correlation
from backends.lake import shipped
from backends.lake.findings import COLUMNS, summed
from backends.package import Content, Package
from backends.spark.correlate import members
from backends.spark.target import VIEWS, checked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.package import Packed

HOME = Path(__file__).parent
CODE = (*shipped.READERS, "spark/__init__.py", "spark/read.py", "spark/variables.py")
_TYPES = {
    "text": "STRING",
    "count": "BIGINT",
    "time": "TIMESTAMP",
    "map": "MAP<STRING, STRING>",
    "texts": "ARRAY<STRING>",
}


def files(content: Content) -> Mapping[str, str | bytes]:
    """All files of the package, by path.

    Raises:
        NotAllowed: a rule or a register that it can't hold.
    """
    return {
        "README.md": shipped.page(HOME / "package", content=content),
        "LICENSE": (content.root / "LICENSE").read_text(encoding="utf-8"),
        "countersign_job.py": (HOME / "job.py").read_text(encoding="utf-8"),
        "catalogue.json": shipped.catalogue(content),
        "databricks.yml": (HOME / "package" / "databricks.yml").read_text(encoding="utf-8"),
        **{f"sql/{name}": VIEWS[name] for name in ("events.sql", "chain.sql")},
        "sql/findings.sql": _findings(),
        **{f"rules/{shipped.named(rule)}.sql": shipped.head(rule) + _query(rule, content) for rule in content.rules},
        **shipped.register(content),
        **shipped.code(CODE),
    }


def _query(rule: Packed, content: Content) -> str:
    """As `compile` writes it; of a correlation, every record of a window that fires: a finding counts them."""
    if not isinstance(rule.judged, Correlation):
        return rule.query
    conditions = [checked(step.rule, content.events) for step in rule.judged.steps]
    return members(rule.judged, conditions, rule.period_sec * 1_000_000)


def _findings() -> str:
    columns = ",\n  ".join(f"{name} {_TYPES[kind]}" for name, kind in COLUMNS.items())
    return (
        "-- The rows of findings, one a finding and hour, and the view to read.\n"
        f"CREATE TABLE IF NOT EXISTS countersign_found (\n  {columns});\n\n"
        f"CREATE OR REPLACE VIEW countersign_findings AS\n{summed('countersign_found')};\n"
    )


PACKAGE = Package(
    name="countersign-spark", target="spark", suffix=".zip", top="countersign-spark", told="", files=files
)
"""The package for Spark and Databricks."""
