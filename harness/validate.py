"""Checks logs against the event schema, line by line, and says what it found.

Every bad line is named, up to a limit; what is only a hint (an unknown field, a derived field in a log, a number sent
as text) is named once with the number of lines that it holds for.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from backends.errors import Mistake, Mistakes, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.canonical import Remark
    from harness.validator import Validator

STANDARD_INPUT = "-"
LOG_SUFFIXES = (".jsonl", ".ndjson", ".json", ".log")
LONGEST = 32 << 20
"""Bytes of the longest line that is looked at."""

REMARKS_A_LINE = 20
HINTS_KEPT = 1000

_OTHER_FORMS = {
    b"\xff\xfe": "the file is UTF-16; convert it to UTF-8",
    b"\xfe\xff": "the file is UTF-16; convert it to UTF-8",
    b"\x28\xb5\x2f\xfd": "the file is compressed with zstd; unpack it first",
    b"PAR1": "the file is Parquet, not lines of JSON",
}
_BLOCK = 1 << 20
_HEAD = 4096


@dataclass(frozen=True)
class BadLine:
    """A line that does not meet the schema; ``remarks`` are (field, sentence), field "" for the line as a whole."""

    file: str
    line: int
    remarks: tuple[tuple[str, str], ...]


@dataclass
class Hint:
    """Something worth saying that leaves records valid: where it was seen first, and on how many lines."""

    file: str
    line: int
    field: str
    message: str
    lines: int = 1


@dataclass
class Report:
    """What a check found.

    Attributes:
        most: bad lines that are named; the rest is counted.
        files: inputs read.
        records: lines that are not blank.
        bad: lines that do not meet the schema.
        named: the first ``most`` bad lines.
        hints: by (field, message), in order of appearance.
        hints_left: lines of hints beyond ``HINTS_KEPT`` different ones.
    """

    most: int = 100
    files: int = 0
    records: int = 0
    bad: int = 0
    named: list[BadLine] = field(default_factory=list)
    hints: dict[tuple[str, str], Hint] = field(default_factory=dict)
    hints_left: int = 0

    def add(self, file: str, line: int, remarks: Sequence[Remark]) -> None:
        """Take in what was said about one line."""
        errors = tuple((r.field, r.message) for r in remarks if r.error)
        if errors:
            self.bad += 1
            if len(self.named) < self.most:
                self.named.append(BadLine(file, line, errors[:REMARKS_A_LINE]))
        for remark in remarks:
            if remark.error:
                continue
            hint = self.hints.get((remark.field, remark.message))
            if hint is not None:
                hint.lines += 1
            elif len(self.hints) < HINTS_KEPT:
                self.hints[remark.field, remark.message] = Hint(file, line, remark.field, remark.message)
            else:
                self.hints_left += 1

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: counts, ``errors`` (file, line, field, message), ``errors_left`` lines, ``warnings``."""
        return {
            "files": self.files,
            "records": self.records,
            "valid": self.records - self.bad,
            "bad": self.bad,
            "errors": [
                {"file": bad.file, "line": bad.line, "field": name or None, "message": message}
                for bad in self.named
                for name, message in bad.remarks
            ],
            "errors_left": self.bad - len(self.named),
            "warnings": [asdict(hint) | {"field": hint.field or None} for hint in self.hints.values()],
            "warnings_left": self.hints_left,
        }

    def to_text(self) -> Iterator[str]:
        """One line a mistake, one a hint, and the counts."""
        for bad in self.named:
            for name, message in bad.remarks:
                yield str(Mistake(bad.file, bad.line, f"{name}: {message}" if name else message))
        if left := self.bad - len(self.named):
            yield f"and {_count(left, 'bad line')} more (--max-errors shows more)"
        for hint in self.hints.values():
            further = f" (and on {_count(hint.lines - 1, 'line')} more)" if hint.lines > 1 else ""
            name = f"{hint.field}: " if hint.field else ""
            yield str(Mistake(hint.file, hint.line, f"warning: {name}{hint.message}{further}"))
        if self.hints_left:
            yield f"and {_count(self.hints_left, 'warning')} more"
        yield (
            f"{_count(self.records, 'record')} in {_count(self.files, 'file')}: "
            f"{self.records - self.bad:,} valid, {self.bad:,} bad, {_count(len(self.hints), 'warning')}"
        )


def inputs(names: Sequence[str]) -> list[str]:
    """The files that a person named: folders are searched for logs, ``-`` is standard input.

    Raises:
        Mistakes: for every name that is not there and every folder without a log.
    """
    found: list[str] = []
    mistakes: list[Mistake] = []
    for name in names:
        path = Path(name)
        if name == STANDARD_INPUT or path.is_file() or path.is_fifo():
            found.append(name)
        elif path.is_dir():
            inside = sorted(str(p) for p in path.rglob("*") if p.is_file() and _is_log(p.name))
            if not inside:
                endings = ", ".join(LOG_SUFFIXES)
                mistakes.append(Mistake(name, 0, f"the folder holds no log (a file ending in {endings}, or these .gz)"))
            found += inside
        else:
            mistakes.append(Mistake(name, 0, "there is no such file or folder"))
    if mistakes:
        raise Mistakes(mistakes)
    return list(dict.fromkeys(found))


def check(names: Sequence[str], validator: Validator, most: int = 100) -> Report:
    """Check every line of these files; ``most`` bad lines are named."""
    report = Report(most=most)
    for name in names:
        report.files += 1
        with _opened(name) as stream:
            _check_stream(name, stream, validator, report)
    return report


def _check_stream(name: str, stream: IO[bytes], validator: Validator, report: Report) -> None:
    from harness.canonical import Remark  # noqa: PLC0415 - with the validator, which a register's check does without

    number, judge = 0, validator.check
    try:
        head = stream.peek(_HEAD)[:_HEAD]  # type: ignore[attr-defined]
        if unreadable := _unreadable(head):
            report.add(name, 0, [Remark("", unreadable, error=bool(head))])
            return
        while line := stream.readline(LONGEST + 1):
            number += 1
            if len(line) > LONGEST:
                size = len(line) + _skip_line(stream)
                report.records += 1
                report.add(name, number, [Remark("", f"the line has {size:,} bytes; at most {LONGEST:,} are read")])
                continue
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            line = line.rstrip(b"\r\n")
            if not line or line.isspace():
                continue
            report.records += 1
            if remarks := judge(line):
                report.add(name, number, remarks)
    except (OSError, EOFError, zlib.error) as broken:
        reason = visible(str(broken) or type(broken).__name__)
        report.add(name, number + 1, [Remark("", f"the file cannot be read from here on: {reason}")])


def _unreadable(head: bytes) -> str | None:
    """Why a file is not JSON lines at all, judged by how it begins; None when it may be."""
    if not head:
        return "the file is empty"
    for mark, reason in _OTHER_FORMS.items():
        if head.startswith(mark):
            return reason
    text = head.removeprefix(b"\xef\xbb\xbf")
    if text.lstrip()[:1] in (b"{", b"[", b"") or not _is_binary(text):
        return None
    return "the file is binary, not lines of JSON"


def _is_binary(head: bytes) -> bool:
    if b"\0" in head:
        return True
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as undecodable:
        return undecodable.start < len(head) - 4  # else the head ends inside a character
    return False


@contextmanager
def _opened(name: str) -> Iterator[IO[bytes]]:
    """The decompressed bytes; gzip is recognised by its content, on standard input too."""
    try:
        raw = sys.stdin.buffer if name == STANDARD_INPUT else Path(name).open("rb")  # noqa: SIM115 - closed below
    except OSError as closed:
        raise Mistakes([Mistake(name, 0, f"cannot be opened: {closed.strerror}")]) from closed
    raw = raw if hasattr(raw, "peek") else io.BufferedReader(raw, _BLOCK)
    try:
        if raw.peek(2)[:2] == b"\x1f\x8b":
            yield io.BufferedReader(gzip.GzipFile(fileobj=raw), _BLOCK)
        else:
            yield raw
    finally:
        if name != STANDARD_INPUT:
            raw.close()


def _skip_line(stream: IO[bytes]) -> int:
    skipped = 0
    while part := stream.readline(_BLOCK):
        skipped += len(part)
        if part.endswith(b"\n"):
            return skipped - 1
    return skipped


def _is_log(name: str) -> bool:
    return name.lower().removesuffix(".gz").endswith(LOG_SUFFIXES)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
