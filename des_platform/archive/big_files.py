"""Files that are stored as objects of their own beside the archive, which keeps an entry of them.

The key is ``<prefix>/_bigFiles/<name>``, whatever wrote it; the attributes are those that the first writers gave. Names
and keys come from outside: a `LocalFolder` leaves its root for none of them.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = "_bigFiles"


class ObjectFolder(Protocol):
    """Where the payloads of big files are stored; an object store's bucket is one."""

    def put(self, key: str, data: bytes, *, attributes: Mapping[str, str] | None = None) -> object:
        """Store an object, whole or not at all, replacing what stands there. ``attributes`` are printable ASCII.

        Raises:
            ValueError: no object can have that key.
        """

    def get(self, key: str, *, max_bytes: int) -> bytes:
        """Return an object's bytes; more than ``max_bytes`` are refused unread.

        Raises:
            LookupError: there is none; a `FileNotFoundError` says the same.
            ValueError: no object can have that key.
        """


class ExternalObject(NamedTuple):
    """A file whose payload is an object of its own.

    Attributes:
        name: the file's name in the archive.
        external_key: key of the object.
        size: bytes of the object.
    """

    name: str
    external_key: str
    size: int


class LocalFolder:
    """A directory of objects. Attributes are not kept.

    Args:
        root: the directory; made with the first object. No key leads out of it, not even through a link.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = Path(root)

    def __repr__(self) -> str:
        return f"LocalFolder({str(self._root)!r})"

    def put(self, key: str, data: bytes, *, attributes: Mapping[str, str] | None = None) -> None:  # noqa: ARG002 - a folder keeps none
        """Store an object, whole or not at all, replacing what stands there.

        Raises:
            ValueError: the key leads out of the folder, or is no name of a file.
            OSError: the disk failed.
        """
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def get(self, key: str, *, max_bytes: int) -> bytes:
        """Return an object's bytes; of a longer one than ``max_bytes``, one byte more than that.

        Raises:
            FileNotFoundError: there is none.
            ValueError: the key leads out of the folder, or is no name of a file.
        """
        path = self._path(key)
        try:
            # A pipe would be waited for, a device read without end.
            if not path.is_file():
                raise FileNotFoundError(f"{self!r} has no object {key!r}")
            with path.open("rb") as file:
                return file.read(max_bytes + 1)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise FileNotFoundError(f"{self!r} can have no object with so long a key") from error
            raise

    def _path(self, key: str) -> Path:
        root = Path(os.path.realpath(self._root))
        if not key or key.startswith("/") or "\0" in key or not _is_unicode(key):
            raise ValueError(f"{self!r} holds nothing under the key {key[:200]!r}")
        path = Path(os.path.realpath(root / key))
        if path == root or not path.is_relative_to(root):
            raise ValueError(f"the key {key[:200]!r} leads out of {self!r}")
        return path


def key_of(prefix: str, name: str) -> str:
    """Return the key of a big file's object."""
    prefix = prefix.rstrip("/")
    return f"{prefix}/{FOLDER}/{name}" if prefix else f"{FOLDER}/{name}"


def attributes_of(name: str, size: int) -> dict[str, str]:
    """Return what is kept beside the object. Stores take printable ASCII alone, so the name is percent-encoded."""
    return {
        "original_name": quote(name, safe="!#$&'()*+,/:;=?@[]"),
        "size": str(size),
        "source": "des-writer",
    }


def _is_unicode(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True
