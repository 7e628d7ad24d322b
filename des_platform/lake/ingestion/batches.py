"""A batch: whole files, read one after the other until they hold enough records, waiting for their commit.

Every record of a file becomes a row or a rejected row. Damage is a rejected row with the reason, as the reader tells
it, and so is a key that the platform does not read. A file that the store does not hand over whole leaves nothing here:
it is left out, told of, and read again with the job's next try; so is one at which a reader fails.

Rows wait in scratch files: a batch may be larger than memory, and what was read of half a file never reaches the table.
"""

from __future__ import annotations

import logging
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from des_platform.lake.ingestion.spool import Spool
from des_platform.lake.types import DAY, FILE, LINE
from des_platform.objectstore import AccessDenied, InvalidKey, ObjectNotFound, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    import pyarrow as pa

    from des_platform.catalog.data_sources import DataFormat
    from des_platform.lake.ingestion.sources import SourceFile
    from des_platform.objectstore import ObjectStore
    from des_platform.parquet import FileFormat

_LOG = logging.getLogger(__name__)
# The statement that marks a batch's files names each of them.
_MOST_FILES: Final = 10_000
# Each was retried for two minutes: the store is away, and so is the rest of the files.
_MOST_UNAVAILABLE: Final = 3


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file that was read.

    Attributes:
        file: the file.
        rows: its rows.
        rejected: its rejected rows.
        rows_at: where its rows are in their spool.
        rejected_at: where its rejected rows are in theirs.
    """

    file: SourceFile
    rows: int
    rejected: int
    rows_at: int
    rejected_at: int


class ReadBatch:
    """The files of one batch; gives its scratch files back at the end of `with`.

    Args:
        store: the bucket of the data source.
        columns: name to type of the table's columns.
        data_format: format of the files whose names tell none.
        scratch: folder for the rows.

    Attributes:
        files: what was read.
        left_out: what was not, with the reason.
        away: whether the store, or the scratch folder, is out of order: several files in a row could not be read.
        undeclared: columns of the files that the table has not.
    """

    def __init__(self, store: ObjectStore, columns: Mapping[str, str], data_format: DataFormat, scratch: Path) -> None:
        self.files: list[ReadFile] = []
        self.left_out: list[str] = []
        self.away = False
        self.undeclared: set[str] = set()
        self._store = store
        self._columns = columns
        self._format = data_format
        self._scratch = scratch
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self._rows = Spool(opened.enter_context(tempfile.TemporaryFile(dir=self._scratch)))
            self._rejected = Spool(opened.enter_context(tempfile.TemporaryFile(dir=self._scratch)))
            self._open = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def records(self) -> int:
        """Records of the files."""
        return sum(read.rows + read.rejected for read in self.files)

    @property
    def bytes(self) -> int:
        """Size of the files."""
        return sum(read.file.size for read in self.files)

    def fill(self, files: Iterator[SourceFile], records: int) -> None:
        """Read files until they hold so many records, or there are no more, or the store seems to be `away`.

        Raises:
            StoreUnavailable: the next files cannot be listed.
        """
        unavailable = held = 0
        while held < records and len(self.files) < _MOST_FILES and (file := next(files, None)) is not None:
            try:
                read = self._read(file)
            except ObjectNotFound:
                _LOG.info("file %s is gone since it was listed", file.url)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one file, the others are read
                _LOG.warning("file %s is left out", file.url, exc_info=True)
                self.left_out.append(f"{file.url}: {type(error).__name__}: {error}")
                away = isinstance(error, StoreUnavailable | OSError) and not isinstance(error, AccessDenied)
                unavailable = unavailable + 1 if away else 0
                if unavailable == _MOST_UNAVAILABLE:
                    self.away = True
                    return
            else:
                unavailable = 0
                held += read.rows + read.rejected
                self.files.append(read)

    def rows(self, files: Iterable[ReadFile]) -> Iterator[pa.RecordBatch]:
        """The rows of some of the files, with their lineage."""
        for read in files:
            if read.rows:
                yield from _of_file(read.file, self._rows.read(read.rows_at))

    def rejected_rows(self, files: Iterable[ReadFile]) -> Iterator[pa.RecordBatch]:
        """The rejected rows of some of the files, with their lineage."""
        for read in files:
            if read.rejected:
                yield from _of_file(read.file, self._rejected.read(read.rejected_at))

    def _read(self, file: SourceFile) -> ReadFile:
        from des_platform.lake.reading import read_file

        try:
            chunks = self._store.stream(file.key, if_match=file.etag or None)
            rows = rejected = 0
            with self._rows.piece() as rows_at, self._rejected.piece() as rejected_at:
                for found in read_file(
                    file.key,
                    chunks,
                    self._columns,
                    scratch=self._scratch,
                    file_format=format_beside(file.key, self._format),
                ):
                    rows += found.rows.num_rows
                    rejected += len(found.rejected)
                    self.undeclared |= found.extra_columns
                    if found.rows.num_rows:
                        self._rows.write(found.rows.append_column(LINE, found.lines))
                    if found.rejected:
                        self._rejected.write(_rejects([(row.text, row.reason, row.line) for row in found.rejected]))
        except InvalidKey as error:
            return self._refused(file, f"the file cannot be read: {error}")
        return ReadFile(file, rows, rejected, rows_at, rejected_at)

    def _refused(self, file: SourceFile, reason: str) -> ReadFile:
        with self._rejected.piece() as begins:
            self._rejected.write(_rejects([("", reason, 1)]))
        return ReadFile(file, 0, 1, 0, begins)


def _rejects(rejected: Sequence[tuple[str, str, int]]) -> pa.RecordBatch:
    import pyarrow as pa

    text, reasons, lines = zip(*rejected, strict=True)
    columns = {"text": pa.array(text, pa.string()), "reason": pa.array(reasons, pa.string())}
    return pa.record_batch(columns | {LINE: pa.array(lines, pa.int64())})


def format_beside(key: str, data_format: DataFormat) -> FileFormat | None:
    """The source's format, for a file whose name tells none."""
    from des_platform.lake.reading import format_of

    return None if data_format == "auto" or format_of(key) is not None else data_format


def _of_file(file: SourceFile, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    for batch in batches:
        day = pa.repeat(pa.scalar(file.day, pa.date32()), batch.num_rows)
        yield batch.append_column(FILE, pa.repeat(file.url, batch.num_rows)).append_column(DAY, day)
