"""Other ways to keep many small objects in few files, each used as its own documentation shows for plain writing.

None of them compresses here: the payloads would not shrink. What one cannot do is named, not hidden: a tar file has no
index and no checksum of the payloads, MDS and WebDataset shards have no checksum, a zip file has both.

mosaicml-streaming needs torch, which for Linux comes with gigabytes of CUDA, so the extra `bench` leaves it out. It is
measured where it is installed, as every peer is; one that is missing is named on standard error.
"""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

_BUFFER_BYTES = 1 << 20
_BATCH_OBJECTS = 4096
_SHARD_BYTES = 1 << 40  # one shard of everything, as with the others

Write: TypeAlias = "Callable[[Path, Sequence[str], Sequence[bytes]], int]"
"""Writes objects to a path, a file's or a folder's, and returns how many."""


def installed() -> dict[str, Write]:
    """Every peer that can be imported, by name; the missing ones are named on standard error."""
    found = {}
    for name, (module, write) in _PEERS.items():
        if module is None or find_spec(module) is not None:
            found[name] = write
        else:
            sys.stderr.write(f"{name} is not installed and not measured\n")
    return found


def plain_write(path: Path, names: Sequence[str], payloads: Sequence[bytes]) -> int:
    """The floor: the payloads one after the other in one file, with nothing to find them again by."""
    with path.open("wb", buffering=_BUFFER_BYTES) as file:
        for payload in payloads:
            file.write(payload)
    return len(names)


def write_tar(path: Path, names: Sequence[str], payloads: Sequence[bytes]) -> int:
    """A tar file."""
    with path.open("wb", buffering=_BUFFER_BYTES) as file, tarfile.open(fileobj=file, mode="w") as tar:
        for name, payload in zip(names, payloads, strict=True):
            member = tarfile.TarInfo(name)
            member.size = len(payload)
            tar.addfile(member, io.BytesIO(payload))
    return len(names)


def write_zip(path: Path, names: Sequence[str], payloads: Sequence[bytes]) -> int:
    """A zip file, stored."""
    with (
        path.open("wb", buffering=_BUFFER_BYTES) as file,
        zipfile.ZipFile(file, "w", compression=zipfile.ZIP_STORED) as archive,
    ):
        for name, payload in zip(names, payloads, strict=True):
            archive.writestr(name, payload)
    return len(names)


def write_webdataset(path: Path, names: Sequence[str], payloads: Sequence[bytes]) -> int:
    """A WebDataset shard."""
    import webdataset

    with path.open("wb", buffering=_BUFFER_BYTES) as file, webdataset.TarWriter(file, encoder=False) as writer:
        for name, payload in zip(names, payloads, strict=True):
            writer.write({"__key__": name, "bin": payload})
    return len(names)


def write_mds(path: Path, names: Sequence[str], payloads: Sequence[bytes]) -> int:
    """A shard of MosaicML's MDS."""
    from streaming import MDSWriter

    columns = {"name": "str", "data": "bytes"}
    with MDSWriter(out=str(path), columns=columns, size_limit=_SHARD_BYTES) as writer:
        for name, payload in zip(names, payloads, strict=True):
            writer.write({"name": name, "data": payload})
    return len(names)


def write_array_record(path: Path, names: Sequence[str], payloads: Sequence[bytes]) -> int:
    """An ArrayRecord file; it keeps no names, which spares it some work."""
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(path), "group_size:64,uncompressed")
    for payload in payloads:
        writer.write(payload)
    writer.close()
    return len(names)


def write_lance(path: Path, names: Sequence[str], payloads: Sequence[bytes]) -> int:
    """A Lance dataset."""
    import lance
    import pyarrow as pa

    reader = pa.RecordBatchReader.from_batches(_schema(), _batches(names, payloads))
    lance.write_dataset(reader, str(path), max_rows_per_file=len(names))
    return len(names)


def write_parquet(path: Path, names: Sequence[str], payloads: Sequence[bytes]) -> int:
    """A Parquet file with a column of names and one of bytes."""
    import pyarrow.parquet as pq

    with pq.ParquetWriter(
        path, _schema(), compression="none", use_dictionary=False, write_statistics=["name"]
    ) as writer:
        for batch in _batches(names, payloads):
            writer.write_batch(batch)
    return len(names)


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema({"name": pa.string(), "data": pa.binary()})


def _batches(names: Sequence[str], payloads: Sequence[bytes]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    for start in range(0, len(names), _BATCH_OBJECTS):
        piece = slice(start, start + _BATCH_OBJECTS)
        yield pa.record_batch([pa.array(names[piece]), pa.array(payloads[piece], pa.binary())], schema=_schema())


_PEERS: dict[str, tuple[str | None, Write]] = {
    "tarfile": (None, write_tar),
    "zipfile": (None, write_zip),
    "parquet": (None, write_parquet),
    "webdataset": ("webdataset", write_webdataset),
    "mosaicml_streaming": ("streaming", write_mds),
    "array_record": ("array_record", write_array_record),
    "lance": ("lance", write_lance),
}
