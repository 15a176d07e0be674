"""Writes a log, its labels and its register: the same seed gives the same bytes, in one process or in many."""

from __future__ import annotations

import csv
import gzip
import io
import multiprocessing
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import orjson

from generator.attacks import attacks
from generator.chains import CHUNK, Chunk, Line
from generator.stories import MICRO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from multiprocessing.pool import AsyncResult, Pool
    from pathlib import Path

    from generator.world import Register, World

BENT = "write"
"""The kind of honest chain that attacks bend."""

EVENTS_A_CHAIN = 6.4
"""Measured over a million honest events; how many chains a wanted number of events takes."""


@dataclass(frozen=True)
class Plan:
    """What is written.

    Attributes:
        events: about how many; whole chains are written.
        seed: of world and draws.
        start: microseconds since 1970.
        days: length of the log.
        names: attacks to make; empty for none.
        rate: attacked chains of all chains; each attack is made once at least.
        world: the organisation.
    """

    events: int
    seed: int
    start: int
    days: float
    names: tuple[str, ...]
    rate: float
    world: World

    @property
    def chains(self) -> int:
        """Chains of the whole log."""
        return max(1, round(self.events / EVENTS_A_CHAIN))

    @property
    def chunks(self) -> int:
        """Chunks of the whole log."""
        return -(-self.chains // CHUNK)

    def attacked(self, chunk: int) -> dict[int, str]:
        """Number of a chain → the attack that bends it, for the chains of one chunk.

        The log is cut into as many stretches as there are attacked chains; in each one chain is drawn.
        """
        if not self.names:
            return {}
        total = min(self.chains, max(len(self.names), round(self.rate * self.chains)))
        first, last = chunk * CHUNK, min((chunk + 1) * CHUNK, self.chains) - 1
        found = {}
        for stretch in range(first * total // self.chains, last * total // self.chains + 1):
            begin, end = -(-stretch * self.chains // total), -(-(stretch + 1) * self.chains // total)
            due = int(np.random.default_rng([self.seed, 11, stretch]).integers(begin, end))
            if first <= due <= last:
                found[due] = self.names[stretch % len(self.names)]
        return found


@dataclass(frozen=True)
class Written:
    """Events and attacked chains that were written."""

    events: int
    attacks: int


def write(
    plan: Plan,
    log: IO[bytes],
    labels: IO[bytes] | None = None,
    shards: int = 1,
    progress: Callable[[int], None] = lambda _events: None,
) -> Written:
    """Write the log, and a label a line for every attacked chain, never into the log.

    Args:
        plan: what to write.
        log: where events go.
        labels: where ``{"attack", "prompt", "events"}`` goes.
        shards: processes that share the work; the bytes do not depend on it.
        progress: called with the number of events written since the last call.
    """
    events = made = 0
    with ExitStack() as stack:
        chunks: Iterable[Made]
        if shards == 1:
            chunks = map(partial(_chunk, plan), range(plan.chunks))
        else:
            pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(shards))
            chunks = _in_order(pool, plan, shards)
        for chunk in chunks:
            log.write(chunk.lines)
            if labels:
                labels.write(chunk.labels)
            events, made = events + chunk.events, made + chunk.attacks
            progress(chunk.events)
    return Written(events, made)


@dataclass(frozen=True)
class Made:
    """One chunk: its lines and labels as bytes, and how many of each."""

    lines: bytes
    labels: bytes
    events: int
    attacks: int


def _in_order(pool: Pool, plan: Plan, shards: int) -> Iterator[Made]:
    """The chunks in their order; only a few are made ahead, so that memory stays the same however long the log is."""
    waiting: deque[AsyncResult[Made]] = deque()
    for number in range(plan.chunks):
        waiting.append(pool.apply_async(_chunk, (plan, number)))
        if len(waiting) > 2 * shards:
            yield waiting.popleft().get()
    while waiting:
        yield waiting.popleft().get()


def _chunk(plan: Plan, number: int) -> Made:
    attacked = plan.attacked(number)
    kinds = dict.fromkeys(attacked, BENT)
    chunk = Chunk(plan.world, plan.seed, number, plan.chains, plan.start, plan.days, kinds)
    lines: list[Line] = []
    labels: list[bytes] = []
    for place in range(chunk.size):
        honest = chunk.chain(place)
        attack = attacked.get(chunk.first + place)
        if attack is None:
            lines += honest
        else:
            bent = bend(honest, attack)
            lines += bent
            labels.append(_label(attack, bent))
    lines.sort(key=lambda line: line.at)
    text = b"\n".join([line.text for line in lines]) + b"\n"
    return Made(text, b"".join(labels), len(lines), len(labels))


def bend(lines: Sequence[Line], attack: str) -> list[Line]:
    """The lines of an honest chain after an attack, each at the time that its record says."""
    bent = attacks()[attack]([orjson.loads(line.text) for line in lines])
    return [Line(_micros(event["@timestamp"]), orjson.dumps(event)) for event in bent]


def _micros(time: str) -> int:
    return int(np.datetime64(time.removesuffix("Z"), "us").astype(np.int64))


def _label(attack: str, lines: Sequence[Line]) -> bytes:
    events = [orjson.loads(line.text) for line in lines]
    prompt = next((e["chain"]["prompt"]["id"] for e in events if e["chain"].get("prompt", {}).get("id")), None)
    return orjson.dumps({"attack": attack, "prompt": prompt, "events": [e["event"]["id"] for e in events]}) + b"\n"


def write_register(register: Register, folder: Path) -> None:
    """A CSV file a table; the items of a list are separated by ``|``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in register.items():
        text = io.StringIO()
        columns = list(dict.fromkeys(column for row in rows for column in row))
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({column: _cell(value) for column, value in row.items()} for row in rows)
        (folder / f"{name}.csv").write_text(text.getvalue(), encoding="utf-8")


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return "|".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def packed(stream: IO[bytes]) -> gzip.GzipFile:
    """A gzip stream whose bytes hold neither a time nor a file's name."""
    return gzip.GzipFile(filename="", mode="wb", fileobj=stream, compresslevel=6, mtime=0)


__all__ = ["MICRO", "Plan", "Written", "bend", "packed", "write", "write_register"]
