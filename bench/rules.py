"""`scan` of one file by the pack's rules and by ten times as many: copies that ask for other values."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

import yaml

from harness.paths import Root
from harness.ruleset import load_rules

if TYPE_CHECKING:
    from collections.abc import Iterator

COPIES = 9
"""Of each rule that is no correlation, beside itself."""


def measure(log: Path) -> dict[str, Any]:
    """Best of two of each, seconds; the factor that the project wants at 2.5 or less.

    Args:
        log: events in schema form, a JSON object a line.
    """
    root = Root.default()
    with tempfile.TemporaryDirectory(prefix="countersign-bench-rules-") as folder:
        few, many = (Path(folder) / name for name in ("few", "many"))
        counts = [write(root, few, 1), write(root, many, 1 + COPIES)]
        seconds = [min(_scan(log, rules) for _ in range(2)) for rules in (few, many)]
    return {
        "rules": counts,
        "scan_s": [round(one, 2) for one in seconds],
        "factor": round(seconds[1] / seconds[0], 2),
    }


def write(root: Root, folder: Path, times: int) -> int:
    """Write every rule of the pack so many times, each copy for people and servers of its own; how many there are."""
    folder.mkdir()
    parameters = json.loads(root.parameters.read_text(encoding="utf-8"))
    of_copies = {}
    for rule in load_rules(root.rules, root.schemas):
        if rule.correlation:
            continue
        for number, document in enumerate(_copies(yaml.safe_load(rule.path.read_text(encoding="utf-8")), times)):
            path = folder / rule.chapter / f"mcp_{rule.stem}_copy_{number}.yml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
            of_copies[f"{rule.stem}_copy_{number}"] = {
                name: value for name, value in parameters["rules"][rule.stem].items() if name != "number"
            }
    del parameters["$schema"]
    (folder / "parameters.json").write_text(json.dumps(parameters | {"rules": of_copies}), encoding="utf-8")
    return len(of_copies)


def _copies(document: dict[str, Any], times: int) -> Iterator[dict[str, Any]]:
    chains = document["logsource"]["service"] == "chain"
    for number in range(times):
        one = copy.deepcopy(document)
        one["id"] = str(uuid5(NAMESPACE_URL, f"{document['id']}/{number}"))
        one["title"] = f"{document['title']} {number}"
        one["detection"]["apart"] = _other(number, chains=chains) if times > 1 else _any(chains=chains)
        one["detection"]["condition"] = f"({document['detection']['condition']}) and apart"
        yield one


def _any(*, chains: bool) -> dict[str, Any]:
    return {"chain.tool_calls|gte": 0} if chains else {"event.id|exists": True}


def _other(number: int, *, chains: bool) -> dict[str, Any]:
    """A part of the work for each copy, so that together they find what one finds."""
    return {"chain.tool_calls": number} if chains else {"event.id|endswith": str(number)}


def _scan(log: Path, rules: Path) -> float:
    begun = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "harness.cli",
        "scan",
        str(log),
        "--rules",
        str(rules),
        "--format",
        "json",
        "--quiet",
    ]
    done = subprocess.run(command, check=True, capture_output=True)
    assert json.loads(done.stdout)["summary"]["lines"] > 0  # noqa: S101 - a scan of nothing is no measurement
    return time.monotonic() - begun
