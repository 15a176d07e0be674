"""What is written: how much, of which world, with which attacks, in which form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from generator.chains import CHUNK, EVENTS_A_CHAIN
from generator.pack import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from generator.world import World


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
        pack: makes of a chunk's lines what the file is given; it runs in any process.
        source: the product that logs it (`generator.native.SOURCES`), None for the schema's own form.
    """

    events: int
    seed: int
    start: int
    days: float
    names: tuple[str, ...]
    rate: float
    world: World
    pack: Callable[[bytes], bytes] = plain
    source: str | None = None

    @property
    def chains(self) -> int:
        """Chains of the whole log."""
        return max(1, round(self.events / EVENTS_A_CHAIN[self.world.own_sources]))

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
