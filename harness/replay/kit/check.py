"""Ask the SIEM which rules fired on the records that send.py sent, and compare it with what must be.

    python3 check.py --url https://…             asks each rule's query, over the time of the records
    python3 check.py --url https://… --alerts    asks which rules made alerts: what the schedule found by itself

Exit codes: 0 as it must be; 1 a difference; 2 a mistake, or no answer. Python 3.9 and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from harness.replay.kit import dates
from harness.replay.kit import splunk as siem
from harness.replay.kit.transport import Connection, Refused, shown

HERE = Path(__file__).resolve().parent
DIFFERENT, MISTAKEN = 1, 2
AROUND = timedelta(minutes=1)
"""What is asked for before the first record and after the last."""


def parser() -> argparse.ArgumentParser:
    """What a person can say."""
    made = argparse.ArgumentParser(
        description=__doc__, epilog=f"Who asks: {siem.ASKER}.", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--url", required=True, help=siem.CHECK_AT)
    made.add_argument(
        "--rule", action="append", dest="stems", metavar="STEM", help="only this rule; may be given again"
    )
    made.add_argument("--alerts", action="store_true", help="ask for alerts and not by queries")
    made.add_argument("--without-register", action="store_true", help="the kit's register is not installed")
    made.add_argument("--wait", action="store_true", help="wait until chains are complete")
    made.add_argument("--format", choices=("table", "json"), default="table")
    made.add_argument("--timeout", type=float, default=120, metavar="SECONDS", help="for one request (%(default)s)")
    made.add_argument("--ca", metavar="FILE", help="certificates to trust (or COUNTERSIGN_CA)")
    made.add_argument("--insecure", action="store_true", help="do not check certificates")
    siem.arguments(made, sending=False)
    return made


def main(arguments: list[str] | None = None, here: Path = HERE) -> int:
    """Check; see above for the exit codes."""
    said = parser().parse_args(arguments)
    try:
        return _checked(said, here)
    except Refused as refused:
        print(f"check.py: {refused}", file=sys.stderr)  # noqa: T201 - a command
        return MISTAKEN


def _checked(said: argparse.Namespace, here: Path) -> int:
    kit: dict[str, Any] = json.loads((here / "kit.json").read_text(encoding="utf-8"))
    queries: dict[str, Any] = json.loads((here / "queries.json").read_text(encoding="utf-8"))
    try:
        sent = json.loads((here / "sent.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Refused("nothing was sent from this folder: run send.py first") from None
    if unknown := sorted(set(said.stems or ()) - set(queries)):
        raise Refused(f"this kit has no rule {shown(unknown[0])}; kit.json names what it has")
    first, last = dates.read(sent["first"]) - AROUND, dates.read(sent["last"]) + AROUND
    rules = {stem: one for stem, one in queries.items() if not said.stems or stem in said.stems}
    ca = said.ca or os.environ.get("COUNTERSIGN_CA")
    connection = Connection(said.url, siem.asker(os.environ), timeout=said.timeout, ca=ca, insecure=said.insecure)
    must = kit["bare" if said.without_register else "expected"]
    if said.alerts:
        return _alerts(said, rules, must, siem.alerted(connection, said, rules, first, _now()))
    rows, early = [], []
    for place, (stem, asked) in enumerate(rules.items(), 1):
        if _too_early(said, kit, asked, dates.read(sent["last"])):
            early.append(stem)
            continue
        found = _labels(kit, siem.fired(connection, said, asked, first, last), dates.read(sent["last"]))
        rows.append(_compared(stem, kit, must, found))
        if said.format == "table" and sys.stderr.isatty():
            print(f"\r{place}/{len(rules)} rules asked", end="", file=sys.stderr, flush=True)  # noqa: T201
    return _told(said, rows, early)


def _now() -> datetime:
    return datetime.now(timezone.utc)  # noqa: UP017 - Python 3.9


def _too_early(said: argparse.Namespace, kit: dict[str, Any], asked: dict[str, Any], last: datetime) -> bool:
    """Whether a rule judges chains, and these may still grow; waits where a person wants it."""
    ready = last + timedelta(seconds=kit["settle_sec"])
    if not asked["of_chains"] or _now() >= ready:
        return False
    if said.wait:
        print(f"waiting until {dates.written(ready)}, when the chains are complete", file=sys.stderr)  # noqa: T201
        time.sleep(max((ready - _now()).total_seconds(), 0) + 1)
        return False
    return True


def _labels(kit: dict[str, Any], ids: set[str], last: datetime) -> set[str]:
    """Labels of the kit's cases that records of these ids, or chains of these begins, are of; others are not ours."""
    mine = re.compile(rf"{re.escape(kit['prefix'] + kit['mark'])}-(\w+)-(attack|benign)-\d+")
    found = set()
    for one in ids:
        match = mine.fullmatch(one)
        label = f"{match[1]}/{match[2]}" if match else kit["chains"].get(_begin(one, last))
        if label:
            found.add(label)
    return found


def _begin(text: str, last: datetime) -> str:
    """Microseconds from the kit's last record to a time, which Splunk gives as microseconds since 1970."""
    try:
        epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - Python 3.9
        number = re.fullmatch(r"\d{1,17}(\.\d*)?", text)
        time = epoch + timedelta(microseconds=int(float(text))) if number else dates.read(text)
    except (ValueError, OverflowError):
        return ""
    return str((time - last) // timedelta(microseconds=1))


def _compared(stem: str, kit: dict[str, Any], must: dict[str, list[str]], found: set[str]) -> dict[str, Any]:
    """One rule: what fired, beside what must."""
    wanted = {label for label, stems in must.items() if stem in stems}
    own = {case["label"] for case in kit["cases"] if case["stem"] == stem}
    row: dict[str, Any] = {"rule": stem, "attack": "", "benign": ""}
    for kind in ("attack", "benign"):
        label = f"{stem}/{kind}"
        if label in own:
            row[kind] = _word(wanted=label in wanted, got=label in found)
    row["missing"] = sorted(wanted - found)
    row["unexpected"] = sorted(found - wanted)
    row["right"] = not row["missing"] and not row["unexpected"]
    return row


def _word(*, wanted: bool, got: bool) -> str:
    if wanted == got:
        return "fired" if got else "quiet"
    return "FIRED" if got else "MISSING"


def _told(said: argparse.Namespace, rows: list[dict[str, Any]], early: list[str]) -> int:
    wrong = [row for row in rows if not row["right"]]
    if said.format == "json":
        print(json.dumps({"rules": rows, "too_early": early}, indent=1))  # noqa: T201
    else:
        width = max((len(row["rule"]) for row in rows), default=4)
        print(f"{'rule':{width}}  {'attack':8} {'honest':8}")  # noqa: T201
        for row in rows:
            also = [f"missing on {one}" for one in row["missing"] if not one.startswith(f"{row['rule']}/")]
            also += [f"fired on {one}" for one in row["unexpected"] if not one.startswith(f"{row['rule']}/")]
            line = f"{row['rule']:{width}}  {row['attack'] or '-':8} {row['benign'] or '-':8} {'; '.join(also)}"
            print(line.rstrip())  # noqa: T201
        if early:
            print(f"too early for {', '.join(early)}: ask again later, or with --wait")  # noqa: T201
        print(f"{len(rows) - len(wrong)} of {len(rows)} rules as they must be")  # noqa: T201
    return DIFFERENT if wrong or early else 0


def _alerts(said: argparse.Namespace, rules: dict[str, Any], must: dict[str, list[str]], found: set[str]) -> int:
    """Rules alone: an alert does not say of which record of a kit it is."""
    wanted = {stem for stems in must.values() for stem in stems} & set(rules)
    missing = sorted(wanted - found)
    if said.format == "json":
        print(json.dumps({"alerted": sorted(found), "missing": missing}, indent=1))  # noqa: T201
    else:
        for stem in sorted(wanted):
            print(f"{stem}  {'alert' if stem in found else 'MISSING'}")  # noqa: T201
        print(f"{len(wanted) - len(missing)} of {len(wanted)} rules made an alert")  # noqa: T201
    return DIFFERENT if missing else 0


if __name__ == "__main__":
    sys.exit(main())
