"""The files that a table's metadata names: everything that a reader of any of its snapshots may open."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from des_platform.lake.upkeep.types import UpkeepRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot


def reachable(table: Table, snapshots: Iterable[Snapshot]) -> dict[str, int]:
    """The files of some snapshots: manifest lists, manifests, data and delete files.

    Returns:
        Normalised URL to size in bytes; 0 where the metadata does not tell.

    Raises:
        UpkeepRefused: a manifest cannot be read, so nobody knows which files it names.
    """
    files: dict[str, int] = {}
    with metadata_read(table):
        for snapshot in snapshots:
            files[normalised(snapshot.manifest_list)] = 0
            for manifest in snapshot.manifests(table.io):
                path = normalised(manifest.manifest_path)
                if path not in files:
                    files[path] = manifest.manifest_length
                    for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                        files[normalised(entry.data_file.file_path)] = entry.data_file.file_size_in_bytes
    return files


@contextmanager
def metadata_read(table: Table) -> Iterator[None]:
    """Refuse a table whose metadata cannot be read, for whatever reason.

    Raises:
        UpkeepRefused: something in the `with` failed.
    """
    try:
        yield
    except UpkeepRefused:
        raise
    except Exception as error:
        raise UpkeepRefused(
            table.name()[-1],
            f"its metadata cannot be read whole ({type(error).__name__}: {error})",
            "nothing is done to a table in doubt; restore the file, or roll the table back",
        ) from error


def kept(table: Table) -> set[str]:
    """What else the metadata names: itself, its earlier versions, and statistics."""
    metadata = table.metadata
    named = [table.metadata_location, *(entry.metadata_file for entry in metadata.metadata_log)]
    named += [statistics.statistics_path for statistics in (*metadata.statistics, *metadata.partition_statistics)]
    return {normalised(path) for path in named}


def normalised(location: str) -> str:
    """One spelling for each place: `/a/b`, `file:/a/b` and `file:///a/b`, or `s3a://b/k` and `s3://b/k`, are the same.

    Names are not unquoted: a `%` in an object's key is a `%`, as pyiceberg sees it.
    """
    scheme = urlsplit(location).scheme
    if scheme in {"", "file"}:
        path = location.removeprefix("file:")
        # file:///a has an empty host before its path
        return "file:///" + path.lstrip("/")
    if scheme in {"s3a", "s3n"}:
        return "s3" + location[len(scheme) :]
    return location
