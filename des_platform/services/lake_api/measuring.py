"""Prometheus metrics of the API: what this process answered, and beside it all that the catalogue counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from des_platform.services.metrics import CatalogCollector

if TYPE_CHECKING:
    from starlette.types import Scope

    from des_platform.catalog.database import Catalog

_METHODS: Final = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Measures:
    """Counters and latencies by route, never by path: a stranger's paths must not grow the number of series."""

    def __init__(self, catalog: Catalog) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(CatalogCollector(catalog))
        labels = ("route", "method")
        self._requests = Counter(
            "des_lake_api_requests_total", "Requests answered.", (*labels, "status"), registry=self._registry
        )
        self._latency = Histogram(
            "des_lake_api_request_seconds",
            "Time to the end of the answer.",
            labels,
            buckets=_SECONDS,
            registry=self._registry,
        )

    def add(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one request; status 0 is a client that left before its answer."""
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(route, method, str(status)).inc()
        self._latency.labels(route, method).observe(seconds)

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)
