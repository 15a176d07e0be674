"""Records a second: `countersign validate` beside plain jsonschema, on the same lines."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import jsonschema
import orjson

from generator.session import base_event
from harness.paths import Root
from harness.validate import check
from harness.validator import Validator


def measure(records: int = 200_000, plainly: int = 2_000) -> dict[str, float]:
    """Check ``records`` lines from a file with the compiled validator, ``plainly`` of them with jsonschema.

    The lines are honest events of all eight stages.

    Returns:
        records, bytes_per_record, fields_per_record, records_per_second (wall clock, reading the file included),
        records_per_cpu_second (the same by processor time, for a machine that is busy with something else),
        plain_records_per_second, times_faster.
    """
    schema = json.loads(Root.default().event_schema.read_text(encoding="utf-8"))
    validator = Validator(schema)
    events = [base_event(stage) for stage in validator.vocabulary.stages]
    texts = [
        orjson.dumps(event | {"event": event["event"] | {"id": f"evt-{n}"}}) for n in range(100) for event in events
    ]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "events.jsonl"
        with log.open("wb") as out:
            out.writelines(texts[number % len(texts)] + b"\n" for number in range(records))
        started, processor = time.perf_counter(), time.process_time()
        report = check([str(log)], validator)
        wall, processor = time.perf_counter() - started, time.process_time() - processor
        size = log.stat().st_size / records
    if report.bad or report.hints or report.records != records:
        raise AssertionError("the records of the bench are not clean")
    plain = _plain(schema, texts, plainly)
    return {
        "records": records,
        "bytes_per_record": size,
        "fields_per_record": sum(map(_fields, events)) / len(events),
        "records_per_second": records / wall,
        "records_per_cpu_second": records / processor,
        "plain_records_per_second": plain,
        "times_faster": records / wall / plain,
    }


def _plain(schema: dict[str, Any], texts: list[bytes], records: int) -> float:
    validator = jsonschema.Draft202012Validator(schema)
    started = time.perf_counter()
    for number in range(records):
        if not validator.is_valid(json.loads(texts[number % len(texts)])):
            raise AssertionError("plain jsonschema refuses a record of the bench")
    return records / (time.perf_counter() - started)


def _fields(node: Any) -> int:
    return sum(map(_fields, node.values())) if isinstance(node, dict) else 1


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:28}{value:>14,.1f}")
