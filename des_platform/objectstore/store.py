"""One bucket: every verb that the platform uses on objects, the same on `file://` and on any S3-compatible store.

Verbs are synchronous and may be called from any thread. Retries, backoff and timeouts belong to the clients
(`buckets.py`); there is no second retry here. Keys are checked before any request (`InvalidKey`); what the store
answers becomes one of the errors of `errors.py`.

The stores differ in this:

* A folder keeps no attributes, has no compare-and-swap on put, and cannot hold both `a` and `a/b`, a file name longer
  than about 250 bytes, or one that ends in `#` and digits (`UnsupportedByStore`).
* `copy` on `file://` is a hard link. That is safe because a put never changes a file in place, and costs no space.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import obstore

from des_platform.objectstore.downloads import Downloader
from des_platform.objectstore.errors import ObjectNotFound, PreconditionFailed, translated
from des_platform.objectstore.keys import check_key
from des_platform.objectstore.ranges import check_range
from des_platform.objectstore.sources import ObjectSource
from des_platform.objectstore.threads import bounded_map
from des_platform.objectstore.uploads import PART_BYTES, PutOptions, Uploader

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from obstore.store import LocalStore, S3Store

    from des_platform.objectstore.listing import Listing
    from des_platform.objectstore.objects import Digest, ObjectInfo, Progress, PutResult
    from des_platform.objectstore.s3_calls import S3Calls
    from des_platform.objectstore.sinks import ObjectSink, SinkOpener

CHUNK_BYTES = 8 * 1024 * 1024
PUTS_AT_ONCE = 8
_DELETES_AT_ONCE = 1000


class ObjectStore:
    """One bucket. `Buckets` makes them.

    Args:
        bucket: the bucket's name.
        url: `s3://NAME` or `file:///FOLDER/NAME`.
        client: obstore's client of the bucket.
        listing: lists the bucket.
        sinks: takes the objects that come piece by piece.
        staging: on `file://`, obstore's client of the folder that holds the buckets; None on S3.
        delete_version: deletes an object, by key, if its etag matches; None on `file://`, which cannot.
        s3: asks what obstore cannot; None on `file://`.
    """

    def __init__(
        self,
        bucket: str,
        url: str,
        client: S3Store | LocalStore,
        listing: Listing,
        sinks: SinkOpener,
        *,
        staging: LocalStore | None = None,
        delete_version: Callable[[str, str], None] | None = None,
        s3: S3Calls | None = None,
    ) -> None:
        self.bucket = bucket
        self.url = url
        self.s3 = s3
        self._client = client
        self._listing = listing
        self._sinks = sinks
        self._delete_version = delete_version
        self._uploader = Uploader(bucket, client, staging)
        self._downloader = Downloader(bucket, client)
        self._is_folder = staging is not None

    def uri(self, key: str) -> str:
        """The object's address: the bucket's URL, '/', and the key as it is, without percent-encoding."""
        return f"{self.url}/{check_key(key)}"

    def put(
        self,
        key: str,
        data: bytes | Iterable[bytes],
        *,
        attributes: Mapping[str, str] | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
        progress: Progress | None = None,
    ) -> PutResult:
        """Store an object, whole or not at all.

        A stream is read once and sent in parts of 8 MiB; an exception from it aborts the upload and leaves the bucket
        as it was. The stream may itself read from this or another bucket.

        Args:
            key: the object's key.
            data: the bytes, or chunks of any size.
            attributes: user metadata, printable ASCII; `Content-Type` and the other standard names become the
                object's headers. A folder cannot keep them: on `file://` they are checked and then left out, so
                nothing may depend on reading them back.
            if_absent: only if the key is free. Atomic, except for a stream longer than one part on S3: obstore has no
                conditional completion, so the key is checked before the first part and again before the upload
                completes. When a reply is lost and the client retries, a put that won can report that it lost:
                compare what is stored before giving up.
            if_match: only if the object's etag is still this one. S3 only, and a stream must fit into one part.
            progress: called after each chunk.

        Raises:
            PreconditionFailed: `if_absent` or `if_match` lost.
            UnsupportedByStore: `if_match` on `file://` or with a long stream; a key that a folder cannot hold.
            StoreUnavailable: the store refused or did not answer.
            ValueError: attributes that S3 cannot carry; both conditions at once.
        """
        check_key(key)
        if isinstance(data, bytes):
            options = PutOptions(attributes, if_absent, if_match, progress, len(data))
            return self._uploader.put_bytes(key, memoryview(data), options)
        return self._uploader.put_chunks(key, data, PutOptions(attributes, if_absent, if_match, progress, None))

    def put_many(self, items: Iterable[tuple[str, bytes]]) -> builtins.list[PutResult]:
        """Store many small objects, eight at once, each replacing what its key held.

        Args:
            items: (key, bytes) pairs; taken as they are sent, so memory holds a few dozen of them.

        Returns:
            What was stored, in the order of `items`.

        Raises:
            InvalidKey: one of the keys; it and those behind it are not sent.
            StoreUnavailable: the store refused one; others may be stored.
        """
        return bounded_map(lambda item: self.put(*item), items, PUTS_AT_ONCE)

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        attributes: Mapping[str, str] | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
        progress: Progress | None = None,
    ) -> PutResult:
        """Store a file, streamed from disk. Arguments and errors as for `put`; progress knows the total."""
        check_key(key)
        with path.open("rb") as file:
            options = PutOptions(attributes, if_absent, if_match, progress, path.stat().st_size)
            return self._uploader.put_chunks(key, iter(partial(file.read, PART_BYTES), b""), options)

    def get(self, key: str, *, max_bytes: int, if_match: str | None = None) -> bytes:
        """Read a whole object into memory.

        Args:
            key: the object's key.
            max_bytes: an object larger than this is refused before its bytes are read.
            if_match: only if the object's etag is this one.

        Raises:
            ObjectNotFound: there is none.
            ObjectTooLarge: it is larger than `max_bytes`.
            PreconditionFailed: its etag is another one.
            IntegrityError: the store sent fewer or more bytes than it announced.
        """
        return self._downloader.whole(check_key(key), max_bytes, if_match)

    def stream(
        self,
        key: str,
        *,
        if_match: str | None = None,
        chunk_bytes: int = CHUNK_BYTES,
        progress: Progress | None = None,
    ) -> Iterator[bytes]:
        """Read an object chunk by chunk, one request each, so that a slow reader never meets a time-out.

        Memory holds one chunk. Every request after the first asks for the version that the first one saw.

        Args:
            key: the object's key.
            if_match: only if the object's etag is this one.
            chunk_bytes: size of every chunk but the last.
            progress: called with each chunk, before it is yielded.

        Raises:
            ObjectNotFound: there is none.
            PreconditionFailed: its etag is not `if_match`.
            IntegrityError: it was replaced while it was read, or its bytes are fewer than announced.
        """
        if chunk_bytes < 1:
            raise ValueError(f"chunk_bytes is {chunk_bytes}, expected at least 1")
        return self._downloader.chunks(check_key(key), if_match, chunk_bytes, progress)

    def get_range(self, key: str, offset: int, length: int, *, if_match: str | None = None) -> bytes:
        """Read exactly `length` bytes from `offset`; a length of 0 gives b"" without a request.

        Raises:
            ObjectNotFound: there is no such object.
            RangeNotSatisfiable: the range reaches past the object's end.
            PreconditionFailed: the object's etag is not `if_match`.
        """
        check_key(key)
        check_range(offset, length)
        return self._downloader.exactly(key, offset, length, if_match)[0] if length else b""

    def get_ranges(
        self, key: str, ranges: Sequence[tuple[int, int]], *, if_match: str | None = None
    ) -> builtins.list[bytes]:
        """Read many ranges of one object, up to eight requests at once.

        Neighbours share a request where little is read for nothing (`ranges.spans_of`).

        Args:
            key: the object's key.
            ranges: (offset, length) pairs in bytes, in any order; they may overlap or be empty.
            if_match: only if the object's etag is this one.

        Returns:
            The bytes in the order of `ranges`.

        Raises:
            IntegrityError: without `if_match`, the object was replaced between two requests.
            ObjectNotFound: as for `get_range`; so are RangeNotSatisfiable and PreconditionFailed.
        """
        return self._downloader.ranges(check_key(key), ranges, if_match)

    def digest(self, key: str, *, if_match: str | None = None) -> Digest:
        """Read a whole object, chunk by chunk, for its size and SHA-256.

        Args:
            key: the object's key.
            if_match: only if the object's etag is this one.

        Raises:
            IntegrityError: the object was replaced while it was read.
            ObjectNotFound: as for `get`; so is PreconditionFailed.
        """
        return self._downloader.digest(check_key(key), if_match, CHUNK_BYTES)

    def head(self, key: str) -> ObjectInfo:
        """Describe an object without reading it.

        Raises:
            ObjectNotFound: there is none.
        """
        return self._downloader.head(check_key(key))

    def exists(self, key: str) -> bool:
        """Whether there is an object under this key."""
        try:
            self.head(key)
        except ObjectNotFound:
            return False
        return True

    def copy(self, src_key: str, dst_key: str) -> None:
        """Copy an object within the bucket, in the store, replacing what `dst_key` holds. S3 copies at most 5 GiB.

        Raises:
            ObjectNotFound: there is no `src_key`.
        """
        check_key(dst_key)
        if src_key == dst_key:
            self.head(src_key)  # S3 refuses to copy an object to itself
            return
        with translated(self.bucket, check_key(src_key), writing=True):
            obstore.copy(self._client, src_key, dst_key)

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        """Delete an object; one that is absent is deleted already. In a versioned bucket a delete marker is written.

        Args:
            key: the object's key.
            if_match: only if the object's etag is this one. Atomic where the server knows conditional deletions, as S3
                does; elsewhere the etag is looked at right before.

        Raises:
            ObjectNotFound: `if_match`, and there is none.
            PreconditionFailed: `if_match`, and another object stands there.
            StoreUnavailable: the store refused.
        """
        if if_match is not None:
            found = self.head(key)
            if found.etag != if_match:
                raise PreconditionFailed(
                    f"bucket {self.bucket!r}, key {key!r}: the object there has etag {found.etag}, not {if_match}"
                )
            if self._delete_version is not None:
                self._delete_version(key, if_match)
                return
        self.delete_many([key])

    def delete_many(self, keys: Iterable[str]) -> None:
        """Delete objects, 1000 in a request on S3; absent ones are deleted already.

        Raises:
            InvalidKey: one of the keys; those of earlier requests are gone.
            StoreUnavailable: the store refused one; others may be gone.
        """
        checked = (check_key(key) for key in keys)
        while batch := list(islice(checked, _DELETES_AT_ONCE)):
            # LocalStore stops at the first absent file, so a folder's files go one by one.
            for together in [[key] for key in batch] if self._is_folder else [batch]:
                try:
                    with translated(self.bucket, together[0]):
                        obstore.delete(self._client, together)
                except ObjectNotFound:
                    continue

    def as_source(self, key: str, *, if_match: str | None = None) -> ObjectSource:
        """An object as a random-access source of bytes, which is what the archive reader takes; asks nothing yet.

        Args:
            key: the object's key.
            if_match: read only this version; otherwise only the one that the first answer shows.
        """
        return ObjectSource(self._downloader, self._sinks.server, self.bucket, check_key(key), if_match)

    def open_sink(self, key: str, *, if_absent: bool = True, attributes: Mapping[str, str] | None = None) -> ObjectSink:
        """Open a sink for an object whose bytes come piece by piece; whoever opens it commits or aborts it.

        Args:
            key: the object's key.
            if_absent: only if the key is free. Atomic where the server knows conditional completions, as S3 does.
            attributes: as for `put`.

        Raises:
            ValueError: attributes that S3 cannot carry.
            StoreUnavailable: the folder cannot be written to.
        """
        return self._sinks.open(check_key(key), PutOptions(attributes, if_absent, None, None, None))

    def finish_torn_upload(self, key: str) -> str | None:
        """Make an object of what a killed writer of this key had stored, up to the first gap.

        On S3 nobody can tell whether an upload's writer still lives: make sure first.

        Returns:
            The etag of the object, which ends where the upload was torn; None if there is nothing to bring back.

        Raises:
            PreconditionFailed: the key is taken.
            StoreUnavailable: the store refused or did not answer.
        """
        return self._sinks.finish_torn(check_key(key))

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        """List objects lazily, in the order of the keys' UTF-8 bytes, on both stores.

        Every key is reported as the store has it, also one that `check_key` refuses: the caller decides what to do
        with it. On `file://` a name that is not UTF-8 comes with surrogate escapes. A missing folder has no objects;
        a missing S3 bucket raises.

        Args:
            prefix: plain start of the keys, not a folder: `a/b` finds `a/b/c` and `a/bc.txt`.
            start_after: only keys greater than this one.

        Raises:
            StoreUnavailable: at the page that the store refused.
        """
        return self._listing(prefix, start_after or "")
