"""Proof that the platform's own copy of a file gives the file back, by reading it from the store now.

A copy is proven as a reader finds it: through the archive that the file's row names. The archive must be the one that
was published, whole and sound, which is looked at once for all files of a run. A small file's bytes come from inside
it; a large one's from the object that the archive's entry names, which must be ours. Size and SHA-256 are those of the
catalogue, or there is no proof.

Nothing that an earlier run has in memory is used: each run makes a `Prover` of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from des_platform.archive import CorruptArchive, ExternalFile, UnsupportedVersion
from des_platform.catalog import containers
from des_platform.codecs import CorruptStream, UnknownCodec
from des_platform.files.reader import FileReader, member, unpacked_member, verified
from des_platform.objectstore import IntegrityError, InvalidKey, ObjectNotFound, PreconditionFailed, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Executor

    import sqlalchemy as sa

    from des_platform.archive import DesReader
    from des_platform.catalog.containers import Container
    from des_platform.catalog.database import Catalog
    from des_platform.catalog.files import FileRow
    from des_platform.objectstore import Buckets

DAMAGE = (
    ObjectNotFound,
    PreconditionFailed,
    IntegrityError,
    InvalidKey,
    CorruptArchive,
    UnsupportedVersion,
    CorruptStream,
    UnknownCodec,
    ExternalFile,
    KeyError,
)
"""What a copy that does not give its file back raises."""

_BYTES_AT_ONCE = 32 << 20


@dataclass(frozen=True, slots=True)
class Proof:
    """What reading one file's copy showed.

    Attributes:
        file: the file.
        problem: why the copy does not prove the file; None where it does.
        unavailable: the store did not let us see.
    """

    file: FileRow
    problem: str | None = None
    unavailable: StoreUnavailable | None = None

    @property
    def holds(self) -> bool:
        """Whether the copy gave the file back, byte for byte."""
        return self.problem is None and self.unavailable is None


class Prover:
    """Proves copies; safe to share between threads."""

    def __init__(self, catalog: Catalog, buckets: Buckets) -> None:
        self._reader = FileReader(catalog, buckets)
        self._own_bucket = buckets.own.bucket
        self._found: dict[int, str | None] = {}

    def prove(self, connection: sa.Connection, rows: Iterable[FileRow], pool: Executor) -> Iterator[Proof]:
        """Read the copies of some files of one day, whose rows the connection has locked.

        Args:
            connection: looks up the archives.
            rows: packed files.
            pool: reads them at once.
        """
        by_container: dict[int | None, list[FileRow]] = {}
        for row in rows:
            by_container.setdefault(row.container_id, []).append(row)
        for container_id, together in by_container.items():
            container = _published(connection, together[0])
            if container is None or container.container_id != container_id:
                yield from (Proof(row, "it is not in the published archive of its shard") for row in together)
                continue
            try:
                problem = self._archive_problem(container)
            except StoreUnavailable as error:
                yield from (Proof(row, unavailable=error) for row in together)
                continue
            if problem is not None:
                yield from (Proof(row, problem) for row in together)
                continue
            yield from self._prove_files(container, together, pool)

    def _prove_files(self, container: Container, rows: list[FileRow], pool: Executor) -> Iterator[Proof]:
        try:
            archive = self._reader.archive(container)
        except DAMAGE as error:
            yield from (Proof(row, f"{container.key}: {error}") for row in rows)
            return
        except StoreUnavailable as error:
            yield from (Proof(row, unavailable=error) for row in rows)
            return
        yield from pool.map(lambda row: self._prove_large(archive, row), [row for row in rows if row.object_key])
        for together in _windows([row for row in rows if not row.object_key]):
            stored = _stored(archive, together)
            yield from pool.map(lambda row, stored=stored: _prove_small(archive, row, stored), together)

    def _archive_problem(self, container: Container) -> str | None:
        if container.container_id not in self._found:
            self._found[container.container_id] = self._look_at(container)
        return self._found[container.container_id]

    def _look_at(self, container: Container) -> str | None:
        try:
            digest = self._reader.archive_sha256(container)
            found = self._reader.verify_archive(container)
        except DAMAGE as error:
            return f"its archive {container.key}: {error}"
        if digest != container.sha256:
            return f"its archive {container.key} has SHA-256 {digest}; catalogued is {container.sha256}"
        if not found.ok:
            return f"its archive {container.key} is damaged: {found.problems[0]}"
        return None

    def _prove_large(self, archive: DesReader, row: FileRow) -> Proof:
        try:
            meta = archive.get_meta(row.name)
            place = (meta.get("external_bucket"), meta.get("external_key"))
            if not archive.get_entry(row.name).is_external or place != (self._own_bucket, row.object_key):
                return Proof(row, f"its archive names {place[0]}/{place[1]}, not its object {row.object_key}")
            for _ in self._reader.stream(row):
                pass
        except DAMAGE as error:
            return Proof(row, str(error))
        except StoreUnavailable as error:
            return Proof(row, unavailable=error)
        return Proof(row)


def _prove_small(archive: DesReader, row: FileRow, stored: dict[str, bytes]) -> Proof:
    try:
        if archive.get_entry(row.name).is_external:
            return Proof(row, "its archive holds no bytes of it, only the name of an object")
        inside = unpacked_member(archive, row, stored[row.name]) if row.name in stored else member(archive, row)
        for _ in verified(row, inside):
            pass
    except DAMAGE as error:
        return Proof(row, str(error))
    except StoreUnavailable as error:
        return Proof(row, unavailable=error)
    return Proof(row)


def _stored(archive: DesReader, rows: Sequence[FileRow]) -> dict[str, bytes]:
    try:
        return archive.get_files_batch([row.name for row in rows])
    except (*DAMAGE, StoreUnavailable):
        return {}  # of one of them; asked for one by one, each says what is wrong with it


def _windows(rows: Iterable[FileRow]) -> Iterator[list[FileRow]]:
    together: list[FileRow] = []
    size = 0
    for row in rows:
        if together and size + row.size > _BYTES_AT_ONCE:
            yield together
            together, size = [], 0
        together.append(row)
        size += row.size
    if together:
        yield together


def _published(connection: sa.Connection, row: FileRow) -> Container | None:
    return containers.published(connection, row.dataset, row.day, row.shard)
