"""Codecs: registry, choice by sample, standard streams.

`registry` has the codecs (zstd, xz, bz2, store), `decoders` reads their containers within bounded memory, `streams`
compresses and decompresses iterables of bytes and single values, `choice` picks a codec for a file from a sample of it.
Nothing here does input or output.
"""

from __future__ import annotations

from des_platform.codecs.choice import Choice, Profile, choose, sample_ranges
from des_platform.codecs.errors import CorruptStream, OutputTooLarge, UnknownCodec
from des_platform.codecs.registry import Codec, codec_names, get_codec
from des_platform.codecs.streams import compress, compress_bytes, decompress, decompress_bytes

__all__ = [
    "Choice",
    "Codec",
    "CorruptStream",
    "OutputTooLarge",
    "Profile",
    "UnknownCodec",
    "choose",
    "codec_names",
    "compress",
    "compress_bytes",
    "decompress",
    "decompress_bytes",
    "get_codec",
    "sample_ranges",
]
