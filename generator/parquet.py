"""A log as Parquet: one nested column a namespace, with the types of the event schema, in row groups of fixed size.

Every setting of the writer is given, so that the bytes depend on the rows and on the version of the library alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

CHUNKS_A_GROUP = 8
"""Chunks of the log in one row group, some fifty thousand rows."""

TYPES = {
    "keyword": pa.string(),
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "time": pa.timestamp("us", tz="UTC"),
}


def schema(columns: Mapping[str, tuple[str, bool]]) -> pa.Schema:
    """The nested schema.

    Args:
        columns: dotted field → its kind, one of `TYPES`, and whether it is an array.
    """
    tree: dict[str, Any] = {}
    for name, (kind, array) in columns.items():
        *above, leaf = name.split(".")
        at = tree
        for part in above:
            at = at.setdefault(part, {})
        at[leaf] = pa.list_(TYPES[kind]) if array else TYPES[kind]
    return pa.schema(_fields(tree))


def _fields(tree: Mapping[str, Any]) -> list[tuple[str, pa.DataType]]:
    return [(name, pa.struct(_fields(one)) if isinstance(one, dict) else one) for name, one in tree.items()]


@dataclass(frozen=True)
class Rows:
    """Makes rows of lines, in any process."""

    form: pa.Schema

    def __call__(self, lines: bytes) -> bytes:
        """JSON Lines as an Arrow stream; a field that the schema does not have is an error."""
        whole = pyarrow.json.ReadOptions(use_threads=False, block_size=len(lines) + 1)
        strict = pyarrow.json.ParseOptions(explicit_schema=self.form, unexpected_field_behavior="error")
        rows = pyarrow.json.read_json(BytesIO(lines), whole, strict)
        out = pa.BufferOutputStream()
        with pa.ipc.new_stream(out, self.form) as stream:
            stream.write_table(rows)
        stored: bytes = out.getvalue().to_pybytes()
        return stored


class ParquetLog:
    """A Parquet file that grows by chunks and holds at most `CHUNKS_A_GROUP` of them in memory."""

    def __init__(self, out: IO[bytes], form: pa.Schema) -> None:
        self._waiting: list[pa.Table] = []
        self._writer = pyarrow.parquet.ParquetWriter(
            out,
            form,
            version="2.6",
            compression="zstd",
            compression_level=3,
            use_dictionary=True,
            write_statistics=True,
            data_page_version="1.0",
            data_page_size=1 << 20,
            dictionary_pagesize_limit=1 << 20,
            write_batch_size=1024,
            store_schema=False,
        )

    def write(self, rows: bytes) -> None:
        """Add the rows of one chunk, as `Rows` makes them."""
        self._waiting.append(pa.ipc.open_stream(rows).read_all())
        if len(self._waiting) == CHUNKS_A_GROUP:
            self._flush()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left, and the footer."""
        if kind is None:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            group = pa.concat_tables(self._waiting)
            self._writer.write_table(group, row_group_size=max(1, len(group)))
            self._waiting.clear()
