"""Rows that came from some source files, taken out of a table without a trace: for files that are read again.

Data files that hold nothing else are dropped. The others are written again without these rows, each by itself, so that
what is left still says which commit it came with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.expressions.visitors import ROWS_MUST_MATCH, _StrictMetricsEvaluator
from pyiceberg.io.pyarrow import ArrowScan

from des_platform.lake.contents import footer_properties
from des_platform.lake.files import PartitionFiles
from des_platform.lake.staging import any_of, stage_drop_of_files
from des_platform.lake.types import FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyiceberg.table import FileScanTask, Table, Transaction


class KeptRows:
    """The rows that stay, of the data files that must go; written once, however often the commit is planned.

    Args:
        sources: values of `_file` whose rows go.
    """

    def __init__(self, sources: Sequence[str]) -> None:
        self._sources = list(sources)
        self._written: dict[str, PartitionFiles] = {}

    def discard(self) -> None:
        """Remove what was written. Only for files that no commit can have registered."""
        for files in self._written.values():
            files.discard()
        self._written.clear()

    def stage_drop(self, transaction: Transaction, properties: dict[str, str]) -> list[PartitionFiles]:
        """Stage the drop of all data files with rows that go; return the files with the rows of theirs that stay.

        Args:
            transaction: over fresh metadata, with nothing staged yet.
            properties: written into the snapshot's summary.
        """
        table = transaction._table  # noqa: SLF001 - as fresh as the transaction
        rows = any_of(FILE, self._sources)
        tasks = {task.file.file_path: task for task in table.scan(row_filter=rows).plan_files()}
        for path in self._written.keys() - tasks.keys():
            self._written.pop(path).discard()
        whole = _StrictMetricsEvaluator(table.schema(), rows).eval
        for path, task in tasks.items():
            if path not in self._written:
                files = PartitionFiles(table, properties=footer_properties(table.io, path))
                self._written[path] = files
                if whole(task.file) != ROWS_MUST_MATCH:
                    files.write(self._staying(table, task))
        stage_drop_of_files(transaction, [task.file for task in tasks.values()], rows, properties)
        return list(self._written.values())

    def _staying(self, table: Table, task: FileScanTask) -> Iterator[pa.RecordBatch]:
        scan = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue())
        for batch in scan.to_record_batches([task]):
            source = batch.column(FILE)
            yield batch.filter(pc.invert(pc.is_in(source, value_set=pa.array(self._sources, source.type))))
