"""The set of names that an archive holds while it is written: 64-bit hashes in one array, 13 to 53 bytes a name.

A Python set of ten million names takes 1.2 GB; this takes 128 MB. Which hash is the caller's choice. Two different
names may share one: `add` then says that it is known, and the caller compares the names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MIN_BITS = 14
_LARGE = 1 << 20
_LEAST_FILL, _MOST_FILL = 0.45, 0.6
_FEW = 16
"""So many hashes are put one by one: 100 ns each, while one step for all takes 10 us."""
_PIECE = 1 << 20
_ONE = np.uint64(1)


class NameSet:
    """Hashes in a table with open addressing; a free slot is 0, and the hash 0 is kept as 1.

    A slot follows from the high bits of a hash, so that sorted hashes walk through the table instead of jumping in it:
    60 ns a hash instead of 120.
    """

    def __init__(self) -> None:
        self._count = 0
        self._allocate(_MIN_BITS)

    def add(self, name_hash: int) -> bool:
        """Add one hash; return False if it is there already."""
        self._make_room(1)
        name_hash = name_hash or 1
        slots, mask = self._view, self._mask
        slot = name_hash >> self._shift
        while found := slots[slot]:
            if found == name_hash:
                return False
            slot = (slot + 1) & mask
        slots[slot] = name_hash
        self._count += 1
        return True

    def add_all(self, hashes: NDArray[np.uint64]) -> bool:
        """Add many hashes, or none and return False if one of them is there already or comes twice."""
        self._make_room(len(hashes))
        ordered = np.sort(np.maximum(hashes, _ONE))
        if (ordered[1:] == ordered[:-1]).any():
            return False
        slots = self._free_slots(ordered)
        if slots is None:
            return False
        self._put(ordered, slots)
        self._count += len(hashes)
        return True

    def _free_slots(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64] | None:
        """Where the search for each hash ends; None if one is found."""
        slots = (hashes >> np.uint64(self._shift)).view(np.int64)
        found = self._table[slots]
        busy = np.flatnonzero(found)
        found = found[busy]
        while len(busy) > _FEW:
            if (found == hashes[busy]).any():
                return None
            slots[busy] = (slots[busy] + 1) & self._mask
            found = self._table[slots[busy]]
            still = found != 0
            busy, found = busy[still], found[still]
        view, mask = self._view, self._mask
        for index in busy.tolist():
            slot, name_hash = int(slots[index]), int(hashes[index])
            while there := view[slot]:
                if there == name_hash:
                    return None
                slot = (slot + 1) & mask
            slots[index] = slot
        return slots

    def _put(self, hashes: NDArray[np.uint64], slots: NDArray[np.int64]) -> None:
        """Put hashes into these slots, which are free, and what meets another one there into the next free slot."""
        table, mask = self._table, self._mask
        table[slots] = hashes
        lost = np.flatnonzero(table[slots] != hashes)
        while len(lost) > _FEW:
            hashes, slots = hashes[lost], (slots[lost] + 1) & mask
            free = table[slots] == 0
            table[slots[free]] = hashes[free]
            lost = np.flatnonzero(table[slots] != hashes)
        view = self._view
        for index in lost.tolist():
            slot = int(slots[index])
            while view[slot]:
                slot = (slot + 1) & mask
            view[slot] = int(hashes[index])

    def _make_room(self, more: int) -> None:
        size = self._mask + 1
        if self._count + more <= _fill(size):
            return
        while self._count + more > _fill(size):
            size *= 4 if size < _LARGE else 2
        old = self._table[self._table != 0]
        self._allocate(size.bit_length() - 1)
        for start in range(0, len(old), _PIECE):  # in pieces, for the sake of the memory that indexing takes
            piece = old[start : start + _PIECE]
            slots = self._free_slots(piece)
            assert slots is not None  # noqa: S101 - no hash was there twice
            self._put(piece, slots)

    def _allocate(self, bits: int) -> None:
        self._table = np.zeros(1 << bits, np.uint64)
        self._view = self._table.data  # reads one element in 35 ns, an array in 100
        self._mask = (1 << bits) - 1
        self._shift = 64 - bits


def _fill(size: int) -> float:
    """How many hashes a table may hold: the fuller it is, the longer the searches; the larger, the more it costs."""
    return size * (_LEAST_FILL if size <= _LARGE else _MOST_FILL)
