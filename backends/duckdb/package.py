"""The bundle for DuckDB: scripts of SQL, a query a rule, the register as CSV, and a driver of plain Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from backends.duckdb.query import query
from backends.duckdb.script import scripts
from backends.lake import shipped
from backends.package import Content, NotAllowed, Package
from backends.target import Inexpressible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.package import Packed

HOME = Path(__file__).parent
CODE = (
    *shipped.READERS,
    "duckdb/__init__.py",
    "duckdb/columns.py",
    "duckdb/plain.py",
    "duckdb/register_script.py",
)


def files(content: Content) -> Mapping[str, str | bytes]:
    """All files of the bundle, by path.

    Raises:
        NotAllowed: a rule or a register that it can't hold.
    """
    schema = content.root / "schemas" / "event.schema.json"
    return {
        "README.md": shipped.page(HOME / "package", content=content),
        "LICENSE": (content.root / "LICENSE").read_text(encoding="utf-8"),
        "countersign_duckdb.py": (HOME / "bundle.py").read_text(encoding="utf-8"),
        "catalogue.json": shipped.catalogue(content),
        "schemas/event.schema.json": schema.read_text(encoding="utf-8"),
        **{f"sql/{name}": text for name, text in scripts(content.events, content.client_ids).items()},
        **{f"rules/{shipped.named(rule)}.sql": shipped.head(rule) + _query(rule, content) for rule in content.rules},
        **shipped.register(content),
        **shipped.code(CODE),
    }


def _query(rule: Packed, content: Content) -> str:
    if rule.judged is None:
        raise NotAllowed(f"the rule {rule.stem} comes without its condition; build from the pack's rules")
    try:
        return query(rule.judged, rule.period_sec * 1_000_000, content.events, content.chains)
    except Inexpressible as refused:
        raise NotAllowed(f"{refused}; leave it out with --rule") from None


PACKAGE = Package(name="countersign-duckdb", target="", suffix=".zip", top="countersign-duckdb", told="", files=files)
"""The bundle for DuckDB."""
