"""No value in a log stops a scan: times at the ends of the calendar, numbers at the ends of their types, in every field.

A value that cannot be what it stands for is absent in a native record and makes a record in schema form bad, as any wrong
value does.
"""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
import test_sources
from click.testing import CliRunner
from sampling import one_in

from backends.duckdb.target import judge
from backends.sources import SourceMaps
from backends.vocabulary import Vocabulary
from harness.commands.generate import command
from harness.options import ScanOptions
from harness.paths import Root
from harness.report import FORMATS, write
from harness.scan import scan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from harness.finding import ScanResult

pytestmark = pytest.mark.xdist_group("extremes")

ROOT = Root.default()
EVENTS, CHAINS = Vocabulary.load(ROOT.event_schema), Vocabulary.load(ROOT.chain_schema)
NATIVE = [name for name, source in SourceMaps.load(ROOT.sources).items() if source.kinds and source.detect]

TIMES = [
    *("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-23:00", "10000-01-01T00:00:00Z", "290000-01-01T00:00:00Z"),
    *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:00", "0000-01-01T00:00:00Z", "-290000-01-01T00:00:00Z"),
    *("1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "1677-01-01T00:00:00Z", "2262-12-31T00:00:00Z"),
    *("infinity", "-infinity", "epoch", "2026-infinity"),
]
NUMBERS: list[Any] = [
    *(sign * (2**bits + more) for bits, more, sign in product((31, 53, 63, 64), (-1, 0, 1), (1, -1))),
    *(10**power for power in (8, 11, 14, 17, 18, 19, 20, 22, 25, 28, 29, 37, 38, 39, 60)),
    *(1e22, 1e28, 1e300, -1e300, 1.7976931348623157e308, 5e-324, -0.0, -1, -9223372036854775.808, 9223372036854.775807),
    *(253402300799, 253402300800, 253402300799999, 253402300800000000, 253402300799999999999),
    *("inf", "-inf", "nan", "-nan", "1e400", "-1e400", "9" * 22, "9" * 29, "9" * 38, "9" * 400, "1_000", "0x10"),
]
ADDRESSES = ["1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:1:2:3", "::::", ":" * 39, "999.1.1.1", "255.255.255.255"]
EXTREMES = [*TIMES, *NUMBERS, *map(str, NUMBERS)]
HUGE = [json.loads("1e400"), -json.loads("1e400")]
"""Written as numbers, which JSON allows and no double holds."""


def written(record: Any) -> str:
    return json.dumps(record).replace("-Infinity", "-1e400").replace("Infinity", "1e400")


def scanned(folder: Path, lines: Sequence[str], **options: Any) -> ScanResult:
    log = folder / "log.jsonl"
    log.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return scan(ScanOptions((str(log),), ROOT, **options))


# Records in schema form.


def record(number: int, field: str, value: Any) -> dict[str, Any]:
    """One of few emitters, traces and stages, so that extremes meet in counters, chains and windows."""
    made: dict[str, Any] = {
        "@timestamp": f"2026-10-05T09:00:{number % 60:02}Z",
        "chain": {"stage": ("prompt", "tool_call", "token", "access")[number % 4]},
        "trace": {"id": f"{number // 12 + 1:032x}"},
        "gen_ai": {"agent": {"id": "agent-a"}},
        "event": {"sequence": number},
        "observer": {"name": f"gateway {number // 500}"},
        "oauth": {"token": {"issued_at": "2026-10-05T08:00:00Z", "expires_at": "2026-10-05T10:00:00Z"}},
    }
    *above, leaf = field.split(".")
    node = made
    for part in above:
        node = node.setdefault(part, {})
    node[leaf] = value
    return made


@pytest.fixture(scope="module")
def register(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("register")
    options = ("-o", str(folder / "log.jsonl"), "--events", "1000", "--attacks", "none")
    done = CliRunner().invoke(command, [*options, "--register-out", str(folder / "register")], catch_exceptions=False)
    assert done.exit_code == 0
    return folder / "register"


def test_no_value_of_any_field_stops_a_scan_or_a_report(tmp_path: Path, register: Path) -> None:
    texts = [name for name, field in EVENTS.raw.items() if field.kind == "keyword"]
    others = [name for name in EVENTS.raw if name not in texts]
    pairs = [*product(others, [*EXTREMES, *HUGE]), *product(texts, [*ADDRESSES, *TIMES[:3], *HUGE])]
    lines = [written(record(number, name, value)) for number, (name, value) in enumerate(pairs)]
    result = scanned(tmp_path, lines, register=register)
    assert sum(result.summary.stages.values()) + sum(result.summary.rejected.values()) == len(lines)
    assert result.summary.start == "0001-01-01T00:00:00.000000Z"
    assert result.summary.end == "9999-12-31T23:59:59.999999Z"
    for form in FORMATS:
        write(result, form, tmp_path / "report")
        assert (tmp_path / "report").stat().st_size


KEPT = {
    "9999-12-31T23:59:59.999999Z": "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59+00:01": "9999-12-31T23:58:59.000000Z",
    "0001-01-01T00:00:00Z": "0001-01-01T00:00:00.000000Z",
    "0999-06-01t00:00:00z": "0999-06-01T00:00:00.000000Z",
    "1969-12-31T23:59:59.999999Z": "1969-12-31T23:59:59.999999Z",
    100_000_000: "1973-03-03T09:46:40.000000Z",
    9_999_999_999_999_999_999: "2286-11-20T17:46:39.999999Z",
}
REFUSED: list[Any] = [
    *("9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z"),
    *(99_999_999, 0, -1, 10**19, 10**22, 10**28, "9" * 22, "9" * 29, "infinity", "epoch", *HUGE),
]


def test_a_time_between_the_years_1_and_9999_is_one() -> None:
    lines = [written(record(number, "@timestamp", value)).encode() for number, value in enumerate(KEPT)]
    judged = judge(lines, rules={}, vocabulary=EVENTS, chain_vocabulary=CHAINS)
    assert [event and event["@timestamp"] for event in judged.events] == list(KEPT.values())


def test_any_other_makes_its_record_bad_and_no_other(tmp_path: Path) -> None:
    fields = ("@timestamp", "oauth.token.expires_at")
    lines = [written(record(number, *pair)) for number, pair in enumerate(product(fields, REFUSED))]
    result = scanned(tmp_path, [*lines, written(record(1, "@timestamp", "2026-10-05T09:00:00Z"))])
    assert [one.line for one in result.rejected] == list(range(1, len(lines) + 1))
    assert {one.reason.split(" ")[0] for one in result.rejected} == set(fields)


def test_a_number_beyond_its_type_makes_its_record_bad(tmp_path: Path) -> None:
    fields = [name for name, field in EVENTS.raw.items() if field.kind == "integer" and not field.array]
    values = ["inf", "nan", "1e400", 1e300, 2**63 + 2**12, *HUGE]
    lines = [written(record(n, *pair)) for n, pair in enumerate(product(fields, values))]
    result = scanned(tmp_path, [*lines, written(record(1, "event.sequence", 1))])
    assert [one.line for one in result.rejected] == list(range(1, len(lines) + 1))


def test_counters_beyond_53_bits_are_not_compared(tmp_path: Path) -> None:
    """They would differ by what rounding left of them."""
    values = [1, 2**63 - 1, -(2**63), 2**53 + 2, 2**53 + 3, 2]
    lines = [written(record(number, "event.sequence", value)) for number, value in enumerate(values)]
    result = scanned(tmp_path, lines)
    assert result.rejected == ()
    assert "sequence_gap" not in {finding.rule.stem for finding in result.findings}


# Native records: every place of every real map's sample.


def places(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(node, dict | list):
        for key, below in node.items() if isinstance(node, dict) else enumerate(node):
            yield from places(below, (*path, key))
    elif path:
        yield path


def put(record: Any, path: tuple[str | int, ...], value: Any) -> Any:
    made = json.loads(json.dumps(record))
    node = made
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return made


@pytest.mark.parametrize("name", one_in(2, NATIVE))
def test_no_value_of_a_native_record_stops_a_scan(name: str, tmp_path: Path) -> None:
    sample = test_sources.sample(name)
    firsts: dict[tuple[str, ...], tuple[Any, tuple[str | int, ...]]] = {}
    for one in sample:
        for path in places(one):
            firsts.setdefault(tuple("*" if isinstance(key, int) else key for key in path), (one, path))
    values = [*TIMES, *NUMBERS, *HUGE]
    lines = [written(put(one, path, value)) for one, path in firsts.values() for value in values]
    options = {"source": name, "rules": ("orphan_write",)}
    alone = scanned(tmp_path, [json.dumps(one) for one in sample], **options)
    result = scanned(tmp_path, [*(json.dumps(one) for one in sample), *lines], **options)
    assert result.summary.lines >= len(lines)
    assert sum(result.summary.stages.values()) >= sum(alone.summary.stages.values()) > 0


# What such a record says.

LOWEST, HIGHEST = str(-(2**63)), str(2**63 - 1)
AGES = {
    "mcp_otel": {"end_time": "9999-12-31T23:59:59Z"},
    "contextforge_otel": {"startTimeUnixNano": LOWEST, "endTimeUnixNano": HIGHEST},
}


@pytest.mark.parametrize("name", AGES)
def test_a_call_of_more_than_292_years_has_no_duration(name: str, tmp_path: Path) -> None:
    """Nanoseconds fill 64 bits by then."""
    calls = [one for one in test_sources.sample(name) if AGES[name].keys() <= one.keys()]
    honest, _ = test_sources.run(tmp_path, name, calls)
    assert all(event["event"]["duration"] > 0 for event in honest)
    ages = [call | AGES[name] for call in calls]
    long, report = test_sources.run(tmp_path, name, ages)
    assert (len(long) > 0, report.bad) == (True, [])
    assert not any("duration" in event["event"] for event in long)
    result = scanned(tmp_path, [json.dumps(call) for call in ages], source=name, rules=("orphan_write",))
    assert (result.rejected, sum(result.summary.stages.values())) == ((), len(long))


UNREADABLE = [
    *("2026-11-23 08:00:00 Europe/Berlin", "2026-11-23T08:00:00+02:00:30", "2026-11-23 08:00:00 UTC"),
    *("9999-12-31T23:59:59-01:00", "0000-12-31T00:00:00Z", "infinity"),
]


def test_a_native_record_whose_time_cannot_be_read_is_bad_and_no_other(tmp_path: Path) -> None:
    """A zone's name, or an offset's seconds, would otherwise be read as if they said UTC."""
    good = test_sources.permission(1, "ana@corp.example")
    lines = [json.dumps(good | {"timestamp": time}) for time in UNREADABLE]
    result = scanned(tmp_path, [*lines, json.dumps(good)], source="contextforge", rules=("orphan_write",))
    bad = [(line, "its time cannot be read") for line in range(1, len(lines) + 1)]
    assert [(one.line, one.reason) for one in result.rejected] == bad
    assert result.summary.start == "2026-11-23T08:00:01.000000Z"
