"""An Avro file to typed batches, a block at a time.

The container is read here, so that no block is larger than `MAX_BLOCK_BYTES` packed or unpacked; its records are
decoded by fastavro, their logical types by Arrow, which unlike Python's own types has room for every value. A column
whose type Arrow has not (a union of several types, a type within itself) is JSON text.
"""

from __future__ import annotations

import io
import json
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import pyarrow as pa

from des_platform.parquet.avro_columns import AvroColumn, columns_of, plain_schema
from des_platform.parquet.batches import MAX_BATCH_ROWS, RowBatch, Target
from des_platform.parquet.typed_rows import DamagedFile, content, typed_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MAX_BLOCK_BYTES: Final = 256 << 20
"""A block that is larger is not read: writers make them of some 16 KiB to a MiB."""

_MAGIC: Final = b"Obj\x01"
_SYNC_BYTES: Final = 16
_MAX_HEADER_BYTES: Final = 16 << 20
_ROWS_WITHOUT_BYTES: Final = 1 << 16
_MAX_VARINT_BITS: Final = 63
_CRC_BYTES: Final = 4


def read_avro(source: BinaryIO, target: Target) -> Iterator[RowBatch]:
    """Read an Avro file, as `des_platform.parquet.rows.read_rows` says."""
    return typed_batches(avro_batches(source), target, "Avro")


def avro_batches(source: BinaryIO) -> Iterator[pa.RecordBatch]:
    """Yield the records of an Avro file, at least one batch.

    Raises:
        DamagedFile: it is none, ends within a block, or claims what cannot be.
    """
    data = _Bytes(memoryview(content(source)).cast("B"))
    if bytes(data.take(len(_MAGIC))) != _MAGIC:
        raise DamagedFile("it does not begin as an Avro file")
    metadata = _metadata(data)
    sync = bytes(data.take(_SYNC_BYTES))
    columns, header = _schema(metadata, sync)
    unpack = _CODECS.get(metadata.get("avro.codec", b"null").decode("utf-8", "replace"))
    if unpack is None:
        raise DamagedFile(f"its codec {metadata['avro.codec']!r} is none of {', '.join(_CODECS)}")
    rows = 0
    while not data.is_ended:
        count, size = data.long(), data.long()
        if not 0 <= size <= MAX_BLOCK_BYTES or count < 0:
            raise DamagedFile(f"a block claims {count} records in {size} bytes, and at most {MAX_BLOCK_BYTES} are read")
        block = unpack(bytes(data.take(size)))
        if bytes(data.take(_SYNC_BYTES)) != sync:
            raise DamagedFile("a block does not end where it says")
        if count > max(_ROWS_WITHOUT_BYTES, len(block)):
            raise DamagedFile(f"a block claims {count} records in {len(block)} bytes")
        for records in _records(header, block, count, sync):
            rows += len(records)
            yield _batch(records, columns)
    if not rows:
        yield _batch([], columns)


def _metadata(data: _Bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    while count := data.long():
        if count < 0:
            data.long()  # the size of what follows
        for _ in range(abs(count)):
            name = bytes(data.take(data.long())).decode("utf-8", "replace")
            found[name] = bytes(data.take(data.long()))
            if data.position > _MAX_HEADER_BYTES:
                raise DamagedFile(f"its header is longer than {_MAX_HEADER_BYTES} bytes")
    return found


def _schema(metadata: dict[str, bytes], sync: bytes) -> tuple[list[AvroColumn], bytes]:
    """The columns, and a header with which fastavro reads one unpacked block as a file of its own."""
    try:
        schema = json.loads(metadata.get("avro.schema", b""))
        columns = columns_of(schema)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedFile(f"its schema cannot be read: {type(error).__name__}: {error}") from None
    text = json.dumps(plain_schema(schema)).encode()
    entries = {b"avro.schema": text, b"avro.codec": b"null"}
    pairs = b"".join(_long(len(name)) + name + _long(len(value)) + value for name, value in entries.items())
    return columns, _MAGIC + _long(len(entries)) + pairs + b"\0" + sync


def _records(header: bytes, block: bytes, count: int, sync: bytes) -> Iterator[list[dict[str, Any]]]:
    import fastavro

    file = io.BytesIO(b"".join([header, _long(count), _long(len(block)), block, sync]))
    found: list[dict[str, Any]] = []
    try:
        reader = fastavro.reader(file)
        for record in reader:
            found.append(record)  # type: ignore[arg-type]  # columns_of saw that it is a record
            if len(found) == MAX_BATCH_ROWS:
                yield found
                found = []
    except Exception as error:  # whatever it meets in bytes that are no records
        if found:
            yield found
        raise DamagedFile(f"a record cannot be decoded: {type(error).__name__}: {error}") from error
    if found:
        yield found


def _batch(records: Sequence[dict[str, Any]], columns: Sequence[AvroColumn]) -> pa.RecordBatch:
    arrays = [column.convert([record[column.name] for record in records]) for column in columns]
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def _long(value: int) -> bytes:
    """A count that is not negative, as Avro writes it."""
    value <<= 1
    made = bytearray()
    while value > 127:  # noqa: PLR2004 - seven bits a byte
        made.append(value & 127 | 128)
        value >>= 7
    made.append(value)
    return bytes(made)


class _Bytes:
    """Avro's numbers and bytes, one after the other."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.position = 0

    @property
    def is_ended(self) -> bool:
        """Whether nothing follows."""
        return self.position >= len(self._data)

    def take(self, size: int) -> memoryview:
        """The next bytes.

        Raises:
            DamagedFile: there are not so many.
        """
        if not 0 <= size <= len(self._data) - self.position:
            raise DamagedFile(f"it ends early: {size} bytes are claimed, {len(self._data) - self.position} are left")
        self.position += size
        return self._data[self.position - size : self.position]

    def long(self) -> int:
        """The next number."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:  # noqa: PLR2004 - the last one
                return (value >> 1) ^ -(value & 1)
            shift += 7
            if shift > _MAX_VARINT_BITS:
                raise DamagedFile("a number in it has no end")


def _inflate(block: bytes) -> bytes:
    unpacked = zlib.decompressobj(-zlib.MAX_WBITS)
    return _within(unpacked.decompress(block, MAX_BLOCK_BYTES + 1))


def _bz2(block: bytes) -> bytes:
    import bz2

    return _within(bz2.BZ2Decompressor().decompress(block, MAX_BLOCK_BYTES + 1))


def _xz(block: bytes) -> bytes:
    import lzma

    return _within(lzma.LZMADecompressor().decompress(block, MAX_BLOCK_BYTES + 1))


def _zstandard(block: bytes) -> bytes:
    import zstandard

    with zstandard.ZstdDecompressor(max_window_size=MAX_BLOCK_BYTES // 2).stream_reader(io.BytesIO(block)) as reader:
        return _within(reader.read(MAX_BLOCK_BYTES + 1))


def _snappy(block: bytes) -> bytes:
    packed, checksum = block[:-_CRC_BYTES], block[-_CRC_BYTES:]
    size = shift = 0
    for byte in packed[:5]:
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:  # noqa: PLR2004 - the last one
            break
    if size > MAX_BLOCK_BYTES:
        raise _too_large()
    unpacked = pa.Codec("snappy").decompress(packed, size, asbytes=True)
    if zlib.crc32(unpacked).to_bytes(_CRC_BYTES, "big") != checksum:
        raise DamagedFile("the checksum of a block is wrong")
    return unpacked


def _within(unpacked: bytes) -> bytes:
    if len(unpacked) > MAX_BLOCK_BYTES:
        raise _too_large()
    return unpacked


def _too_large() -> DamagedFile:
    return DamagedFile(f"a block is larger than the {MAX_BLOCK_BYTES} bytes that are read")


def _guarded(unpack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def unpacked(block: bytes) -> bytes:
        try:
            return unpack(block)
        except DamagedFile:
            raise
        except Exception as error:  # zlib, lzma, zstandard and Arrow have nothing in common
            raise DamagedFile(f"a block cannot be unpacked: {error}") from error

    return unpacked


_CODECS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "null": bytes,
    "deflate": _guarded(_inflate),
    "bzip2": _guarded(_bz2),
    "xz": _guarded(_xz),
    "zstandard": _guarded(_zstandard),
    "snappy": _guarded(_snappy),
}
