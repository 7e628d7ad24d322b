"""Where a table's files are: its folder, as a bucket and a prefix of the platform's object store.

Nothing outside the folder is ever looked at or removed, and nothing in it where another table's files may lie, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from des_platform.lake.upkeep.reachable import normalised
from des_platform.lake.upkeep.types import UpkeepRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pyiceberg.table import Table

    from des_platform.objectstore import Buckets
    from des_platform.objectstore.objects import ObjectInfo
    from des_platform.objectstore.store import ObjectStore

_PLACES = ("write.data.path", "write.metadata.path", "write.object-storage.path", "write.folder-storage.path")


@dataclass(frozen=True, slots=True)
class Folder:
    """A table's folder.

    Attributes:
        store: the bucket that holds it.
        url: normalised URL of the bucket, with a slash at its end.
        prefix: start of the keys in the folder, with a slash at its end.
    """

    store: ObjectStore
    url: str
    prefix: str

    def list(self) -> Iterator[tuple[str, ObjectInfo]]:
        """Every object of the folder with its normalised URL, in the order of keys."""
        for info in self.store.list(self.prefix):
            yield self.url + info.key, info

    def key_of(self, location: str) -> str | None:
        """The key of a normalised URL; None for what does not lie in the folder."""
        key = location.removeprefix(self.url)
        inside = location.startswith(self.url) and key.startswith(self.prefix) and ".." not in key.split("/")
        return key if inside else None

    def remove(self, locations: Iterable[str]) -> None:
        """Delete files of the folder, many in a request; others are left alone."""
        self.store.delete_many(key for location in locations if (key := self.key_of(location)) is not None)


def folder_of(table: Table, buckets: Buckets, store_url: str) -> Folder:
    """The table's folder.

    Args:
        table: the table.
        buckets: the platform's object store.
        store_url: where that is: `s3://`, or the `file://` URL of the folder of buckets.

    Raises:
        UpkeepRefused: the table lies elsewhere.
    """
    location = normalised(table.location()).rstrip("/") + "/"
    root = "s3://" if store_url == "s3://" else normalised(store_url).rstrip("/") + "/"
    bucket, _, prefix = location.removeprefix(root).partition("/")
    if not location.startswith(root) or not bucket or not prefix.strip("/"):
        raise UpkeepRefused(
            table.name()[-1],
            f"its folder {location} is no folder of a bucket below {root}",
            "run upkeep with the DES_STORE_URL under which the table was made",
        )
    return Folder(buckets.bucket(bucket), f"{root}{bucket}/", prefix)


def claims(table: Table) -> list[str]:
    """The folders that a table writes into, with a slash at their ends."""
    properties = table.metadata.properties
    named = [table.location(), *(properties[name] for name in _PLACES if properties.get(name))]
    return [normalised(location).rstrip("/") + "/" for location in named]


def refuse_if_shared(table: Table, others: Mapping[tuple[str, ...], Iterable[str]]) -> None:
    """Make sure that the table's folder is its own.

    Args:
        table: the table.
        others: every other table's identifier and claims.

    Raises:
        UpkeepRefused: another table writes into the folder, or around it.
    """
    mine = normalised(table.location()).rstrip("/") + "/"
    for name, places in others.items():
        for place in places:
            if place.startswith(mine) or mine.startswith(place):
                raise UpkeepRefused(
                    table.name()[-1],
                    f"its folder {mine} is not its own: table {'.'.join(name)!r} has {place}",
                    "move one of them to a folder of its own",
                )
