"""Inventories as S3 writes them, of what a test says a bucket holds."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from des_platform.catalog import partitions
from des_platform.sources.inventories.source import InventoryConfig, InventorySource
from des_platform.sources.recording import Recorder
from des_platform_tests.platform import LANDING, noon

if TYPE_CHECKING:
    from collections.abc import Sequence

    from des_platform_tests.platform import Platform

BUCKET = "inventories"
PREFIX = "attic/landing/daily"
SCHEMA = (
    "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass, IsMultipartUploaded"
)
SUFFIXES = {"CSV": "csv.gz", "Parquet": "parquet", "ORC": "orc"}


def row(key: str, etag: str = "e1", size: Any = 7, **other: Any) -> dict[str, Any]:
    """What an inventory says of an object."""
    return {
        "bucket": LANDING,
        "key": key,
        "version_id": "v1",
        "is_latest": True,
        "is_delete_marker": False,
        "size": size,
        "last_modified_date": noon(),
        "e_tag": etag,
        "storage_class": "STANDARD",
        "is_multipart_uploaded": False,
    } | other


def data_file(rows: Sequence[dict[str, Any]], file_format: str) -> bytes:
    """A data file's bytes."""
    return {"CSV": _csv, "Parquet": _parquet, "ORC": _orc}[file_format](rows)


def _csv(rows: Sequence[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for values in rows:
        writer.writerow([_csv_field(name, value) for name, value in values.items()])
    return gzip.compress(text.getvalue().encode(), mtime=0)


def _csv_field(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if name == "key":
        return quote_plus(value, safe="/")
    return "" if value is None else str(value)


def _table(rows: Sequence[dict[str, Any]], modified: Any) -> Any:
    import pyarrow as pa

    types: dict[str, Any] = {
        "is_latest": pa.bool_(),
        "is_delete_marker": pa.bool_(),
        "is_multipart_uploaded": pa.bool_(),
    }
    types |= {"size": pa.int64(), "last_modified_date": modified}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in rows[0]])
    return pa.Table.from_pylist(list(rows), schema=schema)


def _parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    output = io.BytesIO()
    pq.write_table(_table(rows, pa.timestamp("ms", "UTC")), output, row_group_size=3)
    return output.getvalue()


def _orc(rows: Sequence[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    from pyarrow import orc

    naive = [values | {"last_modified_date": values["last_modified_date"].replace(tzinfo=None)} for values in rows]
    output = io.BytesIO()
    orc.write_table(_table(naive, pa.timestamp("ns")), output)
    return output.getvalue()


@dataclass
class Attic:
    """A platform with a source that reads inventories; S3 puts them into a bucket of their own."""

    platform: Platform
    source: InventorySource = field(init=False)

    def __post_init__(self) -> None:
        self.store = self.platform.buckets.create(BUCKET)
        with self.platform.catalog.begin() as connection:
            partitions.register_datasets(connection, [self.platform.dataset])
        self.reopen()

    def reopen(self) -> None:
        """Begin anew with nothing but what was kept."""
        config = InventoryConfig(name="attic", manifest_bucket=BUCKET, manifest_prefix=PREFIX)
        recorder = Recorder(self.platform.catalog, self.platform.buckets, [self.platform.dataset])
        self.source = InventorySource(config, recorder, self.platform.scratch)

    def put_data(self, name: str, content: bytes) -> dict[str, Any]:
        """Put a data file; returns its entry in a manifest."""
        key = f"{PREFIX}/data/{name}"
        self.store.put(key, content)
        return {"key": key, "size": len(content), "MD5checksum": hashlib.md5(content).hexdigest()}  # noqa: S324 - S3's

    def put_manifest(
        self, stamp: str, files: Sequence[dict[str, Any]], *, file_format: str = "CSV", **other: Any
    ) -> str:
        """Put a manifest and its checksum; returns its key."""
        manifest = {
            "sourceBucket": LANDING,
            "destinationBucket": f"arn:aws:s3:::{BUCKET}",
            "version": "2016-11-30",
            "creationTimestamp": "1514944800000",
            "fileFormat": file_format,
            "fileSchema": SCHEMA,
            "files": list(files),
        }
        return self.put_manifest_text(stamp, json.dumps(manifest | other).encode())

    def put_manifest_text(self, stamp: str, content: bytes) -> str:
        key = f"{PREFIX}/{stamp}/manifest.json"
        self.store.put(f"{PREFIX}/{stamp}/manifest.checksum", hashlib.md5(content).hexdigest().encode())  # noqa: S324 - S3's
        self.store.put(key, content)
        return key

    def publish(self, stamp: str, *parts: Sequence[dict[str, Any]], file_format: str = "CSV") -> str:
        """Put an inventory, a data file for each part."""
        files = [
            self.put_data(f"{stamp}-{number}.{SUFFIXES[file_format]}", data_file(rows, file_format))
            for number, rows in enumerate(parts)
        ]
        return self.put_manifest(stamp, files, file_format=file_format)
