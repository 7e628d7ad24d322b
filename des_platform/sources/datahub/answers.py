"""What a DataHub answers: its status as an error of this room, its body counted and hashed as it is read.

Nothing here asks. What requests and urllib3 raise is translated, since their texts may hold a redirect's address, and
that a signature.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from des_platform.objectstore import Digest
from des_platform.sources.datahub.errors import DataHubAccessDenied, DataHubUnavailable, FileMissing, FileRefused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import requests

_CHUNK_BYTES = 1 << 20
_MOST_ANSWER_BYTES = 1 << 20
_TRANSIENT = frozenset({429, 500, 502, 503, 504})


class Body:
    """A response's body: hashed and counted as it is read, and refused if it is shorter or longer than announced."""

    def __init__(self, response: requests.Response, size: int | None, where: str, *, decode: bool = True) -> None:
        self._response = response
        self._size = size
        self._decode = decode
        self._where = where
        self._sha256 = hashlib.sha256()
        self._read = 0

    def chunks(self) -> Iterator[bytes]:
        """The bytes, to be taken to their end."""
        with read_errors(self._where):
            for chunk in self._response.raw.stream(_CHUNK_BYTES, decode_content=self._decode):
                self._sha256.update(chunk)
                self._read += len(chunk)
                yield chunk
        self._compare("Content-Length", self._response.headers.get("Content-Length"), self._response.raw.tell())
        self._compare("the table dh_file", self._size, self._read)

    def digest(self) -> Digest:
        """Number and SHA-256 of the bytes that were taken."""
        return Digest(self._read, self._sha256.hexdigest())

    def _compare(self, announcer: str, announced: str | int | None, came: int) -> None:
        if announced is not None and str(announced) != str(came):
            raise DataHubUnavailable(f"{self._where}: {announcer} announces {announced} bytes, {came} came")


@contextmanager
def read_errors(where: str) -> Iterator[None]:
    """Turn what requests and urllib3 raise into this room's errors."""
    import requests
    from urllib3.exceptions import HTTPError

    unfollowable = (requests.TooManyRedirects, requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)
    try:
        yield
    except unfollowable as error:
        raise FileRefused(f"{where}: redirected to where nobody can follow ({type(error).__name__})") from None
    except (requests.RequestException, HTTPError) as error:
        # The text of these errors may hold a redirect's address, and that a signature: the kind says enough.
        raise DataHubUnavailable(f"{where}: the connection failed ({_kind(error)})") from None


def file_id_of(response: requests.Response, where: str) -> str:
    """The identifier that the DataHub gave to a file which was uploaded.

    Raises:
        DataHubUnavailable: the answer does not tell, or was cut: the file may be there all the same.
    """
    with read_errors(where):
        answer = response.raw.read(_MOST_ANSWER_BYTES, decode_content=True)
    try:
        found = json.loads(answer)
        file_id = found["file_id"]
    except (ValueError, KeyError, TypeError):
        raise DataHubUnavailable(f"{where}: the answer names no file_id") from None
    if isinstance(file_id, bool) or not isinstance(file_id, str | int) or file_id == "":
        raise DataHubUnavailable(f"{where}: the answer's file_id is no identifier")
    return str(file_id)


def _kind(error: BaseException) -> str:
    inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else None
    reason = getattr(inner, "reason", None) or inner
    return type(reason if isinstance(reason, BaseException) else error).__name__


def check(response: requests.Response, where: str, expected: Collection[int] = (200,)) -> None:
    """Raise for a status that is none of the expected."""
    status = response.status_code
    if status in expected:
        return
    if status in (401, 403) and response.history:
        # A signed address that ran out, for example: the next attempt is sent to another one.
        raise DataHubUnavailable(f"{where}: redirected to where the answer is HTTP {status}", status=status)
    if status in (401, 403):
        raise DataHubAccessDenied(f"{where}: the key was refused with HTTP {status}; check api_key and what it may do")
    if status in (404, 410):
        raise FileMissing(f"{where}: HTTP {status}, there is none")
    if status in _TRANSIENT:
        raise DataHubUnavailable(f"{where}: HTTP {status}", status=status, retry_after=_retry_after(response))
    raise FileRefused(f"{where}: HTTP {status}, expected {' or '.join(map(str, sorted(expected)))}")


def _retry_after(response: requests.Response) -> float | None:
    """Seconds that the server asks to wait: it sends a number, or the moment in HTTP's form of a date."""
    asked = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", asked):
        return float(asked)
    try:
        moment = parsedate_to_datetime(asked)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
