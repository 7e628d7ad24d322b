"""What a codec is.

A `Codec` is a name and a level: the level shapes what is written, the name alone says how it is read. A framed codec
compresses pieces of a fixed size of the original, each on its own, into a concatenation that its format's own tools
read as one; what has to see its whole input at once is a codec without frames.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from des_platform.codecs.errors import InvalidCodec, UnknownCodec

MAX_FRAME_BYTES = 16 << 20
"""No codec has longer frames: a reader of one frame holds it in memory."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_EXTENSION = re.compile(r"(\.[A-Za-z0-9_-]{1,16})?")

Decode = Callable[[Iterable[bytes]], Iterator[bytes]]
CompressFrame = Callable[[bytes | bytearray | memoryview, int], bytes]
CompressWhole = Callable[[Iterable[bytes], int], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Codec:
    """A way to compress; only module-level functions, so that it can be pickled to a worker process.

    Attributes:
        name: lower-case letters, digits, `-` and `_`.
        extension: what a compressed object's key ends with, dot included; empty for `store`.
        level: within `levels`, higher is smaller and slower.
        levels: the levels there are.
        decode: decompresses chunks; see `des_platform.codecs.decoders` for what it must keep.
        compress_frame: makes one frame of a piece of the original, at a level; None for a codec without frames.
        frame_bytes: bytes of the original in each frame, but for the last.
        compress_whole: compresses chunks with a number of threads; None for a framed codec.
        magic: what compressed bytes begin with; empty where they do not tell.
        order: where the codec stands among the others.
    """

    name: str
    extension: str
    level: int
    levels: range = field(repr=False)
    decode: Decode = field(repr=False, compare=False)
    compress_frame: CompressFrame | None = field(repr=False, compare=False, default=None)
    frame_bytes: int = field(repr=False, default=1 << 20)
    compress_whole: CompressWhole | None = field(repr=False, compare=False, default=None)
    magic: bytes = field(repr=False, default=b"")
    order: int = field(repr=False, default=1000)

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise InvalidCodec(f"codec {self.name!r}: {problem}")

    @property
    def is_framed(self) -> bool:
        """Whether what it writes is cut into frames, so that there is an index of it."""
        return self.compress_frame is not None

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

    def _problem(self) -> str:
        if not _NAME.fullmatch(self.name):
            return f"a name is lower-case letters, digits, - and _, as {_NAME.pattern} has it"
        if not _EXTENSION.fullmatch(self.extension):
            return f"the extension {self.extension!r} is neither empty nor a dot and letters or digits"
        if self.level not in self.levels:
            return f"level {self.level} is none of its levels, {self.levels[0]} to {self.levels[-1]}"
        if (self.compress_frame is None) == (self.compress_whole is None):
            return "it has to have either compress_frame or compress_whole"
        if not 1 << 16 <= self.frame_bytes <= MAX_FRAME_BYTES:
            return f"frame_bytes is {self.frame_bytes}, not from {1 << 16} to {MAX_FRAME_BYTES}"
        return ""
