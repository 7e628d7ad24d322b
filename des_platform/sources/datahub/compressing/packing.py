"""The compressed bytes of one file, in a file without a name: it goes with the process, however that ends."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from des_platform.codecs import compress, get_codec
from des_platform.objectstore import Digest
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from des_platform.codecs import Codec
    from des_platform.sources.datahub.client import DataHubClient
    from des_platform.sources.datahub.config import Compress


@dataclass(frozen=True, slots=True)
class Packed:
    """A file's compressed bytes on disk, and what both sides of them are."""

    file: BinaryIO
    original: Digest
    compressed: Digest


def codec_of(config: Compress) -> Codec:
    """The configured codec at its configured level."""
    codec = get_codec(config.codec)
    return codec if config.level is None else codec.at_level(config.level)


@contextmanager
def packed(
    client: DataHubClient,
    file_id: str,
    size: int | None,
    config: Compress,
    scratch: Path,
    watched: Callable[[Iterator[bytes]], Iterator[bytes]],
) -> Iterator[Packed]:
    """Download a file into the codec; memory holds some chunks.

    Args:
        client: the DataHub.
        file_id: the file.
        size: bytes that it must have, where that is known.
        config: codec, level, threads.
        scratch: folder with room for the compressed bytes.
        watched: goes over the chunks as they come; what it raises ends the download.

    Raises:
        ConfigurationError: the scratch folder cannot be written to.
        FileRefused: the DataHub will not give the file.
        DataHubUnavailable: no attempt succeeded.
    """
    codec = codec_of(config)
    try:
        file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - closed below
    except OSError as error:
        raise _unwritable(scratch, error) from None
    with file:

        def into(chunks: Iterator[bytes]) -> Digest:
            sha256, size = hashlib.sha256(), 0
            file.seek(0)
            file.truncate()
            for piece in compress(codec, watched(chunks), threads=config.threads):
                sha256.update(piece)
                size += len(piece)
                try:
                    file.write(piece)
                except OSError as error:
                    raise _unwritable(scratch, error) from None
            return Digest(size, sha256.hexdigest())

        compressed, original = client.download(file_id, into, size=size)
        yield Packed(file, original, compressed)


def _unwritable(scratch: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"the scratch folder {scratch} cannot be written to: {error.strerror}; make room there, or set DES_SCRATCH"
    )
