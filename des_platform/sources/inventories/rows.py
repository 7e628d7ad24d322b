"""The rows of an inventory's data file: CSV in gzip, Parquet, or ORC, from a file on disk, a few at a time.

Nothing is trusted: a row that is not as S3 writes it is told of and its neighbours go on; a file that cannot be read,
or has too many such rows, is refused. Memory holds one batch of rows, or one stripe of ORC: a line is limited, so is
what a Parquet row group unfolds to.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from des_platform.objectstore import ObjectInfo
from des_platform.sources.inventories.manifest import COLUMNS, RefusedInventory, check_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from des_platform.sources.inventories.manifest import Manifest

MAX_BAD_ROWS = 100
"""A file with more of them is no inventory."""

_MAX_LINE_BYTES = 1 << 20
_MAX_GROUP_BYTES = 1 << 30
_MAX_STRIPE_ROWS = 4_000_000
_BATCH_ROWS = 1000
_MAX_SIZE = (1 << 63) - 1
_ETAG = re.compile(r"[!-~]{1,256}")
_SHOWN_CHARS = 2000


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be understood: why, and what it holds."""

    reason: str
    content: str


Row = ObjectInfo | BadRow | None


def read_rows(path: Path, manifest: Manifest, *, skip: int) -> Iterator[Row]:
    """Read a data file, one item for each row: None where the row is no object's latest version.

    Args:
        path: the file.
        manifest: what names it.
        skip: rows to leave out at the beginning.

    Raises:
        RefusedInventory: at the place where the file cannot be read any further.
    """
    import pyarrow as pa

    readers = {"CSV": _csv_rows, "Parquet": _parquet_rows, "ORC": _orc_rows}
    bad = 0
    try:
        for raw in readers[manifest.format](path, manifest, skip):
            row = raw if isinstance(raw, BadRow) else _understood(raw, manifest.bucket)
            if isinstance(row, BadRow):
                bad += 1
                if bad > MAX_BAD_ROWS:
                    raise RefusedInventory(f"more than {MAX_BAD_ROWS} of its rows cannot be understood")
            yield row
    except (pa.ArrowException, OSError, EOFError, zlib.error, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        raise RefusedInventory(f"it cannot be read as {manifest.format}: {said}") from error


def _understood(row: Mapping[str, Any], bucket: str) -> Row:
    try:
        return _object(row, bucket)
    except (ValueError, TypeError, OverflowError, KeyError) as error:
        return BadRow(str(error), repr(dict(row))[:_SHOWN_CHARS])


def _object(row: Mapping[str, Any], bucket: str) -> ObjectInfo | None:
    if row["bucket"] != bucket:
        raise ValueError(f"it is about the bucket {row['bucket']!r}, in an inventory of {bucket!r}")
    # Both columns are missing where the inventory lists current versions only.
    if not _flag(row.get("is_latest", True)) or _flag(row.get("is_delete_marker", False)):
        return None
    key, etag, size = row["key"], row["e_tag"], int(row["size"])
    if not isinstance(key, str) or not isinstance(etag, str) or not _ETAG.fullmatch(etag):
        raise ValueError(f"its key is {key!r} and its ETag {etag!r}: expected two texts, the latter without blanks")
    if not 0 <= size <= _MAX_SIZE:
        raise ValueError(f"its size is {size} bytes")
    modified = row["last_modified_date"]
    if not isinstance(modified, datetime):
        modified = datetime.fromisoformat(modified)
    # ORC's times have no zone; S3's are UTC.
    modified = modified.astimezone(UTC) if modified.tzinfo else modified.replace(tzinfo=UTC)
    return ObjectInfo(key, size, etag.strip('"'), modified)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value not in {"true", "false"}:
        raise ValueError(f"IsLatest and IsDeleteMarker are true or false, not {value!r}")
    return value == "true"


def _csv_rows(path: Path, manifest: Manifest, skip: int) -> Iterator[Mapping[str, Any] | BadRow]:
    with gzip.open(path, "rb") as lines:
        # S3 encodes keys, so that a row is a line: those that are done are passed over without being understood.
        for _ in islice(_lines(lines), skip):
            pass
        for line in _lines(lines):
            try:
                yield _csv_row(line, manifest.columns)
            except (ValueError, csv.Error) as error:
                yield BadRow(
                    f"it is no row of CSV as S3 writes it: {error}", line[:_SHOWN_CHARS].decode("utf-8", "replace")
                )


def _lines(lines: gzip.GzipFile) -> Iterator[bytes]:
    while line := lines.readline(_MAX_LINE_BYTES):
        if len(line) == _MAX_LINE_BYTES:
            raise RefusedInventory(f"it has a line of more than {_MAX_LINE_BYTES} bytes")
        yield line


def _csv_row(line: bytes, columns: tuple[str, ...]) -> dict[str, Any]:
    fields = next(csv.reader([line.decode()], strict=True), [])
    row = dict(zip(columns, fields, strict=True))
    # Blanks come as '+' or '%20' and a plus sign as '%2B', so this holds for both ways to encode.
    row["key"] = unquote_plus(row["key"], errors="strict")
    return row


def _parquet_rows(path: Path, _manifest: Manifest, skip: int) -> Iterator[Mapping[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
        names = [name for name in COLUMNS if name in file.schema_arrow.names]
        check_columns(set(names))
        for number in range(file.num_row_groups):
            group = file.metadata.row_group(number)
            if skip >= group.num_rows:
                skip -= group.num_rows
                continue
            if group.total_byte_size > _MAX_GROUP_BYTES:
                raise RefusedInventory(
                    f"its row group {number} unfolds to {group.total_byte_size} bytes, more than {_MAX_GROUP_BYTES}"
                )
            for batch in file.iter_batches(_BATCH_ROWS, row_groups=[number], columns=names, use_threads=False):
                yield from batch.slice(min(skip, batch.num_rows)).to_pylist()
                skip = max(0, skip - batch.num_rows)


def _orc_rows(path: Path, _manifest: Manifest, skip: int) -> Iterator[Mapping[str, Any]]:
    from pyarrow import orc

    file = orc.ORCFile(path)
    names = [name for name in COLUMNS if name in file.schema.names]
    check_columns(set(names))
    # A stripe is decoded as a whole, and how many rows are in each is known only then.
    if file.nrows > min(file.nstripes * _MAX_STRIPE_ROWS, path.stat().st_size):
        raise RefusedInventory(f"it unfolds to {file.nrows} rows in {file.nstripes} stripes, too many to be decoded")
    for number in range(file.nstripes):
        stripe = file.read_stripe(number, columns=names)
        for start in range(min(skip, stripe.num_rows), stripe.num_rows, _BATCH_ROWS):
            yield from stripe.slice(start, _BATCH_ROWS).to_pylist()
        skip = max(0, skip - stripe.num_rows)
