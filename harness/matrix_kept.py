"""What engines said, kept on disk: a matrix takes hours; one that was stopped goes on with the engine it was at."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.engine_matrix import Stand
from harness.matrix import Failure
from harness.stock import Said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.paths import Root

CODE = [Path(__file__).parent, Path(__file__).parents[1] / "backends"]
"""What else decides about a cell than rules, cases and schemas."""


class Kept:
    """Stands by engine, a file each, for one state of rules and code.

    Args:
        folder: where they lie; it is made.
        root: content root.
        asked: what was asked for, such as which rules and how many variants.
    """

    def __init__(self, folder: Path, root: Root, asked: Sequence[Any]) -> None:
        self._folder, self._state = folder, _digest([root.rules, root.schemas, *CODE], asked)
        folder.mkdir(parents=True, exist_ok=True)

    def of(self, engine: str) -> list[Stand] | None:
        """What the engine said; None where it said nothing, or said it of other rules or by other code."""
        try:
            told = json.loads(self._file(engine).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return list(map(_stand, told["stands"])) if told["state"] == self._state else None

    def put(self, engine: str, stands: Sequence[Stand]) -> None:
        """Keep what an engine said."""
        told = {"state": self._state, "stands": [asdict(stand) for stand in stands]}
        self._file(engine).write_text(json.dumps(told, ensure_ascii=False, indent=1, default=str), encoding="utf-8")

    def _file(self, engine: str) -> Path:
        return self._folder / f"{engine}.json"


def _stand(told: dict[str, Any]) -> Stand:
    stock = told["stock"] and Said(**told["stock"] | {"others": tuple(told["stock"]["others"])})
    failures = tuple(Failure(**failure | {"values": tuple(failure["values"])}) for failure in told["failures"])
    return Stand(**told | {"failures": failures, "stock": stock})


def _digest(folders: Sequence[Path], asked: Sequence[Any]) -> str:
    found = hashlib.sha256(json.dumps(asked).encode())
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                found.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
                found.update(path.read_bytes())
    return found.hexdigest()
