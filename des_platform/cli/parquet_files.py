"""Which Parquet files a command is to read, and where what it makes of them goes: local paths, and objects on S3."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from des_platform.cli.archive.outcome import Unusable
from des_platform.cli.local_files import Input, Output, check_free

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.files.locations import BucketLocation, Location
    from des_platform.objectstore import Progress

MADE = "_optimized"
_ENDINGS = (".parquet", ".pq")


@dataclass(frozen=True, slots=True)
class Found:
    """A file to read.

    Attributes:
        location: where it is.
        relative: its name below the folder or prefix that was given; None for a file that was given itself.
    """

    location: Location
    relative: str | None

    @property
    def name(self) -> str:
        """The last part of its name."""
        return str(self.location).rpartition("/")[2]


def found_files(address: str) -> list[Found]:
    """List what an address stands for.

    Args:
        address: a file, or a folder or prefix, below which everything counts that is named as Parquet files are and
            was not made by us.

    Raises:
        Unusable: there is no such thing.
        InvalidAddress: it means nothing, or is on no store that can be listed.
    """
    from des_platform.files.locations import BucketLocation, LocalLocation, locate

    location = locate(address)
    match location:
        case LocalLocation(path):
            files = _local(Path(path))
        case BucketLocation():
            files = _stored(location)
        case _:
            raise Unusable(f"{address}: files are optimized in local folders and on s3:// alone")
    if not files:
        raise Unusable(f"{address}: there is no Parquet file")
    return files


def _local(path: Path) -> list[Found]:
    from des_platform.files.locations import LocalLocation

    if not path.is_dir():
        return [Found(LocalLocation(str(path)), None)]
    inside = ((file, file.relative_to(path).as_posix()) for file in sorted(path.rglob("*")) if file.is_file())
    return [Found(LocalLocation(str(file)), name) for file, name in inside if _counts(name)]


def _stored(location: BucketLocation) -> list[Found]:
    from des_platform.files.locations import BucketLocation

    store = location.store()
    if not location.key.endswith("/") and store.exists(location.key):
        return [Found(location, None)]
    prefix = location.key.rstrip("/") + "/"
    names = (found.key.removeprefix(prefix) for found in store.list(prefix))
    return [Found(BucketLocation(location.bucket, prefix + name), name) for name in names if _counts(name)]


def _counts(name: str) -> bool:
    path = PurePosixPath(name)
    # As Spark and Hive see it: `_temporary` is hidden, `_day=2026-03-01` is a partition.
    hidden = any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in path.parts)
    return path.suffix in _ENDINGS and not hidden and not path.stem.endswith(MADE)


def target_of(found: Found, out: str | None) -> Location:
    """Where what is made of a file goes.

    Args:
        found: the file.
        out: a file's name, or a folder or prefix for files that were found in one; None for a name beside the file.

    Raises:
        InvalidAddress: it means nothing.
    """
    from des_platform.files.locations import locate

    address = str(found.location)
    if out is None:
        path = PurePosixPath(found.name)
        return locate(address.removesuffix(found.name) + path.stem + MADE + path.suffix)
    name = found.relative
    if name is None and (out.endswith("/") or Path(out).is_dir()):
        name = found.name
    return locate(out if name is None else f"{out.rstrip('/')}/{name}")


@contextmanager
def fetched(found: Found, scratch: Path, progress: Progress) -> Iterator[Input]:
    """Open a file for the time of ``with``, an object as a local copy.

    Raises:
        Unusable: it is no regular file.
        OSError: it cannot be opened.
    """
    from des_platform.files.locations import BucketLocation
    from des_platform.objectstore.transfers import download

    path = Path(str(found.location))
    if isinstance(found.location, BucketLocation):
        path = scratch / "original"
        download(found.location.store(), found.location.key, path, progress=progress)
    with Input(path) as original:
        yield original


def publish(made: Path, target: Location, original: Input, *, force: bool) -> None:
    """Put a file where it belongs, whole.

    Args:
        made: the file.
        target: where it belongs.
        original: what it was made of; looked at once more before anything appears.
        force: replace what is there.

    Raises:
        Unusable: the name is taken.
        PreconditionFailed: likewise, on S3.
        FileChanged: the original has changed.
    """
    from des_platform.files.locations import BucketLocation

    if isinstance(target, BucketLocation):
        target.store().put_file(target.key, made, if_absent=not force)
        return
    path = Path(str(target))
    check_free(path, force=force)
    path.parent.mkdir(parents=True, exist_ok=True)
    with Output(path.parent) as output, made.open("rb") as file:
        shutil.copyfileobj(file, output.file, 1 << 20)
        original.check()
        output.publish(path, force=force, like=original.path)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder of the platform's scratch space, for the time of ``with``."""
    from des_platform.settings import load_settings

    with tempfile.TemporaryDirectory(prefix="des-parquet-", dir=load_settings().scratch) as folder:
        yield Path(folder)
