"""Ingestion: what draining a queue costs, how claims scale, how quickly names are minted, how soon a file is there.

Each row has servers of its own, the same that the demo starts; its module says what it stands beside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform_tests.bench import ingest_claims, ingest_latency, ingest_names, ingest_queue
from des_platform_tests.bench.runner import bench

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform_tests.bench.results import Measurement

_ROWS = (
    ingest_queue.queue_drain,
    ingest_claims.claims,
    ingest_names.names,
    ingest_latency.latency,
    ingest_queue.memory,
)


@bench
def ingest(*, quick: bool) -> Iterator[Measurement]:
    """Ingestion: a queue's draining, claims, names, and the way from a put to its partition."""
    for row in _ROWS:
        yield from row(quick=quick)
