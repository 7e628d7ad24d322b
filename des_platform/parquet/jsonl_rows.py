"""A file of JSON lines to typed batches: each line is one object, and a row, or is rejected.

Lines of nothing but white space are no records. Stricter than Python's own decoder: NaN and Infinity, which are no
JSON, and a key that stands twice in an object, of which one value would be lost, make a line invalid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform.parquet.batches import MAX_BATCH_ROWS, RejectedRow, RowBatch, Target, is_damaged, reject, utf16_reason
from des_platform.parquet.json_objects import JsonObjects
from des_platform.parquet.lines import LineBlock, read_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


def read_jsonl(chunks: Iterable[bytes], target: Target, max_line_bytes: int) -> Iterator[RowBatch]:
    """Read a file of JSON lines, as `des_platform.parquet.rows.read_rows` says. Yields nothing for an empty file."""
    objects = JsonObjects(target)
    for event in read_lines(chunks, max_line_bytes):
        if not isinstance(event, LineBlock):
            yield target.nothing([reject(event.line, event.start, event.reason)])
            continue
        lines = event.text.split("\n")
        for start in range(0, len(lines), MAX_BATCH_ROWS):
            part = lines[start : start + MAX_BATCH_ROWS]
            batch = _read_lines(part, event.first + start, objects, damaged=event.damaged)
            if batch.rows.num_rows or batch.rejected:
                yield batch


def _read_lines(lines: Sequence[str], first: int, objects: JsonObjects, *, damaged: bool) -> RowBatch:
    values: list[dict[str, object]] = []
    numbers: list[int] = []
    texts: list[str] = []
    rejected: list[RejectedRow] = []
    for number, line in enumerate(lines, first):
        text = line.removesuffix("\r")
        if not text or text.isspace():
            continue
        if damaged and is_damaged(text):
            utf16 = utf16_reason(text) if number == 1 else ""
            rejected.append(reject(number, text, utf16 or "the line is not valid UTF-8"))
            continue
        try:
            value = objects.decode(text)
        except ValueError as error:
            rejected.append(reject(number, text, f"the line {error}"))
            continue
        values.append(value)
        numbers.append(number)
        texts.append(text)
    return objects.batch(values, numbers, texts, rejected)
