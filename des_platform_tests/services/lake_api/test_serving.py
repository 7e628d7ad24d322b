from __future__ import annotations

import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import TYPE_CHECKING
from urllib.error import HTTPError

import pytest

from des_platform.services.lake_api.serving import lake_server
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from des_platform_tests.platform import Platform


def test_a_server_answers_over_http_until_it_is_stopped(platform: Platform, key: Callable[..., str]) -> None:
    server = lake_server(platform.catalog, platform.settings, "127.0.0.1", 0)
    thread = Thread(target=server.run)
    thread.start()
    url, headers = f"{server.url}api/v1/tables/", {"Authorization": f"Bearer {key('lake:read')}"}

    def ask(_: int) -> bytes:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return bytes(answer.read())

    try:
        with ThreadPoolExecutor(16) as threads:
            assert set(threads.map(ask, range(64))) == {b"[]"}
        with pytest.raises(HTTPError, match="401"):
            urllib.request.urlopen(url)
    finally:
        server.stop()
        thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "lake.example"])  # noqa: S104 - refused
def test_without_keys_only_this_machine_is_served(platform: Platform, host: str) -> None:
    with pytest.raises(ConfigurationError, match="--open"):
        lake_server(platform.catalog, platform.settings, host, 0, unlocked=True)


def test_a_port_in_use_is_told(platform: Platform) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}"):
            lake_server(platform.catalog, platform.settings, "127.0.0.1", port)
