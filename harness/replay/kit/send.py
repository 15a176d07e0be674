"""Send this kit's records: attacks, each beside honest work that looks like it.

    python3 send.py --dry-run              says what would be sent, and asks nobody
    python3 send.py --url https://…        sends it, dated so that the last record is of now

Afterwards check.py asks which rules fired. Python 3.9 and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from harness.replay.kit import dates
from harness.replay.kit import splunk as siem
from harness.replay.kit.transport import TOO_MANY, Connection, Refused, shown

HERE = Path(__file__).resolve().parent
SENT = "sent.json"
TRIES = 6
NONE_SENT, MISTAKEN = 1, 2


def parser() -> argparse.ArgumentParser:
    """What a person can say."""
    made = argparse.ArgumentParser(
        description=__doc__, epilog=f"Who sends: {siem.SENDER}.", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--url", help=siem.SEND_TO)
    made.add_argument("--dry-run", action="store_true", help="say what would be sent")
    made.add_argument("--at", default="now", help="time of the last record: RFC 3339, now, or kit for the kit's own")
    made.add_argument("--again", action="store_true", help="send although this kit was sent before")
    made.add_argument("--timeout", type=float, default=30, metavar="SECONDS", help="for one request (%(default)s)")
    made.add_argument("--ca", metavar="FILE", help="certificates to trust (or COUNTERSIGN_CA)")
    made.add_argument("--insecure", action="store_true", help="do not check certificates")
    siem.arguments(made, sending=True)
    return made


def main(arguments: list[str] | None = None, here: Path = HERE) -> int:
    """Send; 0 all was taken, 1 something was not, 2 a mistake or no answer."""
    said = parser().parse_args(arguments)
    try:
        return _sent(said, here)
    except Refused as refused:
        print(f"send.py: {refused}", file=sys.stderr)  # noqa: T201 - a command
        return MISTAKEN


def _sent(said: argparse.Namespace, here: Path) -> int:
    kit: dict[str, Any] = json.loads((here / "kit.json").read_text(encoding="utf-8"))
    by = _later(said.at, dates.read(kit["at"]))
    count, attacks = kit["records"], sum(1 for one in kit["cases"] if one["fires"])
    span = f"{dates.written(dates.read(kit['first']) + by)} to {dates.written(dates.read(kit['at']) + by)}"
    told = f"{count} records of {attacks} attacks and {len(kit['cases']) - attacks} honest cases, marked {kit['mark']}"
    batches = sorted((here / "batches").iterdir())
    if said.dry_run:
        print(f"{told}\n{span}")  # noqa: T201
        print(f"would be sent in {len(batches)} requests: POST {shown((said.url or 'URL') + siem.target(said))}")  # noqa: T201
        return 0
    if not said.url:
        raise Refused(f"--url is needed: {siem.SEND_TO}")
    if (here / SENT).exists() and not said.again:
        when = json.loads((here / SENT).read_text(encoding="utf-8"))["last"]
        raise Refused(
            f"this kit was sent, dated {when}; the same records twice are no other attack: make a new kit, or --again"
        )
    headers = siem.sender(os.environ)
    ca = said.ca or os.environ.get("COUNTERSIGN_CA")
    connection = Connection(said.url, headers, timeout=said.timeout, ca=ca, insecure=said.insecure)
    print(told)  # noqa: T201
    wrong: list[str] = []
    for number, path in enumerate(batches, 1):
        wrong += _tried(connection, said, siem.redated(path.read_bytes(), by, kit["times"], said))
        print(f"{number}/{len(batches)} requests sent", flush=True)  # noqa: T201
    note = {
        "first": dates.written(dates.read(kit["first"]) + by),
        "last": dates.written(dates.read(kit["at"]) + by),
        "refused": len(wrong),
    }
    (here / SENT).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    for sentence in wrong[:20]:
        print(f"not taken: {shown(sentence)}", file=sys.stderr)  # noqa: T201
    print(f"{count - len(wrong)} records taken, dated {span}")  # noqa: T201
    return NONE_SENT if wrong else 0


def _tried(connection: Connection, said: argparse.Namespace, batch: bytes) -> list[str]:
    """One request; where the server is busy it is asked again, each time later."""
    for turn in range(TRIES):
        try:
            return siem.send(connection, said, batch)
        except Refused as refused:
            if refused.status not in TOO_MANY or turn == TRIES - 1:
                raise
            time.sleep(min(2**turn, 30) * float(os.environ.get("COUNTERSIGN_PATIENCE", "1")))
    return []


def _later(word: str, at: datetime) -> timedelta:
    """How much later than in the kit everything is."""
    if word == "kit":
        return timedelta()
    try:
        wanted = datetime.now(timezone.utc) if word == "now" else dates.read(word)  # noqa: UP017 - Python 3.9
    except ValueError:
        raise Refused(f"--at is {shown(word)}; write it as 2026-11-23T08:00:00Z, now or kit") from None
    return wanted - at


if __name__ == "__main__":
    sys.exit(main())
