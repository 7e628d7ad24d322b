"""What one file becomes inside its archive.

A small file is a member: in an archive of version 2 its own bytes, which the archive compresses by itself, with what it
has learned from the member's neighbours; in one of version 1 a codec's bytes. A large one is an external entry that
points at its own object. The metadata of both carry what a rebuild of the catalogue needs: bucket, key, etag, SHA-256
and size of the original, and the codec where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from des_platform.archive import CorruptArchive, ExternalFile, UnsupportedVersion
from des_platform.catalog import dead_letters, files
from des_platform.catalog.dead_letters import DeadLetter
from des_platform.codecs import CorruptStream, Profile, choose, compress_bytes, sample_ranges
from des_platform.files.reader import unpacked_member, verified
from des_platform.objectstore import IntegrityError, ObjectNotFound, PreconditionFailed, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor

    from des_platform.archive import DesReader, DesWriter
    from des_platform.catalog.containers import Container
    from des_platform.catalog.database import Catalog
    from des_platform.catalog.dataset import Dataset
    from des_platform.catalog.files import FileRow
    from des_platform.files.reader import FileReader
    from des_platform.objectstore import Buckets

_LOST = (
    ObjectNotFound,
    PreconditionFailed,
    IntegrityError,
    CorruptArchive,
    UnsupportedVersion,
    CorruptStream,
    ExternalFile,
    KeyError,
)


@dataclass(frozen=True, slots=True)
class Member:
    """A file ready to be added.

    Attributes:
        file: the file as catalogued.
        codec: of the bytes in `data` or of the file's own object; None where the archive itself compresses.
        data: what to add; None for a large file.
        external_bucket: of a large file's own object.
        external_key: of the same.
    """

    file: FileRow
    codec: str | None
    data: bytes | None
    external_bucket: str = ""
    external_key: str = ""

    def add_to(self, writer: DesWriter) -> None:
        """Add the file to an archive."""
        file = self.file
        # The platform's own words come last: what a source calls its columns must not shadow them.
        meta: dict[str, object] = {**(file.meta or {}), "bucket": file.bucket, "key": file.key, "etag": file.etag}
        if self.codec is None:
            meta["sha256"] = file.sha256
        else:
            # The size that an archive itself knows is that of what the codec made.
            meta |= {"original_size": file.size, "sha256": file.sha256, "codec": self.codec}
        if self.data is not None:
            writer.add_file(file.name, self.data, meta)
            return
        meta["external_bucket"] = self.external_bucket
        writer.add_external(file.name, file.stored_size or file.size, meta, external_key=self.external_key)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that could not be read now."""

    file: FileRow
    problem: str

    def record(self, catalog: Catalog) -> None:
        """Count the attempt; after the last one the file is a dead letter."""
        with catalog.begin() as connection:
            if files.record_failure(connection, self.file.file_id, self.problem):
                letter = DeadLetter(
                    "des_shards", self.file.subject, self.problem, dataset=self.file.dataset, seq=self.file.seq
                )
                dead_letters.add(connection, letter)


@dataclass(frozen=True, slots=True)
class MemberSource:
    """Where the members of one archive come from; may be shared between threads.

    Attributes:
        buckets: where the platform's own objects and the originals are.
        reader: reads originals, and the archive before.
        dataset: decides the version of the archive, and the profile of a member's codec in version 1.
        before: the generation that this archive supersedes; its members are taken over.
    """

    buckets: Buckets
    reader: FileReader
    dataset: Dataset
    before: Container | None

    def load(self, window: Sequence[FileRow], pool: Executor) -> Iterator[Member | Unreadable]:
        """Read what some files contribute to their archive, in order.

        Args:
            window: files that are ready or packed.
            pool: reads them at once.

        Raises:
            StoreUnavailable: the store itself is out of reach.
        """
        taken = self._take_over(window)
        return pool.map(lambda file: taken.get(file.name) or self._load(file), window)

    def _load(self, file: FileRow) -> Member | Unreadable:
        if file.codec is not None:
            own = file.object_key is not None
            bucket, key = (self.buckets.own.bucket, file.object_key or "") if own else (file.bucket, file.key)
            return Member(file, file.codec, None, bucket, key)
        try:
            return self._member(file, self._content(file))
        except (ObjectNotFound, PreconditionFailed) as error:
            return Unreadable(file, f"vanished or replaced after it was catalogued: {error}")
        except _LOST as error:
            return Unreadable(file, str(error))
        except StoreUnavailable as error:
            # Raises where the whole bucket is out of reach; a HEAD cannot tell a missing bucket from a missing object.
            next(self.buckets.bucket(file.bucket).list("probe"), None)
            return Unreadable(file, str(error))

    def _content(self, file: FileRow) -> bytes:
        try:
            return b"".join(verified(file, self.reader.original(file)))
        except (ObjectNotFound, PreconditionFailed):
            if file.container_id is None:
                raise
            return self.reader.read(file)  # the original was removed; a generation that left the file out may hold it

    def _take_over(self, window: Sequence[FileRow]) -> dict[str, Member]:
        """What the generation before holds, proven; without what is lost there, so that the original is asked."""
        before = self.before
        inside = [
            file
            for file in window
            if file.codec is None and before is not None and file.container_id == before.container_id
        ]
        if before is None or not inside:
            return {}
        try:
            archive = self.reader.archive(before)
        except _LOST:
            return {}
        stored = self._stored(archive, [file.name for file in inside])
        taken = ((file.name, self._taken(archive, file, stored[file.name])) for file in inside if file.name in stored)
        return {name: member for name, member in taken if member is not None}

    def _stored(self, archive: DesReader, names: Sequence[str]) -> dict[str, bytes]:
        try:
            return archive.get_files_batch(names)
        except _LOST:
            pass  # of some of them; the others are asked for one by one
        found = {}
        for name in names:
            try:
                found[name] = archive.get_file(name)
            except _LOST:
                continue
        return found

    def _taken(self, archive: DesReader, file: FileRow, stored: bytes) -> Member | None:
        try:
            content = b"".join(verified(file, unpacked_member(archive, file, stored)))
            if self.dataset.archive_version == 1 and archive.version == 1:
                return Member(file, str(archive.get_meta(file.name)["codec"]), stored)
        except _LOST:
            return None
        return self._member(file, content)

    def _member(self, file: FileRow, content: bytes) -> Member:
        if self.dataset.archive_version != 1:
            return Member(file, None, content)
        samples = [content[start : start + length] for start, length in sample_ranges(len(content))]
        # Columns of their own would cost a small file more than they save.
        profile = Profile.COLD if self.dataset.profile == "archive" else Profile(self.dataset.profile)
        codec = choose(samples, profile).codec
        stored = compress_bytes(codec, content)
        if len(stored) >= len(content):
            return Member(file, "store", content)
        return Member(file, codec.name, stored)
