"""A file's way through the platform's codecs, from path to path, as the compressed stage takes it.

The store, the catalogue and the proof are left out: `records` gives way to the best ordinary codec where it does not
suit, and what does not shrink is kept as it is.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from des_platform.codecs import (
    Codec,
    NotRecords,
    Profile,
    choose,
    compress,
    decompress,
    get_codec,
    sample_ranges,
    smaller_than_records,
    without_records,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_CHUNK_BYTES = 1 << 20
_ANY_SIZE = 1 << 40


def decide(source: Path, profile: Profile, leaves: Callable[[Codec], int]) -> Codec:
    """Find what a file is kept as.

    Args:
        source: the file.
        profile: how it is used.
        leaves: compresses it with a codec and returns the bytes; last called with the codec that is returned, unless
            that is `store`.
    """
    size, samples = source.stat().st_size, _samples(source)
    choice = choose(samples, profile, size=size)
    codec = choice.codec
    if codec.name == "records":
        try:
            left = leaves(codec)
        except NotRecords as error:
            codec = without_records(samples, size=size, why=str(error)).codec
        else:
            smaller = smaller_than_records(samples, choice, size=size, left=left)
            if smaller is None:
                return codec
            codec = smaller.codec
    if codec.name != "store" and leaves(codec) < size:
        return codec
    return get_codec("store")


def pack(source: Path, target: Path, profile: Profile, *, threads: int) -> Codec:
    """Write a file's compressed form; return what made it, `store` where that is the file itself."""
    codec = decide(source, profile, lambda codec: write(codec, source, target, threads=threads))
    if codec.name == "store":
        shutil.copyfile(source, target)
    return codec


def write(codec: Codec, source: Path, target: Path, *, threads: int) -> int:
    """Compress a file with one codec; return the bytes written."""
    with target.open("wb") as file:
        file.writelines(compress(codec, chunks(source), threads=threads))
        return file.tell()


def restore(codec: Codec, source: Path, target: Path, *, threads: int) -> None:
    """Decompress a file."""
    with target.open("wb") as file:
        file.writelines(decompress(codec, chunks(source), max_size=_ANY_SIZE, threads=threads))


def chunks(path: Path) -> Iterator[bytes]:
    """A file in pieces of a MiB."""
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def codec_at(label: str) -> Codec:
    """The codec of a label."""
    name, _, level = label.partition("-")
    codec = get_codec(name)
    return codec.at_level(int(level)) if level else codec


def label(codec: Codec) -> str:
    """A codec with its level, such as `zstd-9`; those with only one level have none."""
    return f"{codec.name}-{codec.level}" if len(codec.levels) > 1 else codec.name


def _samples(source: Path) -> list[bytes]:
    with source.open("rb", buffering=0) as file:
        return [os.pread(file.fileno(), length, offset) for offset, length in sample_ranges(source.stat().st_size)]
