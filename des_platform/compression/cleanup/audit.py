"""Looking back at clean-ups: what was removed has an equal copy, and no file is without one.

Both look at the store as it is now, and at bounded amounts of it: a day of a million files must not cost a day.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from des_platform.catalog import copies
from des_platform.compression.cleanup.copies import DAMAGE
from des_platform.files.reader import FileReader

if TYPE_CHECKING:
    from datetime import date

    from des_platform.catalog.copies import Place
    from des_platform.catalog.database import Catalog
    from des_platform.catalog.files import FileRow
    from des_platform.objectstore import Buckets

_MOST_FILES = 1000
_MOST_BYTES = 2 << 30
_MOST_PLACES = 10_000


@dataclass(slots=True)
class Audit:
    """What was looked at, its bytes where they were read, and what is wrong."""

    looked_at: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)


def read_copies(catalog: Catalog, buckets: Buckets, dataset: str, day: date, *, threads: int) -> Audit:
    """Read files whose originals are gone, and compare them with the catalogue.

    All of a day with up to a thousand such files and 2 GiB; of more, a sample that is the same each time.
    """
    audit = Audit()
    reader = FileReader(catalog, buckets)
    with catalog.begin() as connection:
        rows = copies.without_original(connection, dataset, day, _MOST_FILES)
    sample: list[FileRow] = []
    for row in rows:
        if sample and audit.bytes + row.size > _MOST_BYTES:
            break
        sample.append(row)
        audit.bytes += row.size
    with ThreadPoolExecutor(threads) as pool:
        problems = pool.map(lambda row: _problem(reader, row), sample)
        audit.problems = [problem for problem in problems if problem is not None]
    audit.looked_at = len(sample)
    return audit


def find_copies(catalog: Catalog, buckets: Buckets, dataset: str, day: date, *, threads: int) -> Audit:
    """Look whether every file's bytes have a place that exists.

    An original that was not removed is taken at the catalogue's word where the platform has a copy besides; where it is
    the only place, it is looked for. At most ten thousand objects are.
    """
    audit = Audit()
    with catalog.begin() as connection:
        audit.problems = [f"{name} has no copy" for name in copies.without_a_place(connection, dataset, day)]
        places = copies.only_places(connection, dataset, day, own_bucket=buckets.own.bucket, limit=_MOST_PLACES)
    with ThreadPoolExecutor(threads) as pool:
        there = pool.map(lambda place: _exists(buckets, place), places)
        audit.problems += [
            f"{place.bucket}/{place.key} is gone: the only copy of {place.files} files"
            for place, exists in zip(places, there, strict=True)
            if not exists
        ]
    audit.looked_at = len(places)
    return audit


def _problem(reader: FileReader, row: FileRow) -> str | None:
    try:
        for _ in reader.stream(row):
            pass
    except DAMAGE as error:
        return f"{row.subject}: {error}"
    return None


def _exists(buckets: Buckets, place: Place) -> bool:
    return buckets.bucket(place.bucket).exists(place.key)
