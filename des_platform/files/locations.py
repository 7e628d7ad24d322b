"""Where archives are: one way to open them by address, to read or to write.

========================  =============================================================================================
``PATH``, ``file:///PATH``  a local file; only the URL is percent-decoded
``s3://BUCKET/KEY``       an object, through the platform's own store; the key is taken as it is
``SCHEME://...``          anything that fsspec knows, for reading alone
========================  =============================================================================================

An address means the same whatever `DES_STORE_URL` is: `s3://` is always S3. The endpoint and the region are those of
the settings, else the AWS clients' own (`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_DEFAULT_REGION`),
so that a shell in which the `aws` command works needs nothing more.

How it fails: an address that means nothing is an `InvalidAddress`; a missing archive is a `FileNotFoundError` or an
`ObjectNotFound`.
"""

from __future__ import annotations

import os
import posixpath
import re
from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from des_platform.archive import DesReader, FileSink, FileSource, LocalFolder
from des_platform.archive.store import S3DesReader
from des_platform.objectstore import Buckets, InvalidKey, UnsupportedByStore, check_bucket, check_key
from des_platform.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.archive import ByteSink, ByteSource, ObjectFolder
    from des_platform.objectstore import ObjectStore

_s3_used_by: dict[str, int] = {}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class InvalidAddress(ValueError):
    """An address that no archive can have, or not for what is to be done with it; the message says why."""


class Location(ABC):
    """Where one archive is, or shall be. Equal addresses give equal locations."""

    @abstractmethod
    def __str__(self) -> str: ...

    @abstractmethod
    def source(self) -> ByteSource:
        """Open the archive's bytes; a local file must be closed."""

    @abstractmethod
    def sink(self, *, replace: bool = False) -> ByteSink:
        """Open a sink for the archive.

        Args:
            replace: whether an archive that stands there may be replaced.

        Raises:
            InvalidAddress: archives at such addresses are only read.
            FileExistsError: something stands there. A store says so when the sink writes or commits, by
                `PreconditionFailed`.
        """

    @abstractmethod
    def reader(self) -> DesReader:
        """Open the archive itself, with what its external files need."""

    @abstractmethod
    def big_files(self) -> tuple[ObjectFolder, str]:
        """Return where the objects of an archive's big files are to be stored, and the prefix of their keys.

        Raises:
            InvalidAddress: archives at such addresses are only read.
        """

    def stamp(self) -> object:
        """What changes when another archive takes this one's place, if that can be told at once; else None."""
        return None


@dataclass(frozen=True, slots=True)
class LocalLocation(Location):
    """A local file.

    Attributes:
        path: absolute.
    """

    path: str

    def __str__(self) -> str:
        return self.path

    def source(self) -> FileSource:
        """Open the file."""
        return FileSource(self.path)

    def sink(self, *, replace: bool = False) -> ByteSink:
        """Write beside the path and rename."""
        return FileSink(self.path, replace=replace)

    def reader(self) -> DesReader:
        """Open the archive; its big files' objects stand in its own directory."""
        return DesReader(self.path)

    def big_files(self) -> tuple[ObjectFolder, str]:
        """The archive's own directory."""
        return LocalFolder(os.path.dirname(self.path)), ""  # noqa: PTH120 - the path is a string here

    def stamp(self) -> object:
        """The file behind the path."""
        status = os.stat(self.path)  # noqa: PTH116 - as above
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@dataclass(frozen=True, slots=True)
class BucketLocation(Location):
    """An object on S3.

    Attributes:
        bucket: its bucket.
        key: its key.
    """

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def store(self) -> ObjectStore:
        """Open the bucket."""
        return _s3_buckets().bucket(self.bucket)

    def source(self) -> ByteSource:
        """The object; nothing is asked yet."""
        return self.store().as_source(self.key)

    def sink(self, *, replace: bool = False) -> ByteSink:
        """Upload in parts, or at once if it is small."""
        return self.store().open_sink(self.key, if_absent=not replace)

    def reader(self) -> DesReader:
        """Open the archive; its big files' objects stand in its bucket."""
        return S3DesReader(self.store(), self.key)

    def big_files(self) -> tuple[ObjectFolder, str]:
        """The bucket, beside the archive."""
        return self.store(), posixpath.dirname(self.key)


@dataclass(frozen=True, slots=True)
class RemoteLocation(Location):
    """A file that fsspec can read.

    Attributes:
        url: its address.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def source(self) -> ByteSource:
        """Open the file."""
        from des_platform.files.remote import RemoteSource

        try:
            return RemoteSource(self.url)
        except (ValueError, ImportError) as error:
            raise InvalidAddress(f"{self.url!r} cannot be read: {error}") from error

    def sink(self, *, replace: bool = False) -> ByteSink:  # noqa: ARG002 - the method's signature
        """Refuse."""
        raise self._only_read()

    def reader(self) -> DesReader:
        """Open the archive; its big files' objects stand beside it."""
        from des_platform.files.remote import RemoteFolder

        return DesReader(self.source(), big_files=RemoteFolder(self.url))

    def big_files(self) -> tuple[ObjectFolder, str]:
        """Refuse."""
        raise self._only_read()

    def _only_read(self) -> InvalidAddress:
        return InvalidAddress(f"{self.url!r}: archives can be written to local paths and to s3:// alone")


def locate(address: str | os.PathLike[str]) -> Location:
    """Return where an address leads; nothing is opened yet.

    Raises:
        InvalidAddress: it leads nowhere.
    """
    address = os.fspath(address)
    scheme = _SCHEME.match(address)
    if not address or "\0" in address:
        raise InvalidAddress(f"the address {address!r} is no name of an archive")
    if scheme is None:
        return LocalLocation(os.path.abspath(address))  # noqa: PTH100 - the path of a string
    match scheme[1].lower():
        case "file":
            return _of_file_url(address)
        case "s3" | "s3a":
            return _of_s3_url(address, address[scheme.end() :])
        case "des":
            raise InvalidAddress(f"{address!r} is the address of a file in an archive, not that of an archive")
    return RemoteLocation(address)


@contextmanager
def open_source(address: str | os.PathLike[str] | Location) -> Iterator[ByteSource]:
    """Open an archive's bytes, and close them at the end of ``with``.

    Raises:
        InvalidAddress: the address leads nowhere.
        OSError: the file cannot be opened. A store's errors come with the first read.
    """
    location = address if isinstance(address, Location) else locate(address)
    source = location.source()
    try:
        yield source
    finally:
        if isinstance(source, FileSource):
            source.close()


def open_sink(address: str | os.PathLike[str], *, replace: bool = False) -> ByteSink:
    """Open a sink for an archive; whoever opens it commits or aborts it. See `Location.sink`."""
    return locate(address).sink(replace=replace)


def open_reader(address: str | os.PathLike[str]) -> DesReader:
    """Open an archive; its external files are read from where they are stored.

    Raises:
        InvalidAddress: the address leads nowhere.
        CorruptArchive: there is no archive, or a broken one.
    """
    return locate(address).reader()


def _of_file_url(address: str) -> Location:
    url = urlsplit(address)
    path = unquote(url.path)
    if url.netloc not in {"", "localhost"} or len(path) <= 1 or url.query or url.fragment:
        raise InvalidAddress(
            f"{address!r} is no address of a local file: expected file:///FOLDER/NAME, percent-encoded"
        )
    return LocalLocation(os.path.abspath(path))  # noqa: PTH100 - the path of a string


def _of_s3_url(address: str, place: str) -> Location:
    bucket, _, key = place.partition("/")
    try:
        return BucketLocation(check_bucket(bucket), check_key(key))
    except InvalidKey as error:
        raise InvalidAddress(f"{address!r} is no address of an object, s3://BUCKET/KEY: {error}") from error


def _s3_buckets() -> Buckets:
    _refuse_after_fork()
    settings = load_settings()
    environment = os.environ
    endpoint = settings.s3_endpoint or environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL", "")
    region = settings.s3_region
    if "s3_region" not in settings.model_fields_set:
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or region
    return _buckets(endpoint, region)


@lru_cache(maxsize=8)
def _buckets(endpoint: str, region: str) -> Buckets:
    update = {"store_url": "s3://", "s3_endpoint": endpoint, "s3_region": region}
    return Buckets(load_settings().model_copy(update=update))


def _refuse_after_fork() -> None:
    """Raise where the clients' threads are gone: a request would be waited for without end."""
    if _s3_used_by.setdefault("process", os.getpid()) != os.getpid():
        raise UnsupportedByStore(
            "s3:// was used before this process was forked, and its clients do not outlive that: start workers by "
            "'spawn' or 'forkserver', or open the first archive in the worker"
        )
