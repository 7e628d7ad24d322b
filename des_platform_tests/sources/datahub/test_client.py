"""The REST client against a real server that misbehaves in every way that we know."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from des_platform.settings import ConfigurationError
from des_platform.sources.datahub.client import DataHubClient
from des_platform.sources.datahub.errors import DataHubAccessDenied, DataHubUnavailable, FileMissing, FileRefused
from des_platform_tests.datahub_server import KEY, DataHubServer, Fault
from des_platform_tests.sources.datahub.support import config_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = bytes(range(256)) * 8192  # two chunks


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, which nobody sits out."""
    made: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", made.append)
    return made


def client_of(server: DataHubServer, **changes: Any) -> closing[DataHubClient]:
    server.files.setdefault("f", CONTENT)
    return closing(DataHubClient(config_of(server, **changes)))


def whole(chunks: Iterator[bytes]) -> bytes:
    return b"".join(chunks)


def download(server: DataHubServer, file_id: str = "f", size: int | None = None, **changes: Any) -> bytes:
    with client_of(server, **changes) as client:
        return client.download(file_id, whole, size=size)[0]


def test_file_comes_in_chunks_with_its_length_and_checksum(server: DataHubServer) -> None:
    with client_of(server) as client:
        chunks, digest = client.download("f", lambda chunks: [len(chunk) for chunk in chunks])

    assert sum(chunks) == digest.size == len(CONTENT)
    assert len(chunks) > 1
    assert digest.sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_empty_file_is_a_file(server: DataHubServer) -> None:
    server.files["empty"] = b""

    assert download(server, "empty", size=0) == b""


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_transient_answer_is_tried_again(server: DataHubServer, status: int) -> None:
    server.faults["f"] = [Fault(status), Fault(status)]

    assert download(server) == CONTENT
    assert server.asked_for("f") == 3


def test_last_attempt_tells_what_was_answered(server: DataHubServer) -> None:
    server.always["f"] = Fault(503)

    with pytest.raises(DataHubUnavailable, match="DataHub hub: file 'f': HTTP 503") as raised:
        download(server)

    assert raised.value.status == 503
    assert server.asked_for("f") == 3


def test_pauses_grow_up_to_the_longest(server: DataHubServer, waits: list[float]) -> None:
    server.always["f"] = Fault(500)

    with pytest.raises(DataHubUnavailable):
        download(server, retries={"total": 6, "base": 1, "factor": 2, "most": 5})

    most = [1, 2, 4, 5, 5]
    assert len(waits) == 5
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(waits, most, strict=True))


def test_retry_after_in_seconds_is_obeyed(server: DataHubServer, waits: list[float]) -> None:
    server.faults["f"] = [Fault(429, {"Retry-After": "7"}), Fault(503, {"Retry-After": "0"})]

    assert download(server) == CONTENT
    assert waits == [7, 0]


def test_retry_after_as_a_date_is_obeyed(server: DataHubServer, waits: list[float]) -> None:
    later = datetime.now(UTC) + timedelta(seconds=30)
    past = datetime.now(UTC) - timedelta(days=1)
    server.faults["f"] = [
        Fault(503, {"Retry-After": format_datetime(later, usegmt=True)}),
        Fault(503, {"Retry-After": format_datetime(past, usegmt=True)}),
    ]

    assert download(server) == CONTENT
    assert waits == [pytest.approx(30, abs=5), 0]


@pytest.mark.parametrize("asked", ["100000", "Fri, 31 Dec 2999 23:59:59 GMT"])
def test_retry_after_is_obeyed_up_to_the_longest_pause(server: DataHubServer, waits: list[float], asked: str) -> None:
    server.faults["f"] = [Fault(429, {"Retry-After": asked})]

    assert download(server, retries={"most": 60}) == CONTENT
    assert waits == [60]


@pytest.mark.parametrize("asked", ["soon", "-5", "1e9", "Fri, 99 Foo 2026 00:00:00 GMT", ""])
def test_retry_after_that_means_nothing_is_ignored(server: DataHubServer, waits: list[float], asked: str) -> None:
    server.faults["f"] = [Fault(429, {"Retry-After": asked})]

    assert download(server) == CONTENT
    assert waits == [pytest.approx(0.001, abs=0.0005)]


@pytest.mark.parametrize("status", [401, 403])
def test_refused_key_is_said_at_once_and_never_shown(server: DataHubServer, status: int) -> None:
    server.always["f"] = Fault(status, body=f"{KEY} is not welcome".encode())

    with pytest.raises(DataHubAccessDenied, match=f"HTTP {status}; check api_key") as raised:
        download(server)

    assert KEY not in str(raised.value)
    assert server.asked_for("f") == 1


def test_key_is_asked_of_the_environment_when_it_is_used(
    server: DataHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(server, api_key="${HUB_KEY}")
    with pytest.raises(ConfigurationError, match="HUB_KEY, which is not set"):
        DataHubClient(config)

    monkeypatch.setenv("HUB_KEY", f"{KEY}\n")

    assert download(server, api_key="${HUB_KEY}") == CONTENT
    assert KEY not in repr(config)


@pytest.mark.parametrize("key", ["two words", "line\r\nX-Injected: 1", "clé", " "])
def test_key_that_no_header_can_carry_is_refused_unseen(server: DataHubServer, key: str) -> None:
    with pytest.raises(ConfigurationError, match="datahubs.hub.api_key") as raised:
        download(server, api_key=key)

    assert key.strip() == "" or key not in str(raised.value)


def test_netrc_of_the_user_does_not_replace_the_key(
    server: DataHubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))

    assert download(server) == CONTENT


@pytest.mark.parametrize("status", [404, 410])
def test_missing_file_is_an_error_of_its_own(server: DataHubServer, status: int) -> None:
    server.always["gone"] = Fault(status)

    with pytest.raises(FileMissing, match="file 'gone'"):
        download(server, "gone")
    assert server.asked_for("gone") == 1


def test_answer_that_no_retry_mends_is_not_tried_again(server: DataHubServer) -> None:
    server.always["f"] = Fault(422)

    with pytest.raises(FileRefused, match="HTTP 422, expected 200"):
        download(server)
    assert server.asked_for("f") == 1


def test_cut_body_is_fetched_again_from_its_start(server: DataHubServer) -> None:
    server.faults["f"] = [Fault(cut_after=0), Fault(cut_after=len(CONTENT) - 1)]

    assert download(server) == CONTENT
    assert server.asked_for("f") == 3


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(cut_after=1000), id="cut"),
        pytest.param(Fault(length=len(CONTENT) + 1), id="shorter than its Content-Length"),
        pytest.param(Fault(cut_after=1000, length=0), id="cut without a Content-Length"),
        pytest.param(Fault(length=1000), id="longer than its Content-Length"),
        pytest.param(Fault(body=b"another file"), id="other bytes"),
    ],
)
def test_body_of_another_length_is_never_taken_for_the_file(server: DataHubServer, fault: Fault) -> None:
    server.always["f"] = fault

    with pytest.raises(DataHubUnavailable, match="file 'f'"):
        download(server, size=len(CONTENT))


def test_server_that_does_not_answer_in_time_is_asked_again(server: DataHubServer) -> None:
    server.faults["f"] = [Fault(stall=True)]

    assert download(server, timeout=0.1) == CONTENT


def test_server_that_is_away_is_unavailable(server: DataHubServer) -> None:
    server.stop()

    with pytest.raises(DataHubUnavailable, match="the connection failed"):
        download(server)


def test_redirect_to_another_host_is_followed_without_the_key(server: DataHubServer) -> None:
    with DataHubServer() as other:
        other.always["elsewhere"] = Fault(body=CONTENT)
        server.faults["f"] = [Fault(302, {"Location": f"{other.url}/elsewhere".replace("127.0.0.1", "localhost")})]

        assert download(server) == CONTENT

    (request,) = other.requests
    assert KEY not in str(request.headers)
    assert KEY in server.requests[0].headers["Authorization"]


def test_refusal_behind_a_redirect_is_not_blamed_on_the_key(server: DataHubServer) -> None:
    with DataHubServer() as other:
        other.always["expired"] = Fault(403)
        server.faults["f"] = [Fault(302, {"Location": f"{other.url}/expired?signature=secret"})]

        assert download(server) == CONTENT


def test_redirects_in_a_circle_end(server: DataHubServer) -> None:
    server.always["f"] = Fault(302, {"Location": "/files/f/download"})

    with pytest.raises(FileRefused, match="redirected"):
        download(server)


def test_address_of_a_redirect_stands_in_no_error(server: DataHubServer) -> None:
    server.always["f"] = Fault(302, {"Location": "http://127.0.0.1:9/x?signature=secret"})

    with pytest.raises(DataHubUnavailable) as raised:
        download(server)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("file_id", ["a/b", "../health", "a b?c#d", "%2e%2e", "ümlaut", "a\nb", "..%2F"])
def test_identifier_with_any_characters_is_one_segment(server: DataHubServer, file_id: str) -> None:
    server.files[file_id] = b"its bytes"

    assert download(server, file_id) == b"its bytes"


@pytest.mark.parametrize("file_id", ["", ".", ".."])
def test_identifier_that_would_ask_for_something_else_is_refused(server: DataHubServer, file_id: str) -> None:
    with pytest.raises(FileRefused):
        download(server, file_id)
    assert server.requests == []


def test_rate_is_one_for_all_threads(server: DataHubServer) -> None:
    changes = {"rate_limit": {"requests_per_second": 50, "burst": 2}}
    server.files["f"] = b"small"
    with client_of(server, **changes) as client, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: client.download("f", whole), range(12)))

    asked = sorted(request.at for request in server.requests)
    # Two at once, then one each 20 ms: ten later ones need 200 ms, however many threads ask.
    assert asked[-1] - asked[0] >= 0.15


def test_error_of_the_taker_ends_the_download(server: DataHubServer) -> None:
    def fail(chunks: Iterator[bytes]) -> None:
        next(chunks)
        raise OSError("disk full")

    with client_of(server) as client, pytest.raises(OSError, match="disk full"):
        client.download("f", fail)
    assert server.asked_for("f") == 1


def test_health_is_asked_once(server: DataHubServer) -> None:
    with client_of(server) as client:
        client.health()
        server.always["health"] = Fault(503)
        with pytest.raises(DataHubUnavailable):
            client.health()
        server.always["health"] = Fault(401)
        with pytest.raises(DataHubAccessDenied):
            client.health()
    assert len(server.requests) == 3
