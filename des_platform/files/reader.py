"""One reader for a file's original bytes, wherever they live now.

A file lives in up to three places: the bucket it arrived in, a compressed object of its own, an archive. `FileReader`
knows the order: a packed file is read through its archive (an external entry leads on to its object), a ready one from
its compressed object, any other from where it arrived. What comes out was compared with the catalogue: a wrong size or
SHA-256 raises `IntegrityError` at the end of the stream, so a consumer must not act on the bytes before the stream has
ended.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from des_platform.archive import CorruptArchive, DesReader
from des_platform.catalog import containers, files
from des_platform.codecs import UnknownCodec, decompress, get_codec
from des_platform.objectstore import IntegrityError, InvalidKey, ObjectNotFound, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from des_platform.catalog.containers import Container
    from des_platform.catalog.database import Catalog
    from des_platform.catalog.files import FileRow
    from des_platform.codecs import Codec
    from des_platform.objectstore import Buckets

_OPEN_ARCHIVES = 32


class FileReader:
    """Reads originals; safe to share between threads."""

    def __init__(self, catalog: Catalog, buckets: Buckets) -> None:
        self._catalog = catalog
        self._buckets = buckets
        # By etag too: a lost archive is rebuilt under its old key.
        self._archives: OrderedDict[tuple[str, str], DesReader] = OrderedDict()
        self._lock = threading.Lock()

    def stream(self, file: FileRow) -> Iterator[bytes]:
        """The original's bytes in pieces of some MiB.

        Args:
            file: the file as catalogued; a row from before the file was compressed, packed or packed anew is fine.

        Raises:
            ObjectNotFound: the object that should hold the bytes is gone.
            PreconditionFailed: another object stands in its place.
            IntegrityError: the bytes are not those that were catalogued.
            CorruptArchive: the archive that should hold them is damaged.
            CorruptStream: the compressed bytes are.
        """
        given = False
        try:
            for piece in verified(file, self._pieces(file)):
                given = True
                yield piece
        except (ObjectNotFound, PreconditionFailed):
            newer = self._look_up(file.name)
            if given or newer is None or _place(newer) == _place(file):
                raise
            yield from verified(newer, self._pieces(newer))

    def read(self, file: FileRow) -> bytes:
        """The original's bytes at once: for small files."""
        return b"".join(self.stream(file))

    def original(self, file: FileRow) -> Iterator[bytes]:
        """The bytes as they arrived, from where they arrived; not compared with anything."""
        return self._buckets.bucket(file.bucket).stream(file.key, if_match=file.etag)

    def unpacked(self, file: FileRow) -> Iterator[bytes]:
        """The bytes from the file's own object: its compressed one, else the original; not compared with anything."""
        if file.object_key is None:
            return self.original(file)
        return self.object_content(self._buckets.own.bucket, file.object_key, file.codec or "store", file.size)

    def object_content(self, bucket: str, key: str, codec: str, size: int) -> Iterator[bytes]:
        """What an object decompresses to, at most `size` bytes; not compared with anything."""
        return decompress(get_codec(codec), self._buckets.bucket(bucket).stream(key), max_size=size)

    def archive(self, container: Container) -> DesReader:
        """An opened archive; the ones used last stay open."""
        with self._lock:
            version = (container.key, container.etag)
            found = self._archives.get(version)
            if found is None:
                source = self._buckets.own.as_source(container.key, size=container.size, if_match=container.etag)
                found = self._archives[version] = DesReader(source)
            self._archives.move_to_end(version)
            while len(self._archives) > _OPEN_ARCHIVES:
                self._archives.popitem(last=False)
            return found

    def archive_sha256(self, container: Container) -> str:
        """SHA-256 (hex) of an archive as it is in the store now, whatever is open."""
        digest = hashlib.sha256()
        for piece in self._buckets.own.stream(container.key, if_match=container.etag):
            digest.update(piece)
        return digest.hexdigest()

    def _pieces(self, file: FileRow) -> Iterator[bytes]:
        return self.unpacked(file) if file.container_id is None else self._packed(file)

    def _packed(self, file: FileRow) -> Iterator[bytes]:
        with self._catalog.begin() as connection:
            container = containers.by_id(connection, file.container_id or 0)
        archive = self.archive(container)
        if file.name not in archive:
            raise CorruptArchive(
                f"{container.key} does not hold {file.subject}, which is catalogued there: pack it anew"
            )
        return self._external(archive, file) if archive.get_entry(file.name).is_external else member(archive, file)

    def _external(self, archive: DesReader, file: FileRow) -> Iterator[bytes]:
        meta = archive.get_meta(file.name)
        codec = codec_of(archive, file)
        try:
            return self.object_content(str(meta["external_bucket"]), str(meta["external_key"]), codec.name, file.size)
        except (KeyError, InvalidKey) as error:
            raise CorruptArchive(f"the archive's metadata of {file.subject} names no object: {error}") from error

    def _look_up(self, name: str) -> FileRow | None:
        with self._catalog.begin() as connection:
            return files.by_name(connection, name)


def member(archive: DesReader, file: FileRow) -> Iterator[bytes]:
    """The bytes of a file that lives inside an archive, decompressed by the codec that its metadata names."""
    return decompress(codec_of(archive, file), [archive.get_file(file.name)], max_size=file.size)


def codec_of(archive: DesReader, file: FileRow) -> Codec:
    """The codec of a file as its archive's metadata name it.

    Raises:
        CorruptArchive: they name none, or one that there is not.
    """
    try:
        return get_codec(str(archive.get_meta(file.name)["codec"]))
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
