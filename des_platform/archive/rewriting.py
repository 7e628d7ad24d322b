"""Writes an archive anew from another one: `compact` leaves out what is deleted, `convert` changes the version.

Both read the other archive from front to back once, so that its members keep their order, and commit the sink at the
end or abort it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from des_platform.archive.errors import CorruptArchive
from des_platform.archive.reader import DesReader
from des_platform.archive.writer import DesWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from des_platform.archive.sink import ByteSink
    from des_platform.archive.source import ByteSource

    Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Compaction:
    """What became of an archive.

    Attributes:
        files: in the new archive.
        dropped: members that were deleted, and whose bytes are gone now.
        bytes_before: size of the old archive.
        bytes_after: size of the new one.
    """

    files: int
    dropped: int
    bytes_before: int
    bytes_after: int


def compact(
    source: ByteSource,
    sink: ByteSink,
    *,
    archive_id: int | None = None,
    created_ms: int | None = None,
    progress: Progress | None = None,
) -> Compaction:
    """Write an archive of version 2 without what was deleted from it, as one generation.

    Members are copied as they are stored, with the same dictionary; each is compared with its checksum on the way.

    Args:
        source: the archive.
        sink: takes the new one.
        archive_id: the new archive's; random if not given.
        created_ms: time to note, in milliseconds since 1970; now if not given.
        progress: called with the bytes that are done, and all.

    Raises:
        CorruptArchive: the archive is broken; `recover` it first.
        UnsupportedVersion: it is of version 1, which deletes nothing.
    """
    from des_platform.archive.v2.compaction import compact_v2

    try:
        done = compact_v2(source, sink, archive_id, created_ms, progress)
        sink.commit()
    except BaseException:
        sink.abort()
        raise
    return done


def convert(
    source: ByteSource,
    sink: ByteSink,
    *,
    format_version: Literal[1, 2],
    progress: Progress | None = None,
    **options: Any,  # noqa: ANN401 - DesWriter's own
) -> int:
    """Write an archive in another version, or anew in the same, and return the number of its files.

    Args:
        source: the archive.
        sink: takes the new one.
        format_version: of the new one.
        progress: called with the bytes that are done, and all.
        options: of version 2, see `des_platform.archive.v2.builder.V2Builder`.

    Raises:
        CorruptArchive: the archive is broken.
        ValueError: a name cannot stand in version 1; it is named.
    """
    try:
        reader = DesReader(source)
        size = source.read_tail(1)[1]
        writer = DesWriter(sink, format_version=format_version, **options)
    except BaseException:
        sink.abort()
        raise
    done = 0
    with writer:
        for name, data, meta in _members(reader, source):
            if data is None:
                writer.add_external(name, meta["size"], meta, external_key=meta["external_key"])
            else:
                meta.pop("size", None)
                writer.add_file(name, data, meta)
                done += len(data)
            if progress:
                progress(min(done, size), size)
        return len(writer)


def _members(reader: DesReader, source: ByteSource) -> Iterator[tuple[str, bytes | None, dict[str, Any]]]:
    """Iterate over name, data (None if external) and metadata, in the order of adding."""
    if reader.version == 1:
        for entry in reader.iter_entries():
            meta = reader.get_meta(entry.name)
            if entry.is_external and not isinstance(meta.get("external_key"), str):
                raise CorruptArchive(f"{source!r}: the metadata of external {entry.name!r} has no external_key")
            meta["size"] = entry.size
            yield entry.name, None if entry.is_external else reader.get_file(entry.name), meta
        return
    from des_platform.archive.v2.compaction import live_members
    from des_platform.archive.v2.members import parse_external, parse_metadata

    for member in live_members(source):
        what = f"{member.name!r} in {source!r}"
        if member.is_external:
            parse_external(member.payload, member.name, what)
            yield member.name, None, parse_metadata(member.payload, what)
        else:
            yield member.name, reader.get_file(member.name), parse_metadata(member.metadata or b"{}", what)
