"""Rows on their way to a row group: counted, weighed, and kept from falling into a thousand little pieces."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

# A batch of a few rows weighs some 15 KB whatever it holds; a day of small files has tens of thousands of them.
_BATCHES_TO_FOLD: Final = 512


class Buffer:
    """Rows that wait.

    Attributes:
        rows: how many.
        bytes: what they weigh in memory.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.bytes = 0
        self._batches: list[pa.RecordBatch] = []
        self._folded = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Put rows at the end."""
        self._batches.append(batch)
        self.rows += batch.num_rows
        self.bytes += batch.nbytes
        if len(self._batches) - self._folded >= _BATCHES_TO_FOLD:
            self._batches[self._folded :] = (
                pa.Table.from_batches(self._batches[self._folded :]).combine_chunks().to_batches()
            )
            self._folded = len(self._batches)

    def extend(self, rows: pa.Table) -> None:
        """Put rows at the end."""
        for batch in rows.to_batches():
            self.add(batch)

    def take(self, schema: pa.Schema) -> pa.Table:
        """Take all rows away."""
        taken, self._batches = self._batches, []
        self.rows = self.bytes = self._folded = 0
        return pa.Table.from_batches(taken, schema)
