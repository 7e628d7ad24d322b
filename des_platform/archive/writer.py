"""Writes DES v1 archives, one pass, payloads straight to disk.

Invariants: the target path holds nothing or a whole archive, never a part of one (a temporary file beside it is made
durable, then takes the name); the same calls give the same bytes; memory holds the index (38 bytes and the name per
file) and its name table, not the payloads, and of the metadata at most `META_SPOOL_BYTES`.

How it fails: what is wrong with one file (name, type, metadata, duplicate) is a ``ValueError`` or ``TypeError`` before
any byte is written, and the archive goes on. A failing disk aborts the archive, and `DesWriter.close` says so again. A
process that dies leaves at most a temporary file, ``.<random>.des.tmp``.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from des_platform.archive.index import NameTable, make_absolute
from des_platform.archive.layout import (
    DATA_START,
    ENTRY_TAIL,
    FLAG_EXTERNAL,
    MAX_META_BYTES,
    MAX_U64,
    Footer,
    encode_name,
    pack_footer,
    pack_header,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

META_SPOOL_BYTES = 4 * 1024 * 1024
"""Metadata beyond this waits in an unnamed temporary file until close."""
_BUFFER_BYTES = 1024 * 1024
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}

# json.dumps builds an encoder on every call unless its settings are the default ones. NaN and Infinity are not JSON.
_encode_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class DesWriter:
    """Writes one archive; a context manager, thread-safe. Files stand in the archive in the order they were added.

    Leaving the ``with`` block publishes the archive, leaving it by an exception aborts it.

    Args:
        path: where the archive shall stand; missing directories are made.
        external_prefix: where the default keys of external files start: ``<external_prefix>/_bigFiles/<name>``.

    Raises:
        FileExistsError: there is something at ``path``; raised by `close` when it came there meanwhile.
    """

    def __init__(self, path: str | os.PathLike[str], *, external_prefix: str = "") -> None:
        self._path = Path(path)
        if os.path.lexists(self._path):
            raise FileExistsError(errno.EEXIST, "an archive is never overwritten", str(self._path))
        prefix = external_prefix.rstrip("/")
        self._external_root = f"{prefix}/_bigFiles/" if prefix else "_bigFiles/"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._state: Literal["open", "published", "aborted", "failed"] = "open"
        self._data_length = 0
        self._meta_length = 0
        self._index = bytearray()
        self._names = NameTable(self._index)
        self._temporary = self._path.with_name(f".{secrets.token_hex(8)}.des.tmp")
        self._meta = tempfile.SpooledTemporaryFile(META_SPOOL_BYTES, dir=str(self._path.parent))  # noqa: SIM115 - until close
        self._file = self._temporary.open("xb", buffering=_BUFFER_BYTES)
        self._file.write(pack_header())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    @property
    def file_count(self) -> int:
        """How many files the archive holds so far, external ones included."""
        return len(self._names)

    def add_file(
        self, name: str, data: bytes | bytearray | memoryview, meta: Mapping[str, object] | None = None
    ) -> None:
        """Add a file and its metadata.

        Args:
            name: the file's name, unique in the archive; see `encode_name` for what it may hold.
            data: the payload.
            meta: what to keep beside it; ``size`` is added at the end, or replaced where it stands.

        Raises:
            TypeError: ``data`` is not bytes.
            ValueError: the name is not allowed or already there, or the metadata is not JSON or over 10 MiB.
            RuntimeError: the writer is closed or aborted.
            OSError: the disk failed; the archive is aborted.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"the data of {name!r} must be bytes, bytearray or memoryview, not {type(data).__name__}")
        with memoryview(data) as view:
            size = view.nbytes
            encoded_meta = _encode_meta(name, {**(meta or {}), "size": size})
            payload = view if view.c_contiguous else view.tobytes()
            self._append(name, payload, size, encoded_meta)

    def add_external(
        self, name: str, size: int, meta: Mapping[str, object] | None = None, *, external_key: str | None = None
    ) -> None:
        """Add the entry of a file whose payload is an object of its own, which the caller stores.

        Args:
            name: the file's name, as for `add_file`.
            size: length of the payload.
            meta: what to keep about it; ``size``, ``is_external`` and ``external_key`` are added or replaced.
            external_key: key of the object; ``<external_prefix>/_bigFiles/<name>`` if not given.

        Raises:
            ValueError: as for `add_file`, or the size is not a count of bytes.
            RuntimeError: the writer is closed or aborted.
            OSError: the disk failed; the archive is aborted.
        """
        if not 0 <= size <= MAX_U64:
            raise ValueError(f"the size of {name!r} is {size}: expected a length in bytes")
        key = self._external_root + name if external_key is None else external_key
        described = {**(meta or {}), "size": size, "is_external": True, "external_key": key}
        self._append(name, None, size, _encode_meta(name, described))

    def close(self) -> None:
        """Write the rest, make the archive durable and give it its name. Does nothing when closed or aborted before.

        Raises:
            FileExistsError: something has come to stand at the path; it is left alone and the archive is dropped.
            RuntimeError: a write had failed before, so there is no archive.
            OSError: the disk failed; there is no archive.
        """
        with self._lock:
            if self._state == "failed":
                raise RuntimeError(f"there is no archive {self._path}: writing it failed before; write it anew")
            if self._state != "open":
                return
            try:
                self._finish()
            except BaseException:
                self._discard("failed")
                raise
            self._state = "published"

    def abort(self) -> None:
        """Drop the archive and leave nothing behind. Does nothing when closed or aborted before."""
        with self._lock:
            if self._state == "open":
                self._discard("aborted")

    def _append(self, name: str, payload: bytes | memoryview | None, size: int, meta: bytes) -> None:
        key = encode_name(name)
        with self._lock:
            if self._state != "open":
                raise RuntimeError(f"cannot add {name!r}: the archive {self._path} is {self._state}")
            if not self._names.insert(key, len(self._index)):
                raise ValueError(f"{name!r} is already in the archive {self._path}")
            try:
                offset, flags = 0, FLAG_EXTERNAL
                if payload is not None:
                    offset, flags = DATA_START + self._data_length, 0
                    self._file.write(payload)
                    self._data_length += size
                self._meta.write(meta)
                self._index += key + ENTRY_TAIL.pack(offset, size, self._meta_length, len(meta), flags)
                self._meta_length += len(meta)
            except BaseException:
                self._discard("failed")
                raise

    def _finish(self) -> None:
        meta_start = DATA_START + self._data_length
        self._meta.seek(0)
        shutil.copyfileobj(self._meta, self._file, _BUFFER_BYTES)
        self._meta.close()
        make_absolute(self._index, meta_start)
        self._file.write(self._index)
        index_start = meta_start + self._meta_length
        footer = Footer(
            data_start=DATA_START,
            data_length=self._data_length,
            meta_start=meta_start,
            meta_length=self._meta_length,
            index_start=index_start,
            index_length=len(self._index),
            file_count=len(self._names),
        )
        self._file.write(pack_footer(footer))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        _publish(self._temporary, self._path)

    def _discard(self, state: Literal["aborted", "failed"]) -> None:
        self._state = state
        self._meta.close()
        # Closing flushes, which fails again on a disk that failed; the descriptor is closed all the same.
        with contextlib.suppress(OSError):
            self._file.close()
        self._temporary.unlink(missing_ok=True)


def _encode_meta(name: str, meta: dict[str, object]) -> bytes:
    try:
        encoded = _encode_json(meta).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the metadata of {name!r} is not JSON: {error}") from error
    if len(encoded) > MAX_META_BYTES:
        raise ValueError(f"the metadata of {name!r} is {len(encoded)} bytes of JSON: {MAX_META_BYTES} at most")
    return encoded


def _publish(temporary: Path, target: Path) -> None:
    """Give a finished file its name, and make the name durable. Never replaces what stands there."""
    try:
        # Unlike a rename, a link fails when the name is taken, with no moment in between.
        target.hardlink_to(temporary)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "an archive is never overwritten", str(target)) from error
        temporary.rename(target)
    else:
        temporary.unlink()
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
