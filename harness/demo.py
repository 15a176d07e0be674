"""``make demo``: honest work and six incidents in one log, scanned; the report is what a person would get."""

from __future__ import annotations

import json
import sys
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from generator.session import SECONDS, base_event, base_register
from harness.options import ScanOptions
from harness.paths import Root
from harness.report.table_report import show
from harness.scan import scan

if TYPE_CHECKING:
    from collections.abc import Callable

CHAINS = 2_000
START = datetime(2026, 10, 5, 7, tzinfo=UTC)
STAGES = ("prompt", "decision", "token", "tool_call", "access", "tool_response")
Chain = dict[str, dict[str, Any]]


def _no_human(chain: Chain) -> None:
    chain["tool_call"].pop("user")
    chain["tool_call"]["user"] = {"effective": {"id": "svc-sales-copilot"}}


def _no_prompt(chain: Chain) -> None:
    chain["tool_call"]["chain"].pop("prompt")


def _dropped(chain: Chain) -> None:
    chain["access"].pop("user")
    chain["access"]["user"] = {"effective": {"id": "svc-sales-copilot"}}


def _passed_through(chain: Chain) -> None:
    chain["access"]["oauth"]["token"]["hash"] = chain["tool_call"]["oauth"]["token"]["hash"]


def _someone_else(chain: Chain) -> None:
    chain["tool_call"]["gen_ai"]["tool"]["call"]["arguments"] = '{"opportunity_id":"o-17","on_behalf_of":"u-bob"}'


def _unknown_server(chain: Chain) -> None:
    chain["tool_call"]["mcp"]["server"] = {**chain["tool_call"]["mcp"]["server"], "name": "crm-mcp-backup"}


INCIDENTS: dict[int, Callable[[Chain], None]] = {
    310: _no_human,
    640: _no_prompt,
    905: _dropped,
    1222: _passed_through,
    1490: _someone_else,
    1777: _unknown_server,
}


def chain(number: int) -> Chain:
    """The honest chain with ids and times of its own, bent where an incident is due."""
    events = {stage: deepcopy(base_event(stage)) for stage in STAGES}
    begins = START + timedelta(seconds=17 * number)
    for stage, event in events.items():
        event["@timestamp"] = (begins + timedelta(seconds=SECONDS[stage])).isoformat().replace("+00:00", "Z")
        event["event"]["id"] = f"{stage}-{number}"
        event["chain"]["prompt"]["id"] = f"prompt-{number}"
        event["trace"]["id"] = f"{number:032x}"
        event["gen_ai"].get("tool", {}).get("call", {}).update(id=f"call-{number}")
        token = event.get("oauth", {}).get("token", {})
        if token:
            token["hash"] += str(number)
            token["issued_at"] = begins.isoformat()
            token["expires_at"] = (begins + timedelta(minutes=15)).isoformat()
        for name in ("id", "parent_id"):
            if name in event["span"]:
                event["span"][name] = f"{event['span'][name][:8]}{number:06x}{event['span'][name][-2:]}"
    if number in INCIDENTS:
        INCIDENTS[number](events)
    return events


def main() -> None:
    """Write the log and the register to ``out/demo``, scan them, print the report."""
    folder = Path("out/demo")
    (folder / "register").mkdir(parents=True, exist_ok=True)
    for name, rows in base_register().items():
        (folder / "register" / f"{name}.yml").write_text(yaml.safe_dump(rows, sort_keys=False), encoding="utf-8")
    log = folder / "events.jsonl"
    with log.open("w", encoding="utf-8") as out:
        for number in range(CHAINS):
            out.writelines(json.dumps(event) + "\n" for event in chain(number).values())
    result = scan(ScanOptions((str(log),), Root.default(), register=folder / "register"))
    picture = "--picture" in sys.argv
    console = Console(markup=False, highlight=False, record=picture, width=110 if picture else None)
    show(replace(result, summary=replace(result.summary, seconds=0.0)) if picture else result, console)
    if picture:
        console.save_svg("docs/demo.svg", title="make demo")


if __name__ == "__main__":
    main()
