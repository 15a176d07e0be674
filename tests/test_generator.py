"""The generator: the same seed gives the same bytes, every record is one that the schema knows, nothing tells an attack."""

from __future__ import annotations

import gzip
import itertools
import json
import re
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from backends.duckdb.engine import STAGES
from backends.errors import Mistakes
from generator.attacks import attacks
from generator.world import World
from harness.commands.generate import command
from harness.meant import MEANT
from harness.options import ScanOptions
from harness.paths import Root
from harness.scan import scan
from harness.validator import Validator

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Root.default()


def generate(folder: Path, *options: str, log: str = "log.jsonl") -> Path:
    result = CliRunner().invoke(command, ["-o", str(folder / log), *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return folder / log


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log, its labels and its register: one chain in a hundred is attacked."""
    folder = tmp_path_factory.mktemp("attacked")
    extra = ("--labels", str(folder / "labels.jsonl"), "--register-out", str(folder / "register"))
    generate(folder, "--events", "40000", "--attack-rate", "0.01", *extra)
    return folder


def records(log: Path) -> Iterator[dict[str, Any]]:
    with log.open("rb") as lines:
        yield from map(json.loads, lines)


def labels(folder: Path) -> dict[str, str]:
    """Event id → attack."""
    return {event: label["attack"] for label in records(folder / "labels.jsonl") for event in label["events"]}


def test_the_same_seed_gives_the_same_bytes_for_any_number_of_shards(tmp_path: Path) -> None:
    written = []
    for shards in (1, 2, 3):
        folder = tmp_path / str(shards)
        folder.mkdir()
        extra = ("--labels", str(folder / "labels.jsonl"), "--register-out", str(folder / "register"))
        generate(folder, "--events", "20000", "--attack-rate", "0.01", "--shards", str(shards), *extra)
        written.append({str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()})
    assert written[0] == written[1] == written[2]
    assert len(written[0]["log.jsonl"]) > 1_000_000


def test_another_seed_gives_another_log(tmp_path: Path) -> None:
    one, two = (
        generate(tmp_path, "--events", "500", "--attacks", "none", "--seed", s, log=f"{s}.jsonl").read_bytes()
        for s in "12"
    )
    assert one != two


def test_packed_bytes_are_the_same_log_and_hold_no_time(tmp_path: Path) -> None:
    plain = generate(tmp_path, "--events", "2000")
    packed = [generate(tmp_path, "--events", "2000", log=f"{n}.jsonl.gz").read_bytes() for n in (1, 2)]
    assert packed[0] == packed[1]
    assert gzip.decompress(packed[0]) == plain.read_bytes()


def test_every_record_is_one_that_the_schema_knows(attacked: Path) -> None:
    validator = Validator(json.loads(ROOT.event_schema.read_text()))
    broken = []
    for line in (attacked / "log.jsonl").read_bytes().splitlines():
        broken += [(remark, line) for remark in validator.check(line) if remark.error]
    assert broken == []
    stages = {record["chain"]["stage"] for record in records(attacked / "log.jsonl")}
    assert stages == set(STAGES)


def test_records_lie_in_the_order_of_their_time_but_for_late_ones_and_wrong_clocks(attacked: Path) -> None:
    times = [record["@timestamp"] for record in records(attacked / "log.jsonl")]
    assert sum(a > b for a, b in itertools.pairwise(times)) < len(times) / 100


def test_every_attack_is_labelled_and_is_found_by_the_rule_that_is_meant_for_it(attacked: Path) -> None:
    found = findings(attacked)
    assert set(MEANT) == set(attacks())
    missed = [
        (label["attack"], label["prompt"])
        for label in records(attacked / "labels.jsonl")
        if MEANT[label["attack"]] not in {stem for event in label["events"] for stem in found.get(event, ())}
        and label["attack"] not in {"gateway_that_cannot_say", "server_that_cannot_say", *POSTURE}
    ]
    assert missed == []


POSTURE = {
    *("server_faces_the_internet", "one_key_for_all", "anybody_may_call", "way_around_the_proxy"),
    "server_nobody_reviewed_again",
}
"""One finding a server and day: it lists the first twenty calls, which may be those of another attacked chain."""


@pytest.mark.parametrize("attack", sorted({"gateway_that_cannot_say", "server_that_cannot_say", *POSTURE}))
def test_a_posture_is_found_once_for_its_server_or_source(attacked: Path, attack: str) -> None:
    marked = labels(attacked)
    stems = {stem for event, stems in findings(attacked).items() if marked.get(event) == attack for stem in stems}
    assert MEANT[attack] in stems


def test_honest_chains_give_no_finding_under_the_full_register(attacked: Path) -> None:
    """What an organisation has by nature is told once a day: keys at a vendor, and logs that cannot say something."""
    marked = labels(attacked)
    by_nature = {"static_api_key", *(f"source_blind_to_{what}" for what in ("prompt", "user", "scope", "response"))}
    spurious = {event: stems - by_nature for event, stems in findings(attacked).items() if event not in marked}
    assert {event: stems for event, stems in spurious.items() if stems} == {}


def test_no_field_says_which_chain_was_attacked(attacked: Path) -> None:
    """Nothing in the log names an attack; event ids of attacked chains look like all others."""
    text = (attacked / "log.jsonl").read_text()
    assert [name for name in attacks() if name in text] == []
    assert "attack" not in text
    assert "Eve" not in text


def test_every_kind_of_honest_story_is_told(attacked: Path) -> None:
    """Recognised by what only it holds."""
    text = (attacked / "log.jsonl").read_text()
    for mark in (
        *(
            '"action":"refresh"',
            '"status":"working"',
            '"cancelled":true',
            '"exposure":"stdio"',
            '"exposure":"internet"',
        ),
        *('"decision_source":"user_reject"', '"auth":"mtls"', '"type":"timeout"', '"error":"insufficient_scope"'),
        *(
            '"parent_id":"agent-',
            "create_contact",
            "jwt-bearer",
            '"type":"id_jag"',
            '"origin":"schedule"',
            '"id":"batch-',
        ),
        *('"stage":"change"', '"stage":"consent"'),
    ):
        assert text.count(mark) > 10, mark


def test_a_line_delivered_twice_is_in_the_log_twice(attacked: Path) -> None:
    lines = (attacked / "log.jsonl").read_bytes().splitlines()
    assert len(lines) - len(set(lines)) > 10


def test_no_single_field_leaks_the_label(attacked: Path) -> None:
    """A classifier that knows one field's form cannot single out attacked chains by how a generator writes.

    Ids, times and names are looked at by their form (letters and digits folded), as a lazy model would: no form may occur
    in attacked chains only, unless it is the very trait that the attack is about.
    """
    marked = labels(attacked)
    forms: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for record in records(attacked / "log.jsonl"):
        for name in (
            *(
                "event.id",
                "chain.prompt.id",
                "trace.id",
                "span.id",
                "span.parent_id",
                "@timestamp",
                "gen_ai.conversation.id",
            ),
            *(
                "user.name",
                "source.ip",
                "oauth.token.hash",
                "chain.prompt.hash",
                "chain.response.hash",
                "chain.resource.id",
            ),
        ):
            value: Any = record
            for key in name.split("."):
                value = value.get(key) if isinstance(value, dict) else None
            if isinstance(value, str):
                form = re.sub(r"[0-9]+", "0", re.sub(r"[0-9a-f]{16,}", "h", value))
                form = re.sub(r"[A-Z][a-z]+", "N", form) if name == "user.name" else form
                forms[name, form][record["event"]["id"] in marked] += 1
    telling = {key: counts for key, counts in forms.items() if counts[1] > 20 and counts[0] == 0}
    assert set(telling) <= {
        ("event.id", "ev-0-0-0-0"),  # a record that an attack adds has to be told from the one that it is made of
        ("oauth.token.hash", "hash-0-0-a-first"),
        ("source.ip", "203.0.113.99"),
    }


def test_the_work_of_a_week_has_days_and_nights(attacked: Path) -> None:
    hours = Counter(int(record["@timestamp"][11:13]) for record in records(attacked / "log.jsonl"))
    office = sum(hours[hour] for hour in range(7, 19))
    assert 0.7 < office / sum(hours.values()) < 0.9
    assert min(hours[hour] for hour in range(24)) > 0


def test_the_organisation_grows_with_its_options(tmp_path: Path) -> None:
    log = generate(
        tmp_path, "--events", "20000", "--people", "2000", "--agents", "90", "--servers", "30", "--attacks", "none"
    )
    seen: dict[str, set[str]] = defaultdict(set)
    for record in records(log):
        if "id" in record.get("user", {}):
            seen["people"].add(record["user"]["id"])
        seen["agents"].add(record.get("gen_ai", {}).get("agent", {}).get("id"))
        seen["servers"].add(record.get("mcp", {}).get("server", {}).get("name"))
    assert len(seen["people"]) > 1500
    assert len(seen["agents"] - {None}) > 80
    assert {server.name for server in World(server_count=30).servers} <= seen["servers"]  # and some that are refused


def test_people_servers_and_tools_follow_from_the_seed_alone() -> None:
    assert World(3).people == World(3).people
    assert World(3).people != World(4).people
    assert World(3, people_count=10).people == World(3, people_count=20).people[:10]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--attacks", "nobody_asked,unknown_one"), "no attack has this name"),
        (("--start", "yesterday"), "write 2026-10-05T00:00:00Z"),
        (("--events", "10"), "fewer than [0-9]+ attacks; ask for more events"),
    ],
    ids=["unknown attack", "no time", "too few events"],
)
def test_a_mistake_is_named(tmp_path: Path, options: tuple[str, ...], says: str) -> None:
    with pytest.raises(Mistakes, match=says):
        CliRunner().invoke(command, ["-o", str(tmp_path / "x.jsonl"), *options], catch_exceptions=False)
    assert not (tmp_path / "x.jsonl").exists()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(Mistakes, match="there is no folder"):
        CliRunner().invoke(command, ["-o", str(tmp_path / "no" / "x.jsonl")], catch_exceptions=False)


def test_attacks_neither_import_nor_read_rules() -> None:
    for module in Path(ROOT.path / "generator").rglob("*.py"):
        text = module.read_text()
        assert "from harness" not in text, module
        assert "from backends" not in text, module
        assert "rules/" not in text, module


@cache
def findings(folder: Path) -> dict[str, set[str]]:
    """Event id → stems of the rules that name its record."""
    result = scan(ScanOptions(root=ROOT, logs=(str(folder / "log.jsonl"),), register=folder / "register"))
    ids = [record["event"]["id"] for record in records(folder / "log.jsonl")]
    found: dict[str, set[str]] = defaultdict(set)
    for finding in result.findings:
        for record in finding.records:
            found[ids[record.line - 1]].add(finding.rule.stem)
    return found
