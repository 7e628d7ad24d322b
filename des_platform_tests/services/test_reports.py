from __future__ import annotations

import base64
import http.client
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import pytest

from des_platform.compression.report import write_report
from des_platform.services.reports import reports_server
from des_platform.settings import ConfigurationError
from des_platform_tests.damage import remove_bucket
from des_platform_tests.platform import DATASET, DAY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform_tests.platform import Platform

KEY = "kü" * 10
PAGE = "/things/2026-03-01.html"


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    text: str


@contextmanager
def serving(platform: Platform, key: str = "") -> Iterator[str]:
    with reports_server(platform.buckets.own, "127.0.0.1", 0, key) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def ask(url: str, path: str, method: str = "GET", **headers: str) -> Answer:
    """Ask for a path as it is: no client tidies it."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read().decode())
    finally:
        connection.close()


@pytest.fixture
def reported(platform: Platform) -> Platform:
    write_report(platform.catalog, platform.buckets, DATASET, DAY, price=0.023)
    return platform


def test_a_report_is_found_from_the_index(reported: Platform) -> None:
    own = reported.buckets.own
    own.put("reports/other/2026-02-28.html", b"other")
    own.put("reports/other/notes.txt", b"no report")
    own.put("reports/Bad <name>/2026-02-28.html", b"no data set")

    with serving(reported) as url:
        index = ask(url, "/")
        page = ask(url, PAGE)

    assert "2 reports of 2 datasets." in index.text
    assert 'href="things/2026-03-01.html"' in index.text
    assert 'href="other/2026-02-28.html"' in index.text
    assert "notes.txt" not in index.text
    assert "Bad" not in index.text
    assert page.status == 200
    assert page.text == own.get("reports/things/2026-03-01.html", max_bytes=1 << 20).decode()


def test_an_empty_index_says_where_reports_come_from(platform: Platform) -> None:
    with serving(platform) as url:
        assert "There are none yet" in ask(url, "/").text


def test_nothing_but_reports_is_served(reported: Platform) -> None:
    reported.buckets.own.put("archives/secret", b"the secret")
    paths = [
        "/things/2026-03-02.html",
        "/things/2026-99-99.html",
        "/../secret.html",
        "/things/../../archives/secret",
        "/things/..%2f..%2farchives%2fsecret",
        "/%2e%2e/archives/secret",
        "//archives/secret",
        "/archives/secret",
        "/reports/things/2026-03-01.html",
        "/things/2026-03-01.html/",
        "/things/2026-03-01.html%0a",
        "/things/2026-03-01.html%00",
        "/th%c3%afngs/2026-03-01.html",
        "/things/%d9%a2026-03-01.html",
    ]

    with serving(reported) as url:
        answers = {path: ask(url, path) for path in paths}

    assert {path: answer.status for path, answer in answers.items()} == dict.fromkeys(paths, 404)
    assert not any("secret" in answer.text for answer in answers.values())


def test_a_browser_is_told_to_let_a_page_do_nothing(reported: Platform) -> None:
    with serving(reported) as url:
        answers = [ask(url, path) for path in ("/", PAGE, "/missing")]

    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "sandbox allow-scripts" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert [answer.headers["Content-Type"] for answer in answers] == [
        "text/html; charset=utf-8",
        "text/html; charset=utf-8",
        "text/plain; charset=utf-8",
    ]


def test_reports_are_only_read(reported: Platform) -> None:
    with serving(reported) as url:
        assert [ask(url, PAGE, method).status for method in ("POST", "PUT", "DELETE")] == [405] * 3
        assert ask(url, PAGE).status == 200


def test_a_head_request_gets_the_headers_alone(reported: Platform) -> None:
    with serving(reported) as url:
        head, got = ask(url, PAGE, "HEAD"), ask(url, PAGE)

    assert (head.status, head.text) == (200, "")
    assert head.headers["Content-Length"] == str(len(got.text.encode()))


def test_a_key_is_asked_for_and_a_browser_may_send_it_as_a_password(reported: Platform) -> None:
    basic = base64.b64encode(f"anyone:{KEY}".encode()).decode()
    wrong = base64.b64encode(b"anyone:wrong").decode()

    with serving(reported, KEY) as url:
        refused = [
            ask(url, PAGE),
            ask(url, "/", Authorization=f"Basic {wrong}"),
            ask(url, "/", Authorization="Basic !"),
            ask(url, "/", Authorization="Bearer wrong"),
            ask(url, "/", Authorization="Bearer"),
        ]
        allowed = ask(url, PAGE, Authorization=f"Basic {basic}")

    assert [answer.status for answer in refused] == [401] * 5
    assert all(answer.headers["WWW-Authenticate"].startswith("Basic ") for answer in refused)
    assert not any("things" in answer.text for answer in refused)
    assert allowed.status == 200


def test_another_address_than_loopback_needs_a_key(platform: Platform) -> None:
    with pytest.raises(ConfigurationError, match="DES_REPORTS_KEY"):
        reports_server(platform.buckets.own, "0.0.0.0", 0)  # noqa: S104 - refused


def test_a_client_that_says_nothing_keeps_nobody_waiting(reported: Platform) -> None:
    with serving(reported) as url:
        host, port = urlsplit(url).netloc.split(":")
        with socket.create_connection((host, int(port))):
            assert ask(url, PAGE).status == 200


def test_a_store_that_is_away_is_told(s3_platform: Platform) -> None:
    remove_bucket(s3_platform.settings.s3_endpoint, s3_platform.settings.bucket)

    with serving(s3_platform) as url:
        assert ask(url, "/").status == 503
