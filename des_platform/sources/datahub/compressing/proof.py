"""Whether a copy in the DataHub is the original, compressed: told by what the DataHub gives back, not by what it got.

The copy's row must carry its mark, `is_compressed` and what the original's row says; its bytes, downloaded, must have
the checksum of what was sent and decompress to the original's; and with `verify: both` the original, downloaded once
more, must still be what was compressed. The last one is what saves an original of which the first reading was wrong, or
that has changed since.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from des_platform.codecs import CorruptStream, OutputTooLarge, decompress, get_codec
from des_platform.objectstore import Digest, digest_of
from des_platform.sources.datahub.compressing.metadata import UNSTEADY, metadata_of
from des_platform.sources.datahub.errors import FileMissing
from des_platform.sources.retrying import retrying
from des_platform.sources.source import SourceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from des_platform.sources.datahub.client import DataHubClient
    from des_platform.sources.datahub.compressing.ledger import Entry
    from des_platform.sources.datahub.compressing.table import FileRow, FileTable
    from des_platform.sources.datahub.config import DataHubAccess


class Unproven(Exception):
    """A copy is not what it should be, or its original is not any more; the copy must go, the original stays."""


class CopyNotShown(SourceUnavailable):
    """The DataHub took a copy, and its table does not show it: nothing is known about it yet."""


class Prover:
    """Compares copies with their originals; safe to share between threads.

    Args:
        config: the DataHub.
        client: its REST interface.
        table: its table.
        watched: goes over chunks as they come; what it raises ends a download.
    """

    def __init__(
        self,
        config: DataHubAccess,
        client: DataHubClient,
        table: FileTable,
        watched: Callable[[Iterator[bytes]], Iterator[bytes]],
    ) -> None:
        self._config = config
        self._client = client
        self._table = table
        self._watched = watched

    def prove_copy(self, entry: Entry, row: FileRow | None) -> None:
        """Read a copy back.

        Args:
            entry: the copy, and what it should hold.
            row: the original's row, or None where it is gone.

        Raises:
            Unproven: it is no true copy.
            CopyNotShown: it is not in the table.
            FileRefused: the DataHub will not give it.
            DataHubUnavailable: no attempt to read it succeeded.
        """
        what = _what(entry)
        _compare_rows(what, entry, self._row_of_copy(entry), row)
        try:
            plain, came = self._client.download(
                _copy_id(entry), lambda chunks: self._decompressed(entry, chunks), decode=False
            )
        except FileMissing:
            raise Unproven(f"{what}: the DataHub took it and does not have it") from None
        except (CorruptStream, OutputTooLarge) as error:
            raise Unproven(f"{what} cannot be decompressed: {error}") from None
        _compare(f"{what}: bytes read back", came, entry.compressed_size, entry.compressed_sha256)
        _compare(f"{what}: what it decompresses to", plain, entry.original_size, entry.original_sha256)

    def prove_original(self, entry: Entry) -> None:
        """Read an original again.

        Raises:
            Unproven: it is not what was compressed.
            FileMissing: it is gone.
            FileRefused: the DataHub will not give it.
            DataHubUnavailable: no attempt to read it succeeded.
        """
        found, _ = self._client.download(entry.file_id, lambda chunks: digest_of(self._watched(chunks)))
        what = f"file {entry.file_id!r} has changed while it was compressed, or was read wrong: the second reading"
        _compare(what, found, entry.original_size, entry.original_sha256)

    def prove_unchanged(self, row: FileRow) -> None:
        """Look at a file's row again.

        Raises:
            Unproven: it is another one by now.
        """
        if self._table.row(row.file_id) != row:
            raise Unproven(f"file {row.file_id!r}: its row in dh_file has changed while it was compressed")

    def _row_of_copy(self, entry: Entry) -> FileRow:
        retries = self._config.retries
        for attempt in retrying(
            retries.total, base=retries.base, factor=retries.factor, most=retries.most, on=CopyNotShown
        ):
            with attempt:
                row = self._table.row(_copy_id(entry))
                if row is None:
                    raise CopyNotShown(f"{_what(entry)}: the DataHub took it, and dh_file does not show it")
                return row
        raise AssertionError("the last attempt returns or raises")

    def _decompressed(self, entry: Entry, chunks: Iterator[bytes]) -> Digest:
        sha256, size = hashlib.sha256(), 0
        for piece in decompress(get_codec(entry.codec), self._watched(chunks), max_size=entry.original_size):
            sha256.update(piece)
            size += len(piece)
        return Digest(size, sha256.hexdigest())


def _compare_rows(what: str, entry: Entry, copy: FileRow, original: FileRow | None) -> None:
    kept = copy.properties if isinstance(copy.properties, dict) else {}
    if kept.get("compression_id") != entry.mark or kept.get("is_compressed") is not True:
        raise Unproven(f"{what}: the DataHub did not keep its properties compression_id and is_compressed")
    if original is None:
        return
    wanted = metadata_of(original, entry)
    lost = [name for name, value in wanted["properties"].items() if name not in UNSTEADY and kept.get(name) != value]
    if (copy.document_id, copy.document_type) != (wanted["document_id"], wanted["document_type_nm"]):
        lost.append("document_id or document_type_nm")
    if lost:
        raise Unproven(f"{what}: the DataHub did not keep {', '.join(sorted(lost))}, or the original's row has changed")


def _copy_id(entry: Entry) -> str:
    if entry.copy_id is None:
        raise ValueError(f"file {entry.file_id!r} has no copy to prove")
    return entry.copy_id


def _what(entry: Entry) -> str:
    return f"file {entry.copy_id!r}, the copy of file {entry.file_id!r}"


def _compare(what: str, found: Digest, size: int, sha256: str) -> None:
    if (found.size, found.sha256) != (size, sha256):
        raise Unproven(
            f"{what}: {found.size} bytes with SHA-256 {found.sha256}, expected {size} bytes with SHA-256 {sha256}"
        )
