"""Correlations of each kind, and random records that fit them: few keys, few values, many equal times."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import test_correlation

if TYPE_CHECKING:
    from pathlib import Path

KINDS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "event_count": (["a"], {"condition": {"gte": 3}}),
    "value_count": (["a"], {"condition": {"gte": 3, "field": "gen_ai.tool.name"}}),
    "temporal": (["a", "b", "c"], {}),
    "temporal_ordered": (["a", "b", "c"], {}),
}


def rules(folder: Path) -> dict[str, Any]:
    """One correlation of each kind, by its kind."""
    found = {}
    for kind, (names, more) in KINDS.items():
        (folder / kind).mkdir()
        bases = [test_correlation.base(name, name) for name in names]
        found[kind] = test_correlation.loaded(folder / kind, test_correlation.document(kind, names, **more), *bases)
    return found


def records(seed: int, count: int) -> list[dict[str, Any]]:
    """Records within minutes; some fit several steps, some lack key or value."""
    draw = random.Random(seed)  # noqa: S311 - not for secrets
    return [
        test_correlation.record(
            n,
            draw.choice([draw.randrange(0, 200), draw.randrange(0, 2000) / 10]),
            draw.choice(["a", "b", "c", "ab", "bc", "abc"]),
            **{
                "user.id": draw.choice(["ana", "ANA", "bob", "eve", None]),
                "gen_ai.tool.name": draw.choice(["x", "y", "Y", "z", "5", "5.0", None]),
            },
        )
        for n in range(count)
    ]
