"""One file replaced by its compressed copy: every step in order, each harmless when it is done again.

A file that fails keeps its original. Its copy is deleted if the table shows that it carries our mark; a file that the
DataHub calls the copy and that does not carry it is never touched. A DataHub that refuses or fails for one file is
asked for its health: if it is well, the file is to blame and its neighbours go on.
"""

from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from des_platform.sources.datahub.compressing.ledger import Entry, State
from des_platform.sources.datahub.compressing.metadata import MEDIA_TYPES, file_name_of, metadata_of
from des_platform.sources.datahub.compressing.packing import packed
from des_platform.sources.datahub.compressing.proof import CopyNotShown, Prover, Unproven
from des_platform.sources.datahub.config import Compress
from des_platform.sources.datahub.errors import DataHubAccessDenied, DataHubUnavailable, FileMissing, FileRefused
from des_platform.sources.datahub.multipart import Upload
from des_platform.sources.datahub.taking import Stopped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from des_platform.sources.datahub.client import DataHubClient
    from des_platform.sources.datahub.compressing.ledger import Ledger
    from des_platform.sources.datahub.compressing.packing import Packed
    from des_platform.sources.datahub.compressing.table import Copy, FileRow, FileTable
    from des_platform.sources.datahub.config import DataHubAccess

_LOG = logging.getLogger(__name__)
# A DataHub whose health needs no key looks well with a refused one: so many files in a row and the run ends.
_MOST_IN_A_ROW = 10


@dataclass(frozen=True, slots=True)
class Replaced:
    """What became of one file; `gone` says that somebody else deleted it before it was begun."""

    file_id: str
    outcome: Literal["compressed", "unworthy", "failed", "gone"]
    original_bytes: int = 0
    compressed_bytes: int = 0
    resumed: bool = False
    removed: bool = False
    problem: str = ""


class FileReplacer:
    """Replaces files one by one; safe to share between threads.

    Args:
        config: the DataHub.
        client: its REST interface.
        table: its table.
        ledger: the month's.
        scratch: folder for compressed bytes on their way.
    """

    def __init__(
        self, config: DataHubAccess, client: DataHubClient, table: FileTable, ledger: Ledger, scratch: Path
    ) -> None:
        self._config = config
        self._compress = config.compress or Compress()
        self._client = client
        self._table = table
        self._ledger = ledger
        self._scratch = scratch
        self._prover = Prover(config, client, table, self._watched)
        self._stopping = threading.Event()
        self._in_a_row = 0

    def stop(self) -> None:
        """Let every transfer end at its next chunk."""
        self._stopping.set()

    def replace(self, file_id: str, entry: Entry | None, copies: Sequence[Copy] = ()) -> Replaced:
        """Compress a file, or go on where an earlier run was killed.

        Args:
            file_id: the file.
            entry: what the ledger says about it.
            copies: what claims to be compressed from it.

        Raises:
            DataHubUnavailable: the DataHub serves nobody.
            DataHubAccessDenied: it refuses the key.
            SourceUnavailable: its database cannot be read.
            ConfigurationError: the scratch folder cannot be written to.
            LeaseLost: another process has taken the month over.
            Stopped: `stop` was called.
        """
        try:
            done = self._replace(file_id, entry, copies)
        except (DataHubUnavailable, DataHubAccessDenied) as error:
            if not self._is_to_blame():
                raise
            return self._give_up(file_id, str(error))
        except (FileRefused, Unproven, CopyNotShown) as error:
            return self._give_up(file_id, str(error))
        self._in_a_row = 0
        return done

    def try_out(self, file_id: str, size: int | None) -> Replaced:
        """Download and compress a file, and leave everything as it is.

        Raises:
            DataHubUnavailable: the DataHub serves nobody.
            DataHubAccessDenied: it refuses the key.
            ConfigurationError: the scratch folder cannot be written to.
            Stopped: `stop` was called.
        """
        try:
            with packed(self._client, file_id, size, self._compress, self._scratch, self._watched) as made:
                shrinks = made.compressed.size < made.original.size
        except (DataHubUnavailable, DataHubAccessDenied) as error:
            if not self._is_to_blame():
                raise
            return Replaced(file_id, "failed", problem=str(error))
        except FileRefused as error:
            return Replaced(file_id, "failed", problem=str(error))
        return Replaced(
            file_id,
            "compressed" if shrinks else "unworthy",
            made.original.size,
            made.compressed.size,
        )

    def _replace(self, file_id: str, entry: Entry | None, copies: Sequence[Copy]) -> Replaced:
        row = self._table.row(file_id)
        if entry is not None:
            entry = self._looked_up(entry, row)
        if row is None:
            return self._settle_gone(file_id, entry)
        if isinstance(row.properties, dict) and row.properties.get("is_compressed") is not None:
            return Replaced(file_id, "gone")
        mark = entry.mark if entry else uuid.uuid4().hex
        for copy in copies:
            if copy.mark != mark:
                raise FileRefused(
                    f"file {file_id!r}: file {copy.file_id!r} says that it was compressed from it, and was not "
                    "uploaded by this catalogue: compare the two, and delete one of them"
                )
        if entry is not None and entry.copy_id is not None:
            return self._finish(entry, row, resumed=True, sure=False)
        with packed(self._client, file_id, row.size, self._compress, self._scratch, self._watched) as made:
            new = self._entry(file_id, mark, made)
            if new.state is State.UNWORTHY:
                self._ledger.write(new)
                return Replaced(file_id, "unworthy", made.original.size, made.compressed.size)
            new, sure = self._upload(row, new, made)
        return self._finish(new, row, resumed=entry is not None, sure=sure and entry is None)

    def _looked_up(self, entry: Entry, row: FileRow | None) -> Entry | None:
        """What there is of a copy that an earlier run was about to upload, or to delete."""
        if entry.state is State.DISCARDING and row is not None:
            self._discard(entry)
            return None
        if entry.copy_id is None and (found := self._table.marked(entry.mark)):
            return self._ledger.write(entry, state=State.UPLOADED, copy_id=found[0])
        return entry

    def _settle_gone(self, file_id: str, entry: Entry | None) -> Replaced:
        """The original is gone: deleted by an earlier run that was killed before it wrote so, or by somebody else."""
        if entry is None or entry.copy_id is None:
            if entry is not None:
                self._ledger.forget(file_id)
            return Replaced(file_id, "gone")
        try:
            self._prover.prove_copy(entry, None)
        except (Unproven, CopyNotShown) as error:
            raise FileRefused(f"file {file_id!r} is gone, its copy is left there and not proven: {error}") from None
        self._ledger.write(entry, state=State.DONE)
        return _compressed(entry, resumed=True, removed=entry.state is State.PROVEN)

    def _entry(self, file_id: str, mark: str, made: Packed) -> Entry:
        shrinks = made.compressed.size < made.original.size
        return Entry(
            file_id,
            State.UPLOADING if shrinks else State.UNWORTHY,
            mark if shrinks else "",
            self._compress.codec,
            made.original.size,
            made.original.sha256,
            made.compressed.size,
            made.compressed.sha256,
        )

    def _upload(self, row: FileRow, entry: Entry, made: Packed) -> tuple[Entry, bool]:
        """Upload a copy; tells also whether it was sent but once."""
        upload = Upload(
            file_name_of(row, entry),
            made.file,
            made.compressed.size,
            MEDIA_TYPES[entry.codec],
            metadata_of(row, entry),
            entry.mark,
            self._proceed,
        )
        entry = self._ledger.write(entry)

        sure = True

        def arrived() -> str | None:
            nonlocal sure
            sure = False
            return next(iter(self._table.marked(entry.mark)), None)

        copy_id = self._client.upload(upload, arrived)
        return self._ledger.write(entry, state=State.UPLOADED, copy_id=copy_id), sure

    def _finish(self, entry: Entry, row: FileRow, *, resumed: bool, sure: bool) -> Replaced:
        try:
            self._prover.prove_copy(entry, row)
            if self._compress.verify == "both":
                self._prover.prove_original(entry)
            self._prover.prove_unchanged(row)
        except Unproven:
            self._discard(entry)
            raise
        except FileMissing:
            if entry.state is not State.PROVEN:
                raise
            # The DataHub keeps the rows of deleted files, and an earlier run deleted this one.
            self._ledger.write(entry, state=State.DONE)
            return _compressed(entry, resumed=resumed, removed=True)
        entry = self._ledger.write(entry, state=State.PROVEN)
        if not sure:
            self._delete_others(entry)
        if self._compress.keep_originals:
            return _compressed(entry, resumed=resumed, removed=False)
        self._client.delete(entry.file_id)
        self._ledger.write(entry, state=State.DONE)
        _LOG.info(
            "deleted file %r of datahub %s: proven copy %r, %d of %d bytes, SHA-256 %s",
            entry.file_id,
            self._config.name,
            entry.copy_id,
            entry.compressed_size,
            entry.original_size,
            entry.original_sha256,
        )
        return _compressed(entry, resumed=resumed, removed=True)

    def _discard(self, entry: Entry) -> None:
        """Delete what was uploaded under a mark, as long as the original is there."""
        ours = self._table.marked(entry.mark)
        if entry.file_id in ours or self._table.row(entry.file_id) is None:
            raise FileRefused(f"file {entry.file_id!r} is gone, its copy is left there and not proven")
        if entry.copy_id is not None and entry.copy_id not in ours:
            return  # what the DataHub calls the copy does not carry our mark: the ledger goes on knowing it
        entry = self._ledger.write(entry, state=State.DISCARDING)
        for copy_id in ours:
            self._client.delete(copy_id)
        self._ledger.forget(entry.file_id)

    def _delete_others(self, entry: Entry) -> None:
        """Delete what arrived under the same mark beside the proven copy: an upload that was thought lost."""
        for file_id in self._table.marked(entry.mark):
            if file_id not in (entry.copy_id, entry.file_id):
                self._client.delete(file_id)

    def _watched(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._proceed()
            yield chunk

    def _proceed(self) -> None:
        if self._stopping.is_set():
            raise Stopped

    def _is_to_blame(self) -> bool:
        """Whether the file in hand is to blame for what the DataHub said, and not the DataHub or the key."""
        self._in_a_row += 1  # threads that race here end the run one file sooner or later
        if self._in_a_row > _MOST_IN_A_ROW:
            return False
        try:
            self._client.health()
        except FileRefused:
            return True  # it answers, though not about its health
        except (DataHubUnavailable, DataHubAccessDenied):
            return False
        return True

    def _give_up(self, file_id: str, problem: str) -> Replaced:
        told = problem if repr(file_id) in problem else f"file {file_id!r}: {problem}"
        self._ledger.give_up(file_id, told, None)
        return Replaced(file_id, "failed", problem=told)


def _compressed(entry: Entry, *, resumed: bool, removed: bool) -> Replaced:
    return Replaced(
        entry.file_id, "compressed", entry.original_size, entry.compressed_size, resumed=resumed, removed=removed
    )
