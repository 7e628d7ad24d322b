"""The compressed_objects stage: each large file becomes a compressed object of its own, proven before it is catalogued.

A file above the dataset's threshold is compressed by the codec that its own sample chose, written under a key that
follows from its name (`archives/<dataset>/<day>/_bigFiles/<name>`, where a DES v1 reader looks for external entries),
read back, decompressed and compared with the catalogue. Only then does the catalogue know of it. Beside an object of
several frames stands their index, for reading ranges and frames side by side. A codec that turns out not to suit the
file (`copying` says when) gives way to the best ordinary one, and a file that does not shrink is kept as it is. Small
files are left to the shards, since writing a small object back as a small object would be the very disease.

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
from des_platform.catalog.metrics import Counts
from des_platform.codecs import CorruptStream, Profile
from des_platform.compression.copying import Copier
from des_platform.objectstore import IntegrityError, ObjectNotFound, PreconditionFailed, StoreUnavailable

if TYPE_CHECKING:
    from datetime import date

    import sqlalchemy as sa

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.dataset import Dataset
    from des_platform.catalog.files import Copy, FileRow
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
class _Outcome:
    """A file's fate: its proven copy, or the problem."""

    file: FileRow
    copy: Copy | None = None
    problem: str = ""


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
        threads: files to compress at once; where there are fewer, each has several frames in work.

    Raises:
        StoreUnavailable: the store itself is out of reach.
    """
    report = CompressionReport()
    copier = Copier(buckets, reader, Profile(dataset.profile))
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
                share = max(1, threads // len(claimed))
                counts = Counts()
                for outcome in pool.map(lambda file, share=share: _compress_one(copier, file, share), claimed):
                    _settle(connection, outcome, report, counts)
                counts.write(connection)
    with catalog.begin() as connection:
        report.small = files.leave_small_to_shards(connection, dataset.name, day, up_to=dataset.small_bytes)
    return report


def _compress_one(copier: Copier, file: FileRow, threads: int) -> _Outcome:
    try:
        return _Outcome(file, copier.copy(file, threads=threads))
    except (ObjectNotFound, PreconditionFailed) as error:
        return _Outcome(file, problem=f"vanished or replaced after it was catalogued: {error}")
    except (IntegrityError, CorruptStream) as error:
        return _Outcome(file, problem=str(error))
    except StoreUnavailable as error:
        # Raises where the whole bucket is out of reach; a HEAD cannot tell a missing bucket from a missing object.
        next(copier.buckets.bucket(file.bucket).list("probe"), None)
        if _is_readable(copier.reader, file):
            raise  # the platform's own bucket refused, or the trouble is over: no file is to blame
        return _Outcome(file, problem=str(error))


def _is_readable(reader: FileReader, file: FileRow) -> bool:
    try:
        for _ in reader.original(file):
            pass
    except (StoreUnavailable, ObjectNotFound, PreconditionFailed, IntegrityError):
        return False
    return True


def _settle(connection: sa.Connection, outcome: _Outcome, report: CompressionReport, counts: Counts) -> None:
    file, copy = outcome.file, outcome.copy
    if copy is None:
        report.failed += 1
        counts.add("des_compression_failures_total", dataset=file.dataset)
        if files.record_failure(connection, file.file_id, outcome.problem):
            letter = DeadLetter("compressed_objects", file.subject, outcome.problem, dataset=file.dataset, seq=file.seq)
            dead_letters.add(connection, letter)
        return
    files.mark_ready(connection, file.file_id, copy)
    report.codecs[copy.codec] += 1
    report.bytes_in += file.size
    report.bytes_out += copy.stored_size
    counts.add("des_compressed_files_total", dataset=file.dataset, codec=copy.codec)
    counts.add("des_compressed_original_bytes_total", file.size, dataset=file.dataset, codec=copy.codec)
    counts.add("des_compressed_bytes_total", copy.stored_size, dataset=file.dataset, codec=copy.codec)
