"""An Arrow IPC file, a stream or Feather (version 2) to typed batches, one record batch at a time.

Lengths that a file claims are checked against what it has: what lies in it is mapped, and what is compressed says first
how large it becomes. Each batch is validated before anything reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, Final

import pyarrow as pa
from pyarrow import ipc

from des_platform.parquet.messages import check_messages
from des_platform.parquet.typed_rows import DamagedFile, content, typed_batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.parquet.batches import RowBatch, Target

_FILE_MAGIC: Final = b"ARROW1\0\0"
_FEATHER_1: Final = b"FEA1"
_RAW: Final[dict[int, pa.DataType]] = {
    pa.string().id: pa.binary(),
    pa.large_string().id: pa.large_binary(),
    pa.date64().id: pa.int64(),
    pa.time32("s").id: pa.int32(),
    pa.time64("us").id: pa.int64(),
}
"""Types of which a value may be out of range, and what they are without it: each such value is its record's fault."""


def read_arrow(source: BinaryIO, target: Target) -> Iterator[RowBatch]:
    """Read an Arrow file or stream, as `des_platform.parquet.rows.read_rows` says."""
    return typed_batches(arrow_batches(source), target, "Arrow")


def arrow_batches(source: BinaryIO) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of an Arrow file or stream, at least one.

    Raises:
        DamagedFile: it is none, or claims what cannot be.
        pyarrow.ArrowException, OSError: a batch cannot be read.
    """
    data = content(source)
    if bytes(data[:4]) == _FEATHER_1:
        raise DamagedFile("it is Feather of version 1: write version 2, or Parquet")
    # A file is a stream between its magic and a footer that repeats where the batches are.
    start = len(_FILE_MAGIC) if bytes(data[: len(_FILE_MAGIC)]) == _FILE_MAGIC else 0
    end, problem = check_messages(memoryview(data).cast("B"), start)
    if end == start:
        raise DamagedFile(problem or "it has no schema")
    found = 0
    with ipc.open_stream(pa.BufferReader(data.slice(start, end - start))) as reader:
        for batch in reader:
            _check(batch)
            found += batch.num_rows
            if batch.num_rows:
                yield batch
        if not found:
            yield pa.RecordBatch.from_pylist([], reader.schema)
    if problem:
        raise DamagedFile(problem)


def _check(batch: pa.RecordBatch) -> None:
    """Raise pyarrow's error for a batch that is not what it claims; a value out of range is left to its reader."""
    for column in batch.columns:
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            raw = _RAW.get(column.type.id)
            if raw is None:
                raise
            as_raw: pa.Array[Any] = pa.Array.from_buffers(raw, len(column), column.buffers(), offset=column.offset)
            as_raw.validate(full=True)
