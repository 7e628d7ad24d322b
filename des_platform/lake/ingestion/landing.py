"""A batch's files into the table, each exactly once, whatever dies.

    lock the table -> which files does it have by now? -> mark the others `writing` -> commit -> mark them `done`

The lock is one transaction, and the marks `done` are its last statements: a writer that lost its connection, and with
it the lock, cannot mark anything. What it leaves `writing` is in doubt, and so is a file of which the table has another
version: whoever reads them again replaces their rows in the commit that appends the new ones. So a kill before the
commit loses nothing, and one behind it doubles nothing.
"""

from __future__ import annotations

import os.path
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from des_platform.catalog import ingestion_attempts, ingestion_batches
from des_platform.lake.rejected import rejected_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyiceberg.table import Table

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.ingestion_attempts import Attempt
    from des_platform.catalog.ingestion_batches import Batch
    from des_platform.lake.ingestion.batches import ReadBatch, ReadFile
    from des_platform.lake.tables import Lake
    from des_platform.lake.types import Replaced

BATCH_PROPERTY: Final = "des.batch"
"""Property of snapshots and data files that names the batch that brought them."""


@dataclass(frozen=True, slots=True)
class Landed:
    """What a batch brought: files, rows, rejected rows, bytes of the new Parquet files."""

    files: int = 0
    rows: int = 0
    rejected: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """The table that a job fills."""

    table_id: int
    name: str


def land(
    catalog: Catalog,
    lake: Lake,
    target: Target,
    attempt: Attempt,
    batch: Batch,
    read: ReadBatch,
    *,
    properties: Mapping[str, str],
) -> Landed | None:
    """Bring a batch into its table, and end it.

    Args:
        catalog: knows the files that the table has.
        lake: holds the table.
        target: the table.
        attempt: the try that the batch belongs to.
        batch: the batch, open.
        read: its files.
        properties: written into the snapshots; `BATCH_PROPERTY` among them.

    Returns:
        What came new; None if the try is no longer the one, or to stop: nothing was changed then.
    """
    with catalog.begin() as locked:
        ingestion_batches.lock_table(locked, target.table_id)
        with catalog.begin() as connection:
            if not ingestion_attempts.may_go_on(connection, attempt):
                return None
            known = ingestion_batches.known_files(connection, target.table_id, [one.file.url for one in read.files])
            files = [one for one in read.files if not _has(known, one)]
            versions = {one.file.url: one.file.version for one in files}
            if versions:
                ingestion_batches.mark_writing(connection, target.table_id, batch.batch_id, versions)
        in_doubt = [url for url in versions if url in known]
        replaced = _commit(lake, target.name, read, files, in_doubt, properties)
        if versions:
            rows = {one.file.url: one.rows for one in files}
            ingestion_batches.mark_done(locked, target.table_id, batch.batch_id, rows)
        landed = Landed(
            len(files),
            sum(one.rows for one in files),
            sum(one.rejected for one in files),
            replaced.bytes if replaced else 0,
        )
        output = _written(lake.table(target.name), replaced.snapshot_id, properties) if replaced and landed.rows else []
        ingestion_batches.close_batch(
            locked,
            batch.batch_id,
            "completed" if read.files or not read.left_out else "failed",
            record_count=landed.rows + landed.rejected,
            size_bytes=sum(one.file.size for one in files),
            records_processed=landed.rows,
            records_failed=landed.rejected,
            source_file_path=common_path(files),
            error_message=told(read.left_out),
            output_partition_path=_folders(lake.uri(target.name), output),
            output_files=output,
        )
    return landed


def common_path(files: list[ReadFile]) -> str | None:
    """The URL of a batch's file; of several what all begin with."""
    return os.path.commonprefix([one.file.url for one in files]) if files else None  # noqa: RUF071 - it is meant so


def told(left_out: list[str]) -> str | None:
    """What a batch has to say of the files that it left out."""
    if not left_out:
        return None
    return f"{len(left_out)} files could not be read and are tried again: " + "; ".join(left_out[:5])


def _has(known: Mapping[str, ingestion_batches.KnownFile], read: ReadFile) -> bool:
    have = known.get(read.file.url)
    return have is not None and have.done and have.etag == read.file.version


def _commit(
    lake: Lake,
    name: str,
    read: ReadBatch,
    files: list[ReadFile],
    in_doubt: list[str],
    properties: Mapping[str, str],
) -> Replaced | None:
    """Rejected rows first: should this die in between, both are in doubt, and both are replaced."""
    if in_doubt or any(one.rejected for one in files):
        lake.append(rejected_table(name), read.rejected_rows(files), replacing_files=in_doubt, properties=properties)
    if in_doubt or any(one.rows for one in files):
        return lake.append(name, read.rows(files), replacing_files=in_doubt, properties=properties)
    return None


def _written(table: Table, snapshot_id: int | None, properties: Mapping[str, str]) -> list[str]:
    """The Parquet files that a batch's snapshot added, without those that hold what a replacement left of others."""
    from des_platform.lake.contents import footer_properties

    snapshot = table.snapshot_by_id(snapshot_id) if snapshot_id is not None else None
    if snapshot is None:
        return []
    added = [
        entry.data_file.file_path
        for manifest in snapshot.manifests(table.io)
        if manifest.added_snapshot_id == snapshot_id
        for entry in manifest.fetch_manifest_entry(table.io)
        if entry.snapshot_id == snapshot_id
    ]
    own = properties[BATCH_PROPERTY]
    return sorted(path for path in added if footer_properties(table.io, path).get(BATCH_PROPERTY) == own)


def _folders(location: str, files: list[str]) -> str | None:
    below = f"{location}/data/"
    folders = {os.path.dirname(path.removeprefix(below)) for path in files}  # noqa: PTH120 - URLs
    return ", ".join(sorted(folders)) or None
