"""Questions that change nothing: GET, and POST to a search. Anything else is refused before it is sent.

What a SIEM answers is not trusted: `harness.replay.kit.transport` bounds an answer's size, `items` and `text` take only
what has the documented form, and what is shown is made safe by `backends.errors.visible`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.replay.kit.transport import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.replay.kit.transport import Connection

SEARCH = re.compile(r"/(?:_plugins/_alerting/monitors|[A-Za-z0-9_.@-]+)/_search")
"""Paths of Elasticsearch and OpenSearch that a POST may go to: they search, and do nothing else."""

MOST = 200
"""Pages of one list; a server that never ends its list is not followed."""

NOT_FOUND = 404


@dataclass(frozen=True)
class Reader:
    """A server that is only read.

    Attributes:
        connection: to it.
    """

    connection: Connection

    def get(self, path: str) -> Any:
        """What is at a path, parsed.

        Raises:
            Refused: no answer, or a refusal.
        """
        return self.connection.ask("GET", path)

    def found(self, path: str) -> Any:
        """The same, None where there is nothing (404)."""
        try:
            return self.get(path)
        except Refused as refused:
            if refused.status == NOT_FOUND:
                return None
            raise

    def search(self, path: str, body: Mapping[str, Any]) -> Any:
        """What a search finds.

        Raises:
            Refused: as `get`.
            ValueError: the path is not one that only searches.
        """
        if not SEARCH.fullmatch(path):
            raise ValueError(f"{path} is no search")
        return self.connection.ask("POST", path, dict(body))


def items(document: Any, *path: str) -> list[dict[str, Any]]:
    """The objects in a list of an answer.

    Raises:
        Refused: the answer has another form.
    """
    node = document
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    if not isinstance(node, list) or not all(isinstance(one, dict) for one in node):
        raise Refused(f"the answer has no list {'.'.join(path)}, which is documented")
    return node


def text(node: Any, *path: str) -> str:
    """The text at a path; "" where there is none."""
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    return "" if node is None else str(node)


def flat(node: Any, above: str = "") -> Iterator[tuple[str, str]]:
    """Every value of a document by its dotted name, as a text that does not depend on how a server writes it."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from flat(value, f"{above}.{key}" if above else str(key))
    elif isinstance(node, list) and node:
        for place, value in enumerate(node):
            yield from flat(value, f"{above}[{place}]")
    else:
        yield (
            above,
            "" if node in (None, {}, []) else str(node).lower() if isinstance(node, bool | int | float) else str(node),
        )


def differing(wanted: Any, found: Any, *, among: bool = False) -> list[str]:
    """Dotted names at which two documents differ.

    Args:
        wanted: what must be.
        found: what is.
        among: whether the second may hold more.
    """
    one, other = dict(flat(wanted)), dict(flat(found))
    names = sorted(one if among else {**one, **other})
    return [name for name in names if one.get(name, "") != other.get(name, "")]
