"""Proof on demand: a published archive, read again, holds exactly the catalogued files, and each is equal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from des_platform.archive import CorruptArchive, ExternalFile, UnsupportedVersion
from des_platform.catalog import containers, files
from des_platform.codecs import CorruptStream
from des_platform.files.reader import member, unpacked_member, verified
from des_platform.objectstore import IntegrityError, ObjectNotFound, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

    from des_platform.archive import DesReader, IndexEntry
    from des_platform.catalog.containers import Container
    from des_platform.catalog.database import Catalog
    from des_platform.catalog.files import FileRow
    from des_platform.files.reader import FileReader

_BATCH = 256


_DAMAGE = (
    CorruptArchive,
    UnsupportedVersion,
    CorruptStream,
    IntegrityError,
    ExternalFile,
    ObjectNotFound,
    PreconditionFailed,
)


@dataclass(slots=True)
class ShardProof:
    """What was proven of a shard.

    Attributes:
        members: files that are equal.
        bytes: of these, as they were before they were packed.
        problems: what is wrong with the others, and with the archive.
        container: the archive; None where the shard has none.
    """

    members: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)
    container: Container | None = None


def prove_shard(catalog: Catalog, reader: FileReader, dataset: str, day: date, shard: int) -> ShardProof:
    """Compare one published archive with the catalogue: its digest, its structure, its names and every member's bytes.

    The digest covers what no member's checksum does, such as the metadata that a rebuild of the catalogue needs.
    """
    proof = ShardProof()
    with catalog.begin() as connection:
        rows = files.of_shard(connection, dataset, day, shard)
        proof.container = container = containers.published(connection, dataset, day, shard)
    packed = [row for row in rows if row.state == "packed"]
    if container is None:
        proof.problems += [f"{row.subject} is packed, but its shard has no archive" for row in packed]
        return proof
    try:
        _compare_archive(reader, container, proof)
        archive = reader.archive(container)
        entries = archive.get_index()
        _compare_names(set(entries), {row.name for row in packed}, container.key, proof)
        found = [row for row in packed if row.name in entries]
        for start in range(0, len(found), _BATCH):
            _compare_bytes(archive, entries, reader, found[start : start + _BATCH], proof)
    except _DAMAGE as error:
        proof.problems.append(f"{container.key}: {error}")
    return proof


def _compare_archive(reader: FileReader, container: Container, proof: ShardProof) -> None:
    digest = reader.archive_sha256(container)
    if digest != container.sha256:
        proof.problems.append(f"{container.key} has SHA-256 {digest}; catalogued is {container.sha256}")
    found = reader.verify_archive(container)
    proof.problems += [f"{container.key}: {problem}" for problem in found.problems]
    if found.version not in {0, container.archive_version}:
        proof.problems.append(
            f"{container.key} is of version {found.version}; catalogued is {container.archive_version}"
        )


def _compare_names(found: set[str], expected: set[str], key: str, proof: ShardProof) -> None:
    proof.problems += [f"{key} lacks {name}" for name in sorted(expected - found)]
    proof.problems += [f"{key} holds {name}, which is not catalogued there" for name in sorted(found - expected)]


def _compare_bytes(
    archive: DesReader, entries: Mapping[str, IndexEntry], reader: FileReader, rows: list[FileRow], proof: ShardProof
) -> None:
    stored = _stored(archive, [row.name for row in rows if not entries[row.name].is_external])

    def pieces(row: FileRow) -> Iterator[bytes]:
        if entries[row.name].is_external:
            return reader.unpacked(row)
        if row.name in stored:
            return unpacked_member(archive, row, stored[row.name])
        return member(archive, row)

    for row in rows:
        try:
            for _ in verified(row, pieces(row)):
                pass
        except _DAMAGE as error:
            proof.problems.append(f"{row.subject}: {error}")
        else:
            proof.members += 1
            proof.bytes += row.size


def _stored(archive: DesReader, names: list[str]) -> dict[str, bytes]:
    try:
        return archive.get_files_batch(names)
    except _DAMAGE:
        return {}  # one of them is damaged: one by one it will be named
