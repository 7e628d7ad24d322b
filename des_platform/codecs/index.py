"""The index of a compressed object: where each frame lies, and what it holds.

It stands beside the object, some ten bytes a frame, and lets any range of the original be read, and frames be
decompressed side by side. Layout, little endian: magic, version, number of frames, bytes of the packed sizes; the
compressed and the original sizes (u32 each, one column after the other, packed by zstd); the XXH3-64 of the original
of each frame; last the XXH3-64 of all that. Frames follow each other without gaps, from offset 0, and all but the last
hold equally many bytes of the original: whoever knows its size knows where each belongs, whatever the others claim.

What is read is hostile until proven: damage is `CorruptStream`, and no index makes its reader hold more than a few
times its own length, or a frame of more than `MAX_FRAME_BYTES`.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import zstandard
from xxhash import xxh3_64_intdigest

from des_platform.codecs.codec import MAX_FRAME_BYTES
from des_platform.codecs.errors import CorruptStream

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAGIC = b"DESINDEX"
_VERSION = 1
_HEADER = struct.Struct("<8sB3xII")
_SEAL = struct.Struct("<Q")
_MAX_COMPRESSED_BYTES = 2 * MAX_FRAME_BYTES


class Frame(NamedTuple):
    """One frame.

    Attributes:
        offset: where it begins in the compressed object.
        size: its compressed bytes.
        original_offset: where its content begins in the original.
        original_size: the bytes of its content.
        xxh3: XXH3-64 of its content.
    """

    offset: int
    size: int
    original_offset: int
    original_size: int
    xxh3: int


class FrameIndex:
    """Where the frames of one object are.

    Args:
        frames: compressed size, original size and XXH3-64 of the original of each frame, in order.
    """

    def __init__(self, frames: Iterable[tuple[int, int, int]]) -> None:
        sizes, originals, hashes = array("I"), array("I"), array("Q")
        for size, original_size, xxh3 in frames:
            sizes.append(size)
            originals.append(original_size)
            hashes.append(xxh3)
        self._sizes, self._originals, self._hashes = sizes, originals, hashes
        self._offsets = array("Q", accumulate(sizes, initial=0))
        self._original_offsets = array("Q", accumulate(originals, initial=0))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrameIndex) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def __repr__(self) -> str:
        return f"FrameIndex({len(self._sizes)} frames, {self.original_size} bytes in {self.compressed_size})"

    @property
    def frames(self) -> list[Frame]:
        """All frames, in order."""
        return [self._frame(number) for number in range(len(self._sizes))]

    @property
    def compressed_size(self) -> int:
        """Bytes of the compressed object."""
        return self._offsets[-1]

    @property
    def original_size(self) -> int:
        """Bytes of the original."""
        return self._original_offsets[-1]

    def frames_of(self, offset: int, length: int) -> list[Frame]:
        """Return the frames that hold a range of the original, in order; none for an empty range.

        Raises:
            ValueError: the range reaches past the original's end.
        """
        if offset < 0 or length < 0 or offset + length > self.original_size:
            raise ValueError(f"bytes {offset} to {offset + length} are not within the original's {self.original_size}")
        frames = []
        number = bisect_right(self._original_offsets, offset) - 1
        while length and self._original_offsets[number] < offset + length:
            frames.append(self._frame(number))
            number += 1
        return frames

    def to_bytes(self) -> bytes:
        """Return the index as it is stored."""
        sizes = zstandard.ZstdCompressor(level=9).compress(_little(self._sizes) + _little(self._originals))
        sealed = _HEADER.pack(_MAGIC, _VERSION, len(self._sizes), len(sizes)) + sizes + _little(self._hashes)
        return sealed + _SEAL.pack(xxh3_64_intdigest(sealed))

    @classmethod
    def from_bytes(cls, data: bytes) -> FrameIndex:
        """Read a stored index.

        Raises:
            CorruptStream: these bytes are no index, damaged, or promise what no codec writes.
        """
        if len(data) < _HEADER.size + _SEAL.size:
            raise CorruptStream(f"{len(data)} bytes are no index of frames: compress the object anew")
        magic, version, count, packed = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != _VERSION:
            raise CorruptStream(f"{data[:9].hex()} begins no index of frames of version {_VERSION}")
        # The hashes stand there unpacked: no short index makes its reader hold many frames.
        if _HEADER.size + packed + 8 * count + _SEAL.size != len(data):
            raise CorruptStream(f"an index of {count} frames does not have {len(data)} bytes: it was cut or added to")
        if _SEAL.unpack_from(data, len(data) - _SEAL.size)[0] != xxh3_64_intdigest(memoryview(data)[: -_SEAL.size]):
            raise CorruptStream("the checksum of the index of frames is wrong: remove it, the object needs none")
        sizes = _unpacked_sizes(data[_HEADER.size : _HEADER.size + packed], count)
        hashes = _from_little("Q", data[_HEADER.size + packed : -_SEAL.size])
        for size, original_size in zip(sizes[:count], sizes[count:], strict=True):
            if not size or size > _MAX_COMPRESSED_BYTES or original_size > MAX_FRAME_BYTES:
                raise CorruptStream(f"no frame holds {original_size} bytes in {size}: the index lies")
        originals = sizes[count:]
        if count and (originals[:-1].count(originals[0]) != count - 1 or originals[-1] > originals[0]):
            raise CorruptStream("the frames but for the last do not hold equally many bytes: the index lies")
        return cls(zip(sizes[:count], sizes[count:], hashes, strict=True))

    def _frame(self, number: int) -> Frame:
        return Frame(
            self._offsets[number],
            self._sizes[number],
            self._original_offsets[number],
            self._originals[number],
            self._hashes[number],
        )


def _unpacked_sizes(packed: bytes, count: int) -> array[int]:
    try:
        # Without a size in its header the frame would be refused, with a wrong one it is.
        if zstandard.frame_content_size(packed) != 8 * count:
            raise CorruptStream("the sizes in the index of frames are not as many as its frames")
        return _from_little("I", zstandard.ZstdDecompressor().decompress(packed, max_output_size=8 * count))
    except zstandard.ZstdError as error:
        raise CorruptStream(f"the sizes in the index of frames are damaged: {error}") from error


def _little(values: array[int]) -> bytes:
    if sys.byteorder == "big":
        values = array(values.typecode, values)
        values.byteswap()
    return values.tobytes()


def _from_little(typecode: str, data: bytes) -> array[int]:
    values = array(typecode)
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values
