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
from des_platform.archive.models import TAIL_BYTES
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
from des_platform.archive.v2.rows import hashes_of, locations_of, names_of
from des_platform.archive.v2.tailed import TailedSource
from des_platform.archive.v2.view import V2View

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from des_platform.archive.source import ByteSource

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
        at, held = self._search(hashes, locations)
        if not held.all():
            raise CorruptArchive(f"{self._where}: the catalogue and the pages do not agree")
        return at

    def holds(self, hashes: NDArray[np.uint64], locations: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell of each of these hashes whether there is an entry of it that leads to its location."""
        return self._search(hashes, locations)[1]

    def _search(
        self, hashes: NDArray[np.uint64], locations: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        at = np.searchsorted(self.hashes, hashes)
        held = at < len(self.hashes)
        held[held] = (self.hashes[at[held]] == hashes[held]) & (self.locations[at[held]] == locations[held])
        return at, held


@dataclass(frozen=True, slots=True)
class Whole:
    """An archive of which the end has been read, and its parts as they are asked for.

    Attributes:
        source: its bytes.
        footer: checked.
        tail: its last bytes and its size.
        where: names it in errors.
    """

    source: TailedSource
    footer: Footer
    tail: tuple[bytes, int]
    where: str

    def pages(self) -> PageArrays:
        """Read all pages."""
        return PageArrays(self.source, Hint.of(self.footer, self.source.size), self.where)

    def catalogue(self) -> Catalogue:
        """Read what leads to the rows of the catalogue."""
        return Catalogue(self.source, self.footer, self.where)

    def dictionary(self) -> bytes:
        """Read the zstd dictionary; nothing if there is none."""
        block = self.source.read(self.footer.dictionary_offset, self.footer.dictionary_length)
        return parse_dictionary(block, self.footer.archive_id, self.where) if block else b""

    def check_counts(self) -> None:
        """Check that header and footer belong together, and that the footer's counts can be.

        Raises:
            CorruptArchive: they do not, or cannot.
        """
        footer, where = self.footer, self.where
        if Header.parse(self.source.read(0, HEADER_BYTES), where).archive_id != footer.archive_id:
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


def open_whole(source: ByteSource) -> Whole:
    """Read the end of an archive.

    Raises:
        CorruptArchive: it is broken.
        UnsupportedVersion: this is an archive of version 1.
    """
    where = repr(source)
    tail, size = source.read_tail(TAIL_BYTES)
    return Whole(TailedSource(source, where, size, tail), Footer.parse(tail, size, where), (tail, size), where)


def adopt(source: ByteSource) -> Adopted:
    """Take a whole archive over, to go on behind its blocks.

    Raises:
        CorruptArchive: it is broken.
        UnsupportedVersion: it is of version 1, which cannot be gone on from: convert it.
    """
    whole = open_whole(source)
    whole.check_counts()
    footer, catalogue = whole.footer, whole.catalogue()
    return Adopted(
        source=source,
        length=footer.catalogue_offset,
        rows=_rows(catalogue, whole.pages(), footer.seed),
        archive_id=footer.archive_id,
        created_ms=footer.created_ms,
        generation=footer.generation + 1,
        seed=footer.seed,
        ordinals=footer.ordinals,
        blocks=footer.block_count,
        columns=catalogue.user_columns,
        dictionary=whole.dictionary(),
        dictionary_offset=footer.dictionary_offset,
        dictionary_length=footer.dictionary_length,
        data_bytes=footer.data_bytes,
        external_count=footer.external_count,
        external_bytes=footer.external_bytes,
        view=V2View(
            source,
            whole.where,
            tail=whole.tail,
            hint=None,
            cache=None,
            page_cache_bytes=_PAGE_CACHE_BYTES,
            max_object_bytes=0,
        ),
    )


def _rows(catalogue: Catalogue, pages: PageArrays, seed: int) -> Iterator[pa.Table]:
    for rows in catalogue.tables():
        hashes = hashes_of(names_of(rows), seed)
        at = pages.find(hashes, locations_of(rows))
        if rows.num_rows and (largest := pc.max(rows.column("size")).as_py()) > MAX_OFFSET:
            raise CorruptArchive(f"the catalogue has a file of {largest} bytes: more than {MAX_OFFSET}")
        rows = rows.append_column(HASH, pa.array(hashes))  # noqa: PLW2901 - the same rows
        yield rows.append_column(CHECKSUM, pa.array(pages.checksums[at]))
