"""Reads the live members of an archive in the order they were added, as they are stored, and writes them anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from des_platform.archive.errors import CorruptArchive
from des_platform.archive.models import FLAG_EXTERNAL
from des_platform.archive.rewriting import Compaction
from des_platform.archive.v2.adoption import Adopted, PageArrays, adopt
from des_platform.archive.v2.block import parse_objects, split
from des_platform.archive.v2.builder import V2Builder
from des_platform.archive.v2.layout import BLOCK_OBJECTS, Footer, Hint
from des_platform.archive.v2.rows import hashes_of
from des_platform.archive.v2.tailed import TailedSource
from des_platform.archive.v2.verify import right_payloads
from des_platform.archive.v2.walk import Damage, Window, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.archive.rewriting import Progress
    from des_platform.archive.sink import ByteSink
    from des_platform.archive.source import ByteSource
    from des_platform.archive.v2.walk import Block

_TAIL_BYTES = 64 * 1024


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
    where = repr(source)
    tail, size = source.read_tail(_TAIL_BYTES)
    footer = Footer.parse(tail, size, where)
    pages = PageArrays(TailedSource(source, where, size, tail), Hint.of(footer, size), where)
    window = Window(source, footer.catalogue_offset)
    for block in walk(window, footer.archive_id, where):
        if isinstance(block, Damage):
            raise CorruptArchive(f"{block.problem} (bytes {block.start} to {block.end}): recover the archive")
        if block.header.kind == BLOCK_OBJECTS:
            yield from _live_in(block, window, pages, footer.seed, where)


def _live_in(block: Block, window: Window, pages: PageArrays, seed: int, where: str) -> Iterator[Member]:
    columns = parse_objects(block.header, block.columns, where)
    names = split(columns.names, columns.name_lengths)
    metadata = split(columns.metadata, columns.metadata_lengths)
    starts = (
        np.cumsum(columns.stored_lengths, dtype=np.uint64) - columns.stored_lengths + np.uint64(block.payload_offset)
    )
    locations = starts | (columns.flags.astype(np.uint64) << np.uint64(48))
    hashes = hashes_of(names, seed)
    at = np.searchsorted(pages.hashes, hashes).clip(max=max(0, len(pages.hashes) - 1))
    live = np.zeros(len(at), bool)
    if len(pages.hashes):
        live = (pages.hashes[at] == hashes) & (pages.locations[at] == locations)
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
    size = source.read_tail(1)[1]
    old: Adopted = adopt(source)
    builder = V2Builder(sink, archive_id=archive_id, created_ms=created_ms, compression_level=None, columns=old.columns)
    try:
        if old.dictionary:
            builder.set_dictionary(old.dictionary)
        for member in live_members(source):
            try:
                builder.add_stored(member.name, member.payload, member.metadata, member.flags, member.raw_length)
            except ValueError as error:
                raise CorruptArchive(f"{source!r}: byte {member.end - len(member.payload)}: {error}") from error
            if progress:
                progress(member.end, size)
        builder.finish()
        if progress:
            progress(size, size)
        return Compaction(len(builder), old.ordinals - len(builder), size, builder.size)
    finally:
        builder.discard()
