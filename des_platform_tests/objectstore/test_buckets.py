"""Opening and making buckets, and what the clients do when a store refuses or stumbles."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

from des_platform.objectstore import Buckets, ObjectNotFound, ObjectStore, StoreUnavailable
from des_platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REFUSAL = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SignatureDoesNotMatch</Code>
<Message>The request signature we calculated does not match.</Message>
<AWSAccessKeyId>AKIASECRETSECRET</AWSAccessKeyId>
<StringToSign>AWS4-HMAC-SHA256 AKIASECRETSECRET</StringToSign></Error>"""


class _Refusing(BaseHTTPRequestHandler):
    """Answers each request with the next of `statuses`, and the last one from then on."""

    statuses: tuple[int, ...] = (403,)
    asked = 0

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = self.statuses[min(type(self).asked, len(self.statuses) - 1)]
        type(self).asked += 1
        body = REFUSAL if status == 403 else b"payload"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("ETag", '"e"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _answer  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def refusing(serve: Callable[[type[BaseHTTPRequestHandler]], ObjectStore]) -> tuple[ObjectStore, type[_Refusing]]:
    handler = type("Handler", (_Refusing,), {})
    return serve(handler), handler


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.put("key", b"1"),
        lambda store: store.put("key", iter([bytes(9_000_000)])),
        lambda store: store.get("key", max_bytes=1),
        lambda store: store.get_range("key", 0, 1),
        lambda store: store.copy("key", "other"),
        lambda store: store.delete("key"),
        lambda store: next(store.list("key")),
    ],
    ids=["put", "put parts", "get", "get_range", "copy", "delete", "list"],
)
def test_a_refusal_names_bucket_key_and_reason_but_no_credential(
    refusing: tuple[ObjectStore, type[_Refusing]], call: Callable[[ObjectStore], object]
) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        call(refusing[0])

    assert "'bucket', key 'key'" in str(caught.value)
    assert "SignatureDoesNotMatch: The request signature we calculated" in str(caught.value)
    assert "AKIASECRETSECRET" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_the_client_retries_a_server_error_by_itself(refusing: tuple[ObjectStore, type[_Refusing]]) -> None:
    store, handler = refusing
    handler.statuses = (503, 200)

    assert store.get("key", max_bytes=100) == b"payload"
    assert handler.asked == 2


def test_a_refusal_is_not_retried(refusing: tuple[ObjectStore, type[_Refusing]]) -> None:
    store, handler = refusing

    with pytest.raises(StoreUnavailable):
        store.get("key", max_bytes=100)
    assert handler.asked == 1


def test_a_bucket_is_opened_once_and_knows_its_address(buckets: Buckets) -> None:
    store = buckets.create("bucket")

    assert buckets.bucket("bucket") is store
    assert store.bucket == "bucket"
    assert store.url.endswith("//bucket") or store.url.endswith("/root/bucket")
    assert store.uri("a b/c#d") == f"{store.url}/a b/c#d"


def test_the_own_bucket_is_the_one_of_the_settings(buckets: Buckets) -> None:
    buckets.create("own").put("key", b"1")

    assert buckets.own.get("key", max_bytes=1) == b"1"


def test_creating_a_bucket_again_keeps_its_objects(buckets: Buckets) -> None:
    buckets.create("bucket").put("key", b"1")

    assert buckets.create("bucket").exists("key")


def test_buckets_do_not_see_each_other(buckets: Buckets) -> None:
    buckets.create("one").put("key", b"1")

    with pytest.raises(ObjectNotFound):
        buckets.create("two").head("key")


def test_an_s3_bucket_is_created_in_the_region_of_the_settings(moto_endpoint: str) -> None:
    store = Buckets(Settings(s3_endpoint=moto_endpoint, s3_region="eu-central-1")).create("europe")

    store.put("key", b"1")

    assert [info.key for info in store.list()] == ["key"]


def test_a_folder_with_odd_characters_holds_buckets(tmp_path: Path) -> None:
    url = (tmp_path / "a b#é%").as_uri()
    store = Buckets(Settings(store_url=url)).create("bucket")

    store.put("key", b"1")

    assert (tmp_path / "a b#é%" / "bucket" / "key").read_bytes() == b"1"
    assert [info.key for info in store.list()] == ["key"]
    assert store.url == f"{url}/bucket"
