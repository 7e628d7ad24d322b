"""Any range of an original from the frames that hold it, side by side; each frame proven before a byte of it is given.

An index may be damaged, another object's, or a liar's: each frame has to have the length and the checksum that the
index gives, else `CorruptStream` is raised, and no frame is decompressed further than that length. Memory holds one
request and the frames in hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xxhash import xxh3_64

from des_platform.codecs.errors import CorruptStream
from des_platform.codecs.sidebyside import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from des_platform.codecs.codec import Codec
    from des_platform.codecs.index import Frame, FrameIndex

_REQUEST_BYTES = 4 << 20
"""Neighbouring frames are asked for together, up to this many compressed bytes."""

_MAX_PIECES = 1 << 16  # of a frame; a hostile one may come as millions of single bytes, 40 bytes of memory each


def decompress_frames(
    codec: Codec,
    index: FrameIndex,
    read: Callable[[int, int], bytes],
    *,
    offset: int = 0,
    length: int | None = None,
    threads: int = 1,
) -> Iterator[bytes]:
    """Decompress a range of an original.

    Args:
        codec: how; its level does not matter.
        index: where the object's frames are.
        read: gives the object's bytes from an offset on, so many; called in the caller's own thread.
        offset: where the range begins in the original.
        length: its bytes; all that follow if omitted.
        threads: frames to decompress side by side.

    Yields:
        Non-empty pieces of at most 1 MiB. What `read` raises comes through.

    Raises:
        ValueError: the range reaches past the end of the original.
        CorruptStream: the frames are not those of the index.
    """
    end = index.original_size if length is None else offset + length
    frames = index.frames_of(offset, end - offset)

    def decoded(part: tuple[Frame, bytes]) -> tuple[int, list[bytes]]:
        return part[0].original_offset, _proven(codec, *part)

    for start, pieces in in_order(decoded, _read(frames, read), threads):
        position = start
        for piece in pieces:
            wanted = piece[max(0, offset - position) : max(0, end - position)]
            position += len(piece)
            if wanted:
                yield wanted


def _read(frames: list[Frame], read: Callable[[int, int], bytes]) -> Iterator[tuple[Frame, bytes]]:
    for group in _together(frames):
        start = group[0].offset
        length = group[-1].offset + group[-1].size - start
        data = read(start, length)
        if len(data) != length:
            raise CorruptStream(f"{len(data)} bytes came for the {length} at {start}: is the index another object's?")
        for frame in group:
            yield frame, data[frame.offset - start : frame.offset - start + frame.size]


def _together(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    group: list[Frame] = []
    for frame in frames:
        if group and frame.offset + frame.size - group[0].offset > _REQUEST_BYTES:
            yield group
            group = []
        group.append(frame)
    if group:
        yield group


def _proven(codec: Codec, frame: Frame, data: bytes) -> list[bytes]:
    pieces: list[bytes] = []
    digest, size = xxh3_64(), 0
    for piece in codec.decode([data]):
        size += len(piece)
        if size > frame.original_size or len(pieces) == _MAX_PIECES:
            break
        digest.update(piece)
        pieces.append(piece)
    if size != frame.original_size or digest.intdigest() != frame.xxh3:
        raise CorruptStream(
            f"{codec.name}: the frame at {frame.offset} does not hold the {frame.original_size} bytes that the index "
            "promises: read the object without its index, and compress it anew if that fails too"
        )
    return pieces
