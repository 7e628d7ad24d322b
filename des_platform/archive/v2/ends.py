"""Where the lives of an archive's members end, for whoever has to know it without the archive's own index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from des_platform.archive.v2.rows import hashes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Ends:
    """Up to which ordinal the members of a name are dead: 16 bytes a name."""

    def __init__(self) -> None:
        self._hashes = [np.empty(0, np.uint64)]
        self._ordinals = [np.empty(0, np.uint64)]

    def add(self, names: Sequence[bytes], ordinal: int) -> None:
        """Note that what had these names before the object of this ordinal is dead."""
        self._hashes.append(hashes_of(names, 0))
        self._ordinals.append(np.full(len(names), ordinal, np.uint64))

    def settle(self) -> None:
        """Keep the last ordinal of each name; nothing is added afterwards."""
        hashes, ordinals = np.concatenate(self._hashes), np.concatenate(self._ordinals)
        order = np.lexsort((ordinals, hashes))
        hashes, ordinals = hashes[order], ordinals[order]
        last = np.append(hashes[1:] != hashes[:-1], np.ones(min(1, len(hashes)), np.bool_))
        self._hashes, self._ordinals = [hashes[last]], [ordinals[last]]

    def dead(self, names: Sequence[bytes], ordinal: int) -> NDArray[np.bool_]:
        """Tell of each of these names whether its member in the block that begins at this ordinal is dead."""
        known, ordinals = self._hashes[0], self._ordinals[0]
        if not len(known):
            return np.zeros(len(names), np.bool_)
        hashes = hashes_of(names, 0)
        at = np.searchsorted(known, hashes).clip(max=len(known) - 1)
        dead: NDArray[np.bool_] = (known[at] == hashes) & (ordinals[at] > np.uint64(ordinal))
        return dead
