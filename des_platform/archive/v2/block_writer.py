"""Turns collected members into blocks in the sink, and into rows for the catalogue and the pages.

A `WritingThread` may stand between them and the sink: it changes no byte, and holds a few blocks.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from crc32c import crc32c

from des_platform.archive.v2.block import U8, U16, U32, ObjectColumns, pack_blob, pack_objects
from des_platform.archive.v2.catalogue_writer import CHECKSUM, HASH, USER_TYPES
from des_platform.archive.v2.layout import BLOCK_DICTIONARY, BLOCK_OBJECTS, MAX_OFFSET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from des_platform.archive.sink import ByteSink
    from des_platform.archive.v2.compression import MemberCompressor
    from des_platform.archive.v2.runs import SortedRuns
    from des_platform.archive.v2.writing_thread import WritingThread

_ROWS_AT_ONCE = 16_384
_BYTES_AT_ONCE = 16 * 1024 * 1024


@dataclass(slots=True)
class Pending:
    """The members of the next block.

    Attributes:
        names: as UTF-8.
        name_lengths: in bytes.
        hashes: of the names.
        payloads: as they were added, or, for those in ``stored``, as they shall be stored.
        lengths: of the payloads.
        metadata: JSON by position in the block, of those that have any.
        stored: position in the block of what must not be compressed: (flags, raw length, size) of each.
        columns: the values of the user's columns.
        size: of all payloads and metadata.
    """

    names: list[bytes] = field(default_factory=list)
    name_lengths: array[int] = field(default_factory=lambda: array("q"))
    hashes: array[int] = field(default_factory=lambda: array("Q"))
    payloads: list[bytes] = field(default_factory=list)
    lengths: array[int] = field(default_factory=lambda: array("q"))
    metadata: dict[int, bytes] = field(default_factory=dict)
    stored: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    size: int = 0

    def __len__(self) -> int:
        return len(self.names)


class _Noted(NamedTuple):
    """What the catalogue has to know of one block."""

    columns: ObjectColumns
    sizes: NDArray[np.int64]
    offsets: NDArray[np.uint64]
    hashes: NDArray[np.uint64]
    described: dict[int, bytes]
    user_columns: dict[str, list[Any]]


class BlockWriter:
    """Writes blocks one after the other.

    Args:
        sink: where they go.
        rows: takes the rows of the catalogue.
        archive_id: the archive's.
        compressor: None stores members as they are.
        user_columns: names and types of the user's columns.
    """

    def __init__(
        self,
        sink: ByteSink | WritingThread,
        rows: SortedRuns,
        archive_id: int,
        compressor: MemberCompressor | None,
        user_columns: Mapping[str, str],
    ) -> None:
        self._sink = sink
        self._rows = rows
        self._archive_id = archive_id
        self._compressor = compressor
        self._user_columns = user_columns
        self._trained = False
        self._noted: list[_Noted] = []
        self._noted_rows = self._noted_bytes = 0
        self.position = 0
        self.ordinals = 0
        self.blocks = 0
        self.stored_bytes = 0
        self.dictionary_offset = 0
        self.dictionary_length = 0

    def write(self, parts: Sequence[bytes | bytearray]) -> None:
        """Write whole blocks, or the header."""
        self._sink.write(parts)
        self.position += sum(map(len, parts))

    def go_on(self, position: int, ordinals: int, blocks: int) -> None:
        """Go on behind blocks that stand in the sink already."""
        self.position, self.ordinals, self.blocks = position, ordinals, blocks

    def write_block(self, block: bytes) -> None:
        """Write one whole block that holds no objects."""
        self.write([block])
        self.blocks += 1

    def set_dictionary(self, dictionary: bytes) -> None:
        """Write the archive's dictionary and use it from now on."""
        self._trained = True
        self.dictionary_offset = self.position
        self.write_block(pack_blob(BLOCK_DICTIONARY, dictionary, self.ordinals, self._archive_id))
        self.dictionary_length = self.position - self.dictionary_offset
        self.use_dictionary(dictionary, self.dictionary_offset, self.dictionary_length)

    def use_dictionary(self, dictionary: bytes, offset: int, length: int) -> None:
        """Use a dictionary that stands in the archive already, in a block of ``length`` bytes at ``offset``."""
        self._trained = True
        self.dictionary_offset, self.dictionary_length = offset, length
        if self._compressor is not None:
            self._compressor.use_dictionary(dictionary)

    def seal(self, pending: Pending) -> None:
        """Write the members as a block."""
        raw_lengths = np.frombuffer(pending.lengths, np.int64).astype(U32)
        payloads, flags = self._compressed(pending)
        stored_lengths = np.fromiter(map(len, payloads), U32, len(pending)) if flags.any() else raw_lengths.copy()
        sizes = raw_lengths.astype(np.int64)
        for index, special in pending.stored.items():
            flags[index], raw_lengths[index], sizes[index] = special
        columns = ObjectColumns(
            stored_lengths=stored_lengths,
            checksums=np.fromiter(map(crc32c, payloads), U32, len(pending)),
            raw_lengths=raw_lengths,
            name_lengths=np.frombuffer(pending.name_lengths, np.int64).astype(U16),
            flags=flags,
            metadata_lengths=_metadata_lengths(pending),
            names=b"".join(pending.names),
            metadata=b"".join(pending.metadata.values()),
        )
        head = pack_objects(BLOCK_OBJECTS, columns, self.ordinals, self._archive_id)
        size = int(stored_lengths.sum(dtype=np.uint64))
        first = self.position + len(head)
        if first + size > MAX_OFFSET:
            raise OSError(f"the archive would grow beyond {MAX_OFFSET} bytes: start another one")
        self._sink.write([head, *payloads])
        self.position = first + size
        self.blocks += 1
        self.ordinals += len(pending)
        self.stored_bytes += size
        self._note(pending, columns, sizes, columns.offsets(first))

    def give_rows(self) -> None:
        """Give the rows that wait to those who take them."""
        if self._noted:
            self._rows.add(_table(self._noted, self._user_columns))
            self._noted, self._noted_rows, self._noted_bytes = [], 0, 0

    def _note(
        self, pending: Pending, columns: ObjectColumns, sizes: NDArray[np.int64], offsets: NDArray[np.uint64]
    ) -> None:
        described: dict[int, bytes] = dict(pending.metadata)
        for index in columns.external_positions():
            described[index] = pending.payloads[index]
        hashes = np.frombuffer(pending.hashes, np.uint64)
        self._noted.append(_Noted(columns, sizes, offsets, hashes, described, pending.columns))
        self._noted_rows += len(pending)
        self._noted_bytes += len(columns.names) + len(columns.metadata)
        # A table for each block of 1,000 would take 80 ns a row, one for 16,000 takes 20.
        if self._noted_rows >= _ROWS_AT_ONCE or self._noted_bytes >= _BYTES_AT_ONCE:
            self.give_rows()

    def _compressed(self, pending: Pending) -> tuple[list[bytes], NDArray[np.uint8]]:
        if self._compressor is None or len(pending.stored) == len(pending):
            return pending.payloads, np.zeros(len(pending), U8)
        if not pending.stored:
            plain = pending.payloads
        else:
            plain = [payload for index, payload in enumerate(pending.payloads) if index not in pending.stored]
        if not self._compressor.pays(plain):
            return pending.payloads, np.zeros(len(pending), U8)
        if not self._trained and (dictionary := self._compressor.train(plain)):
            self.set_dictionary(dictionary)
        self._trained = True
        stored, flags = self._compressor.compress(plain)
        if not pending.stored:
            return stored, flags
        all_flags = np.zeros(len(pending), U8)
        rest = [index for index in range(len(pending)) if index not in pending.stored]
        all_flags[rest] = flags
        payloads = list(pending.payloads)
        for index, payload in zip(rest, stored, strict=True):
            payloads[index] = payload
        return payloads, all_flags


def _table(noted: list[_Noted], user_columns: Mapping[str, str]) -> pa.Table:
    """Return the rows of several blocks."""
    count = sum(len(block.sizes) for block in noted)
    if any(block.described for block in noted):
        described = [block.described.get(index) for block in noted for index in range(len(block.sizes))]
        texts = pa.array(described, pa.binary()).cast(pa.string())
    else:
        texts = pa.nulls(count, pa.string())
    return pa.table(
        {
            "name": strings(
                b"".join([block.columns.names for block in noted]),
                np.concatenate([block.columns.name_lengths for block in noted]),
            ),
            "data_offset": np.concatenate([block.offsets for block in noted]).view(np.int64),
            "stored_size": np.concatenate([block.columns.stored_lengths for block in noted]).astype(np.int64),
            "size": np.concatenate([block.sizes for block in noted]),
            "flags": np.concatenate([block.columns.flags for block in noted]).astype(np.int32),
            "metadata": texts,
            **{
                name: pa.array([value for block in noted for value in block.user_columns[name]], USER_TYPES[kind])
                for name, kind in user_columns.items()
            },
            HASH: np.concatenate([block.hashes for block in noted]),
            CHECKSUM: np.concatenate([block.columns.checksums for block in noted]),
        }
    )


def _metadata_lengths(pending: Pending) -> NDArray[np.uint32]:
    lengths = np.zeros(len(pending), U32)
    for index, metadata in pending.metadata.items():
        lengths[index] = len(metadata)
    return lengths


def strings(joined: bytes, lengths: NDArray[np.uint16]) -> pa.StringArray:
    """Return strings that stand back to back as an array, without copying them; they are not checked."""
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.StringArray.from_buffers(len(lengths), pa.py_buffer(offsets.data), pa.py_buffer(joined))
