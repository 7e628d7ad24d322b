"""Lays out an archive of version 1 in one pass: payloads to the sink in pieces of some MiB, the index in columns.

Invariants: the same calls give the same bytes; a call that is refused has changed nothing. Memory holds one piece, 20
to 70 bytes and the name per file, and of the metadata at most `META_SPOOL_BYTES`.

How it fails: what is wrong with one file (name, type, metadata, duplicate) is a ``ValueError`` or ``TypeError`` before
any of it is taken. When the sink or the temporary file fails, the archive is lost.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import numpy as np

from des_platform.archive.models import ArchiveStats
from des_platform.archive.name_set import NameSet
from des_platform.archive.v1.layout import (
    DATA_START,
    FOOTER,
    MIN_ENTRY_BYTES,
    VERSION,
    Footer,
    encode_name,
    encode_names,
    pack_footer,
    pack_header,
)
from des_platform.archive.v1.metadata import encode_meta
from des_platform.archive.v1.written import Columns, has_name, inside_bytes, pack_index

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from des_platform.archive.sink import ByteSink

    Buffer = bytes | bytearray | memoryview
    _Pending = tuple[bytes, int, bytes | None, Buffer | None]
    Item = tuple[str, Buffer] | tuple[str, Buffer, Mapping[str, object] | None]

META_SPOOL_BYTES = 4 * 1024 * 1024
"""Metadata beyond this waits in an unnamed temporary file until the end."""
_PIECE_BYTES = 4 * 1024 * 1024
_FILE_COST = 512
"""What a file takes of a piece beside its payload."""
_COPY_BYTES = 1024 * 1024
_SMALL_BYTES = 1024
_PAIR = 2
_FEW = 64
"""Fewer files than that are quicker one by one."""
_BARE_META_BYTES = len(b'{"size":0}')
_POWERS_OF_TEN = np.array([10**power for power in range(1, 20)], np.uint64)
_U64 = 2**64 - 1


class V1Builder:
    """Builds one archive of version 1. Not for several threads at once.

    Args:
        sink: takes the bytes; committing or aborting it is the caller's.
    """

    def __init__(self, sink: ByteSink) -> None:
        self._sink = sink
        self._pending: list[_Pending] = []
        self._room = _PIECE_BYTES
        self._names = NameSet()
        self._columns: list[Columns] = []
        self._sealed = self._external_count = self._external_bytes = 0
        self._data_bytes = self._meta_bytes = self._index_bytes = 0
        self._meta_file = tempfile.SpooledTemporaryFile(META_SPOOL_BYTES, dir=getattr(sink, "folder", None))  # noqa: SIM115 - until discard
        self._sink.write([pack_header()])

    def __len__(self) -> int:
        return self._sealed + len(self._pending)

    def add(self, name: str, data: Buffer, meta: Mapping[str, object] | None) -> None:
        """Add a file.

        Raises:
            TypeError: ``data`` is not bytes.
            ValueError: the name is not allowed or already there, or the metadata is not JSON or over 10 MiB.
            OSError: the sink failed.
        """
        if type(data) is not bytes:
            data = _plain(name, data)
        size = len(data)
        self._append(name, size, encode_meta(name, meta, size) if meta else None, data)

    def add_many(self, items: Iterable[Item]) -> None:
        """Add files in order, up to the first that is refused: three times as fast as one by one.

        Raises:
            TypeError, ValueError, OSError: as for `add`.
        """
        names: list[str] = []
        payloads: list[bytes] = []
        room = _PIECE_BYTES
        try:
            for item in items:
                if len(item) == _PAIR and type(item[1]) is bytes:
                    names.append(item[0])
                    payloads.append(item[1])
                    room -= len(item[1]) + _FILE_COST
                    if room <= 0:
                        room = _PIECE_BYTES
                        self._add_plain(names, payloads)
                else:
                    self._add_plain(names, payloads)
                    name, data, *meta = item
                    self.add(name, data, meta[0] if meta else None)
        finally:
            self._add_plain(names, payloads)

    def _add_plain(self, names: list[str], payloads: list[bytes]) -> None:
        """Add files without metadata and empty both lists."""
        given = names[:], payloads[:]
        names.clear()
        payloads.clear()
        if len(given[0]) < _FEW or not self._add_at_once(*given):
            for name, data in zip(*given, strict=True):
                self.add(name, data, None)

    def _add_at_once(self, names: list[str], payloads: list[bytes]) -> bool:
        """Add files column by column; return False, and change nothing, if one of them may be refused."""
        if set(map(type, names)) != {str}:
            return False
        encoded = encode_names(names)
        if encoded is None or not self._names.add_all(
            np.fromiter(map(hash, names), np.int64, len(names)).view(np.uint64)
        ):
            return False
        self._seal()
        self._take(encoded, list(map(len, payloads)), None, payloads, None)
        return True

    def add_external(self, name: str, size: int, meta: dict[str, object]) -> None:
        """Add the entry of a file whose payload is an object of its own; ``meta`` is complete.

        Raises:
            ValueError: as for `add`.
            OSError: the sink failed.
        """
        self._append(name, size, encode_meta(name, meta, size), None)

    def delete(self, name: str) -> None:
        """Refuse: an archive of version 1 is written once.

        Raises:
            KeyError: always.
        """
        raise KeyError(f"File not found: {name!r} cannot be deleted, for version 1 goes on from no other archive")

    def flush(self) -> None:
        """Send what waits on."""
        self._seal()

    def stats(self) -> ArchiveStats:
        """What the archive holds so far, and how long it would be if it ended here. Sends on what is buffered.

        Raises:
            OSError: the sink failed.
        """
        self._seal()
        return ArchiveStats(
            version=VERSION,
            file_count=len(self),
            external_count=self._external_count,
            data_bytes=self._data_bytes,
            stored_bytes=self._data_bytes,
            external_bytes=self._external_bytes,
            archive_bytes=DATA_START + self._data_bytes + self._meta_bytes + self._index_bytes + FOOTER.size,
        )

    def finish(self) -> None:
        """Give the sink everything that is left.

        Raises:
            OSError: the sink failed.
        """
        self._seal()
        meta_start = DATA_START + self._data_bytes
        self._meta_file.seek(0)
        while piece := self._meta_file.read(_COPY_BYTES):
            self._sink.write([piece])
        data_offset, meta_offset = DATA_START, meta_start
        for columns in self._columns:
            self._sink.write([pack_index(columns, data_offset, meta_offset)])
            data_offset += inside_bytes(columns)
            meta_offset += int(columns.meta_lengths.sum(dtype=np.uint64))
        footer = Footer(
            data_start=DATA_START,
            data_length=self._data_bytes,
            meta_start=meta_start,
            meta_length=self._meta_bytes,
            index_start=meta_start + self._meta_bytes,
            index_length=self._index_bytes,
            file_count=len(self),
        )
        self._sink.write([pack_footer(footer)])
        self.discard()

    def discard(self) -> None:
        """Drop the temporary file."""
        self._meta_file.close()

    def _append(self, name: str, size: int, meta: bytes | None, data: Buffer | None) -> None:
        encoded = encode_name(name)
        # Python keys its hash anew in every process, so nobody can prepare names that collide.
        if not self._names.add(hash(name) & _U64) and self._holds(encoded):
            raise ValueError(f"{name!r} is already in the archive")
        self._pending.append((encoded, size, meta, data))
        self._room -= _FILE_COST if data is None else size + _FILE_COST
        if self._room <= 0:
            self._seal()

    def _holds(self, name: bytes) -> bool:
        return any(name == pending[0] for pending in self._pending) or any(
            has_name(columns, name) for columns in self._columns
        )

    def _seal(self) -> None:
        """Send what waits on."""
        if not self._pending:
            return
        names, sizes, metas, payloads = zip(*self._pending, strict=True)
        self._pending, self._room = [], _PIECE_BYTES
        inside = [payload for payload in payloads if payload is not None]
        external = None
        if len(inside) < len(names):
            external = np.fromiter((payload is None for payload in payloads), np.bool_, len(names))
        self._take(names, sizes, metas if any(metas) else None, inside, external)

    def _take(
        self,
        names: Sequence[bytes],
        sizes: Sequence[int],
        metas: Sequence[bytes | None] | None,
        payloads: Sequence[Buffer],
        external: NDArray[np.bool_] | None,
    ) -> None:
        """Send payloads and metadata on, and turn the entries that go with them into columns."""
        inside = sum(map(len, payloads))
        # Gathering many small buffers takes longer than to copy them together first.
        self._sink.write([b"".join(payloads)] if inside < _SMALL_BYTES * len(payloads) else payloads)
        wide = np.array(sizes, np.uint64)
        if metas is None:
            meta = b'{"size":%d}' * len(names) % tuple(sizes)
            meta_lengths = _BARE_META_BYTES + (wide[:, None] >= _POWERS_OF_TEN).sum(axis=1)
        else:
            whole = [b'{"size":%d}' % size if meta is None else meta for meta, size in zip(metas, sizes, strict=True)]
            meta = b"".join(whole)
            meta_lengths = np.fromiter(map(len, whole), np.uint32, len(whole))
        self._meta_bytes += self._meta_file.write(meta)
        columns = Columns(
            names=b"".join(names),
            name_lengths=np.fromiter(map(len, names), np.uint16, len(names)),
            sizes=wide.astype(np.min_scalar_type(wide.max())),
            meta_lengths=meta_lengths.astype(np.min_scalar_type(meta_lengths.max())),
            external=external,
        )
        self._columns.append(columns)
        self._data_bytes += inside
        self._external_bytes += sum(sizes) - inside
        self._index_bytes += len(columns.names) + MIN_ENTRY_BYTES * len(names)
        self._sealed += len(names)
        self._external_count += len(names) - len(payloads)


def _plain(name: str, data: object) -> Buffer:
    """Bytes that nobody changes while they wait; a long view as it is, since its piece is full with it."""
    if isinstance(data, bytes):
        return data
    if not isinstance(data, (bytearray, memoryview)):
        raise TypeError(f"the data of {name!r} must be bytes, bytearray or memoryview, not {type(data).__name__}")
    view = memoryview(data)
    if view.nbytes >= _PIECE_BYTES and view.c_contiguous:
        return view.cast("B")
    return view.tobytes()
