"""The REST client of a DataHub: one way to ask, with its rate, its key and its retries.

`Authorization: Bearer <key>` goes to the DataHub alone: a redirect to another host is followed without it. Every
request, repeated ones too, takes a token from one bucket that all threads share. Answers 429 and 500, 502, 503, 504,
connections that fail and bodies that are cut are tried again after a pause that grows, or after the pause that
`Retry-After` asks for; there is no second layer of retries below. A download is streamed, so memory holds one chunk a
thread, and its length is compared with every length that was announced.
"""

from __future__ import annotations

import hashlib
import re
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import quote

from des_platform.objectstore import Digest
from des_platform.settings import ConfigurationError
from des_platform.sources.datahub.config import plain_url
from des_platform.sources.datahub.errors import DataHubAccessDenied, DataHubUnavailable, FileMissing, FileRefused
from des_platform.sources.pace import TokenBucket
from des_platform.sources.retrying import retrying
from des_platform.sources.variables import expand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    import requests
    from tenacity import AttemptManager

    from des_platform.sources.datahub.config import DataHubConfig

_CHUNK_BYTES = 1 << 20
_CONNECT_SECONDS = 10
_HEALTH_SECONDS = 10
_TRANSIENT = frozenset({429, 500, 502, 503, 504})
_SAID_CHARS = 200
_T = TypeVar("_T")


class DataHubClient:
    """A DataHub's REST interface; safe to share between threads.

    Args:
        config: address, key, rate and retries.

    Raises:
        ConfigurationError: the key's variable is not set, or the key cannot stand in a header.
    """

    def __init__(self, config: DataHubConfig) -> None:
        self._config = config
        self._url = _address(config)
        self._key = _header_safe(config)
        limit = config.rate_limit
        self._pace = TokenBucket(limit.requests_per_second, limit.burst) if limit else None
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._lock = threading.Lock()

    def download(
        self, file_id: str, into: Callable[[Iterator[bytes]], _T], *, size: int | None = None
    ) -> tuple[_T, Digest]:
        """Stream a file's bytes into a function.

        Args:
            file_id: the file's identifier, any text.
            into: takes the chunks to their end; called anew, from the first byte, with every attempt. What it raises
                of its own ends the download.
            size: bytes that the file must have, where that is known.

        Returns:
            What `into` returned, and the bytes' number and SHA-256.

        Raises:
            FileMissing: there is no such file.
            FileRefused: the DataHub will not give it.
            DataHubAccessDenied: the key was refused.
            DataHubUnavailable: no attempt succeeded.
        """
        path = f"files/{_segment(file_id)}/download"
        for attempt in self._attempts():
            with attempt, self._request("GET", path, f"file {file_id!r}") as response:
                body = _Body(response, size, f"DataHub {self._config.name}: file {file_id!r}")
                return into(body.chunks()), body.digest()
        raise AssertionError("the last attempt returns or raises")

    def health(self) -> None:
        """Ask once whether the DataHub is well.

        Raises:
            DataHubUnavailable: it is not, or does not answer.
            DataHubAccessDenied: the key was refused.
            FileMissing: it has no `/health`.
            FileRefused: it answers something else.
        """
        with self._request("GET", "health", "/health", seconds=_HEALTH_SECONDS):
            return

    def close(self) -> None:
        """Close every thread's connections."""
        with self._lock:
            for session in self._sessions:
                session.close()
            self._sessions.clear()
        self._local = threading.local()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _attempts(self) -> Iterable[AttemptManager]:
        retries = self._config.retries
        return retrying(
            retries.total,
            base=retries.base,
            factor=retries.factor,
            most=retries.most,
            on=DataHubUnavailable,
            wait=lambda error: getattr(error, "retry_after", None),
        )

    @contextmanager
    def _request(
        self, method: str, path: str, what: str, *, seconds: float | None = None
    ) -> Iterator[requests.Response]:
        """One request, its body not yet read; the answer is a success."""
        where = f"DataHub {self._config.name}: {what}"
        if self._pace:
            self._pace.take()
        with _read_errors(where):
            response = self._session().request(
                method,
                f"{self._url}/{path}",
                auth=self._authorize,
                stream=True,
                timeout=(_CONNECT_SECONDS, seconds or self._config.timeout),
                verify=self._config.verify_ssl,
            )
        with response:  # a body that was not read to its end closes the connection
            _check(response, where)
            yield response

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # As an `auth`, not as a header of the session: a user's .netrc would replace that one.
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            import requests

            session = requests.Session()
            # Lengths are announced for the bytes on the wire.
            session.headers["Accept-Encoding"] = "identity"
            self._local.session = session
            with self._lock:
                self._sessions.append(session)
        return session


class _Body:
    """A response's body: hashed and counted as it is read, and refused if it is shorter or longer than announced."""

    def __init__(self, response: requests.Response, size: int | None, where: str) -> None:
        self._response = response
        self._size = size
        self._where = where
        self._sha256 = hashlib.sha256()
        self._read = 0

    def chunks(self) -> Iterator[bytes]:
        with _read_errors(self._where):
            for chunk in self._response.raw.stream(_CHUNK_BYTES, decode_content=True):
                self._sha256.update(chunk)
                self._read += len(chunk)
                yield chunk
        self._compare("Content-Length", self._response.headers.get("Content-Length"), self._response.raw.tell())
        self._compare("the table dh_file", self._size, self._read)

    def digest(self) -> Digest:
        return Digest(self._read, self._sha256.hexdigest())

    def _compare(self, announcer: str, announced: str | int | None, came: int) -> None:
        if announced is not None and str(announced) != str(came):
            raise DataHubUnavailable(f"{self._where}: {announcer} announces {announced} bytes, {came} came")


@contextmanager
def _read_errors(where: str) -> Iterator[None]:
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


def _kind(error: BaseException) -> str:
    inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else None
    reason = getattr(inner, "reason", None) or inner
    return type(reason if isinstance(reason, BaseException) else error).__name__


def _check(response: requests.Response, where: str) -> None:
    status = response.status_code
    if status == 200:  # noqa: PLR2004 - HTTP's own number
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
    raise FileRefused(f"{where}: HTTP {status}, expected 200")


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


def _segment(file_id: str) -> str:
    """A file's identifier as one segment of a path."""
    # Clients and servers take '.' and '..' out of a path, quoted or not: the request would be for something else.
    if file_id in ("", ".", ".."):
        raise FileRefused(f"the file id {file_id!r} cannot stand in an address")
    return quote(file_id, safe="")


def _address(config: DataHubConfig) -> str:
    what = f"datahubs.{config.name}.url"
    try:
        return plain_url(expand(config.url, what))
    except ValueError as error:
        raise ConfigurationError(f"{what} is wrong: {error}") from None


def _header_safe(config: DataHubConfig) -> str:
    what = f"datahubs.{config.name}.api_key"
    key = expand(config.api_key.get_secret_value(), what).strip()  # a key from a file often ends in a line break
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise ConfigurationError(f"{what} is empty or holds a space or a character that is not printable ASCII")
    return key
