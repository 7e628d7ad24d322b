"""The directories that the `/` in an archive's names make, as object stores have them.

A directory is there as long as a name goes on below it. Names that no path can express keep their place: what follows
an empty part (`a//b`) is one name with it, and one that ends with `/` only marks its directory.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.archive import DesReader, IndexEntry


class Node(NamedTuple):
    """A file or a directory.

    Attributes:
        name: from the archive's root on, without a `/` at its end.
        entry: of a file; None of a directory.
    """

    name: str
    entry: IndexEntry | None


def file(reader: DesReader, name: str) -> Node | None:
    """Return the file of that name, if there is one."""
    try:
        return Node(name, reader.get_entry(name))
    except KeyError:
        return None


def is_directory(reader: DesReader, name: str) -> bool:
    """Whether a name goes on below this one; the root is one always."""
    return not name or next(iter(reader.iter_entries(f"{name}/")), None) is not None


def children(reader: DesReader, name: str) -> list[Node]:
    """Return what stands in a directory, in the order of names; of what is both, the directory first."""
    found = {(node.name, node.entry is None): node for node in below(reader, name, maxdepth=1)}
    return sorted(found.values(), key=lambda node: (node.name, node.entry is not None))


def below(reader: DesReader, name: str, *, prefix: str = "", maxdepth: int | None = None) -> Iterator[Node]:
    """Iterate over what stands below a directory; directories come as often as a name shows them.

    Args:
        reader: the archive.
        name: the directory; empty is the root.
        prefix: only names that go on so, after the directory's `/`.
        maxdepth: how many levels deep; None is all.
    """
    base = f"{name}/" if name else ""
    seen = ""
    for entry in reader.iter_entries(base + prefix):
        parts = _parts(entry.name[len(base) :])
        for directory in list(accumulate(parts[:-1], "{}/{}".format))[:maxdepth]:
            # Names that follow each other mostly share their directories.
            if f"{directory}/" != seen[: len(directory) + 1]:
                yield Node(base + directory, None)
        seen = entry.name[len(base) :]
        if parts[-1] and (maxdepth is None or len(parts) <= maxdepth):
            yield Node(entry.name, entry)


def _parts(path: str) -> list[str]:
    """Split at each `/` up to the first empty part: `a/b//c` is `a`, `b`, `/c`; the last of `a/` is empty."""
    parts: list[str] = []
    while True:
        part, slash, rest = path.partition("/")
        if not slash or not part:
            # Nothing below an empty part can be told from its directory when the address is stripped of its last `/`.
            return [*parts, "" if path.endswith("/") else path]
        parts.append(part)
        path = rest
