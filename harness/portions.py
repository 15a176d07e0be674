"""Things taken portion by portion, so that what is held at a time does not grow with how many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")


def portions(things: Iterable[T], most: int, size: Callable[[T], int]) -> Iterator[list[T]]:
    """The things in their order, in lists of at most ``most`` by their sizes, but for one that is larger by itself."""
    portion: list[T] = []
    held = 0
    for thing in things:
        more = size(thing)
        if portion and held + more > most:
            yield portion
            portion, held = [], 0
        portion.append(thing)
        held += more
    if portion:
        yield portion
