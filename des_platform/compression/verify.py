"""Proof on demand: every compressed object of a day, read from the store again, decompresses to its checksum."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from des_platform.catalog import files
from des_platform.codecs import CorruptStream
from des_platform.files.reader import verified
from des_platform.objectstore import IntegrityError, ObjectNotFound, PreconditionFailed

if TYPE_CHECKING:
    from datetime import date

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.files import FileRow
    from des_platform.files.reader import FileReader


@dataclass(slots=True)
class ObjectsProof:
    """Objects proven, their original bytes, and what is wrong with the others."""

    objects: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)


def prove_objects(catalog: Catalog, reader: FileReader, dataset: str, day: date, *, threads: int) -> ObjectsProof:
    """Read every compressed object of one partition back and compare it with the catalogue."""
    proof = ObjectsProof()
    with catalog.begin() as connection, ThreadPoolExecutor(threads) as pool:
        for batch in files.of_day(connection, dataset, day):
            compressed = [file for file in batch if file.object_key is not None]
            for file, problem in zip(
                compressed, pool.map(lambda file: _problem(reader, file), compressed), strict=True
            ):
                if problem is None:
                    proof.objects += 1
                    proof.bytes += file.size
                else:
                    proof.problems.append(problem)
    return proof


def _problem(reader: FileReader, file: FileRow) -> str | None:
    try:
        for _ in verified(file, reader.unpacked(file)):
            pass
    except (IntegrityError, CorruptStream, ObjectNotFound, PreconditionFailed) as error:
        return f"{file.subject}: {error}"
    return None
