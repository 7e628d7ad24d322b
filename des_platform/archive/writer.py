"""Writes DES archives of either version: the sink, the lock, the state and the policy of big files.

Invariants: the target holds nothing or a whole archive, never a part of one; leaving the ``with`` block by an exception
leaves none; a big file's object is stored before its entry is added.

How it fails: what is wrong with one file (name, type, metadata, duplicate) is a ``ValueError`` or ``TypeError``, and
the archive goes on. A sink that fails aborts the archive, and `DesWriter.close` says so again. Objects of big files
stay in their store when the archive is aborted: their keys follow from the names, so the next attempt replaces them.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Self

from des_platform.archive.big_files import ExternalObject, attributes_of, key_of
from des_platform.archive.building import WatchedSink, make_builder, until_failure
from des_platform.archive.models import BIG_FILE_BYTES
from des_platform.archive.sink import FileSink

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

    from des_platform.archive.big_files import ObjectFolder
    from des_platform.archive.building import Builder
    from des_platform.archive.models import ArchiveStats
    from des_platform.archive.sink import ByteSink

    Buffer = bytes | bytearray | memoryview
    Item = tuple[str, Buffer] | tuple[str, Buffer, Mapping[str, object] | None]


_SIZE_LIMIT = 2**64


class DesWriter:
    """Writes one archive; a context manager, thread-safe.

    Leaving the ``with`` block publishes the archive, leaving it by an exception aborts it.

    Args:
        target: a path where the archive shall stand (missing directories are made), or an open sink.
        format_version: 2, or 1 for readers that know no other.
        big_files: where files of ``big_file_threshold`` bytes and more are stored, as objects of their own; without it
            every file is stored in the archive.
        big_file_threshold: from how many bytes on a file is big.
        external_prefix: where the keys of big files start: ``<external_prefix>/_bigFiles/<name>``.
        options: those of version 2, see `des_platform.archive.v2.builder.V2Builder`.

    Raises:
        FileExistsError: there is something at the path; raised by `close` when it came there meanwhile.
        ValueError: there is no such version.
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | ByteSink,
        *,
        format_version: int = 2,
        big_files: ObjectFolder | None = None,
        big_file_threshold: int = BIG_FILE_BYTES,
        external_prefix: str = "",
        **options: Any,  # noqa: ANN401 - they are the builder's
    ) -> None:
        self._sink = WatchedSink(FileSink(target) if isinstance(target, (str, os.PathLike)) else target)
        self._where = str(target) if isinstance(target, (str, os.PathLike)) else repr(target)
        self._big_files = big_files
        self._threshold = big_file_threshold
        self._prefix = external_prefix
        self._external: dict[str, ExternalObject] = {}
        self._state: Literal["open", "published", "aborted", "failed"] = "open"
        self._lock = threading.Lock()
        self._stored = threading.Condition(self._lock)
        self._storing: set[str] = set()
        try:
            self._builder = make_builder(format_version, self._sink, options)
        except BaseException:
            self._sink.abort()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def __len__(self) -> int:
        return len(self._builder)

    @property
    def file_count(self) -> int:
        """How many files the archive holds so far, external ones included."""
        return len(self._builder)

    def add_file(
        self, name: str, data: Buffer, meta: Mapping[str, object] | None = None, *, force_external: bool = False
    ) -> None:
        """Add a file and its metadata.

        Args:
            name: the file's name, unique in the archive.
            data: the payload.
            meta: what to keep beside it; ``size`` is added at the end, or replaced where it stands.
            force_external: store it as an object of its own, however small.

        Raises:
            TypeError: ``data`` is not bytes.
            ValueError: the name is not allowed or already there, the metadata is not JSON or over 10 MiB, or there is
                no store for a file that is forced to be external.
            RuntimeError: the writer is closed or aborted.
            OSError: the disk failed; the archive is aborted. A sink may raise errors of its own to the same effect.
        """
        if self._big_files is not None or force_external:
            size = memoryview(data).nbytes if isinstance(data, (bytes, bytearray, memoryview)) else 0
            if force_external or size >= self._threshold:
                self._add_big(name, data, size, meta)
                return
        with self._lock:  # `_open_builder` spelled out, which would take 0.7 us a file
            if self._state != "open":
                raise self._closed(name)
            try:
                self._builder.add(name, data, meta)
            except BaseException as error:
                self._fail_unless_refused(error)
                raise

    def add_many(self, items: Iterable[Item]) -> None:
        """Add files in order: pairs of name and data, or triples with metadata. The quickest way to add many.

        Other threads wait until the last one is in; ``items`` must not call this writer.

        Raises:
            TypeError, ValueError, RuntimeError, OSError: as for `add_file`; what stood before the refused file is in
                the archive. What ``items`` raises passes through, and the archive goes on.
        """
        if self._big_files is not None:
            for name, data, *meta in items:
                self.add_file(name, data, meta[0] if meta else None)
            return
        failed: list[BaseException] = []
        with self._open_builder("files") as builder:
            builder.add_many(until_failure(items, failed))
        if failed:
            raise failed[0]

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
        if not 0 <= size < _SIZE_LIMIT:
            raise ValueError(f"the size of {name!r} is {size}: expected a length in bytes")
        key = key_of(self._prefix, name) if external_key is None else external_key
        described = {**(meta or {}), "size": size, "is_external": True, "external_key": key}
        with self._open_builder(name) as builder:
            builder.add_external(name, size, described)
            self._external[name] = ExternalObject(name, key, size)

    def delete(self, name: str) -> None:
        """Leave out a file of the archive that this one goes on from; it may be added anew. Version 2 only.

        Its bytes stay in the archive until `compact` writes it without them.

        Raises:
            KeyError: that archive has no such file, or it is deleted already.
            RuntimeError: the writer is closed or aborted.
        """
        with self._open_builder(name) as builder:
            builder.delete(name)

    def flush(self) -> None:
        """Write what is collected: should the process die from here on, `recover` brings it back from the torn file."""
        with self._open_builder("nothing") as builder:
            builder.flush()

    def get_external_files(self) -> list[ExternalObject]:
        """Return the files whose payloads are objects of their own, in the order they were added."""
        with self._lock:
            return list(self._external.values())

    def get_stats(self) -> ArchiveStats:
        """Count what the archive holds so far.

        Raises:
            RuntimeError: the writer is closed or aborted.
        """
        with self._lock:
            if self._state != "open":
                raise RuntimeError(f"cannot count: the archive {self._where} is {self._state}; ask a DesReader")
            try:
                return self._builder.stats()
            except BaseException:
                self._discard("failed")
                raise

    def close(self) -> None:
        """Write the rest, make the archive durable and give it its name. Does nothing when closed or aborted before.

        Raises:
            FileExistsError: something has come to stand at the path; it is left alone and the archive is dropped.
            RuntimeError: a write had failed before, so there is no archive.
            OSError: the disk failed; there is no archive. A sink may raise errors of its own to the same effect.
        """
        with self._lock:
            self._stored.wait_for(lambda: not self._storing or self._state != "open")
            if self._state == "failed":
                raise RuntimeError(f"there is no archive {self._where}: writing it failed before; write it anew")
            if self._state != "open":
                return
            try:
                self._builder.finish()
                self._builder.discard()
                self._sink.commit()
            except BaseException:
                self._discard("failed")
                raise
            self._state = "published"

    def abort(self) -> None:
        """Drop the archive and leave nothing behind. Does nothing when closed or aborted before."""
        with self._lock:
            if self._state == "open":
                self._discard("aborted")

    def _add_big(self, name: str, data: Buffer, size: int, meta: Mapping[str, object] | None) -> None:
        """Store first, then add the entry: there is never an entry without its object."""
        if self._big_files is None:
            raise ValueError(f"{name!r} cannot be external: this writer was given no big_files to store it in")
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"the data of {name!r} must be bytes, bytearray or memoryview, not {type(data).__name__}")
        key = key_of(self._prefix, name)
        with self._lock:
            if self._state != "open":
                raise self._closed(name)
            # A second file of that name must not replace the first one's object.
            if name in self._external or name in self._storing:
                raise ValueError(f"{name!r} is already in the archive")
            self._storing.add(name)
        try:
            self._big_files.put(key, bytes(data), attributes=attributes_of(name, size))
            self.add_external(name, size, meta, external_key=key)
        finally:
            with self._lock:
                self._storing.discard(name)
                self._stored.notify_all()

    def _closed(self, what: str) -> RuntimeError:
        return RuntimeError(f"cannot add {what!r}: the archive {self._where} is {self._state}")

    @contextmanager
    def _open_builder(self, what: str) -> Iterator[Builder]:
        """Give the builder to one thread at a time."""
        with self._lock:
            if self._state != "open":
                raise self._closed(what)
            try:
                yield self._builder
            except BaseException as error:
                self._fail_unless_refused(error)
                raise

    def _fail_unless_refused(self, error: BaseException) -> None:
        """A file that was refused changes nothing; anything else has left the archive half-written."""
        if self._sink.failed or not isinstance(error, (TypeError, ValueError, KeyError)):
            self._discard("failed")

    def _discard(self, state: Literal["aborted", "failed"]) -> None:
        self._state = state
        self._stored.notify_all()
        self._builder.discard()
        self._sink.abort()
