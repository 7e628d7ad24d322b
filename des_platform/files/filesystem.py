"""`des://`: the files of DES archives through fsspec, for whatever opens files by address.

An address is ``des://<archive>!/<name>``. The archive is anything that `locations` opens: ``/data/a.des``,
``s3://bucket/a.des``, ``https://host/a.des``. It ends at the first ``!/``; everything after that is the name, so that a
name may hold ``!/`` and the archive's own address may not. ``des://<archive>`` without a name is the archive's root.

Archives have no directories; the ``/`` in names makes them, as in object stores. What follows from that:

* A name can be a file and a directory at once: it opens as the file and lists as the directory.
* What starts with ``/`` or holds ``//`` is listed whole where its first empty part stands, and opens by its name.
* A name that ends with ``/`` is taken for the mark of a directory: listed as one, and read by `DesReader` alone.

fsspec itself splits addresses at ``::`` before anybody else sees them: open such names by `DesFileSystem.open`.

Files are read whole, decompressed, and checked; a reader in one version of an archive never sees another. The
filesystem is read only. It is safe for threads, can be pickled, and after a fork opens archives anew. The S3 client
alone does not outlive a fork once it was used: workers of a dataset on S3 start by ``spawn`` or ``forkserver``, and
others learn that from an `UnsupportedByStore`.

How it fails: as fsspec's own do: `FileNotFoundError`, `IsADirectoryError`, `PermissionError` for all that would write.
A broken archive is a `CorruptArchive`.
"""

from __future__ import annotations

import errno
import io
import os
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from fsspec.spec import AbstractFileSystem
from fsspec.utils import stringify_path, tokenize

from des_platform.files import directories
from des_platform.files.directories import Node
from des_platform.files.locations import InvalidAddress, LocalLocation
from des_platform.files.members import Info, Place, describe, info_of, read, read_together
from des_platform.files.open_archives import OpenArchives
from des_platform.objectstore import ObjectNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from des_platform.archive import DesReader

_PROTOCOL = "des://"
_OPEN_ARCHIVES = 16
"""Each keeps at most 64 MiB of its index."""


class MemberFile(io.BytesIO):
    """A file of an archive, opened for reading, in memory.

    Args:
        data: its bytes.
        path: its address without ``des://``.
        filesystem: whose file it is.
    """

    mode = "rb"

    def __init__(self, data: bytes, path: str, filesystem: DesFileSystem) -> None:
        super().__init__(data)
        self.path = path
        self.fs = filesystem
        self.size = len(data)

    @property
    def full_name(self) -> str:
        """The file's address."""
        return str(self.fs.unstrip_protocol(self.path))

    def writable(self) -> bool:
        """No."""
        return False


class DesFileSystem(AbstractFileSystem):  # type: ignore[misc] # fsspec has no types
    """The files of DES archives, read only; the module says what addresses mean.

    Args:
        open_archives: how many archives stay open while nobody uses them.
        options: fsspec's own.
    """

    protocol = "des"
    root_marker = ""

    def __init__(self, *args: object, open_archives: int = _OPEN_ARCHIVES, **options: object) -> None:
        super().__init__(*args, open_archives=open_archives, **options)
        self._archives = OpenArchives(open_archives)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:  # noqa: ANN401 - fsspec: a path, or a list of them
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        stripped: str = stringify_path(path).removeprefix(_PROTOCOL)
        archive, _, name = stripped.partition("!/")
        if name := name.rstrip("/"):
            return f"{archive}!/{name}"
        root = stripped.rstrip("/").removesuffix("!")
        return root and f"{root}!"

    def invalidate_cache(self, path: str | None = None) -> None:
        """Close the archive of an address, or all: what is asked for next opens it anew."""
        self._archives.drop(None if path is None else self._place(path).location)
        super().invalidate_cache(path)

    def ls(self, path: str, detail: bool = True, **_options: object) -> list[Any]:
        """List a directory, or the one file of that name.

        Raises:
            FileNotFoundError: there is neither.
        """
        place = self._place(path)
        with self._reader(place) as reader:
            found = [info_of(place, node) for node in directories.children(reader, place.name)]
            if not found:
                alone = describe(place, reader)
                found = [alone] if alone["type"] == "file" else []
        return found if detail else [info["name"] for info in found]

    def info(self, path: str, **_options: object) -> Info:
        """Describe a file or a directory: ``name``, ``size``, ``type``; of a file also ``stored_size``.

        Raises:
            FileNotFoundError: there is neither.
        """
        place = self._place(path)
        with self._reader(place) as reader:
            return describe(place, reader)

    def exists(self, path: str, **_options: object) -> bool:
        """Whether there is a file or a directory; a broken archive is an error, not an absence."""
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **options: object
    ) -> Any:  # noqa: ANN401 - fsspec: names, or their descriptions by name
        """List all files below a directory, by one pass over the names that start so.

        Args:
            path: the directory; of a file that is no directory, the file itself.
            maxdepth: how many levels deep; None is all.
            withdirs: whether to list directories too.
            detail: whether to describe each.
            options: ``prefix``: only names that go on so, after the directory's ``/``.
        """
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        place = self._place(path)
        prefix = str(options.get("prefix") or "")
        out: dict[str, Info] = {}
        with self._reader(place) as reader:
            for node in directories.below(reader, place.name, prefix=prefix, maxdepth=maxdepth):
                # What is both is found as the file.
                if node.entry or withdirs:
                    info = info_of(place, node)
                    if node.entry or info["name"] not in out:
                        out[info["name"]] = info
            if withdirs and directories.is_directory(reader, place.name):
                out.setdefault(place.path, info_of(place, Node(place.name, None)))
            elif not out and place.name and (alone := directories.file(reader, place.name)):
                out[place.path] = info_of(place, alone)
        return {name: out[name] for name in sorted(out)} if detail else sorted(out)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_options: object) -> bytes:
        """Read a file, or the bytes between two positions; negative ones count from its end.

        Raises:
            FileNotFoundError: there is no such file.
            IsADirectoryError: it is a directory.
            CorruptArchive: it is not what was archived.
        """
        place = self._place(path)
        with self._reader(place) as reader:
            return read(place, reader)[start:end]

    def cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **_options: object) -> Any:  # noqa: ANN401 - fsspec: bytes, or bytes by name
        """Read files, those of one archive with few requests.

        Args:
            path: an address, one with wildcards, or a list of such.
            recursive: whether directories stand for all files below them.
            on_error: ``raise``, ``omit`` what cannot be read, or ``return`` its error in its place.
        """
        paths = self.expand_path(path, recursive=recursive)
        if len(paths) == 1 and not isinstance(path, list) and paths[0] == self._strip_protocol(path):
            return self.cat_file(paths[0])
        if recursive:
            paths = [one for one in paths if not self.isdir(one) or self.isfile(one)]
        out = self._read_many(paths)
        for name, found in list(out.items()):
            if isinstance(found, Exception):
                if on_error == "raise":
                    raise found
                if on_error == "omit":
                    del out[name]
        return out

    def cat_ranges(
        self,
        paths: list[str],
        starts: Any,  # noqa: ANN401 - fsspec: a number or a list
        ends: Any,  # noqa: ANN401 - fsspec: a number or a list
        max_gap: int | None = None,  # noqa: ARG002 - fsspec's; files are read whole
        on_error: str = "return",
        **_options: object,
    ) -> list[bytes | Exception]:
        """Read ranges of files; each file is read once, those of one archive with few requests."""
        starts = starts if isinstance(starts, list) else [starts] * len(paths)
        ends = ends if isinstance(ends, list) else [ends] * len(paths)
        read = self._read_many([self._strip_protocol(path) for path in paths])
        out: list[bytes | Exception] = []
        for path, start, end in zip(paths, starts, ends, strict=True):
            found = read[self._strip_protocol(path)]
            if isinstance(found, Exception):
                if on_error != "return":
                    raise found
                out.append(found)
            else:
                out.append(found[start:end])
        return out

    def get_file(self, rpath: str, lpath: Any, **options: Any) -> None:  # noqa: ANN401 - fsspec's
        """Copy a file to a local one.

        Raises:
            PermissionError: the name has a part `..`, which may have led `lpath` out of where it should be.
        """
        if ".." in self._place(rpath).name.split("/"):
            raise PermissionError(errno.EPERM, "the name leads elsewhere; read it with cat_file", rpath)
        super().get_file(rpath, lpath, **options)

    def modified(self, path: str) -> datetime:
        """When the archive was written; of a local one alone.

        Raises:
            NotImplementedError: the archive is not local.
        """
        location = self._place(path).location
        if not isinstance(location, LocalLocation):
            raise NotImplementedError(f"{location} does not say when it was written")
        return datetime.fromtimestamp(os.stat(location.path).st_mtime, UTC)  # noqa: PTH116 - a string

    def ukey(self, path: str) -> str:
        """Name this version of a file among all others."""
        place = self._place(path)
        with self._reader(place) as reader:
            version = place.location.stamp(), reader.hint(), describe(place, reader)
        return str(tokenize(place.path, version))

    def _open(self, path: str, mode: str = "rb", **_options: object) -> MemberFile:
        if mode != "rb":
            self._refuse(path)
        return MemberFile(self.cat_file(path), self._strip_protocol(path), self)

    def _refuse(self, path: object, *_arguments: object, **_options: object) -> NoReturn:
        raise PermissionError(errno.EROFS, "an archive is never changed in place; pack a new one", str(path))

    mkdir = makedirs = rmdir = touch = mv = _refuse
    rm = rm_file = _rm = _refuse
    cp_file = copy = pipe_file = put_file = put = _refuse

    def _read_many(self, paths: Iterable[str]) -> dict[str, bytes | Exception]:
        out: dict[str, bytes | Exception] = dict.fromkeys(paths, b"")
        by_archive: dict[str, list[Place]] = {}
        for path in out:
            place = self._place(path)
            by_archive.setdefault(place.archive, []).append(place)
        for places in by_archive.values():
            try:
                with self._reader(places[0]) as reader:
                    out |= read_together(places, reader)
            except FileNotFoundError as error:  # there is no such archive
                out |= {place.path: error for place in places}
        return out

    def _place(self, path: str) -> Place:
        stripped: str = self._strip_protocol(path)
        archive, _, name = stripped.partition("!/")
        return Place(archive if name else stripped.removesuffix("!"), name)

    @contextmanager
    def _reader(self, place: Place) -> Iterator[DesReader]:
        with ExitStack() as stack:
            try:
                reader = stack.enter_context(self._archives.reader(place.location))
            except (InvalidAddress, ObjectNotFound, IsADirectoryError, NotADirectoryError) as error:
                raise FileNotFoundError(errno.ENOENT, str(error), place.path) from error
            yield reader
