"""Which files are too small, and which of them become larger ones together.

A group holds files of one partition, so never of two days: a day is what a later materialization replaces. Files of an
earlier partitioning are grouped by their day, and written under the current one. A file that is large enough is left
alone, and so are a few small ones: a partition that was compacted is not compacted again until more files have come.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from pyiceberg.manifest import FileFormat, ManifestContent

from des_platform.lake.partitioning import human_values, partition_path
from des_platform.lake.types import DAY, EPOCH
from des_platform.lake.upkeep.reachable import metadata_read
from des_platform.lake.upkeep.types import Part, UpkeepRefused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pyiceberg.manifest import DataFile, ManifestEntry
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.table import Table

SMALL_BYTES: Final = 96 << 20
FEWEST_FILES: Final = 5
# Past this, `lake.files` finishes a file.
_FILE_BYTES: Final = 256 << 20
# What is lost when a compaction is killed, and written before any of it counts.
_GROUP_BYTES: Final = 4 << 30


@dataclass(frozen=True, slots=True)
class Group:
    """Files that become fewer.

    Attributes:
        name: their partition, as `k=v/k=v`.
        files: the files, in the order in which they were written.
        expected_files: how many they become.
    """

    name: str
    files: tuple[DataFile, ...]
    expected_files: int

    @property
    def rows(self) -> int:
        """Rows in the files."""
        return sum(file.record_count for file in self.files)

    @property
    def bytes(self) -> int:
        """Size of the files."""
        return sum(file.file_size_in_bytes for file in self.files)

    def part(self) -> Part:
        """The group as it stands in a plan."""
        return Part(self.name, len(self.files), self.bytes, self.expected_files, self.bytes, self.rows)


def groups_of(
    table: Table, *, days: Collection[date] | None, small_bytes: int = SMALL_BYTES, fewest_files: int = FEWEST_FILES
) -> list[Group]:
    """The files of a table that should become fewer, in the order of their partitions.

    Args:
        table: the table, freshly loaded.
        days: only files of these days; None for all.
        small_bytes: a file of this size is large enough.
        fewest_files: a partition with fewer small files is left alone.

    Raises:
        UpkeepRefused: the table has no days, its metadata cannot be read, or another program keeps deleted rows in
            files of their own.
    """
    metadata = table.metadata
    current = metadata.spec()
    if DAY not in [field.name for field in current.fields]:
        raise UpkeepRefused(
            table.name()[-1], f"it is not partitioned by {DAY}", "only tables that the platform made are compacted"
        )
    small: dict[tuple[Any, ...], list[ManifestEntry]] = defaultdict(list)
    with metadata_read(table):
        entries = list(_entries(table))
    for entry in entries:
        file = entry.data_file
        spec = metadata.specs()[file.spec_id]
        day = _day(spec, file)
        if (
            file.file_format is FileFormat.PARQUET
            and file.file_size_in_bytes < small_bytes
            and (days is None or day in days)
        ):
            values = tuple(file.partition[number] for number in range(len(spec.fields)))
            key = values if spec.spec_id == current.spec_id else (day,)
            small[spec.spec_id == current.spec_id, *key].append(entry)
    found = []
    for together in small.values():
        ordered = sorted(together, key=lambda entry: (entry.sequence_number or 0, entry.data_file.file_path))
        for files in _cut([entry.data_file for entry in ordered]):
            expected = max(1, -(-sum(file.file_size_in_bytes for file in files) // _FILE_BYTES))
            if len(files) >= max(fewest_files, expected + 1):
                found.append(Group(_name(table, files[0]), files, expected))
    return sorted(found, key=lambda group: group.name)


def _entries(table: Table) -> Iterator[ManifestEntry]:
    snapshot = table.current_snapshot()
    for manifest in snapshot.manifests(table.io) if snapshot else ():
        if manifest.content != ManifestContent.DATA:
            raise UpkeepRefused(
                table.name()[-1],
                "another program keeps its deleted rows in files of their own",
                "compact it with that program, so that the deletions are carried out",
            )
        yield from manifest.fetch_manifest_entry(table.io, discard_deleted=True)


def _day(spec: PartitionSpec, file: DataFile) -> date | None:
    for number, field in enumerate(spec.fields):
        if field.name == DAY:
            value: Any = file.partition[number]
            return None if value is None else EPOCH + timedelta(days=int(value))
    return None


def _cut(files: list[DataFile]) -> Iterator[tuple[DataFile, ...]]:
    piece: list[DataFile] = []
    size = 0
    for file in files:
        if piece and size + file.file_size_in_bytes > _GROUP_BYTES:
            yield tuple(piece)
            piece, size = [], 0
        piece.append(file)
        size += file.file_size_in_bytes
    yield tuple(piece)


def _name(table: Table, file: DataFile) -> str:
    spec, schema = table.spec(), table.schema()
    if file.spec_id != spec.spec_id:
        day = _day(table.metadata.specs()[file.spec_id], file)
        return partition_path({DAY: None if day is None else day.isoformat()})
    return partition_path(human_values(spec, file.partition, schema))
