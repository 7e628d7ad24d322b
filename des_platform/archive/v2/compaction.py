"""Reads the live members of an archive in the order they were added, as they are stored, and writes them anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from des_platform.archive.errors import CorruptArchive
from des_platform.archive.models import FLAG_EXTERNAL
from des_platform.archive.rewriting import Compaction
from des_platform.archive.v2.adoption import Whole, open_whole
from des_platform.archive.v2.block import parse_objects, split
from des_platform.archive.v2.builder import V2Builder
from des_platform.archive.v2.layout import BLOCK_OBJECTS
from des_platform.archive.v2.rows import hashes_of, locations
from des_platform.archive.v2.verify import right_payloads
from des_platform.archive.v2.walk import Damage, Window, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.archive.rewriting import Progress
    from des_platform.archive.sink import ByteSink
    from des_platform.archive.source import ByteSource
    from des_platform.archive.v2.adoption import PageArrays
    from des_platform.archive.v2.walk import Block


class Member(NamedTuple):
    """One member as it is stored."""

    name: str
    payload: bytes
    metadata: bytes
    flags: int
    raw_length: int
    end: int

    @property
    def is_external(self) -> bool:
        """Whether the payload is the record of an object elsewhere."""
        return bool(self.flags & FLAG_EXTERNAL)


def live_members(source: ByteSource) -> Iterator[Member]:
    """Iterate over the members of a whole archive in the order they were added.

    Raises:
        CorruptArchive: it is broken.
    """
    return _members(source, open_whole(source))


def _members(source: ByteSource, whole: Whole) -> Iterator[Member]:
    footer, pages = whole.footer, whole.pages()
    window = Window(source, footer.catalogue_offset)
    for block in walk(window, footer.archive_id, whole.where):
        if isinstance(block, Damage):
            raise CorruptArchive(f"{block.problem} (bytes {block.start} to {block.end}): recover the archive")
        if block.header.kind == BLOCK_OBJECTS:
            yield from _live_in(block, window, pages, footer.seed, whole.where)


def _live_in(block: Block, window: Window, pages: PageArrays, seed: int, where: str) -> Iterator[Member]:
    columns = parse_objects(block.header, block.columns, where)
    names = split(columns.names, columns.name_lengths)
    metadata = split(columns.metadata, columns.metadata_lengths)
    starts = columns.offsets(block.payload_offset)
    live = pages.holds(hashes_of(names, seed), locations(starts, columns.flags))
    for index, right in enumerate(right_payloads(block, columns, window)):
        if live[index]:
            if not right:
                raise CorruptArchive(f"{where}: the bytes of {names[index]!r} have changed: recover the archive")
            start, length = int(starts[index]), int(columns.stored_lengths[index])
            yield Member(
                name=names[index].decode(),
                payload=bytes(window.read(start, length)),
                metadata=metadata[index],
                flags=int(columns.flags[index]),
                raw_length=int(columns.raw_lengths[index]),
                end=start + length,
            )


def compact_v2(
    source: ByteSource, sink: ByteSink, archive_id: int | None, created_ms: int | None, progress: Progress | None
) -> Compaction:
    """Write the live members anew; the sink is left to be committed."""
    old = open_whole(source)
    old.check_counts()
    size, dictionary, columns = old.source.size, old.dictionary(), old.catalogue().user_columns
    builder = V2Builder(sink, archive_id=archive_id, created_ms=created_ms, compression_level=None, columns=columns)
    try:
        if dictionary:
            builder.set_dictionary(dictionary)
        for member in _members(source, old):
            try:
                builder.add_stored(member.name, member.payload, member.metadata, member.flags, member.raw_length)
            except ValueError as error:
                raise CorruptArchive(f"{source!r}: byte {member.end - len(member.payload)}: {error}") from error
            if progress:
                progress(member.end, size)
        builder.finish()
        if progress:
            progress(size, size)
        return Compaction(len(builder), old.footer.ordinals - len(builder), size, builder.size)
    finally:
        builder.discard()
