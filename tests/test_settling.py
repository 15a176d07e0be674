"""``scan --until T --carry FILE``: what has settled is judged now, the rest later, and nothing twice.

``tests/joining/settling.json`` says of small stories what has settled by T and what stays open. Then all the stories of
joining, told two minutes apart, are scanned once as a whole and once in two scans.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sampling import one_in

from harness.options import ScanOptions
from harness.paths import Root
from harness.scan import scan

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Root.default()
STORIES = ROOT.path / "tests" / "joining"
BEGINNING = datetime(2026, 3, 2, 8, tzinfo=UTC)
UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}
LATER = timedelta(days=30)
IDS = re.compile(
    r"^(chain\.prompt|trace|transaction|span|http\.request|gen_ai\.(tool\.call|conversation)|oauth\.token)\."
)

EVERY_CHAIN = """\
title: Every Chain
id: 8b0f5c8e-7e0b-4c07-9d8e-0d3b7d7d5a11
status: experimental
description: Fires for every chain, so that a test sees which were judged.
author: countersign contributors
date: 2026-03-02
logsource: {product: mcp, service: chain}
detection:
    selection:
        chain.duration_sec|gte: 0
    condition: selection
level: low
"""


def after(offset: str) -> timedelta:
    """``+5m`` as a time span."""
    number, unit = re.fullmatch(r"\+(\d+)([smh])", offset).groups()  # type: ignore[union-attr]
    return timedelta(**{UNITS[unit]: int(number)})


def stories_of(theme: str) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads((STORIES / f"{theme}.json").read_text())["stories"]
    return told


def logged(story: dict[str, Any], name: str, start: datetime = BEGINNING) -> list[dict[str, Any]]:
    """The story's records, nested, with ids of its own."""
    records = []
    for index, given in enumerate(story["records"]):
        record: dict[str, Any] = {"@timestamp": (start + after(given["at"])).isoformat().replace("+00:00", "Z")}
        flat = {"event.id": f"{name}/{index}", **given["set"]}
        for field, value in flat.items():
            *parents, leaf = field.split(".")
            at = record
            for parent in parents:
                at = at.setdefault(parent, {})
            at[leaf] = f"{name}.{value}" if IDS.match(field) and isinstance(value, str) and value else value
        records.append(record)
    return records


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def findings(
    root: Root, log: Path, until: datetime | None = None, carry: Path | None = None, register: Path | None = None
) -> list[dict[str, Any]]:
    """What one scan finds; records are named by their event id, whatever file they lay in."""
    found = []
    options = ScanOptions(logs=(str(log),), root=root, until=until, carry=carry, register=register)
    for finding in scan(options).findings:
        shown = finding.to_dict()
        lines = [Path(at["file"]).read_text().splitlines()[at["line"] - 1] for at in shown["records"]]
        shown["records"] = [json.loads(line)["event"]["id"] for line in lines]
        found.append(shown)
    return found


@pytest.fixture(scope="session")
def every_chain(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A content root whose only rule fires for every chain."""
    root = tmp_path_factory.mktemp("root")
    (root / "schemas").symlink_to(ROOT.schemas)
    (root / "rules" / "audit").mkdir(parents=True)
    (root / "rules" / "audit" / "mcp_every_chain.yml").write_text(EVERY_CHAIN)
    (root / "rules" / "parameters.json").write_text(
        json.dumps({"defaults": {"all": {"kind": "incident", "group_by": ["chain.id"], "period": "24h"}}, "rules": {}})
    )
    return Root(root)


@pytest.mark.parametrize("story", stories_of("settling"), ids=lambda story: story["story"])
def test_only_what_has_settled_is_judged_and_the_rest_is_judged_by_the_next_scan(
    story: dict[str, Any], every_chain: Root, tmp_path: Path
) -> None:
    log, carry = write(tmp_path / "log.jsonl", logged(story, "s")), tmp_path / "carry"
    now = findings(every_chain, log, BEGINNING + after(story["until"]), carry)
    assert sorted(finding["records"] for finding in now) == [
        [f"s/{index}" for index in chain["records"]] for chain in story["expect"]["chains"]
    ], story["why"]
    rest = findings(every_chain, write(tmp_path / "nothing.jsonl", []), BEGINNING + LATER, carry)
    assert sorted(name for finding in rest for name in finding["records"]) == [
        f"s/{index}" for index in story["expect"].get("open", [])
    ], story["why"]


def whole_morning() -> list[dict[str, Any]]:
    """Stories of every theme, one begun every two minutes; those left out pause longer than the grace window."""
    records = []
    number = 0
    for theme in ("hub", "bridges", "lent", "alone", "conflict", "attribution", "facts"):
        for story in stories_of(theme):
            times = sorted(after(record["at"]) for record in story["records"])
            if "register" in story or any(b - a > timedelta(minutes=4) for a, b in pairwise(times)):
                continue
            records += logged(story, f"{theme}{number}", BEGINNING + number * timedelta(minutes=2))
            number += 1
    return sorted(records, key=lambda record: record["@timestamp"])


MORNING = whole_morning()
INSTANT = {record["event"]["id"]: datetime.fromisoformat(record["@timestamp"]) for record in MORNING}


# Which stages arrive, said once and for all: without it a stage that was seen in one scan is unknown to the other.
COVERAGE = [
    {"agent": agent, "stages": ["prompt", "decision", "tool_call", "tool_response", "token", "consent", "access"]}
    for agent in ("agent-a", "agent-b")
]


def spelled(found: list[dict[str, Any]]) -> list[str]:
    """Findings as text, in an order of their own. Which finding leads which is said within one scan: left out."""
    return sorted(
        json.dumps({name: value for name, value in finding.items() if name not in {"also", "led_by"}}, sort_keys=True)
        for finding in found
    )


@pytest.fixture(scope="session")
def coverage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A register that says which stages arrive."""
    folder = tmp_path_factory.mktemp("register")
    (folder / "coverage.yml").write_text(json.dumps(COVERAGE))
    return folder


@pytest.fixture(scope="session")
def worlds(every_chain: Root, coverage: Path) -> dict[str, tuple[Root, Path | None]]:
    """Rules and register, by what a test calls them."""
    return {"rules": (ROOT, coverage), "no register": (ROOT, None), "every chain": (every_chain, None)}


@pytest.fixture(scope="session")
def at_once(
    worlds: dict[str, tuple[Root, Path | None]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], list[str]]:
    """What one scan of the whole morning finds, by world."""
    log = write(tmp_path_factory.mktemp("once") / "log.jsonl", MORNING)

    @cache
    def found(what: str) -> list[str]:
        root, register = worlds[what]
        return spelled(findings(root, log, register=register))

    return found


@pytest.mark.parametrize("minute", one_in(4, [17, 1, 121, 66]))
@pytest.mark.parametrize("what", one_in(3, ["rules", "no register", "every chain"]))
def test_two_scans_so_chained_give_exactly_the_findings_of_one(
    what: str,
    minute: int,
    worlds: dict[str, tuple[Root, Path | None]],
    at_once: Callable[[str], list[str]],
    tmp_path: Path,
) -> None:
    assert in_two_scans(*worlds[what], minute, tmp_path) == at_once(what)


STRANGERS = "Two people send one correlation id, and the gateway gives each request a trace of its own."


@pytest.mark.parametrize("seconds", [1, 6, 302, 400], ids="until {}s".format)
def test_a_settled_chain_still_shows_that_an_open_one_bears_a_strangers_id(seconds: int, tmp_path: Path) -> None:
    (story,) = [story for story in stories_of("conflict") if story["story"] == STRANGERS]
    records = logged(story, "s")
    until = BEGINNING + timedelta(seconds=seconds)
    begun = [record for record in records if datetime.fromisoformat(record["@timestamp"]) < until]
    rest = [record for record in records if record not in begun]
    first, second = write(tmp_path / "first.jsonl", begun), write(tmp_path / "second.jsonl", rest)
    only, carry = ("correlation_id_shared",), tmp_path / "carry"
    found = scan(ScanOptions(logs=(str(first),), root=ROOT, rules=only, until=until, carry=carry)).findings
    found += scan(
        ScanOptions(logs=(str(second),), root=ROOT, rules=only, until=BEGINNING + LATER, carry=carry)
    ).findings
    assert sorted(finding.group["chain.id"] for finding in found) == ["s.t-1", "s.t-2"]


def in_two_scans(root: Root, register: Path | None, minute: int, folder: Path) -> list[str]:
    """What two scans find of the morning, the first until a few seconds after the given minute."""
    until = BEGINNING + timedelta(minutes=minute, seconds=2)
    first = [record for record in MORNING if INSTANT[record["event"]["id"]] < until]
    second = [record for record in MORNING if INSTANT[record["event"]["id"]] >= until]
    assert first
    assert second
    carry = folder / "carry"
    found = findings(root, write(folder / "first.jsonl", first), until, carry, register)
    found += findings(root, write(folder / "second.jsonl", second), BEGINNING + LATER, carry, register)
    return spelled(found)


def test_of_many_chains_that_were_waited_with_each_is_judged_by_the_next_scan(tmp_path: Path) -> None:
    """What names a record may be a number of 128 bits: of twenty, some are larger than what half of them allow."""
    call = {"chain.stage": "tool_call", "gen_ai.agent.id": "agent-a", "gen_ai.tool.name": "write_note"}
    calls = [{"at": f"+{minute}m", "set": {**call, "trace.id": f"t-{minute}"}} for minute in range(20)]
    answer = {"chain.stage": "tool_response", "gen_ai.agent.id": "agent-a", "trace.id": "t-20"}
    story = {"records": [*calls, {"at": "+40m", "set": {**call, "trace.id": "t-20"}}, {"at": "+41m", "set": answer}]}
    logs, carry = logged(story, "s"), tmp_path / "carry"
    found = findings(ROOT, write(tmp_path / "first.jsonl", logs[:20]), BEGINNING + timedelta(minutes=39), carry)
    assert [finding for finding in found if finding["rule"]["stem"] == "call_never_answered"] == []
    found = findings(ROOT, write(tmp_path / "second.jsonl", logs[20:]), BEGINNING + LATER, carry)
    unanswered = [finding["records"] for finding in found if finding["rule"]["stem"] == "call_never_answered"]
    assert sorted(unanswered) == sorted([f"s/{number}"] for number in range(20))


def test_a_prompt_that_was_handed_on_is_still_known_to_the_next_scan(tmp_path: Path) -> None:
    """The person's chain has ended, the worker's chain of the same trace is still open."""
    planner = {"chain.stage": "prompt", "chain.prompt.id": "p-0", "trace.id": "t-1"}
    worker = {"gen_ai.agent.id": "agent-b", "chain.prompt.id": "p-1", "trace.id": "t-1"}
    records = [
        {"at": "+0m", "set": {**planner, "gen_ai.agent.id": "agent-a"}},
        {"at": "+4m", "set": {**worker, "chain.stage": "prompt"}},
        {"at": "+5m", "set": {**worker, "chain.stage": "tool_call", "gen_ai.tool.name": "write_note"}},
        {"at": "+8m", "set": {**worker, "chain.stage": "access", "chain.operation": "write"}},
    ]
    logs = logged({"records": records}, "s")
    for record in logs:
        record["trace"]["id"] = "4bf92f3577b34da6a3ce929d0e0e4736"  # a finding of its own would keep its record
    for record, origin in zip(logs, ("user", "agent"), strict=False):
        record["chain"]["prompt"]["origin"] = origin
    carry, until = tmp_path / "carry", BEGINNING + timedelta(minutes=6)
    found = findings(ROOT, write(tmp_path / "first.jsonl", logs[:3]), until, carry)
    found += findings(ROOT, write(tmp_path / "second.jsonl", logs[3:]), BEGINNING + LATER, carry)
    assert "untrusted_prompt_wrote" not in {finding["rule"]["stem"] for finding in found}
    alone = findings(ROOT, write(tmp_path / "alone.jsonl", logs[1:]))
    assert "untrusted_prompt_wrote" in {finding["rule"]["stem"] for finding in alone}
