"""What a table holds, from its metadata: files, partitions with their statistics, and which commits rows came with."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pyarrow.parquet as pq
from pyiceberg.manifest import DataFileContent, ManifestContent

from des_platform.lake.files import FOOTER
from des_platform.lake.partitioning import human_values, partition_path
from des_platform.lake.types import EPOCH, Origin, PartitionStatistics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    import pyarrow as pa
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import ManifestEntry, ManifestFile
    from pyiceberg.table import Table


def live_files(table: Table) -> Iterator[ManifestEntry]:
    """Each data file of the newest snapshot, with the snapshot that it came with."""
    snapshot = table.current_snapshot()
    for manifest in snapshot.manifests(table.io) if snapshot else ():
        yield from _data_files(manifest, table.io)


def partitions(table: Table) -> list[PartitionStatistics]:
    """Every partition that has rows, by path; files of an earlier partitioning lie under its keys."""
    schema, specs = table.schema(), table.specs()
    found: dict[str, PartitionStatistics] = {}
    for entry in live_files(table):
        file = entry.data_file
        values = human_values(specs[file.spec_id], file.partition, schema)
        path, day = partition_path(values), _day(file.partition[0])
        before = found.get(path)
        found[path] = PartitionStatistics(
            path,
            values,
            rows=file.record_count + (before.rows if before else 0),
            bytes=file.file_size_in_bytes + (before.bytes if before else 0),
            files=1 + (before.files if before else 0),
            first_day=min(day, before.first_day) if before else day,
            last_day=max(day, before.last_day) if before else day,
        )
    return [found[path] for path in sorted(found)]


def origins(table: Table, day: date) -> list[Origin]:
    """The commits that brought the rows which a day has now, the one with the most rows first.

    They are read from the footers of the day's files, so they outlive the snapshots, which the table forgets.
    """
    found: dict[str, Origin] = {}
    for entry in live_files(table):
        file = entry.data_file
        if _day(file.partition[0]) == day:
            properties = footer_properties(table.io, file.file_path)
            key = json.dumps(properties, sort_keys=True)
            before = found.get(key)
            found[key] = Origin(
                properties,
                rows=file.record_count + (before.rows if before else 0),
                files=1 + (before.files if before else 0),
                snapshot_id=max(entry.snapshot_id or 0, before.snapshot_id or 0) if before else entry.snapshot_id,
            )
    return sorted(found.values(), key=lambda origin: -origin.rows)


def footer_properties(io: FileIO, path: str) -> dict[str, str]:
    """The properties of the commit that brought a data file's rows; empty for a file of another program."""
    with io.new_input(path).open() as stream:
        kept = pq.read_metadata(cast("pa.NativeFile", stream)).metadata or {}
    told: Any = json.loads(kept.get(FOOTER.encode(), b"{}"))
    return {str(key): str(value) for key, value in told.items()}


def _data_files(manifest: ManifestFile, io: FileIO) -> Iterator[ManifestEntry]:
    if manifest.content == ManifestContent.DATA:
        for entry in manifest.fetch_manifest_entry(io, discard_deleted=True):
            if entry.data_file.content == DataFileContent.DATA:
                yield entry


def _day(days: int) -> date:
    return EPOCH + timedelta(days=days)
