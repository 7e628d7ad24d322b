"""The hybrid as its first version had it: chunks of 400 KB through LZMA, base64, and BZ2 over what that gives.

A reference to beat. The frame lengths are what the messages around its chunks told.
"""

from __future__ import annotations

import base64
import bz2
import lzma
import struct

_CHUNK_BYTES = 400 * 1024
_LENGTH = struct.Struct("<I")


def pack(data: bytes) -> bytes:
    """Compress."""
    first = [lzma.compress(data[at : at + _CHUNK_BYTES]) for at in range(0, len(data), _CHUNK_BYTES)]
    text = b"|".join(map(base64.b64encode, first))
    second = [bz2.compress(text[at : at + _CHUNK_BYTES], 2) for at in range(0, len(text), _CHUNK_BYTES)]
    return b"".join(_LENGTH.pack(len(piece)) + piece for piece in second)


def unpack(packed: bytes) -> bytes:
    """Decompress what `pack` made."""
    second, at = [], 0
    while at < len(packed):
        end = at + _LENGTH.size + _LENGTH.unpack_from(packed, at)[0]
        second.append(bz2.decompress(packed[at + _LENGTH.size : end]))
        at = end
    return b"".join(lzma.decompress(base64.b64decode(piece)) for piece in b"".join(second).split(b"|") if piece)
