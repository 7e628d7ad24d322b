"""What `des archive pack` finds: the files of folders, of lists, and single ones, each with its name in the archive.

Names use `/` whatever the system does. A folder is walked in the order of names, so that the same files give the same
archive. Its links are followed to files inside the folder alone. What cannot be packed is told, and the rest goes on.
"""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from des_platform.cli.archive.outcome import Unusable, said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Tell = Callable[[str], None]

_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.des\.tmp")
_LINE_BYTES = 16 * 1024 * 1024
_KEYS = {"path", "name", "meta"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file to pack.

    Attributes:
        path: of the file.
        name: in the archive.
        meta: what to keep beside it.
    """

    path: str
    name: str
    meta: dict[str, Any] | None = None


def from_source(source: str, archive: str, tell: Tell) -> Iterator[Candidate]:
    """Find the files of a folder, or the one file.

    Args:
        source: path of the folder or the file.
        archive: path of the archive that is being written, which is left out; empty if it is not local.
        tell: takes what cannot be packed, and why.

    Raises:
        Unusable: there is no such folder or file.
    """
    try:
        mode = os.stat(source).st_mode  # noqa: PTH116 - paths stay strings here: a million of them
    except OSError as error:
        raise Unusable(said(error)) from error
    if stat.S_ISDIR(mode):
        yield from _walk(source, archive, tell)
    else:
        yield Candidate(source, os.path.basename(source))  # noqa: PTH119 - as above


def from_list(stream: BinaryIO, *, null: bool, tell: Tell) -> Iterator[Candidate]:
    """Find the files that a list names: paths, or JSON objects with ``path``, ``name`` and ``meta``.

    Args:
        stream: the list.
        null: whether a NUL ends an entry, not a line feed.
        tell: takes entries that mean nothing, and why.
    """
    for number, entry in enumerate(_entries(stream, b"\0" if null else b"\n"), 1):
        if not entry.strip():
            continue
        try:
            yield _from_entry(entry)
        except ValueError as error:
            tell(f"entry {number} of the list: {error}")


def _walk(top: str, archive: str, tell: Tell) -> Iterator[Candidate]:
    root = os.path.realpath(top)
    ours = os.path.realpath(archive) if archive else ""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            tell(said(error))
            continue
        folders = []
        for entry in entries:
            if _is_ours(entry.path, ours):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif (path := _file_of(entry, root, tell)) is not None:
                name = os.path.relpath(entry.path, root)
                yield Candidate(path, name.replace(os.sep, "/"))
        waiting += reversed(folders)


def _file_of(entry: os.DirEntry[str], root: str, tell: Tell) -> str | None:
    """The path of a folder's file, a link's target if that is one of the folder's files, too."""
    if not entry.is_symlink():
        return entry.path
    target = os.path.realpath(entry.path)
    if not os.path.exists(target):  # noqa: PTH110 - a string
        tell(f"{entry.path}: a link that leads nowhere")
    elif os.path.commonpath([root, target]) != root:
        tell(f"{entry.path}: a link out of the folder is not followed")
    elif os.path.isdir(target):  # noqa: PTH112 - a string
        tell(f"{entry.path}: a link to a folder is not followed")
    else:
        return target
    return None


def _is_ours(path: str, archive: str) -> bool:
    """Whether it is the archive that is being written, or the one that it shall replace."""
    folder, name = os.path.split(path)
    beside = bool(archive) and folder == os.path.split(archive)[0]
    return path == archive or (beside and _TEMPORARY.fullmatch(name) is not None)


def _entries(stream: BinaryIO, end: bytes) -> Iterator[bytes]:
    rest = b""
    while piece := stream.read(64 * 1024):
        *whole, rest = (rest + piece).split(end)
        yield from whole
        if len(rest) > _LINE_BYTES:
            raise Unusable(f"an entry of the list is longer than {_LINE_BYTES} bytes: is {end!r} what ends them?")
    if rest:
        yield rest


def _from_entry(entry: bytes) -> Candidate:
    if entry.startswith(b"{"):
        return _from_json(entry)
    path = os.fsdecode(entry.removesuffix(b"\r"))
    return Candidate(path, _name_of(path))


def _from_json(entry: bytes) -> Candidate:
    try:
        described = json.loads(entry)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it starts with '{{' and is no JSON: {error}") from error
    if unknown := described.keys() - _KEYS:
        raise ValueError(f"unknown keys {', '.join(sorted(unknown))}; there are path, name and meta")
    path, name, meta = described.get("path"), described.get("name"), described.get("meta")
    if not isinstance(path, str) or not path or not isinstance(name, str | None):
        raise ValueError("path and name must be strings, and path must be there")
    if not isinstance(meta, dict | None):
        raise ValueError(f"the meta of {path!r} must be a JSON object")  # noqa: TRY004 - a value in a list
    return Candidate(path, _name_of(path) if name is None else name, meta)


def _name_of(path: str) -> str:
    name = re.sub(r"^(\.?/)+", "", path.replace(os.sep, "/"))
    if not name or ".." in name.split("/"):
        raise ValueError(f'{path!r} makes no name for a file; give it one: {{"path": ..., "name": ...}}')
    return name
