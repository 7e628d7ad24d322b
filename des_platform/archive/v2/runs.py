"""Sorting more rows than fit into memory: sorted runs in temporary files, merged piece by piece.

Rows are Arrow tables of one schema. Up to `RUN_BYTES` of them stay in memory and are sorted there; more make runs of
that size in an unnamed folder, which goes with `close`. Merging holds one piece of every run.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

RUN_BYTES = 32 * 1024 * 1024
_PIECE_ROWS = 16_384


class SortedRuns:
    """Takes tables in any order and gives their rows back sorted.

    Args:
        key: the column to sort by: strings by their bytes, or unsigned integers.
        folder: where temporary files may stand; None for the system's.
        first_run: how many times larger the first run may be, before which nothing is in a file.
    """

    def __init__(self, key: str, folder: Path | None, *, first_run: int = 1) -> None:
        self._first_run = first_run
        self._key = key
        self._folder = folder
        self._tables: list[pa.Table] = []
        self._bytes = 0
        self._spill: tempfile.TemporaryDirectory[str] | None = None
        self._runs: list[Path] = []
        self.keep: Callable[[pa.Table], pa.Table] | None = None
        """Takes rows out as they are given back."""

    def add(self, table: pa.Table) -> None:
        """Take rows; they are not copied."""
        self._tables.append(table)
        self._bytes += table.get_total_buffer_size()
        if self._bytes >= (RUN_BYTES if self._runs else self._first_run * RUN_BYTES):
            self._end_run()

    def tables(self) -> Iterator[pa.Table]:
        """Iterate over all rows taken so far, in no order."""
        for run in self._runs:
            with pa.OSFile(str(run), "rb") as file, pa.ipc.open_stream(file) as pieces:
                for batch in pieces:
                    yield self._kept(pa.Table.from_batches([batch]))
        yield from map(self._kept, self._tables)

    def sorted(self) -> Iterator[pa.Table]:
        """Iterate over all rows in the order of the key, in tables of any size."""
        if not self._runs:
            if self._tables:
                yield self._kept(self._sorted_rest())
            return
        self._end_run()
        merging = [_Run(run, self._key) for run in self._runs]
        try:
            while merging := [run for run in merging if run.fill()]:
                cut = min(run.last for run in merging)
                yield self._kept(_sort(pa.concat_tables([run.take_up_to(cut) for run in merging]), self._key))
        finally:
            for run in merging:
                run.close()

    def close(self) -> None:
        """Drop the rows and the temporary files. May be called twice."""
        self._tables.clear()
        if self._spill is not None:
            self._spill.cleanup()

    def _kept(self, table: pa.Table) -> pa.Table:
        return self.keep(table) if self.keep else table

    def _sorted_rest(self) -> pa.Table:
        table = pa.concat_tables(self._tables).combine_chunks()
        # What was one table after another is now one: both at once would double the memory.
        self._tables = [table]
        self._tables = [_sort(table, self._key)]
        return self._tables[0]

    def _end_run(self) -> None:
        if not self._tables:
            return
        if self._spill is None:
            self._spill = tempfile.TemporaryDirectory(prefix=".des-runs-", dir=self._folder)
        run = Path(self._spill.name) / str(len(self._runs))
        table = self._sorted_rest()
        self._tables.clear()
        self._bytes = 0
        with pa.OSFile(str(run), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table, max_chunksize=_PIECE_ROWS)
        self._runs.append(run)
        del table
        pa.default_memory_pool().release_unused()


class _Run:
    """One sorted run, read piece by piece."""

    def __init__(self, path: Path, key: str) -> None:
        self._key = key
        self._file = pa.OSFile(str(path), "rb")
        self._pieces = pa.ipc.open_stream(self._file)
        self._rows: pa.Table | None = None

    @property
    def last(self) -> Any:  # noqa: ANN401 - str or int, as the key is
        assert self._rows is not None  # noqa: S101 - fill() said that there are rows
        return self._rows.column(self._key)[-1].as_py()

    def fill(self) -> bool:
        """Have rows at hand; False when the run has ended."""
        while self._rows is None or not self._rows.num_rows:
            try:
                self._rows = pa.Table.from_batches([self._pieces.read_next_batch()])
            except StopIteration:
                self.close()
                return False
        return True

    def take_up_to(self, cut: str | int) -> pa.Table:
        assert self._rows is not None  # noqa: S101 - as above
        column = self._rows.column(self._key)
        below = pc.less_equal(column, pa.scalar(cut, column.type))
        count = int(np.count_nonzero(below.to_numpy()))
        taken, self._rows = self._rows.slice(0, count), self._rows.slice(count)
        return taken

    def close(self) -> None:
        self._pieces.close()
        self._file.close()


def _sort(table: pa.Table, key: str) -> pa.Table:
    table = table.combine_chunks()
    if table.num_rows < 2:  # noqa: PLR2004 - nothing to sort
        return table
    column = table.column(key).chunk(0)
    # Names are often added in order: seeing that takes 3 ns a name, sorting 200.
    if pc.all(pc.less_equal(column[:-1], column[1:])).as_py():
        return table
    if pa.types.is_integer(column.type):
        return table.take(_order(column.to_numpy(zero_copy_only=True)))
    return table.take(pc.sort_indices(column))


def _order(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the positions of hashes in their order."""
    # Sorting values that carry their positions in their low bits takes 20 ns each, sorting positions 60.
    mask = np.uint64((1 << len(hashes).bit_length()) - 1)
    order: NDArray[np.uint64] = np.sort((hashes & ~mask) | np.arange(len(hashes), dtype=np.uint64)) & mask
    ordered = hashes[order]
    if (ordered[1:] < ordered[:-1]).any():  # two that differ in the low bits alone
        return np.argsort(hashes).astype(np.uint64)
    return order
