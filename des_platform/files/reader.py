"""One reader for a file's original bytes, wherever they live now.

A file lives in up to three places: the bucket it arrived in, a compressed object of its own, an archive. `FileReader`
knows the order: a packed file is read through its archive (an external entry leads on to its object), a ready one from
its compressed object, any other from where it arrived. What comes out was compared with the catalogue: a wrong size or
SHA-256 raises `IntegrityError` at the end of the stream, so a consumer must not act on the bytes before the stream has
ended.

Archives of both versions are read alike. One of version 2 is opened by the hint in its container's row, without a
request; a small file of it costs a request for its page, unless that is in memory, and one for its bytes.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

from des_platform.archive import CorruptArchive, DesReader, ExternalFile
from des_platform.archive.verification import verify
from des_platform.catalog import containers, files
from des_platform.catalog.dataset import MAX_SMALL_BYTES
from des_platform.codecs import UnknownCodec, decompress, get_codec
from des_platform.files.objects import StoredFile
from des_platform.objectstore import (
    IntegrityError,
    InvalidKey,
    ObjectNotFound,
    PreconditionFailed,
    RangeNotSatisfiable,
    check_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from des_platform.archive.verification import Verification
    from des_platform.catalog.containers import Container
    from des_platform.catalog.database import Catalog
    from des_platform.catalog.files import FileRow
    from des_platform.codecs import Codec, FrameIndex
    from des_platform.objectstore import Buckets

_OPEN_ARCHIVES = 32
_PAGES_OF_AN_ARCHIVE = 8 * 1024 * 1024
"""Bytes of pages in memory: enough for all 350,000 names of an archive, and 256 MiB for all that are open."""
_KNOWN_CONTAINERS = 4096
_KNOWN_INDEXES = 64

Key = TypeVar("Key")
Value = TypeVar("Value")


class _Recent(Generic[Key, Value]):
    """What was used last, up to a number; safe for threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: Key, value: Value) -> Value:
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return value


class FileReader:
    """Reads originals; safe to share between threads."""

    def __init__(self, catalog: Catalog, buckets: Buckets) -> None:
        self._catalog = catalog
        self._buckets = buckets
        # By etag too: a lost archive is rebuilt under its old key.
        self._archives = _Recent[tuple[str, str], DesReader](_OPEN_ARCHIVES)
        self._containers = _Recent[int, "Container"](_KNOWN_CONTAINERS)
        self._indexes = _Recent[tuple[str, str, str, int | None], "FrameIndex"](_KNOWN_INDEXES)

    def stream(self, file: FileRow, *, threads: int = 1) -> Iterator[bytes]:
        """The original's bytes in pieces of some MiB.

        Args:
            file: the file as catalogued; a row from before the file was compressed, packed or packed anew is fine.
            threads: frames of an indexed object to decompress side by side.

        Raises:
            ObjectNotFound: the object that should hold the bytes is gone.
            PreconditionFailed: another object stands in its place.
            IntegrityError: the bytes are not those that were catalogued.
            CorruptArchive: the archive that should hold them is damaged.
            CorruptStream: the compressed bytes are.
        """
        yield from self._wherever_it_is(file, lambda row: verified(row, self._pieces(row, threads)))

    def range(self, file: FileRow, offset: int, length: int, *, threads: int = 1) -> Iterator[bytes]:
        """A range of the original's bytes in pieces of some MiB.

        An object with an index costs the requests for the frames that hold the range, each proven by its checksum;
        one without is read from its beginning and compared with nothing. A member of an archive is read and compared
        whole, since it is small.

        Args:
            file: as for `stream`.
            offset: where the range begins.
            length: its bytes.
            threads: frames to decompress side by side.

        Raises:
            RangeNotSatisfiable: the range reaches past the file's end.
            ObjectNotFound: as for `stream`; so are the others.
        """
        if offset < 0 or length < 0 or offset + length > file.size:
            raise RangeNotSatisfiable(
                f"{file.subject} has {file.size} bytes, not {length} from {offset} on: ask for less"
            )
        return self._wherever_it_is(file, lambda row: self._range(row, offset, length, threads))

    def read(self, file: FileRow) -> bytes:
        """The original's bytes at once: for small files."""
        return b"".join(self.stream(file))

    def original(self, file: FileRow) -> Iterator[bytes]:
        """The bytes as they arrived, from where they arrived; not compared with anything."""
        return self._buckets.bucket(file.bucket).stream(file.key, if_match=file.etag)

    def unpacked(self, file: FileRow, *, threads: int = 1) -> Iterator[bytes]:
        """The bytes from the file's own object: its compressed one, else the original; not compared with anything."""
        if file.object_key is None:
            return self.original(file)
        return self._content(file, self._own_object(file), threads)

    def object_content(
        self, bucket: str, key: str, codec: str, size: int, *, index: FrameIndex | None = None, threads: int = 1
    ) -> Iterator[bytes]:
        """What an object decompresses to, at most `size` bytes; not compared with anything but the index, if given."""
        return StoredFile(self._buckets.bucket(bucket), key, get_codec(codec), size).content(index, threads)

    def archive(self, container: Container) -> DesReader:
        """An opened archive; the ones used last stay open."""
        version = (container.key, container.etag)
        found = self._archives.get(version)
        if found is not None:
            return found
        source = self._buckets.own.as_source(container.key, if_match=container.etag)
        opened = DesReader(
            source,
            hint=container.hint,
            page_cache_bytes=_PAGES_OF_AN_ARCHIVE,
            max_object_bytes=MAX_SMALL_BYTES,
        )
        return self._archives.put(version, opened)

    def archive_sha256(self, container: Container) -> str:
        """SHA-256 (hex) of an archive as it is in the store now, whatever is open."""
        return self._buckets.own.digest(container.key, if_match=container.etag).sha256

    def verify_archive(self, container: Container) -> Verification:
        """Read an archive whole, as it is in the store now, and compare all that it says twice."""
        return verify(self._buckets.own.as_source(container.key, if_match=container.etag))

    def _wherever_it_is(self, file: FileRow, pieces: Callable[[FileRow], Iterator[bytes]]) -> Iterator[bytes]:
        """The pieces by a row; where they are gone from there, by the file's newest one."""
        given = False
        try:
            for piece in pieces(file):
                given = True
                yield piece
        except (ObjectNotFound, PreconditionFailed):
            newer = self._look_up(file.name)
            if given or newer is None or _place(newer) == _place(file):
                raise
            yield from pieces(newer)

    def _pieces(self, file: FileRow, threads: int) -> Iterator[bytes]:
        if file.container_id is None:
            return self.unpacked(file, threads=threads)
        home = self._packed(file)
        return self._content(file, home, threads) if isinstance(home, StoredFile) else home

    def _range(self, file: FileRow, offset: int, length: int, threads: int) -> Iterator[bytes]:
        home = self._own_object(file) if file.container_id is None else self._packed(file)
        if isinstance(home, StoredFile):
            return home.range(self._index(file, home), offset, length, threads)
        return iter([b"".join(verified(file, home))[offset : offset + length]])

    def _content(self, file: FileRow, stored: StoredFile, threads: int) -> Iterator[bytes]:
        return stored.content(self._index(file, stored) if threads > 1 else None, threads)

    def _index(self, file: FileRow, stored: StoredFile) -> FrameIndex | None:
        # An object that is written anew may be of another codec, and then of another size.
        version = (stored.store.bucket, stored.key, stored.codec.name, file.stored_size)
        found = self._indexes.get(version)
        if found is not None:
            return found
        loaded = stored.load_index()
        return None if loaded is None else self._indexes.put(version, loaded)

    def _own_object(self, file: FileRow) -> StoredFile:
        if file.object_key is None:
            return StoredFile(self._buckets.bucket(file.bucket), file.key, get_codec("store"), file.size, file.etag)
        codec = get_codec(file.codec or "store")
        return StoredFile(self._buckets.own, file.object_key, codec, file.size, indexed=file.indexed)

    def _packed(self, file: FileRow) -> StoredFile | Iterator[bytes]:
        """The object that an archive leads to, or the bytes of its member."""
        container = self._container(file.container_id or 0)
        archive = self.archive(container)
        try:
            return member(archive, file) if file.codec is None else self._external(archive, file)
        except (KeyError, ExternalFile) as error:
            raise CorruptArchive(
                f"{container.key} does not hold {file.subject} as it is catalogued there ({error}): pack it anew"
            ) from error

    def _external(self, archive: DesReader, file: FileRow) -> StoredFile:
        meta = archive.get_meta(file.name)
        codec = _codec_in(meta, file)
        try:
            bucket, key = str(meta["external_bucket"]), check_key(str(meta["external_key"]))
            store = self._buckets.bucket(bucket)
        except (KeyError, InvalidKey) as error:
            raise CorruptArchive(f"the archive's metadata of {file.subject} names no object: {error}") from error
        if (bucket, key) == (file.bucket, file.key):
            return StoredFile(store, key, codec, file.size, file.etag)
        return StoredFile(store, key, codec, file.size, indexed=file.indexed)

    def _container(self, container_id: int) -> Container:
        # The row of a container never changes, but for its state.
        found = self._containers.get(container_id)
        if found is not None:
            return found
        with self._catalog.begin() as connection:
            return self._containers.put(container_id, containers.by_id(connection, container_id))

    def _look_up(self, name: str) -> FileRow | None:
        with self._catalog.begin() as connection:
            return files.by_name(connection, name)


def member(archive: DesReader, file: FileRow) -> Iterator[bytes]:
    """The bytes of a file that lives inside an archive.

    Raises:
        CorruptArchive: the archive or its metadata of the file are broken.
        KeyError: it holds no such file.
        ExternalFile: the file is an object of its own.
    """
    return unpacked_member(archive, file, archive.get_file(file.name))


def unpacked_member(archive: DesReader, file: FileRow, stored: bytes) -> Iterator[bytes]:
    """The bytes of a file, of what `DesReader.get_file` gave for it.

    Version 2 compresses by itself; in version 1 a member is a codec's bytes, and the metadata name the codec.

    Raises:
        CorruptArchive: the metadata name no codec, or one that there is not.
    """
    if archive.version == 1:
        return decompress(_codec_in(archive.get_meta(file.name), file), [stored], max_size=file.size)
    return iter([stored])


def _codec_in(meta: Mapping[str, object], file: FileRow) -> Codec:
    try:
        return get_codec(str(meta["codec"]))
    except (KeyError, UnknownCodec) as error:
        raise CorruptArchive(f"the archive's metadata of {file.subject} name no known codec: {error}") from error


def _place(file: FileRow) -> tuple[int | None, str | None]:
    return file.container_id, file.object_key


def verified(file: FileRow, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pass bytes through and compare them with the catalogue at the end.

    Raises:
        IntegrityError: size or SHA-256 differ.
    """
    digest = hashlib.sha256()
    size = 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
        yield piece
    if size != file.size or digest.hexdigest() != file.sha256:
        raise IntegrityError(
            f"{file.subject} came back as {size} bytes with SHA-256 {digest.hexdigest()}; catalogued are "
            f"{file.size} bytes with {file.sha256}"
        )
