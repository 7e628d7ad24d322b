"""Reading an object: whole, as a stream, by ranges, as a source."""

from __future__ import annotations

import itertools
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

from des_platform.objectstore import (
    IntegrityError,
    ObjectNotFound,
    ObjectStore,
    ObjectTooLarge,
    PreconditionFailed,
    RangeNotSatisfiable,
)
from des_platform.objectstore.ranges import MAX_GAP, MAX_SPAN, spans_of
from des_platform_tests.objectstore.conftest import pattern

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = pattern(1_000_000)


def test_an_object_larger_than_allowed_is_refused_with_both_sizes(store: ObjectStore) -> None:
    store.put("key", DATA)

    assert store.get("key", max_bytes=len(DATA)) == DATA
    with pytest.raises(ObjectTooLarge, match=r"1000000 bytes.*999999"):
        store.get("key", max_bytes=len(DATA) - 1)


@pytest.mark.parametrize(
    "read",
    [
        lambda store, etag: store.get("key", max_bytes=10, if_match=etag),
        lambda store, etag: b"".join(store.stream("key", if_match=etag)),
        lambda store, etag: store.get_range("key", 0, 2, if_match=etag),
        lambda store, etag: store.get_ranges("key", [(0, 2)], if_match=etag)[0],
        lambda store, etag: store.as_source("key", if_match=etag).read_range(0, 2),
    ],
    ids=["get", "stream", "get_range", "get_ranges", "as_source"],
)
def test_every_read_of_a_version_loses_when_it_is_gone(
    store: ObjectStore, read: Callable[[ObjectStore, str], bytes]
) -> None:
    first = store.put("key", b"v1").etag
    assert read(store, first) == b"v1"
    store.put("key", b"v2")

    with pytest.raises(PreconditionFailed, match="'key'"):
        read(store, first)

    store.delete("key")
    with pytest.raises(ObjectNotFound) as caught:
        read(store, first)
    assert (caught.value.bucket, caught.value.key) == ("bucket", "key")


@pytest.mark.parametrize("chunk_bytes", [999_999, 1_000_000, 1_000_001, 300_000])
def test_a_stream_gives_the_whole_object_in_chunks_of_the_asked_size(store: ObjectStore, chunk_bytes: int) -> None:
    store.put("key", DATA)
    seen: list[tuple[int, int | None]] = []

    chunks = list(store.stream("key", chunk_bytes=chunk_bytes, progress=lambda *step: seen.append(step)))

    assert b"".join(chunks) == DATA
    assert {len(chunk) for chunk in chunks[:-1]} <= {chunk_bytes}
    assert seen[-1] == (len(DATA), len(DATA))
    assert len(seen) == len(chunks)


def test_the_stream_of_an_empty_object_has_no_chunks(store: ObjectStore) -> None:
    store.put("key", b"")

    assert list(store.stream("key")) == []


def test_a_stream_of_no_object_raises(store: ObjectStore) -> None:
    with pytest.raises(ObjectNotFound):
        next(store.stream("nothing"))
    with pytest.raises(ValueError, match="chunk_bytes is 0"):
        store.stream("nothing", chunk_bytes=0)


@pytest.mark.parametrize("replacement", [DATA[::-1], b"short"], ids=["same size", "shorter"])
def test_an_object_replaced_while_it_is_streamed_is_noticed(store: ObjectStore, replacement: bytes) -> None:
    store.put("key", DATA)
    chunks = store.stream("key", chunk_bytes=400_000)
    next(chunks)
    store.put("key", replacement)

    with pytest.raises(IntegrityError, match="replaced while it was read, after 400000 of 1000000"):
        list(chunks)


@pytest.mark.parametrize(("offset", "length"), [(0, 1), (0, 1_000_000), (999_999, 1), (123_456, 78_901)])
def test_a_range_is_exact(store: ObjectStore, offset: int, length: int) -> None:
    store.put("key", DATA)

    assert store.get_range("key", offset, length) == DATA[offset : offset + length]


def test_an_empty_range_needs_no_object(store: ObjectStore) -> None:
    assert store.get_range("nothing", 5, 0) == b""
    assert store.get_ranges("nothing", [(5, 0), (0, 0)]) == [b"", b""]
    assert store.get_ranges("nothing", []) == []


@pytest.mark.parametrize(("offset", "length"), [(1_000_000, 1), (999_999, 2), (5_000_000, 10)])
def test_a_range_past_the_end_is_an_error(store: ObjectStore, offset: int, length: int) -> None:
    store.put("key", DATA)

    with pytest.raises(RangeNotSatisfiable, match="'key'"):
        store.get_range("key", offset, length)
    with pytest.raises(RangeNotSatisfiable, match="'key'"):
        store.get_ranges("key", [(0, 10), (offset, length)])


@pytest.mark.parametrize(("offset", "length"), [(-1, 5), (5, -1)])
def test_a_negative_range_is_refused(store: ObjectStore, offset: int, length: int) -> None:
    with pytest.raises(ValueError, match="negative"):
        store.get_range("key", offset, length)
    with pytest.raises(ValueError, match="negative"):
        store.get_ranges("key", [(offset, length)])


def test_ranges_come_in_the_order_asked_for_whatever_they_share(store: ObjectStore) -> None:
    store.put("key", DATA)
    ranges = [(900_000, 50), (0, 10), (5, 10), (0, 0), (400_000, 300_000), (450_000, 7), (10, 5), (0, 10)]

    assert store.get_ranges("key", ranges) == [DATA[offset : offset + length] for offset, length in ranges]


def test_ranges_of_a_missing_object_raise(store: ObjectStore) -> None:
    with pytest.raises(ObjectNotFound):
        store.get_ranges("nothing", [(0, 1), (500_000, 1)])


def test_near_ranges_share_a_request_and_far_ones_do_not() -> None:
    near = spans_of([(0, 10), (10 + MAX_GAP, 10), (5, 2)])
    far = spans_of([(0, 10), (11 + MAX_GAP, 10)])

    assert [(span.offset, span.length) for span in near] == [(0, 20 + MAX_GAP)]
    assert [(span.offset, span.length) for span in far] == [(0, 10), (11 + MAX_GAP, 10)]


def test_a_shared_request_stays_below_its_limit() -> None:
    ranges = [(offset, 1_000_000) for offset in range(0, 64_000_000, 1_000_000)]

    spans = spans_of([*ranges, (100_000_000, MAX_SPAN + 1)])

    assert all(span.length <= MAX_SPAN for span in spans[:-1])
    assert spans[-1].length == MAX_SPAN + 1
    assert sum(len(span.ranges) for span in spans) == 65


class _Careless(BaseHTTPRequestHandler):
    """A store that ignores If-Match and gives every reply another etag: an object that is replaced all the time."""

    count = itertools.count()

    def do_GET(self) -> None:
        first, last = 0, len(DATA) - 1
        if "Range" in self.headers:
            first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(DATA)}")
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("ETag", f'"version-{next(self.count)}"')
        self.end_headers()
        self.wfile.write(DATA[first : last + 1])

    def log_message(self, *_: object) -> None:
        pass


def test_ranges_of_different_versions_are_never_mixed(
    serve: Callable[[type[BaseHTTPRequestHandler]], ObjectStore],
) -> None:
    store = serve(_Careless)

    assert store.get_ranges("key", [(10, 5), (0, 5)]) == [DATA[10:15], DATA[:5]]
    with pytest.raises(IntegrityError, match="replaced while its ranges were read"):
        store.get_ranges("key", [(0, 5), (900_000, 5)])
    with pytest.raises(IntegrityError, match="replaced while it was read"):
        list(store.stream("key", chunk_bytes=400_000))


def test_a_store_that_ignores_if_match_is_not_believed(
    serve: Callable[[type[BaseHTTPRequestHandler]], ObjectStore],
) -> None:
    with pytest.raises(PreconditionFailed, match="not 'mine'"):
        serve(_Careless).get("key", max_bytes=len(DATA), if_match="mine")
