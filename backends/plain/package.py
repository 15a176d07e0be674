"""The rules as they are: Sigma, with the pipelines, cases, parameters and schemas, for people with other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from backends.lake import shipped
from backends.package import Content, NotAllowed, Package

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HOME = Path(__file__).parent
SKIPPED = json.loads((HOME / "skipped.json").read_text(encoding="utf-8"))
"""Target → the stock backend's name in sigma-cli, and the stems that it does not take; a test runs it."""


def files(content: Content) -> Mapping[str, str | bytes]:
    """All files of the bundle, by path."""
    targets = {path.parent.name: path for path in sorted(HOME.parent.glob("*/pipeline.yml"))}
    return {
        "README.md": shipped.page(HOME / "package", content=content, skipped=SKIPPED),
        "LICENSE": (content.root / "LICENSE").read_text(encoding="utf-8"),
        "skipped.json": (HOME / "skipped.json").read_text(encoding="utf-8"),
        **dict(_rules(content)),
        **{f"pipelines/{name}.yml": path.read_text(encoding="utf-8") for name, path in targets.items()},
        **{
            f"schemas/{path.name}": path.read_text(encoding="utf-8")
            for path in sorted((content.root / "schemas").glob("*.schema.json"))
        },
    }


def _rules(content: Content) -> Iterator[tuple[str, str]]:
    """Each rule below its chapter, its cases beside it; then the parameters of all."""
    where = {path.stem: path for path in sorted((content.root / "rules").rglob("*.yml"))}
    for rule in content.rules:
        stem = shipped.named(rule)
        found = next((where[p + stem] for p in ("mcp_", "correlation_mcp_", "") if p + stem in where), None)
        if found is None or found.read_text(encoding="utf-8") != rule.source:
            raise NotAllowed(f"the rule {rule.stem} is not the one in rules/; build from a whole checkout")
        below = f"rules/{found.parent.name}"
        yield f"{below}/{found.name}", rule.source
        cases = found.with_name(f"{found.stem}.cases.json")
        if cases.is_file():
            yield f"{below}/{cases.name}", cases.read_text(encoding="utf-8")
    parameters = content.root / "rules" / "parameters.json"
    if parameters.is_file():
        yield "rules/parameters.json", parameters.read_text(encoding="utf-8")


PACKAGE = Package(name="countersign-sigma", target="", suffix=".zip", top="countersign-sigma", told="", files=files)
"""The plain bundle."""
