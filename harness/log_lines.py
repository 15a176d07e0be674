"""A log as a stream of lines, whatever it is: plain, packed, Parquet, standard input."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from backends.duckdb.compressed import HEAD, is_compressed
from backends.duckdb.unpacked import as_it_was, is_parquet
from backends.errors import Mistake, Mistakes
from harness.options import STANDARD_INPUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backends.vocabulary import Vocabulary

_BLOCK = 1 << 20


@contextmanager
def log_lines(name: str, vocabulary: Vocabulary) -> Iterator[tuple[IO[bytes], list[tuple[int, str]]]]:
    """A log as lines, and rows of Parquet that can't be read; what it is is told by its content.

    Raises:
        Mistakes: it can't be opened, or there is no room to unpack it.
    """
    with ExitStack() as held:
        try:
            if Path(name).is_file() and name != STANDARD_INPUT:
                with Path(name).open("rb") as file:
                    head = file.read(HEAD)
                path: Path | None = Path(name)
            else:
                piped = _peekable(
                    sys.stdin.buffer if name == STANDARD_INPUT else held.enter_context(Path(name).open("rb"))
                )
                head = piped.peek(HEAD)[:HEAD]
                path = _kept(piped, _folder(held)) if is_compressed(head) or is_parquet(head) else None
            if path is None:
                yield piped, []
            elif is_parquet(head):
                out, lost = _rows(name, path, _folder(held), vocabulary)
                yield held.enter_context(out.open("rb")), lost
            else:
                yield _peekable(held.enter_context(as_it_was(path))), []
        except OSError as closed:
            raise Mistakes([Mistake(name, 0, f"cannot be opened: {closed.strerror or closed}")]) from closed


def _peekable(stream: Any) -> io.BufferedReader:
    return stream if hasattr(stream, "peek") else io.BufferedReader(stream, _BLOCK)


def _folder(held: ExitStack) -> Path:
    return Path(held.enter_context(tempfile.TemporaryDirectory(prefix="countersign-validate-")))


def _kept(stream: IO[bytes], folder: Path) -> Path:
    """What a pipe gives, kept: what is packed may be damaged, and then it is read twice."""
    kept = folder / "standard-input"
    with kept.open("wb") as out:
        shutil.copyfileobj(stream, out)
    return kept


def _rows(name: str, path: Path, folder: Path, vocabulary: Vocabulary) -> tuple[Path, list[tuple[int, str]]]:
    """The rows of Parquet, a line each, and what is wrong with the file."""
    import duckdb  # noqa: PLC0415 - lines need no engine

    from backends.duckdb.lines import LogFile  # noqa: PLC0415
    from backends.duckdb.parquet import Form, ParquetLog  # noqa: PLC0415

    out = folder / "rows.jsonl"
    out.touch()
    try:
        with closing(ParquetLog(LogFile(0, path, name), folder, structured=vocabulary.structured)) as rows:
            return out, [(lost.number, lost.reason) for lost in rows.write(out, Form.NESTED)]
    except Mistakes as refused:
        return out, [(0, mistake.message) for mistake in refused.found]
    except duckdb.Error as full:
        message = f"it can't be unpacked in {tempfile.gettempdir()}: {str(full).splitlines()[0]}"
        raise Mistakes([Mistake(name, 0, message)]) from full
