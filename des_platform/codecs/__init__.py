"""Codecs: registry, choice by sample, standard streams, and any range of what they hold.

`registry` has the codecs in their order (`builtin` those of the house), `decoders` reads their containers within
bounded memory, `streams` compresses and decompresses iterables of bytes and single values, in frames that `index`
finds again and `ranges` reads side by side. `choice` picks a codec for a file from a sample of it, by what `costs` says
of each. Nothing here does input or output.
"""

from __future__ import annotations

from des_platform.codecs.choice import (
    Choice,
    Profile,
    choose,
    sample_ranges,
    smaller_than_records,
    without_records,
)
from des_platform.codecs.codec import Codec
from des_platform.codecs.errors import BrokenCodec, CorruptStream, InvalidCodec, OutputTooLarge, UnknownCodec
from des_platform.codecs.index import Frame, FrameIndex
from des_platform.codecs.ranges import decompress_frames
from des_platform.codecs.records import NotRecords
from des_platform.codecs.registry import (
    Registry,
    all_codecs,
    broken_codecs,
    codec_names,
    codec_of,
    get_codec,
    register,
)
from des_platform.codecs.streams import Compressed, compress, compress_bytes, decompress, decompress_bytes

__all__ = [
    "BrokenCodec",
    "Choice",
    "Codec",
    "Compressed",
    "CorruptStream",
    "Frame",
    "FrameIndex",
    "InvalidCodec",
    "NotRecords",
    "OutputTooLarge",
    "Profile",
    "Registry",
    "UnknownCodec",
    "all_codecs",
    "broken_codecs",
    "choose",
    "codec_names",
    "codec_of",
    "compress",
    "compress_bytes",
    "decompress",
    "decompress_bytes",
    "decompress_frames",
    "get_codec",
    "register",
    "sample_ranges",
    "smaller_than_records",
    "without_records",
]
