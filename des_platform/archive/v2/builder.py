"""Builds a DES v2 archive in one pass: members are collected into blocks, the rest is written at the end.

Memory is bounded: about 4 MiB of members for each block at hand, 13 to 53 bytes a name to know it again, and sorted
runs of rows that spill into temporary files. The same calls with the same identity and time give the same bytes.

What is wrong with one member is a ``ValueError`` or ``TypeError`` that leaves the archive as it was.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from des_platform.archive.errors import CorruptArchive
from des_platform.archive.models import FLAG_EXTERNAL, MAX_NAME_BYTES, ArchiveStats
from des_platform.archive.name_set import NameSet
from des_platform.archive.v2.adoption import Adopted, adopt
from des_platform.archive.v2.block import pack_blob, pack_tombstones
from des_platform.archive.v2.block_writer import BlockWriter, Pending
from des_platform.archive.v2.catalogue_writer import HASH, catalogue_schema
from des_platform.archive.v2.compression import MemberCompressor
from des_platform.archive.v2.items import (
    BLOCK_BYTES,
    checked_payload,
    encode_json,
    encoded_metadata,
    encoded_name,
    next_batch,
    user_value,
)
from des_platform.archive.v2.layout import (
    BLOCK_SCHEMA,
    MAX_OFFSET,
    VERSION,
    Header,
    hash_name,
)
from des_platform.archive.v2.rows import hashes_of, is_json_object, parse_json, record_size
from des_platform.archive.v2.runs import SortedRuns
from des_platform.archive.v2.tail_writer import Origin, TailWriter
from des_platform.archive.v2.writing_thread import WritingThread

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from des_platform.archive.sink import ByteSink
    from des_platform.archive.source import ByteSource

    Buffer = bytes | bytearray | memoryview
    Item = tuple[str, Buffer] | tuple[str, Buffer, Mapping[str, object] | None]

DEFAULT_LEVEL = 3
_TOMBSTONES = 2048
"""So many names of any length fit into the columns of a block."""
_BLOCK_OBJECTS = 16_384
"""Beyond this many a block outgrows the processor's cache: 3 % slower at 65,536, and no smaller."""
_U64 = 2**64


class V2Builder:
    """Builds one archive; driven by `DesWriter`, under its lock.

    Args:
        sink: where the bytes go.
        base: an archive to go on from: its blocks are taken over as they stand, by the store itself where it can.
        archive_id: 64 bits that name the archive; random if not given, a base's own if there is one.
        created_ms: time to note, in milliseconds since 1970; now if not given.
        compression_level: of zstd; None stores every file as it is.
        columns: keys of the metadata that shall be columns of the catalogue, too: their types, ``string``, ``long``,
            ``double`` or ``boolean``; a base has its own.
        threads: how many compress; with any, one more writes beside the caller. They change no byte.
        spill_folder: where temporary files may stand; the system's if not given.

    Raises:
        CorruptArchive: the base is broken.
        ValueError: a column cannot be.
    """

    def __init__(
        self,
        sink: ByteSink,
        *,
        base: ByteSource | Adopted | None = None,
        archive_id: int | None = None,
        created_ms: int | None = None,
        compression_level: int | None = DEFAULT_LEVEL,
        columns: Mapping[str, str] | None = None,
        threads: int = 0,
        spill_folder: Path | None = None,
    ) -> None:
        now_ms = time.time_ns() // 1_000_000 if created_ms is None else created_ms
        if not 0 <= now_ms < _U64 or not 0 <= (archive_id or 0) < _U64:
            raise ValueError(f"archive_id {archive_id} and created_ms {created_ms} must be 0 to {_U64 - 1}")
        adopted = base if base is None or isinstance(base, Adopted) else adopt(base)
        if adopted is None:
            archive_id = secrets.randbits(64) if archive_id is None else archive_id
            self._origin = Origin(archive_id, now_ms, now_ms, generation=1)
        elif columns or archive_id is not None:
            raise ValueError("an archive that goes on from another has that one's columns and archive_id")
        else:
            self._origin = Origin(adopted.archive_id, adopted.created_ms, now_ms, adopted.generation)
        self._seed = adopted.seed if adopted else self._origin.archive_id
        self._columns = dict(adopted.columns if adopted else columns or {})
        self._schema = catalogue_schema(self._columns)
        self._folder = spill_folder
        # Little else is in memory at first, and a million small members that run into files take 12 % longer.
        self._rows = SortedRuns("name", spill_folder, first_run=3)
        compressor = None if compression_level is None else MemberCompressor(compression_level, threads)
        if adopted:
            sink.copy(adopted.source, adopted.length)
        self._thread = WritingThread(sink) if threads else None
        self._blocks = BlockWriter(self._thread or sink, self._rows, self._origin.archive_id, compressor, self._columns)
        self._names = NameSet()
        self._collided = False
        self._count = self._data_bytes = self._external_count = self._external_bytes = 0
        self._adopted = adopted
        self._deleted: dict[str, bool] = {}
        self._tombstones: list[bytes] = []
        self._pending = self._new_pending()
        try:
            if adopted:
                self._take_over(adopted)
            else:
                self._start()
        except BaseException:
            self.discard()
            raise

    def __len__(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        """How many bytes the sink has."""
        return self._blocks.position

    def stats(self) -> ArchiveStats:
        """Count what the archive holds so far; what waits for its block is not counted as stored."""
        return ArchiveStats(
            version=VERSION,
            file_count=self._count,
            external_count=self._external_count,
            data_bytes=self._data_bytes,
            stored_bytes=self._blocks.stored_bytes,
            external_bytes=self._external_bytes,
            archive_bytes=self._blocks.position,
        )

    def add(self, name: str, data: Buffer, meta: Mapping[str, object] | None) -> None:
        """Add a member."""
        payload = checked_payload(name, data)
        if meta is not None and not isinstance(meta, Mapping):
            raise TypeError(f"the metadata of {name!r} must be a mapping, not {type(meta).__name__}")
        described = {key: value for key, value in meta.items() if key != "size"} if meta else {}
        self._append(name, payload, encoded_metadata(name, described), described, None)
        self._data_bytes += len(payload)

    def add_external(self, name: str, size: int, meta: dict[str, object]) -> None:
        """Add a member whose bytes are elsewhere; ``meta`` is all that is known of it."""
        if not isinstance(size, int) or not 0 <= size <= MAX_OFFSET:
            raise ValueError(f"the size of {name!r} is {size!r}: expected 0 to {MAX_OFFSET} bytes")
        if not isinstance(key := meta.get("external_key"), str) or not key:
            raise ValueError(f"the external_key of {name!r} is {key!r}: expected the key of an object")
        self._append(name, encoded_metadata(name, meta), b"", meta, (FLAG_EXTERNAL, 0, size))
        self._external_count += 1
        self._external_bytes += size

    def add_stored(self, name: str, payload: bytes, metadata: bytes, flags: int, raw_length: int) -> None:
        """Add a member as another archive with the same dictionary stores it.

        Raises:
            ValueError: what is stored of it is not what the format says.
        """
        if metadata and not is_json_object(metadata):
            raise ValueError(f"the metadata of {name!r} are not a JSON object: {metadata[:40]!r}")
        if flags & FLAG_EXTERNAL:
            meta = parse_json(payload)
            self.add_external(name, record_size(payload), meta)
        else:
            self._append(name, payload, metadata, parse_json(metadata), (flags, raw_length, raw_length))
            self._data_bytes += raw_length

    def set_dictionary(self, dictionary: bytes) -> None:
        """Use this dictionary, and train none."""
        self._blocks.set_dictionary(dictionary)

    def delete(self, name: str) -> None:
        """Leave out a member of the base; its bytes stay until the archive is compacted.

        Raises:
            KeyError: the base has no such member, or it is deleted already.
        """
        if self._adopted is None or name in self._deleted or not self._adopted.has(name):
            raise KeyError(f"File not found: {name!r} is not in the archive that this one goes on from")
        self._deleted[name] = False
        self._tombstones.append(name.encode())
        self._count -= 1

    def add_many(self, items: Iterable[Item]) -> None:
        """Add many members: five times as fast as one by one."""
        stream = iter(items)
        while batch := next_batch(stream):
            if not self._add_batch(batch):
                for part in batch:
                    for name, data, *meta in part:
                        self.add(name, data, meta[0] if meta else None)

    def flush(self) -> None:
        """Write what is collected as a block, and wait until it is written."""
        self._end_block()
        if self._thread:
            self._thread.drain()

    def finish(self) -> None:
        """Write all that is left."""
        self._end_block()
        self._blocks.give_rows()
        self._names = NameSet()  # its memory is needed for sorting
        if self._adopted and self._deleted:
            self._rows.keep = self._adopted.without(list(self._deleted))
        tail = TailWriter(self._blocks, self._rows, self._schema, self._origin, self._folder)
        tail.write(self._seed, collided=self._collided)
        if self._thread:
            self._thread.drain()

    def discard(self) -> None:
        """End the thread and drop the temporary files."""
        if self._thread:
            self._thread.stop()
        self._rows.close()

    def _end_block(self) -> None:
        if self._tombstones:
            for start in range(0, len(self._tombstones), _TOMBSTONES):
                names = self._tombstones[start : start + _TOMBSTONES]
                self._blocks.write_block(pack_tombstones(names, self._blocks.ordinals, self._origin.archive_id))
            self._tombstones = []
        if len(self._pending):
            pending, self._pending = self._pending, self._new_pending()
            self._blocks.seal(pending)

    def _start(self) -> None:
        self._blocks.write([Header(self._origin.archive_id, self._origin.created_ms).pack()])
        if self._columns:
            schema = encode_json({"columns": self._columns}).encode()
            self._blocks.write_block(pack_blob(BLOCK_SCHEMA, schema, 0, self._origin.archive_id))

    def _take_over(self, adopted: Adopted) -> None:
        self._blocks.go_on(adopted.length, adopted.ordinals, adopted.blocks)
        if adopted.dictionary:
            self._blocks.use_dictionary(adopted.dictionary, adopted.dictionary_offset, adopted.dictionary_length)
        for rows in adopted.rows:
            if not self._names.add_all(rows.column(HASH).combine_chunks().to_numpy()):
                raise CorruptArchive(f"{adopted.source!r}: two of its names are the same, or have the same hash")
            self._rows.add(rows)
            self._count += rows.num_rows
        self._data_bytes, self._external_bytes = adopted.data_bytes, adopted.external_bytes
        self._external_count = adopted.external_count

    def _append(
        self,
        name: str,
        payload: bytes,
        metadata: bytes,
        meta: Mapping[str, object],
        stored: tuple[int, int, int] | None,
    ) -> None:
        encoded = encoded_name(name)
        values = [user_value(name, column, kind, meta.get(column)) for column, kind in self._columns.items()]
        name_hash = hash_name(encoded, self._seed)
        if not self._names.add(name_hash):
            self._require_new(name, encoded)
        if len(payload) >= BLOCK_BYTES:  # a block of its own
            self._end_block()
        pending = self._pending
        if stored:
            pending.stored[len(pending)] = stored
        if metadata:
            pending.metadata[len(pending)] = metadata
        pending.names.append(encoded)
        pending.name_lengths.append(len(encoded))
        pending.hashes.append(name_hash)
        pending.payloads.append(payload)
        pending.lengths.append(len(payload))
        for column, value in zip(pending.columns.values(), values, strict=True):
            column.append(value)
        self._grow(1, len(encoded) + len(payload) + len(metadata))

    def _add_batch(self, batch: list[list[Item]]) -> bool:
        """Add plain members at once; False, and nothing is added, if one of them needs a closer look."""
        names: list[str] = []
        payloads: list[bytes] = []
        if self._columns:
            return False
        try:
            for part in batch:
                some_names, some_payloads = zip(*part, strict=True)  # a third column, or a tuple of three, is metadata
                names += some_names
                payloads += some_payloads
            encoded = list(map(str.encode, names))
        except (ValueError, TypeError):
            return False
        if set(map(type, payloads)) != {bytes}:
            return False
        name_lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        lengths = np.fromiter(map(len, payloads), np.int64, len(payloads))
        if name_lengths.min() == 0 or name_lengths.max() > MAX_NAME_BYTES or lengths.max() >= BLOCK_BYTES:
            return False
        hashes = hashes_of(encoded, self._seed)
        if not self._names.add_all(hashes):
            return False
        self._data_bytes += int(lengths.sum())
        ends = np.cumsum(name_lengths + lengths)
        start = done = 0
        while start < len(encoded):
            # Blocks end where they would if the members came one by one.
            room = done + BLOCK_BYTES - self._pending.size
            most = start + _BLOCK_OBJECTS - len(self._pending)
            stop = min(int(np.searchsorted(ends, room)) + 1, most, len(encoded))
            pending = self._pending
            pending.names += encoded[start:stop]
            pending.name_lengths.frombytes(name_lengths[start:stop].tobytes())
            pending.hashes.frombytes(hashes[start:stop].tobytes())
            pending.payloads += payloads[start:stop]
            pending.lengths.frombytes(lengths[start:stop].tobytes())
            end = int(ends[stop - 1])
            self._grow(stop - start, end - done)
            start, done = stop, end
        return True

    def _grow(self, count: int, size: int) -> None:
        self._count += count
        pending = self._pending
        pending.size += size
        if pending.size >= BLOCK_BYTES or len(pending) >= _BLOCK_OBJECTS:
            self._end_block()

    def _new_pending(self) -> Pending:
        return Pending(columns={name: [] for name in self._columns})

    def _require_new(self, name: str, encoded: bytes) -> None:
        """Go on if the hash is that of another name: all names are then hashed anew at the end."""
        if self._deleted.get(name) is False:  # it may come once more
            self._deleted[name] = True
            return
        self._blocks.give_rows()
        known = encoded in self._pending.names or any(
            pc.index(rows.column("name"), pa.scalar(name)).as_py() >= 0 for rows in self._rows.tables()
        )
        if known:
            raise ValueError(f"{name!r} is already in the archive")
        self._collided = True
