"""A file of the object store to rows, whatever its format and compression, by its name.

Text is decompressed and read as it streams in; formats that are read from their end, or in pieces that say how long
they are, go to a scratch file first. What a compressed file becomes is limited, by size and by how much larger than
itself it is.

A file never fails its load: one that has no tabular format, or is not what its name says, is one rejected row, and one
that is damaged ends with a rejected row that says where. Of text the rows before the damage stand, as they may have
been handed on already; of a typed file whose compression is damaged there are none.
"""

from __future__ import annotations

import errno
import re
import shutil
import tempfile
from typing import TYPE_CHECKING, BinaryIO, Final

from des_platform.codecs import Codec, CorruptStream, decompress, get_codec
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from des_platform.parquet import FileFormat, Misfits, RowBatch

FORMATS: Final[dict[str, FileFormat]] = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".avro": "avro",
    ".dbn": "dbn",
}
"""Formats by the end of a name, in any case; one of `COMPRESSIONS` may follow."""

COMPRESSIONS: Final = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd", ".zstd": "zstd"}

MAX_BYTES: Final = 64 << 30
"""The most bytes that a file may have once it is decompressed, or a typed one at all."""

_UNSUSPICIOUS_BYTES: Final = 1 << 30
_MAX_RATIO: Final = 1000
_FREE_BYTES: Final = 1 << 30
_CHECK_BYTES: Final = 64 << 20
_NAME: Final = re.compile(
    rf"({'|'.join(map(re.escape, FORMATS))})({'|'.join(map(re.escape, COMPRESSIONS))})?\Z", re.IGNORECASE
)
_BEGINNINGS: Final = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "xz",
    b"PK\x03\x04": "zip",
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
    b"Obj\x01": "Avro",
    b"DBN": "DBN",
}
_LONGEST_BEGINNING: Final = max(map(len, _BEGINNINGS))


def format_of(name: str) -> FileFormat | None:
    """Return the format of a file by the end of its name; None where it is none that holds rows."""
    found = _NAME.search(name)
    return FORMATS[found[1].lower()] if found else None


def read_file(
    name: str,
    chunks: Iterable[bytes],
    columns: Mapping[str, str],
    *,
    scratch: Path,
    misfits: Misfits = "reject",
    file_format: FileFormat | None = None,
    max_size: int = MAX_BYTES,
) -> Iterator[RowBatch]:
    """Read the rows of one file.

    Args:
        name: its name, which tells format and compression.
        chunks: its bytes, cut anywhere; what they raise comes through.
        columns: declared columns, name to type.
        scratch: folder for a file that cannot be read as it streams in.
        misfits: what becomes of a row with a value that its column cannot hold; see `des_platform.parquet.read_rows`.
        file_format: of the file, where its name does not tell.
        max_size: bytes that it may have once it is decompressed, or that may go to the scratch folder.

    Yields:
        Batches in the order of the file.

    Raises:
        ValueError: for columns that cannot be.
        ConfigurationError: the package that reads the format is not installed.
        OSError: the scratch folder is full.
    """
    from des_platform.parquet import rejected_file

    kind = file_format or format_of(name)
    if kind is None:
        reason = f"{name} has no tabular format: the name ends in none of {', '.join(FORMATS)}"
        yield rejected_file(columns, misfits, reason)
        return
    chunks = iter(chunks)
    pieces = _pieces(name, chunks, max_size)
    try:
        yield from _rows(pieces, kind, columns, scratch=scratch, misfits=misfits, max_size=max_size)
    except ImportError as error:
        raise ConfigurationError(f"{name} cannot be read: {error}") from error
    # Whoever hands the bytes over proves them at their end, and what looks like a damaged file may be their damage.
    for _ in chunks:
        pass


def _rows(
    pieces: Iterator[bytes],
    kind: FileFormat,
    columns: Mapping[str, str],
    *,
    scratch: Path,
    misfits: Misfits,
    max_size: int,
) -> Iterator[RowBatch]:
    from des_platform.parquet import BrokenStream, read_rows, rejected_file
    from des_platform.parquet.rows import TEXT_FORMATS

    if kind in TEXT_FORMATS:
        start, pieces = _peeked(pieces)
        other = next((what for head, what in _BEGINNINGS.items() if start.startswith(head)), None)
        if other is not None:
            yield rejected_file(columns, misfits, f"the file should be {kind} by its name, and begins as {other}")
            return
        yield from read_rows(pieces, kind, columns, misfits=misfits)
        return
    with tempfile.TemporaryFile(dir=scratch) as spool:
        try:
            _spool(pieces, spool, scratch, max_size)
        except BrokenStream as error:
            yield rejected_file(columns, misfits, f"the whole file is rejected: {error}")
            return
        yield from read_rows(spool, kind, columns, misfits=misfits)


def infer_columns(
    name: str,
    chunks: Iterable[bytes],
    *,
    scratch: Path,
    max_rows: int = 100_000,
    file_format: FileFormat | None = None,
    max_size: int = MAX_BYTES,
) -> dict[str, str]:
    """Return the columns of a file, name to type; see `des_platform.parquet.inference`.

    Args:
        name: its name.
        chunks: its bytes; of text only the first 16 MiB are taken.
        scratch: folder for a file that cannot be read as it streams in.
        max_rows: how many records of text are looked at.
        file_format: of the file, where its name does not tell.
        max_size: as of `read_file`.

    Raises:
        NoColumns: it has none, or cannot be read.
        ConfigurationError: the package that reads the format is not installed.
    """
    from des_platform.parquet import BrokenStream, NoColumns
    from des_platform.parquet import infer_columns as inferred
    from des_platform.parquet.rows import TEXT_FORMATS

    kind = file_format or format_of(name)
    if kind is None:
        raise NoColumns(f"{name} has no tabular format: the name ends in none of {', '.join(FORMATS)}")
    pieces = _pieces(name, chunks, max_size)
    try:
        if kind in TEXT_FORMATS:
            return inferred(pieces, kind, max_rows=max_rows)
        with tempfile.TemporaryFile(dir=scratch) as spool:
            _spool(pieces, spool, scratch, max_size)
            return inferred(spool, kind, max_rows=max_rows)
    except (BrokenStream, NoColumns) as error:
        raise NoColumns(f"{name}: {error}") from error
    except ImportError as error:
        raise ConfigurationError(f"{name} cannot be read: {error}") from error


def _pieces(name: str, chunks: Iterable[bytes], max_size: int) -> Iterator[bytes]:
    found = re.search(r"\.[^./]*\Z", name)
    compression = COMPRESSIONS.get(found[0].lower()) if found else None
    return iter(chunks) if compression is None else _decompressed(get_codec(compression), chunks, max_size)


def _decompressed(codec: Codec, chunks: Iterable[bytes], max_size: int) -> Iterator[bytes]:
    """The original bytes; damage and bombs as `BrokenStream`."""
    from des_platform.parquet import BrokenStream

    packed = size = 0

    def counted() -> Iterator[bytes]:
        nonlocal packed
        try:
            for chunk in chunks:
                packed += len(chunk)
                yield chunk
        except CorruptStream as error:
            raise _NotTheFile(error) from error

    try:
        for piece in decompress(codec, counted(), max_size=max_size):
            size += len(piece)
            if size > max(_UNSUSPICIOUS_BYTES, _MAX_RATIO * packed):
                raise BrokenStream(f"{packed} bytes of {codec.name} became more than {_MAX_RATIO} times as many")
            yield piece
    except CorruptStream as error:
        raise BrokenStream(str(error)) from error
    except _NotTheFile as error:
        raise error.cause from None


class _NotTheFile(Exception):
    """What handed the file over is damaged, not the compression of the file itself."""

    def __init__(self, cause: CorruptStream) -> None:
        super().__init__(cause)
        self.cause = cause


def _peeked(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """How a file begins, and all of it."""
    from des_platform.parquet import BrokenStream

    held: list[bytes] = []
    broken: list[BrokenStream] = []
    try:
        while sum(map(len, held)) < _LONGEST_BEGINNING and (piece := next(pieces, None)) is not None:
            held.append(piece)
    except BrokenStream as error:
        broken.append(error)

    def whole() -> Iterator[bytes]:
        yield from held
        for error in broken:
            raise error
        yield from pieces

    return b"".join(held), whole()


def _spool(pieces: Iterator[bytes], spool: BinaryIO, scratch: Path, max_size: int) -> None:
    """Write a file to the scratch folder.

    Raises:
        BrokenStream: it is damaged, or larger than allowed.
        OSError: the folder is about to be full.
    """
    from des_platform.parquet import BrokenStream

    size = unchecked = 0
    for piece in pieces:
        size += len(piece)
        unchecked += len(piece)
        if size > max_size:
            raise BrokenStream(f"it has more than the {max_size} bytes that are read of a file")
        if unchecked >= _CHECK_BYTES:
            unchecked = 0
            if shutil.disk_usage(scratch).free < _FREE_BYTES:
                raise OSError(errno.ENOSPC, f"the scratch folder has less than {_FREE_BYTES} bytes left", str(scratch))
        spool.write(piece)
    spool.flush()
    spool.seek(0)
