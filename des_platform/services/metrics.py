"""Prometheus metrics over HTTP, read from the catalogue at each scrape.

The catalogue keeps the counters, so one server shows what every process of the platform did since the catalogue was
made, and a restart of anything resets nothing. Who may ask: see `listening`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform.catalog import metrics, overview
from des_platform.services.listening import is_allowed, listening_server

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.simple_server import WSGIServer
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from prometheus_client.core import Metric

    from des_platform.catalog.database import Catalog

PATH = "/metrics"


class CatalogCollector:
    """Everything that the catalogue counts, as Prometheus' client wants it."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def collect(self) -> Iterator[Metric]:
        """Read the catalogue and yield each metric."""
        with self._catalog.begin() as connection:
            counted = list(metrics.samples(connection))
            waiting = overview.gauges(connection)
        yield from _counted(counted)
        yield from _gauges(waiting)


def exposition(catalog: Catalog) -> bytes:
    """All metrics in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(CatalogCollector(catalog))
    return generate_latest(registry)


def metrics_server(catalog: Catalog, host: str, port: int, key: str = "") -> WSGIServer:
    """A server that waits for `serve_forever`.

    Args:
        catalog: what to read.
        host: address to listen on.
        port: TCP port; 0 lets the system choose.
        key: what a scraper must send; needed for every address but the loopback ones.

    Raises:
        ConfigurationError: the address is not a loopback one and there is no key, or the port cannot be had.
    """
    return listening_server(_application(catalog, key), host, port, key=key, variable="DES_METRICS_KEY")


def _application(catalog: Catalog, key: str) -> WSGIApplication:
    def answer(environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if not is_allowed(environment, key):
            start("401 Unauthorized", [("WWW-Authenticate", "Bearer"), ("Content-Length", "0")])
            return [b""]
        if environment.get("PATH_INFO") != PATH:
            start("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
            return [f"the metrics are at {PATH}\n".encode()]
        body = exposition(catalog)
        start("200 OK", [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")])
        return [body]

    return answer


def _counted(samples: list[metrics.Sample]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    by_name: dict[str, list[metrics.Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.metric, []).append(sample)
    for name, declared in metrics.METRICS.items():
        labels = list(declared.labels)
        if declared.buckets:
            histogram = HistogramMetricFamily(name, declared.help, labels=labels)
            for part in ("bucket", "sum", "count"):
                for sample in by_name.get(f"{name}_{part}", []):
                    histogram.add_sample(f"{name}_{part}", sample.labels, sample.value)
            yield histogram
            continue
        family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
        simple = family(name, declared.help, labels=labels)
        for sample in by_name.get(name, []):
            simple.add_metric([sample.labels[label] for label in labels], sample.value)
        yield simple


def _gauges(waiting: list[overview.Gauge]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    families: dict[str, GaugeMetricFamily] = {}
    for gauge in waiting:
        family = families.setdefault(
            gauge.metric, GaugeMetricFamily(gauge.metric, gauge.help, labels=list(gauge.labels))
        )
        family.add_metric(list(gauge.labels.values()), gauge.value)
    yield from families.values()
