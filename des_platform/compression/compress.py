"""The compressed_objects stage: each large file becomes a compressed object of its own, proven before it is catalogued.

A file above the dataset's threshold is compressed by the codec that its own sample chose, written under a key that
follows from its name (`archives/<dataset>/<day>/_bigFiles/<name>`, where a DES v1 reader looks for external entries),
read back, decompressed and compared with the catalogue. Only then does the catalogue know of it. A file that does not
shrink is kept as it is. Small files are left to the shards, since writing a small object back as a small object would
be the very disease.

Files are locked a batch at a time; a kill undoes the batch in hand, and the objects it wrote are written again under
the same keys, with the same bytes. A file that cannot be read counts an attempt and its neighbours go on; after the
last attempt it is a dead letter.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from des_platform.catalog import dead_letters, files
from des_platform.catalog.dead_letters import DeadLetter
from des_platform.codecs import Choice, CorruptStream, Profile, choose, compress, sample_ranges
from des_platform.files.reader import verified
from des_platform.objectstore import IntegrityError, ObjectNotFound, PreconditionFailed, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    import sqlalchemy as sa

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.dataset import Dataset
    from des_platform.catalog.files import FileRow
    from des_platform.files.reader import FileReader
    from des_platform.objectstore import Buckets


@dataclass(slots=True)
class CompressionReport:
    """What one run did now: files by codec, files failed, small files left to the shards, bytes in and out."""

    codecs: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    small: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(frozen=True, slots=True)
class _Proven:
    """A file's fate: the object that holds it now (none: it stays as it is), or the problem."""

    file: FileRow
    choice: Choice | None = None
    object_key: str | None = None
    stored_size: int = 0
    problem: str | None = None


def object_key(file: FileRow) -> str:
    """Key of a large file's compressed object in the platform's bucket."""
    return f"archives/{file.dataset}/{file.day}/_bigFiles/{file.name}"


def compress_day(
    catalog: Catalog, buckets: Buckets, reader: FileReader, dataset: Dataset, day: date, *, threads: int
) -> CompressionReport:
    """Compress every large file of one partition that is not compressed yet, and leave the small ones to the shards.

    Args:
        catalog: the files.
        buckets: where originals are read and objects are written.
        reader: reads objects back.
        dataset: the partition's dataset.
        day: the partition's day (UTC).
        threads: files to compress at once.

    Raises:
        StoreUnavailable: the store itself is out of reach.
    """
    report = CompressionReport()
    profile = Profile(dataset.profile)
    after = 0
    with ThreadPoolExecutor(threads) as pool:
        while True:
            with catalog.begin() as connection:
                claimed = files.claim_large(
                    connection, dataset.name, day, larger_than=dataset.small_bytes, after=after, limit=threads
                )
                if not claimed:
                    break
                after = claimed[-1].file_id
                for proven in pool.map(lambda file: _compress_one(buckets, reader, profile, file), claimed):
                    _settle(connection, proven, report)
    with catalog.begin() as connection:
        report.small = files.leave_small_to_shards(connection, dataset.name, day, up_to=dataset.small_bytes)
    return report


def _compress_one(buckets: Buckets, reader: FileReader, profile: Profile, file: FileRow) -> _Proven:
    source = buckets.bucket(file.bucket)
    try:
        samples = source.get_ranges(file.key, sample_ranges(file.size), if_match=file.etag)
        choice = choose(samples, profile)
        if choice.codec.name == "store":
            _drain(verified(file, reader.original(file)))
            return _Proven(file, choice, None, file.size)
        return _write_and_prove(buckets, reader, choice, file)
    except (ObjectNotFound, PreconditionFailed) as error:
        return _Proven(file, problem=f"vanished or replaced after it was catalogued: {error}")
    except (IntegrityError, CorruptStream) as error:
        return _Proven(file, problem=str(error))
    except StoreUnavailable as error:
        # Raises where the whole bucket is out of reach; a HEAD cannot tell a missing bucket from a missing object.
        next(source.list("probe"), None)
        if _is_readable(reader, file):
            raise  # the platform's own bucket refused, or the trouble is over: no file is to blame
        return _Proven(file, problem=str(error))


def _write_and_prove(buckets: Buckets, reader: FileReader, choice: Choice, file: FileRow) -> _Proven:
    key = object_key(file)
    pieces = compress(choice.codec, verified(file, reader.original(file)))
    attributes = {
        "original_name": file.name,
        "size": str(file.size),
        "source": "des-platform",
        "codec": choice.codec.name,
    }
    written = buckets.own.put(key, pieces, attributes=attributes)
    if written.size >= file.size:
        buckets.own.delete(key)
        kept = Choice(choice.codec, f"kept as it is: {choice.codec.name} gave {written.size} of {file.size} bytes", 1.0)
        return _Proven(file, kept, None, file.size)
    _drain(verified(file, reader.object_content(buckets.own.bucket, key, choice.codec.name, file.size)))
    return _Proven(file, choice, key, written.size)


def _is_readable(reader: FileReader, file: FileRow) -> bool:
    try:
        _drain(reader.original(file))
    except (StoreUnavailable, ObjectNotFound, PreconditionFailed, IntegrityError):
        return False
    return True


def _drain(pieces: Iterator[bytes]) -> None:
    for _ in pieces:
        pass


def _settle(connection: sa.Connection, proven: _Proven, report: CompressionReport) -> None:
    file = proven.file
    if proven.choice is None:
        report.failed += 1
        if files.record_failure(connection, file.file_id, proven.problem or ""):
            letter = DeadLetter(
                "compressed_objects", file.subject, proven.problem or "", dataset=file.dataset, seq=file.seq
            )
            dead_letters.add(connection, letter)
        return
    codec = proven.choice.codec.name if proven.object_key else "store"
    files.mark_ready(
        connection,
        file.file_id,
        codec=codec,
        reason=proven.choice.reason,
        object_key=proven.object_key,
        stored_size=proven.stored_size,
    )
    report.codecs[codec] += 1
    report.bytes_in += file.size
    report.bytes_out += proven.stored_size
