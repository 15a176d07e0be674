"""The files that ``generate`` writes: their form follows from their name, and they replace others only when whole."""

from __future__ import annotations

import io
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from backends.errors import Mistake, Mistakes
from backends.vocabulary import Vocabulary
from generator.native import SOURCES, native
from generator.pack import gzipped, plain, zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from generator.write import Out

STANDARD_OUTPUT = "-"
PACKED = {".jsonl": plain, ".gz": gzipped, ".zst": zstd}
PARQUET = ".parquet"


def check(output: str, source: str | None, labels: Path | None) -> None:
    """Everything that can be said against the names before anything is written.

    Raises:
        Mistakes: all of it.
    """
    wrong = []
    if source is not None and source not in SOURCES:
        wrong.append(Mistake(source, 0, f"no product's logs are written by this name; there are {', '.join(SOURCES)}"))
    else:
        wrong += [Mistake(output, 0, said) for said in [_against(output, source)] if said]
    if labels and labels.absolute() in _written(output, source):
        wrong.append(Mistake(output, 0, "log and labels need a file each"))
    if labels and (said := _no_folder(labels)):
        wrong.append(Mistake(str(labels), 0, said))
    if wrong:
        raise Mistakes(wrong)


def _written(output: str, source: str | None) -> set[Path]:
    """The paths of the log's files."""
    names = native(source).files if source in SOURCES else ()
    return set() if output == STANDARD_OUTPUT else {Path(output).absolute() / name for name in names or ("",)}


def _against(output: str, source: str | None) -> str:
    path = Path(output)
    if source and native(source).files:
        if output == STANDARD_OUTPUT:
            return f"{source} has a file for each of its tables; name a folder for them with -o"
        if path.is_file():
            return f"it is a file; {source} has a file for each of its tables, and a folder is needed for them"
        return _no_folder(path)
    return "" if output == STANDARD_OUTPUT else _against_file(path, source)


def _against_file(path: Path, source: str | None) -> str:
    if source and path.name.endswith(PARQUET):
        return f"{source} logs lines, and none of them as Parquet; end the name in {_listed([*PACKED])}"
    if not path.name.endswith((*PACKED, PARQUET)):
        return f"its ending says no form; end it in {_listed([*PACKED, PARQUET])}"
    return "it is a folder; name a file" if path.is_dir() else _no_folder(path)


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _no_folder(path: Path) -> str:
    return "" if path.parent.is_dir() else f"there is no folder {path.parent}; make it first"


def packing(output: str, source: str | None, event_schema: Path) -> Callable[[bytes], bytes]:
    """What makes of a chunk's lines what the log's file is given; the files of a folder are plain."""
    if source and native(source).files:
        return plain
    if output.endswith(PARQUET):
        from generator.parquet import Rows, schema  # noqa: PLC0415 - it takes a moment, and few logs need it

        fields = Vocabulary.load(event_schema).raw
        return Rows(schema({name: (field.kind, field.array) for name, field in fields.items()}))
    return next((pack for ending, pack in PACKED.items() if output.endswith(ending)), plain)


@contextmanager
def logs(output: str, source: str | None, pack: Callable[[bytes], bytes]) -> Iterator[list[Out]]:
    """The log's file, or a file for each of the product's tables in a folder."""
    with ExitStack() as stack:
        names = native(source).files if source else ()
        if names:
            folder = Path(output)
            try:
                folder.mkdir(exist_ok=True)
            except OSError as broken:
                raise _unwritable(output, broken) from broken
            yield [stack.enter_context(new_file(str(folder / name))) for name in names]
            return
        file = stack.enter_context(new_file(output))
        if output.endswith(PARQUET):
            from generator.parquet import ParquetLog, Rows  # noqa: PLC0415 - as above

            form = pack.form if isinstance(pack, Rows) else None
            yield [stack.enter_context(ParquetLog(file, form))]
        else:
            yield [file]


@contextmanager
def new_file(name: str) -> Iterator[IO[bytes]]:
    """A file that replaces another only when it is whole; ``-`` is standard output.

    Raises:
        Mistakes: it can't be written.
    """
    if name == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        return
    path = Path(name)
    beside = path.with_name(path.name + ".new")
    try:
        stream = beside.open("wb")
    except OSError as broken:
        raise _unwritable(name, broken) from broken
    try:
        with _Named(name, stream) as named:
            yield named  # type: ignore[misc]
        try:
            beside.replace(path)
        except OSError as broken:
            raise _unwritable(name, broken) from broken
    finally:
        beside.unlink(missing_ok=True)


class _Named(io.RawIOBase):
    """A file that knows its name when the disk is full."""

    def __init__(self, name: str, stream: IO[bytes]) -> None:
        self._name, self._stream = name, stream

    def writable(self) -> bool:
        return True

    def write(self, some: Any) -> int:
        try:
            return self._stream.write(some)
        except OSError as broken:
            raise _unwritable(self._name, broken) from broken

    def close(self) -> None:
        try:
            self._stream.close()
        except OSError as broken:
            raise _unwritable(self._name, broken) from broken
        super().close()


def _unwritable(name: str, broken: OSError) -> Mistakes:
    return Mistakes([Mistake(name, 0, f"it can't be written: {broken.strerror or broken}")])
