"""The index of an archive of version 1 in memory, without an object per file: 7 to 15 bytes and a compressed name each.

It is read-only once parsed, and safe for threads. Entries that break the format raise `CorruptArchive` while parsing,
never later.

A name is found by its hash: the ordinals stand sorted by hash, in buckets of about eight, and beside them a byte of the
hash of each, which `bytes.find` searches. What is found so is compared with the name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from des_platform.archive.errors import CorruptArchive
from des_platform.archive.models import FLAG_EXTERNAL
from des_platform.archive.v1.columns import Names, Offsets, join, narrow
from des_platform.archive.v1.parse import hash_name, windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from des_platform.archive.v1.columns import Column
    from des_platform.archive.v1.layout import Footer
    from des_platform.archive.v1.parse import Window

_BUCKET_BITS = 3


class Place(NamedTuple):
    """Where the payload of a file lies; of an external one, the offset is 0."""

    offset: int
    length: int
    flags: int


class V1Index:
    """The parsed index of one archive.

    Args:
        read: gives ``length`` bytes of the archive from ``offset`` on, all of them or an error.
        footer: the checked footer of the archive.
        where: names the archive in errors.

    Raises:
        CorruptArchive: the entries are not exactly those the footer announces, one points outside its region, or a name
            is empty, not UTF-8 or there twice.
    """

    def __init__(self, read: Callable[[int, int], bytes], footer: Footer, where: str) -> None:
        self._where = where
        self._count = footer.file_count
        self._names = Names()
        self._data_offsets = Offsets(footer.data_start)
        self._meta_offsets = Offsets(footer.meta_start)
        keys = np.empty(self._count, np.uint64)
        parts: dict[str, list[Column]] = {"data_length": [], "meta_length": [], "flags": []}
        done = 0
        for window in windows(read, footer, where):
            keys[done : done + len(window.hashes)] = window.hashes
            done += len(window.hashes)
            self._take(window, parts)
        self._names.finish()
        self._data_lengths, self._meta_lengths, self._flags = (join(column) for column in parts.values())
        self._data_offsets.finish(self._data_lengths)
        self._meta_offsets.finish(self._meta_lengths)
        self._sort(keys)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[str, int, int, int]]:
        """Iterate over names, and offset, length and flags of the payloads, in the order they were added."""
        for first, names in self._names.frames():
            end = first + len(names)
            offsets = self._data_offsets.between(first, end)
            lengths, flags = self._data_lengths[first:end].tolist(), self._flags[first:end].tolist()
            yield from zip(names, offsets, lengths, flags, strict=True)

    def place(self, ordinal: int) -> Place:
        """Return where a payload lies."""
        length, flags = self._data_lengths.item(ordinal), self._flags.item(ordinal)
        return Place(self._data_offsets[ordinal], int(length), int(flags))

    def meta(self, ordinal: int) -> tuple[int, int]:
        """Return where the metadata of a file lie: offset and length."""
        return self._meta_offsets[ordinal], int(self._meta_lengths.item(ordinal))

    def find(self, name: str) -> int:
        """Return the ordinal of a name, or -1."""
        try:
            key = name.encode("utf-8")
        except UnicodeEncodeError:  # no archive can hold such a name
            return -1
        name_hash = hash_name(key)
        bucket, tag = name_hash >> self._bucket_shift, (name_hash >> self._tag_shift) & 0xFF
        end = int(self._buckets.item(bucket + 1))
        position = self._tags.find(tag, int(self._buckets.item(bucket)), end)
        while position >= 0:
            ordinal = int(self._ordinals.item(position))
            if self._names[ordinal] == key:
                return ordinal
            position = self._tags.find(tag, position + 1, end)
        return -1

    def external(self) -> tuple[int, int]:
        """Return how many files are external, and their bytes."""
        external = (self._flags & FLAG_EXTERNAL) != 0
        return int(external.sum()), sum(self._data_lengths[external].tolist())

    def _take(self, window: Window, parts: dict[str, list[Column]]) -> None:
        tails = window.tails
        self._names.append(window.names, window.name_lengths)
        self._data_offsets.append(tails["data_offset"], tails["data_length"], parts["data_length"])
        self._meta_offsets.append(tails["meta_offset"], tails["meta_length"], parts["meta_length"])
        for field, columns in parts.items():
            columns.append(narrow(tails[field]))

    def _sort(self, keys: NDArray[np.uint64]) -> None:
        """Build the table of names. Hash and ordinal are sorted as one number, in place: no room for a permutation."""
        bits = max(1, self._count.bit_length())
        low = np.uint64((1 << bits) - 1)
        keys &= ~low
        keys |= np.arange(self._count, dtype=np.min_scalar_type(self._count))
        keys.sort()
        self._ordinals = np.empty(self._count, np.min_scalar_type(self._count))
        np.bitwise_and(keys, low, out=self._ordinals, casting="unsafe")
        keys >>= np.uint64(bits)
        self._refuse_twins(np.flatnonzero(keys[1:] == keys[:-1]))
        bucket_bits = max(0, bits - _BUCKET_BITS)
        self._bucket_shift, self._tag_shift = 64 - bucket_bits, bits
        self._tags = keys.astype(np.uint8).tobytes()
        edges = np.arange((1 << bucket_bits) + 1, dtype=np.uint64) << np.uint64(64 - bits - bucket_bits)
        self._buckets = narrow(np.searchsorted(keys, edges).astype(np.uint64))

    def _refuse_twins(self, candidates: NDArray[np.int64]) -> None:
        for position in candidates.tolist():
            first, second = (int(self._ordinals.item(near)) for near in (position, position + 1))
            if (name := self._names[first]) == self._names[second]:
                raise CorruptArchive(
                    f"{self._where}: index entry {max(first, second)} has the name of another entry: {name!r}"
                )
