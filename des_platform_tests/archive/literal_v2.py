"""Writes archives of version 2 from FORMAT.md alone: nothing here comes from the product's own modules.

It is a test of the document: what this writes has to be read. Every part can be lied about, with right checksums.
"""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from crc32c import crc32c
from xxhash import xxh3_64_intdigest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FOOTER_FIELDS = {
    "catalogue_offset": "Q",
    "catalogue_length": "Q",
    "pages_offset": "Q",
    "page_count": "I",
    "generation": "I",
    "count": "Q",
    "ordinals": "Q",
    "seed": "Q",
    "archive_id": "Q",
    "created": "Q",
    "modified": "Q",
    "dictionary_length": "I",
    "reserved": "I",
    "dictionary_offset": "Q",
    "stored_bytes": "Q",
    "data_bytes": "Q",
    "external_bytes": "Q",
    "catalogue_crc": "I",
    "parquet_crc": "I",
    "external_count": "Q",
    "blocks": "Q",
}
HINT_FIELDS = (
    "page_count",
    "archive_size",
    "pages_offset",
    "seed",
    "archive_id",
    "count",
    "dictionary_offset",
    "dictionary_length",
)
SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("data_offset", pa.int64(), nullable=False),
        pa.field("stored_size", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("flags", pa.int32(), nullable=False),
        pa.field("metadata", pa.string()),
    ]
)
PAGE_ENTRIES = 681
ARCHIVE_ID = 0x1122334455667788


@dataclass
class Item:
    """A file as it goes into the archive; by default a plain one."""

    stored: bytes
    size: int | None = None
    flags: int = 0
    metadata: str | None = None


@dataclass
class Lies:
    """What to say instead of the truth, everywhere with the right checksum.

    Attributes:
        footer: fields of the footer by name.
        page: changes the header fields (magic, number, n, archive id) of each page.
        entries: changes a page's entries (hash, location, stored length, checksum).
        rows: changes the catalogue's rows.
        parquet: arguments of pyarrow's writer, and ``schema``.
        metadata: changes Parquet's `FileMetaData`, without its stop byte.
        trailer: changes the trailer's fields.
        block: changes the header fields of the dictionary's block.
        padding: stands in the place of zeros behind each page.
    """

    footer: dict[str, int] = field(default_factory=dict)
    page: Callable[[list[Any]], None] = lambda _: None
    entries: Callable[[list[list[int]]], None] = lambda _: None
    rows: Callable[[dict[str, list[Any]]], None] = lambda _: None
    parquet: dict[str, Any] = field(default_factory=dict)
    metadata: Callable[[bytes], bytes] = lambda metadata: metadata
    trailer: Callable[[list[Any]], None] = lambda _: None
    block: Callable[[list[Any]], None] = lambda _: None
    padding: bytes = b""


@dataclass
class Archive:
    data: bytes
    footer: dict[str, int]

    def hint(self, **lies: int) -> bytes:
        fields = {**self.footer, "archive_size": len(self.data), **lies}
        raw = struct.pack("<4sIQQQQQQI", b"DESH", *(fields[name] for name in HINT_FIELDS))
        return raw + struct.pack("<I", crc32c(raw))


def page_number(name: str, footer: Mapping[str, int]) -> int:
    name_hash = xxh3_64_intdigest(name.encode(), footer["seed"])
    return ((name_hash >> 32) * footer["page_count"]) >> 32


def write_v2(
    files: Mapping[str, bytes | Item],
    *,
    archive_id: int = ARCHIVE_ID,
    seed: int = 7,
    page_count: int | None = None,
    dictionary: bytes | None = None,
    row_group_rows: int = 65_536,
    lies: Lies | None = None,
) -> Archive:
    """Return an archive of one block of objects, and of one of a dictionary before it."""
    lies = lies or Lies()
    items = {name: item if isinstance(item, Item) else Item(item) for name, item in files.items()}
    out = bytearray(_header(archive_id))
    footer = dict.fromkeys(FOOTER_FIELDS, 0)
    blocks = 0
    if dictionary is not None:
        footer["dictionary_offset"] = len(out)
        out += _dictionary_block(dictionary, archive_id, lies)
        footer["dictionary_length"] = len(out) - footer["dictionary_offset"]
        blocks += 1
    offsets: dict[str, int] = {}
    if items:
        out += _objects_header(items, archive_id)
        for name, item in items.items():
            offsets[name] = len(out)
            out += item.stored
        blocks += 1
    inside = [item for item in items.values() if not item.flags & 1]
    outside = [item for item in items.values() if item.flags & 1]
    count = page_count or max(1, -(-len(items) * 10 // (PAGE_ENTRIES * 8)) if len(items) > PAGE_ENTRIES else 1)
    footer |= {
        "catalogue_offset": len(out),
        "page_count": count,
        "generation": 1,
        "count": len(items),
        "ordinals": len(items),
        "seed": seed,
        "archive_id": archive_id,
        "created": 1_700_000_000_000,
        "modified": 1_700_000_000_000,
        "stored_bytes": sum(len(item.stored) for item in inside),
        "data_bytes": sum(_size(item) for item in inside),
        "external_bytes": sum(_size(item) for item in outside),
        "external_count": len(outside),
        "blocks": blocks,
    }
    pages = _pages(items, offsets, footer, lies)
    catalogue, end = _parquet(items, offsets, len(out), len(pages), row_group_rows, lies)
    footer |= {
        "catalogue_length": len(catalogue),
        "pages_offset": len(out) + len(catalogue),
        "catalogue_crc": crc32c(catalogue),
    }
    data = _end(bytes(out) + catalogue + pages, end, footer, lies)
    return Archive(data, {**footer, **lies.footer})


def _size(item: Item) -> int:
    return len(item.stored) if item.size is None else item.size


def _header(archive_id: int) -> bytes:
    start, rest = b"PAR1DES2" + bytes([2, 0, 1, 1]), struct.pack("<QQ", archive_id, 1_700_000_000_000)
    return start + struct.pack("<I", crc32c(start + rest)) + rest


def _block_header(fields: list[Any], columns: bytes) -> bytes:
    start = struct.pack("<4sBBHIIQQQI", *fields)
    return start + struct.pack("<I", crc32c(start + columns)) + columns


def _dictionary_block(dictionary: bytes, archive_id: int, lies: Lies) -> bytes:
    columns = struct.pack("<I", crc32c(dictionary))
    fields: list[Any] = [b"DBK2", 2, 0, 0, 0, 4, len(dictionary), 0, archive_id, 4]
    lies.block(fields)
    return _block_header(fields, columns) + dictionary


def _objects_header(items: Mapping[str, Item], archive_id: int) -> bytes:
    n = len(items)
    names = [name.encode() for name in items]
    metadata = [b"" if item.flags & 1 else (item.metadata or "").encode() for item in items.values()]
    flagged = any(item.flags for item in items.values())
    columns = struct.pack(f"<{n}I", *(len(item.stored) for item in items.values()))
    columns += struct.pack(f"<{n}I", *(crc32c(item.stored) for item in items.values()))
    if flagged:
        columns += struct.pack(f"<{n}I", *(0 if item.flags & 1 else _size(item) for item in items.values()))
    columns += struct.pack(f"<{n}H", *map(len, names))
    if flagged:
        columns += bytes(item.flags & 0xFF for item in items.values())
    if any(metadata):
        columns += struct.pack(f"<{n}I", *map(len, metadata))
    columns += b"".join(names) + b"".join(metadata)
    flags = (2 if flagged else 0) | (4 if any(metadata) else 0)
    payload = sum(len(item.stored) for item in items.values())
    return _block_header([b"DBK2", 1, flags, 0, n, len(columns), payload, 0, archive_id, len(columns)], columns)


def _pages(items: Mapping[str, Item], offsets: Mapping[str, int], footer: Mapping[str, int], lies: Lies) -> bytes:
    pages: list[list[list[int]]] = [[] for _ in range(footer["page_count"])]
    for name, item in items.items():
        name_hash = xxh3_64_intdigest(name.encode(), footer["seed"])
        location = offsets[name] | item.flags << 48
        number = ((name_hash >> 32) * footer["page_count"]) >> 32
        pages[number].append([name_hash, location, len(item.stored), crc32c(item.stored)])
    raw = b""
    for number, entries in enumerate(pages):
        entries.sort()
        lies.entries(entries)
        n = len(entries)
        columns = b"".join(
            struct.pack(f"<{n}{code}", *(entry[column] for entry in entries)) for column, code in enumerate("QQII")
        )
        fields = [b"DHP2", number, n, footer["archive_id"]]
        lies.page(fields)
        start, last = struct.pack("<4sII", *fields[:3]), struct.pack("<Q", fields[3])
        page = start + struct.pack("<I", crc32c(start + last + columns)) + last + columns
        padding = b"" if footer["page_count"] == 1 else bytes(16_384 - len(page))
        raw += page + lies.padding + padding[len(lies.padding) :]
    return raw


class _Sink:
    """Drops what pyarrow writes until it stands where the catalogue begins."""

    closed = False

    def __init__(self) -> None:
        self.kept: io.BytesIO | None = None

    def write(self, data: bytes) -> int:
        if self.kept is not None:
            self.kept.write(data)
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def _parquet(
    items: Mapping[str, Item], offsets: Mapping[str, int], start: int, pages: int, row_group_rows: int, lies: Lies
) -> tuple[bytes, bytes]:
    names = sorted(items, key=str.encode)
    rows: dict[str, list[Any]] = {
        "name": names,
        "data_offset": [offsets[name] for name in names],
        "stored_size": [len(items[name].stored) for name in names],
        "size": [_size(items[name]) for name in names],
        "flags": [items[name].flags for name in names],
        "metadata": [items[name].metadata for name in names],
    }
    lies.rows(rows)
    options = {"compression": "zstd", "store_schema": False, "write_page_index": True, **lies.parquet}
    schema = options.pop("schema", SCHEMA)
    sink = _Sink()
    file = pa.PythonFile(sink, mode="w")
    writer = pq.ParquetWriter(file, schema, **options)
    file.write(bytes(start - 4))
    sink.kept = catalogue = io.BytesIO()
    if len(next(iter(rows.values()))):
        writer.write_table(
            pa.table({name: rows[name] for name in schema.names}, schema=schema), row_group_size=row_group_rows
        )
    sink.kept = None
    file.write(bytes(pages))
    sink.kept = end = io.BytesIO()
    writer.close()
    return catalogue.getvalue(), end.getvalue()


def _end(start: bytes, parquet: bytes, footer: dict[str, int], lies: Lies) -> bytes:
    length, magic = struct.unpack("<I4s", parquet[-8:])
    assert (magic, parquet[-9]) == (b"PAR1", 0)
    metadata = lies.metadata(parquet[:-9]) + b"\x08\xff\xff\x01" + b"\xdf\x01"
    last = b"\0" + struct.pack("<I", length - 1 + 6 + 223 + 1) + b"PAR1"
    footer["parquet_crc"] = crc32c(metadata + last)
    uuid = bytes.fromhex("d85a3c1e0f9b4c6ea7d23e84b1f05976")
    fields = {**footer, **lies.footer}
    packed = struct.pack("<" + "".join(FOOTER_FIELDS.values()), *(fields[name] for name in FOOTER_FIELDS))
    size = len(start) + len(metadata) + 223 + 9
    trailer: list[Any] = [b"DESFOOT1", 2, bytes(7), size, 223, crc32c(uuid + packed), 0]
    lies.trailer(trailer)
    raw = struct.pack("<8sB7sQIII", *trailer)
    return start + metadata + uuid + packed + raw + struct.pack("<I", crc32c(raw)) + bytes(23) + last


def external_record(key: str, size: int, **more: object) -> bytes:
    return json.dumps({**more, "size": size, "is_external": True, "external_key": key}).encode()
