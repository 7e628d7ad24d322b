"""Checks an archive of version 1: it has no checksums, so structure, names, metadata, and that payloads are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform.archive.errors import CorruptArchive, ExternalFile

if TYPE_CHECKING:
    from des_platform.archive.source import ByteSource
    from des_platform.archive.verification import Progress, Verification


def verify_v1(source: ByteSource, found: Verification, progress: Progress | None) -> None:
    """Check every file of an archive, and note what is wrong."""
    from des_platform.archive.reader import DesReader

    reader = DesReader(source)
    done = 0
    for entry in reader.iter_entries():
        try:
            reader.get_meta(entry.name)
            done += len(reader.get_file(entry.name))
        except ExternalFile:
            pass
        except CorruptArchive as error:
            found.add(error)
            continue
        found.files += 1
        if progress:
            progress(done, found.bytes)
    if progress:
        progress(found.bytes, found.bytes)
