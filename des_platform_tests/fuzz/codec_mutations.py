"""Changes compressed objects, their indexes and files of records, and makes checksums right so that lies get through.

What is known of the containers here comes from their descriptions, not from the product's own functions.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from xxhash import xxh3_64_intdigest, xxh3_128

from des_platform_tests.fuzz.json_mutations import mutate_json
from des_platform_tests.fuzz.mutations import change_bytes

if TYPE_CHECKING:
    from random import Random

    from des_platform_tests.fuzz.codec_corpus import Stored

Entries = list[tuple[int, int, int]]

_EDGE_BYTES = 24
_U32, _U64 = 1 << 32, 1 << 64
_NUMBERS = [0, 1, 7, 699, 700, 701, 1 << 16, 16 << 20, (16 << 20) + 1, 32 << 20, (32 << 20) + 1, 1 << 31, _U32 - 1]
_INDEX_HEADER = struct.Struct("<8sB3xII")
_KEY = b"des:records"


def mutate_object(stored: Stored, others: list[Stored], random: Random) -> bytes:
    """Return a changed object: frames taken away, moved, added, or bytes of it changed."""
    frames = list(stored.frames)
    if random.random() < 0.4:
        _change_frames(frames, others, random)
    if frames and random.random() < 0.6:
        at = random.randrange(len(frames))
        frames[at] = _change_edge(frames[at], random)
    data = bytearray(b"".join(frames))
    if random.random() < 0.5:
        change_bytes(data, [other.data for other in others], random)
    return bytes(data)


def _change_frames(frames: list[bytes], others: list[Stored], random: Random) -> None:
    at = random.randrange(len(frames) + 1)
    choice = random.randrange(5)
    if choice == 0:
        random.shuffle(frames)
    elif choice == 1:
        del frames[at : at + random.choice([1, 1, 10])]
    elif choice == 2:
        frames[at:at] = random.choice(others).frames
    elif choice == 3:
        frames.insert(at, bytes(random.choice([1, 3, 4, 8, 70_000])))
    else:
        length = random.choice([0, 4, 5, 1 << 16, _U32 - 1])
        frames.insert(at, bytes([0x50 + random.randrange(17)]) + struct.pack("<3sI", b"\x2a\x4d\x18", length) + b"skip")


def _change_edge(frame: bytes, random: Random) -> bytes:
    """Change a byte where a frame has its header or its checksum."""
    if not frame:
        return frame
    data = bytearray(frame)
    near = random.randrange(min(_EDGE_BYTES, len(data)))
    data[near if random.random() < 0.7 else -1 - near] = random.randrange(256)
    if data[:6] == b"\xfd7zXZ\0" and len(data) > _EDGE_BYTES:
        data[8:12] = zlib.crc32(data[6:8]).to_bytes(4, "little")
        end = 12 + 4 * data[12]
        if data[12] and end + 4 <= len(data):
            data[end : end + 4] = zlib.crc32(data[12:end]).to_bytes(4, "little")
    return bytes(data)


def mutate_index(entries: Entries, others: Entries, random: Random) -> bytes:
    """Return an index that lies; mostly with the right checksum."""
    changed = list(entries)
    for _ in range(random.choice([1, 1, 2, 4])):
        _change_entries(changed, others, random)
    if random.random() < 0.7:
        return index_of(changed)
    header = [1, len(changed), None]
    if random.random() < 0.4:
        header[random.randrange(3)] = random.choice([0, 1, 2, 3, 255])
    data = bytearray(_sealless(changed, *header))
    if random.random() < 0.6:
        change_bytes(data, [bytes(data)], random)
    seal = xxh3_64_intdigest(bytes(data)) ^ (random.random() < 0.1)
    return bytes(data) + seal.to_bytes(8, "little")


def index_of(entries: Entries) -> bytes:
    """An index of these entries, whatever they claim."""
    data = _sealless(entries, 1, len(entries), None)
    return data + xxh3_64_intdigest(data).to_bytes(8, "little")


def _sealless(entries: Entries, version: int | None, count: int | None, length: int | None) -> bytes:
    sizes = [size for size, _, _ in entries] + [original for _, original, _ in entries]
    packed = zstandard.ZstdCompressor().compress(struct.pack(f"<{len(sizes)}I", *sizes))
    header = _INDEX_HEADER.pack(b"DESINDEX", version, count, len(packed) if length is None else length)
    return header + packed + struct.pack(f"<{len(entries)}Q", *(digest for _, _, digest in entries))


def _change_entries(entries: Entries, others: Entries, random: Random) -> None:
    at = random.randrange(len(entries) + 1)
    if at == len(entries):
        entries.insert(at, random.choice(others))
        return
    size, original, digest = entries[at]
    other = random.randrange(len(entries))
    choice = random.randrange(9)
    if choice == 0:
        entries[at] = (random.choice(_NUMBERS), original, digest)
    elif choice == 1:
        entries[at] = (size, random.choice(_NUMBERS), digest)
    elif choice == 2:
        entries[at] = (size, original, random.choice([0, digest ^ 1, entries[other][2], random.choice(others)[2]]))
    elif choice <= 4:
        _shift(entries, at, other, random.choice([-700, -100, -1, 1, 100, 700, size]), of_original=choice == 4)
    elif choice == 5:
        entries[at], entries[other] = entries[other], entries[at]
    elif choice == 6:
        del entries[at]
    elif choice == 7:
        by = random.choice([-700, -100, -1, 1, 100])
        entries[:-1] = [(size, (original + by) % _U32, digest) for size, original, digest in entries[:-1]]
    else:
        entries[at] = random.choice(others)


def _shift(entries: Entries, at: int, other: int, by: int, *, of_original: bool) -> None:
    """Move bytes from one entry to another: the sums stay what they are."""
    for place, change in ((at, by), (other, -by)):
        size, original, digest = entries[place]
        if of_original:
            entries[place] = (size, (original + change) % _U32, digest)
        else:
            entries[place] = ((size + change) % _U32, original, digest)


def mutate_records(data: bytes, others: list[bytes], random: Random) -> bytes:
    """Return a changed file of records; mostly with a right seal."""
    choice = random.random()
    if choice < 0.55:
        text = metadata_of(data)
        return with_metadata(data, mutate_json(text, random).encode("utf-8", "surrogatepass"))
    if choice < 0.75:
        return _change_table(data, random)
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    body, end = bytearray(data[: footer - 40]), bytearray(data[footer:])
    if choice < 0.95:
        changed = random.choice([body, body, end])
        for _ in range(random.choice([1, 1, 3])):
            change_bytes(changed, others, random)
        return sealed(bytes(body), bytes(end))
    whole = bytearray(data)
    change_bytes(whole, others, random)
    return bytes(whole)


def metadata_of(data: bytes) -> str:
    """The JSON object of a file of records."""
    return (pq.ParquetFile(io.BytesIO(data)).metadata.metadata or {})[_KEY].decode()


def with_metadata(data: bytes, text: bytes) -> bytes:
    """The same file with another JSON object, and a right seal."""
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    end, before = data[footer:-8], metadata_of(data).encode()
    end = end.replace(_varint(len(before)) + before, _varint(len(text)) + text)
    return sealed(data[: footer - 40], end + struct.pack("<I4s", len(end), b"PAR1"))


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def sealed(body: bytes, end: bytes) -> bytes:
    """A file of columns and a footer, with a seal that fits them."""
    return body + b"DESR0001" + xxh3_128(body).digest() + xxh3_128(end).digest() + end


def _change_table(data: bytes, random: Random) -> bytes:
    """Write the columns anew: one of them other, in other row groups; the metadata stay."""
    # Without threads: one that is late by a case meets another memory pool, and ends the process.
    table = pq.ParquetFile(io.BytesIO(data), pre_buffer=False).read(use_threads=False)
    at = random.randrange(table.num_columns)
    name, column = table.column_names[at], table.column(at).combine_chunks()
    choice = random.randrange(6)
    if choice == 0:
        table = table.remove_column(at)
    elif choice == 1:
        table = table.append_column(random.choice(table.column_names), column)
    elif choice == 2:
        table = table.slice(0, random.choice([0, 1, table.num_rows - 1]))
    else:
        table = table.set_column(at, name, _other_column(column, random))
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=random.choice([50, 100_000]), compression="zstd")
    written = sink.getvalue()
    footer = len(written) - 8 - int.from_bytes(written[-8:-4], "little")
    return sealed(written[:footer], written[footer:])


def _other_column(column: pa.Array[Any], random: Random) -> pa.Array[Any]:
    count = len(column)
    numbers = [random.choice([0, 1, 2, 3, -1, 2**31 - 1, -(2**31)]) for _ in range(count)]
    choices: list[pa.Array[Any]] = [
        column.take(pa.array(random.choices(range(count), k=count))),
        pa.nulls(count, column.type),
        pa.array(numbers, pa.int64()),
        pa.array(numbers, pa.int32()),
        pa.array([[number] for number in numbers]),
        pa.array([float(number) for number in numbers]),
        pa.array(["é" * (number & 7) for number in numbers]),
        pa.array([b"\xff\n" * (number & 7) for number in numbers]),
        pa.array(["x" * 3000] * count).dictionary_encode(),
    ]
    return random.choice(choices)
