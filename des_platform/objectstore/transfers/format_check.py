"""Read a file to its end with its format's own reader, in a process that may die of it: `check_file` starts it.

`python -m des_platform.objectstore.transfers.format_check FORMAT PATH` prints one JSON object: `problem`, '' for none,
and `details`. Memory is bounded: Parquet comes in batches of rows, DBN in blocks of bytes.
"""

from __future__ import annotations

import json
import resource
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY_BYTES = 4 << 30
_ROWS = 65_536
# zstd may blow up a byte to 32 KiB, so a block to 512 MiB.
_BLOCK_BYTES = 1 << 14
_SAID_CHARS = 300
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def check_parquet(path: Path) -> dict[str, Any]:
    """Read every page of every row group."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        rows = 0
        for batch in file.iter_batches(_ROWS, use_threads=False):
            batch.validate(full=True)
            rows += batch.num_rows
        found = file.metadata
        if rows != found.num_rows:
            raise ValueError(f"its footer tells of {found.num_rows} rows, its row groups have {rows}")
        names = file.schema_arrow.names
        return {"rows": rows, "row_groups": found.num_row_groups, "columns": names, "written_by": found.created_by}


def check_dbn(path: Path) -> dict[str, Any]:
    """Decode every record."""
    try:
        from databento_dbn import DBNDecoder, Metadata
    except ImportError:
        raise ValueError("nothing here reads DBN: install des-platform[dbn]") from None
    found: dict[str, Any] = {"records": 0}
    decoder = DBNDecoder()
    for block in _unpacked(path):
        for record in decoder.write_and_decode(block):
            if isinstance(record, Metadata):
                found |= {"version": record.version, "dataset": record.dataset, "schema": str(record.schema)}
            else:
                found["records"] += 1
    if "version" not in found:
        raise ValueError("it has no whole DBN header")
    if rest := len(decoder.buffer()):
        raise ValueError(f"it ends within a record: {rest} bytes are left")
    return found


def _unpacked(path: Path) -> Iterator[bytes]:
    """The file's bytes, out of zstd where they are in it; DBN's own decoder keeps silent about a frame without end."""
    import zstandard

    with path.open("rb") as file:
        blocks = iter(partial(file.read, _BLOCK_BYTES), b"")
        if file.read(len(_ZSTD_MAGIC)) != _ZSTD_MAGIC:
            file.seek(0)
            yield from blocks
            return
        file.seek(0)
        frame = zstandard.ZstdDecompressor().decompressobj()
        for block in blocks:
            rest = block
            while rest:
                if frame.eof:
                    frame = zstandard.ZstdDecompressor().decompressobj()
                yield frame.decompress(rest)
                rest = frame.unused_data
        if not frame.eof:
            raise ValueError("its last zstd frame has no end")


def main(format_name: str, path: str) -> None:
    """Print what was found."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    problem, details = "", {}
    try:
        details = {"parquet": check_parquet, "dbn": check_dbn}[format_name](Path(path))
    except Exception as error:  # noqa: BLE001 - whatever a reader says of a file is what is asked for
        said = " ".join(str(error).split()) or type(error).__name__
        problem = f"it is no whole {format_name} file: {said[:_SAID_CHARS]}"
    sys.stdout.write(json.dumps({"problem": problem, "details": details}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
