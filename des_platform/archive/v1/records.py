"""Records of any length at any byte of a buffer, read and written by one array index each."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


def anywhere(buffer: bytes | bytearray, length: int) -> NDArray[np.void]:
    """Return a view of a buffer in which element ``i`` is the ``length`` bytes from byte ``i`` on; at least 1."""
    return np.ndarray((len(buffer) - length + 1,), f"V{length}", buffer, strides=(1,))


def by_length(lengths: NDArray[np.integer]) -> Iterator[tuple[int, NDArray[np.intp] | slice]]:
    """Yield each length but 0, and where in the array it stands."""
    if len(lengths) and (lengths == lengths[0]).all():
        if lengths[0]:
            yield int(lengths[0]), slice(None)
        return
    narrow = lengths.astype(np.uint16)
    order = np.argsort(narrow, kind="stable")
    ordered = narrow[order]
    edges = [0, *(np.flatnonzero(ordered[1:] != ordered[:-1]) + 1).tolist(), len(ordered)]
    for start, end in pairwise(edges):
        if start < end and ordered[start]:
            yield int(ordered[start]), order[start:end]
