"""Proof on demand: a published archive, read again, holds exactly the catalogued files, and each is equal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from des_platform.archive import CorruptArchive, UnsupportedVersion
from des_platform.catalog import containers, files
from des_platform.codecs import CorruptStream, decompress
from des_platform.files import codec_of, verified
from des_platform.objectstore import IntegrityError, ObjectNotFound, PreconditionFailed

if TYPE_CHECKING:
    from datetime import date

    from des_platform.archive import DesReader
    from des_platform.catalog.database import Catalog
    from des_platform.catalog.files import FileRow
    from des_platform.files import FileReader

_BATCH = 256


@dataclass(slots=True)
class ShardProof:
    """Members proven, their original bytes, and what is wrong with the others."""

    members: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)


def prove_shard(catalog: Catalog, reader: FileReader, dataset: str, day: date, shard: int) -> ShardProof:
    """Compare one published archive with the catalogue: its digest, its names and every member's bytes.

    The digest covers what no member's checksum does, such as the metadata that a rebuild of the catalogue needs.
    """
    proof = ShardProof()
    with catalog.begin() as connection:
        rows = files.of_shard(connection, dataset, day, shard)
        container = containers.published(connection, dataset, day, shard)
    packed = [row for row in rows if row.state == "packed"]
    if container is None:
        proof.problems += [f"{row.subject} is packed, but its shard has no archive" for row in packed]
        return proof
    try:
        digest = reader.archive_sha256(container)
        if digest != container.sha256:
            proof.problems.append(f"{container.key} has SHA-256 {digest}; catalogued is {container.sha256}")
        archive = reader.archive(container)
        _compare_names(set(archive.list_files()), {row.name for row in packed}, container.key, proof)
        for start in range(0, len(packed), _BATCH):
            _compare_bytes(
                archive, reader, [row for row in packed[start : start + _BATCH] if row.name in archive], proof
            )
    except (CorruptArchive, UnsupportedVersion, ObjectNotFound, PreconditionFailed, IntegrityError) as error:
        proof.problems.append(f"{container.key}: {error}")
    return proof


def _compare_names(found: set[str], expected: set[str], key: str, proof: ShardProof) -> None:
    proof.problems += [f"{key} lacks {name}" for name in sorted(expected - found)]
    proof.problems += [f"{key} holds {name}, which is not catalogued there" for name in sorted(found - expected)]


def _compare_bytes(archive: DesReader, reader: FileReader, rows: list[FileRow], proof: ShardProof) -> None:
    inside = [row.name for row in rows if not archive.get_entry(row.name).is_external]
    stored = archive.get_files_batch(inside)
    for row in rows:
        try:
            if row.name in stored:
                pieces = decompress(codec_of(archive, row), [stored[row.name]], max_size=row.size)
            else:
                pieces = reader.unpacked(row)
            for _ in verified(row, pieces):
                pass
        except (CorruptArchive, IntegrityError, CorruptStream, ObjectNotFound, PreconditionFailed) as error:
            proof.problems.append(f"{row.subject}: {error}")
        else:
            proof.members += 1
            proof.bytes += row.size
