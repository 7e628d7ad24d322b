"""Walks an archive block by block, from its first byte on, whether or not its end is there.

Every header and every column is compared with its checksum; payloads are given out as they are, since not everybody
needs them. Where a block is broken the walk says so and goes on at the next one: a block is recognised by its magic,
its checksum and the archive's id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from des_platform.archive.errors import CorruptArchive
from des_platform.archive.v2.layout import BLOCK_HEADER_BYTES, BLOCK_MAGIC, HEADER_BYTES, BlockHeader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.archive.source import ByteSource

_AHEAD_BYTES = 8 * 1024 * 1024


class Window:
    """Reads a file from front to back in large pieces.

    Args:
        source: where the bytes come from.
        end: where to stop.
    """

    def __init__(self, source: ByteSource, end: int) -> None:
        self.end = end
        self._source = source
        self._start = 0
        self._data = memoryview(b"")

    def read(self, offset: int, length: int) -> memoryview:
        """Return ``length`` bytes from ``offset`` on; fewer at the end."""
        length = max(0, min(length, self.end - offset))
        if not self._start <= offset <= offset + length <= self._start + len(self._data):
            wanted = min(max(length, _AHEAD_BYTES), self.end - offset)
            self._data = memoryview(self._source.read_range(offset, wanted) if wanted > 0 else b"")
            self._start = offset
        at = offset - self._start
        return self._data[at : at + length]


@dataclass(frozen=True, slots=True)
class Block:
    """One block, or the part of it that there is.

    Attributes:
        offset: where it begins.
        header: checked, with the columns.
        columns: as they stand in the archive.
        payload_offset: where its payload begins.
    """

    offset: int
    header: BlockHeader
    columns: bytes
    payload_offset: int

    @property
    def end(self) -> int:
        """Where the next block begins."""
        return self.offset + self.header.size


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are no block."""

    start: int
    end: int
    problem: str


def walk(window: Window, archive_id: int | None, where: str) -> Iterator[Block | Damage]:
    """Iterate over the blocks up to the window's end.

    A block whose payload is cut off by the end is the last. Bytes at the end that hold no block are a `Damage`, too.

    Args:
        window: the archive.
        archive_id: the archive's; None takes the first block's.
        where: names the archive in errors.
    """
    offset = HEADER_BYTES
    while offset < window.end:
        try:
            block = _block_at(window, offset, where)
            if archive_id not in {None, block.header.archive_id}:
                raise CorruptArchive(f"{where}: the block at {offset} is of another archive")  # noqa: TRY301 - one place
        except CorruptArchive as error:
            end = _next_block(window, offset + 1, archive_id, where)
            yield Damage(offset, end, str(error))
            offset = end
        else:
            archive_id = block.header.archive_id
            yield block
            offset = block.end


def _block_at(window: Window, offset: int, where: str) -> Block:
    where = f"{where}: byte {offset}"
    raw = bytes(window.read(offset, BLOCK_HEADER_BYTES))
    header = BlockHeader.parse(raw, where)
    columns = bytes(window.read(offset + BLOCK_HEADER_BYTES, header.stored_columns))
    if len(columns) < header.stored_columns:
        raise CorruptArchive(f"{where}: a block's columns have {header.stored_columns} bytes, {len(columns)} are there")
    header.check_columns(raw, columns, where)
    return Block(offset, header, columns, offset + BLOCK_HEADER_BYTES + header.stored_columns)


def _next_block(window: Window, offset: int, archive_id: int | None, where: str) -> int:
    """Return where the next block begins; the window's end if there is none."""
    while offset < window.end:
        piece = bytes(window.read(offset, _AHEAD_BYTES))
        at = piece.find(BLOCK_MAGIC)
        if at < 0:
            # The magic may lie across two pieces.
            offset += max(1, len(piece) - len(BLOCK_MAGIC) + 1) if offset + len(piece) < window.end else len(piece)
            continue
        offset += at
        try:
            if archive_id in {None, _block_at(window, offset, where).header.archive_id}:
                return offset
        except CorruptArchive:
            pass
        offset += 1
    return window.end
