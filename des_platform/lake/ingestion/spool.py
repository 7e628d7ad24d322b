"""Rows between the reading of their files and the commit that brings them into a table: a file in the scratch folder.

Each source file is a piece: all that was read of it, or nothing if the reading failed. Memory holds one record batch.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedRandom

    import pyarrow as pa


class Spool:
    """Pieces of record batches, one Arrow stream after the other.

    Args:
        file: a scratch file, for reading and writing; the caller closes it.
    """

    def __init__(self, file: BufferedRandom) -> None:
        self._file = file
        self._writer: pa.RecordBatchStreamWriter | None = None

    @contextmanager
    def piece(self) -> Iterator[int]:
        """Write a piece by `write`; an exception takes back what was written of it.

        Yields:
            Where the piece begins, for `read`.
        """
        begins = self._file.seek(0, 2)
        try:
            yield begins
            self._close()
        except BaseException:
            self._close()
            self._file.seek(begins)
            self._file.truncate()
            raise

    def write(self, batch: pa.RecordBatch) -> None:
        """Add to the piece; all its batches have one schema."""
        import pyarrow as pa

        if self._writer is None:
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._writer = pa.ipc.new_stream(self._file, batch.schema, options=options)
        self._writer.write_batch(batch)

    def read(self, begins: int) -> Iterator[pa.RecordBatch]:
        """The batches of a piece that is not empty."""
        import pyarrow as pa

        self._file.seek(begins)
        with pa.ipc.open_stream(self._file) as batches:
            yield from batches

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
