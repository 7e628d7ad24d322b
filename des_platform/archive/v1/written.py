"""The index of an archive that is being written, in columns, and how it is laid out at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from des_platform.archive.models import FLAG_EXTERNAL
from des_platform.archive.v1.layout import ENTRY_TAIL, ENTRY_TAIL_BYTES, MIN_ENTRY_BYTES, NAME_LENGTH_BYTES
from des_platform.archive.v1.records import anywhere, by_length

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Columns(NamedTuple):
    """The index of the files of one piece, numbers in the narrowest type.

    Attributes:
        names: back to back, UTF-8.
        name_lengths: bytes of each name.
        sizes: bytes of each file.
        meta_lengths: bytes of each file's metadata.
        external: which files are external; None if none is.
    """

    names: bytes
    name_lengths: NDArray[np.uint16]
    sizes: NDArray[np.unsignedinteger]
    meta_lengths: NDArray[np.unsignedinteger]
    external: NDArray[np.bool_] | None


def inside_bytes(columns: Columns) -> int:
    """Return how many bytes the payloads in the archive have."""
    sizes = columns.sizes if columns.external is None else columns.sizes[~columns.external]
    return int(sizes.sum(dtype=np.uint64))


def has_name(columns: Columns, name: bytes) -> bool:
    """Whether a file of that name is among these."""
    if name not in columns.names:
        return False
    starts = np.cumsum(columns.name_lengths, dtype=np.int64) - columns.name_lengths
    candidates = starts[columns.name_lengths == len(name)].tolist()
    return any(columns.names.startswith(name, start) for start in candidates)


def pack_index(columns: Columns, data_offset: int, meta_offset: int) -> bytearray:
    """Return the entries of one piece as they stand in INDEX, given where its payloads and its metadata start."""
    count = len(columns.name_lengths)
    tails = np.zeros(count, ENTRY_TAIL)
    tails["data_length"] = columns.sizes
    inside = columns.sizes.astype(np.uint64)
    if columns.external is not None:
        inside[columns.external] = 0
        tails["flags"][columns.external] = FLAG_EXTERNAL
    tails["data_offset"] = np.cumsum(inside) - inside + np.uint64(data_offset)
    if columns.external is not None:
        tails["data_offset"][columns.external] = 0
    tails["meta_length"] = columns.meta_lengths
    tails["meta_offset"] = (
        np.cumsum(columns.meta_lengths, dtype=np.uint64) - columns.meta_lengths + np.uint64(meta_offset)
    )

    lengths = columns.name_lengths.astype(np.int64)
    entry_ends = np.cumsum(lengths + MIN_ENTRY_BYTES)
    name_ends = np.cumsum(lengths)
    packed = bytearray(int(entry_ends[-1]))
    anywhere(packed, ENTRY_TAIL_BYTES)[entry_ends - ENTRY_TAIL_BYTES] = tails.view(f"V{ENTRY_TAIL_BYTES}")
    starts = entry_ends - lengths - MIN_ENTRY_BYTES
    anywhere(packed, NAME_LENGTH_BYTES)[starts] = columns.name_lengths.astype("<u2").view(f"V{NAME_LENGTH_BYTES}")
    for length, rows in by_length(lengths):
        names = anywhere(columns.names, length)[name_ends[rows] - length]
        anywhere(packed, length)[starts[rows] + NAME_LENGTH_BYTES] = names
    return packed
