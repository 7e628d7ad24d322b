"""S3 inventories as a source: buckets too large to list, by the lists of their objects that S3 writes once a day.

A draining takes up the manifest that was begun, or else the newest that is complete, and reads its data files one after
the other: fetched into the scratch folder, checked against the manifest's MD5, and recorded a page at a time as a
listing would. Each page commits how far it came, in the same transaction, so whatever dies, reading goes on behind what
is recorded. Manifests between the last that was read and the newest are passed over: the newest lists what they list.

An inventory is a day old when it comes, and what it tells is checked as ever before a file is catalogued. What is
damaged, hostile or gone becomes a dead letter, a row, a file or a manifest at a time, and the rest goes on.

The progress is one row in `checkpoints`, with the part `manifest`: the manifest by key and MD5, the number of its data
file in hand and the rows of that file that are done.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from des_platform.catalog import checkpoints, dead_letters
from des_platform.catalog.dead_letters import DeadLetter
from des_platform.catalog.metrics import Counts
from des_platform.objectstore import IntegrityError, InvalidKey, ObjectInfo, ObjectNotFound, StoreUnavailable, check_key
from des_platform.settings import BucketName
from des_platform.sources.inventories.manifest import RefusedInventory, manifests, read_manifest
from des_platform.sources.inventories.rows import BadRow, Row, read_rows
from des_platform.sources.listing import record_page
from des_platform.sources.source import DrainReport, SourceUnavailable
from des_platform.sources.variables import SourceName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import sqlalchemy as sa

    from des_platform.objectstore import ObjectStore
    from des_platform.sources.inventories.manifest import DataFile, Manifest
    from des_platform.sources.recording import Recorder
    from des_platform.sources.source import SourceKind

_PAGE = 1000
_CHUNK_BYTES = 8 << 20
_PART = "manifest"


class InventoryConfig(BaseModel):
    """An inventory that S3 writes of a bucket.

    The bucket itself is named by the manifests, and its objects belong to whichever datasets take them. Its
    configuration in S3 needs the optional fields Size, LastModifiedDate and ETag.

    Attributes:
        name: of the source.
        manifest_bucket: the bucket that S3 writes the inventory into.
        manifest_prefix: the folder there in which the dated folders lie: destination prefix, source bucket and
            configuration, such as `inventories/landing/daily`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: SourceName
    manifest_bucket: BucketName
    manifest_prefix: Annotated[str, Field(min_length=1)]

    @field_validator("manifest_prefix")
    @classmethod
    def _usable(cls, value: str) -> str:
        try:
            return check_key(value.rstrip("/"))
        except InvalidKey as error:
            raise ValueError(str(error)) from error


@dataclass(slots=True)
class _Progress:
    """How far the reading came: `file` data files of the manifest, and `rows` of the next; or all of it."""

    manifest: str
    md5: str
    file: int = 0
    rows: int = 0
    done: bool = False


class InventorySource:
    """An inventory that is drained into the inbox.

    Args:
        config: where it is.
        recorder: knows the catalogue, the buckets and the datasets.
        scratch: folder that one data file at a time is kept in until it is read, over as many drainings as that takes.
    """

    kind: SourceKind = "inventory"

    def __init__(self, config: InventoryConfig, recorder: Recorder, scratch: Path) -> None:
        self.name = config.name
        self._config = config
        self._recorder = recorder
        self._scratch = scratch / f"inventory-{config.name}"

    def drain(self, *, seconds: float) -> DrainReport:
        """Record what the inbox does not know, to the end of the newest inventory or until the time is up.

        Raises:
            SourceUnavailable: the bucket with the inventory is out of reach.
        """
        started = time.monotonic()
        report = DrainReport()
        with _alone(self._scratch) as alone, self._reachable():
            if alone:
                self._drain(started + seconds, report)
            else:
                report.note = "Another process on this machine reads this inventory."
        report.seconds = time.monotonic() - started
        return report

    def backlog(self) -> dict[str, int]:
        """The data files that are left of the inventory in hand, or of the next one.

        Raises:
            SourceUnavailable: the bucket with the inventory is out of reach.
        """
        with self._reachable():
            store = self._recorder.buckets.bucket(self._config.manifest_bucket)
            progress = self._progress()
            if begun := self._begun(store, progress):
                return {"data_files": len(begun.files) - progress.file}
            newest, _ = self._newest(store, progress)
            return {"data_files": len(newest.files) if newest else 0}

    def close(self) -> None:
        """Nothing stays open between two drainings."""

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except StoreUnavailable as error:
            raise SourceUnavailable(f"the inventory {self.name} cannot be read: {error}") from error

    def _drain(self, deadline: float, report: DrainReport) -> None:
        store = self._recorder.buckets.bucket(self._config.manifest_bucket)
        progress = self._progress()
        manifest = self._begun(store, progress)
        if manifest is None:
            manifest, refused = self._newest(store, progress)
            for key, reason in refused:
                self._refuse(key, f"an inventory's manifest: {reason}", report)
            if manifest is None:
                report.note = "No inventory is newer than the last one that was read."
                return
            progress = _Progress(manifest.key, manifest.md5)
            self._save(progress)
        finished = True
        while progress.file < len(manifest.files):
            if not finished or (report.received + report.dead and time.monotonic() > deadline):
                report.note = f"The time was up in data file {progress.file + 1} of {len(manifest.files)}."
                return
            file = manifest.files[progress.file]
            try:
                finished = self._read(store, manifest, file, progress, deadline, report)
            except (RefusedInventory, ObjectNotFound, IntegrityError) as error:
                self._refuse(file.key, f"a data file of {manifest.key}: {error}", report)
                finished = True
            if finished:
                (self._scratch / file.md5).unlink(missing_ok=True)
                progress.file, progress.rows = progress.file + 1, 0
                self._save(progress)
        progress.done = True
        self._save(progress)

    def _progress(self) -> _Progress:
        with self._recorder.catalog.begin() as connection:
            position = checkpoints.positions(connection, self.name).get(_PART)
        return _Progress(**json.loads(position)) if position else _Progress("", "", done=True)

    def _begun(self, store: ObjectStore, progress: _Progress) -> Manifest | None:
        """The manifest that was begun, unless something else stands there now."""
        if progress.done:
            return None
        try:
            manifest = read_manifest(store, progress.manifest)
        except (ObjectNotFound, RefusedInventory):
            return None
        return manifest if manifest.md5 == progress.md5 else None

    def _newest(self, store: ObjectStore, progress: _Progress) -> tuple[Manifest | None, list[tuple[str, str]]]:
        """The newest sound manifest behind the last one that was read, and what is wrong with newer ones."""
        refused: list[tuple[str, str]] = []
        after = progress.manifest if progress.done else ""
        for key in manifests(store, f"{self._config.manifest_prefix}/", after=after):
            try:
                return read_manifest(store, key), refused
            except (RefusedInventory, ObjectNotFound) as error:
                refused.append((key, str(error)))
        return None, refused

    def _read(
        self,
        store: ObjectStore,
        manifest: Manifest,
        file: DataFile,
        progress: _Progress,
        deadline: float,
        report: DrainReport,
    ) -> bool:
        """Read a data file from where it was left; whether it was finished in time."""
        path = self._scratch / file.md5
        if not path.exists() and not _fetch(store, file, path, deadline):
            return False
        rows = read_rows(path, manifest, skip=progress.rows)
        while page := list(islice(rows, _PAGE)):
            self._record(manifest, file, page, progress, report)
            if len(page) == _PAGE and time.monotonic() > deadline:
                return False
        return True

    def _record(
        self, manifest: Manifest, file: DataFile, page: Sequence[Row], progress: _Progress, report: DrainReport
    ) -> None:
        objects = [row for row in page if isinstance(row, ObjectInfo)]
        letters = [
            DeadLetter(
                self.kind, f"{file.key} row {number}", row.reason, row.content, origin=self.name, reference=file.key
            )
            for number, row in enumerate(page, progress.rows + 1)
            if isinstance(row, BadRow)
        ]
        progress.rows += len(page)
        with self._recorder.catalog.begin() as connection:
            done = record_page(
                connection, self._recorder.datasets, manifest.bucket, objects, kind="inventory", origin=self.name
            )
            self._keep(connection, letters)
            checkpoints.save(connection, self.name, {_PART: json.dumps(asdict(progress))})
        done.received = len(page)
        done.dead += len(letters)
        report += done

    def _refuse(self, key: str, reason: str, report: DrainReport) -> None:
        subject = f"{self._config.manifest_bucket}/{key}"
        with self._recorder.catalog.begin() as connection:
            self._keep(connection, [DeadLetter(self.kind, subject, reason, origin=self.name, reference=key)])
        report.dead += 1

    def _keep(self, connection: sa.Connection, letters: Sequence[DeadLetter]) -> None:
        dead_letters.add(connection, *letters)
        counts = Counts()
        counts.add("des_ingest_dead_letters_total", len(letters), source=self.name)
        counts.write(connection)

    def _save(self, progress: _Progress) -> None:
        with self._recorder.catalog.begin() as connection:
            checkpoints.save(connection, self.name, {_PART: json.dumps(asdict(progress))})


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether nobody else on this machine reads into a folder; elsewhere a second reader only does the work twice."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _fetch(store: ObjectStore, file: DataFile, path: Path, deadline: float) -> bool:
    """Bring a data file to disk and check it; whether it is there: out of time, the next call goes on where this ended.

    Raises:
        RefusedInventory: its size or its MD5 is not the manifest's.
        IntegrityError: it is shorter than the manifest says.
        ObjectNotFound: it is gone.
    """
    part = path.with_suffix(".part")
    for left in path.parent.iterdir():
        if left.name not in {part.name, "lock"}:
            left.unlink()  # of a manifest that has been given up
    found = store.head(file.key).size
    if found != file.size:
        raise RefusedInventory(f"it has {found} bytes, and the manifest says {file.size}")
    with part.open("ab") as output:
        while (at := output.tell()) < file.size:
            output.write(store.get_range(file.key, at, min(_CHUNK_BYTES, file.size - at)))
            if time.monotonic() > deadline and output.tell() < file.size:
                return False
    with part.open("rb") as whole:
        md5 = hashlib.file_digest(whole, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if md5 != file.md5:
        part.unlink()
        raise RefusedInventory(f"its MD5 is {md5}, and the manifest says {file.md5}")
    part.rename(path)
    return True
