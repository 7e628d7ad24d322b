"""Writes all that follows the blocks: catalogue, pages, Parquet's end, and the footer in its extension.

Bounded memory: rows are sorted in runs, by name for the catalogue and by hash for the pages; besides, four bytes a name
are held to choose the number of pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from crc32c import crc32c

from des_platform.archive.models import FLAG_EXTERNAL
from des_platform.archive.name_set import NameSet
from des_platform.archive.v2.catalogue_writer import CHECKSUM, HASH, ROW_GROUP_ROWS, CatalogueWriter
from des_platform.archive.v2.layout import END_BYTES, EXTENSION_BYTES, EXTENSION_HEADER, PARQUET_MAGIC, Footer
from des_platform.archive.v2.page_writer import PageWriter, choose_page_count
from des_platform.archive.v2.rows import hashes_of, locations_of, names_of, numbers_of
from des_platform.archive.v2.runs import SortedRuns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from des_platform.archive.v2.block_writer import BlockWriter

_SEED_STEP = 0x9E3779B97F4A7C15
_U64 = 2**64
_HALF = np.uint64(32)
_ROW_GROUP_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Origin:
    """What the footer says of the archive's history; times in milliseconds since 1970."""

    archive_id: int
    created_ms: int
    modified_ms: int
    generation: int


class TailWriter:
    """Writes the end of one archive.

    Args:
        blocks: has written the blocks.
        rows: the rows of the catalogue.
        schema: the columns of the catalogue.
        origin: what the footer says of the archive's history.
        folder: where temporary files may stand; None for the system's.
    """

    def __init__(
        self, blocks: BlockWriter, rows: SortedRuns, schema: pa.Schema, origin: Origin, folder: Path | None
    ) -> None:
        self._blocks = blocks
        self._rows = rows
        self._schema = schema
        self._origin = origin
        self._folder = folder
        self._crc = 0
        self._count = self._external_count = 0
        self._stored_bytes = self._data_bytes = self._external_bytes = 0

    def write(self, seed: int, *, collided: bool) -> None:
        """Write the end.

        Args:
            seed: that the rows' hashes were made with.
            collided: whether two of the names are known to have one hash.
        """
        offset = self._blocks.position
        catalogue = CatalogueWriter(offset, self._schema, self._emit)
        for rows in _rechunked(self._rows.sorted()):
            catalogue.write(rows)
            self._add_up(rows)
        catalogue_crc, pages_offset = self._crc, self._blocks.position
        seed, page_count = self._write_pages(seed, collided=collided)
        catalogue.skip(self._blocks.position - pages_offset)
        footer = Footer(
            catalogue_offset=offset,
            catalogue_length=pages_offset - offset,
            pages_offset=pages_offset,
            page_count=page_count,
            generation=self._origin.generation,
            count=self._count,
            ordinals=self._blocks.ordinals,
            seed=seed,
            archive_id=self._origin.archive_id,
            created_ms=self._origin.created_ms,
            modified_ms=self._origin.modified_ms,
            dictionary_length=self._blocks.dictionary_length,
            reserved=0,
            dictionary_offset=self._blocks.dictionary_offset,
            stored_bytes=self._stored_bytes,
            data_bytes=self._data_bytes,
            external_bytes=self._external_bytes,
            catalogue_crc=catalogue_crc,
            parquet_crc=0,
            external_count=self._external_count,
            block_count=self._blocks.blocks,
        )
        self._write_end(catalogue.finish(), footer)

    def _emit(self, data: bytes) -> None:
        self._crc = crc32c(data, self._crc)
        self._blocks.write([data])

    def _add_up(self, rows: pa.Table) -> None:
        external = (numbers_of(rows, "flags") & FLAG_EXTERNAL) != 0
        sizes, stored_sizes = numbers_of(rows, "size"), numbers_of(rows, "stored_size")
        self._count += rows.num_rows
        self._stored_bytes += int(stored_sizes.sum())
        self._data_bytes += int(sizes.sum())
        if external.any():
            self._external_count += int(external.sum())
            self._stored_bytes -= int(stored_sizes[external].sum())
            self._data_bytes -= int(sizes[external].sum())
            self._external_bytes += int(sizes[external].sum())

    def _write_pages(self, seed: int, *, collided: bool) -> tuple[int, int]:
        """Write the pages, with other seeds until no two names have one hash; return the seed and their number."""
        while True:
            if collided:
                seed = (seed + _SEED_STEP) % _U64
            entries = SortedRuns(HASH, self._folder)
            try:
                high_words = self._collect(entries, seed, rehash=collided)
                page_count = 0 if high_words is None else choose_page_count(high_words)
                if page_count:
                    pages = PageWriter(page_count, self._origin.archive_id, lambda page: self._blocks.write([page]))
                    for table in entries.sorted():
                        pages.write(*(numbers_of(table, name) for name in table.column_names))
                    pages.finish()
                    return seed, page_count
            finally:
                entries.close()
            collided = True

    def _collect(self, entries: SortedRuns, seed: int, *, rehash: bool) -> NDArray[np.uint32] | None:
        """Make the entries of the pages; return the high halves of the hashes, or None if two are the same."""
        high_words = [np.empty(0, np.uint32)]
        seen = NameSet()
        for rows in filter(len, self._rows.tables()):  # all of a table may be deleted
            hashes = numbers_of(rows, HASH)
            if rehash:
                hashes = hashes_of(names_of(rows), seed)
                if not seen.add_all(hashes):
                    return None
            high_words.append((hashes >> _HALF).astype(np.uint32))
            entries.add(
                pa.table(
                    {
                        # Copies: a column of a spilled run keeps the whole of it in memory, names included.
                        HASH: hashes.copy(),
                        "location": locations_of(rows),
                        "length": numbers_of(rows, "stored_size").astype(np.uint32),
                        CHECKSUM: numbers_of(rows, CHECKSUM).copy(),
                    }
                )
            )
        return np.concatenate(high_words)

    def _write_end(self, parquet: bytes, footer: Footer) -> None:
        """Write Parquet's end with the extension in it: ``parquet`` ends with a stop byte, a length and the magic."""
        metadata_length = int.from_bytes(parquet[-8:-4], "little") + len(EXTENSION_HEADER) + EXTENSION_BYTES
        start = parquet[:-9] + EXTENSION_HEADER
        end = b"\0" + metadata_length.to_bytes(4, "little") + PARQUET_MAGIC
        footer = footer._replace(parquet_crc=crc32c(end, crc32c(start)))
        archive_size = self._blocks.position + len(start) + END_BYTES
        self._blocks.write([start, footer.pack_extension(archive_size), end])


def _rechunked(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Give rows on in row groups' sizes."""
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        if count >= ROW_GROUP_ROWS:
            rows = pa.concat_tables(waiting)
            whole = count - count % ROW_GROUP_ROWS
            for start in range(0, whole, ROW_GROUP_ROWS):
                yield from _in_bounds(rows.slice(start, ROW_GROUP_ROWS))
            waiting, count = [rows.slice(whole)], count - whole
    if count:
        yield from _in_bounds(pa.concat_tables(waiting))


def _in_bounds(rows: pa.Table) -> Iterator[pa.Table]:
    """Halve what has so much metadata that a reader could not hold it."""
    if rows.num_rows > 1 and rows.nbytes > _ROW_GROUP_BYTES:
        half = rows.num_rows // 2
        yield from _in_bounds(rows.slice(0, half))
        yield from _in_bounds(rows.slice(half))
    else:
        yield rows.combine_chunks()
