"""What a claimed row says: the file it stands for, or why it stands for none; pure.

A row is hostile like any message: a value of a wrong kind, a key that no store accepts, a size below zero is a reason,
never an exception, so that it becomes a dead letter and its neighbours go on.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from des_platform.naming import parse_name
from des_platform.objectstore import InvalidKey, check_bucket, check_key
from des_platform.sources.messages.events import FileEvent

if TYPE_CHECKING:
    from des_platform.sources.databases.claims import ClaimedRow

_MAX_SIZE = (1 << 63) - 1  # the catalogue keeps sizes as signed 64-bit integers
_MAX_META_BYTES = 16 * 1024
_SHOWN = 80


class BadRow(ValueError):
    """A row stands for no file; the text says why."""


def event_of(row: ClaimedRow) -> FileEvent:
    """The file that a row announces.

    Raises:
        BadRow: naming the field, what was found and what is expected.
    """
    try:
        bucket = check_bucket(_text(row, "s3_bucket"))
        key = check_key(_text(row, "s3_key"))
    except InvalidKey as error:
        raise BadRow(str(error)) from None
    etag = row.values.get("etag")
    return FileEvent(
        bucket,
        key,
        _size(row.values.get("size_bytes")),
        None if etag is None else _text(row, "etag").strip('"'),
        _time(row.values.get("created_at")),
        "file-message",
    )


def name_of(row: ClaimedRow) -> str | None:
    """The DES name that the row's owner or the marker has given its file.

    Raises:
        BadRow: it is no DES name.
    """
    if row.values.get("des_name") in (None, ""):
        return None
    name = _text(row, "des_name").strip()
    try:
        parse_name(name)
    except ValueError as error:
        raise BadRow(f"des_name {error}") from None
    return name


def meta_of(row: ClaimedRow, source: str) -> dict[str, object]:
    """What goes into the archive with the row's file: where it came from, and its further columns.

    Raises:
        BadRow: that is more than an archive should carry for one file.
    """
    meta: dict[str, object] = {"source_db": source, "source_file_id": row.row_id}
    meta |= {name: _plain(value) for name, value in row.metadata.items()}
    size = len(json.dumps(meta))
    if size > _MAX_META_BYTES:
        raise BadRow(
            f"its metadata columns are {size} bytes as JSON, and at most {_MAX_META_BYTES} go with a file: name fewer"
        )
    return meta


def body_of(row: ClaimedRow) -> str:
    """A row as JSON, with every value in a form that JSON has."""
    content = {"id": row.row_id, **row.values, **row.metadata}
    return json.dumps({name: _plain(value) for name, value in content.items()}, ensure_ascii=False)


def _text(row: ClaimedRow, field: str) -> str:
    value = row.values.get(field)
    if isinstance(value, str) and value:
        return value
    raise BadRow(f"{field} is {_shown(value)}, expected a text")


def _size(value: object) -> int | None:
    if value is None:
        return None
    try:
        number = Decimal(str(value))
        size = int(number)
    except (ArithmeticError, ValueError):
        raise BadRow(f"size_bytes is {_shown(value)}, expected a number of bytes") from None
    if size != number or not 0 <= size <= _MAX_SIZE:
        raise BadRow(f"size_bytes is {_shown(value)}, expected a whole number of bytes, 0 or more")
    return size


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise BadRow(f"created_at is {_shown(value)}, expected a time") from None
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise BadRow(f"created_at is {_shown(value)}, expected a time")


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a driver returns
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return str(value)  # a float, too: NaN is not JSON


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
