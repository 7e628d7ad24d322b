"""An object as a source of bytes: how many requests it costs, and that it never mixes versions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

from des_platform.objectstore import ObjectNotFound, ObjectStore, PreconditionFailed, RangeNotSatisfiable
from des_platform_tests.objectstore.conftest import pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from des_platform_tests.objectstore.relay import Relay

DATA = pattern(200_000)


@pytest.mark.parametrize("length", [1, 72, 199_999, 200_000, 200_001, 10_000_000])
def test_a_tail_gives_the_last_bytes_or_all_there_are_and_the_size(store: ObjectStore, length: int) -> None:
    store.put("key", DATA)

    assert store.as_source("key").read_tail(length) == (DATA[-length:], len(DATA))


def test_the_tail_of_an_empty_object_is_empty(store: ObjectStore) -> None:
    etag = store.put("key", b"").etag

    assert store.as_source("key").read_tail(65_536) == (b"", 0)
    assert store.as_source("key", if_match=etag).read_tail(65_536) == (b"", 0)
    with pytest.raises(PreconditionFailed):
        store.as_source("key", if_match="other").read_tail(65_536)


@pytest.mark.parametrize("length", [0, -1])
def test_a_tail_of_no_bytes_is_refused(store: ObjectStore, length: int) -> None:
    with pytest.raises(ValueError, match="is none"):
        store.as_source("key").read_tail(length)


def test_opening_asks_nothing_and_a_tail_or_a_range_is_one_request(relayed_store: ObjectStore, relay: Relay) -> None:
    relayed_store.put("key", DATA)
    relay.requests.clear()

    source = relayed_store.as_source("key")
    assert relay.requests == []
    source.read_tail(65_536)
    assert relay.lines() == ["GET /bucket/key"]
    assert relay.requests[0].received == 65_536
    source.read_range(5, 10)
    assert relay.lines() == ["GET /bucket/key", "GET /bucket/key"]


def test_the_first_answer_shows_the_version_and_every_later_request_names_it(
    relayed_store: ObjectStore, relay: Relay
) -> None:
    etag = relayed_store.put("key", DATA).etag
    relay.requests.clear()
    source = relayed_store.as_source("key")
    assert source.identity is None

    source.read_tail(100)
    source.read_range(0, 100)
    relayed_store.as_source("key", if_match=etag).read_tail(100)

    assert source.identity == f"bucket/key/{etag}"
    assert [request.headers.get("if-match") for request in relay.requests] == [None, f'"{etag}"', f'"{etag}"']


def test_the_identity_is_known_at_once_where_the_version_is_given(store: ObjectStore) -> None:
    assert store.as_source("key", if_match="e1").identity == "bucket/key/e1"


@pytest.mark.parametrize("replacement", [DATA[::-1], b"short", b""], ids=["same size", "shorter", "empty"])
@pytest.mark.parametrize("first", ["tail", "range"])
def test_a_replaced_object_is_noticed(store: ObjectStore, replacement: bytes, first: str) -> None:
    store.put("key", DATA)
    source = store.as_source("key")
    _ = source.read_tail(10) if first == "tail" else source.read_range(0, 10)
    store.put("key", replacement)

    with pytest.raises(PreconditionFailed, match="'key'"):
        source.read_range(100_000, 20)
    with pytest.raises(PreconditionFailed, match="'key'"):
        source.read_tail(20)


def test_an_object_that_is_gone_is_not_found(store: ObjectStore) -> None:
    source = store.as_source("key")
    with pytest.raises(ObjectNotFound):
        source.read_tail(10)
    store.put("key", DATA)
    source.read_tail(10)
    store.delete("key")

    with pytest.raises(ObjectNotFound):
        source.read_range(0, 10)


def test_a_range_is_shorter_only_where_the_object_ends(store: ObjectStore) -> None:
    store.put("key", DATA)
    source = store.as_source("key")

    assert source.read_range(199_990, 5) == DATA[199_990:199_995]
    assert source.read_range(199_990, 500) == DATA[199_990:]
    assert source.read_range(500_000, 0) == b""
    with pytest.raises(RangeNotSatisfiable, match="'key'"):
        source.read_range(200_000, 1)
    with pytest.raises(ValueError, match="negative"):
        source.read_range(-1, 5)


def test_threads_share_a_source(store: ObjectStore) -> None:
    store.put("key", DATA)
    source = store.as_source("key")
    offsets = range(0, 200_000, 5_000)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda offset: source.read_range(offset, 100), offsets)) == [
            DATA[offset : offset + 100] for offset in offsets
        ]


class _WithoutSuffixes(BaseHTTPRequestHandler):
    """A server that knows no range from the end: it sends the whole object instead."""

    def do_HEAD(self) -> None:
        self._answer(200, 0, len(DATA))

    def do_GET(self) -> None:
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        if first:
            self._answer(206, int(first), int(last) + 1)
        else:
            self._answer(200, 0, len(DATA))

    def _answer(self, status: int, first: int, end: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(end - first))
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(DATA)}")
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("ETag", '"e"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(DATA[first:end])

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_without_ranges_from_the_end_gives_the_tail_all_the_same(
    serve: Callable[[type[BaseHTTPRequestHandler]], ObjectStore],
) -> None:
    source = serve(_WithoutSuffixes).as_source("key")

    assert source.read_tail(1_000) == (DATA[-1_000:], len(DATA))
    assert source.identity == "bucket/key/e"
