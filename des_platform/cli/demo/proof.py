"""The demo's last word: every file that was fed is read back from its archive and compared with what was fed."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from des_platform.archive import CorruptArchive, UnsupportedVersion
from des_platform.catalog import containers, files
from des_platform.codecs import CorruptStream
from des_platform.files.reader import FileReader
from des_platform.objectstore import Buckets, IntegrityError, ObjectNotFound, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.files import FileRow
    from des_platform.settings import Settings

_BATCH = 500
_DAMAGE = (
    ObjectNotFound,
    PreconditionFailed,
    IntegrityError,
    CorruptArchive,
    UnsupportedVersion,
    CorruptStream,
    KeyError,
)


@dataclass(slots=True)
class Proof:
    """Files equal to what was fed, and how the others differ; files that are recorded more than once."""

    verified: int = 0
    lost: list[str] = field(default_factory=list)
    duplicated: int = 0


def prove(settings: Settings, catalog: Catalog, digests: Mapping[str, bytes], progress: Callable[[int], None]) -> Proof:
    """Read every fed file back.

    Args:
        settings: where the store is.
        catalog: what became of each file.
        digests: SHA-256 by key of what was fed.
        progress: called with the number of files done.
    """
    proof = Proof()
    reader = FileReader(catalog, Buckets(settings))
    with ThreadPoolExecutor(settings.threads) as pool:
        for start in range(0, len(digests), _BATCH):
            keys = list(digests)[start : start + _BATCH]
            with catalog.begin() as connection:
                rows = files.by_keys(connection, settings.landing_bucket, keys)
            found = [(key, rows.get(key)) for key in keys]
            problems = pool.map(lambda pair: _problem(reader, pair[1], digests[pair[0]]), found)
            for key, problem in zip(keys, problems, strict=True):
                if problem is None:
                    proof.verified += 1
                else:
                    proof.lost.append(f"{key}: {problem}")
            progress(start + len(keys))
    with catalog.begin() as connection:
        proof.duplicated = files.recorded_twice(connection) + containers.misplaced_files(connection)
    return proof


def _problem(reader: FileReader, file: FileRow | None, expected: bytes) -> str | None:
    if file is None:
        return "is not catalogued"
    if file.container_id is None:
        return f"is in no archive; its state is {file.state}, its last error {file.last_error}"
    digest = hashlib.sha256()
    try:
        for piece in reader.stream(file):
            digest.update(piece)
    except _DAMAGE as error:
        return str(error)
    return None if digest.digest() == expected else "came back with other bytes than were fed"
