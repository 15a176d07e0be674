"""Writes a log, its labels and its register: the same seed gives the same bytes, in one process or in many."""

from __future__ import annotations

import csv
import io
import multiprocessing
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any, Protocol

import orjson

from generator.story import OWN_SOURCES
from generator.tell import Told, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.pool import AsyncResult, Pool

    from generator.plan import Plan
    from generator.world import Register


class Out(Protocol):
    """A file that grows by chunks; what a chunk is, the plan's ``pack`` says."""

    def write(self, chunk: bytes, /) -> object:
        """Add a chunk."""


@dataclass(frozen=True)
class Written:
    """Events and attacked chains that were written."""

    events: int
    attacks: int


def write(
    plan: Plan,
    logs: Sequence[Out],
    labels: IO[bytes] | None = None,
    shards: int = 1,
    progress: Callable[[int], None] = lambda _events: None,
) -> Written:
    """Write the log, and a label a line for every attacked chain, never into the log.

    Args:
        plan: what to write.
        logs: where events go: one file, or one for each of the product's.
        labels: where labels go, see `generator.tell`.
        shards: processes that share the work; the bytes do not depend on it.
        progress: called with the number of events written since the last call.
    """
    events = attacks = 0
    lines = [0] * len(logs)
    for chunk in _chunks(plan, shards):
        for log, packed in zip(logs, chunk.packed, strict=True):
            log.write(packed)
        if labels:
            labels.writelines(orjson.dumps(label.at(lines)) + b"\n" for label in chunk.labels)
        lines = [before + more for before, more in zip(lines, chunk.lines, strict=True)]
        events, attacks = events + chunk.events, attacks + len(chunk.labels)
        progress(chunk.events)
    return Written(events, attacks)


def _chunks(plan: Plan, shards: int) -> Iterator[Told]:
    """The chunks in their order."""
    if shards == 1:
        yield from (tell(plan, number) for number in range(plan.chunks))
        return
    plan.world.register  # noqa: B018 - what is worked out once goes to all processes
    with (
        TemporaryDirectory(prefix="countersign-") as folder,
        multiprocessing.get_context("spawn").Pool(shards, _begin, (plan, Path(folder))) as pool,
    ):
        yield from _in_order(pool, plan.chunks, 2 * shards)


def _in_order(pool: Pool, chunks: int, ahead: int) -> Iterator[Told]:
    """Only a few are made ahead, so that memory stays the same however long the log is."""
    waiting: deque[AsyncResult[_Kept]] = deque()
    for number in range(chunks):
        waiting.append(pool.apply_async(_tell, (number,)))
        if len(waiting) > ahead:
            yield waiting.popleft().get().told()
    while waiting:
        yield waiting.popleft().get().told()


@dataclass(frozen=True)
class _Kept:
    """A chunk whose bytes lie in files: a pipe between processes costs more than the making."""

    rest: Told
    files: list[Path]

    def told(self) -> Told:
        packed = [file.read_bytes() for file in self.files]
        for file in self.files:
            file.unlink()
        return replace(self.rest, packed=packed)


_DOES: list[tuple[Plan, Path]] = []
"""In a process that makes chunks: the plan, and the folder that it keeps them in."""


def _begin(plan: Plan, folder: Path) -> None:
    _DOES[:] = [(plan, folder)]


def _tell(number: int) -> _Kept:
    plan, folder = _DOES[0]
    told = tell(plan, number)
    files = [folder / f"{number}-{at}" for at in range(len(told.packed))]
    for file, packed in zip(files, told.packed, strict=True):
        file.write_bytes(packed)
    return _Kept(replace(told, packed=[]), files)


def write_register(register: Register, folder: Path) -> None:
    """A CSV file a table; the items of a list are separated by ``|``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in register.items():
        text = io.StringIO()
        columns = list(dict.fromkeys(column for row in rows for column in row))
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({column: _cell(value) for column, value in row.items()} for row in rows)
        (folder / f"{name}.csv").write_bytes(text.getvalue().encode())


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return "|".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def write_sources(folder: Path) -> None:
    """The source maps of `generator.story.OWN_SOURCES`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in OWN_SOURCES:
        (folder / f"{name}.yml").write_bytes((Path(__file__).parent / "sources" / f"{name}.yml").read_bytes())
