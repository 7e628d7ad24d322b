"""One file from wherever it is: a valid one here, else the first of several keys that has it.

Each key is asked for once. That a key is not there is an answer, not an error: nothing waits, nothing is tried again.
What is there and of no use (too small, not its format) is named, and the next key is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from des_platform.objectstore.errors import AccessDenied, IntegrityError, ObjectNotFound
from des_platform.objectstore.transfers.check import FileCheck, Format, check_file
from des_platform.objectstore.transfers.file_download import Download, download

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from des_platform.objectstore.objects import ObjectInfo, Progress
    from des_platform.objectstore.store import ObjectStore

FOLDERS = ("databento", "raw", "es-data", "raw-data", "monthly", "dbn")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a search brought.

    Attributes:
        path: the file.
        check: what its check found.
        download: how it came; None for the file that was here already.
        refused: what else was there and of no use, a sentence each.
    """

    path: Path
    check: FileCheck
    download: Download | None
    refused: tuple[str, ...]


class NothingFetched(LookupError):
    """None of the keys has a file of use; the message names each, and why."""


def candidates(key: str, folders: Sequence[str] = FOLDERS) -> list[str]:
    """The key, and its last segment in each of the folders; each once."""
    name = key.rpartition("/")[2]
    return list(dict.fromkeys([key, *(f"{folder}/{name}" for folder in folders)]))


def find_first(store: ObjectStore, keys: Iterable[str]) -> ObjectInfo | None:
    """Describe the first of these objects that there is; None if there is none.

    Raises:
        AccessDenied: none was found, and one of them may not be looked at.
        StoreUnavailable: the store did not answer.
    """
    denied: AccessDenied | None = None
    for key in dict.fromkeys(keys):
        try:
            return store.head(key)
        except ObjectNotFound:
            continue
        except AccessDenied as error:  # what S3 says of a missing key to whoever may not list
            denied = denied or error
    if denied:
        raise denied
    return None


def fetch(
    store: ObjectStore,
    key: str,
    path: Path,
    *,
    folders: Sequence[str] = FOLDERS,
    min_bytes: int = 0,
    format: Format | None = None,  # noqa: A002
    expected_sha256: str | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """Have a file here: the one that is, if its check finds nothing wrong, else from the first key that has it.

    Args:
        store: the bucket.
        key: where it should be; see `candidates` for where else it is looked for.
        path: the file.
        folders: as for `candidates`.
        min_bytes: what is smaller is of no use.
        format: as for `check_file`.
        expected_sha256: as for `check_file`.
        progress: as for `download`.

    Raises:
        NothingFetched: no key has it.
        AccessDenied: no key has it, and one may not be looked at.
        StoreUnavailable: the store did not answer.
        OSError: the file cannot be written.
    """
    check = partial(check_file, expected_sha256=expected_sha256, format=format, min_bytes=min_bytes)
    here = check(path)
    if here.valid:
        return Fetched(path, here, None, ())
    refused = [f"{path}: {problem}" for problem in here.problems if here.exists]
    denied: AccessDenied | None = None
    keys = candidates(key, folders)
    for candidate in keys:
        found: list[FileCheck] = []

        def accept(part: Path, candidate: str = candidate, found: list[FileCheck] = found) -> None:
            found.append(check(part))
            if not found[0].valid:
                raise IntegrityError(f"bucket {store.bucket!r}, key {candidate!r}: " + "; ".join(found[0].problems))

        try:
            came = download(store, candidate, path, min_bytes=min_bytes, accept=accept, progress=progress)
        except ObjectNotFound:
            continue
        except AccessDenied as error:
            denied = denied or error
        except IntegrityError as error:
            refused.append(str(error))
        else:
            return Fetched(path, found[0], came, tuple(refused))
    if denied and not refused:
        raise denied
    raise NothingFetched(
        f"bucket {store.bucket!r} has no file of use for {path}: asked for {', '.join(keys)}"
        + ("".join(f"; {reason}" for reason in refused))
    )
