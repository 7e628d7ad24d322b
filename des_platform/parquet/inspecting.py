"""What a Parquet file says of itself: schema, row groups, and what each column takes in which encoding and codec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from des_platform.parquet.optimizing import open_parquet

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_LEVELS = frozenset({"RLE", "BIT_PACKED"})  # what definition levels are written in, of every column


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """A leaf column, over all row groups.

    Attributes:
        path: as Parquet writes it.
        physical: Parquet's type.
        encodings: that occur, those of levels left out.
        codecs: that occur.
        values: how many, nulls included.
        packed: bytes in the file.
        unpacked: bytes before the codec.
    """

    path: str
    physical: str
    encodings: tuple[str, ...]
    codecs: tuple[str, ...]
    values: int
    packed: int
    unpacked: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """A Parquet file.

    Attributes:
        size: its bytes.
        rows: how many.
        row_groups: rows and bytes in the file of each.
        written_by: what its writer calls itself.
        schema: column and type, in order; a type is followed by `not null` where nothing may be missing.
        columns: the leaf columns.
    """

    size: int
    rows: int
    row_groups: tuple[tuple[int, int], ...]
    written_by: str
    schema: tuple[tuple[str, str], ...]
    columns: tuple[ColumnFacts, ...]


def inspect(source: IO[bytes]) -> Inspection:
    """Read the footer of a file.

    Raises:
        NotParquet: it is no Parquet file.
    """
    file = open_parquet(source)
    metadata = file.metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    sizes = [sum(group.column(index).total_compressed_size for index in range(group.num_columns)) for group in groups]
    return Inspection(
        size=source.seek(0, 2),
        rows=metadata.num_rows,
        row_groups=tuple((group.num_rows, size) for group, size in zip(groups, sizes, strict=True)),
        written_by=metadata.created_by or "",
        schema=tuple((item.name, _typed(item)) for item in file.schema_arrow),
        columns=tuple(_facts(metadata, groups, index) for index in range(metadata.num_columns)),
    )


def _typed(item: pa.Field[Any]) -> str:
    return str(item.type) if item.nullable else f"{item.type} not null"


def _facts(metadata: pq.FileMetaData, groups: list[pq.RowGroupMetaData], index: int) -> ColumnFacts:
    leaf = metadata.schema.column(index)
    chunks = [group.column(index) for group in groups]
    encodings = {name for chunk in chunks for name in chunk.encodings} - _LEVELS
    if any(name.endswith("_DICTIONARY") for name in encodings):
        encodings.discard("PLAIN")  # of the dictionary itself
    return ColumnFacts(
        path=leaf.path,
        physical=leaf.physical_type,
        encodings=tuple(sorted(encodings)),
        codecs=tuple(sorted({chunk.compression.lower() for chunk in chunks})),
        values=sum(chunk.num_values for chunk in chunks),
        packed=sum(chunk.total_compressed_size for chunk in chunks),
        unpacked=sum(chunk.total_uncompressed_size for chunk in chunks),
    )
