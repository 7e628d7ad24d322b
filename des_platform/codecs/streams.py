"""Whole streams and whole values through a codec, with a limit on what comes out.

`decompress` holds one piece at a time, and nothing beyond `max_size` bytes ever reaches the caller. Since a generator
cannot take back what it yielded, a reader that must not act on damaged data acts only once the iteration has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform.codecs.decoders import PIECE_BYTES, slices
from des_platform.codecs.errors import OutputTooLarge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from des_platform.codecs.registry import Codec


def compress(codec: Codec, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Compress chunks into one stream of the codec's container.

    Args:
        codec: how, and at which level.
        chunks: the original bytes, cut anywhere; where they are cut does not change the output.

    Yields:
        Non-empty pieces of the compressed stream.
    """
    compressor = codec.new_compressor(codec.level)
    for chunk in slices(chunks, PIECE_BYTES):
        if piece := compressor.compress(chunk):
            yield piece
    if piece := compressor.flush():
        yield piece


def decompress(codec: Codec, chunks: Iterable[bytes], *, max_size: int) -> Iterator[bytes]:
    """Decompress one or more concatenated streams of the codec's container.

    Args:
        codec: how; its level does not matter.
        chunks: the compressed bytes, cut anywhere.
        max_size: the most bytes that may come out.

    Yields:
        Non-empty pieces of at most 1 MiB, `max_size` bytes in all.

    Raises:
        CorruptStream: if the data is empty, damaged, cut short, or followed by anything that is no further stream.
        OutputTooLarge: as soon as more than `max_size` bytes come out.
    """
    size = 0
    for piece in codec.decode(chunks):
        size += len(piece)
        if size > max_size:
            raise OutputTooLarge(
                f"{codec.name}: more than the {max_size} bytes allowed came out; "
                "raise the limit if this size is expected, else treat the data as hostile"
            )
        yield piece


def compress_bytes(codec: Codec, data: bytes) -> bytes:
    """Compress one value; quick for small ones, and possibly other bytes than `compress` gives."""
    return codec.compress_whole(data, codec.level)


def decompress_bytes(codec: Codec, data: bytes, *, max_size: int) -> bytes:
    """Decompress one value of at most `max_size` bytes.

    Raises:
        CorruptStream: as `decompress` does.
        OutputTooLarge: if more than `max_size` bytes come out.
    """
    return b"".join(decompress(codec, (data,), max_size=max_size))
