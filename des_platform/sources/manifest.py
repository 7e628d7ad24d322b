"""The manifest of a day: a Parquet object that lists every catalogued file.

Its key is `manifests/<dataset>/<day>/<start of its SHA-256>.parquet`, so the same files give the same object, a retry
is harmless, and a reader who holds an older manifest is never handed a newer one under the same key. Only facts that do
not change stand in it.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from des_platform.catalog import files, partitions
from des_platform.catalog.partitions import Manifest
from des_platform.objectstore import IntegrityError

if TYPE_CHECKING:
    from datetime import date

    import pyarrow as pa
    import sqlalchemy as sa

    from des_platform.objectstore import ObjectStore


def write_manifest(connection: sa.Connection, store: ObjectStore, dataset: str, day: date, scratch: Path) -> Manifest:
    """Write the manifest of one day from the catalogue, as the transaction sees it, and point the day at it.

    Args:
        connection: inside the transaction that catalogued the files.
        store: the platform's own bucket.
        dataset: the dataset.
        day: the day.
        scratch: folder for the object while it is built.
    """
    with tempfile.NamedTemporaryFile(dir=scratch, suffix=".parquet") as handle:
        path = Path(handle.name)
        number, size = _write(connection, dataset, day, path)
        with path.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        key = f"manifests/{dataset}/{day}/{digest[:16]}.parquet"
        store.put_file(key, path)
    manifest = Manifest(dataset, day, key, number, size)
    partitions.replace_manifest(connection, manifest)
    return manifest


def listed_names(store: ObjectStore, manifest: Manifest) -> set[str]:
    """The names in a manifest, read from the store.

    Raises:
        ObjectNotFound: its object is gone.
        IntegrityError: its bytes are not those whose SHA-256 its key holds.
    """
    import io

    import pyarrow.parquet as pq

    content = b"".join(store.stream(manifest.key))
    digest = hashlib.sha256(content).hexdigest()
    if not manifest.key.endswith(f"/{digest[:16]}.parquet"):
        raise IntegrityError(f"the manifest {manifest.key} is damaged: its SHA-256 is {digest}")
    names = pq.read_table(io.BytesIO(content), columns=["name"]).column("name").to_pylist()
    return {name for name in names if name is not None}


def _schema() -> pa.Schema:
    import pyarrow as pa

    text = ("name", "bucket", "key", "etag", "sha256")
    return pa.schema([(name, pa.string()) for name in text] + [("size", pa.int64()), ("shard", pa.int16())])


def _write(connection: sa.Connection, dataset: str, day: date, path: Path) -> tuple[int, int]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    number = size = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in files.of_day(connection, dataset, day, batch=10_000):
            columns = {name: [getattr(row, name) for row in batch] for name in schema.names}
            writer.write_table(pa.table(columns, schema=schema))
            number += len(batch)
            size += sum(row.size for row in batch)
    return number, size
