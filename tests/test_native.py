"""Logs as products write them: assembled again they are the story that was told, and what no product can say is labelled.

What a product says of an event, and in which words, stands here by hand; the story itself comes from the schema-form log
of the same seed.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from sampling import one_in

from backends.duckdb.assemble import assemble
from backends.duckdb.lines import LogFile
from backends.errors import Mistakes
from backends.sources import SourceMaps
from generator.clock import micros, rfc3339
from generator.native import SOURCES, at, digits, native, person
from generator.native.course import Call, calls
from harness.commands.generate import command
from harness.options import ScanOptions
from harness.paths import Root
from harness.scan import scan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from harness.finding import Finding

pytestmark = pytest.mark.xdist_group("native")

ROOT = Root.default()
MAPS = SourceMaps.load(ROOT.sources)
EVENTS = 12_000
Event = dict[str, Any]


@dataclass(frozen=True)
class Story:
    """One story twice: in the schema's form and as a product logs it.

    Attributes:
        source: the product.
        folder: holds ``story.jsonl``, ``register`` (all that is collected is this product's) and ``labels.jsonl``.
        log: the product's log.
    """

    source: str
    folder: Path
    log: Path

    @cached_property
    def files(self) -> list[Path]:
        """All that the product wrote, in order."""
        return sorted(self.log.iterdir()) if self.log.is_dir() else [self.log]

    @cached_property
    def chains(self) -> list[list[Event]]:
        """The events of the schema-form story, a list a chain."""
        found: dict[str, list[Event]] = defaultdict(list)
        for event in read(self.folder / "story.jsonl"):
            found[event["event"]["id"].split("-")[2]].append(event)
        return list(found.values())

    @cached_property
    def labels(self) -> list[dict[str, Any]]:
        """What was attacked."""
        return read(self.folder / "labels.jsonl")

    @cached_property
    def assembled(self) -> list[dict[str, Any]]:
        """The events that the source map makes of the product's log, flat."""
        out = self.folder / "assembled.jsonl"
        report = assemble(
            MAPS, self.source, [LogFile(number, file, file.name) for number, file in enumerate(self.files)], out
        )
        assert report.bad == []
        return [dict(flat(event)) for event in read(out)]

    def expected(self) -> Iterator[dict[str, Any]]:
        """What the product can say of the story, flat."""
        for chain in self.chains:
            made = {call.place: call for call in calls(chain)}
            decided = {call.decision: call for call in made.values()}
            seen = set()
            for place, event in enumerate(chain):
                told = TOLD[self.source](event, made.get(place) or decided.get(place), chain)
                if told is None or (self.source == "contextforge" and event["event"]["id"] in seen):
                    continue  # a table has a row once
                seen.add(event["event"]["id"])
                stage = event["chain"]["stage"]
                says = native(self.source).says[stage]
                values = {name: value for name, value in flat(event) if name in says}
                if stage == "tool_call" and made[place].refused and "event.outcome" in says:
                    values["event.outcome"] = "failure"
                known = {**values, "chain.stage": stage, "event.dataset": self.source} | told
                yield {name: value for name, value in known.items() if value is not None}


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def flat(record: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{key}.")
        else:
            yield above + key, tuple(value) if isinstance(value, list) else value


def nested(record: Mapping[str, Any]) -> Event:
    found: Event = {}
    for name, value in record.items():
        *above, leaf = name.split(".")
        place = found
        for key in above:
            place = place.setdefault(key, {})
        place[leaf] = value
    return found


# ---- what each product says of an event, where it is not what the schema-form story says: None for no record at all ---


def by_contextforge(event: Event, call: Call | None, chain: Sequence[Event]) -> dict[str, Any] | None:
    who = {"user.id": person(event), "user.email": person(event)}
    if event["chain"]["stage"] == "decision":
        if (
            at(event, "mcp.tool.decision") == "ask"
            or at(event, "mcp.tool.decision_source") != "policy"
            or (call and bypasses(call.event))
        ):
            return None
        # the check has no correlation id: its request is the one of the same asker at this time, if there is just one
        when = micros(event["@timestamp"])
        apart = call is not None and not call.denied and (call.refused or asker(event) != asker(call.event))
        apart |= person(event) is None
        amid = any(
            (call is None or one.place != call.place)
            and not one.denied
            and asker(one.event) == asker(event)
            and asked(one, chain) < when < one.ends
            for one in calls(chain)
        )
        return who | ({"trace.id": None, "transaction.id": None} if apart or amid else {})
    if event["chain"]["stage"] != "tool_call" or call is None or bypasses(event) or call.denied:
        return None
    if call.refused:
        reject = {
            "chain.stage": "token",
            "event.action": "reject",
            "event.outcome": "failure",
            "@timestamp": rfc3339(call.begins),
        }
        absent = dict.fromkeys(("mcp.server.uri", "gen_ai.tool.name", "mcp.method.name", "span.id", "error.type"))
        return (who if at(event, "http.response.status_code") == 403 else dict.fromkeys(who)) | reject | absent
    begun = {"event.outcome": "unknown", "span.id": digits("upstream", at(event, "event.id"), size=8)}
    ended = {"@timestamp": rfc3339(call.ends)} if call.ended else begun
    return who | {"http.response.status_code": 200, **ended}


def asker(event: Event) -> tuple[Any, ...]:
    return person(event), at(event, "source.ip"), at(event, "gen_ai.agent.id")


def asked(call: Call, chain: Sequence[Event]) -> int:
    """When the request came in: before the check on it."""
    return call.begins if call.decision is None else micros(chain[call.decision]["@timestamp"])


def bypasses(event: Event) -> bool:
    local = at(event, "network.transport") == "pipe" or at(event, "mcp.server.exposure") == "stdio"
    return local or at(event, "chain.via_proxy") is False


def by_mcp_otel(event: Event, call: Call | None, _chain: Sequence[Event]) -> dict[str, Any] | None:
    if event["chain"]["stage"] != "tool_call" or call is None:
        return None
    if not call.refused:
        return {} if at(event, "trace.id") else {"trace.id": digits("trace", at(event, "event.id"))}
    servers = ("oauth.client.id", "oauth.scope.presented", "mcp.protocol.version", "mcp.server.name")
    return {"event.dataset": "mcp_otel_client", "@timestamp": rfc3339(call.begins - 1_000)} | dict.fromkeys(servers)


def by_claude_code(event: Event, call: Call | None, _chain: Sequence[Event]) -> dict[str, Any] | None:
    stage = event["chain"]["stage"]
    if stage not in {"prompt", "decision", "tool_call"} or at(event, "mcp.tool.decision") == "ask":
        return None
    when = micros(event["@timestamp"])
    if stage == "tool_call":
        if call is None or not call.ended or call.denied:
            return None
        when = call.ends
    origin = "user" if at(event, "chain.prompt.origin") == "user" else "unknown"
    source = {"policy": "config"}.get(at(event, "mcp.tool.decision_source"), at(event, "mcp.tool.decision_source"))
    return {
        "@timestamp": rfc3339(when // 1000 * 1000),
        "user.id": at(event, "user.id") or at(event, "user.effective.id") or at(event, "user.email"),
        "gen_ai.agent.id": at(event, "gen_ai.agent.id") or "claude-code",
        **({"chain.prompt.origin": origin} if stage == "prompt" else {}),
        **({"mcp.tool.decision_source": source} if stage == "decision" else {}),
        **({} if at(event, "trace.id") else {"span.id": None, "span.parent_id": None}),  # a span is one of a trace
    }


TOLD = {"contextforge": by_contextforge, "mcp_otel": by_mcp_otel, "claude_code_otel": by_claude_code}

OWN = {
    "contextforge": {
        *("event.id", "event.provider", "event.duration", "transaction.id", "user_agent.original", "observer.type"),
        *("observer.product", "http.request.method", "network.transport", "oauth.token.id", "oauth.token.type"),
    },
    "mcp_otel": {
        *(
            "event.duration",
            "span.parent_id",
            "jsonrpc.request.id",
            "mcp.client.name",
            "observer.type",
            "observer.name",
        ),
    },
    "claude_code_otel": {
        *("event.code", "event.duration", "gen_ai.agent.name", "gen_ai.agent.version", "mcp.tool.result.bytes"),
        *("observer.type", "observer.product", "mcp.server.config_scope"),
    },
}
"""Fields that the product fills with values of its own, which no event of the story has or which differ from them."""

BY_STAGE = {
    ("claude_code_otel", "decision"): {"event.outcome"},
    ("claude_code_otel", "tool_call"): {"mcp.tool.decision", "mcp.tool.decision_source"},
    ("contextforge", "decision"): {"event.outcome"},
    ("contextforge", "token"): {"span.id"},
}
"""The same, at one stage."""


def generate(output: Path, *options: str) -> None:
    result = CliRunner().invoke(command, ["-o", str(output), "--events", str(EVENTS), *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module", params=SOURCES)
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp(request.param)
    log = folder / ("tables" if native(request.param).files else "log.jsonl")
    attacks = ("--attack-rate", "0.05")
    generate(folder / "story.jsonl", *attacks)
    labels = ("--labels", str(folder / "labels.jsonl"), "--register-out", str(folder / "register"))
    generate(log, *attacks, *labels, "--native", request.param)
    return Story(request.param, folder, log)


def test_the_log_is_recognised_as_the_products(story: Story) -> None:
    for file in story.files:
        assert MAPS.detect(read(file)[:200]) == story.source


def test_assembled_it_is_the_story_in_all_that_the_product_says(story: Story) -> None:
    def comparable(event: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
        own = OWN[story.source] | BY_STAGE.get((story.source, event["chain.stage"]), set())
        return frozenset(item for item in event.items() if item[0] not in own | {"countersign.records"})

    expected, found = Counter(map(comparable, story.expected())), Counter(map(comparable, story.assembled))
    assert sum(expected.values()) > EVENTS / 10
    assert (expected - found, found - expected) == (Counter(), Counter())


def test_the_product_is_said_to_say_no_more_than_its_map_reads(story: Story) -> None:
    read_of: dict[str, set[str]] = defaultdict(set)
    for kind in MAPS[story.source].kinds:
        if kind.stage:
            read_of[kind.stage] |= {"@timestamp", *kind.fields, *(name for takes in kind.takes for name in takes.gives)}
    assert {stage: says - read_of[stage] for stage, says in native(story.source).says.items()} == dict.fromkeys(
        native(story.source).says, frozenset()
    )


def findings(log: Path, register: Path) -> list[Finding]:
    return list(
        scan(
            ScanOptions(
                root=ROOT, logs=tuple(map(str, sorted(log.iterdir()) if log.is_dir() else [log])), register=register
            )
        ).findings
    )


def key(finding: Finding) -> tuple[Any, ...]:
    return (
        *(finding.rule.stem, finding.first_seen, finding.last_seen, finding.count, finding.who, finding.agent),
        *(finding.server, finding.tool, finding.system),
    )


def test_its_findings_are_those_of_the_story_as_far_as_the_product_tells_it(story: Story) -> None:
    """That these events are the story is what `test_assembled_it_is_the_story_in_all_that_the_product_says` proves."""
    as_told = story.folder / "as_told.jsonl"
    events = [
        {name: value for name, value in event.items() if name != "countersign.records"} for event in story.assembled
    ]
    as_told.write_text("".join(json.dumps(nested(event)) + "\n" for event in events))
    expected, found = (
        Counter(map(str, map(key, findings(log, story.folder / "register")))) for log in (as_told, story.log)
    )
    assert expected.total() > 10
    assert (expected - found, found - expected) == (Counter(), Counter())


# --- labels -----------------------------------------------------------------------------------------------------------


def test_a_label_leads_to_the_records_of_its_chain_and_of_no_other(story: Story) -> None:
    lines = {file.name: file.read_bytes().splitlines() for file in story.files}
    taken: set[tuple[str, int]] = set()
    for label in story.labels:
        places = {(record.get("file", story.log.name), record["line"]) for record in label["records"]}
        assert all(line <= len(lines[file]) for file, line in places)
        assert places.isdisjoint(taken) or story.source == "claude_code_otel"  # a batch of records is one line there
        taken |= places
    assert 20 < len(taken) < sum(map(len, lines.values()))


def test_an_attack_is_findable_if_records_of_it_show_what_it_changed(story: Story) -> None:
    assert all(label["findable"] == bool(label["records"] and label["shown"]) for label in story.labels)
    assert {label["findable"] for label in story.labels} == {True, False}
    reasons = {why for label in story.labels for why in label["hidden"].values()}
    assert reasons <= {"its records have no place for it", "it writes no record of it"}


def test_a_token_without_a_person_cannot_be_seen_where_nobody_is_ever_named() -> None:
    says = native("mcp_otel").says["tool_call"]
    assert not {name for name in says if name.startswith("user.")}


# --- forms and processes ----------------------------------------------------------------------------------------------


def bytes_of(log: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in ([log] if log.is_file() else sorted(log.iterdir()))}


@pytest.mark.parametrize("source", one_in(3, SOURCES))
def test_a_products_log_has_the_same_bytes_for_any_number_of_processes(source: str, tmp_path: Path) -> None:
    logs = [tmp_path / shards / ("tables" if native(source).files else "log.jsonl") for shards in "123"]
    for log in logs:
        log.parent.mkdir()
        options = ("--attack-rate", "0.05", "--native", source, "--shards", log.parent.name)
        generate(log, *options, "--labels", str(log.parent / "labels"))
    assert bytes_of(logs[0]) == bytes_of(logs[1]) == bytes_of(logs[2])
    assert len({(log.parent / "labels").read_bytes() for log in logs}) == 1


@pytest.mark.parametrize("ending", one_in(3, [".parquet", ".jsonl.gz", ".jsonl.zst"]))
def test_every_form_holds_the_same_records_in_the_same_bytes_each_time(ending: str, tmp_path: Path) -> None:
    generate(tmp_path / "log.jsonl", "--attack-rate", "0.05")
    packed = [tmp_path / f"{shards}{ending}" for shards in (1, 2)]
    for shards, log in enumerate(packed, 1):
        generate(log, "--attack-rate", "0.05", "--shards", str(shards))
    assert packed[0].read_bytes() == packed[1].read_bytes()
    assert packed[0].stat().st_size < (tmp_path / "log.jsonl").stat().st_size / 4
    both = scan(ScanOptions((str(tmp_path / "log.jsonl"), str(packed[0])), ROOT)).summary
    alone = scan(ScanOptions((str(tmp_path / "log.jsonl"),), ROOT)).summary
    assert both.stages == alone.stages
    assert both.duplicates == 2 * alone.duplicates + sum(alone.stages.values())


MISTAKES = {
    "a product that is not there": (("x.jsonl", "--native", "okta"), "no product's logs are written by this name"),
    "a name without a form": (("x.log",), "its ending says no form"),
    "a product's log as Parquet": (("x.parquet", "--native", "mcp_otel"), "logs lines, and none of them as Parquet"),
    "tables on standard output": (("-", "--native", "contextforge"), "name a folder for them with -o"),
    "log and labels in one file": (("x.jsonl", "--labels", "x.jsonl"), "need a file each"),
    "labels over a table": (
        (".", "--native", "contextforge", "--labels", "token_usage_logs.jsonl"),
        "need a file each",
    ),
    "a log that begins too late": (("x.jsonl", "--start", "9999-12-31T00:00:00Z"), "between the years 1970 and 9999"),
    "a log that begins too early": (("x.jsonl", "--start", "1969-12-31T00:00:00Z"), "between the years 1970 and 9999"),
    "a log that never ends": (("x.jsonl", "--days", "inf"), "between the years 1970 and 9999"),
    "days that are no number": (("x.jsonl", "--days", "nan"), "between the years 1970 and 9999"),
}


@pytest.mark.parametrize(("options", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_and_nothing_is_written(
    options: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Mistakes, match=says):
        CliRunner().invoke(command, ["-o", *options], catch_exceptions=False)
    assert list(tmp_path.iterdir()) == []
