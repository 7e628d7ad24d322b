"""Which files a data source has that a table has not.

A file is known by its URL and its etag: a new version of a known file is a file to read, whose rows replace those of
the old one. Listed in the order of the keys, lazily, a thousand at a time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date
from itertools import islice
from typing import TYPE_CHECKING, Final

from des_platform.catalog import ingestion_batches
from des_platform.catalog.ingestion_jobs import JobRefused
from des_platform.catalog.text import storable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from des_platform.catalog.data_sources import DataSource, Location
    from des_platform.catalog.database import Catalog
    from des_platform.objectstore import ObjectInfo, ObjectStore
    from des_platform.settings import Settings

_PAGE: Final = 1000
_DAY: Final = re.compile(r"(?<!\d)(\d{4}-\d{2}-\d{2})(?!\d)")
_LAKE: Final = "lake/"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a data source.

    Attributes:
        url: its address, the value of `_file` of its rows.
        key: its key in the source's bucket, as the store has it.
        etag: its version as the store names it; '' where the store does not.
        size: bytes.
        modified: when it was written last.
        day: the day that its key names, or that of its last modification (UTC).
    """

    url: str
    key: str
    etag: str
    size: int
    modified: datetime
    day: date

    @property
    def version(self) -> str:
        """What tells two versions of the file apart."""
        return self.etag or f"{self.size}-{self.modified:%Y%m%dT%H%M%S.%f}"


def check_location(location: Location, settings: Settings) -> None:
    """Refuse a source that holds the lake's own files: each job's output would be the next one's input.

    Raises:
        JobRefused: it does.
    """
    prefix = location.prefix
    if location.bucket == settings.bucket and (prefix.startswith(_LAKE) or _LAKE.startswith(prefix)):
        raise JobRefused(
            f"bucket {location.bucket!r}, prefix {prefix!r} holds the lake's own files: choose another prefix or bucket"
        )


def new_files(catalog: Catalog, store: ObjectStore, source: DataSource, table_id: int) -> Iterator[SourceFile]:
    """The files that the table lacks, or has in another version, or may have in part.

    Raises:
        StoreUnavailable: at the page that the store refused.
    """
    prefix = source.location.prefix
    listed = (_file(store, prefix, found) for found in store.list(prefix) if not found.key.endswith("/"))
    while page := list(islice(listed, _PAGE)):
        with catalog.begin() as connection:
            known = ingestion_batches.known_files(connection, table_id, [file.url for file in page])
        for file in page:
            have = known.get(file.url)
            if have is None or not have.done or have.etag != file.version:
                yield file


def _file(store: ObjectStore, prefix: str, found: ObjectInfo) -> SourceFile:
    # Not `store.uri`: a key that the platform refuses to read has an address all the same, to be told of.
    url = storable(f"{store.url}/{found.key}")
    day = _day(found.key, prefix, found.last_modified)
    return SourceFile(url, found.key, found.etag, found.size, found.last_modified, day)


def _day(key: str, prefix: str, modified: datetime) -> date:
    """The first day that the key names behind the source's prefix, else the last one in it."""
    for text in _DAY.findall(key[len(prefix) :]) + _DAY.findall(prefix)[::-1]:
        try:
            return date.fromisoformat(text)
        except ValueError:
            continue
    return modified.astimezone(UTC).date()
