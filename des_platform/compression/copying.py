"""One large file becomes a compressed object of ours: chosen, written, and proven by reading it back.

The codec is the one that the file's own sample chose. `records` is only known to suit once the whole file went through
it: where it refuses the file, does not give it back, or leaves more than the best ordinary codec promises, that codec
takes its place, and the reason says so. What comes out larger than the file is removed again, and the file stays as it
is. An object of several frames has its index beside it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from des_platform.catalog.files import Copy, index_key
from des_platform.codecs import (
    Choice,
    CorruptStream,
    NotRecords,
    Profile,
    choose,
    compress,
    sample_ranges,
    smaller_than_records,
    without_records,
)
from des_platform.files.reader import verified
from des_platform.objectstore import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.catalog.files import FileRow
    from des_platform.files.reader import FileReader
    from des_platform.objectstore import Buckets

# A file takes up to 200 MB while it becomes columns.
_RECORDS_AT_ONCE = BoundedSemaphore(2)


def object_key(file: FileRow) -> str:
    """Key of a large file's compressed object in the platform's bucket."""
    return f"archives/{file.dataset}/{file.day}/_bigFiles/{file.name}"


@dataclass(frozen=True, slots=True)
class Copier:
    """Makes the platform's copies of large files; safe to share between threads.

    Attributes:
        buckets: where originals are read and objects are written.
        reader: reads objects back.
        profile: what the choice of codec aims at.
    """

    buckets: Buckets
    reader: FileReader
    profile: Profile

    def copy(self, file: FileRow, *, threads: int) -> Copy:
        """Make the copy of a file, or find that it stays as it is.

        Args:
            file: the file as catalogued.
            threads: frames to compress, and to decompress, side by side.

        Raises:
            ObjectNotFound: the original is gone.
            PreconditionFailed: another object stands in its place.
            IntegrityError: the original, or the object read back, is not what was catalogued.
            CorruptStream: the object does not decompress.
            StoreUnavailable: the store refused or did not answer.
        """
        samples = self.buckets.bucket(file.bucket).get_ranges(file.key, sample_ranges(file.size), if_match=file.etag)
        choice = choose(samples, self.profile, size=file.size)
        if choice.codec.name != "records":
            return self._proven(file, choice, threads)
        try:
            with _RECORDS_AT_ONCE:
                copy = self._proven(file, choice, threads)
        except (NotRecords, IntegrityError, CorruptStream) as error:
            ordinary = without_records(samples, size=file.size, why=str(error))
        else:
            smaller = smaller_than_records(samples, choice, size=file.size, left=copy.stored_size)
            if smaller is None:
                return copy
            ordinary = smaller
        self._remove(file)
        return self._proven(file, ordinary, threads)

    def _proven(self, file: FileRow, choice: Choice, threads: int) -> Copy:
        if choice.codec.name == "store":
            return self._kept(file, choice.reason)
        key = object_key(file)
        started = time.perf_counter()
        compressed = compress(choice.codec, verified(file, self.reader.original(file)), threads=threads)
        attributes = {
            "original_name": file.name,
            "size": str(file.size),
            "source": "des-platform",
            "codec": choice.codec.name,
        }
        written = self.buckets.own.put(key, compressed, attributes=attributes)
        if written.size >= file.size:
            self._remove(file)
            return self._kept(file, f"kept as it is: {choice.codec.name} gave {written.size} of {file.size} bytes")
        index = compressed.index if len(compressed.index.frames) > 1 else None
        if index is not None:
            self.buckets.own.put(index_key(key), index.to_bytes())
        compressed_after = time.perf_counter()
        own, codec = self.buckets.own.bucket, choice.codec.name
        _drain(verified(file, self.reader.object_content(own, key, codec, file.size, index=index, threads=threads)))
        return Copy(
            object_key=key,
            stored_size=written.size,
            codec=choice.codec.name,
            codec_level=choice.codec.level,
            codec_reason=choice.reason,
            indexed=index is not None,
            compress_seconds=compressed_after - started,
            compress_cpu_seconds=compressed.cpu_seconds,
            prove_seconds=time.perf_counter() - compressed_after,
        )

    def _kept(self, file: FileRow, reason: str) -> Copy:
        started = time.perf_counter()
        _drain(verified(file, self.reader.original(file)))
        return Copy(
            object_key=None,
            stored_size=file.size,
            codec="store",
            codec_level=0,
            codec_reason=reason,
            indexed=False,
            compress_seconds=0.0,
            compress_cpu_seconds=0.0,
            prove_seconds=time.perf_counter() - started,
        )

    def _remove(self, file: FileRow) -> None:
        for key in (object_key(file), index_key(object_key(file))):
            self.buckets.own.delete(key)


def _drain(pieces: Iterator[bytes]) -> None:
    for _ in pieces:
        pass
