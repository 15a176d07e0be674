"""One chunk of a log: its chains, honest or bent, as lines; and a label for every bent one.

A label says ``attack``, ``prompt`` (its id, null where the attack left none) and ``events`` (their ids). In a product's
own form it also says ``records`` (file and line), ``findable`` (whether anything of the attack is in them), ``shown``
(what of it is) and ``hidden`` (what is not, each with the reason): see `generator.native.shown`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from generator.attacks import attacks
from generator.chains import Chunk, Line
from generator.clock import micros
from generator.native import native
from generator.native.shown import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from generator.native import Native, Record
    from generator.plan import Plan

BENT = "write"
"""The kind of honest chain that attacks bend."""


@dataclass
class Label:
    """What is told of one attacked chain.

    Attributes:
        told: the label without places.
        files: names of the log's files.
        places: (file, line) within the chunk, None where lines are not told.
    """

    told: dict[str, Any]
    files: Sequence[str] = ()
    places: list[tuple[int, int]] | None = None

    def at(self, before: Sequence[int]) -> dict[str, Any]:
        """The whole label, the chunk's first lines being these."""
        if self.places is None:
            return self.told
        told = dict.fromkeys((file, before[file] + line + 1) for file, line in sorted(self.places))
        records = [{"file": self.files[file], "line": line} if self.files else {"line": line} for file, line in told]
        return {**self.told, "findable": bool(records and self.told["shown"]), "records": records}


@dataclass(frozen=True)
class Told:
    """One chunk: what each file is given, how many lines that is; labels; events."""

    packed: list[bytes]
    lines: list[int]
    labels: list[Label]
    events: int


def tell(plan: Plan, number: int) -> Told:
    """A chunk of the log."""
    attacked = plan.attacked(number)
    kinds = dict.fromkeys(attacked, BENT)
    chunk = Chunk(plan.world, plan.seed, number, plan.chains, plan.start, plan.days, kinds)
    product = native(plan.source) if plan.source else None
    page: _Product | _Schema = _Product(product, number) if product else _Schema()
    for place in range(chunk.size):
        honest = chunk.chain(place)
        attack = attacked.get(chunk.first + place)
        if attack is None:
            page.add(honest)
        else:
            page.add_attacked(attack, honest, bend(honest, attack))
    texts = page.lines()
    packed = [plan.pack(b"\n".join(some) + b"\n" if some else b"") for some in texts]
    return Told(packed, [len(some) for some in texts], page.labels, page.events)


def bend(lines: Sequence[Line], attack: str) -> list[Line]:
    """The lines of an honest chain after an attack, each at the time that its record says."""
    bent = attacks()[attack]([orjson.loads(line.text) for line in lines])
    return [Line(micros(event["@timestamp"]), orjson.dumps(event)) for event in bent]


class _Schema:
    """A chunk in the schema's own form."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self.labels: list[Label] = []

    @property
    def events(self) -> int:
        return len(self._lines)

    def add(self, chain: list[Line]) -> None:
        self._lines += chain

    def add_attacked(self, attack: str, _honest: list[Line], bent: list[Line]) -> None:
        self._lines += bent
        self.labels.append(Label(_label(attack, [orjson.loads(line.text) for line in bent])))

    def lines(self) -> list[list[bytes]]:
        self._lines.sort(key=lambda line: line.at)
        return [[line.text for line in self._lines]]


class _Product:
    """A chunk as a product logs it."""

    def __init__(self, product: Native, number: int) -> None:
        self._product, self._number = product, number
        self._records: list[tuple[int, Record, Label | None]] = []
        self.labels: list[Label] = []
        self.events = 0

    def add(self, chain: list[Line], label: Label | None = None) -> None:
        self.events += len(chain)
        events = [orjson.loads(line.text) for line in chain]
        late = [line.at - micros(event["@timestamp"]) for line, event in zip(chain, events, strict=True)]
        self._records += [(one.at + late[one.event], one, label) for one in self._product.tell(events)]

    def add_attacked(self, attack: str, honest: list[Line], bent: list[Line]) -> None:
        before, after = ([orjson.loads(line.text) for line in some] for some in (honest, bent))
        of_it = shown(before, after, self._product)
        told = {**_label(attack, after), "findable": False, "shown": of_it.shown, "hidden": of_it.hidden}
        label = Label(told, self._product.files, [])
        self.labels.append(label)
        self.add(bent, label)

    def lines(self) -> list[list[bytes]]:
        self._records.sort(key=lambda one: one[0])
        found: list[list[bytes]] = []
        for file in range(len(self._product.files) or 1):
            some = [(record, label) for _, record, label in self._records if record.file == file]
            texts: list[bytes] = []
            for text, places in self._product.lines([record for record, _ in some], self._number):
                for label in (some[place][1] for place in places):
                    if label and label.places is not None:
                        label.places.append((file, len(texts)))
                texts.append(text)
            found.append(texts)
        return found


def _label(attack: str, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    prompt = next((e["chain"]["prompt"]["id"] for e in events if e["chain"].get("prompt", {}).get("id")), None)
    return {"attack": attack, "prompt": prompt, "events": [e["event"]["id"] for e in events]}
