from __future__ import annotations

import threading
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.error import HTTPError

import pytest
from prometheus_client.parser import text_string_to_metric_families

from des_platform.catalog.metrics import METRICS, Counts
from des_platform.services.metrics import metrics_server
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform_tests.platform import Platform

KEY = "k" * 20


@contextmanager
def serving(platform: Platform, key: str = "") -> Iterator[str]:
    with metrics_server(platform.catalog, "127.0.0.1", 0, key) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def scrape(url: str, **headers: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(f"{url}/metrics", headers=headers)) as answer:
        return str(answer.read(), "utf-8")


def test_prometheus_reads_what_the_catalogue_counted(platform: Platform) -> None:
    platform.put("a.txt", b"x")
    platform.find()
    counts = Counts()
    counts.add("des_ingest_messages_total", 5, source='a "quoted"\nname')
    counts.observe("des_ingest_drain_duration_seconds", 0.3, source="orders")
    with platform.catalog.begin() as connection:
        counts.write(connection)

    with serving(platform) as url:
        families = {family.name: family for family in text_string_to_metric_families(scrape(url))}

    messages = {sample.labels["source"]: sample.value for sample in families["des_ingest_messages"].samples}
    assert messages['a "quoted"\nname'] == 5
    assert messages["listing:things"] == 1
    durations = {
        sample.labels.get("le", sample.name): sample.value
        for sample in families["des_ingest_drain_duration_seconds"].samples
    }
    assert (durations["0.25"], durations["0.5"], durations["+Inf"]) == (0, 1, 1)
    assert durations["des_ingest_drain_duration_seconds_sum"] == 0.3
    [pending] = families["des_inbox_pending"].samples
    assert (pending.labels, pending.value) == ({"dataset": platform.dataset.name}, 1)


def test_every_declared_metric_is_shown_before_it_counts_anything(platform: Platform) -> None:
    with serving(platform) as url:
        shown = scrape(url)

    assert all(f"# HELP {name} " in shown for name in METRICS)


def test_a_key_is_asked_for(platform: Platform) -> None:
    with serving(platform, KEY) as url:
        with pytest.raises(HTTPError) as refused:
            scrape(url, Authorization="Bearer wrong")
        assert refused.value.code == 401
        assert "des_ingest_files_total" in scrape(url, Authorization=f"Bearer {KEY}")


def test_other_paths_are_not_found(platform: Platform) -> None:
    with serving(platform) as url, pytest.raises(HTTPError) as refused:
        urllib.request.urlopen(f"{url}/")
    assert refused.value.code == 404


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "metrics.example"])  # noqa: S104 - refused
def test_another_address_than_loopback_needs_a_key(platform: Platform, host: str) -> None:
    with pytest.raises(ConfigurationError, match="DES_METRICS_KEY"):
        metrics_server(platform.catalog, host, 0)


def test_a_port_in_use_is_told(platform: Platform) -> None:
    with serving(platform) as url:
        port = int(url.rsplit(":", 1)[1])
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}"):
            metrics_server(platform.catalog, "127.0.0.1", port)
