"""Rows become Parquet files of their table, one or more for each partition, in bounded memory: all of them or none.

A file is finished past 256 MiB. Row groups hold at most 131,072 rows, and all rows that wait in memory about 64 MiB of
Arrow data, however many partitions they are of: past that the fullest partitions are written. Columns carry Iceberg
field ids, so the files read right after any evolution, and each footer says which commit the rows came with
(`des.properties`), so that lineage outlives the table's snapshots. A failure removes every file of this writing; a
kill leaves files that no snapshot names, which no reader ever sees.

Files are described to Iceberg from the footer that was just written: nothing is read back, and the values of every
transform are known, of which a bucket could not be told from a file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.typedef import Record

from des_platform.lake.buffers import Buffer
from des_platform.lake.conforming import Conform
from des_platform.lake.partitioning import human_values, partition_path
from des_platform.lake.plans import PROPERTY, Plans
from des_platform.lake.splitting import Split
from des_platform.lake.types import EPOCH
from des_platform.parquet.rounding import round_columns
from des_platform.parquet.writing import open_writer
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyiceberg.io import FileIO
    from pyiceberg.table import Table

    from des_platform.lake.splitting import Key
    from des_platform.parquet.plan import WritePlan

_LOG = logging.getLogger(__name__)
FOOTER: Final = "des.properties"
"""Key of a data file's footer under which the properties of the commit that brought its rows are kept, as JSON."""

_ROW_GROUP_ROWS: Final = 128 * 1024
_ROW_GROUP_BYTES: Final = 64 << 20
_FILE_BYTES: Final = 256 << 20
# An object store's stream keeps up to a part of 10 MB in memory; a local file nothing, but a process has few of them.
_FILES_OPEN: Final = {"file": 200}
_FILES_OPEN_FAR: Final = 32
_PARTITIONS_MOST: Final = 10_000
_LONGEST_FOLDER: Final = 200


class PartitionFiles:
    """The Parquet files of some rows of one table, written but not committed.

    Args:
        table: freshly loaded; its current spec tells the partitions apart.
        properties: of the commit that brings the rows; kept in each file.
        tolerance: column of doubles to the largest relative error that its values may take.

    Attributes:
        files: those that are finished, as Iceberg wants them described.
        spec_id: the spec under which they are written.
        schema: the schema by which they are written.
        plans: the plan by which they are written.
        properties: what a file's footer says when it is finished.
    """

    def __init__(
        self,
        table: Table,
        *,
        properties: Mapping[str, str] | None = None,
        tolerance: Mapping[str, float] | None = None,
    ) -> None:
        metadata = table.metadata
        self.files: list[DataFile] = []
        self.spec_id = metadata.default_spec_id
        self.schema = metadata.schema()
        self._table = table.name()[-1]
        self.plans = Plans(self._table, metadata.properties.get(PROPERTY))
        self._folder = f"{table.location()}/data"
        self._writer_id = uuid.uuid4()
        self._most_open = _FILES_OPEN.get(urlsplit(self._folder).scheme, _FILES_OPEN_FAR)
        self._written: list[str] = []
        self._metadata = metadata
        self._io: FileIO = table.io
        self.properties = dict(properties or {})
        self._tolerance = dict(tolerance or {})
        self._conform = Conform(self._table, metadata)
        self._split = Split(metadata)
        self._statistics = compute_statistics_plan(metadata.schema(), metadata.properties)
        self._field_ids = parquet_path_to_id_mapping(metadata.schema())
        self._waiting = Buffer()
        self._buffers: dict[Key, Buffer] = {}
        self._buffered = 0
        self._open: dict[Key, _ParquetFile] = {}

    @property
    def rows(self) -> int:
        """Rows of the finished files."""
        return sum(file.record_count for file in self.files)

    @property
    def bytes(self) -> int:
        """Size of the finished files."""
        return sum(file.file_size_in_bytes for file in self.files)

    def of_day(self, day: date) -> list[DataFile]:
        """The finished files that hold rows of a day."""
        return [file for file in self.files if file.partition[0] == (day - EPOCH).days]

    def write(self, batches: Iterable[pa.RecordBatch], day: date | None = None) -> None:
        """Write all batches and finish their files; on any failure remove all files of this writing.

        Args:
            batches: declared and lineage columns, by name.
            day: the day of all rows; None: the batches have a column `_day`.

        Raises:
            SchemaConflict: a batch has a column that the table lacks, or values that the column's type does not hold.
            ConfigurationError: the rows are of more partitions than a table should have.
        """
        try:
            for batch in batches:
                self._take(batch, day)
            self._distribute()
            for key in list(self._buffers):
                self._write_row_group(key)
            for key in list(self._open):
                self._finish_file(key)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Remove the files. Only for files that no commit can have registered."""
        for key in list(self._open):
            try:
                self._open.pop(key).close(self.properties)
            except Exception:  # noqa: BLE001 - the first error is the one to report
                _LOG.warning("table %r: a Parquet file could not be closed to be removed", self._table, exc_info=True)
        for path in self._written:
            try:
                self._io.delete(path)
            except Exception:  # noqa: BLE001 - the first error is the one to report
                _LOG.warning("table %r: %s stays behind; no snapshot names it", self._table, path, exc_info=True)
        self._written.clear()
        self.files.clear()

    def _take(self, batch: pa.RecordBatch, day: date | None) -> None:
        step = min(_ROW_GROUP_ROWS, max(1, _ROW_GROUP_BYTES * batch.num_rows // max(batch.nbytes, 1)))
        for start in range(0, batch.num_rows, step):
            part = self._conform(batch.slice(start, step), day)
            if self._tolerance:
                part = round_columns(part, self._tolerance)
            if self._waiting.rows + part.num_rows > _ROW_GROUP_ROWS:
                self._distribute()
            self._waiting.add(part)
            if self._waiting.bytes + self._buffered >= _ROW_GROUP_BYTES:
                self._distribute()
                self._write_fullest()

    def _distribute(self) -> None:
        """Give the waiting rows to their partitions."""
        for key, rows in self._split(self._waiting.take(self._conform.schema)):
            if key in self._buffers and self._buffers[key].rows + rows.num_rows > _ROW_GROUP_ROWS:
                self._write_row_group(key)
            buffer = self._buffers.setdefault(key, Buffer())
            self._buffered -= buffer.bytes
            buffer.extend(rows)
            self._buffered += buffer.bytes
            if buffer.rows >= _ROW_GROUP_ROWS:
                self._write_row_group(key)

    def _write_fullest(self) -> None:
        """Write what weighs the most, until half of the memory is free: then the next rows come in good pieces."""
        for key in sorted(self._buffers, key=lambda key: self._buffers[key].bytes, reverse=True):
            if self._buffered < _ROW_GROUP_BYTES // 2:
                break
            self._write_row_group(key)

    def _write_row_group(self, key: Key) -> None:
        buffer = self._buffers.pop(key)
        self._buffered -= buffer.bytes
        rows = buffer.take(self._conform.schema)
        found = self._open.pop(key, None)
        if found is None:
            if len(self._open) >= self._most_open:
                self._finish_file(next(iter(self._open)))
            found = self._create(key, self.plans.for_rows(rows))
        self._open[key] = found  # the one that was written to longest ago comes first
        found.writer.write_table(rows, row_group_size=_ROW_GROUP_ROWS)
        if found.stream.tell() >= _FILE_BYTES:
            self._finish_file(key)

    def _create(self, key: Key, plan: WritePlan) -> _ParquetFile:
        if len(self._written) >= _PARTITIONS_MOST:
            raise ConfigurationError(
                f"table {self._table!r}: one commit would write more than {_PARTITIONS_MOST:,} files; partition by a"
                " hash of the column instead of its values, or commit fewer days at once"
            )
        path = f"{self._folder}/{self._subfolder(key)}/{self._writer_id}-{len(self._written):05}.parquet"
        self._written.append(path)
        return _ParquetFile(self._io, path, self._conform.schema, plan)

    def _subfolder(self, key: Key) -> str:
        """The partition's path, unless it is too long for a folder or holds what some reader would decode in a URL."""
        path = partition_path(human_values(self._metadata.spec(), Record(*key), self._metadata.schema()))
        if "%" not in path and len(path) <= _LONGEST_FOLDER:
            return path
        return f"{path.partition('/')[0]}/{hashlib.sha256(path.encode()).hexdigest()[:32]}"

    def _finish_file(self, key: Key) -> None:
        found = self._open.pop(key)
        size, footer = found.close(self.properties)
        self.plans.finished(footer)
        statistics = data_file_statistics_from_parquet_metadata(footer, self._statistics, self._field_ids)
        described = DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=found.path,
            file_format=FileFormat.PARQUET,
            partition=Record(*key),
            file_size_in_bytes=size,
            sort_order_id=None,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )
        described.spec_id = self.spec_id
        self.files.append(described)


class _ParquetFile:
    """One Parquet file while it is written."""

    def __init__(self, io: FileIO, path: str, schema: pa.Schema, plan: WritePlan) -> None:
        self.path = path
        self.stream = cast("pa.NativeFile", io.new_output(path).create())
        self.writer = open_writer(self.stream, schema, plan)

    def close(self, properties: Mapping[str, str]) -> tuple[int, pq.FileMetaData]:
        """Write the footer and close; return the size in bytes, and the footer."""
        try:
            self.writer.add_key_value_metadata({FOOTER: json.dumps(properties, separators=(",", ":"))})
            self.writer.close()
            return self.stream.tell(), cast("Any", self.writer).writer.metadata
        finally:
            self.stream.close()
