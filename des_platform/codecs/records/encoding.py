"""Lines to columns: a file in, a Parquet file out, block by block."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import xxhash
import zstandard

from des_platform.codecs.records.arrow import beneath, numbers_of, numbers_to_arrow, texts_to_arrow, valid_of
from des_platform.codecs.records.container import Sink
from des_platform.codecs.records.dense import PREFIX, Dense, Numbers, look_up, rest_of
from des_platform.codecs.records.encodings import Encoding, align, choose_encoding, choose_level, open_writer
from des_platform.codecs.records.errors import NotRecords
from des_platform.codecs.records.lines import BLOCK_BYTES, LEAST_BLOCK_BYTES, MAX_FIELDS, Block, blocks, not_utf8
from des_platform.codecs.records.plan import Plan, make_plan, read_columns
from des_platform.codecs.records.relations import find_relations
from des_platform.codecs.records.sql import BLOCK, SQL_KEY, TEMPLATE, table_sql
from des_platform.codecs.records.values import Values, to_arrow

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

LINE = "des:line"
METADATA_KEY = b"des:records"
VERSION = 1
WORTH = 0.8  # of zstd-9: about what the best ordinary codecs make of such text
_OWN_COLUMNS = 3
_PROBE_BYTES = 1 << 19


@dataclass(frozen=True)
class _Read:
    """A block taken apart.

    Attributes:
        block: its lines.
        template: the number of each line's template, 0 for none.
        values: of each column.
        good: which lines fit their template with all of their values.
        arrays: the values of these.
    """

    block: Block
    template: NDArray[np.int32]
    values: dict[str, Values]
    good: NDArray[np.bool_]
    arrays: dict[str, pa.Array[Any]]


@dataclass
class _Encoder:
    """Makes the rows of blocks, all in the same way.

    Attributes:
        plan: how lines are taken apart.
        relations: columns that follow from others, in the order in which they are undone.
    """

    plan: Plan
    relations: list[Dense] = field(default_factory=list)

    def table(self, text: bytes) -> pa.Table:
        """The rows of a block."""
        return self.rows(self.read(text))

    def read(self, text: bytes) -> _Read:
        """The columns of a block."""
        block = Block.of(text)
        spans, values, good = read_columns(self.plan, block)
        if (wrong := not_utf8(text, block)) is not None:
            good &= ~wrong
        return _Read(block, spans.template, values, good, self._arrays(block, values, good))

    def _arrays(self, block: Block, values: dict[str, Values], good: NDArray[np.bool_]) -> dict[str, pa.Array[Any]]:
        return {column.name: to_arrow(column, block, values[column.name], good) for column in self.plan.columns}

    def rows(self, read: _Read) -> pa.Table:
        """The rows of what was read, without what follows from others."""
        import numpy as np
        import pyarrow as pa

        known = self._follow(read)
        arrays, good = read.arrays, read.good
        if not known.all():
            good = good & known
            arrays = self._arrays(read.block, read.values, good)
        stored = dict(arrays)
        for dense in self.relations:
            if dense.how != "lookup":
                names = {dense.column} | ({dense.of} if dense.of else set())
                numbers = {name: _numbers(read.values[name], good) for name in names}
                rest, valid = rest_of(dense, numbers, arrays), numbers[dense.column].valid
                stored[PREFIX + dense.column] = numbers_to_arrow(rest, pa.int64(), valid)
            del stored[dense.column]
        template = np.where(good, read.template, 0)
        stored[TEMPLATE] = numbers_to_arrow(template, pa.int32())
        stored[LINE] = texts_to_arrow(read.block, read.block.starts, read.block.after, ~good, binary=True)
        return pa.table(stored)

    def _follow(self, read: _Read) -> NDArray[np.bool_]:
        """Which lines have in all columns that follow from others what follows; those that do not fit have."""
        import numpy as np
        import pyarrow.compute as pc

        known = np.ones(len(read.good), bool)
        for dense in self.relations:
            if dense.how == "lookup":
                kind = read.arrays[dense.column].type
                told, places = look_up(dense, read.arrays[dense.of], kind)
                own, told = beneath(read.arrays[dense.column]), beneath(told)
                there, given = valid_of(own), valid_of(told)
                same = numbers_of(pc.equal(told, own)) != 0
                known &= (there == given) & (same | ~there) & valid_of(places)
            elif dense.step != 1:
                numbers = _numbers(read.values[dense.column], read.good)
                known &= numbers.values % dense.step == 0
        return known | ~read.good


def _numbers(values: Values, good: NDArray[np.bool_]) -> Numbers:
    import numpy as np

    valid = values.valid & good
    numbers = values.numbers if values.numbers is not None else np.zeros(len(good), np.int64)
    return Numbers(numbers if valid.all() else np.where(valid, numbers, 0), valid)


def compress_records(chunks: Iterable[bytes], *, threads: int = 1) -> Iterator[bytes]:
    """Turn a file of records into a Parquet file.

    Args:
        chunks: the file, cut anywhere; where does not change the output.
        threads: blocks that are taken apart side by side; their number does not change the output.

    Yields:
        The Parquet file.

    Raises:
        NotRecords: before the first piece: the file has no records that are alike, or columns do not make it smaller.
    """
    original = _Counted(chunks)
    pieces = blocks(original)
    first = next(pieces, b"")
    plan = make_plan(first)
    pieces = blocks(chain([first[len(plan.head) :]], pieces), _block_bytes(plan, first))
    body = next(pieces)
    encoder, table, encodings = _first_table(plan, body)
    sink = Sink()
    numbered = any(dense.how == "previous" for dense in encoder.relations)
    writer = _Writer(sink, table.schema, encodings, numbered=numbered)
    writer.write(table)
    start = sink.take()
    _check_worth(body, len(start))
    yield start
    for following in _side_by_side(encoder.table, pieces, threads):
        writer.write(following)
        yield sink.take()
    writer.close(_metadata(encoder, original))
    yield sink.take_sealed()


class _Counted:
    """Passes a file's chunks on; then knows its size and its checksum."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self._digest = xxhash.xxh3_128()
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._digest.update(chunk)
            self.size += len(chunk)
            yield chunk

    @property
    def checksum(self) -> str:
        return self._digest.hexdigest()


def _first_table(plan: Plan, text: bytes) -> tuple[_Encoder, pa.Table, dict[str, Encoding]]:
    """The rows of the first block, and how its columns and all others are made and written."""
    encoder = _Encoder(plan)
    read = encoder.read(text)
    chosen = {name: choose_encoding(array) for name, array in read.arrays.items()}
    sizes = {name: size for name, (_encoding, size) in chosen.items()}
    encoder.relations = find_relations(plan.columns, read.arrays, sizes)
    table = encoder.rows(read)
    encodings = {}
    for name in table.column_names:
        array = table[name].combine_chunks()
        encodings[name] = choose_level(array, *(chosen.get(name) or choose_encoding(array)))
    return encoder, table, encodings


class _Writer:
    """Writes tables as row groups; where that is asked for, with the number of each."""

    def __init__(self, sink: Sink, schema: pa.Schema, encodings: dict[str, Encoding], *, numbered: bool) -> None:
        import pyarrow as pa

        if numbered:
            schema = schema.append(pa.field(BLOCK, pa.int32()))
            encodings = {**encodings, BLOCK: Encoding("DELTA_BINARY_PACKED", 1)}
        self._numbered = numbered
        self._encodings = encodings
        self._writer = open_writer(sink, encodings, schema)
        self._count = 0

    def write(self, table: pa.Table) -> None:
        import numpy as np
        import pyarrow as pa

        columns = {name: align(table[name].combine_chunks(), self._encodings[name]) for name in table.column_names}
        if self._numbered:
            columns[BLOCK] = numbers_to_arrow(np.full(table.num_rows, self._count), pa.int32())
        self._writer.write_table(pa.table(columns), row_group_size=max(1, table.num_rows))
        self._count += 1

    def close(self, metadata: dict[bytes, bytes]) -> None:
        self._writer.add_key_value_metadata(metadata)
        self._writer.close()


def _block_bytes(plan: Plan, first: bytes) -> int:
    """How many bytes a block may have, so that what is made of it stays small."""
    lines = max(1, first.count(b"\n"))
    size = len(first) * MAX_FIELDS // (lines * (len(plan.columns) + _OWN_COLUMNS))
    return max(LEAST_BLOCK_BYTES, min(BLOCK_BYTES, size))


def _check_worth(text: bytes, size: int) -> None:
    probe = text[:_PROBE_BYTES]
    plain = len(zstandard.ZstdCompressor(level=9).compress(probe)) / len(probe)
    if size > WORTH * plain * len(text):
        raise NotRecords(
            f"columns would take {size / len(text):.3f} of the first {len(text)} bytes, zstd {plain:.3f}: no gain"
        )


def _side_by_side(work: Callable[[bytes], pa.Table], pieces: Iterator[bytes], threads: int) -> Iterator[pa.Table]:
    """Results in order, at most `threads` of them being made or waiting."""
    if threads <= 1:
        yield from map(work, pieces)
        return
    from collections import deque

    with ThreadPoolExecutor(threads - 1, "records") as pool:
        waiting: deque[Future[pa.Table]] = deque(pool.submit(work, piece) for piece in islice(pieces, threads - 1))
        while waiting:
            table = waiting.popleft().result()
            waiting.extend(pool.submit(work, piece) for piece in islice(pieces, 1))
            yield table


def _metadata(encoder: _Encoder, original: _Counted) -> dict[bytes, bytes]:
    """All that is needed to write the lines again; a character of a text stands for a byte."""
    plan = encoder.plan
    record = {
        "version": VERSION,
        "format": plan.line_format,
        "size": original.size,
        "xxh3_128": original.checksum,
        "head": plan.head.decode("latin-1"),
        "columns": [column.to_json() for column in plan.columns],
        "dense": [dense.to_json() for dense in encoder.relations],
        "templates": [
            {
                "constants": [constant.decode("latin-1") for constant in template.constants],
                "columns": [item.column for item in template.fields],
            }
            for template in plan.templates
        ],
    }
    return {
        METADATA_KEY: json.dumps(record, separators=(",", ":")).encode(),
        SQL_KEY: table_sql(plan.columns, encoder.relations).encode(),
    }
