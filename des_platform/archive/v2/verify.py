"""Checks an archive of version 2 in one pass over its bytes, and compares its parts with one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from crc32c import crc32c

from des_platform.archive.errors import CorruptArchive
from des_platform.archive.models import FLAG_EXTERNAL, MAX_META_BYTES
from des_platform.archive.v2.adoption import PageArrays
from des_platform.archive.v2.block import check_blob, parse_objects, parse_tombstones, split
from des_platform.archive.v2.catalogue import Catalogue
from des_platform.archive.v2.layout import (
    BLOCK_DICTIONARY,
    BLOCK_OBJECTS,
    BLOCK_SCHEMA,
    BLOCK_TOMBSTONES,
    Footer,
    Header,
    Hint,
    check_crc,
)
from des_platform.archive.v2.rows import (
    hashes_of,
    is_json_object,
    locations,
    locations_of,
    names_of,
    parse_json,
    record_size,
    user_values,
)
from des_platform.archive.v2.tailed import TailedSource
from des_platform.archive.v2.walk import Block, Damage, Window, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from des_platform.archive.source import ByteSource
    from des_platform.archive.v2.block import ObjectColumns
    from des_platform.archive.verification import Progress, Verification

_PIECE_BYTES = 8 * 1024 * 1024


class _Live:
    """The members that the blocks say are live: what the pages and the catalogue have to say of each, too."""

    def __init__(self) -> None:
        self._parts: list[tuple[NDArray[Any], ...]] = []
        self.user_columns: dict[str, str] = {}

    def add(self, hashes: NDArray[np.uint64], columns: ObjectColumns, block: Block, window: Window) -> None:
        places = locations(columns.offsets(block.payload_offset), columns.flags)
        sizes = columns.raw_lengths.astype(np.int64)
        texts = np.zeros(len(columns), np.uint32)
        if columns.metadata:
            metadata = split(columns.metadata, columns.metadata_lengths)
            texts = np.fromiter(map(crc32c, metadata), np.uint32, len(columns))
        for index, record in external_records(block, columns, window):
            sizes[index] = record_size(record)
            texts[index] = columns.checksums[index]  # the record is what the catalogue has as metadata
        self._parts.append((hashes, places, columns.stored_lengths, columns.checksums, sizes, texts))

    def delete(self, hashes: NDArray[np.uint64]) -> int:
        """Take members out; return how many there were."""
        before = sum(len(part[0]) for part in self._parts)
        for index, part in enumerate(self._parts):
            stays = ~np.isin(part[0], hashes)
            self._parts[index] = tuple(column[stays] for column in part)
        return before - sum(len(part[0]) for part in self._parts)

    def settle(self) -> tuple[NDArray[Any], ...]:
        """Return hashes, locations, lengths, checksums, sizes, and checksums of metadata, sorted by hash."""
        if not self._parts:
            return tuple(np.empty(0, np.uint64) for _ in range(6))
        columns = [np.concatenate(column) for column in zip(*self._parts, strict=True)]
        self._parts.clear()
        order = np.argsort(columns[0])
        return tuple(column[order] for column in columns)


def verify_v2(source: ByteSource, tail: bytes, found: Verification, progress: Progress | None) -> None:
    """Check an archive, and note what is wrong.

    Raises:
        CorruptArchive: what everything else depends on is broken.
    """
    where = repr(source)
    footer = Footer.parse(tail, found.bytes, where)
    header = Header.parse(source.read_range(0, 32), where)
    if (header.archive_id, header.created_ms) != (footer.archive_id, footer.created_ms):
        raise CorruptArchive(f"{where}: header and footer are of different archives")
    tailed = TailedSource(source, where, found.bytes, tail)
    live = _check_blocks(source, footer, where, found, progress)
    _check_catalogue_bytes(tailed, footer, where)
    pages = PageArrays(tailed, Hint.of(footer, found.bytes), where)
    columns = live.settle()
    in_pages: tuple[NDArray[Any], ...] = (pages.hashes, pages.locations, pages.lengths, pages.checksums)
    agreed = all(np.array_equal(column, page) for column, page in zip(columns[:4], in_pages, strict=True))
    if not agreed:
        found.add(f"{where}: the pages do not hold exactly the members of the blocks")
    catalogue = Catalogue(tailed, footer, where)
    if catalogue.user_columns != live.user_columns:
        found.add(f"{where}: the catalogue has the columns {catalogue.user_columns}, the schema {live.user_columns}")
    _check_catalogue(catalogue, pages, footer, found, columns[4:] if agreed else None)
    if progress:
        progress(found.bytes, found.bytes)


def _check_blocks(
    source: ByteSource, footer: Footer, where: str, found: Verification, progress: Progress | None
) -> _Live:
    window = Window(source, footer.catalogue_offset)
    live = _Live()
    blocks = ordinals = dictionary = 0
    for block in walk(window, footer.archive_id, where):
        if isinstance(block, Damage):
            found.add(f"{block.problem} (bytes {block.start} to {block.end})")
            continue
        blocks += 1
        if block.header.first_ordinal != ordinals:
            found.add(f"{where}: the block at {block.offset} begins at {block.header.first_ordinal}, not at {ordinals}")
        try:
            if block.header.kind == BLOCK_OBJECTS:
                ordinals += block.header.count
            dictionary = block.offset if block.header.kind == BLOCK_DICTIONARY else dictionary
            _check_block(block, window, footer.seed, where, live, found)
        except CorruptArchive as error:
            found.add(error)
        if progress:
            progress(block.end, found.bytes)
    if (blocks, ordinals, dictionary) != (footer.block_count, footer.ordinals, footer.dictionary_offset):
        found.add(
            f"{where}: {blocks} blocks with {ordinals} objects, the dictionary at {dictionary}; the footer says "
            f"{footer.block_count}, {footer.ordinals}, {footer.dictionary_offset}"
        )
    return live


def _check_block(block: Block, window: Window, seed: int, where: str, live: _Live, found: Verification) -> None:
    at = f"{where}: byte {block.offset}"
    if block.header.kind == BLOCK_OBJECTS:
        columns = parse_objects(block.header, block.columns, at)
        names = split(columns.names, columns.name_lengths)
        live.add(hashes_of(names, seed), columns, block, window)
        for name, right in zip(names, right_payloads(block, columns, window), strict=True):
            found.files += right
            if not right:
                found.add(f"{at}: the bytes of {name.decode(errors='replace')!r} have changed")
    elif block.header.kind == BLOCK_TOMBSTONES:
        names = parse_tombstones(block.header, block.columns, at)
        deleted = live.delete(hashes_of(names, seed))
        found.files -= deleted
        if deleted != len(names):
            found.add(f"{at}: {len(names)} names are deleted, {deleted} of which were there")
    elif block.header.kind in {BLOCK_DICTIONARY, BLOCK_SCHEMA}:
        payload = bytes(window.read(block.payload_offset, block.header.payload))
        check_blob(payload, block.columns, at)
        if block.header.kind == BLOCK_SCHEMA:
            live.user_columns = parse_json(payload).get("columns", {})


def right_payloads(block: Block, columns: ObjectColumns, window: Window) -> list[bool]:
    """Tell of each object of a block whether its payload is whole and has its checksum."""
    ends = np.cumsum(columns.stored_lengths, dtype=np.uint64).tolist()
    expected = columns.checksums.tolist()
    if block.header.payload <= _PIECE_BYTES:
        payload = window.read(block.payload_offset, block.header.payload)
        spans = zip([0, *ends], ends, strict=False)
        return [
            end <= len(payload) and crc32c(payload[start:end]) == crc
            for (start, end), crc in zip(spans, expected, strict=True)
        ]
    starts = zip([0, *ends], ends, expected, strict=False)
    return [_right(window, block.payload_offset + start, end - start, crc) for start, end, crc in starts]


def external_records(block: Block, columns: ObjectColumns, window: Window) -> Iterator[tuple[int, bytes]]:
    """Iterate over the positions and the records of a block's external objects."""
    offsets = columns.offsets(block.payload_offset)
    for index in columns.external_positions():
        yield index, bytes(window.read(int(offsets[index]), int(columns.stored_lengths[index])))


def _right(window: Window, offset: int, length: int, expected: int) -> bool:
    crc = 0
    while length:
        piece = window.read(offset, min(length, _PIECE_BYTES))
        if not piece:
            return False
        crc = crc32c(piece, crc)
        offset, length = offset + len(piece), length - len(piece)
    return crc == expected


def _check_catalogue_bytes(source: TailedSource, footer: Footer, where: str) -> None:
    crc, offset = 0, footer.catalogue_offset
    while offset < footer.pages_offset:
        piece = source.read(offset, min(_PIECE_BYTES, footer.pages_offset - offset))
        crc, offset = crc32c(piece, crc), offset + len(piece)
    check_crc(f"{where}: the catalogue", footer.catalogue_crc, crc)


def _check_catalogue(
    catalogue: Catalogue, pages: PageArrays, footer: Footer, found: Verification, live: tuple[NDArray[Any], ...] | None
) -> None:
    """Compare the rows with the pages, with the footer's sums, and with the sizes and metadata in the blocks."""
    where = catalogue.where
    stored = data = external = external_bytes = 0
    for rows in catalogue.tables():
        hashes = hashes_of(names_of(rows), footer.seed)
        at = pages.find(hashes, locations_of(rows))
        outside = (rows.column("flags").to_numpy() & FLAG_EXTERNAL) != 0
        sizes, stored_sizes = rows.column("size").to_numpy(), rows.column("stored_size").to_numpy()
        stored += int(stored_sizes[~outside].sum())
        data += int(sizes[~outside].sum())
        external += int(outside.sum())
        external_bytes += int(sizes[outside].sum())
        texts = _check_metadata(rows, catalogue, found)
        if live and not (np.array_equal(live[0][at], sizes) and np.array_equal(live[1][at], texts)):
            found.add(f"{where} has other sizes or metadata than the blocks")
    if (stored, data, external, external_bytes) != (
        footer.stored_bytes,
        footer.data_bytes,
        footer.external_count,
        footer.external_bytes,
    ):
        found.add(f"{where}'s sums {stored}, {data}, {external}, {external_bytes} are not the footer's")


def _check_metadata(rows: pa.Table, catalogue: Catalogue, found: Verification) -> NDArray[np.uint32]:
    """Return the checksums of the metadata, after comparing them with the user's columns."""
    column = rows.column("metadata")
    checksums = np.zeros(rows.num_rows, np.uint32)
    if column.null_count < rows.num_rows:
        for index, text in enumerate(column.to_pylist()):
            if text is not None:
                checksums[index] = crc32c(encoded := text.encode())
                if len(encoded) > MAX_META_BYTES or not is_json_object(text):
                    found.add(f"{catalogue.where} has metadata that are not a JSON object: {text[:40]!r}")
    try:
        values = user_values(column.to_pylist(), catalogue.user_columns) if catalogue.user_columns else {}
    except (ValueError, TypeError, OverflowError) as error:
        found.add(f"{catalogue.where} has metadata that are not what their columns say: {error}")
        return checksums
    for name, expected in values.items():
        if not rows.column(name).combine_chunks().equals(expected):
            found.add(f"{catalogue.where} has other values in the column {name!r} than in the metadata")
    return checksums
