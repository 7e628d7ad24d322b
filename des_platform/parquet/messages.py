"""What the messages of an Arrow IPC stream claim, read from their heads alone.

A message's head is a flatbuffer, of which only lengths matter here. They are followed as they stand, so any of them may
lead out of it: then the message is damaged.
"""

from __future__ import annotations

import struct
from typing import Final

MAX_UNPACKED_BYTES: Final = 1 << 30
"""A compressed record batch that becomes larger is not read."""

_CONTINUED: Final = 0xFFFFFFFF
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
_ROWS_WITHOUT_BYTES: Final = 1 << 24
_HEAD: Final = struct.Struct("<I")
_OFFSET: Final = struct.Struct("<i")
_SHORT: Final = struct.Struct("<H")
_LONG: Final = struct.Struct("<q")
_BUFFER: Final = struct.Struct("<qq")


def check_messages(data: memoryview, start: int) -> tuple[int, str]:
    """Go through a stream's messages.

    Args:
        data: the file.
        start: where the stream begins.

    Returns:
        Where the last sound message ends, and what is wrong with the next; empty where the stream ends well.
    """
    position = start
    while position < len(data):
        try:
            end = _message_end(data, position)
        except (struct.error, IndexError, ValueError) as error:
            said = str(error) if isinstance(error, ValueError) else "a message's head is cut short or damaged"
            return position, said
        if end is None:
            return position, ""
        position = end
    return position, "" if start == 0 else "the file ends without its footer: it was cut short"


def _message_end(data: memoryview, start: int) -> int | None:
    """Check one message; return where it ends, or None for the stream's end.

    Raises:
        ValueError, IndexError, struct.error: what is wrong with it.
    """
    size: int = _HEAD.unpack_from(data, start)[0]
    position = start + 4
    if size == _CONTINUED:
        size = _HEAD.unpack_from(data, position)[0]
        position += 4
    if not size:
        return None
    if position + size > len(data):
        raise ValueError(f"a message claims a head of {size} bytes, and {len(data) - position} are left")
    head = data[position : position + size]
    message = _Table(head, _HEAD.unpack_from(head, 0)[0])
    body_bytes = message.long(3)
    body = position + size
    if not 0 <= body_bytes <= len(data) - body:
        raise ValueError(f"a message claims {body_bytes} bytes, and {len(data) - body} are left")
    kind = message.byte(1)
    if kind in (_RECORD_BATCH, _DICTIONARY_BATCH):
        batch = message.table(2)
        if batch is not None and kind == _DICTIONARY_BATCH:
            batch = batch.table(1)
        if batch is None:
            raise ValueError("a message has no record batch where one should be")
        _check_batch(batch, data[body : body + body_bytes])
    return body + body_bytes


def _check_batch(batch: _Table, body: memoryview) -> None:
    packed = batch.table(3) is not None
    unpacked = 0
    for offset, length in batch.buffers(2):
        if offset < 0 or length < 0 or offset + length > len(body):
            raise ValueError(f"a buffer claims {length} bytes at {offset}, and its message has {len(body)}")
        whole = length
        if packed and length:
            (whole,) = _LONG.unpack_from(body[offset : offset + length], 0)
            whole = length if whole == -1 else whole
        if whole < 0:
            raise ValueError(f"a compressed buffer claims {whole} bytes")
        unpacked += whole
    if unpacked > MAX_UNPACKED_BYTES:
        raise ValueError(f"a record batch claims {unpacked} bytes, and at most {MAX_UNPACKED_BYTES} are read")
    rows = batch.long(0)
    if not 0 <= rows <= max(_ROWS_WITHOUT_BYTES, 8 * unpacked):
        raise ValueError(f"a record batch claims {rows} rows in {unpacked} bytes")


class _Table:
    """A table of a flatbuffer: fields by number, absent ones as zero or None."""

    def __init__(self, data: memoryview, position: int) -> None:
        self._data = data
        self._position = position
        self._fields = position - _OFFSET.unpack_from(data, position)[0]
        if self._fields < 0:
            raise IndexError

    def _field(self, number: int) -> int:
        """Where a field stands; 0 where it is absent."""
        if 4 + 2 * number >= _SHORT.unpack_from(self._data, self._fields)[0]:
            return 0
        offset: int = _SHORT.unpack_from(self._data, self._fields + 4 + 2 * number)[0]
        return self._position + offset if offset else 0

    def byte(self, number: int) -> int:
        position = self._field(number)
        return self._data[position] if position else 0

    def long(self, number: int) -> int:
        position = self._field(number)
        return int(_LONG.unpack_from(self._data, position)[0]) if position else 0

    def table(self, number: int) -> _Table | None:
        position = self._field(number)
        return _Table(self._data, position + _HEAD.unpack_from(self._data, position)[0]) if position else None

    def buffers(self, number: int) -> list[tuple[int, int]]:
        """A vector of offsets and lengths."""
        position = self._field(number)
        if not position:
            return []
        position += _HEAD.unpack_from(self._data, position)[0]
        (count,) = _HEAD.unpack_from(self._data, position)
        if count * _BUFFER.size > len(self._data):
            raise IndexError
        return [_BUFFER.unpack_from(self._data, position + 4 + _BUFFER.size * i) for i in range(count)]
