"""One queue message in, the file events it announces out; pure, no input or output.

Shapes understood, each told apart by its own fields:

* S3 event notification, `{"Records": [...]}`; keys are URL-encoded there, a space as `+`.
  https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
* S3 through EventBridge, `{"detail-type": "Object Created", "source": "aws.s3", "detail": ...}`; keys are plain there.
  https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
* the file message `{"ID": ..., "file_name": ...}`, whose bucket the queue's owner names.
* the manifest of a chunked file, `{"file_total_chunk": ..., "sequence_number": [...]}`, is left to `chunk_manifest`:
  its bytes lie in a stream, and whoever can reach that puts them together.
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
from des_platform.sources.messages.bodies import (
    MAX_BODY_BYTES,
    MalformedMessage,
    bytes_of,
    load_body,
    object_of,
    shown,
    text_of,
    type_of,
)
from des_platform.sources.messages.chunk_manifest import chunked_of

__all__ = [
    "MAX_BODY_BYTES",
    "FileEvent",
    "MalformedMessage",
    "ParsedMessage",
    "parse_message",
    "s3_event",
]

_MAX_PROBLEMS = 20  # a body of 1 MiB can hold 350,000 empty records; their reasons would outweigh it
_SEQUENCER = re.compile(r"[0-9A-Fa-f]{1,64}")
_ETAG = re.compile(r"[\x21-\x7e]{1,256}")

Kind = Literal["created", "removed"]
Source = Literal["s3", "eventbridge", "sns", "file-message"]


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
        sequencer: hexadecimal; of two events of one key, the one with the greater sequencer (the shorter filled up with
            zeros on the right) is the later. None where the message does not tell.
    """

    bucket: str
    key: str
    size: int | None
    etag: str | None
    event_time: datetime | None
    source: Source
    kind: Kind = "created"
    sequencer: str | None = None


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
    message, in_sns = load_body(body)
    wrapped: Source | None = "sns" if in_sns else None
    if "Records" in message:
        return _from_records(message["Records"], wrapped or "s3")
    if message.get("Event") == "s3:TestEvent":
        return ParsedMessage()
    if "detail-type" in message:
        return ParsedMessage([_from_eventbridge(message, wrapped or "eventbridge")])
    if "file_name" in message:
        return ParsedMessage([_from_file_message(message, default_bucket, wrapped or "file-message")])
    raise MalformedMessage(
        f"no known shape, fields {shown(', '.join(sorted(message)))}; expected an S3 event ('Records'), an "
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


def _from_records(records: object, source: Source) -> ParsedMessage:
    if not isinstance(records, list) or not records:
        found = "an empty list" if records == [] else type_of(records)
        raise MalformedMessage(f"'Records' is {found}, expected a list of at least one record")
    parsed = ParsedMessage()
    unreadable = 0
    for number, record in enumerate(records):
        try:
            parsed.events.append(_from_record(object_of(record, "record"), source))
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
    event = text_of(record, "eventName", "record").removeprefix("s3:")  # MinIO keeps the prefix, S3 does not
    if event.startswith("ObjectCreated:"):
        kind: Kind = "created"
    elif event.startswith(("ObjectRemoved:", "LifecycleExpiration:")):
        kind = "removed"
    else:
        raise MalformedMessage(
            f"event {shown(event)} neither creates nor removes an object: leave it out of the bucket's notifications"
        )
    s3 = object_of(record.get("s3"), "'s3'")
    stored = object_of(s3.get("object"), "'object'")
    encoded = text_of(stored, "key", "object")
    try:
        key = unquote_plus(encoded, errors="strict")
    except UnicodeDecodeError:
        raise MalformedMessage(f"key is not URL-encoded UTF-8: {shown(encoded)}") from None
    return _event(s3, stored, key, record.get("eventTime"), source=source, kind=kind, etag_field="eTag")


def _from_eventbridge(message: dict[str, object], source: Source) -> FileEvent:
    if message.get("source") != "aws.s3":
        raise MalformedMessage(f"EventBridge event from {shown(message.get('source'))}, expected 'aws.s3'")
    kinds: dict[object, Kind] = {"Object Created": "created", "Object Deleted": "removed"}
    name = text_of(message, "detail-type", "EventBridge event")
    if name not in kinds:
        raise MalformedMessage(
            f"EventBridge event {shown(name)}, expected 'Object Created' or 'Object Deleted': narrow the rule"
        )
    detail = object_of(message.get("detail"), "'detail'")
    stored = object_of(detail.get("object"), "'object'")
    key = text_of(stored, "key", "object")
    return _event(detail, stored, key, message.get("time"), source=source, kind=kinds[name], etag_field="etag")


def _from_file_message(message: dict[str, object], default_bucket: str | None, source: Source) -> FileEvent:
    if "file_total_chunk" in message:
        chunked_of(message)
        raise MalformedMessage(
            "it announces the chunks of a file in a stream, and only a queue knows one: name the stream in the queue's "
            "'chunk_stream'"
        )
    if default_bucket is None:
        raise MalformedMessage("a file message names no bucket, and this queue has no default bucket: set one")
    if not text_of(message, "ID", "file message"):
        raise MalformedMessage("'ID' of the file message is empty")
    key = text_of(message, "file_name", "file message")
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
    bucket = text_of(object_of(parent.get("bucket"), "'bucket'"), "name", "bucket")
    _check(bucket, key)
    size, etag = bytes_of(stored, "size"), stored.get(etag_field)
    sequencer = stored.get("sequencer")
    if not isinstance(sequencer, str) or not _SEQUENCER.fullmatch(sequencer):
        sequencer = None  # other stores' may be anything; no file is refused for it
    if etag is not None:
        etag = etag.strip('"') if isinstance(etag, str) else ""
        if not _ETAG.fullmatch(etag):
            raise MalformedMessage(f"etag is {shown(stored[etag_field])}, expected 1 to 256 printable ASCII characters")
    return FileEvent(bucket, key, size, etag, _moment(time), source, kind, sequencer)


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
    raise MalformedMessage(f"event time is {shown(value)}, expected ISO 8601 such as 1970-01-01T00:00:00.000Z")
