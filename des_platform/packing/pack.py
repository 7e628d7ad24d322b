"""The des_shards stage: the files of one day and shard become one immutable archive.

Idempotence: members are sorted by name and their bytes follow from the files, so the same files give the same archive;
its key holds the start of its SHA-256 (`archives/<dataset>/<day>/<shard>.<digest>.des`). A late file makes a new
generation that takes the other members' stored bytes over from the generation before it. A kill before the commit
leaves at most an object that the next attempt writes again, byte for byte.

Two writers: the shard's lease is taken first, and publishing checks its fencing token; whoever lost the lease publishes
nothing, and cannot have overwritten anything, since other content has another key. The archive is read back member by
member before it is uploaded.

A small file that cannot be read is left out, counted, and after its last attempt a dead letter; the others go on.
"""

from __future__ import annotations

import hashlib
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from des_platform.archive import DesReader, DesWriter
from des_platform.catalog import containers, files, leases
from des_platform.catalog.containers import NewContainer
from des_platform.naming import shard_label
from des_platform.objectstore import IntegrityError, ObjectNotFound, PreconditionFailed
from des_platform.packing.members import Member, Unreadable, load_member

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date

    from des_platform.catalog.containers import Container
    from des_platform.catalog.database import Catalog
    from des_platform.catalog.dataset import Dataset
    from des_platform.catalog.files import FileRow
    from des_platform.catalog.leases import Lease
    from des_platform.files import FileReader
    from des_platform.objectstore import Buckets

_READ_AHEAD = 64  # small files in memory at once: 16 MiB at the default threshold


@dataclass(slots=True)
class PackReport:
    """One shard after packing: its archive, or None where it has no files; sizes in bytes."""

    container: Container | None = None
    original_bytes: int = 0
    newly_packed: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Packer:
    """What packing needs, whatever the shard.

    Attributes:
        catalog: the files and the containers.
        buckets: where archives go.
        reader: reads originals.
        scratch: folder for archives while they are built.
        lease_seconds: life of a shard's lease without renewal.
        threads: files to read at once.
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
        with leases.held(self.catalog, f"{dataset.name}/{day}/{shard}", seconds=self.lease_seconds) as lease:
            if not self._up_to_date(dataset, day, shard, report):
                self._build(dataset, day, shard, lease, report)
        return report

    def _up_to_date(self, dataset: Dataset, day: date, shard: int, report: PackReport) -> bool:
        with self.catalog.begin() as connection:
            rows = files.of_shard(connection, dataset.name, day, shard)
            report.container = containers.published(connection, dataset.name, day, shard)
        report.original_bytes = sum(row.size for row in rows)
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
            packed = self._write(path, dataset, rows, before, report)
            if not packed:
                return
            _prove(path, packed)
            new = self._upload(path, dataset, day, shard, packed)
        with self.catalog.begin() as connection:
            report.container = containers.publish(connection, new, lease)
            names = [row.name for row in packed]
            files.mark_packed(connection, dataset.name, day, shard, names, report.container.container_id)
        report.original_bytes = sum(row.size for row in packed)
        report.newly_packed = sum(row.container_id is None for row in packed)
        # A member that could not be taken over may still be salvaged from the archive before: that one stays.
        if before is not None and before.key != new.key and not report.left_out:
            self.buckets.own.delete(before.key)

    def _write(
        self, path: Path, dataset: Dataset, rows: list[FileRow], before: Container | None, report: PackReport
    ) -> list[FileRow]:
        packed = []
        with DesWriter(path) as writer:
            for member in self._members(dataset, rows, before):
                if isinstance(member, Unreadable):
                    report.left_out += 1
                    member.record(self.catalog)
                    continue
                member.add_to(writer)
                packed.append(member.file)
        return packed

    def _members(
        self, dataset: Dataset, rows: list[FileRow], before: Container | None
    ) -> Iterator[Member | Unreadable]:
        with ThreadPoolExecutor(self.threads) as pool:
            for start in range(0, len(rows), _READ_AHEAD):
                window = rows[start : start + _READ_AHEAD]
                yield from pool.map(lambda file: load_member(self.buckets, self.reader, dataset, file, before), window)

    def _upload(self, path: Path, dataset: Dataset, day: date, shard: int, packed: list[FileRow]) -> NewContainer:
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
                there = own.head(key)
                found = hashlib.sha256()
                for piece in own.stream(key, if_match=there.etag):
                    found.update(piece)
            except (ObjectNotFound, PreconditionFailed, IntegrityError):
                return own.put_file(key, path).etag
            return there.etag if found.hexdigest() == digest else own.put_file(key, path).etag


def _prove(path: Path, packed: Iterable[FileRow]) -> None:
    """Read every member of a finished archive back before anybody else sees it."""
    from des_platform.files import member, verified

    with DesReader(path) as archive:
        for file in packed:
            if not archive.get_entry(file.name).is_external:
                for _ in verified(file, member(archive, file)):
                    pass
