"""What became of each file of a month: the word that a killed run left is where the next one goes on.

A month's ledger is a source of the catalogue's checkpoints (`<datahub>:compress:<YYYY-MM>`), a file's entry one of its
parts. Every write first looks whether the lease is still this process's, in the same transaction; a process that lost
it writes nothing more, and so deletes nothing more, since each deletion is written down before it is asked for.

What could not be done is a dead letter and a row of the source `<datahub>:compress`, so that `des dead-letters retry`
makes the month wait again; both go when the file succeeds.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from des_platform.catalog import checkpoints, dead_letters, leases, source_rows
from des_platform.catalog.dead_letters import DeadLetter
from des_platform.catalog.metrics import Counts
from des_platform.catalog.source_rows import SourceRow
from des_platform.catalog.tables import checkpoints as entries
from des_platform.catalog.tables import dead_letters as letters
from des_platform.catalog.tables import source_rows as rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.leases import Lease

STAGE = "datahub_compress"
"""Stage of the dead letters."""

_PAGE = 1000


class State(StrEnum):
    """How far a file is.

    Attributes:
        UPLOADING: the copy may have been sent, under the entry's mark.
        UPLOADED: it is there; nothing is proven.
        DISCARDING: it is no true copy, and is being deleted.
        PROVEN: it gives the original's bytes; the original may have been deleted.
        DONE: the original is gone.
        UNWORTHY: the compressed bytes are not fewer; nothing was uploaded.
    """

    UPLOADING = "uploading"
    UPLOADED = "uploaded"
    DISCARDING = "discarding"
    PROVEN = "proven"
    DONE = "done"
    UNWORTHY = "unworthy"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in the ledger.

    Attributes:
        file_id: the original.
        state: how far it is.
        mark: under which its copy is uploaded; '' where none is.
        codec: that compressed it.
        original_size: bytes of the original.
        original_sha256: their SHA-256.
        compressed_size: bytes of the copy.
        compressed_sha256: their SHA-256.
        copy_id: the copy, once that is known.
        at: when this was written, ISO 8601.
    """

    file_id: str
    state: State
    mark: str
    codec: str
    original_size: int
    original_sha256: str
    compressed_size: int
    compressed_sha256: str
    copy_id: str | None = None
    at: str = ""


class Ledger:
    """The entries of one month of one DataHub; safe to share between threads.

    Args:
        catalog: where they are kept.
        datahub: the DataHub's name.
        first: first day of the month.
        lease: the month's, which every write looks at; None to read alone.
    """

    def __init__(self, catalog: Catalog, datahub: str, first: date, lease: Lease | None = None) -> None:
        self.source = f"{datahub}:compress:{first:%Y-%m}"
        self.failures = failures_source(datahub)
        self._datahub = datahub
        self._catalog = catalog
        self._lease = lease

    def entries(self, file_ids: Sequence[str]) -> dict[str, Entry]:
        """The entries of some files, by file."""
        mine = sa.and_(entries.c.source == self.source, entries.c.part.in_(file_ids))
        with self._catalog.begin() as connection:
            found = connection.execute(sa.select(entries.c.part, entries.c.position).where(mine)).tuples().all()
        return {part: _entry(part, position) for part, position in found}

    def in_states(self, *states: State) -> Iterator[Entry]:
        """Every entry in one of some states, page by page, in the order of the identifiers."""
        state = sa.cast(entries.c.position, sa.dialects.postgresql.JSONB)["state"].astext
        mine = sa.and_(entries.c.source == self.source, state.in_(states))
        behind: str | None = None
        while True:
            page = sa.select(entries.c.part, entries.c.position).where(mine).order_by(entries.c.part).limit(_PAGE)
            if behind is not None:
                page = page.where(entries.c.part > behind)
            with self._catalog.begin() as connection:
                found = connection.execute(page).tuples().all()
            yield from (_entry(part, position) for part, position in found)
            if len(found) < _PAGE:
                return
            behind = found[-1][0]

    def write(self, entry: Entry, **changes: Any) -> Entry:  # noqa: ANN401 - an entry's fields
        """Write an entry, with some fields changed; returns it as written.

        An entry that is final takes the file's dead letters away.

        Raises:
            LeaseLost: another process has taken the month over.
        """
        entry = replace(entry, **changes, at=datetime.now(UTC).isoformat(timespec="seconds"))
        position = {name: value for name, value in asdict(entry).items() if name != "file_id" and value is not None}
        with self._catalog.begin() as connection:
            self._check(connection)
            checkpoints.save(connection, self.source, {entry.file_id: json.dumps(position)})
            if entry.state in (State.PROVEN, State.DONE, State.UNWORTHY):
                self._forgive(connection, entry.file_id)
                self._count(connection, entry)
        return entry

    def forget(self, file_id: str) -> None:
        """Take a file out, as if it had never been looked at.

        Raises:
            LeaseLost: another process has taken the month over.
        """
        with self._catalog.begin() as connection:
            self._check(connection)
            mine = sa.and_(entries.c.source == self.source, entries.c.part == file_id)
            connection.execute(entries.delete().where(mine))

    def give_up(self, file_id: str, problem: str, body: str | None) -> None:
        """Keep why a file could not be compressed.

        Raises:
            LeaseLost: another process has taken the month over.
        """
        subject = f"{self.source}: file {file_id}"
        letter = DeadLetter(STAGE, subject, problem, body, origin=self.failures, reference=file_id)
        with self._catalog.begin() as connection:
            self._check(connection)
            dead_letters.add(connection, letter)
            source_rows.open_rows(connection, self.failures, [SourceRow(file_id, error=problem)])
            source_rows.close(connection, self.failures, [file_id])  # nothing of this is written back
            counts = Counts()
            counts.add("des_datahub_compressed_files_total", datahub=self._datahub, outcome="failed")
            counts.write(connection)

    def _count(self, connection: sa.Connection, entry: Entry) -> None:
        counts = Counts()
        counts.add("des_datahub_compressed_files_total", datahub=self._datahub, outcome=entry.state)
        if entry.state is State.DONE:
            saved = entry.original_size - entry.compressed_size
            counts.add("des_datahub_saved_bytes_total", saved, datahub=self._datahub)
        counts.write(connection)

    def _forgive(self, connection: sa.Connection, file_id: str) -> None:
        known = sa.and_(letters.c.stage == STAGE, letters.c.origin == self.failures, letters.c.reference == file_id)
        connection.execute(letters.delete().where(known))
        failed = sa.and_(rows.c.source == self.failures, rows.c.row_id == file_id)
        connection.execute(rows.delete().where(failed))

    def _check(self, connection: sa.Connection) -> None:
        if self._lease is None:
            raise RuntimeError("a ledger without the month's lease is for reading")
        leases.check(connection, self._lease)


def failures_source(datahub: str) -> str:
    """The source of the rows that say which files of a DataHub could not be compressed."""
    return f"{datahub}:compress"


def _entry(file_id: str, position: str) -> Entry:
    read = json.loads(position)
    return Entry(file_id, State(read.pop("state")), **read)
