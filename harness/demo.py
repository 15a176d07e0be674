"""``make demo``: a week of an organisation's work with seven attacks in it, scanned, and the report of it."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from generator.clock import SECOND
from generator.plan import Plan
from generator.world import World
from generator.write import write, write_register
from harness.options import ScanOptions
from harness.paths import Root
from harness.report.table_report import show
from harness.scan import scan

EVENTS = 50_000
MONDAY = 1_791_158_400 * SECOND  # 2026-10-05
ATTACKS = (
    "service_call_without_person",
    "call_names_no_prompt",
    "call_with_the_whole_system",
    "person_dropped_downstream",
    "token_handed_on",
    "argument_for_somebody_else",
    "server_nobody_knows",
)


def main() -> None:
    """Write the log, its labels and the register to ``out/demo``, scan them, print the report."""
    folder = Path("out/demo")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    world = World(seed=7)
    write_register(world.register, folder / "register")
    log = folder / "events.jsonl"
    with log.open("wb") as events, (folder / "labels.jsonl").open("wb") as labels:
        write(Plan(EVENTS, world.seed, MONDAY, 7, ATTACKS, 0, world), [events], labels)
    result = scan(ScanOptions((str(log),), Root.default(), register=folder / "register"))
    picture = "--picture" in sys.argv
    console = Console(markup=False, highlight=False, record=picture, width=110 if picture else None)
    show(replace(result, summary=replace(result.summary, seconds=0.0)) if picture else result, console)
    if picture:
        console.save_svg("docs/demo.svg", title="make demo")


if __name__ == "__main__":
    main()
