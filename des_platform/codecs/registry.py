"""The codecs of the platform: `zstd`, `xz`, `bz2` and `store`, each in its standard container.

What a codec writes, `zstd -d`, `xz -d` or `bzip2 -d` opens. A `Codec` is a name and a level: the level shapes what is
written, the name alone says how it is read. The same input gives the same bytes for the same library version: one
thread, no timestamps, no measured choices. Asking for what is not registered fails with `UnknownCodec`.
"""

from __future__ import annotations

import bz2
import lzma
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import zstandard

from des_platform.codecs.decoders import decode_bz2, decode_store, decode_xz, decode_zstd
from des_platform.codecs.errors import UnknownCodec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_MIN_XZ_DICTIONARY = 1 << 12  # the format's least
_MAX_TRIMMED_XZ_DICTIONARY = 1 << 18  # what level 0, the lightest, uses


class Compressor(Protocol):
    """One stream being compressed."""

    def compress(self, data: bytes, /) -> bytes:
        """Take the next bytes; return what is ready, possibly nothing."""

    def flush(self) -> bytes:
        """End the stream and return its rest."""


@dataclass(frozen=True, slots=True)
class Codec:
    """A way to compress: a name that says how it is read back, and a level that says how hard it tries.

    Attributes:
        name: `zstd`, `xz`, `bz2` or `store`.
        extension: what a compressed object's key ends with, dot included; empty for `store`.
        level: within `levels`, higher is smaller and slower.
        levels: the levels there are.
        new_compressor: starts a stream at a level.
        compress_whole: compresses one piece of data at a level; what it needs beyond the data is kept small.
        decode: decompresses chunks; see `des_platform.codecs.decoders`.
    """

    name: str
    extension: str
    level: int
    levels: range = field(repr=False)
    new_compressor: Callable[[int], Compressor] = field(repr=False)
    compress_whole: Callable[[bytes, int], bytes] = field(repr=False)
    decode: Callable[[Iterable[bytes]], Iterator[bytes]] = field(repr=False)

    def at_level(self, level: int) -> Codec:
        """Return the same codec at another level.

        Raises:
            UnknownCodec: if the codec has no such level.
        """
        if level not in self.levels:
            raise UnknownCodec(
                f"codec {self.name} has no level {level}: choose from {self.levels[0]} to {self.levels[-1]}"
            )
        return replace(self, level=level)


class _Stored:
    """A stream that stays as it is."""

    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def _zstd_compressor(level: int) -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True, threads=0)


class _ThreadCompressors(threading.local):
    """One zstd compressor per thread and level.

    Threads must not share one, and to make one anew is 9 of the 22 µs that 200 bytes take at level 19.
    """

    def __init__(self) -> None:
        self.by_level: dict[int, zstandard.ZstdCompressor] = {}


_thread_compressors = _ThreadCompressors()


def _compress_zstd(data: bytes, level: int) -> bytes:
    compressor = _thread_compressors.by_level.get(level)
    if compressor is None:
        compressor = _thread_compressors.by_level[level] = _zstd_compressor(level)
    return compressor.compress(data)


def _compress_xz(data: bytes, level: int) -> bytes:
    # A dictionary longer than the data is only memory to clear: 267 µs became 18 µs for 400 bytes at level 6.
    dictionary = max(_MIN_XZ_DICTIONARY, 1 << (len(data) - 1).bit_length()) if data else _MIN_XZ_DICTIONARY
    if dictionary > _MAX_TRIMMED_XZ_DICTIONARY:
        return lzma.compress(data, preset=level)
    return lzma.compress(data, filters=[{"id": lzma.FILTER_LZMA2, "preset": level, "dict_size": dictionary}])


def _keep(data: bytes, _level: int) -> bytes:
    return data


def _new_zstd(level: int) -> Compressor:
    return _zstd_compressor(level).compressobj()


def _new_xz(level: int) -> Compressor:
    return lzma.LZMACompressor(preset=level)


def _new_store(_level: int) -> Compressor:
    return _Stored()


# Only module-level functions, so that a Codec can be pickled to a worker process.
_CODECS = {
    codec.name: codec
    for codec in (
        Codec("zstd", ".zst", 3, range(1, 20), _new_zstd, _compress_zstd, decode_zstd),
        Codec("xz", ".xz", 6, range(10), _new_xz, _compress_xz, decode_xz),
        Codec("bz2", ".bz2", 9, range(1, 10), bz2.BZ2Compressor, bz2.compress, decode_bz2),
        Codec("store", "", 0, range(1), _new_store, _keep, decode_store),
    )
}


def codec_names() -> tuple[str, ...]:
    """Return the names of all codecs."""
    return tuple(_CODECS)


def get_codec(name: str) -> Codec:
    """Return the codec of that name at its usual level; `Codec.at_level` gives the others.

    Raises:
        UnknownCodec: if there is none; the message names the known ones.
    """
    try:
        return _CODECS[name]
    except KeyError:
        raise UnknownCodec(f"unknown codec {name!r}: the known ones are {', '.join(_CODECS)}") from None
