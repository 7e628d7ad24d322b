"""Takes the blocks of an archive over into a new one: what a builder must know to go on behind them.

`adopt` reads an archive that is whole, through its catalogue and pages: the payloads are never read here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from des_platform.archive.errors import CorruptArchive
from des_platform.archive.v2.catalogue import Catalogue
from des_platform.archive.v2.catalogue_writer import CHECKSUM, HASH
from des_platform.archive.v2.layout import (
    BLOCK_HEADER_BYTES,
    HEADER_BYTES,
    MAX_BLOCK_OBJECTS,
    MAX_OFFSET,
    Footer,
    Header,
    Hint,
)
from des_platform.archive.v2.members import parse_dictionary
from des_platform.archive.v2.pages import page_bytes, parse_page
from des_platform.archive.v2.rows import hashes_of, names_of
from des_platform.archive.v2.tailed import TailedSource
from des_platform.archive.v2.view import V2View

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from des_platform.archive.source import ByteSource

_TAIL_BYTES = 64 * 1024
_LAST_GENERATION = 2**32 - 1
_PAGES_AT_ONCE = 512
_PAGE_CACHE_BYTES = 64 * 1024 * 1024


@dataclass(slots=True)
class Adopted:
    """Blocks that are taken over.

    Attributes:
        source: holds them.
        length: they are its first bytes, header included.
        rows: of their members, hashed with ``seed``.
        archive_id: theirs.
        created_ms: of the archive that they come from.
        generation: of the archive that they go to.
        seed: of the hash of names.
        ordinals: how many objects they hold.
        blocks: how many they are.
        columns: the user's columns.
        dictionary: the zstd dictionary among them; nothing if there is none.
        dictionary_offset: of its block.
        dictionary_length: of its block.
        data_bytes: the members' lengths, together.
        external_count: how many members are outside.
        external_bytes: the sizes of those, together.
        view: looks the names up that may be deleted.
    """

    source: ByteSource
    length: int
    rows: Iterable[pa.Table]
    archive_id: int
    created_ms: int
    generation: int
    seed: int
    ordinals: int
    blocks: int
    columns: Mapping[str, str] = field(default_factory=dict)
    dictionary: bytes = b""
    dictionary_offset: int = 0
    dictionary_length: int = 0
    data_bytes: int = 0
    external_count: int = 0
    external_bytes: int = 0
    view: V2View | Container[str] = ()

    def has(self, name: str) -> bool:
        """Whether a name is among the members."""
        return name in self.view

    def without(self, names: list[str]) -> Callable[[pa.Table], pa.Table]:
        """Return what takes these members out of rows, and leaves later ones of the same names in."""
        gone = pa.array(names, pa.string())

        def keep(rows: pa.Table) -> pa.Table:
            # An empty member may lie at the very end of the blocks; a new one has its block's header before it.
            ours = pc.less_equal(rows.column("data_offset"), pa.scalar(self.length))
            return rows.filter(pc.invert(pc.and_(ours, pc.is_in(rows.column("name"), value_set=gone))))

        return keep


class PageArrays:
    """All entries of an archive's pages, sorted by hash: 24 bytes a file.

    Args:
        source: the archive.
        hint: of the archive.
        where: names the archive in errors.

    Raises:
        CorruptArchive: a page is broken, or they do not hold as many files as the archive.
    """

    def __init__(self, source: TailedSource, hint: Hint, where: str) -> None:
        self._where = where
        columns: list[list[bytes]] = [[], [], [], []]
        length = page_bytes(hint)
        for first in range(0, hint.page_count, _PAGES_AT_ONCE):
            count = min(_PAGES_AT_ONCE, hint.page_count - first)
            raw = source.read(hint.pages_offset + first * length, count * length)
            for number in range(count):
                page = parse_page(raw[number * length : (number + 1) * length], first + number, hint, where)
                for column, values in zip(
                    columns, (page.hashes, page.locations, page.lengths, page.checksums), strict=True
                ):
                    column.append(bytes(values))
        self.hashes = np.frombuffer(b"".join(columns[0]), np.uint64)
        self.locations = np.frombuffer(b"".join(columns[1]), np.uint64)
        self.lengths = np.frombuffer(b"".join(columns[2]), np.uint32)
        self.checksums = np.frombuffer(b"".join(columns[3]), np.uint32)
        if len(self.hashes) != hint.count:
            raise CorruptArchive(f"{where}: the pages hold {len(self.hashes)} files, the archive {hint.count}")

    def find(self, hashes: NDArray[np.uint64], locations: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return which entries have these hashes.

        Raises:
            CorruptArchive: one is missing, or leads to another location.
        """
        at = np.searchsorted(self.hashes, hashes)
        wrong = (at == len(self.hashes)) | (self.hashes[at.clip(max=len(self.hashes) - 1)] != hashes)
        if wrong.any() or (self.locations[at] != locations).any():
            raise CorruptArchive(f"{self._where}: the catalogue and the pages do not agree")
        return at


def adopt(source: ByteSource) -> Adopted:
    """Take a whole archive over, to go on behind its blocks.

    Raises:
        CorruptArchive: it is broken.
        UnsupportedVersion: it is of version 1, which cannot be gone on from: convert it.
    """
    where = repr(source)
    tail, size = source.read_tail(_TAIL_BYTES)
    footer = Footer.parse(tail, size, where)
    tailed = TailedSource(source, where, size, tail)
    if Header.parse(tailed.read(0, HEADER_BYTES), where).archive_id != footer.archive_id:
        raise CorruptArchive(f"{where}: header and footer are of different archives")
    if (
        footer.block_count * BLOCK_HEADER_BYTES > footer.catalogue_offset
        or not footer.count <= footer.ordinals <= footer.block_count * MAX_BLOCK_OBJECTS
        or footer.generation == _LAST_GENERATION
    ):
        raise CorruptArchive(
            f"{where}: {footer.ordinals} objects in {footer.block_count} blocks, {footer.generation} generations: "
            "nothing can be added to that"
        )
    catalogue = Catalogue(tailed, footer, where)
    block = tailed.read(footer.dictionary_offset, footer.dictionary_length)
    return Adopted(
        source=source,
        length=footer.catalogue_offset,
        rows=_rows(catalogue, PageArrays(tailed, Hint.of(footer, size), where), footer.seed),
        archive_id=footer.archive_id,
        created_ms=footer.created_ms,
        generation=footer.generation + 1,
        seed=footer.seed,
        ordinals=footer.ordinals,
        blocks=footer.block_count,
        columns=catalogue.user_columns,
        dictionary=parse_dictionary(block, footer.archive_id, where) if block else b"",
        dictionary_offset=footer.dictionary_offset,
        dictionary_length=footer.dictionary_length,
        data_bytes=footer.data_bytes,
        external_count=footer.external_count,
        external_bytes=footer.external_bytes,
        view=V2View(
            source,
            where,
            tail=(tail, size),
            hint=None,
            cache=None,
            page_cache_bytes=_PAGE_CACHE_BYTES,
            max_object_bytes=0,
        ),
    )


def locations_of(rows: pa.Table) -> NDArray[np.uint64]:
    """Return offsets and flags of rows as pages have them."""
    flags = rows.column("flags").combine_chunks().to_numpy().astype(np.uint64)
    return rows.column("data_offset").combine_chunks().to_numpy().view(np.uint64) | (flags << np.uint64(48))


def _rows(catalogue: Catalogue, pages: PageArrays, seed: int) -> Iterator[pa.Table]:
    for rows in catalogue.tables():
        hashes = hashes_of(names_of(rows), seed)
        at = pages.find(hashes, locations_of(rows))
        if rows.num_rows and (largest := pc.max(rows.column("size")).as_py()) > MAX_OFFSET:
            raise CorruptArchive(f"the catalogue has a file of {largest} bytes: more than {MAX_OFFSET}")
        rows = rows.append_column(HASH, pa.array(hashes))  # noqa: PLW2901 - the same rows
        yield rows.append_column(CHECKSUM, pa.array(pages.checksums[at]))
