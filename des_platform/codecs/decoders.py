"""Compressed bytes in, original bytes out, one decoder per container format.

Every decoder takes chunks of any size and yields non-empty pieces of at most `PIECE_BYTES`, however hard a hostile
stream expands; it reads all streams (frames) of a concatenation, as the formats' own tools do. It fails with
`CorruptStream` for input that is empty, damaged, cut short, or followed by anything that is no further stream. Memory
is bounded by one piece, one chunk and the format's window, which is limited to `WINDOW_BYTES`.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import TYPE_CHECKING, Protocol

import zstandard

from des_platform.codecs.errors import CorruptStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PIECE_BYTES = 1 << 20
"""No decoder yields a longer piece than this."""

WINDOW_BYTES = 1 << 27
"""The most memory that a stream may ask its decoder for: the limit of `zstd -d`, and twice what `xz -9` needs."""

# The decoders of bz2, lzma and zlib hand back a copy of what follows each stream: short slices keep that linear.
_SLICE_BYTES = 1 << 16

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE_MAGIC = b"\x2a\x4d\x18"
_ZSTD_BLOCK_BYTES = 1 << 17
_ZSTD_RLE_BLOCK, _ZSTD_RESERVED_BLOCK = 1, 3


class _Decompressor(Protocol):
    """What the decoders of `bz2` and `lzma` have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def slices(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the same bytes in non-empty slices of at most `size` bytes."""
    for chunk in chunks:
        if 0 < len(chunk) <= size:
            yield chunk
        else:
            for start in range(0, len(chunk), size):
                yield chunk[start : start + size]


def decode_store(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield stored bytes as they are."""
    return slices(chunks, PIECE_BYTES)


def decode_bz2(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decode one or more concatenated bzip2 streams."""
    return _decode_concatenated("bz2", chunks, bz2.BZ2Decompressor)


def decode_xz(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decode one or more concatenated .xz streams, with the stream padding that the .xz format (2.2) allows."""
    return _decode_concatenated(
        "xz", chunks, lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=WINDOW_BYTES), padding=4
    )


def decode_gzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decode one or more concatenated gzip members; zero bytes after them are skipped, as `gzip -d` does."""
    return _decode_concatenated("gzip", chunks, _GzipDecompressor, padding=1)


class _GzipDecompressor:
    """One member, with the surface of the decoders of `bz2` and `lzma`."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        output = self._member.decompress(self._member.unconsumed_tail + data, max_length)
        # Where the output is full, the member may hold more of it although it has taken all input.
        self.needs_input = not self._member.unconsumed_tail and len(output) < max_length
        return output


def _decode_concatenated(
    name: str, chunks: Iterable[bytes], new_decompressor: Callable[[], _Decompressor], *, padding: int = 0
) -> Iterator[bytes]:
    """Decode streams back to back; between them, zero bytes in multiples of `padding` are skipped."""
    current: _Decompressor | None = None
    streams = zeros = 0
    for piece in slices(chunks, _SLICE_BYTES):
        data = piece
        while data or (current is not None and not current.needs_input):
            if current is None:
                if padding and streams:
                    stripped = data.lstrip(b"\0")
                    zeros += len(data) - len(stripped)
                    data = stripped
                    if not data:
                        break
                _check_padding(name, zeros, padding)
                current, zeros = new_decompressor(), 0
            try:
                output = current.decompress(data, PIECE_BYTES)
            except (OSError, lzma.LZMAError, zlib.error) as error:
                where = f"in what follows stream {streams}" if streams else "in the first stream"
                raise CorruptStream(f"{name}: damaged data {where}: {error}; fetch the object again") from error
            data = b""
            if current.eof:
                data, current = current.unused_data, None
                streams += 1
            if output:
                yield output
    _check_padding(name, zeros, padding)
    if current is not None or not streams:
        raise _truncated(name)


def _check_padding(name: str, zeros: int, padding: int) -> None:
    if zeros and zeros % padding:
        raise CorruptStream(f"{name}: {zeros} zero bytes after a stream, which is no multiple of {padding}")


def _truncated(name: str) -> CorruptStream:
    return CorruptStream(f"{name}: the data ends before its stream does; fetch the object again")


class _ByteSource:
    """Reads exact numbers of bytes from chunks of any size."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""
        self._position = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes, fewer only where the data ends."""
        end = self._position + size
        taken = self._chunk[self._position : end]
        self._position = min(end, len(self._chunk))
        if len(taken) == size:
            return taken
        parts, missing = [taken], size - len(taken)
        while missing and (chunk := next(self._chunks, None)) is not None:
            self._chunk, self._position = chunk, min(missing, len(chunk))
            parts.append(chunk[:missing])
            missing -= self._position
        return b"".join(parts)

    def need(self, size: int) -> bytes:
        """The next `size` bytes.

        Raises:
            CorruptStream: if the data ends before.
        """
        taken = self.take(size)
        if len(taken) < size:
            raise _truncated("zstd")
        return taken


def decode_zstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decode one or more zstd frames, skipping skippable ones (RFC 8878, section 3).

    The library's streaming decoder is handed one block at a time: it gives all output of its input at once, and 64 KiB
    of run-length blocks would come out as 2 GiB. A block never holds more than 128 KiB.
    """
    source = _ByteSource(chunks)
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)
    frames = 0
    while magic := source.take(4):
        if magic == _ZSTD_MAGIC:
            try:
                yield from _decode_zstd_frame(source, decompressor.decompressobj())
            except zstandard.ZstdError as error:
                raise CorruptStream(f"zstd: frame {frames} is damaged: {error}; fetch the object again") from error
            frames += 1
        elif magic[1:] == _ZSTD_SKIPPABLE_MAGIC and magic[0] >> 4 == 5:  # noqa: PLR2004  # 0x184D2A5?
            _skip(source, int.from_bytes(source.need(4), "little"))
        else:
            raise CorruptStream(f"zstd: {magic.hex()} where frame {frames} should begin: not zstd, or cut or added to")
    if not frames:
        raise _truncated("zstd")


def _skip(source: _ByteSource, size: int) -> None:
    while size:
        size -= len(source.need(min(size, PIECE_BYTES)))


def _decode_zstd_frame(source: _ByteSource, decoder: zstandard.ZstdDecompressionObj) -> Iterator[bytes]:
    descriptor = source.need(1)
    flags = descriptor[0]
    single_segment = flags >> 5 & 1
    content_size_bytes = (single_segment, 2, 4, 8)[flags >> 6]
    header_bytes = (1 - single_segment) + (0, 1, 2, 4)[flags & 3] + content_size_bytes
    decoder.decompress(_ZSTD_MAGIC + descriptor + source.need(header_bytes))
    last = False
    while not last:
        header = source.need(3)
        value = int.from_bytes(header, "little")
        last, kind, size = bool(value & 1), value >> 1 & 3, value >> 3
        if kind == _ZSTD_RESERVED_BLOCK or size > _ZSTD_BLOCK_BYTES:
            raise CorruptStream(f"zstd: a block of kind {kind} and {size} bytes cannot be; fetch the object again")
        if output := decoder.decompress(header + source.need(1 if kind == _ZSTD_RLE_BLOCK else size)):
            yield output
    if flags >> 2 & 1:
        decoder.decompress(source.need(4))
    if not decoder.eof:
        raise _truncated("zstd")
