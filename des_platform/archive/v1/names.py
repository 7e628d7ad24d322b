"""The names that an archive holds while it is written, as 64-bit hashes in one array: 16 to 64 bytes a name.

Two different names may share a hash: `NameHashes.add` then says that it is known, and the caller compares the names.
Python keys its hash anew in every process, so nobody can prepare names that collide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_MIN_SLOTS = 4096
_LARGE = 2**20


class NameHashes:
    """Open addressing, at most half full; a free slot is 0, and the hash 0 is kept as 1."""

    __slots__ = ("_free", "_mask", "_slots", "_table")

    def __init__(self) -> None:
        self._allocate(_MIN_SLOTS)

    def add(self, name: str) -> bool:
        """Add a name; return False, and change nothing, when its hash is there already."""
        name_hash = hash(name) or 1
        slots, mask = self._slots, self._mask
        slot = name_hash & mask
        while found := slots[slot]:
            if found == name_hash:
                return False
            slot = (slot + 1) & mask
        slots[slot] = name_hash
        self._free -= 1
        if not self._free:
            self._grow()
        return True

    def add_all(self, names: Sequence[str]) -> bool:
        """Add many names; return False, and change nothing, when a hash of theirs is there already or comes twice."""
        while self._free <= len(names):
            self._grow()
        hashes = np.fromiter(map(hash, names), np.int64, len(names))
        hashes[hashes == 0] = 1
        ordered = np.sort(hashes)
        if (ordered[1:] == ordered[:-1]).any() or self._any_known(hashes):
            return False
        self._put(hashes)
        self._free -= len(names)
        return True

    def _any_known(self, hashes: NDArray[np.int64]) -> bool:
        slots = hashes & self._mask
        while len(hashes):
            found = self._table[slots]
            if (found == hashes).any():
                return True
            taken = found != 0
            hashes, slots = hashes[taken], (slots[taken] + 1) & self._mask
        return False

    def _put(self, hashes: NDArray[np.int64]) -> None:
        table, slots = self._table, hashes & self._mask
        while len(hashes):
            free = table[slots] == 0
            table[slots[free]] = hashes[free]
            lost = table[slots] != hashes  # another one of these took the same slot
            hashes, slots = hashes[lost], (slots[lost] + 1) & self._mask

    def _allocate(self, size: int) -> None:
        self._table = np.zeros(size, np.int64)
        self._slots = self._table.data  # reads an element in 35 ns, the array itself in 100
        self._mask = size - 1
        self._free = size // 2

    def _grow(self) -> None:
        hashes = self._table[self._table != 0]
        self._allocate(len(self._table) * (4 if len(self._table) < _LARGE else 2))
        self._free -= len(hashes)
        self._put(hashes)
