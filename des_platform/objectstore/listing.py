r"""Listings: every object of a bucket, lazily, in key order, whatever its name.

obstore's `list` is not used. It treats a prefix as whole path segments (`a/b` would not find `a/bc.txt`), gives a
folder's files in no order, reports S3's folder marker `dir/` as an object `dir` that does not exist, and one key such
as `a//b` or `tab\tname`, or one cycle of symbolic links, ends the whole listing with an error. So S3 is listed
through boto3 and a folder through the file system.

A failing S3 listing raises `StoreUnavailable` at the page that failed. Objects written or deleted meanwhile may or
may not be seen.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from des_platform.objectstore.errors import translated
from des_platform.objectstore.objects import ObjectInfo, file_etag, plain_etag

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The most that S3 gives in one page.
PAGE_KEYS = 1000
# LocalStore writes `name#1` beside `name` and renames it; these are uploads on their way, not objects.
_STAGED = re.compile(r"#\d+$")


class Listing(Protocol):
    """Lists the objects of a bucket whose key starts with `prefix` and is greater than `start_after`, in key order."""

    def __call__(self, prefix: str, start_after: str) -> Iterator[ObjectInfo]: ...  # noqa: D102 - the class says it


def list_s3(
    client: Any,  # noqa: ANN401 - boto3 makes its classes at run time
    bucket: str,
    prefix: str,
    start_after: str,
) -> Iterator[ObjectInfo]:
    """List an S3 bucket, one request for every 1000 objects, in the order of the keys' UTF-8 bytes.

    Args:
        client: a boto3 S3 client.
        bucket: the bucket's name.
        prefix: plain start of the keys.
        start_after: only keys greater than this one.
    """
    paginator = client.get_paginator("list_objects_v2")
    pages = iter(
        paginator.paginate(
            Bucket=bucket, Prefix=prefix, StartAfter=start_after, PaginationConfig={"PageSize": PAGE_KEYS}
        )
    )
    while True:
        with translated(bucket, prefix):
            page = next(pages, None)
        if page is None:
            return
        for entry in page.get("Contents", ()):
            yield ObjectInfo(entry["Key"], entry["Size"], plain_etag(entry.get("ETag")), entry["LastModified"])


def list_folder(root: Path, bucket: str, prefix: str, start_after: str) -> Iterator[ObjectInfo]:
    """List the files under a folder in key order; a missing folder has none.

    Only the subfolders that can hold a match are read, each when its turn comes.
    Symbolic links to files are followed, those to folders are not: they may form a cycle. Sockets, pipes and devices
    are no objects.

    Args:
        root: the folder that holds the buckets.
        bucket: the bucket's name.
        prefix: plain start of the keys.
        start_after: only keys greater than this one.
    """
    with translated(bucket, prefix):
        yield from _walk(os.fspath(root / bucket), "", prefix, start_after)


def _walk(root: str, folder: str, prefix: str, start_after: str) -> Iterator[ObjectInfo]:
    """Yield what lies under `folder`, a key prefix that is empty or ends with '/'."""
    try:
        with os.scandir(os.path.join(root, folder)) as scan:  # noqa: PTH118 - Path would normalise the key away
            entries = {entry.name + ("/" if entry.is_dir(follow_symlinks=False) else ""): entry for entry in scan}
    except (FileNotFoundError, NotADirectoryError):
        return
    # 'a/' sorts as S3 sorts the keys below it: after 'a.b', before 'ab'.
    for name in sorted(entries):
        key = folder + name
        if name.endswith("/"):
            can_match = key.startswith(prefix) or prefix.startswith(key)
            if can_match and (key > start_after or start_after.startswith(key)):
                yield from _walk(root, key, prefix, start_after)
        elif key.startswith(prefix) and key > start_after and not _STAGED.search(name):
            info = _info_of_file(key, entries[name])
            if info:
                yield info


def _info_of_file(key: str, entry: os.DirEntry[str]) -> ObjectInfo | None:
    try:
        if not entry.is_file():
            return None
        stat = entry.stat()
    except FileNotFoundError:  # deleted since the folder was read
        return None
    seconds, nanoseconds = divmod(stat.st_mtime_ns, 1_000_000_000)
    modified = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=nanoseconds // 1000)
    return ObjectInfo(key, stat.st_size, file_etag(stat), modified)
