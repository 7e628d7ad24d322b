"""From a message to the files that it asks to compress; pure, no input or output.

A file keeps its identifier over every delivery of its messages: the `ID` of the message where there is one, else one
that follows from the object's address and version. So whatever is done twice is announced under one identifier.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from des_platform.sources.messages.bodies import load_body
from des_platform.sources.messages.events import parse_message

if TYPE_CHECKING:
    from des_platform.sources.messages.events import FileEvent
    from des_platform.sources.streams.config import Place

_IDENTIFIER = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Request:
    """A file that is to be compressed.

    Attributes:
        key: where it lies.
        name: what it is called where it is put together.
        id: its identifier; None where that follows from its version.
    """

    key: str
    name: str
    id: str | None

    def identifier(self, bucket: str, etag: str) -> str:
        """The file's identifier, in the version with this etag."""
        return self.id or str(uuid.uuid5(uuid.NAMESPACE_URL, f"s3://{bucket}/{self.key}#{etag}"))


@dataclass(slots=True)
class Requests:
    """What one message asks for.

    Attributes:
        files: the files.
        problems: name and reason of what cannot be one.
    """

    files: list[Request] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


def requests_of(body: str, place: Place) -> Requests:
    """Read a message.

    Args:
        body: an S3 event, an EventBridge event or a file message, in an SNS notification or not.
        place: where the files lie.

    Raises:
        MalformedMessage: nothing could be understood.
    """
    parsed = parse_message(body, default_bucket=place.bucket)
    message, _ = load_body(body)
    found = Requests(problems=[("a message", problem) for problem in parsed.problems])
    if not {"Records", "Event", "detail-type"} & message.keys():
        found.files = [Request(place.prefix + event.key, event.key, _identifier(message)) for event in parsed.events]
        return found
    for event in parsed.events:
        if event.kind == "created":
            _take(event, place, found)
    return found


def _take(event: FileEvent, place: Place, found: Requests) -> None:
    name = event.key.removeprefix(place.prefix)
    if event.bucket != place.bucket or not event.key.startswith(place.prefix) or not name:
        reason = f"its originals lie under {place.bucket}/{place.prefix}: narrow the notifications, or widen the job"
        found.problems.append((f"{event.bucket}/{event.key}", reason))
    else:
        found.files.append(Request(event.key, name, None))


def _identifier(message: dict[str, object]) -> str:
    identifier = str(message["ID"])
    return identifier if _IDENTIFIER.fullmatch(identifier) else str(uuid.uuid5(uuid.NAMESPACE_OID, identifier))
