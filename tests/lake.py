"""What the lake packages are judged on: a generated log with every attack, the register, and what `scan` says of both."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ready

from backends.package import load
from backends.register import Register
from backends.sources import SourceMaps
from harness.building import build, content
from harness.case import Bases
from harness.judging import sources_of, subjects_of
from harness.own import chosen
from harness.paths import Root

if TYPE_CHECKING:
    from pathlib import Path

    from backends.package import Content

ROOT = Root.default()
SHAPE = ("--events", "1200", "--attack-rate", "1", "--days", "1", "--seed", "5", "--people", "20")
SHAPE += ("--agents", "6", "--servers", "5")
UNTIL, HOURS = "2026-10-08T00:00:00Z", "96"
"""Around all records that are generated, so that every chain is judged, as a scan of a file does."""

BEYOND = "source_blind_to_correlation"
"""No shipped source is blind in this way: its records are those of its own case."""


@dataclass(frozen=True)
class Attacked:
    """A log, its register, and the findings of a scan."""

    log: Path
    register: Path
    findings: list[dict[str, Any]]

    def said(self) -> Counter[tuple[Any, ...]]:
        """Rule, hits, first and last time, sentence and chain of each finding."""
        return Counter(
            (
                f["rule"]["stem"],
                f["count"],
                f["first_seen"],
                f["last_seen"],
                f["sentence"],
                (f["chain"] or {}).get("id"),
            )
            for f in self.findings
        )


def attacked(folder: Path) -> Attacked:
    """Generate, and scan."""
    log, register, found = folder / "log.jsonl", folder / "register", folder / "scan.json"
    countersign("generate", "-o", str(log), *SHAPE, "--register-out", str(register))
    countersign("scan", str(log), "--register", str(register), "--format", "json", "-o", str(found))
    return Attacked(log, register, json.loads(found.read_text(encoding="utf-8"))["findings"])


def beyond() -> list[dict[str, Any]]:
    """The records on which the rule fires that no generated log is attacked for."""
    (subject,) = subjects_of(ROOT, ROOT.rules, [BEYOND])[0]
    return list(next(case for case in subject.cases if case.fires).records(Bases.honest()))


def countersign(*arguments: str) -> None:
    done = subprocess.run([*ready.command(), *arguments], cwd=ROOT.path, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr


def made(name: str, register: Path | None = None) -> Content:
    """What the package is made from, the made-up sources of cases among the source maps."""
    sources = sources_of(subjects_of(ROOT, ROOT.rules)[0], SourceMaps.load(ROOT.sources))
    pack = content(ROOT, load(name), list(chosen(ROOT)), register)
    return replace(pack, never=sources.never, client_ids=sources.client_ids)


def unpacked(name: str, folder: Path, register: Path | None = None) -> Path:
    """Build the archive and unpack it in an empty folder."""
    package = load(name)
    built = build(package, made(name, register), folder / "dist")
    with zipfile.ZipFile(built.path) as archive:
        archive.extractall(folder)
    return folder / package.top


def tables(folder: Path) -> Any:
    """The register in the package, as the driver reads it."""
    return Register.load(folder).tables
