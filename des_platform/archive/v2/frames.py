"""Unpacks zstd frames, with and without the archive's dictionary.

Nothing that a frame claims is believed before it is checked: one that promises much more than it weighs is unpacked
piece by piece, and memory is taken as bytes come. Whatever is wrong with a frame is a `CorruptArchive`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from des_platform.archive.errors import CorruptArchive

if TYPE_CHECKING:
    from collections.abc import Callable

    from zstandard import ZstdCompressionDict, ZstdDecompressor

_FRAME_MAGIC = b"\x28\xb5\x2f\xfd"
_FRAME_CHECKSUM = 4
_RLE_BLOCK = 1
_FREE_BYTES = 1024 * 1024
_FREE_RATIO = 16
"""Up to so many bytes, and so many for each that is stored, a frame's claim is believed: one allocation, one call."""
_PIECE_BYTES = 1024 * 1024


class Decompressor:
    """Unpacks the zstd frames of one archive. Safe for threads, each of which has its own contexts.

    Args:
        dictionary: gives the archive's zstd dictionary; called when the first frame needs it.
        max_object_bytes: no object may be larger.
    """

    def __init__(self, dictionary: Callable[[], bytes], max_object_bytes: int) -> None:
        self._dictionary = dictionary
        self._max_object_bytes = max_object_bytes
        self._contexts = threading.local()
        self._lock = threading.Lock()
        self._prepared: ZstdCompressionDict | None = None

    def decompress(self, frame: bytes, what: str, *, with_dictionary: bool) -> bytes:
        """Return the content of a frame.

        Args:
            frame: exactly one zstd frame that carries its content's size.
            what: names the object in errors.
            with_dictionary: whether it needs the archive's dictionary.

        Raises:
            CorruptArchive: it is not such a frame, or its content is larger than it says or than objects may be.
        """
        import zstandard

        try:
            context = self._context(with_dictionary=with_dictionary)
            size = content_size(frame, what)
            if size > self._max_object_bytes:
                raise CorruptArchive(
                    f"{what} has {size} bytes, more than the {self._max_object_bytes} that this reader may unpack"
                )
            if 0 < size <= _FREE_BYTES + _FREE_RATIO * len(frame):
                return context.decompress(frame, read_across_frames=False, allow_extra_data=False)
            return _unpack_in_pieces(context, frame, size, what)
        except zstandard.ZstdError as error:
            raise CorruptArchive(f"{what} cannot be decompressed: {error}") from error

    def _context(self, *, with_dictionary: bool) -> ZstdDecompressor:
        kind = "dictionary" if with_dictionary else "plain"
        context: ZstdDecompressor | None = getattr(self._contexts, kind, None)
        if context is None:
            import zstandard

            context = zstandard.ZstdDecompressor(dict_data=self._prepare() if with_dictionary else None)
            setattr(self._contexts, kind, context)
        return context

    def _prepare(self) -> ZstdCompressionDict:
        with self._lock:
            if self._prepared is None:
                import zstandard

                self._prepared = zstandard.ZstdCompressionDict(
                    self._dictionary(), dict_type=zstandard.DICT_TYPE_FULLDICT
                )
            return self._prepared


def content_size(frame: bytes, what: str) -> int:
    """Return the size that a zstd frame announces; its first 18 bytes are enough.

    Raises:
        CorruptArchive: this is not the start of a zstd frame, or it announces none.
    """
    import zstandard

    if not frame.startswith(_FRAME_MAGIC):
        raise CorruptArchive(f"{what} is not a zstd frame: it starts with {frame[:4].hex()}")
    try:
        size: int = zstandard.frame_content_size(frame)
    except zstandard.ZstdError as error:
        raise CorruptArchive(f"{what} has a broken zstd frame: {error}") from error
    if size < 0:
        raise CorruptArchive(f"{what} is a zstd frame without its content's size")
    return size


def _unpack_in_pieces(context: ZstdDecompressor, frame: bytes, size: int, what: str) -> bytes:
    pieces: list[bytes] = []
    missing = size
    with context.stream_reader(frame, read_across_frames=False) as reader:
        # One byte too many is asked for, so that a frame that holds more than it says shows itself.
        while piece := reader.read(min(missing + 1, _PIECE_BYTES)):
            missing -= len(piece)
            if missing < 0:
                break
            pieces.append(piece)
    if missing or _frame_length(frame, what) != len(frame):
        raise CorruptArchive(f"{what} is not one zstd frame of {size} bytes")
    return b"".join(pieces)


def _frame_length(frame: bytes, what: str) -> int:
    """Walk the blocks of a frame, since its decompressor does not tell where it ended."""
    import zstandard

    at: int = zstandard.frame_header_size(frame)
    last = False
    while not last:
        header = int.from_bytes(frame[at : at + 3], "little")
        if at + 3 > len(frame):
            raise CorruptArchive(f"{what} ends within its zstd frame")
        last = bool(header & 1)
        at += 3 + (1 if header >> 1 & 3 == _RLE_BLOCK else header >> 3)
    return at + (4 if frame[4] & _FRAME_CHECKSUM else 0)
