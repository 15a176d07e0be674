"""The pages that are written from content, and whether they still say what the content says.

A page is one entry of ``PAGES``: its path in the checkout and the function that writes it. Line one of a page names the
function's module, so that nobody edits the page by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.editor_schema import filter_schema, rule_schema
from harness.field_reference import field_reference
from harness.rule_reference import rule_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness.paths import Root

PAGES: Mapping[str, Callable[[Root], str]] = {
    "schemas/README.md": field_reference,
    "rules/README.md": rule_reference,
    "schemas/rule.schema.json": rule_schema,
    "schemas/filter.schema.json": filter_schema,
}
"""Path from the root → the function that gives the page's text, without its first line."""


def page(root: Root, path: str) -> str:
    """The whole text of one page, as it should be."""
    write = PAGES[path]
    said = f"Written by {write.__module__.replace('.', '/')}.py: run `countersign reference`."
    first = f'{{ "$comment": "{said}",' if path.endswith(".json") else f"<!-- {said} -->"
    return f"{first}\n{write(root)}"


def stale(root: Root) -> Sequence[str]:
    """Paths of the pages that are missing or do not say what they should."""
    return [path for path in PAGES if _read(root, path) != page(root, path)]


def write(root: Root) -> Sequence[str]:
    """Write the stale pages; return their paths."""
    paths = stale(root)
    for path in paths:
        place = root.path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(page(root, path), encoding="utf-8", newline="\n")
    return paths


def _read(root: Root, path: str) -> str | None:
    try:
        return (root.path / path).read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
