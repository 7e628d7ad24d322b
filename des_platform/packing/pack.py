"""The des_shards stage: the files of one day and shard become one immutable archive.

Idempotence: members are sorted by name, and everything in the archive follows from the files (its id from their names
and checksums, its time from their day), so the same files give the same bytes; its key holds the start of its SHA-256
(`archives/<dataset>/<day>/<shard>.<digest>.des`). A late file makes a new generation that takes the other members over
from the generation before it, whichever version of the format that is of. A kill before the commit leaves at most an
object that the next attempt writes again, byte for byte.

Two writers: the shard's lease is taken first, and publishing checks its fencing token; whoever lost the lease publishes
nothing, and cannot have overwritten anything, since other content has another key. The archive is read back member by
member before it is uploaded.

A small file that cannot be read is left out, counted, and after its last attempt a dead letter; the others go on.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from des_platform.archive import CorruptArchive, DesReader, DesWriter, FileSource
from des_platform.archive.verification import verify
from des_platform.catalog import containers, files, leases
from des_platform.catalog.containers import NewContainer
from des_platform.catalog.leases import LeaseLost
from des_platform.catalog.metrics import Counts
from des_platform.files.reader import member, verified
from des_platform.naming import shard_label
from des_platform.objectstore import IntegrityError, ObjectNotFound, PreconditionFailed
from des_platform.packing.members import MemberSource, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date

    from des_platform.catalog.containers import Container
    from des_platform.catalog.database import Catalog
    from des_platform.catalog.dataset import Dataset
    from des_platform.catalog.files import FileRow
    from des_platform.catalog.leases import Lease
    from des_platform.files.reader import FileReader
    from des_platform.objectstore import Buckets
    from des_platform.packing.members import Member

_READ_AHEAD = 64  # small files in memory at once: 16 MiB at the default threshold
_COLUMNS = {"bucket": "string", "key": "string"}
"""Of a member's metadata, what SQL sees as columns of version 2: 23 bytes a member. With `sha256` it would be 67."""
_LEVELS = {"hot": 3, "warm": 9, "cold": 15, "compatible": 15, "archive": 15}
"""zstd's in version 2: the cheapest on 1,079 small files, a CPU second being worth what `codecs.choice` says it is."""


@dataclass(slots=True)
class PackReport:
    """One shard after packing.

    Attributes:
        container: its archive, or None where it has no files.
        original_bytes: of all its files.
        inside_bytes: of those whose bytes are in the archive, before they were packed.
        newly_packed: files that were in no archive before.
        left_out: files that could not be read.
    """

    container: Container | None = None
    original_bytes: int = 0
    inside_bytes: int = 0
    newly_packed: int = 0
    left_out: int = 0

    def count(self, rows: Sequence[FileRow]) -> None:
        """Take over the sizes of a shard's files."""
        self.original_bytes = sum(row.size for row in rows)
        self.inside_bytes = sum(row.size for row in rows if row.codec is None)


@dataclass(frozen=True, slots=True)
class Packer:
    """What packing needs, whatever the shard.

    Attributes:
        catalog: the files and the containers.
        buckets: where archives go.
        reader: reads originals.
        scratch: folder for archives while they are built.
        lease_seconds: life of a shard's lease without renewal.
        threads: files to read at once, and to compress.
    """

    catalog: Catalog
    buckets: Buckets
    reader: FileReader
    scratch: Path
    lease_seconds: float
    threads: int

    def pack(self, dataset: Dataset, day: date, shard: int) -> PackReport:
        """Publish the archive of one shard and day, unless the published one holds every file already.

        Raises:
            LeaseLost: another writer owns the shard.
            StoreUnavailable: the store itself is out of reach.
        """
        report = PackReport()
        if self._up_to_date(dataset, day, shard, report):
            return report
        started = time.monotonic()
        label = shard_label(shard, dataset.shard_bits)
        counts = Counts()
        try:
            with leases.held(self.catalog, f"{dataset.name}/{day}/{shard}", seconds=self.lease_seconds) as lease:
                if not self._up_to_date(dataset, day, shard, report):
                    self._build(dataset, day, shard, lease, report)
        except LeaseLost:
            counts.add("des_shard_lock_conflicts_total", shard_id=label)
            self._count(counts)
            raise
        counts.observe("des_packer_loop_duration_seconds", time.monotonic() - started, shard_id=label)
        self._count(counts)
        return report

    def _count(self, counts: Counts) -> None:
        with self.catalog.begin() as connection:
            counts.write(connection)

    def _up_to_date(self, dataset: Dataset, day: date, shard: int, report: PackReport) -> bool:
        with self.catalog.begin() as connection:
            rows = files.of_shard(connection, dataset.name, day, shard)
            report.container = containers.published(connection, dataset.name, day, shard)
        report.count(rows)
        if not rows:
            return True
        found = report.container
        if found is None or any(row.container_id != found.container_id for row in rows):
            return False
        try:
            return self.buckets.own.head(found.key).etag == found.etag
        except ObjectNotFound:
            return False

    def _build(self, dataset: Dataset, day: date, shard: int, lease: Lease, report: PackReport) -> None:
        with self.catalog.begin() as connection:
            rows = files.of_shard(connection, dataset.name, day, shard)
        before = report.container
        with tempfile.TemporaryDirectory(prefix="des-pack-", dir=self.scratch) as folder:
            path = Path(folder) / "archive.des"
            packed = self._write_readable(path, dataset, shard, rows, report)
            if not packed:
                return
            hint = _prove(path, packed)
            new = self._upload(path, dataset, day, shard, packed, hint)
        self._publish(new, packed, lease, shard_label(shard, dataset.shard_bits), report)
        # A member that could not be taken over may still be salvaged from the archive before: that one stays.
        if before is not None and before.key != new.key and not report.left_out:
            self.buckets.own.delete(before.key)

    def _publish(self, new: NewContainer, packed: list[FileRow], lease: Lease, label: str, report: PackReport) -> None:
        newly_packed = [row for row in packed if row.container_id is None]
        counts = Counts()
        counts.add("des_packer_files_packed_total", len(newly_packed), shard_id=label)
        counts.add("des_packer_bytes_packed_total", sum(row.size for row in newly_packed), shard_id=label)
        with self.catalog.begin() as connection:
            report.container = containers.publish(connection, new, lease)
            names = [row.name for row in packed]
            files.mark_packed(connection, new.dataset, new.day, new.shard, names, report.container.container_id)
            counts.write(connection)
        report.count(packed)
        report.newly_packed = len(newly_packed)

    def _write_readable(
        self, path: Path, dataset: Dataset, shard: int, rows: list[FileRow], report: PackReport
    ) -> list[FileRow]:
        """Write the archive of all files that can be read, and return them; begin anew without those that cannot.

        An archive's id names its members and stands at its front: whichever files are left out, the archive of the rest
        is the one that the rest alone would give.
        """
        source = MemberSource(self.buckets, self.reader, dataset, report.container)
        while rows and (unreadable := self._write(path, dataset, shard, rows, source)):
            report.left_out += len(unreadable)
            for found in unreadable:
                found.record(self.catalog)
            lost = {found.file.file_id for found in unreadable}
            rows = [row for row in rows if row.file_id not in lost]
        return rows

    def _write(
        self, path: Path, dataset: Dataset, shard: int, rows: Sequence[FileRow], source: MemberSource
    ) -> list[Unreadable]:
        unreadable = []
        with _writer(path, dataset, shard, rows, self.threads) as writer:
            for found in self._members(source, rows):
                if isinstance(found, Unreadable):
                    unreadable.append(found)
                elif not unreadable:
                    found.add_to(writer)
            if unreadable:
                writer.abort()
        return unreadable

    def _members(self, source: MemberSource, rows: Sequence[FileRow]) -> Iterator[Member | Unreadable]:
        with ThreadPoolExecutor(self.threads) as pool:
            for start in range(0, len(rows), _READ_AHEAD):
                yield from source.load(rows[start : start + _READ_AHEAD], pool)

    def _upload(
        self, path: Path, dataset: Dataset, day: date, shard: int, packed: list[FileRow], hint: bytes | None
    ) -> NewContainer:
        with path.open("rb") as archive:
            digest = hashlib.file_digest(archive, "sha256").hexdigest()
        key = f"archives/{dataset.name}/{day}/{shard_label(shard, dataset.shard_bits)}.{digest[:16]}.des"
        return NewContainer(
            dataset=dataset.name,
            day=day,
            shard=shard,
            key=key,
            etag=self._put(key, path, digest),
            size=path.stat().st_size,
            sha256=digest,
            files=len(packed),
            external_files=sum(row.codec is not None for row in packed),
            archive_version=dataset.archive_version,
            hint=hint,
        )

    def _put(self, key: str, path: Path, digest: str) -> str:
        """Upload an archive and return its etag; an equal object that is there stays.

        Writing the same bytes again gives another etag on `file://` (and on S3 with KMS keys), and the container that
        another writer has published meanwhile names the first one.
        """
        own = self.buckets.own
        try:
            return own.put_file(key, path, if_absent=True).etag
        except PreconditionFailed:
            try:
                there = own.digest(key)
            except (ObjectNotFound, PreconditionFailed, IntegrityError):
                return own.put_file(key, path).etag
            return there.etag if there.sha256 == digest else own.put_file(key, path).etag


def _writer(path: Path, dataset: Dataset, shard: int, rows: Sequence[FileRow], threads: int) -> DesWriter:
    if dataset.archive_version == 1:
        return DesWriter(path, format_version=1)
    midnight = datetime.combine(rows[0].day, datetime.min.time(), UTC)
    return DesWriter(
        path,
        archive_id=_archive_id(dataset, shard, rows),
        created_ms=int(midnight.timestamp()) * 1000,
        compression_level=_LEVELS[dataset.profile],
        columns=_COLUMNS,
        threads=threads,
        spill_folder=path.parent,
    )


def _archive_id(dataset: Dataset, shard: int, rows: Sequence[FileRow]) -> int:
    identity = hashlib.sha256(f"{dataset.name}\0{rows[0].day}\0{shard}\0".encode())
    for row in rows:
        identity.update(f"{row.name}\0{row.sha256}\0".encode())
    return int.from_bytes(identity.digest()[:8], "little")


def _prove(path: Path, packed: Iterable[FileRow]) -> bytes | None:
    """Read a finished archive back, whole and member by member, before anybody else sees it; returns its hint."""
    with FileSource(path) as source:
        found = verify(source)
    if not found.ok:
        raise CorruptArchive(f"an archive that was just written is broken: {found.problems[0]}")
    with DesReader(path) as archive:
        for file in packed:
            if file.codec is None:
                for _ in verified(file, member(archive, file)):
                    pass
        return archive.hint()
