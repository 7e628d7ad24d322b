"""The taking of one file: downloaded into its landing bucket, then recorded once.

The key follows from the row alone and is only ever created, never replaced. A file that lies there already, because a
process was killed between the put and the commit, or because two take the same month, is downloaded for its checksum
and adopted if the bytes are the same. Inbox row, ledger row and counters are one transaction: before it, the next
taking finds the object; after it, the ledger knows the file. What cannot be taken becomes a dead letter with its row,
in the same way, and is not tried again until somebody asks for it.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from des_platform.catalog import dead_letters, inbox, source_rows
from des_platform.catalog.dead_letters import DeadLetter
from des_platform.catalog.inbox import InboxEntry
from des_platform.catalog.metrics import Counts
from des_platform.catalog.source_rows import SourceRow
from des_platform.catalog.tables import inbox as inbox_table
from des_platform.objectstore import IntegrityError, InvalidKey, PreconditionFailed, UnsupportedByStore, digest_of
from des_platform.sources.datahub.errors import DataHubUnavailable, FileRefused
from des_platform.sources.datahub.landing import landing_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.dataset import Dataset
    from des_platform.objectstore import Buckets
    from des_platform.sources.datahub.candidates import Candidate
    from des_platform.sources.datahub.client import DataHubClient
    from des_platform.sources.datahub.config import DataHubConfig

_TOO_MANY_REQUESTS = 429


class Stopped(Exception):
    """The taking was ended from outside; the file in hand is as if it had not been begun."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one file: its bytes and whether the inbox did not know it, or why it was given up."""

    file_id: str
    bytes: int = 0
    new: bool = False
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Landed:
    """A file in its landing bucket."""

    key: str
    etag: str
    size: int


class FileTaker:
    """Takes files one by one; safe to share between threads.

    Args:
        config: which DataHub, and where its files land.
        client: its REST interface.
        catalog: where files are recorded.
        buckets: where they are put.
        dataset: the dataset that the landing prefix belongs to.
    """

    def __init__(
        self, config: DataHubConfig, client: DataHubClient, catalog: Catalog, buckets: Buckets, dataset: Dataset
    ) -> None:
        self._config = config
        self._client = client
        self._catalog = catalog
        self._store = buckets.bucket(config.landing.bucket)
        self._dataset = dataset
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let every download end at its next chunk."""
        self._stopping.set()

    def take(self, candidate: Candidate) -> Taken:
        """Download and record one file.

        Raises:
            DataHubUnavailable: the DataHub serves nobody, or asks to be left alone.
            DataHubAccessDenied: it refuses the key.
            StoreUnavailable: the landing bucket cannot be written to.
            Stopped: `stop` was called.
        """
        key = landing_key(self._config.landing.prefix, candidate)
        try:
            day = self._dataset.day_of(key, candidate.uploaded_at)
        except ValueError as error:
            return self._give_up(candidate, str(error))
        try:
            landed = self._land(key, candidate)
        except DataHubUnavailable as error:
            if error.status == _TOO_MANY_REQUESTS or not self._is_well():
                raise
            return self._give_up(candidate, str(error))
        except (FileRefused, IntegrityError, InvalidKey, UnsupportedByStore) as error:
            return self._give_up(candidate, str(error))
        return self._record(candidate, day, landed)

    def _land(self, key: str, candidate: Candidate) -> Landed:
        file_id, size = candidate.file_id, candidate.size
        try:
            stored, _ = self._client.download(
                file_id, lambda chunks: self._store.put(key, self._watched(chunks), if_absent=True), size=size
            )
        except PreconditionFailed:
            came, _ = self._client.download(file_id, lambda chunks: digest_of(self._watched(chunks)), size=size)
            found = self._store.digest(key)
            if found.sha256 != came.sha256:
                raise IntegrityError(
                    f"{self._store.uri(key)} holds other bytes (SHA-256 {found.sha256}) than file {file_id!r} "
                    f"(SHA-256 {came.sha256}): remove that object, then retry"
                ) from None
            return Landed(key, found.etag, found.size)
        return Landed(key, stored.etag, stored.size)

    def _watched(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if self._stopping.is_set():
                raise Stopped
            yield chunk

    def _is_well(self) -> bool:
        try:
            self._client.health()
        except FileRefused:
            return True  # it answers, though not about its health
        except DataHubUnavailable:
            return False
        return True

    def _record(self, candidate: Candidate, day: date, landed: Landed) -> Taken:
        name, bucket = self._config.name, self._config.landing.bucket
        entry = InboxEntry(self._dataset.name, day, bucket, landed.key, landed.etag, landed.size, "datahub")
        counts = Counts()
        counts.add("des_datahub_files_total", datahub=name, outcome="taken")
        counts.add("des_datahub_bytes_total", landed.size, datahub=name)
        with self._catalog.begin() as connection:
            new = inbox.record(connection, [entry]) == 1
            row = SourceRow(candidate.file_id, _seq_of(connection, entry))
            source_rows.open_rows(connection, name, [row])
            source_rows.close(connection, name, [row.row_id])  # nothing of this is written back
            counts.write(connection)
        return Taken(candidate.file_id, landed.size, new)

    def _give_up(self, candidate: Candidate, problem: str) -> Taken:
        name, file_id = self._config.name, candidate.file_id
        letter = DeadLetter(
            "datahub",
            f"{name}: file {file_id}",
            problem,
            json.dumps(candidate.as_json()),
            dataset=self._dataset.name,
            origin=name,
            reference=file_id,
        )
        counts = Counts()
        counts.add("des_datahub_files_total", datahub=name, outcome="failed")
        with self._catalog.begin() as connection:
            dead_letters.add(connection, letter)
            source_rows.open_rows(connection, name, [SourceRow(file_id, error=problem)])
            source_rows.close(connection, name, [file_id])
            counts.write(connection)
        return Taken(file_id, problem=problem)


def _seq_of(connection: sa.Connection, entry: InboxEntry) -> int:
    mine = sa.and_(
        inbox_table.c.bucket == entry.bucket, inbox_table.c.key == entry.key, inbox_table.c.etag == entry.etag
    )
    seq: int = connection.execute(sa.select(inbox_table.c.seq).where(mine)).scalar_one()
    return seq
