"""One queue message in, the file events it announces out; pure, no input or output.

Shapes understood, each told apart by its own fields:

* S3 event notification, `{"Records": [...]}`; keys are URL-encoded there, a space as `+`.
  https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
* S3 through EventBridge, `{"detail-type": "Object Created", "source": "aws.s3", "detail": ...}`; keys are plain there.
  https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
* the file message `{"ID": ..., "file_name": ...}`, whose bucket the queue's owner names.
* any of these inside an SNS notification, once.

Invariants: a record that cannot be understood never costs its neighbours, and never vanishes: it is a line in
`problems`, or the reason of `MalformedMessage` where nothing else was in the message. Bodies are hostile: an event that
comes out has a key and a bucket that the object store accepts, and every text in it and in the reasons can be stored as
UTF-8 without NUL.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from urllib.parse import quote_plus, unquote_plus

from des_platform.objectstore import InvalidKey, check_bucket, check_key

MAX_BODY_BYTES = 1 << 20
"""Largest message that SQS accepts."""

_MAX_SIZE = (1 << 63) - 1  # the catalogue keeps sizes as signed 64-bit integers
_MAX_PROBLEMS = 20  # a body of 1 MiB can hold 350,000 empty records; their reasons would outweigh it
_SHOWN = 80
_ETAG = re.compile(r"[\x21-\x7e]{1,256}")

Kind = Literal["created", "removed"]
Source = Literal["s3", "eventbridge", "sns", "file-message"]


class MalformedMessage(ValueError):
    """Nothing in the message could be understood; the text says precisely why."""


@dataclass(frozen=True)
class FileEvent:
    """A file appeared in a bucket, or left it.

    Attributes:
        bucket: name of the bucket, as the object store accepts it.
        key: object key as text (decoded), as the object store accepts it.
        size: bytes; None where the message does not tell (removals, file messages).
        etag: entity tag without quotes; None where the message does not tell.
        event_time: when the store finished the request, in UTC; None where the message does not tell.
        source: the shape the event came in; `sns` for whatever SNS wrapped.
        kind: whether the object was created (or overwritten) or removed.
    """

    bucket: str
    key: str
    size: int | None
    etag: str | None
    event_time: datetime | None
    source: Source
    kind: Kind = "created"


@dataclass(frozen=True)
class ParsedMessage:
    """What one message says.

    Attributes:
        events: the events, in the message's order. Empty for S3's test event, which says that the queue is connected.
        problems: one line for each record that could not be understood; beyond 20, the last line counts the rest.
    """

    events: list[FileEvent] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def parse_message(body: str, *, default_bucket: str | None) -> ParsedMessage:
    """Read the file events out of one message body.

    Args:
        body: the body as the queue delivered it, at most 1 MiB.
        default_bucket: bucket of file messages, which name none; None where the queue carries no file messages.

    Raises:
        MalformedMessage: nothing could be understood.
    """
    size = len(body) if len(body) > MAX_BODY_BYTES else len(body.encode("utf-8", "surrogatepass"))
    if size > MAX_BODY_BYTES:
        raise MalformedMessage(f"body is larger than {MAX_BODY_BYTES} bytes, the most that a queue message can hold")
    message = _load(body, "body")
    wrapped: Source | None = None
    if isinstance(message.get("Type"), str) and "Message" in message:
        message, wrapped = _unwrap(message), "sns"
    if "Records" in message:
        return _from_records(message["Records"], wrapped or "s3")
    if message.get("Event") == "s3:TestEvent":
        return ParsedMessage()
    if "detail-type" in message:
        return ParsedMessage([_from_eventbridge(message, wrapped or "eventbridge")])
    if "file_name" in message:
        return ParsedMessage([_from_file_message(message, default_bucket, wrapped or "file-message")])
    raise MalformedMessage(
        f"no known shape, fields {_shown(', '.join(sorted(message)))}; expected an S3 event ('Records'), an "
        "EventBridge event ('detail-type'), an SNS notification ('Type' and 'Message') or a file message ('ID' and "
        "'file_name')"
    )


def s3_event(bucket: str, key: str, size: int, etag: str, event_time: datetime) -> str:
    """Write the notification body that S3 sends for an object that was put.

    Args:
        bucket: name of the bucket.
        key: object key as text; it is URL-encoded here, `/` kept and a space as `+`, as S3 does.
        size: bytes of the object.
        etag: entity tag, with or without quotes.
        event_time: aware time of the put; S3 writes milliseconds, what is finer is cut off.

    Raises:
        ValueError: `event_time` has no time zone.
    """
    if event_time.tzinfo is None:
        raise ValueError(f"event_time {event_time.isoformat()} has no time zone: pass an aware datetime")
    moment = event_time.astimezone(UTC)
    microseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "AWS:DES"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "0000000000000000", "x-amz-id-2": ""},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "des",
            "bucket": {"name": bucket, "ownerIdentity": {"principalId": "DES"}, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {
                "key": quote_plus(key, safe="/"),
                "size": size,
                "eTag": etag.strip('"'),
                "sequencer": f"{microseconds & 0xFFFF_FFFF_FFFF_FFFF:018X}",
            },
        },
    }
    return json.dumps({"Records": [record]}, separators=(",", ":"))


def _load(text: str, what: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except RecursionError:
        raise MalformedMessage(f"{what} is nested too deep") from None
    except json.JSONDecodeError as error:
        raise MalformedMessage(f"{what} is not JSON: {error}") from None
    except ValueError:  # Python refuses to parse an integer of more than 4,300 digits
        raise MalformedMessage(f"{what} is not JSON that can be read: it holds an endless number") from None
    return _fields(value, what)


def _unwrap(message: dict[str, object]) -> dict[str, object]:
    if message["Type"] != "Notification":
        raise MalformedMessage(
            f"SNS message of type {_shown(message['Type'])}, expected 'Notification': confirm the topic's subscription"
        )
    inner = _load(_text(message, "Message", "SNS notification"), "the SNS notification's 'Message'")
    if isinstance(inner.get("Type"), str) and "Message" in inner:
        raise MalformedMessage("nested too deep: an SNS notification inside an SNS notification")
    return inner


def _from_records(records: object, source: Source) -> ParsedMessage:
    if not isinstance(records, list) or not records:
        found = "an empty list" if records == [] else _type(records)
        raise MalformedMessage(f"'Records' is {found}, expected a list of at least one record")
    parsed = ParsedMessage()
    unreadable = 0
    for number, record in enumerate(records):
        try:
            parsed.events.append(_from_record(_fields(record, "record"), source))
        except MalformedMessage as problem:
            unreadable += 1
            if unreadable <= _MAX_PROBLEMS:
                parsed.problems.append(f"record {number}: {problem}")
    if unreadable > _MAX_PROBLEMS:
        parsed.problems.append(f"and {unreadable - _MAX_PROBLEMS} more records that could not be understood")
    if not parsed.events:
        raise MalformedMessage("; ".join(parsed.problems))
    return parsed


def _from_record(record: dict[str, object], source: Source) -> FileEvent:
    event = _text(record, "eventName", "record").removeprefix("s3:")  # MinIO keeps the prefix, S3 does not
    if event.startswith("ObjectCreated:"):
        kind: Kind = "created"
    elif event.startswith(("ObjectRemoved:", "LifecycleExpiration:")):
        kind = "removed"
    else:
        raise MalformedMessage(
            f"event {_shown(event)} neither creates nor removes an object: leave it out of the bucket's notifications"
        )
    s3 = _fields(record.get("s3"), "'s3'")
    stored = _fields(s3.get("object"), "'object'")
    encoded = _text(stored, "key", "object")
    try:
        key = unquote_plus(encoded, errors="strict")
    except UnicodeDecodeError:
        raise MalformedMessage(f"key is not URL-encoded UTF-8: {_shown(encoded)}") from None
    return _event(s3, stored, key, record.get("eventTime"), source=source, kind=kind, etag_field="eTag")


def _from_eventbridge(message: dict[str, object], source: Source) -> FileEvent:
    if message.get("source") != "aws.s3":
        raise MalformedMessage(f"EventBridge event from {_shown(message.get('source'))}, expected 'aws.s3'")
    kinds: dict[object, Kind] = {"Object Created": "created", "Object Deleted": "removed"}
    name = _text(message, "detail-type", "EventBridge event")
    if name not in kinds:
        raise MalformedMessage(
            f"EventBridge event {_shown(name)}, expected 'Object Created' or 'Object Deleted': narrow the rule"
        )
    detail = _fields(message.get("detail"), "'detail'")
    stored = _fields(detail.get("object"), "'object'")
    key = _text(stored, "key", "object")
    return _event(detail, stored, key, message.get("time"), source=source, kind=kinds[name], etag_field="etag")


def _from_file_message(message: dict[str, object], default_bucket: str | None, source: Source) -> FileEvent:
    if "file_total_chunk" in message:
        raise MalformedMessage(
            "the manifest of a compressed stream ('file_total_chunk'), expected a file message ('ID' and 'file_name')"
        )
    if default_bucket is None:
        raise MalformedMessage("a file message names no bucket, and this queue has no default bucket: set one")
    if not _text(message, "ID", "file message"):
        raise MalformedMessage("'ID' of the file message is empty")
    key = _text(message, "file_name", "file message")
    _check(default_bucket, key)
    return FileEvent(default_bucket, key, None, None, None, source)


def _event(
    parent: dict[str, object],
    stored: dict[str, object],
    key: str,
    time: object,
    *,
    source: Source,
    kind: Kind,
    etag_field: str,
) -> FileEvent:
    bucket = _text(_fields(parent.get("bucket"), "'bucket'"), "name", "bucket")
    _check(bucket, key)
    size, etag = stored.get("size"), stored.get(etag_field)
    # bool is a subclass of int: `true` would pass for one byte.
    if size is not None and (not isinstance(size, int) or isinstance(size, bool)):
        raise MalformedMessage(f"size is {_shown(size)}, expected an integer")
    if size is not None and not 0 <= size <= _MAX_SIZE:
        raise MalformedMessage(f"size is {_shown(size)}, expected 0 to {_MAX_SIZE} bytes")
    if etag is not None:
        etag = etag.strip('"') if isinstance(etag, str) else ""
        if not _ETAG.fullmatch(etag):
            raise MalformedMessage(
                f"etag is {_shown(stored[etag_field])}, expected 1 to 256 printable ASCII characters"
            )
    return FileEvent(bucket, key, size, etag, _moment(time), source, kind)


def _check(bucket: str, key: str) -> None:
    try:
        check_bucket(bucket)
        check_key(key)
    except InvalidKey as error:
        raise MalformedMessage(str(error)) from None


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is not None:
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise MalformedMessage(f"event time is {_shown(value)}, expected ISO 8601 such as 1970-01-01T00:00:00.000Z")


def _fields(value: object, what: str) -> dict[str, object]:
    if isinstance(value, dict):
        return value
    raise MalformedMessage(f"{what} is {_type(value)}, expected an object")


def _text(fields: dict[str, object], name: str, what: str) -> str:
    value = fields.get(name)
    if isinstance(value, str):
        return value
    raise MalformedMessage(f"{name!r} of the {what} is {_type(value)}, expected text")


def _type(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a boolean", int: "an integer", float: "a fraction"}
    return "missing" if value is None else names[type(value)]


def _shown(value: object) -> str:
    # The parser admits nesting that repr() cannot walk from a deeper stack: of objects and lists only the type is told.
    if value is None or isinstance(value, dict | list):
        return _type(value)
    # ASCII: a reason goes to the database and to logs, where a lone surrogate or NUL would fail.
    text = ascii(value[: _SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
