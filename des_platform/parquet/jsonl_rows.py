"""A file of JSON lines to typed batches: each line is one object, and a row, or is rejected.

Lines of nothing but white space are no records. Stricter than Python's own decoder: NaN and Infinity, which are no
JSON, and a key that stands twice in an object, of which one value would be lost, make a line invalid.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NoReturn

import pyarrow as pa

from des_platform.parquet.batches import MAX_BATCH_ROWS, BatchBuilder, RejectedRow, RowBatch, is_damaged, reject
from des_platform.parquet.columns import ColumnType, arrow_schema
from des_platform.parquet.json_values import from_json
from des_platform.parquet.lines import LineBlock, read_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


def read_jsonl(chunks: Iterable[bytes], columns: Mapping[str, ColumnType], max_line_bytes: int) -> Iterator[RowBatch]:
    """Read a file of JSON lines, as `des_platform.parquet.rows.read_rows` says. Yields nothing for an empty file."""
    schema = arrow_schema(columns)
    for event in read_lines(chunks, max_line_bytes):
        if not isinstance(event, LineBlock):
            rejected = reject(event.line, event.start, f"the line is longer than {max_line_bytes} bytes")
            yield RowBatch(pa.RecordBatch.from_pylist([], schema), pa.array([], pa.int64()), [rejected], frozenset())
            continue
        lines = event.text.split("\n")
        for start in range(0, len(lines), MAX_BATCH_ROWS):
            part = lines[start : start + MAX_BATCH_ROWS]
            batch = _read_lines(part, event.first + start, columns, schema, damaged=event.damaged)
            if batch.rows.num_rows or batch.rejected:
                yield batch


def _read_lines(
    lines: Sequence[str], first: int, columns: Mapping[str, ColumnType], schema: pa.Schema, *, damaged: bool
) -> RowBatch:
    objects: list[dict[str, object]] = []
    numbers: list[int] = []
    texts: list[str] = []
    rejected: list[RejectedRow] = []
    names: set[str] = set()
    for number, line in enumerate(lines, first):
        text = line.removesuffix("\r")
        if not text or text.isspace():
            continue
        try:
            value = _decode(text, damaged=damaged)
        except ValueError as error:
            rejected.append(reject(number, text, str(error)))
            continue
        objects.append(value)
        numbers.append(number)
        texts.append(text)
        names.update(value)
    builder = BatchBuilder(schema, numbers, texts, rejected)
    for name, declared in columns.items():
        column_type = ColumnType(declared)
        values = [value.get(name) for value in objects]
        array, faults = from_json(values, column_type)
        builder.add(values, array, faults, column_type)
    extra = names.difference(columns)
    return builder.build(frozenset(name.encode("utf-8", "replace").decode("utf-8") for name in extra))


def _decode(text: str, *, damaged: bool) -> dict[str, object]:
    """Decode one line.

    Raises:
        ValueError: what is wrong with it.
    """
    if damaged and is_damaged(text):
        raise ValueError("the line is not valid UTF-8")
    try:
        value = _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"the line is not valid JSON: {error.msg} at character {error.colno}") from None
    except RecursionError:
        raise ValueError("the line is JSON nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"the line is no JSON object but {_JSON_NAMES[type(value)]}")  # noqa: TRY004  # bad input
    return value


_JSON_NAMES: dict[type, str] = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"the line has an object with the key {name[:100]!r} twice")
            seen.add(name)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"the line is not valid JSON: {name} is no JSON number")


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)
