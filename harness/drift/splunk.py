"""What a Splunk search head has of the app: saved searches, macros, lookups, as ``local`` over ``default`` makes them.

Source: REST API Reference, "saved/searches", "configs/conf-{file}" and "data/transforms/lookups": GET with
``output_mode=json`` gives ``entry``, each with ``name`` and ``content``; ``paging.total`` counts all.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from backends.splunk.conf import read
from harness.drift.difference import CHANGED, DISABLED, EXTRA, MISSING, TUNED
from harness.drift.reading import MOST, items, text
from harness.replay.kit.transport import Refused

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from harness.drift.difference import Compared
    from harness.drift.reading import Reader

PAGE = 100
BASE = "/servicesNS/-/countersign"
METADATA = "action.correlationsearch.metadata"

FIELDS = (
    *("search", "cron_schedule", "dispatch.earliest_time", "dispatch.latest_time", "alert.severity"),
    *("alert.suppress", "alert.suppress.fields", "alert.suppress.period", "action.notable", "action.risk"),
    *("action.notable.param.severity", "action.risk.param._risk", "action.summary_index"),
)
"""What makes a search find what it finds, when it runs and how loud it is."""

OWN = ("_filter", "_threshold")
"""Ends of macros that are made to be changed, as `countersign_index` is."""


def compare(reader: Reader, files: Mapping[str, str], compared: Compared, skipped: Collection[str]) -> None:
    """Compare the app; of ``skipped`` lookups only whether they are there."""
    _searches(reader, read(files["default/savedsearches.conf"]), compared)
    _macros(reader, read(files["default/macros.conf"]), compared)
    _lookups(reader, read(files["default/transforms.conf"]), compared, skipped)


def _searches(reader: Reader, wanted: Mapping[str, Mapping[str, str]], compared: Compared) -> None:
    held = _entries(reader, "saved/searches")
    for name, settings in wanted.items():
        compared.rules += 1
        stem = name.removeprefix("Countersign - ").removesuffix(" - Rule")
        found = held.pop(name, None)
        if found is None:
            compared.rule(stem, MISSING)
            continue
        if _same(found.get("disabled")) == "1" or _same(found.get("is_scheduled", "1")) == "0":
            compared.rule(stem, DISABLED)
        where = [key for key in FIELDS if key in settings and _same(found.get(key)) != _same(settings[key])]
        compared.versioned(stem, _version(found.get(METADATA)), _version(settings.get(METADATA)) or 0, where)
    for name in held:
        if name.startswith("Countersign - "):
            compared.rule(name.removeprefix("Countersign - ").removesuffix(" - Rule"), EXTRA, ["no rule of the pack"])


def _macros(reader: Reader, wanted: Mapping[str, Mapping[str, str]], compared: Compared) -> None:
    held = _entries(reader, "configs/conf-macros")
    for name, settings in wanted.items():
        compared.assets += 1
        found = held.get(name)
        if found is None:
            compared.asset(f"macro {name}", MISSING)
        elif _same(found.get("definition")) != _same(settings["definition"]):
            tuned = name == "countersign_index" or name.endswith(OWN)
            compared.asset(f"macro {name}", TUNED if tuned else CHANGED)


def _lookups(
    reader: Reader, wanted: Mapping[str, Mapping[str, str]], compared: Compared, skipped: Collection[str]
) -> None:
    """A file bears the digest of what it holds, so another name is another content."""
    held = _entries(reader, "data/transforms/lookups")
    for name, settings in wanted.items():
        compared.assets += 1
        found = held.get(name)
        if found is None:
            compared.asset(f"lookup {name}", MISSING)
        elif name not in skipped and text(found, "filename") != settings["filename"]:
            compared.asset(f"lookup {name}", CHANGED, [f"its file is {text(found, 'filename')}"])


def _entries(reader: Reader, kind: str) -> dict[str, dict[str, Any]]:
    """Name → content of all entries of the app."""
    found: dict[str, dict[str, Any]] = {}
    for page in range(MOST):
        said = reader.get(f"{BASE}/{kind}?output_mode=json&count={PAGE}&offset={page * PAGE}")
        rows = items(said, "entry")
        for row in rows:
            content, acl = row.get("content"), row.get("acl")
            if isinstance(content, dict) and (
                not isinstance(acl, dict) or acl.get("app", "countersign") == "countersign"
            ):
                found[text(row, "name")] = content
        if len(rows) < PAGE:
            return found
    raise Refused(f"Splunk lists more than {MOST * PAGE} entries of {kind}")


def _same(value: Any) -> str:
    """A setting as a text: Splunk gives some as true, some as 1, and one line end for another."""
    if isinstance(value, bool):
        return "1" if value else "0"
    said = "" if value is None else str(value)
    said = {"true": "1", "false": "0"}.get(said, said)
    return "\n".join(line.rstrip() for line in said.strip().splitlines())


def _version(metadata: Any) -> int | None:
    try:
        return int(json.loads(str(metadata))["detection_version"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
