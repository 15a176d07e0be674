"""What a log may be: plain, gzip, zstd or Parquet; damaged, growing, cut or replaced. Nothing good in it is lost."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import json
import os
import struct
import subprocess
import sys
import zlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import one_in

from backends.duckdb.lines import LogFile
from backends.duckdb.parquet import ParquetLog
from backends.duckdb.parquet_rows import Form
from backends.duckdb.unpacked import as_it_was, opened, read_chunk
from backends.errors import Mistakes
from backends.vocabulary import Vocabulary
from generator.session import base_event
from harness.commands.validate import command as validate
from harness.options import Progress, ScanOptions
from harness.paths import Root
from harness.scan import scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from harness.finding import ScanResult

pytestmark = pytest.mark.xdist_group("inputs")

HOME = Root.default()
VOCABULARY = Vocabulary.load(HOME.event_schema)
START = datetime(2026, 3, 2, 8, tzinfo=UTC)
EVERY_CALL = """\
title: Every Call
id: 8b0f5c8e-7e0b-4c07-9d8e-0d3b7d7d5a12
status: experimental
description: Fires for every call, so that a test sees which were read and where they lie.
author: countersign contributors
date: 2026-03-02
logsource: {product: mcp, service: event}
detection:
    selection:
        chain.stage: tool_call
    condition: selection
level: low
"""


def zstd(text: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(text, asbytes=True))


def skippable(text: bytes) -> bytes:
    """What a reader of zstd skips (RFC 8878 §3.1.2); pzstd begins with one."""
    return b"\x50\x2a\x4d\x18" + struct.pack("<I", len(text)) + text


def halves(pack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda text: pack(text[: len(text) // 2]) + pack(text[len(text) // 2 :])


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "two gzip members": halves(gzip.compress),
    "gzip padded with zeros": lambda text: gzip.compress(text) + bytes(512),
    "zstd": zstd,
    "two zstd frames": halves(zstd),
    "zstd behind a frame to be skipped": lambda text: skippable(b"\0" * 4) + zstd(text),
}


def calls(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Honest calls, each a minute after the other, told by their ids."""
    made = []
    for number in range(first, first + count):
        event = base_event("tool_call")
        event["@timestamp"] = (START + timedelta(minutes=number)).isoformat().replace("+00:00", "Z")
        event["event"]["id"] = f"e{number}"
        event["chain"]["prompt"]["id"] = event["trace"]["id"] = f"p{number}"
        event["gen_ai"]["tool"]["call"]["id"] = f"c{number}"
        made.append(event)
    return made


def lines(records: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


@pytest.fixture(scope="session")
def every_call(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A content root whose only rule fires for every call, a finding each."""
    root = tmp_path_factory.mktemp("root")
    (root / "schemas").symlink_to(HOME.schemas)
    (root / "rules" / "audit").mkdir(parents=True)
    (root / "rules" / "audit" / "mcp_every_call.yml").write_text(EVERY_CALL)
    grouping = {"kind": "incident", "group_by": ["event.id"], "period": "1h", "sentence": "{event.id}."}
    (root / "rules" / "parameters.json").write_text(json.dumps({"defaults": {"all": grouping}, "rules": {}}))
    return Root(root)


def scanned(
    root: Root, *logs: Path | str, progress: Callable[[Progress], None] | None = None, **more: Any
) -> ScanResult:
    options = ScanOptions(tuple(map(str, logs)), root, **more)
    return scan(options, progress) if progress else scan(options)


def places(result: ScanResult) -> dict[str, list[tuple[str, int]]]:
    """Event id → where its records lie."""
    return {f.sentence.rstrip("."): [(Path(r.file).name, r.line) for r in f.records] for f in result.findings}


def ids(result: ScanResult) -> set[str]:
    return set(places(result))


def in_order(name: str, count: int, first: int = 0) -> dict[str, list[tuple[str, int]]]:
    """Every call once, on the line of its number."""
    return {f"e{number}": [(name, number + 1)] for number in range(first, count)}


# ── what a file is, is told by its content ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", one_in(2, PACKED))
def test_a_packed_log_is_read_like_a_plain_one_whatever_its_name(form: str, every_call: Root, tmp_path: Path) -> None:
    (tmp_path / "x.log").write_bytes(PACKED[form](lines(calls(5))))
    result = scanned(every_call, tmp_path / "x.log")

    assert (places(result), result.rejected, result.summary.lines) == (in_order("x.log", 5), (), 5)


@pytest.mark.parametrize("name", one_in(2, ["x.jsonl.gz", "x.jsonl.zst", "x.parquet", "x.jsonl"]))
def test_a_name_that_promises_another_form_does_no_harm(name: str, every_call: Root, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(lines(calls(3)))

    assert places(scanned(every_call, tmp_path / name)) == in_order(name, 3)


def as_parquet(text: bytes) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([json.loads(line) for line in text.splitlines()]), out)
    return out.getvalue()


PIPED = PACKED | {"parquet": as_parquet}


@pytest.mark.parametrize("form", one_in(2, PIPED))
def test_standard_input_is_scanned_in_every_form(form: str, every_call: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PIPED[form](lines(calls(4))))))
    result = scanned(every_call, "-")

    assert (places(result), result.rejected) == (in_order("-", 4), ())


@pytest.mark.parametrize("form", PIPED)
@pytest.mark.parametrize("place", ["file", "standard input"])
def test_every_form_is_validated_line_by_line(form: str, place: str, tmp_path: Path) -> None:
    bad = calls(3)
    bad[1]["event"]["outcome"] = "ok"
    text = PIPED[form](lines(bad))
    (tmp_path / "x.log").write_bytes(text)
    name = str(tmp_path / "x.log") if place == "file" else "-"
    output = CliRunner().invoke(validate, [name], input=text if name == "-" else None, catch_exceptions=False).output

    assert output.splitlines() == [
        f'{name}:2: event.outcome: one of success, failure, unknown is expected, found the text "ok"',
        "3 records in 1 file: 2 valid, 1 bad, 0 warnings",
    ]


EMPTY = {"plain": b"", "gzip": gzip.compress(b""), "zstd": zstd(b""), "parquet": as_parquet(lines(calls(1)))}


@pytest.mark.parametrize("form", EMPTY)
def test_an_empty_log_is_no_mistake(form: str, every_call: Root, tmp_path: Path) -> None:
    (tmp_path / "empty.log").write_bytes(EMPTY[form])
    if form == "parquet":
        pq.write_table(pq.read_table(tmp_path / "empty.log").slice(0, 0), tmp_path / "empty.log")
    (tmp_path / "good.log").write_bytes(lines(calls(2)))
    result = scanned(every_call, tmp_path / "empty.log", tmp_path / "good.log")

    assert (places(result), result.rejected) == (in_order("good.log", 2), ())


def test_bytes_of_no_known_form_are_named_and_do_not_stop_the_other_logs(every_call: Root, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl.zst").write_bytes(b"\x28\xb5\x2f\xfe" + bytes(range(14, 256)))
    (tmp_path / "good.log").write_bytes(lines(calls(2)))
    result = scanned(every_call, tmp_path / "x.jsonl.zst", tmp_path / "good.log")

    assert places(result) == in_order("good.log", 2)
    assert [(Path(r.file).name, r.line, r.reason) for r in result.rejected] == [
        ("x.jsonl.zst", 1, "it is not a JSON object")
    ]


def test_parquet_within_a_packed_file_is_one_sentence(every_call: Root, tmp_path: Path) -> None:
    (tmp_path / "x.parquet.gz").write_bytes(gzip.compress(as_parquet(lines(calls(1)))))
    with pytest.raises(Mistakes, match=r"x\.parquet\.gz: it is Parquet within a packed file; unpack it first"):
        scanned(every_call, tmp_path / "x.parquet.gz")


# ── Parquet: a row is a line ─────────────────────────────────────────────────────────────────────────────────────────


def flat(record: dict[str, Any], above: str = "") -> dict[str, Any]:
    """A record with dotted names."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return found


LAYOUTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "structs": dict,
    "a column a field": flat,
    "JSON text a top-level field": lambda r: {k: json.dumps(v) if isinstance(v, dict) else v for k, v in r.items()},
    "whole records as text": lambda r: {"ingested": 1, "line": json.dumps(r, indent=1)},
    "whole records as binary": lambda r: {"ingested": 1, "raw": json.dumps(r).encode()},
    "nulls and empty lists beside": lambda r: flat(r) | {"user.email": None, "oauth.scope.granted": [], "tls": None},
}


@pytest.mark.parametrize("layout", one_in(3, LAYOUTS))
def test_rows_are_read_like_the_lines_of_the_same_records(layout: str, every_call: Root, tmp_path: Path) -> None:
    records = calls(5)
    pq.write_table(
        pa.Table.from_pylist([LAYOUTS[layout](r) for r in records]), tmp_path / "x.parquet", row_group_size=2
    )
    (tmp_path / "x.jsonl").write_bytes(lines(records))
    rows, plain = scanned(HOME, tmp_path / "x.parquet"), scanned(HOME, tmp_path / "x.jsonl")

    assert places(scanned(every_call, tmp_path / "x.parquet")) == in_order("x.parquet", 5)
    assert rows.rejected == ()
    assert [f.id for f in rows.findings] == [f.id for f in plain.findings]


MOMENT = datetime(2026, 3, 2, 9, 15, 4, 123456, tzinfo=UTC)
WRITTEN = "2026-03-02T09:15:04.123456Z"
VALUES: dict[str, tuple[pa.DataType, Any, Any]] = {
    "text": (pa.string(), 'a "b" \n\t\x01 ü', 'a "b" \n\t\x01 ü'),
    "large text": (pa.large_string(), "a", "a"),
    "a dictionary": (pa.dictionary(pa.int8(), pa.string()), "a", "a"),
    "an empty text": (pa.string(), "", None),
    "true": (pa.bool_(), True, True),
    "8 bits": (pa.int8(), -128, -128),
    "64 bits": (pa.int64(), -(2**63), -(2**63)),
    "64 bits without sign": (pa.uint64(), 2**64 - 1, 2**64 - 1),
    "a double": (pa.float64(), 0.5, 0.5),
    "a double that is whole": (pa.float64(), 5.0, 5),
    "a float": (pa.float32(), 0.25, 0.25),
    "not a number": (pa.float64(), float("nan"), None),
    "infinity": (pa.float64(), float("inf"), "inf"),
    "a decimal": (pa.decimal128(10, 2), Decimal("1.50"), 1.5),
    "a day": (pa.date32(), date(2026, 3, 2), "2026-03-02"),
    "seconds": (pa.timestamp("s", "UTC"), MOMENT.replace(microsecond=0), "2026-03-02T09:15:04.000000Z"),
    "milliseconds": (pa.timestamp("ms", "UTC"), MOMENT.replace(microsecond=123000), "2026-03-02T09:15:04.123000Z"),
    "microseconds": (pa.timestamp("us", "UTC"), MOMENT, WRITTEN),
    "nanoseconds": (pa.timestamp("ns", "UTC"), MOMENT, WRITTEN),
    "a time in another zone": (pa.timestamp("us", "Asia/Tokyo"), MOMENT, WRITTEN),
    "a time without zone": (pa.timestamp("us"), MOMENT.replace(tzinfo=None), WRITTEN),
    "the last time": (pa.timestamp("us"), pa.scalar(2**63 - 1, pa.timestamp("us")), None),
    "binary that is text": (pa.binary(), b"ana", "ana"),
    "binary that is none": (pa.binary(), b"\xff\x00", "ff00"),
    "an id of 16 bytes": (pa.binary(16), b"0123456789abcdef", b"0123456789abcdef".hex()),
    "a list": (pa.list_(pa.string()), ["a", None, "b"], ["a", None, "b"]),
    "an empty list": (pa.list_(pa.string()), [], None),
    "a list of times": (pa.list_(pa.timestamp("us", "UTC")), [MOMENT], [WRITTEN]),
    "a list of lists": (pa.list_(pa.list_(pa.int64())), [[1, 2], [3]], [[1, 2], [3]]),
    "a list of structs": (pa.list_(pa.struct({"a": pa.int64()})), [{"a": 1}, {"a": None}], [{"a": 1}, None]),
    "a struct": (pa.struct({"a": pa.struct({"b": pa.int64(), "c": pa.string()})}), {"a": {"b": 1}}, {"a": {"b": 1}}),
    "a struct of nothing": (pa.struct({"a": pa.string()}), {"a": None}, None),
    "a map": (pa.map_(pa.string(), pa.int64()), [("a", 1), ("b", None)], {"a": 1}),
    "nothing": (pa.null(), None, None),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_written_as_a_log_has_it_and_left_out_where_it_is_absent(name: str, tmp_path: Path) -> None:
    kind, value, expected = VALUES[name]
    pq.write_table(pa.table({"x": pa.array([value, None], kind), "n": [1, 2]}), tmp_path / "x.parquet", version="2.6")

    assert written(tmp_path / "x.parquet", tmp_path) == [
        {"n": 1} if expected is None else {"x": expected, "n": 1},
        {"n": 2},
    ]


def written(path: Path, folder: Path, form: Form = Form.NESTED) -> list[Any]:
    """The lines of a Parquet file, parsed; None for an empty one."""
    folder = folder / "written"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    log = LogFile(0, path, path.name)
    with contextlib.closing(ParquetLog(log, folder, structured=VOCABULARY.structured)) as rows:
        rows.write(folder / "out.jsonl", form)
    found = (folder / "out.jsonl").read_bytes().splitlines()
    return [json.loads(line) if line else None for line in found]


def test_a_record_column_may_hold_other_text_in_some_rows(every_call: Root, tmp_path: Path) -> None:
    texts = [*(json.dumps(call) for call in calls(2)), None, "", "started\n\x01", *(json.dumps(c) for c in calls(1, 5))]
    pq.write_table(pa.table({"ingested": range(len(texts)), "message": texts}), tmp_path / "x.parquet")
    result = scanned(every_call, tmp_path / "x.parquet")

    assert places(result) == in_order("x.parquet", 2) | in_order("x.parquet", 6, first=5)
    assert [(r.line, r.reason) for r in result.rejected] == [(5, "it is not a JSON object")]


def test_a_list_that_came_as_text_is_a_list(tmp_path: Path) -> None:
    rows = {"oauth.scope.granted": ['["a", "b"]', "a", '["a', None], "gen_ai.tool.call.arguments": ['{"a": 1}'] * 4}
    pq.write_table(pa.table(rows), tmp_path / "x.parquet")
    granted = [
        row["oauth"]["scope"]["granted"] if "oauth" in row else None
        for row in written(tmp_path / "x.parquet", tmp_path)
    ]

    assert granted == [["a", "b"], "a", '["a', None]


def test_arguments_that_came_as_text_stay_the_text_they_were(tmp_path: Path) -> None:
    pq.write_table(pa.table({"gen_ai.tool.call.arguments": ['{"b":  1, "a": 2}']}), tmp_path / "x.parquet")

    assert written(tmp_path / "x.parquet", tmp_path) == [
        {"gen_ai": {"tool": {"call": {"arguments": '{"b":  1, "a": 2}'}}}}
    ]


HOSTILE = ['"', "'", "a\0b", "{x}", ".", "a..b", "\n", "--", "countersign.records", "file_row_number", "ü" * 300]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_no_name_of_a_column_breaks_the_reading(name: str, tmp_path: Path) -> None:
    records = [flat(call) | {name: "x"} for call in calls(2)]
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "x.parquet")

    assert [row["event"]["id"] for row in written(tmp_path / "x.parquet", tmp_path)] == ["e0", "e1"]


def test_a_file_s_own_name_is_no_pattern(every_call: Root, tmp_path: Path) -> None:
    for name in ("*.parquet", "x.parquet"):
        (tmp_path / name).write_bytes(as_parquet(lines(calls(1))))

    assert places(scanned(every_call, tmp_path / "*.parquet")) == in_order("*.parquet", 1)


def test_a_column_that_no_record_holds_is_one_sentence(every_call: Root, tmp_path: Path) -> None:
    kind = pa.map_(pa.struct({"a": pa.int64()}), pa.int64())
    pq.write_table(pa.table({"n": pa.array([[({"a": 1}, 2)]], kind)}), tmp_path / "x.parquet")
    with pytest.raises(Mistakes, match=r"x\.parquet: column 'n' is a map whose keys are no text; write it as a struct"):
        scanned(every_call, tmp_path / "x.parquet")


def test_a_record_in_rows_and_in_lines_is_one_record(every_call: Root, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(calls(3)))
    (tmp_path / "b.parquet").write_bytes(as_parquet(lines(calls(4))))
    result = scanned(every_call, tmp_path / "a.jsonl", tmp_path / "b.parquet")

    assert places(result) == in_order("a.jsonl", 3) | in_order("b.parquet", 4, first=3)
    assert result.summary.duplicates == 3


# ── damage: all before it is read, and it is named ───────────────────────────────────────────────────────────────────

TEXT = lines(calls(40))


def whole_lines(text: bytes) -> int:
    return text.count(b"\n")


def unpacked(packed: bytes, tmp: Path) -> tuple[bytes, str]:
    """All that can be unpacked, and what is wrong then."""
    (tmp / "x").write_bytes(packed)
    with opened(tmp / "x") as stream:
        found, damage = read_chunk(stream)
        assert read_chunk(stream)[0] == b""
    return found, damage


@pytest.mark.parametrize("form", one_in(2, ["two gzip members", "gzip", "two zstd frames", "zstd"]))
def test_of_a_cut_file_every_whole_line_is_scanned_and_the_end_is_named(
    form: str, every_call: Root, tmp_path: Path
) -> None:
    packed = PACKED[form](TEXT)
    cut = packed[: len(packed) * 4 // 5]
    whole = whole_lines(unpacked(cut, tmp_path)[0])
    (tmp_path / "cut.log").write_bytes(cut)
    (tmp_path / "good.log").write_bytes(lines(calls(1, 100)))
    result = scanned(every_call, tmp_path / "cut.log", tmp_path / "good.log")

    assert ids(result) == {*(f"e{n}" for n in range(whole)), "e100"}
    assert [(Path(r.file).name, r.line, r.reason) for r in result.rejected] == [
        (
            "cut.log",
            whole + 1,
            "the compressed data is damaged from here on (it ends in the middle: it was cut, or is still being written)",
        )
    ]


@settings(max_examples=150, deadline=None)
@given(form=st.sampled_from(["gzip", "two gzip members", "zstd", "two zstd frames"]), data=st.data())
def test_whatever_byte_is_damaged_what_lies_before_is_unpacked_and_nothing_raises(
    form: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    packed = bytearray(PACKED[form](TEXT))
    at = data.draw(st.integers(4, len(packed) - 1))
    packed[at] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.sampled_from([len(packed), at]))
    found, damage = unpacked(bytes(packed[:cut]), tmp_path_factory.getbasetemp())

    before, _ = unpacked(bytes(packed[:at]), tmp_path_factory.getbasetemp())
    assert found.startswith(before)
    assert damage or found == TEXT or form.endswith(("zstd", "frames"))  # zstd may carry no checksum


def test_all_before_a_broken_block_is_read_to_the_last_byte(tmp_path: Path) -> None:
    text = lines(calls(3000))
    packed = bytearray(gzip.compress(text, 1))
    packed[len(packed) // 2 :] = b"\xff" * (len(packed) - len(packed) // 2)
    found, damage = unpacked(bytes(packed), tmp_path)
    stream, byte_by_byte = zlib.decompressobj(31), bytearray()
    with contextlib.suppress(zlib.error):
        for byte in packed:
            byte_by_byte += stream.decompress(bytes([byte]))

    assert (found, bool(damage)) == (bytes(byte_by_byte), True)
    assert len(found) > 1 << 20


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_what_follows_the_packed_data_is_named_and_harms_nothing(form: str, every_call: Root, tmp_path: Path) -> None:
    (tmp_path / "x.log").write_bytes(PACKED[form](lines(calls(3))) + b"garbage")
    result = scanned(every_call, tmp_path / "x.log", rejects=tmp_path / "kept")

    assert places(result) == in_order("x.log", 3)
    assert [(r.line, r.reason.split(" (")[0]) for r in result.rejected] == [
        (4, "the compressed data is damaged from here on")
    ]
    assert (tmp_path / "kept").read_bytes() == b""


def test_a_line_that_damage_cuts_is_kept_as_far_as_it_goes(every_call: Root, tmp_path: Path) -> None:
    packed = gzip.compress(TEXT)
    (tmp_path / "x.log").write_bytes(packed[: len(packed) // 2])
    scanned(every_call, tmp_path / "x.log", rejects=tmp_path / "kept")

    assert (tmp_path / "kept").read_bytes().rstrip(b"\n") == unpacked(packed[: len(packed) // 2], tmp_path)[0].split(
        b"\n"
    )[-1]


def test_validate_reads_up_to_the_damage_and_names_it(tmp_path: Path) -> None:
    packed = zstd(TEXT)
    (tmp_path / "x.log").write_bytes(packed[:-6])
    whole = whole_lines(unpacked(packed[:-6], tmp_path)[0])
    result = CliRunner().invoke(validate, [str(tmp_path / "x.log")], catch_exceptions=False)

    assert result.exit_code == 1
    cut = "it ends in the middle: it was cut, or is still being written"
    assert result.output.splitlines() == [
        f"{tmp_path / 'x.log'}:{whole + 1}: the file cannot be read from here on: {cut}",
        f"{whole} records in 1 file: {whole} valid, 0 bad, 0 warnings; 1 file could not be read to the end",
    ]


def break_page(path: Path, group: int, column: int) -> None:
    """Break the middle of a column of one row group."""
    chunk = pq.ParquetFile(path).metadata.row_group(group).column(column)
    broken = bytearray(path.read_bytes())
    at = chunk.data_page_offset + chunk.total_compressed_size // 2
    broken[at : at + 64] = bytes(byte ^ 0x5A for byte in broken[at : at + 64])
    path.write_bytes(broken)


def test_rows_around_damage_keep_their_numbers_and_the_others_are_named(tmp_path: Path) -> None:
    table = pa.table({"n": range(40_000), "name": [f"name {n % 977} {n}" for n in range(40_000)]})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=20_000, use_dictionary=False, data_page_size=1 << 12)
    break_page(tmp_path / "x.parquet", 1, 1)
    with contextlib.closing(ParquetLog(LogFile(0, tmp_path / "x.parquet", "x"), tmp_path)) as rows:
        lost = rows.write(tmp_path / "out.jsonl", Form.NESTED)
    found = [json.loads(line)["n"] if line else None for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    gone = {number - 1 for one in lost for number in range(one.number, one.number + one.lines)}

    assert found == [None if n in gone else n for n in range(40_000)]
    assert 20_000 <= min(gone) < max(gone) < 40_000
    assert len(gone) <= 3 * 1024
    assert [f"rows {one.number:,} to" in one.reason for one in lost] == [True]


def test_a_time_that_nothing_can_hold_is_named(every_call: Root, tmp_path: Path) -> None:
    table = pa.Table.from_pylist([flat(call) for call in calls(2)])
    pq.write_table(table.append_column("x", pa.array([0, 2**62], pa.timestamp("ms"))), tmp_path / "x.parquet")
    (reason,) = (r.reason for r in scanned(every_call, tmp_path / "x.parquet").rejected)

    assert reason == (
        "the Parquet file is damaged: rows 1 to 2 can't be read (Could not convert Timestamp(MS) to Timestamp(US))"
    )


def test_a_scan_names_the_rows_that_cannot_be_read_and_counts_them(every_call: Root, tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([flat(c) for c in calls(40)]), tmp_path / "x.parquet", row_group_size=20)
    break_page(tmp_path / "x.parquet", 0, 0)
    result = scanned(every_call, tmp_path / "x.parquet", rejects=tmp_path / "kept")

    assert places(result) == in_order("x.parquet", 40, first=20)
    assert [(r.line, r.reason.split(" (")[0]) for r in result.rejected] == [
        (1, "the Parquet file is damaged: rows 1 to 20 can't be read")
    ]
    assert (result.summary.rejected_total, result.summary.lines) == (20, 20)
    assert (tmp_path / "kept").read_bytes() == b""


def test_validate_names_the_rows_that_cannot_be_read(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([flat(c) for c in calls(40)]), tmp_path / "x.parquet", row_group_size=20)
    break_page(tmp_path / "x.parquet", 0, 0)
    result = CliRunner().invoke(validate, [str(tmp_path / "x.parquet")], catch_exceptions=False)

    assert result.exit_code == 1
    assert ":1: the Parquet file is damaged: rows 1 to 20 can't be read (" in result.output
    assert "20 records in 1 file: 20 valid, 0 bad, 0 warnings; 1 file could not be read to the end" in result.output


ONE = as_parquet(lines(calls(1)))
(FOOTER,) = struct.unpack("<I", ONE[-8:-4])
NO_END = "the Parquet file has no end: it was cut, or is still being written"
NOT_PARQUET = {
    "without its end": (ONE[:-8], NO_END),
    "cut in the middle": (ONE[: len(ONE) // 2], NO_END),
    "only its first bytes": (b"PAR1", NO_END),
    "with a broken footer": (
        ONE[: -8 - FOOTER] + bytes(FOOTER) + ONE[-8:],
        "it begins as Parquet does and can't be read as such (",
    ),
    "encrypted": (b"PARE" + ONE[4:-4] + b"PARE", "the Parquet file is encrypted; decrypt it first"),
}


@pytest.mark.parametrize("name", one_in(2, NOT_PARQUET))
def test_parquet_that_cannot_be_read_is_named_and_does_not_stop_the_other_logs(
    name: str, every_call: Root, tmp_path: Path
) -> None:
    content, reason = NOT_PARQUET[name]
    (tmp_path / "bad.parquet").write_bytes(content)
    (tmp_path / "good.log").write_bytes(lines(calls(2)))
    result = scanned(every_call, tmp_path / "bad.parquet", tmp_path / "good.log", rejects=tmp_path / "kept")

    assert places(result) == in_order("good.log", 2)
    assert [(Path(r.file).name, r.line, r.reason[: len(reason)]) for r in result.rejected] == [
        ("bad.parquet", 0, reason)
    ]
    assert str(tmp_path) not in result.rejected[0].reason


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_whatever_byte_of_parquet_is_damaged_nothing_raises(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    broken = bytearray(ROWS)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(4, len(broken) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "fuzz.parquet"
    path.write_bytes(broken)

    assert len(written(path, tmp_path_factory.getbasetemp())) in range(10_000)


ROWS = as_parquet(lines({"n": n, "name": f"name {n % 7}", "list": ["a"] * (n % 3)} for n in range(300)))


# ── a log that is being written ──────────────────────────────────────────────────────────────────────────────────────

UNFINISHED = "the line is unfinished: the log ends in the middle of it"


@pytest.mark.parametrize("left", [1, 10, 200])
def test_a_last_line_that_is_being_written_is_named_and_all_before_it_scanned(
    left: int, every_call: Root, tmp_path: Path
) -> None:
    (tmp_path / "x.log").write_bytes(lines(calls(3))[: -1 - left])
    result = scanned(every_call, tmp_path / "x.log")

    assert places(result) == in_order("x.log", 2)
    assert [(r.line, r.reason) for r in result.rejected] == [(3, UNFINISHED)]
    assert result.summary.lines == 3


def test_validate_names_a_last_line_that_is_being_written(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_bytes(lines(calls(2))[:-20])
    output = CliRunner().invoke(validate, [str(tmp_path / "x.log")], catch_exceptions=False).output

    assert output.splitlines()[0] == f"{tmp_path / 'x.log'}:2: {UNFINISHED}"


def test_a_whole_last_line_needs_no_line_end(every_call: Root, tmp_path: Path) -> None:
    (tmp_path / "x.log").write_bytes(lines(calls(3))[:-1])
    result = scanned(every_call, tmp_path / "x.log")

    assert (places(result), result.rejected) == (in_order("x.log", 3), ())


@pytest.mark.parametrize(
    ("grown", "read"),
    [
        (b'yz"}\n{"b": 1}\n', b'{"a": "xyz"}\n'),
        (b"yz", b'{"a": "xyz'),
        (b"", b'{"a": "x'),
    ],
    ids=["to its end", "but not to its end", "not at all"],
)
def test_a_line_that_grows_while_it_is_read_is_read_on(grown: bytes, read: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b'{"a": "x')
    with as_it_was(tmp_path / "x") as stream:
        with (tmp_path / "x").open("ab") as log:
            log.write(grown)
        found = b"".join(iter(lambda: stream.read(4), b""))

    assert found == read


def test_a_log_that_never_stops_growing_is_read_to_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"{}\n" * 1000)
    found = b""
    with as_it_was(tmp_path / "x") as stream, (tmp_path / "x").open("ab", buffering=0) as log:
        while read := stream.read(100):
            found += read
            log.write(b"{}\n" * 100)

    assert found == b"{}\n" * 1000


def when(doing: str, act: Callable[[], object]) -> Callable[[Progress], None]:
    """A listener that acts once, when the scan gets there."""
    done: list[object] = []

    def listen(progress: Progress) -> None:
        if progress.doing == doing and not done:
            done.append(act())

    return listen


def append(path: Path, text: bytes) -> Callable[[], object]:
    def act() -> None:
        with path.open("ab") as log:
            log.write(text)

    return act


GROWING = ["plain", "gzip", "zstd"]


@pytest.mark.parametrize("form", GROWING)
@pytest.mark.parametrize("moment", one_in(2, ["joining", "naming what was found"]))
def test_what_a_log_grows_by_between_two_reads_moves_no_place(
    form: str, moment: str, every_call: Root, tmp_path: Path
) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(PACKED[form](lines(calls(20))))
    result = scanned(every_call, log, progress=when(moment, append(log, PACKED[form](lines(calls(30, 20))))))

    assert (places(result), result.rejected) == (in_order("x.log", 20), ())


def replaced(log: Path) -> None:
    log.rename(log.with_name("x.log.1"))
    log.write_bytes(lines(calls(50, 100)))


ENDS: dict[str, Callable[[Path], object]] = {
    "cut": lambda log: os.truncate(log, 100),
    "emptied and written anew": lambda log: log.write_bytes(lines(calls(50, 100))),
    "replaced": replaced,
    "taken away": Path.unlink,
}


@pytest.mark.parametrize(
    "case",
    one_in(4, itertools.product(["joining", "naming what was found"], ENDS, GROWING)),
    ids="{0[0]}-{0[1]}-{0[2]}".format,
)
def test_a_log_that_is_cut_or_replaced_while_it_is_read_is_named_and_nothing_is_settled(
    case: tuple[str, str, str], every_call: Root, tmp_path: Path
) -> None:
    moment, end, form = case
    log, carry = tmp_path / "x.log", tmp_path / "carry"
    log.write_bytes(PACKED[form](lines(calls(20))))
    cut_off = {"until": START + timedelta(minutes=15), "carry": carry}
    with pytest.raises(Mistakes) as told:
        scanned(every_call, log, progress=when(moment, lambda: ENDS[end](log)), **cut_off)

    assert str(told.value) == (
        f"{log}: it was cut or replaced while it was read; scan again, with the file that it was moved to if it was"
    )
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("carry")] == []


def test_parquet_may_be_replaced_once_its_rows_are_taken(every_call: Root, tmp_path: Path) -> None:
    log = tmp_path / "x.parquet"
    log.write_bytes(as_parquet(lines(calls(3))))

    assert places(scanned(every_call, log, progress=when("joining", log.unlink))) == in_order("x.parquet", 3)


STEPS = [1, 5001, 31_111]
AFTER_ALL = datetime(2030, 1, 1, tzinfo=UTC)


def grown(text: bytes, form: str) -> bytes:
    """A log that was appended to in steps, the last line not always whole; Parquet is written anew."""
    if form == "parquet":
        return as_parquet(text[: text.rfind(b"\n") + 1])
    ends = [0, *(size for size in STEPS if size < len(text)), len(text)]
    return b"".join(PACKED[form](text[a:b]) for a, b in itertools.pairwise(ends))


def told(*results: ScanResult) -> list[str]:
    return sorted(json.dumps(f.to_dict()) for result in results for f in result.findings)


@pytest.mark.parametrize("form", one_in(4, ["plain", "gzip", "zstd", "parquet"]))
def test_a_log_that_is_scanned_again_and_again_as_it_grows_loses_and_doubles_nothing(form: str, tmp_path: Path) -> None:
    text = lines(calls(40))
    log, carry = tmp_path / "x.log", tmp_path / "carry"
    results = []
    for size in STEPS:
        log.write_bytes(grown(text[:size], form))
        settled = START + timedelta(minutes=max(1, whole_lines(text[:size])))
        results.append(scanned(HOME, log, until=settled, carry=carry))
    log.write_bytes(grown(text, form))
    results.append(scanned(HOME, log, until=AFTER_ALL, carry=carry))

    assert told(*results) == told(scanned(HOME, log, until=AFTER_ALL)) != []


@pytest.mark.parametrize("cut", one_in(3, [34, 12, 56]))
def test_an_event_of_several_lines_is_whole_in_the_scan_that_has_them_all(cut: int, tmp_path: Path) -> None:
    text = (HOME.sources / "contextforge.sample.jsonl").read_bytes().splitlines(keepends=True)
    log, carry = tmp_path / "x.log", tmp_path / "carry"
    log.write_bytes(b"".join(text[:cut]) + text[cut][:20])
    first = scanned(HOME, log, until=datetime(2026, 11, 23, 7, 48, 30, tzinfo=UTC), carry=carry)
    log.write_bytes(b"".join(text))
    second = scanned(HOME, log, until=AFTER_ALL, carry=carry)

    assert told(first, second) == told(scanned(HOME, log, until=AFTER_ALL)) != []


def test_a_chain_that_an_earlier_scan_waited_with_is_judged_though_its_log_is_read_again(tmp_path: Path) -> None:
    log, carry = tmp_path / "x.log", tmp_path / "carry"
    (alone,) = calls(1)
    del alone["chain"]["prompt"]
    prompt = base_event("prompt") | {"@timestamp": "2026-03-02T12:00:00Z"}  # so its agent's prompts do arrive
    log.write_bytes(lines([alone]))
    first = scanned(HOME, log, until=START + timedelta(hours=1), carry=carry)
    (tmp_path / "y.parquet").write_bytes(as_parquet(lines([prompt])))
    both = (log, tmp_path / "y.parquet")
    second = scanned(HOME, *both, until=AFTER_ALL, carry=carry)

    assert "chain_without_prompt" not in {f.rule.stem for f in first.findings}
    assert "chain_without_prompt" in {f.rule.stem for f in second.findings}
    assert told(first, second) == told(scanned(HOME, *both, until=AFTER_ALL))


def test_a_log_that_was_moved_and_begun_anew_is_known_again(every_call: Root, tmp_path: Path) -> None:
    log, carry = tmp_path / "x.log", tmp_path / "carry"
    log.write_bytes(lines(calls(10))[:-30])
    first = scanned(every_call, log, until=START + timedelta(minutes=9), carry=carry)
    log.write_bytes(lines(calls(12)))
    log.rename(tmp_path / "x.log.1")
    log.write_bytes(lines(calls(20, 12)))
    second = scanned(every_call, tmp_path / "x.log.1", log, until=AFTER_ALL, carry=carry)

    assert places(first) == {}
    assert places(second) == in_order("x.log.1", 12) | {f"e{n}": [("x.log", n - 11)] for n in range(12, 32)}
    assert second.summary.duplicates == 0


def test_a_log_that_is_not_given_again_is_carried_under_its_old_name(every_call: Root, tmp_path: Path) -> None:
    log, carry = tmp_path / "x.log", tmp_path / "carry"
    log.write_bytes(lines(calls(3)))
    scanned(every_call, log, until=START + timedelta(minutes=1), carry=carry)
    log.write_bytes(lines(calls(2, 3)))
    scanned(every_call, log, until=START + timedelta(minutes=2), carry=carry)
    log.unlink()
    (tmp_path / "empty.log").touch()
    result = scanned(every_call, tmp_path / "empty.log", until=AFTER_ALL, carry=carry)

    assert places(result) == in_order("x.log", 3) | {"e3": [("x.log", 1)], "e4": [("x.log", 2)]}


# ── a log may claim anything ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "places_claimed", one_in(2, [[[99, 0]], [], [[-5, 0]], [[0, 10**12]], "x", [["a", "b"]]]), ids=repr
)
def test_a_record_lies_where_it_lies_whatever_it_says_of_that(
    places_claimed: object, every_call: Root, tmp_path: Path
) -> None:
    claims = [call | {"countersign": {"records": places_claimed}} for call in calls(2)]
    (tmp_path / "x.log").write_bytes(lines(claims))

    assert places(scanned(every_call, tmp_path / "x.log")) == in_order("x.log", 2)


def test_no_record_passes_for_a_copy_of_another(every_call: Root, tmp_path: Path) -> None:
    (tmp_path / "x.log").write_bytes(lines(call | {"countersign": {"identity": "7"}} for call in calls(3)))
    result = scanned(every_call, tmp_path / "x.log")

    assert (places(result), result.summary.duplicates) == (in_order("x.log", 3), 0)


# ── a log of any size takes the same memory ──────────────────────────────────────────────────────────────────────────

MEASURED = """
import re, sys
from contextlib import closing
from pathlib import Path
from backends.duckdb.lines import LineReader, LogFile
from backends.duckdb.parquet import ParquetLog
from backends.duckdb.parquet_rows import Form

log = LogFile(0, Path(sys.argv[1]), "x")
if sys.argv[1].endswith(".parquet"):
    with closing(ParquetLog(log, Path(sys.argv[2]), "100MB")) as rows:
        rows.write(Path(sys.argv[2]) / "out", Form.NESTED)
else:
    for batch in LineReader([log]).reader():
        del batch
print(int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


def megabytes(log: Path) -> int:
    """What a process of its own takes at most to read a log."""
    room = log.with_name(log.name + ".room")
    room.mkdir()
    run = subprocess.run(
        [sys.executable, "-c", MEASURED, log, room], capture_output=True, text=True, check=True, cwd=HOME.path
    )
    return int(run.stdout)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="nothing here says what a process took at most")
@pytest.mark.parametrize("form", one_in(2, ["gzip", "zstd", "parquet"]))
def test_a_large_log_takes_no_more_memory_than_a_small_one(form: str, tmp_path: Path) -> None:
    for name, times in (("small", 40), ("large", 160)):  # both of several chunks
        path = tmp_path / f"{name}.{form}"
        if form == "parquet":
            rows = [f"{number:07}" + "x" * 1000 for number in range(1000 * times)]
            pq.write_table(pa.table({"n": rows}), path, compression="zstd")
        else:
            path.write_bytes(b"".join(PACKED[form](lines([{"n": "x" * 1000}] * 1000)) for _ in range(times)))

    assert megabytes(tmp_path / f"large.{form}") - megabytes(tmp_path / f"small.{form}") < 40
