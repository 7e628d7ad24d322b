"""What the fuzzer of codecs starts from: whole objects of every codec, their indexes, their originals, manifests."""

from __future__ import annotations

import json
import lzma
from dataclasses import dataclass
from functools import cache

import zstandard
from xxhash import xxh3_64_intdigest

from des_platform.codecs import get_codec
from des_platform.codecs.records import compress_records
from des_platform.sources.messages.chunk_manifest import ChunkedFile, chunk_manifest
from des_platform_tests.archive.corpus import noise
from des_platform_tests.codecs.records.support import json_lines

FRAMED = ("zstd", "bz2", "xz", "gzip", "store")
FRAME_BYTES = 700
_BOMB_FRAME_BYTES = 2 << 20


@dataclass(frozen=True)
class Stored:
    """An object as a codec writes it.

    Attributes:
        frames: its frames.
        contents: what each holds.
    """

    frames: list[bytes]
    contents: list[bytes]

    @property
    def data(self) -> bytes:
        return b"".join(self.frames)

    @property
    def index(self) -> list[tuple[int, int, int]]:
        """The entries of its index."""
        return [
            (len(frame), len(content), xxh3_64_intdigest(content))
            for frame, content in zip(self.frames, self.contents, strict=True)
        ]


@cache
def originals() -> dict[str, list[bytes]]:
    """The content of each object, cut into that of its frames; no two are equally long."""
    text = b"".join(b"%d;%d;some text\n" % (number, number * number % 1009) for number in range(300))
    bomb = bytes(_BOMB_FRAME_BYTES)
    return {
        "small": _cut(text[:3333]),
        "alike": _cut(text[: 2 * FRAME_BYTES] + text[-1000:]),
        "noise": _cut(noise(1, 1500)),
        "one": [b"x" * 40],
        "empty": [b""],
        "bomb": [bomb, bomb],
    }


def _cut(data: bytes) -> list[bytes]:
    return [data[start : start + FRAME_BYTES] for start in range(0, len(data), FRAME_BYTES)]


@cache
def objects(name: str) -> dict[str, Stored]:
    """What a codec with frames makes of the originals, and what only others make of them."""
    codec = get_codec(name)
    compress = codec.compress_frame
    assert compress is not None
    level = codec.levels[0]
    found = {key: Stored([compress(part, level) for part in parts], parts) for key, parts in originals().items()}
    one = originals()["one"]
    if name == "store":
        del found["empty"]
    if name == "xz":
        found["wide"] = Stored([lzma.compress(one[0], preset=9)], one)
    if name == "zstd":
        wide = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=0, write_checksum=1)
        frame = zstandard.ZstdCompressor(compression_params=wide).compressobj()
        found["wide"] = Stored([frame.compress(one[0]) + frame.flush()], one)
        skip = b"\x50\x2a\x4d\x18\x05\0\0\0 skip"
        found["skippable"] = Stored([skip + part for part in found["small"].frames], found["small"].contents)
    return found


@cache
def contents() -> list[bytes]:
    """All that a frame may hold."""
    return sorted({part for parts in originals().values() for part in parts if part}, key=len, reverse=True)


@cache
def by_size() -> dict[int, tuple[bytes, list[int]]]:
    """The originals by their length, and the hashes of their parts."""
    return {
        sum(map(len, parts)): (b"".join(parts), [xxh3_64_intdigest(part) for part in parts])
        for parts in originals().values()
    }


@cache
def record_files() -> list[bytes]:
    """Files of records, as JSON lines, CSV and a log."""
    return [b"".join(compress_records([text])) for text in record_originals()]


@cache
def record_originals() -> list[bytes]:
    """What they were made of."""
    csv = b"id,price,name,a\n" + b"".join(
        b'%d,%d.%02d,"na""me,%d",%d\n' % (n, n * 7 % 1000, n % 100, n % 50, n // 100) for n in range(300)
    )
    log = b"".join(
        b"2026-03-01T00:%02d:%02d.%03dZ INFO [w%d] request %d took %d ms path=/x%d\n"
        % (n // 60 % 60, n % 60, n * 7 % 1000, n % 5, n, n * n % 977, n % 9)
        for n in range(300)
    )
    return [json_lines(120), json_lines(400) + b"no record\n", csv, log]


@cache
def manifests() -> list[str]:
    """Messages that announce chunked files."""
    full = ChunkedFile("a.b-1", "in/data.csv", "shardId-000", (1, 2**70), ("bz2", "zstd"), 10, 300, "0a" * 32, (7, 8))
    bare = ChunkedFile("x", "name", "folder", (0,), ("zstd",))
    notification = {"Type": "Notification", "Message": chunk_manifest(full), "Subject": "file_total_chunk"}
    return [chunk_manifest(full), chunk_manifest(bare), json.dumps(notification)]
