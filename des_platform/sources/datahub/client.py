"""The REST client of a DataHub: one way to ask, with its rate, its key and its retries.

`GET files/{id}/download`, `POST files` (multipart), `DELETE files/{id}` and `GET health`.

`Authorization: Bearer <key>` goes to the DataHub alone: a redirect to another host is followed without it. Every
request, repeated ones too, takes a token from one bucket that all threads share. Answers 429 and 500, 502, 503, 504,
connections that fail and bodies that are cut are tried again after a pause that grows, or after the pause that
`Retry-After` asks for; there is no second layer of retries below. A download is streamed, so memory holds one chunk a
thread, and its length is compared with every length that was announced. An upload whose answer was lost is looked for
before it is sent again, so it is not there twice.
"""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote

from des_platform.settings import ConfigurationError
from des_platform.sources.datahub.answers import Body, check, file_id_of, read_errors
from des_platform.sources.datahub.config import plain_url
from des_platform.sources.datahub.errors import DataHubUnavailable, FileMissing, FileRefused
from des_platform.sources.pace import TokenBucket
from des_platform.sources.retrying import retrying
from des_platform.sources.variables import expand

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from types import TracebackType

    import requests
    from tenacity import AttemptManager

    from des_platform.objectstore import Digest
    from des_platform.sources.datahub.config import DataHubAccess
    from des_platform.sources.datahub.multipart import Upload

_CONNECT_SECONDS = 10
_HEALTH_SECONDS = 10
_CREATED = (200, 201)
_DELETED = (200, 202, 204)
_T = TypeVar("_T")


class DataHubClient:
    """A DataHub's REST interface; safe to share between threads.

    Args:
        config: address, key, rate and retries.

    Raises:
        ConfigurationError: the key's variable is not set, or the key cannot stand in a header.
    """

    def __init__(self, config: DataHubAccess) -> None:
        self._config = config
        self._url = _address(config)
        self._key = _header_safe(config)
        limit = config.rate_limit
        self._pace = TokenBucket(limit.requests_per_second, limit.burst) if limit else None
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._lock = threading.Lock()

    def download(
        self, file_id: str, into: Callable[[Iterator[bytes]], _T], *, size: int | None = None, decode: bool = True
    ) -> tuple[_T, Digest]:
        """Stream a file's bytes into a function.

        Args:
            file_id: the file's identifier, any text.
            into: takes the chunks to their end; called anew, from the first byte, with every attempt. What it raises
                of its own ends the download.
            size: bytes that the file must have, where that is known.
            decode: whether a `Content-Encoding` is undone. Some servers name one for a file that is compressed itself.

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
                body = Body(response, size, f"DataHub {self._config.name}: file {file_id!r}", decode=decode)
                return into(body.chunks()), body.digest()
        raise AssertionError("the last attempt returns or raises")

    def upload(self, upload: Upload, arrived: Callable[[], str | None]) -> str:
        """Upload a file, once, however often the way there or back fails.

        Args:
            upload: the file and its metadata; its mark goes along as `Idempotency-Key`.
            arrived: looks for the file by its mark, and gives its identifier if the DataHub has it. Asked before the
                file is sent again, and after the last attempt.

        Returns:
            The identifier that the DataHub gave it.

        Raises:
            FileRefused: the DataHub will not have it.
            DataHubAccessDenied: the key was refused.
            DataHubUnavailable: no attempt succeeded, and the file is not there.
        """
        what = f"upload of {upload.file_name!r}"
        headers = {"Content-Type": upload.content_type, "Idempotency-Key": upload.mark}
        try:
            for attempt in self._attempts():
                if attempt.retry_state.attempt_number > 1 and (file_id := arrived()) is not None:
                    return file_id
                with (
                    attempt,
                    self._request("POST", "files", what, _CREATED, data=upload, headers=headers) as response,
                ):
                    return file_id_of(response, f"DataHub {self._config.name}: {what}")
        except DataHubUnavailable:
            if (file_id := arrived()) is None:
                raise
            return file_id
        raise AssertionError("the last attempt returns or raises")

    def delete(self, file_id: str) -> None:
        """Delete a file; one that is gone already is none to delete.

        Raises:
            FileRefused: the DataHub will not delete it.
            DataHubAccessDenied: the key was refused.
            DataHubUnavailable: no attempt succeeded; the file may be gone all the same.
        """
        path, what = f"files/{_segment(file_id)}", f"deletion of file {file_id!r}"
        try:
            for attempt in self._attempts():
                with attempt, self._request("DELETE", path, what, _DELETED):
                    return
        except FileMissing:
            return

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
        self,
        method: str,
        path: str,
        what: str,
        expected: Collection[int] = (200,),
        *,
        seconds: float | None = None,
        **options: Any,  # noqa: ANN401 - those of requests
    ) -> Iterator[requests.Response]:
        """One request, its body not yet read; the answer is one of the expected."""
        where = f"DataHub {self._config.name}: {what}"
        if self._pace:
            self._pace.take()
        with read_errors(where):
            response = self._session().request(
                method,
                f"{self._url}/{path}",
                auth=self._authorize,
                stream=True,
                # What writes is for the DataHub itself, and a redirected POST would come as a GET.
                allow_redirects=method == "GET",
                timeout=(_CONNECT_SECONDS, seconds or self._config.timeout),
                verify=self._config.verify_ssl,
                **options,
            )
        with response:  # a body that was not read to its end closes the connection
            check(response, where, expected)
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


def _segment(file_id: str) -> str:
    """A file's identifier as one segment of a path."""
    # Clients and servers take '.' and '..' out of a path, quoted or not: the request would be for something else.
    if file_id in ("", ".", ".."):
        raise FileRefused(f"the file id {file_id!r} cannot stand in an address")
    return quote(file_id, safe="")


def _address(config: DataHubAccess) -> str:
    what = f"datahubs.{config.name}.url"
    try:
        return plain_url(expand(config.url, what))
    except ValueError as error:
        raise ConfigurationError(f"{what} is wrong: {error}") from None


def _header_safe(config: DataHubAccess) -> str:
    what = f"datahubs.{config.name}.api_key"
    key = expand(config.api_key.get_secret_value(), what).strip()  # a key from a file often ends in a line break
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise ConfigurationError(f"{what} is empty or holds a space or a character that is not printable ASCII")
    return key
