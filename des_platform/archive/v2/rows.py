"""Rows of the catalogue made from what stands in an archive already: its blocks, or its catalogue and pages.

The rows are those that a builder makes of new members (`BlockWriter`): sorted and written, they are a new catalogue.
"""

from __future__ import annotations

import json
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from xxhash import xxh3_64_intdigest

from des_platform.archive.errors import CorruptArchive
from des_platform.archive.v2.block import ObjectColumns, split
from des_platform.archive.v2.block_writer import strings
from des_platform.archive.v2.catalogue_writer import CHECKSUM, HASH, USER_TYPES
from des_platform.archive.v2.layout import FLAGS_SHIFT, MAX_OFFSET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


def hashes_of(names: Sequence[bytes], seed: int) -> NDArray[np.uint64]:
    """Return the hashes of names."""
    return np.fromiter(map(xxh3_64_intdigest, names, repeat(seed)), np.uint64, len(names))


def names_of(rows: pa.Table) -> list[bytes]:
    """Return the names of rows as UTF-8."""
    return [name for name in rows.column("name").cast(pa.binary()).to_pylist() if name is not None]


def locations(offsets: NDArray[np.uint64], flags: NDArray[np.integer[Any]]) -> NDArray[np.uint64]:
    """Return offsets and flags as pages have them."""
    return offsets | (flags.astype(np.uint64) << np.uint64(FLAGS_SHIFT))


def locations_of(rows: pa.Table) -> NDArray[np.uint64]:
    """Return the locations of rows."""
    return locations(numbers_of(rows, "data_offset").view(np.uint64), numbers_of(rows, "flags"))


def numbers_of(rows: pa.Table, column: str) -> NDArray[Any]:
    """Return a column as an array; what has one chunk is not copied."""
    values = rows.column(column)
    return (values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()).to_numpy(zero_copy_only=False)


def rows_of_block(
    columns: ObjectColumns,
    payload_offset: int,
    records: Mapping[int, bytes],
    seed: int,
    user_columns: Mapping[str, str],
) -> pa.Table:
    """Return the rows of a block's objects.

    Args:
        columns: of the block.
        payload_offset: where its payload begins in the archive.
        records: the stored payloads of its external objects, by position.
        seed: of the hash of names.
        user_columns: names and types of the user's columns.

    Raises:
        CorruptArchive: a name or metadata is not what the format says.
    """
    sizes = columns.raw_lengths.astype(np.int64)
    metadata: list[bytes | None] = [text or None for text in split(columns.metadata, columns.metadata_lengths)]
    for index, record in records.items():
        metadata[index] = record
        sizes[index] = record_size(record)
    names = split(columns.names, columns.name_lengths)
    try:
        return pa.table(
            {
                "name": strings(columns.names, columns.name_lengths).cast(pa.binary()).cast(pa.string()),
                "data_offset": columns.offsets(payload_offset).view(np.int64),
                "stored_size": columns.stored_lengths.astype(np.int64),
                "size": sizes,
                "flags": columns.flags.astype(np.int32),
                "metadata": pa.array(metadata, pa.binary()).cast(pa.string()),
                **user_values(metadata, user_columns),
                HASH: hashes_of(names, seed),
                CHECKSUM: columns.checksums,
            }
        )
    except (ValueError, TypeError, OverflowError) as error:  # Arrow's own are of these kinds
        raise CorruptArchive(f"the block of the payload at {payload_offset} has broken columns: {error}") from error


def parse_json(raw: bytes | str) -> dict[str, Any]:
    """Return a JSON object; an empty one for what is none."""
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def is_json_object(raw: bytes | str) -> bool:
    """Whether this is a JSON object, in UTF-8."""
    try:
        return isinstance(json.loads(raw if isinstance(raw, str) else raw.decode()), dict)
    except (ValueError, RecursionError):
        return False


def record_size(record: bytes) -> int:
    """Return the size that the record of an external object names; 0 if it names none."""
    size = parse_json(record).get("size")
    return size if isinstance(size, int) and 0 <= size <= MAX_OFFSET else 0


def user_values(metadata: Sequence[bytes | str | None], user_columns: Mapping[str, str]) -> dict[str, pa.Array[Any]]:
    """Return the columns that metadata fill.

    Raises:
        TypeError, ValueError, OverflowError: a value is not of its column's type.
    """
    if not user_columns:
        return {}
    parsed = [parse_json(text) if text else {} for text in metadata]
    return {
        name: pa.array([_typed(row.get(name), kind) for row in parsed], USER_TYPES[kind])
        for name, kind in user_columns.items()
    }


def _typed(value: Any, kind: str) -> Any:  # noqa: ANN401 - whatever JSON can be
    """Arrow makes doubles of no integers but those that are exact."""
    return float(value) if kind == "double" and type(value) is int else value
