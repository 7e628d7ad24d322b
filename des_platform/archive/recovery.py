"""Brings back what is whole in a torn or damaged archive of version 2.

The blocks before the first damage are taken over as they stand, by the store itself where it can; every member behind
it that is whole is added again, one by one; then the catalogue, the pages and the end are written anew. Memory is
bounded, whatever the archive's size.

Version 1 keeps all it knows at its end: from a torn one nothing can be told, and it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from des_platform.archive.errors import CorruptArchive, UnsupportedVersion
from des_platform.archive.models import TAIL_BYTES
from des_platform.archive.v2.layout import BLOCK_MAGIC, HEADER_BYTES, HEADER_MAGIC, Footer

if TYPE_CHECKING:
    from collections.abc import Callable

    from des_platform.archive.sink import ByteSink
    from des_platform.archive.source import ByteSource


@dataclass(slots=True)
class Recovery:
    """What came back.

    Attributes:
        recovered: members in the new archive.
        lost: names of members that are known to have been there; those of blocks whose columns are gone are not.
        problems: what was wrong, each with its place.
    """

    recovered: int = 0
    lost: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def recover(source: ByteSource, sink: ByteSink, *, progress: Callable[[int, int], None] | None = None) -> Recovery:
    """Write a whole archive of what is left of one; the sink is committed at the end, or aborted.

    Args:
        source: what is left.
        sink: takes the new archive.
        progress: called with the bytes that are done, and all.

    Raises:
        CorruptArchive: these bytes are not, and have not been, an archive of version 2.
        UnsupportedVersion: the header is whole, and of another version.
    """
    try:
        footer, size = _footer(source)
        from des_platform.archive.v2.recovery import Rescue

        found = Rescue(source, sink, size if footer is None else footer.catalogue_offset, footer, progress).run()
        sink.commit()
    except BaseException:
        sink.abort()
        raise
    return found


def _footer(source: ByteSource) -> tuple[Footer | None, int]:
    """Return what the archive's end says, if it is whole, and the size of what is left."""
    tail, size = source.read_tail(TAIL_BYTES)
    start = source.read_range(0, min(size, HEADER_BYTES + len(BLOCK_MAGIC))) if size else b""
    # One of the two may have changed.
    if len(start) < HEADER_BYTES or not (start.startswith(HEADER_MAGIC) or start.endswith(BLOCK_MAGIC)):
        raise CorruptArchive(
            f"{source!r}: {start[:8]!r} is not the start of an archive of version 2: nothing to recover"
        )
    try:
        return Footer.parse(tail, size, repr(source)), size
    except (CorruptArchive, UnsupportedVersion):  # what is cut may end with a member that is an archive of version 1
        return None, size
