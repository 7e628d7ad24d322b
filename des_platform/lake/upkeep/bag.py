"""A bag of rows, to compare what was read with what was written: equal whatever the order and the pieces.

A row's hash is made of the hashes of its values, a bag's of its rows': a row that is lost, doubled or changed shows,
and so do two values that changed places. Text that is dictionary encoded is hashed once for each value that there is.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import polars as pl
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy.typing as npt

    Hashes = npt.NDArray[np.uint64]

_MODULUS: Final = 1 << 64
# An odd number without a pattern, so that no bit of a product is lost.
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)


class Bag:
    """Rows, counted and added up; threads may share one.

    Args:
        without: columns that do not count, such as derived ones.

    Attributes:
        rows: how many.
    """

    def __init__(self, without: Collection[str] = ()) -> None:
        self.without = without
        self.rows = 0
        self._total = 0
        self._lock = Lock()

    def add(self, rows: pa.Table) -> None:
        """Count rows, whatever their order."""
        hashes = np.zeros(rows.num_rows, np.uint64)
        # A call of the hash costs as much as a thousand values.
        whole = rows.unify_dictionaries().combine_chunks()
        for name in rows.column_names:
            if name not in self.without:
                hashes ^= _hashes(whole[name])
                hashes *= _FACTOR
        with self._lock:
            self._total = (self._total + int(hashes.sum(dtype=np.uint64))) % _MODULUS
            self.rows += rows.num_rows

    def holds_as(self, other: Bag) -> bool:
        """Whether both hold the same rows."""
        return (self.rows, self._total) == (other.rows, other._total)


def _hashes(values: pa.Array[Any] | pa.ChunkedArray[Any]) -> Hashes:
    if isinstance(values, pa.ChunkedArray):
        return np.concatenate([np.empty(0, np.uint64), *(_hashes(chunk) for chunk in values.chunks)])
    if isinstance(values, pa.DictionaryArray):
        known = pa.concat_arrays([values.dictionary, pa.nulls(1, values.dictionary.type)])
        codes = values.indices.fill_null(len(values.dictionary)).to_numpy()
        return cast("Hashes", _hashes(known)[codes])
    return pl.Series(values).hash(seed=0).to_numpy()
