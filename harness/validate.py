"""Checks logs against the event schema, line by line, and says what it found.

Every bad line is named, up to a limit; what is only a hint (an unknown field, a derived field in a log, a number sent
as text) is named once with the number of lines that it holds for.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from backends.duckdb.unpacked import LONGEST_LINE, MARK, UNFINISHED, unfinished
from backends.errors import Mistake, Mistakes, visible
from harness.log_lines import log_lines
from harness.options import NO_LOGS, STANDARD_INPUT, is_log

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.canonical import Remark
    from harness.validator import Validator

LONGEST = LONGEST_LINE
"""Bytes of the longest line that is looked at."""

REMARKS_A_LINE = 20
HINTS_KEPT = 1000

_OTHER_FORMS = {
    b"\xff\xfe": "the file is UTF-16; convert it to UTF-8",
    b"\xfe\xff": "the file is UTF-16; convert it to UTF-8",
    b"PAR1": "the file is Parquet within a packed file; unpack it first",
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
        unread: files of which not everything could be read, and those that are no log.
        named: the first ``most`` bad lines, and what is wrong with files.
        hints: by (field, message), in order of appearance.
        hints_left: lines of hints beyond ``HINTS_KEPT`` different ones.
    """

    most: int = 100
    files: int = 0
    records: int = 0
    bad: int = 0
    unread: int = 0
    named: list[BadLine] = field(default_factory=list)
    hints: dict[tuple[str, str], Hint] = field(default_factory=dict)
    hints_left: int = 0
    faults: int = field(default=0, init=False)

    def add(self, file: str, line: int, remarks: Sequence[Remark]) -> None:
        """Take in what was said about one line."""
        errors = tuple((r.field, r.message) for r in remarks if r.error)
        if errors:
            self.bad += 1
            if len(self.named) - self.faults < self.most:
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

    def add_file(self, file: str, faults: Sequence[tuple[int, str]]) -> None:
        """Take in what was said about a file: lines, 0 for the whole of it, and sentences."""
        self.unread += bool(faults)
        self.named += [BadLine(file, line, (("", sentence),)) for line, sentence in faults]
        self.faults += len(faults)

    @property
    def errors_left(self) -> int:
        """Bad lines that are not named."""
        return self.bad + self.faults - len(self.named)

    @property
    def failed(self) -> bool:
        """Whether a line or a file is bad."""
        return bool(self.bad or self.unread)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: counts, ``errors`` (file, line, field, message), ``errors_left`` lines, ``warnings``."""
        return {
            "files": self.files,
            "records": self.records,
            "valid": self.records - self.bad,
            "bad": self.bad,
            "unread": self.unread,
            "errors": [
                {"file": bad.file, "line": bad.line, "field": name or None, "message": message}
                for bad in self.named
                for name, message in bad.remarks
            ],
            "errors_left": self.errors_left,
            "warnings": [asdict(hint) | {"field": hint.field or None} for hint in self.hints.values()],
            "warnings_left": self.hints_left,
        }

    def to_text(self) -> Iterator[str]:
        """One line a mistake, one a hint, and the counts."""
        for bad in self.named:
            for name, message in bad.remarks:
                yield str(Mistake(bad.file, bad.line, f"{name}: {message}" if name else message))
        if left := self.errors_left:
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
            + (f"; {_count(self.unread, 'file')} could not be read to the end" if self.unread else "")
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
            inside = sorted(str(file) for file in path.rglob("*") if is_log(file))
            if not inside:
                mistakes.append(Mistake(name, 0, NO_LOGS))
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
        with log_lines(name, validator.vocabulary) as (stream, lost):
            report.add_file(name, sorted(_faults(name, stream, lost, validator, report)))
    return report


def _faults(
    name: str, stream: IO[bytes], lost: Sequence[tuple[int, str]], validator: Validator, report: Report
) -> Iterator[tuple[int, str]]:
    """Check lines; what is wrong with the file itself is yielded, with the line where it is.

    Args:
        name: of the file.
        stream: its lines.
        lost: what is already known to be wrong with it.
        validator: judges a line.
        report: takes in what is said of lines.
    """
    from harness.canonical import Remark  # noqa: PLC0415 - with the validator, which a register's check does without

    yield from lost
    number, judge = 0, validator.check
    try:
        head = stream.peek(_HEAD)[:_HEAD]  # type: ignore[attr-defined]
        if not head and not lost:
            report.add(name, 0, [Remark("", "the file is empty", error=False)])
        if unreadable := _unreadable(head):
            yield 0, unreadable
            return
        while line := stream.readline(LONGEST + 1):
            number += 1
            if len(line) > LONGEST:
                size = len(line) + _skip_line(stream)
                report.records += 1
                report.add(name, number, [Remark("", f"the line has {size:,} bytes; at most {LONGEST:,} are read")])
                continue
            if number == 1:
                line = line.removeprefix(MARK)
            whole, line = line.endswith(b"\n"), line.rstrip(b"\r\n")
            if not line or line.isspace():
                continue
            report.records += 1
            if remarks := judge(line):
                cut = not whole and unfinished(line)
                report.add(name, number, [Remark("", UNFINISHED)] if cut else remarks)
    except OSError as broken:
        yield number + 1, f"the file cannot be read from here on: {visible(str(broken) or type(broken).__name__)}"


def _unreadable(head: bytes) -> str | None:
    """Why a file is not JSON lines at all, judged by how it begins; None when it may be."""
    for mark, reason in _OTHER_FORMS.items():
        if head.startswith(mark):
            return reason
    text = head.removeprefix(MARK)
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


def _skip_line(stream: IO[bytes]) -> int:
    skipped = 0
    while part := stream.readline(_BLOCK):
        skipped += len(part)
        if part.endswith(b"\n"):
            return skipped - 1
    return skipped


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
