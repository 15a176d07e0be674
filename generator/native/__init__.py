"""The same story as real products log it: one module a product, named as its source map.

A product's records are made from the events of one chain, after an attack has bent it. What the product has no place
for is not in them; `Native.says` lists what is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from generator.world import Register

Event = Mapping[str, Any]
Says = Mapping[str, frozenset[str]]

SOURCES = ("claude_code_otel", "contextforge", "mcp_otel")


class Record(NamedTuple):
    """One native record.

    Attributes:
        at: when it is written, microseconds since 1970.
        event: place in the chain of the event that it tells of.
        text: JSON.
        file: which of the product's files holds it.
        group: records of one line must agree in it, where a line holds many.
    """

    at: int
    event: int
    text: bytes
    file: int = 0
    group: bytes = b""


Lines = Iterable[tuple[bytes, Sequence[int]]]
"""Lines of a file, each with the places of the records that it holds."""


def one_each(records: Sequence[Record], _chunk: int) -> Lines:
    """A record a line."""
    return ((record.text, (at,)) for at, record in enumerate(records))


@dataclass(frozen=True)
class Native:
    """A product.

    Attributes:
        files: names of the files that its records lie in; none where one file holds all.
        says: dotted fields that its records tell, by ``chain.stage``; what is not listed is nowhere in them.
        tell: the records of one chain.
        lines: the lines of one file from its records, in the order of writing, and the number of the chunk.
    """

    files: tuple[str, ...]
    says: Says
    tell: Callable[[Sequence[Event]], Iterator[Record]]
    lines: Callable[[Sequence[Record], int], Lines] = one_each


@cache
def native(source: str) -> Native:
    """The product of this name, one of `SOURCES`."""
    found: Native = import_module(f"generator.native.{source}").PRODUCT
    return found


def onboarded(register: Register, source: str) -> Register:
    """The register of a team that collects nothing but this product's records: what they tell is what is covered."""
    says = native(source).says
    rows = [{**row, "stages": [stage for stage in row["stages"] if stage in says]} for row in register["coverage"]]
    return {**register, "coverage": rows}


def at(event: Event, name: str) -> Any:
    """The value of a dotted field, None where it is absent."""
    value: Any = event
    for key in name.split("."):
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def person(event: Event) -> str | None:
    """Who a product takes for the caller: the e-mail of a human, else the identity that acts."""
    found: str | None = at(event, "user.email") or at(event, "user.id") or at(event, "user.effective.id")
    return found


def digits(*parts: object, size: int = 16) -> str:
    """An id of the product's own in hexadecimal, ``2 * size`` digits, the same for the same parts."""
    return blake2b("|".join(map(str, parts)).encode(), digest_size=size).hexdigest()
