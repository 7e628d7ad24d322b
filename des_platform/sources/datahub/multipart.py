"""A file on its way to a DataHub: `multipart/form-data` with parts `metadata` (JSON) and `file`, streamed from disk.

Memory holds one piece. The length is known beforehand, so a server that reads it whole or in chunks can tell a cut one.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_PIECE_BYTES = 1 << 20
_STRANGE = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to be uploaded; each iteration gives the request's body from its start.

    Attributes:
        file_name: what the DataHub is told that it is called; what could break a header becomes an underscore.
        file: the bytes, from the start of a file that can be rewound.
        size: how many bytes that are.
        media_type: of the file.
        metadata: what goes along; moments become ISO 8601 text.
        mark: a text that no other upload has.
        proceed: called for each piece; what it raises ends the upload.
    """

    file_name: str
    file: BinaryIO
    size: int
    media_type: str
    metadata: Mapping[str, Any]
    mark: str
    proceed: Callable[[], None] = lambda: None
    _boundary: str = field(default_factory=lambda: uuid.uuid4().hex, init=False)

    @property
    def content_type(self) -> str:
        """The request's `Content-Type`."""
        return f"multipart/form-data; boundary={self._boundary}"

    def __len__(self) -> int:
        """Bytes of the body."""
        return len(self._head()) + self.size + len(self._tail())

    def __iter__(self) -> Iterator[bytes]:
        """The body, piece by piece."""
        yield self._head()
        self.file.seek(0)
        while piece := self.file.read(_PIECE_BYTES):
            self.proceed()
            yield piece
        yield self._tail()

    def _head(self) -> bytes:
        metadata = json.dumps(dict(self.metadata), default=_as_text)
        name = _STRANGE.sub("_", self.file_name)[-_LONGEST_NAME:]
        lines = [
            f"--{self._boundary}",
            'Content-Disposition: form-data; name="metadata"',
            "Content-Type: application/json",
            "",
            metadata,
            f"--{self._boundary}",
            f'Content-Disposition: form-data; name="file"; filename="{name}"',
            f"Content-Type: {self.media_type}",
            "",
            "",
        ]
        return "\r\n".join(lines).encode()

    def _tail(self) -> bytes:
        return f"\r\n--{self._boundary}--\r\n".encode()


def _as_text(value: object) -> str:
    if isinstance(value, date | datetime):
        return value.isoformat()
    raise TypeError(f"metadata holds {type(value).__name__}, which is no JSON")
