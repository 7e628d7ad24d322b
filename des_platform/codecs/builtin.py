"""The codecs that are always there, each in its standard container.

What `zstd`, `bz2`, `xz` and `gzip` write, `zstd -d`, `bzip2 -d`, `xz -d` and `gzip -d` open. The same input gives the
same bytes for the same library versions: no timestamps, no measured choices. Frames are as long as each format makes
use of: one block of bzip2, so that two threads do twice the work of one; a window of xz and zstd that memory can bear
at any level.
"""

from __future__ import annotations

import bz2
import lzma
import threading
import zlib
from typing import TYPE_CHECKING

import zstandard

from des_platform.codecs.codec import Codec
from des_platform.codecs.decoders import decode_bz2, decode_gzip, decode_store, decode_xz, decode_zstd
from des_platform.codecs.records import compress_records, decode_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Buffer = bytes | bytearray | memoryview

MIB = 1 << 20

XZ_EXTREME = 10
"""The level that the tool calls `-9e`."""

_MIN_XZ_DICTIONARY = 1 << 12  # the format's least
_MAX_XZ_DICTIONARY = 4 * MIB  # level 9 would take 64 MiB, and 674 MiB of memory to fill it
_XZ_DICTIONARIES = tuple(mib * MIB >> 2 for mib in (1, 4, 8, 16, 16, 32, 32, 64, 128, 256, 256))

_SMALL_BYTES = 256 << 10  # a value that a kept zstd compressor is used for: its memory then stays below 6 MB


def zstd(*, level: int = 3, frame_bytes: int = 4 * MIB) -> Codec:
    """Zstandard: frames with a checksum and the size of their content."""
    return Codec(
        "zstd",
        ".zst",
        level,
        range(1, 20),
        decode_zstd,
        _compress_zstd,
        frame_bytes,
        magic=b"\x28\xb5\x2f\xfd",
    )


def bzip2(*, level: int = 9, frame_bytes: int = 900_000) -> Codec:
    """bzip2: streams of one block."""
    return Codec("bz2", ".bz2", level, range(1, 10), decode_bz2, bz2.compress, frame_bytes, magic=b"BZh")


def xz(*, level: int = 6, frame_bytes: int = 4 * MIB) -> Codec:
    """The .xz format: streams with a dictionary as long as themselves."""
    levels = range(XZ_EXTREME + 1)
    return Codec("xz", ".xz", level, levels, decode_xz, _compress_xz, frame_bytes, magic=b"\xfd7zXZ\0")


def gzip(*, level: int = 6, frame_bytes: int = MIB) -> Codec:
    """Gzip: members without a name and a time."""
    return Codec("gzip", ".gz", level, range(1, 10), decode_gzip, _compress_gzip, frame_bytes, magic=b"\x1f\x8b\x08")


def store(*, frame_bytes: int = 4 * MIB) -> Codec:
    """As it is."""
    return Codec("store", "", 0, range(1), decode_store, _keep, frame_bytes)


def records(*, level: int = 1) -> Codec:
    """Records of one form as typed columns in a Parquet file."""
    return Codec(
        "records",
        ".parquet",
        level,
        range(1, 2),
        decode_records,
        compress_whole=_compress_records,
        magic=b"PAR1",
    )


class _ThreadCompressors(threading.local):
    """One zstd compressor per thread and level.

    Threads must not share one, and to make one anew is 9 of the 22 µs that 200 bytes take at level 19.
    """

    def __init__(self) -> None:
        self.by_level: dict[int, zstandard.ZstdCompressor] = {}


_thread_compressors = _ThreadCompressors()


def _compress_zstd(data: Buffer, level: int) -> bytes:
    if len(data) > _SMALL_BYTES:
        return _zstd_compressor(level).compress(data)
    compressor = _thread_compressors.by_level.get(level)
    if compressor is None:
        compressor = _thread_compressors.by_level[level] = _zstd_compressor(level)
    return compressor.compress(data)


def _zstd_compressor(level: int) -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True, threads=0)


def zstd_size(data: Buffer, level: int, of_size: int) -> int:
    """Return to how many bytes zstd would compress some data, were they `of_size` bytes long."""
    parameters = zstandard.ZstdCompressionParameters.from_level(level, source_size=of_size, write_checksum=True)
    return len(zstandard.ZstdCompressor(compression_params=parameters).compress(data))


def _compress_xz(data: Buffer, level: int) -> bytes:
    # A dictionary longer than the data is only memory to clear: 267 µs became 18 µs for 400 bytes at level 6.
    longest = max(_MIN_XZ_DICTIONARY, 1 << (len(data) - 1).bit_length()) if data else _MIN_XZ_DICTIONARY
    preset = 9 | lzma.PRESET_EXTREME if level == XZ_EXTREME else level
    dictionary = min(longest, _XZ_DICTIONARIES[level], _MAX_XZ_DICTIONARY)
    return lzma.compress(data, filters=[{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": dictionary}])


def _compress_gzip(data: Buffer, level: int) -> bytes:
    return zlib.compress(data, level, wbits=zlib.MAX_WBITS | 16)


def _keep(data: Buffer, _level: int) -> bytes:
    return bytes(data)


def _compress_records(chunks: Iterable[bytes], threads: int) -> Iterator[bytes]:
    return compress_records(chunks, threads=threads)
