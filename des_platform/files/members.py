"""Files of archives by address, as fsspec describes and reads them: what `DesFileSystem` does within one open archive.

How it fails: what is missing is a `FileNotFoundError`, a directory read as a file an `IsADirectoryError`; a broken
archive stays a `CorruptArchive`.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from des_platform.archive import CorruptArchive
from des_platform.files import directories
from des_platform.files.directories import Node
from des_platform.files.locations import locate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from des_platform.archive import DesReader
    from des_platform.files.locations import Location

Info = dict[str, Any]


class Place(NamedTuple):
    """An address taken apart.

    Attributes:
        archive: the archive's own address.
        name: the file's or the directory's name in it; empty is the root.
    """

    archive: str
    name: str

    @property
    def path(self) -> str:
        """The address as fsspec has it, without ``des://``."""
        return f"{self.archive}!/{self.name}" if self.name else f"{self.archive}!"

    @property
    def location(self) -> Location:
        """Where the archive is; an `InvalidAddress` if that is nowhere."""
        return locate(self.archive)


def info_of(place: Place, node: Node) -> Info:
    """Describe a file or a directory that was found in a place's archive."""
    path = f"{place.archive}!/{node.name}" if node.name else f"{place.archive}!"
    if node.entry is None:
        return {"name": path, "size": 0, "type": "directory"}
    return {"name": path, "size": node.entry.size, "type": "file", "stored_size": node.entry.stored_size}


def describe(place: Place, reader: DesReader) -> Info:
    """Look a place up and describe what is there.

    Raises:
        FileNotFoundError: there is neither a file nor a directory.
    """
    node = directories.file(reader, place.name) if place.name else None
    if node is None:
        if not directories.is_directory(reader, place.name):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place.path)
        node = Node(place.name, None)
    return info_of(place, node)


def read(place: Place, reader: DesReader) -> bytes:
    """Read the file of a place.

    Raises:
        FileNotFoundError: there is none.
        IsADirectoryError: there is a directory.
        CorruptArchive: it is not what was archived.
    """
    try:
        if place.name:
            return reader.get_file(place.name)
    except KeyError:
        pass
    if not directories.is_directory(reader, place.name):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place.path)
    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), place.path)


def read_together(places: Sequence[Place], reader: DesReader) -> dict[str, bytes | Exception]:
    """Read the files of many places in one archive; what cannot be read has its error in its place."""
    try:
        together = reader.get_files_batch([place.name for place in places if place.name])
    except (CorruptArchive, LookupError, ValueError):
        together = {}  # one of them is broken: which, the next loop finds
    out: dict[str, bytes | Exception] = {}
    for place in places:
        try:
            out[place.path] = together[place.name] if place.name in together else read(place, reader)
        except (OSError, LookupError, ValueError) as error:
            out[place.path] = error
    return out
