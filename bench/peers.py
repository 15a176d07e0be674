"""The event rules by themselves, beside Zircolite and rsigma, over the same events in one run.

Most rules read facts that only the event view computes. So that everybody judges the same, the facts are computed
first and written into the events, outside what is timed. A whole `scan`, which computes them, is timed beside.

Neither peer is a dependency. ``ZIRCOLITE`` holds its command (``python zircolite.py --config config.yaml``),
``RSIGMA`` rsigma's program; what is not named is said to be missing.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import orjson
import yaml

from backends.duckdb.backend import expression
from backends.duckdb.columns import quoted
from backends.duckdb.engine import Engine
from backends.duckdb.lines import LogFile
from backends.duckdb.target import shown
from backends.sources import SourceMaps
from backends.vocabulary import Vocabulary
from harness.paths import Root
from harness.ruleset import Rule, load_rules
from harness.scan import sources_of

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH = 20_000


def measure(log: Path, events: int) -> dict[str, Any]:
    """Seconds, events a second and hits of each, best of two.

    Args:
        log: events in schema form, a JSON object a line.
        events: how many of them are judged.
    """
    root = Root.default()
    rules = [rule for rule in load_rules(root.rules, root.schemas) if rule.service == "event" and not rule.correlation]
    with tempfile.TemporaryDirectory(prefix="countersign-bench-peers-") as name:
        folder = Path(name)
        with log.open("rb") as every, (folder / "raw.jsonl").open("wb") as some:
            some.writelines(islice(every, events))
        _prepare(root, folder)
        _write_rules(rules, folder)
        runs = {"countersign": lambda: _ours(root, rules, folder), "countersign scan": lambda: _scan(folder)}
        if "ZIRCOLITE" in os.environ:
            runs["zircolite"] = lambda: _zircolite(rules, folder)
        if "RSIGMA" in os.environ:
            runs["rsigma"] = lambda: _rsigma(folder)
        found = {}
        for who, run in runs.items():
            timed = [_timed(run) for _ in range(2)]
            seconds, hits = min(timed, key=lambda one: one[0])
            found[who] = {"s": round(seconds, 2), "events_per_s": round(events / seconds), "hits": hits}
    ours = found["countersign"]
    for one in found.values():
        one["ours_is_faster"] = round(one["s"] / ours["s"], 1)
        differing = {r for r in {*ours["hits"], *one["hits"]} if ours["hits"].get(r) != one["hits"].get(r)}
        one["differs_on"] = {r: [ours["hits"].get(r, 0), one["hits"].get(r, 0)] for r in sorted(differing)}
        one["hits"] = sum(one["hits"].values()) if one is not ours else one["hits"]
    ours["hits"] = sum(ours["hits"].values())
    missing = [name for name in ("ZIRCOLITE", "RSIGMA") if name not in os.environ]
    return {"events": events, "rules": len(rules), **found, **({"not named": missing} if missing else {})}


def _timed(run: Any) -> tuple[float, dict[str, int]]:
    begun = time.monotonic()
    hits = run()
    return time.monotonic() - begun, hits


def _prepare(root: Root, folder: Path) -> None:
    """Write ``nested.jsonl`` and ``flat.jsonl``: the events with their facts; ``a.b_c`` is ``abc`` in the flat form."""
    vocabulary, maps = Vocabulary.load(root.event_schema), SourceMaps.load(root.sources)
    sources = sources_of(maps)
    with (
        Engine(vocabulary, {}, sources.never, sources.client_ids) as engine,
        (folder / "nested.jsonl").open("wb") as nested,
        (folder / "flat.jsonl").open("wb") as flat,
    ):
        engine.ingest([LogFile(0, folder / "raw.jsonl", "raw.jsonl")])
        rids = [rid for (rid,) in engine.connection.execute("SELECT rid FROM ev ORDER BY rid").fetchall()]
        for first in range(0, len(rids), BATCH):
            details = engine.details(rids[first : first + BATCH])
            for rid in rids[first : first + BATCH]:
                record = shown(details[rid], vocabulary)
                nested.write(orjson.dumps(_nested(record)) + b"\n")
                flat.write(orjson.dumps({_word(name): value for name, value in record.items()}) + b"\n")


def _nested(record: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in record.items():
        *parents, leaf = name.split(".")
        node = out
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return out


def _word(name: str) -> str:
    """A name as Zircolite keeps it: of letters and digits only."""
    return "".join(letter for letter in name if letter.isalnum())


def _write_rules(rules: list[Rule], folder: Path) -> None:
    """The rules as they are, and with the flat form's names."""
    for kind in ("rules", "flat_rules"):
        (folder / kind).mkdir()
    for rule in rules:
        text = rule.path.read_text(encoding="utf-8")
        (folder / "rules" / rule.path.name).write_text(text, encoding="utf-8")
        document = yaml.safe_load(text)
        document["detection"] = {
            name: {_renamed(key): value for key, value in part.items()} if isinstance(part, dict) else part
            for name, part in document["detection"].items()
        }
        out = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
        (folder / "flat_rules" / rule.path.name).write_text(out, encoding="utf-8")


def _renamed(key: str) -> str:
    name, *modifiers = key.split("|")
    return "|".join([_word(name), *modifiers])


def _ours(root: Root, rules: list[Rule], folder: Path) -> dict[str, int]:
    """The compiled rules as columns of one SELECT over the typed events, as the scan's one pass has them."""
    vocabulary = Vocabulary.load(root.event_schema)
    kinds = {"keyword": "VARCHAR", "number": "DOUBLE", "integer": "DOUBLE", "boolean": "BOOLEAN", "time": "VARCHAR"}
    typed = ", ".join(f"'{_word(f.name)}': '{kinds[f.kind]}{'[]' * f.array}'" for f in vocabulary.fields.values())
    named = ", ".join(f"{_word(f.name)} AS {quoted(f.name)}" for f in vocabulary.fields.values())
    counts = ", ".join(f"count_if({expression(rule.parts[0], vocabulary)})" for rule in rules)
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        connection.execute("SET enable_progress_bar = false")
        row = connection.execute(
            f"SELECT {counts} FROM (SELECT {named} FROM "
            f"read_json($1, format = 'newline_delimited', columns = {{{typed}}}))",
            [str(folder / "flat.jsonl")],
        ).fetchone()
    return {rule.stem: n for rule, n in zip(rules, row or (), strict=True) if n}


def _scan(folder: Path) -> dict[str, int]:
    """A whole scan of the events as they were logged, by these rules: facts, joining and findings included."""
    command = [sys.executable, "-m", "harness.cli", "scan", str(folder / "raw.jsonl"), "--format", "json", "--quiet"]
    done = subprocess.run([*command, "--rules", str(folder / "rules")], check=True, capture_output=True)
    hits: Counter[str] = Counter()
    for finding in json.loads(done.stdout)["findings"]:
        hits[finding["rule"]["stem"]] += finding["count"]
    return dict(hits)


def _zircolite(rules: list[Rule], folder: Path) -> dict[str, int]:
    out = folder / "zircolite.json"
    command = [*shlex.split(os.environ["ZIRCOLITE"]), "--events", str(folder / "flat.jsonl"), "--jsonl", "--quiet"]
    command += ["--ruleset", str(folder / "flat_rules"), "--outfile", str(out), "--no-event-filter"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    stems = {rule.title: rule.stem for rule in rules}
    return {stems[one["title"]]: one["count"] for one in json.loads(out.read_text(encoding="utf-8"))}


def _rsigma(folder: Path) -> dict[str, int]:
    command = [os.environ["RSIGMA"], "--quiet", "--output-format", "ndjson", "engine", "eval"]
    with (folder / "nested.jsonl").open("rb") as events, (folder / "rsigma.jsonl").open("wb") as out:
        subprocess.run([*command, "--rules", str(folder / "rules")], stdin=events, stdout=out, check=True)
    return dict(Counter(_rsigma_hits(folder)))


def _rsigma_hits(folder: Path) -> Iterator[str]:
    stems = {}
    for path in sorted((folder / "rules").iterdir()):
        stems[yaml.safe_load(path.read_text(encoding="utf-8"))["id"]] = path.stem.removeprefix("mcp_")
    with (folder / "rsigma.jsonl").open("rb") as out:
        for line in out:
            yield stems[orjson.loads(line)["rule_id"]]
