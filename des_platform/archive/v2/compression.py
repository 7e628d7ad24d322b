"""Compression of members: one zstd frame each, with a dictionary trained on the first block where that pays.

Deterministic: what is compressed, and how, follows from the members, their order and the level alone, not from threads
or clocks (the same release of zstd taken for granted).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import zstandard

from des_platform.archive.errors import CorruptArchive
from des_platform.archive.models import FLAG_COMPRESSED, FLAG_DICTIONARY
from des_platform.archive.v2.block import U8

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DICTIONARY_BYTES = 64 * 1024
_TRAINING_BYTES = 4 * 1024 * 1024
_LARGEST_SAMPLE = 128 * 1024
_LEAST_SAMPLES = 64
_PROBES = 8
_PROBE_BYTES = 4096
_LEAST_SAVING = 32
"""A member stays as it is unless compressing saves a 32nd of it: reading it then costs no decompression."""


class MemberCompressor:
    """Compresses the members of one archive.

    Args:
        level: of zstd.
        threads: how many to use for a block.
    """

    def __init__(self, level: int, threads: int) -> None:
        self._level = level
        self._threads = max(1, threads)
        self._flags = FLAG_COMPRESSED
        self._compressor = self._make(None)
        self._probe = zstandard.ZstdCompressor(level=1)

    def use_dictionary(self, dictionary: bytes) -> None:
        """Compress what follows with this dictionary.

        Raises:
            CorruptArchive: it is not one.
        """
        try:
            self._compressor = self._make(dictionary)
        except zstandard.ZstdError as error:
            raise CorruptArchive(f"the dictionary of {len(dictionary)} bytes is not one of zstd: {error}") from error
        self._flags = FLAG_COMPRESSED | FLAG_DICTIONARY

    def train(self, members: Sequence[bytes]) -> bytes | None:
        """Return a dictionary that saves more on these members than it costs, or None; it is not in use yet."""
        room = _TRAINING_BYTES
        samples: list[bytes | bytearray | memoryview] = [
            member for member in members if 0 < len(member) <= _LARGEST_SAMPLE and (room := room - len(member)) >= 0
        ]
        if len(samples) < _LEAST_SAMPLES:
            return None
        try:
            # The parameters are fixed: letting zstd search for better ones takes 40 times as long and saves 1 % more.
            trained = zstandard.train_dictionary(DICTIONARY_BYTES, samples, k=1024, d=8).as_bytes()
        except zstandard.ZstdError:  # too little in common
            return None
        probes = samples[:: max(1, len(samples) // (8 * _PROBES))]
        with_it = self._make(trained)
        saved = sum(len(self._compressor.compress(probe)) - len(with_it.compress(probe)) for probe in probes)
        worth = saved * sum(map(len, members)) > len(trained) * sum(map(len, probes))
        return trained if worth else None

    def pays(self, members: Sequence[bytes]) -> bool:
        """Whether a few of these members, taken evenly, shrink.

        Together: small members that are alike hardly shrink alone, but will with a dictionary. And one frame for all
        takes 15 us where one for each took 60, in a block of 2 ms.
        """
        probes = members[:: max(1, len(members) // _PROBES)][:_PROBES]
        parts = [probe[:_PROBE_BYTES] for probe in probes]
        parts += [probe[-_PROBE_BYTES:] for probe in probes if len(probe) >= 2 * _PROBE_BYTES]
        together = b"".join(parts)
        return len(self._probe.compress(together)) < len(together) - len(together) // _LEAST_SAVING

    def compress(self, members: Sequence[bytes]) -> tuple[list[bytes], NDArray[np.uint8]]:
        """Compress each member that shrinks.

        Returns:
            What is to be stored, and each one's flags.
        """
        flags = np.zeros(len(members), U8)
        frames = self._frames(members)
        stored = list(members)
        for index, (member, frame) in enumerate(zip(members, frames, strict=True)):
            if len(frame) < len(member) - len(member) // _LEAST_SAVING:
                stored[index] = frame
                flags[index] = self._flags
        return stored, flags

    def _frames(self, members: Sequence[bytes]) -> list[bytes]:
        # The batch call refuses empty members, and costs more than it saves for a few.
        if self._threads == 1 or len(members) < _PROBES or not all(members):
            return list(map(self._compressor.compress, members))
        frames = self._compressor.multi_compress_to_buffer(list(members), self._threads)
        return [frames[index].tobytes() for index in range(len(frames))]

    def _make(self, dictionary: bytes | None) -> zstandard.ZstdCompressor:
        prepared = None
        if dictionary is not None:
            prepared = zstandard.ZstdCompressionDict(dictionary)
            prepared.precompute_compress(level=self._level)
        return zstandard.ZstdCompressor(
            level=self._level, dict_data=prepared, write_content_size=True, write_checksum=False, write_dict_id=False
        )
