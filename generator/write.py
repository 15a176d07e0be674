"""Writes a log, its labels and its register: the same seed gives the same bytes, in one process or in many."""

from __future__ import annotations

import csv
import gzip
import io
import multiprocessing
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson

from generator.attacks import attacks
from generator.chains import CHUNK, MICRO, Chunk, Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from generator.world import Register, World

EVENTS_A_CHAIN = 6.3
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

    def attacked(self, number: int) -> str | None:
        """The attack that the chain of this number is bent by; attacked chains lie evenly in the log."""
        if not self.names:
            return None
        total = min(self.chains, max(len(self.names), round(self.rate * self.chains)))
        place = number * total // self.chains
        due = ((2 * place + 1) * self.chains) // (2 * total)
        return self.names[place % len(self.names)] if number == due else None


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
    if shards == 1:
        return _write(plan, range(plan.chunks), log, labels, progress)
    parts = [range(plan.chunks * n // shards, plan.chunks * (n + 1) // shards) for n in range(shards)]
    counts = []
    with tempfile.TemporaryDirectory(prefix="countersign-generate-") as folder:
        context = multiprocessing.get_context("spawn")
        with context.Pool(shards) as pool:
            jobs = [(plan, part, str(Path(folder) / str(n))) for n, part in enumerate(parts)]
            for n, written in enumerate(pool.imap(_part, jobs)):
                counts.append(written)
                _append(Path(folder) / f"{n}.jsonl", log)
                if labels:
                    _append(Path(folder) / f"{n}.labels", labels)
                progress(written.events)
    return Written(sum(w.events for w in counts), sum(w.attacks for w in counts))


def _part(job: tuple[Plan, Sequence[int], str]) -> Written:
    plan, chunks, path = job
    with Path(f"{path}.jsonl").open("wb") as log, Path(f"{path}.labels").open("wb") as labels:
        return _write(plan, chunks, log, labels, lambda _events: None)


def _append(part: Path, to: IO[bytes]) -> None:
    with part.open("rb") as stream:
        shutil.copyfileobj(stream, to, 1 << 20)
    part.unlink()


def _write(
    plan: Plan, chunks: Sequence[int], log: IO[bytes], labels: IO[bytes] | None, progress: Callable[[int], None]
) -> Written:
    events = made = 0
    for number in chunks:
        lines: list[Line] = []
        for attack, bent in _chunk(plan, number):
            lines += bent
            if attack:
                made += 1
                if labels:
                    labels.write(_label(attack, bent))
        lines.sort(key=lambda line: line.at)
        log.write(b"".join([line.text + b"\n" for line in lines]))
        events += len(lines)
        progress(len(lines))
    return Written(events, made)


def _chunk(plan: Plan, number: int) -> Iterator[tuple[str | None, list[Line]]]:
    chunk = Chunk(plan.world, plan.seed, number, plan.chains, plan.start, plan.days)
    for place in range(chunk.size):
        attack = plan.attacked(chunk.first + place)
        if attack is None:
            yield None, chunk.chain(place)
        else:
            yield attack, bend(chunk.chain(place, "write"), attack)


def bend(lines: Sequence[Line], attack: str) -> list[Line]:
    """The lines of an honest chain after an attack; each keeps the time that its record says."""
    times = {orjson.loads(line.text)["event"]["id"]: line.at for line in lines}
    bent = attacks()[attack]([orjson.loads(line.text) for line in lines])
    return [Line(times[event["event"]["id"].removesuffix("-b")], orjson.dumps(event)) for event in bent]


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
