"""Whole streams and whole values through a codec, with a limit on what comes out.

`compress` cuts the original into frames of the codec's own size, so that neither the number of threads nor where its
input is cut changes a byte. `decompress` holds one piece at a time, and nothing beyond `max_size` bytes ever reaches
the caller. Since a generator cannot take back what it yielded, a reader that must not act on damaged data acts only
once the iteration has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from time import thread_time
from typing import TYPE_CHECKING

from xxhash import xxh3_64_intdigest

from des_platform.codecs.errors import OutputTooLarge
from des_platform.codecs.index import FrameIndex
from des_platform.codecs.sidebyside import ahead, in_order

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from des_platform.codecs.codec import Codec, CompressFrame

    Buffer = bytes | bytearray | memoryview


@dataclass(slots=True)
class _Account:
    """What is known of a compression so far; apart from `Compressed`, which its generator must not keep alive."""

    frames: list[tuple[int, int, int]] = field(default_factory=list)
    cpu_seconds: float = 0.0
    ended: bool = False


class Compressed(Iterator[bytes]):
    """The compressed bytes, in non-empty pieces; made by `compress`.

    Whoever does not take them all calls `close`, or drops the iterator: either ends its threads.

    Attributes:
        codec: what compresses them.
    """

    def __init__(self, codec: Codec, chunks: Iterable[bytes], threads: int) -> None:
        self.codec = codec
        self._account = _Account()
        self._pieces = _compressed(codec, chunks, threads, self._account)

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        """Stop compressing."""
        self._pieces.close()

    @property
    def cpu_seconds(self) -> float:
        """CPU time that compressing took until now, in whichever thread."""
        return self._account.cpu_seconds

    @property
    def index(self) -> FrameIndex:
        """The index of what was compressed; of a codec without frames one that has none.

        Raises:
            RuntimeError: not all of it was taken yet.
        """
        if not self._account.ended:
            raise RuntimeError(f"the index of what {self.codec.name} writes is known once all of it was taken")
        return FrameIndex(self._account.frames)


def _compressed(codec: Codec, chunks: Iterable[bytes], threads: int, account: _Account) -> Generator[bytes, None, None]:
    if codec.compress_whole is not None:
        yield from _timed(codec.compress_whole(chunks, threads), account)
    elif codec.compress_frame is not None:
        yield from _framed(codec.compress_frame, codec, chunks, threads, account)
    account.ended = True


def _framed(
    compress_frame: CompressFrame, codec: Codec, chunks: Iterable[bytes], threads: int, account: _Account
) -> Iterator[bytes]:
    def frame(original: Buffer) -> tuple[bytes, tuple[int, int, int], float]:
        started = thread_time()
        packed = compress_frame(original, codec.level)
        return packed, (len(packed), len(original), xxh3_64_intdigest(original)), thread_time() - started

    for packed, entry, seconds in in_order(frame, cut(chunks, codec.frame_bytes), threads):
        account.frames.append(entry)
        account.cpu_seconds += seconds
        yield packed
    if not account.frames and (empty := compress_frame(b"", codec.level)):
        account.frames.append((len(empty), 0, xxh3_64_intdigest(b"")))
        yield empty


def _timed(pieces: Iterator[bytes], account: _Account) -> Iterator[bytes]:
    started = thread_time()
    for piece in pieces:
        account.cpu_seconds += thread_time() - started
        yield piece
        started = thread_time()


def compress(codec: Codec, chunks: Iterable[bytes], *, threads: int = 1) -> Compressed:
    """Compress chunks into the codec's container.

    Args:
        codec: how, and at which level.
        chunks: the original bytes, cut anywhere; where they are cut does not change the output.
        threads: frames to compress side by side; does not change the output either.

    Returns:
        An iterator of the compressed bytes, which knows their index once it has ended. What the chunks raise comes
        through as it is.

    Raises:
        NotRecords: as it is iterated, by `records` alone: the input is no file of records.
    """
    return Compressed(codec, chunks, threads)


def decompress(codec: Codec, chunks: Iterable[bytes], *, max_size: int, threads: int = 1) -> Iterator[bytes]:
    """Decompress one or more concatenated streams of the codec's container.

    Args:
        codec: how; its level does not matter.
        chunks: the compressed bytes, cut anywhere.
        max_size: the most bytes that may come out.
        threads: with more than one, a thread takes chunks and decompresses ahead of the caller, by some MiB.

    Yields:
        Non-empty pieces of at most 1 MiB, `max_size` bytes in all.

    Raises:
        CorruptStream: if the data is empty, damaged, cut short, or followed by anything that is no further stream.
        OutputTooLarge: as soon as more than `max_size` bytes come out.
    """
    pieces = codec.decode(chunks)
    size = 0
    for piece in ahead(pieces) if threads > 1 else pieces:
        size += len(piece)
        if size > max_size:
            raise OutputTooLarge(
                f"{codec.name}: more than the {max_size} bytes allowed came out; "
                "raise the limit if this size is expected, else treat the data as hostile"
            )
        yield piece


def compress_bytes(codec: Codec, data: bytes) -> bytes:
    """Compress one value; quick for small ones, and the same bytes as `compress` gives."""
    if codec.compress_frame is not None and len(data) <= codec.frame_bytes:
        return codec.compress_frame(data, codec.level)
    return b"".join(compress(codec, (data,)))


def decompress_bytes(codec: Codec, data: bytes, *, max_size: int) -> bytes:
    """Decompress one value of at most `max_size` bytes.

    Raises:
        CorruptStream: as `decompress` does.
        OutputTooLarge: if more than `max_size` bytes come out.
    """
    return b"".join(decompress(codec, (data,), max_size=max_size))


def cut(chunks: Iterable[bytes], size: int) -> Iterator[Buffer]:
    """Yield the same bytes in pieces of `size`, but for the last; what lies within one chunk is not copied."""
    held = bytearray()
    for chunk in chunks:
        # What its owner can change would change under the threads.
        view = memoryview(chunk if isinstance(chunk, bytes) else bytes(chunk))
        start = 0
        while len(view) - start >= size - len(held):
            end = start + size - len(held)
            if held:
                held += view[start:end]
                yield held
                held = bytearray()
            else:
                yield view[start:end]
            start = end
        held += view[start:]
    if held:
        yield held
