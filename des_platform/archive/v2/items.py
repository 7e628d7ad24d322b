"""What a caller hands to a builder, checked: names, bytes, metadata, and values of the user's columns."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING

from des_platform.archive.models import MAX_META_BYTES, MAX_NAME_BYTES
from des_platform.archive.v2.layout import MAX_OBJECT_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Buffer = bytes | bytearray | memoryview
    Item = tuple[str, Buffer] | tuple[str, Buffer, Mapping[str, object] | None]

BLOCK_BYTES = 4 * 1024 * 1024
_MOST_AT_ONCE = 4096
_USER_VALUES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "long": (int,),
    "double": (float, int),
    "boolean": (bool,),
}
_MAX_LONG = 2**63

encode_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def next_batch(stream: Iterator[Item]) -> list[list[Item]]:
    """Take members in parts until they fill a block, never many more: a part is the longer, the smaller they were."""
    batch: list[list[Item]] = []
    size = count = 0
    step = 1
    while size < BLOCK_BYTES and count < _MOST_AT_ONCE and (part := list(islice(stream, step))):
        batch.append(part)
        count += len(part)
        try:
            size += len(part) * len(part[-1][1])  # a guess, and right where it matters: for parts of one large member
        except (LookupError, TypeError):  # not a member: whoever adds it says so
            break
        step = min(256, 2 * step, 1 + BLOCK_BYTES * count // (4 * size + 1))
    return batch


def checked_payload(name: str, data: Buffer) -> bytes:
    """Return what a member holds as bytes that nobody can change.

    Raises:
        TypeError: it is something else than bytes.
        ValueError: it is too long.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"the data of {name!r} must be bytes, bytearray or memoryview, not {type(data).__name__}")
    payload = bytes(data)  # no copy of bytes; others may be changed before they are written
    if len(payload) > MAX_OBJECT_BYTES:
        raise ValueError(
            f"{name!r} is {len(payload)} bytes long: {MAX_OBJECT_BYTES} at most; add it as an external file"
        )
    return payload


def encoded_name(name: str) -> bytes:
    """Return a name as UTF-8.

    Raises:
        TypeError: it is no string.
        ValueError: it is empty, too long or has no UTF-8 form.
    """
    if not isinstance(name, str):
        raise TypeError(f"a file name must be a str, not {type(name).__name__}: {name!r}")
    try:
        encoded = name.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"file name {name[:200]!r} has no UTF-8 form: {error.reason}") from error
    if not 0 < len(encoded) <= MAX_NAME_BYTES:
        raise ValueError(f"file name {name[:40]!r} is {len(encoded)} bytes long: expected 1 to {MAX_NAME_BYTES}")
    return encoded


def encoded_metadata(name: str, meta: Mapping[str, object]) -> bytes:
    """Return metadata as JSON; nothing for none.

    Raises:
        ValueError: they are not JSON, or too long.
    """
    if not meta:
        return b""
    try:
        encoded: bytes = encode_json(meta).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the metadata of {name!r} is not JSON: {error}") from error
    if len(encoded) > MAX_META_BYTES:
        raise ValueError(f"the metadata of {name!r} is {len(encoded)} bytes of JSON: {MAX_META_BYTES} at most")
    return encoded


def user_value(name: str, column: str, kind: str, value: object) -> object:
    """Return a value of the metadata as its column takes it.

    Raises:
        ValueError: it is not of the column's type.
    """
    if value is None:
        return None
    allowed = _USER_VALUES[kind]
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind != "boolean"):
        raise ValueError(f"{column!r} of {name!r} is {value!r}, which is no {kind}")
    if isinstance(value, int) and not -_MAX_LONG <= value < _MAX_LONG:
        raise ValueError(f"{column!r} of {name!r} is {value}, which does not fit into 64 bits")
    return float(value) if kind == "double" else value  # type: ignore[arg-type]  # an int or a float, seen above
