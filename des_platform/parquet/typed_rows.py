"""What the typed formats have in common: their bytes, batches of Arrow columns to rows, and what becomes of damage.

A file's bytes are mapped, never read by a size that the file claims. Columns that come as dictionaries or run ends may
stand for far more than is in the file: a batch is cut until what comes out of it is bounded.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
from pyarrow import compute

from des_platform.parquet.arrow_plain import plain
from des_platform.parquet.arrow_values import from_arrow
from des_platform.parquet.batches import MAX_BATCH_ROWS, BatchBuilder, RejectedRow, RowBatch, Target, reject
from des_platform.parquet.json_text import json_texts
from des_platform.parquet.names import AmbiguousName, match_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The stubs of pyarrow's functions know fewer types than the functions.
pc: Any = compute

MAX_BATCH_BYTES = 64 << 20
"""About as much as one batch holds, but for a single row that is larger."""

_MAX_SHOWN, _MAX_SAID = 100, 300
READER_ERRORS = (
    pa.ArrowException,
    OSError,
    ValueError,
    KeyError,
    EOFError,
    IndexError,
    MemoryError,
    RecursionError,
)
"""What the readers raise for files that are not what they claim."""


class DamagedFile(ValueError):
    """What is wrong with a file, from some record on."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A record that cannot be one of the file's rows: what stands there, and why."""

    text: str
    reason: str


def content(source: BinaryIO) -> pa.Buffer:
    """Return a file's bytes, mapped into memory where it has a descriptor.

    Raises:
        DamagedFile: it is empty.
    """
    try:
        descriptor = source.fileno()
    except (AttributeError, OSError):
        data = source.read()
        if not data:
            raise DamagedFile("it is empty") from None
        return pa.py_buffer(data)
    try:
        return pa.py_buffer(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
    except ValueError:
        raise DamagedFile("it is empty") from None


def typed_batches(found: Iterable[pa.RecordBatch | Unread], target: Target, what: str) -> Iterator[RowBatch]:
    """Turn a file's record batches into rows.

    Args:
        found: the file's batches and unreadable records in order, each checked to be what it claims; fails with any of
            a reader's errors.
        target: what they are to become.
        what: the format, for the reason where the file is damaged.

    Yields:
        Batches; where the file breaks, a last one with one rejected row.
    """
    number = 1
    batches = _row_batches(found, target)
    while True:
        try:
            batch = next(batches, None)
        except AmbiguousName as error:
            yield target.nothing([reject(1, "", f"the whole file is rejected: {error}")])
            return
        except READER_ERRORS as error:
            said = " ".join(str(error).split())[:_MAX_SAID] or type(error).__name__
            whole = f"the whole file is rejected: it is no whole {what} file"
            part = "the file is damaged from here on, and nothing after this was read"
            yield target.nothing([reject(number, "", f"{whole if number == 1 else part}: {said}")])
            return
        if batch is None:
            return
        number += batch.rows.num_rows + len(batch.rejected)
        yield batch


def _row_batches(found: Iterable[pa.RecordBatch | Unread], target: Target) -> Iterator[RowBatch]:
    number = 1
    for batch in found:
        if isinstance(batch, Unread):
            yield target.nothing([reject(number, batch.text, batch.reason)])
            number += 1
            continue
        for part in _bounded(batch):
            yield _rows_of(part, number, target)
            number += part.num_rows


def _bounded(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Parts of at most `MAX_BATCH_ROWS` rows, and about `MAX_BATCH_BYTES` when its dictionaries are decoded."""
    parts = [batch.slice(start, MAX_BATCH_ROWS) for start in range(0, max(1, batch.num_rows), MAX_BATCH_ROWS)][::-1]
    while parts:
        part = parts.pop()
        if part.num_rows > 1 and sum(map(_decoded_bytes, part.columns)) > MAX_BATCH_BYTES:
            half = part.num_rows // 2
            parts += [part.slice(half), part.slice(0, half)]
        else:
            yield part


def _decoded_bytes(values: pa.Array[Any]) -> int:
    """About how many bytes values take once they are `plain`."""
    parts: Any = values
    size: int = values.nbytes
    if isinstance(values, pa.ExtensionArray):
        size = _decoded_bytes(values.storage)
    elif isinstance(values, pa.RunEndEncodedArray):
        size = len(values) * max(1, parts.values.nbytes)
    elif isinstance(values, pa.DictionaryArray):
        kind = parts.dictionary.type
        if pa.types.is_string(kind) or pa.types.is_binary(kind):
            size = pc.sum(pc.binary_length(parts.dictionary).take(parts.indices)).as_py() or 0
        elif not pa.types.is_primitive(kind):
            size = len(values) * max(1, parts.dictionary.nbytes)
    elif isinstance(values, pa.StructArray):
        size = sum(map(_decoded_bytes, values.flatten()))
    elif isinstance(values, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        size = _decoded_bytes(values.flatten())
    return size


def _rows_of(batch: pa.RecordBatch, first: int, target: Target) -> RowBatch:
    batch, rejected, numbers = _readable(batch, first)
    found = match_names(batch.schema.names, target.columns)
    twice = [name for name in found.values() if batch.schema.names.count(name) > 1]
    if twice:
        raise AmbiguousName(f"it has column {twice[0]!r} twice")
    columns = {name: plain(batch.column(name)) for name in found.values()}
    texts: list[str] = []

    def text_of(index: int) -> str:
        if not texts:
            texts.extend(_texts(batch))
        return texts[index]

    builder = BatchBuilder(target, numbers, text_of, rejected)
    for column, kind in target.columns.items():
        if column not in found:
            builder.add_nulls()
            continue
        values = columns[found[column]]
        array, faults = from_arrow(values, kind)
        builder.add(array, _as_texts(values, faults), as_json=str, as_shown=_shown)
    others = [index for index, name in enumerate(batch.schema.names) if name not in columns]
    if target.is_rescue:
        for index in others:
            builder.keep(batch.schema.names[index], json_texts(plain(batch.column(index))))
    return builder.build(frozenset(batch.schema.names[index] for index in others))


def _as_texts(values: pa.Array[Any], faults: list[int]) -> dict[int, str]:
    if not faults:
        return {}
    texts = json_texts(_as_bytes(values.take(pa.array(faults, pa.int64()))))
    return dict(zip(faults, map(str, texts.to_pylist()), strict=True))


def _as_bytes(values: pa.Array[Any]) -> pa.Array[Any]:
    """Strings that are none as the bytes that they are."""
    if pa.types.is_string(values.type):
        try:
            values.validate(full=True)
        except pa.ArrowInvalid:
            return values.cast(pa.binary())
    return values


def _shown(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _texts(batch: pa.RecordBatch) -> list[str]:
    """The records as JSON objects."""
    parts = [_as_bytes(plain(column)) for column in batch.columns]
    return [str(text) for text in json_texts(pa.StructArray.from_arrays(parts, names=batch.schema.names)).to_pylist()]


def _readable(batch: pa.RecordBatch, first: int) -> tuple[pa.RecordBatch, list[RejectedRow], list[int] | range]:
    """The rows whose values are what their types say; text within parts that is no Unicode makes its record none."""
    numbers = range(first, first + batch.num_rows)
    nested = [column for column in batch.columns if _has_parts(column.type)]
    if all(map(_is_valid, nested)):
        return batch, [], numbers
    problems = {i: problem for i in numbers if (problem := _row_problem(nested, i - first))}
    good = [i for i in numbers if i not in problems]
    rejected = [reject(i, "", f"the record holds what its type cannot: {said}") for i, said in problems.items()]
    return batch.take(pa.array([i - first for i in good], pa.int64())), rejected, good


def _has_parts(kind: pa.DataType) -> bool:
    return pa.types.is_nested(kind) or isinstance(kind, pa.DictionaryType | pa.BaseExtensionType)


def _is_valid(values: pa.Array[Any]) -> bool:
    return not _problem(values)


def _problem(values: pa.Array[Any]) -> str:
    try:
        plain(values).validate(full=True)
    except pa.ArrowInvalid as error:
        return str(error)
    return ""


def _row_problem(columns: list[pa.Array[Any]], index: int) -> str:
    one = pa.array([index], pa.int64())  # a slice would still be validated with its neighbours' parts
    return "; ".join(filter(None, (_problem(column.take(one)) for column in columns)))
