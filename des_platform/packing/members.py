"""What one file becomes inside its archive.

A small file is stored as a codec's bytes, a large one as an external entry that points at its own object. The metadata
of both carries what a rebuild of the catalogue needs: bucket, key, etag, size and SHA-256 of the original, and the
codec.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from des_platform.archive import CorruptArchive, UnsupportedVersion
from des_platform.catalog import dead_letters, files
from des_platform.catalog.dead_letters import DeadLetter
from des_platform.codecs import CorruptStream, Profile, choose, compress_bytes, sample_ranges
from des_platform.files import member as member_bytes
from des_platform.files import verified
from des_platform.objectstore import IntegrityError, ObjectNotFound, PreconditionFailed, StoreUnavailable

if TYPE_CHECKING:
    from des_platform.archive import DesWriter
    from des_platform.catalog.containers import Container
    from des_platform.catalog.database import Catalog
    from des_platform.catalog.dataset import Dataset
    from des_platform.catalog.files import FileRow
    from des_platform.files import FileReader
    from des_platform.objectstore import Buckets


@dataclass(frozen=True, slots=True)
class Member:
    """A file ready to be added: the stored bytes of a small one, None for a large one."""

    file: FileRow
    codec: str
    stored: bytes | None
    external_bucket: str = ""
    external_key: str = ""

    def add_to(self, writer: DesWriter) -> None:
        """Add the file to an archive."""
        file = self.file
        meta: dict[str, object] = {
            "bucket": file.bucket,
            "key": file.key,
            "etag": file.etag,
            "original_size": file.size,
            "sha256": file.sha256,
            "codec": self.codec,
        }
        if self.stored is not None:
            writer.add_file(file.name, self.stored, meta)
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
                letter = DeadLetter("des_shards", self.file.subject, self.problem, dataset=self.file.dataset)
                dead_letters.add(connection, letter)


def load_member(
    buckets: Buckets, reader: FileReader, dataset: Dataset, file: FileRow, before: Container | None
) -> Member | Unreadable:
    """Read what one file contributes to its archive.

    Args:
        buckets: where the platform's own objects and the originals are.
        reader: reads originals.
        dataset: decides the profile of the codec.
        file: a file that is ready or packed.
        before: the generation that this archive supersedes; its members' stored bytes are taken over.

    Raises:
        StoreUnavailable: the store itself is out of reach.
    """
    if file.codec is not None:
        own = file.object_key is not None
        bucket, key = (buckets.own.bucket, file.object_key or "") if own else (file.bucket, file.key)
        return Member(file, file.codec, None, bucket, key)
    if before is not None and file.container_id == before.container_id and (taken := _take_over(reader, file, before)):
        return taken
    try:
        return _compress(dataset, file, b"".join(verified(file, reader.original(file))))
    except (ObjectNotFound, PreconditionFailed) as error:
        return Unreadable(file, f"vanished or replaced after it was catalogued: {error}")
    except IntegrityError as error:
        return Unreadable(file, str(error))
    except StoreUnavailable as error:
        # Raises where the whole bucket is out of reach; a HEAD cannot tell a missing bucket from a missing object.
        next(buckets.bucket(file.bucket).list("probe"), None)
        return Unreadable(file, str(error))


def _take_over(reader: FileReader, file: FileRow, before: Container) -> Member | None:
    """The stored bytes of the generation before, proven; None where they are lost, so that the original is asked."""
    try:
        archive = reader.archive(before)
        for _ in verified(file, member_bytes(archive, file)):
            pass
        return Member(file, str(archive.get_meta(file.name)["codec"]), archive.get_file(file.name))
    except (
        ObjectNotFound,
        PreconditionFailed,
        IntegrityError,
        CorruptArchive,
        UnsupportedVersion,
        CorruptStream,
        KeyError,
    ):
        return None


def _compress(dataset: Dataset, file: FileRow, content: bytes) -> Member:
    samples = [content[start : start + length] for start, length in sample_ranges(len(content))]
    codec = choose(samples, Profile(dataset.profile)).codec
    stored = compress_bytes(codec, content)
    if len(stored) >= len(content):
        return Member(file, "store", content)
    return Member(file, codec.name, stored)
