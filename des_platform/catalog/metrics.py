"""Counters, gauges and histograms that outlive every process: kept in the catalogue, read by Prometheus.

A counter is incremented in the transaction of the work it counts, so it neither counts what was rolled back nor
forgets what was committed, whichever process did it. Each process writes into one of `SLOTS` rows of a counter, so that
transactions side by side do not wait for each other; readers add the slots up. A histogram is the counters that
Prometheus makes of it: `_bucket` by upper bound (`le`), `_sum` and `_count`. A gauge is the last value set.

Every metric is declared in `METRICS`; another name is a `KeyError`.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from des_platform.catalog.tables import counters

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SLOTS = 16


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric is: help for its reader, its labels, and the upper bounds of a histogram's buckets."""

    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_MILLISECONDS = (0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1000.0)
_ROWS = (1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 10_000.0)

METRICS: dict[str, Metric] = {
    "des_ingest_messages_total": Metric("Messages and records received.", ("source",)),
    "des_ingest_files_total": Metric(
        "Files that sources told of, by whether the inbox knew them.", ("source", "outcome")
    ),
    "des_ingest_removals_total": Metric("Deletions that events announced.", ("source",)),
    "des_ingest_dead_letters_total": Metric("What sources told and nobody could process.", ("source",)),
    "des_ingest_drain_duration_seconds": Metric("One draining of a source.", ("source",), _SECONDS),
    "des_source_backlog": Metric("What waited in a source after its last draining.", ("source", "where")),
    "des_packer_files_packed_total": Metric("Files whose archive was published.", ("shard_id",)),
    "des_packer_bytes_packed_total": Metric("Bytes of the files whose archive was published.", ("shard_id",)),
    "des_shard_lock_conflicts_total": Metric("Shards whose lease another writer held.", ("shard_id",)),
    "des_packer_loop_duration_seconds": Metric("One packing of a shard.", ("shard_id",), _SECONDS),
    "des_recovery_stale_claims_total": Metric("Claims that ran out and were taken anew.", ("source_db",)),
    "des_source_rows_claimed_total": Metric("Rows claimed in source databases.", ("source_db",)),
    "des_source_rows_written_back_total": Metric("Rows whose outcome was written back.", ("source_db", "outcome")),
    "des_source_claim_duration_seconds": Metric("One claim of a batch of rows.", ("source_db",), _SECONDS),
    "des_datahub_files_total": Metric("Files taken from a DataHub.", ("datahub", "outcome")),
    "des_datahub_bytes_total": Metric("Bytes taken from a DataHub.", ("datahub",)),
    "des_datahub_compressed_files_total": Metric("Files dealt with inside a DataHub.", ("datahub", "outcome")),
    "des_datahub_saved_bytes_total": Metric("Bytes that compressed copies save a DataHub.", ("datahub",)),
    "des_stream_files_total": Metric("Files that went through a stream job.", ("job", "side")),
    "des_stream_original_bytes_total": Metric("Bytes of those files.", ("job", "side")),
    "des_stream_compressed_bytes_total": Metric("Bytes of their chunks.", ("job", "side")),
    "des_compressed_files_total": Metric("Large files compressed, or kept as they are.", ("dataset", "codec")),
    "des_compressed_original_bytes_total": Metric("Bytes of those files.", ("dataset", "codec")),
    "des_compressed_bytes_total": Metric("Bytes that they have now.", ("dataset", "codec")),
    "des_compression_failures_total": Metric("Attempts to compress a file that failed.", ("dataset",)),
    "des_cleanup_originals_total": Metric("Originals that were due, by their fate.", ("dataset", "outcome")),
    "des_cleanup_bytes_total": Metric("Bytes of the originals that were removed.", ("dataset",)),
    "des_marker_entries_marked_total": Metric("Rows that the marker dealt with.", ("status",)),
    "des_marker_errors_total": Metric("Errors of the marker.", ("error_type",)),
    "des_marker_retries_total": Metric("Batches that the marker tried again.", ("attempt",)),
    "des_marker_dlq_entries_total": Metric("Rows that the marker gave up."),
    "des_marker_batch_size": Metric("Rows in a batch of the marker.", (), _ROWS),
    "des_marker_rate_limit_ops_per_sec": Metric("Rows a second that the marker may deal with."),
    "des_marker_batch_stats": Metric("The marker's last batch.", ("metric",)),
    "des_marker_batch_duration_seconds": Metric("One batch of the marker.", (), _SECONDS),
    "des_marker_entry_latency_ms": Metric("From the choice of a row to the commit of its mark.", (), _MILLISECONDS),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One counter's value over all processes."""

    metric: str
    labels: dict[str, str]
    value: float


class Counts:
    """Increments to be written at once, in the caller's transaction."""

    def __init__(self) -> None:
        self._values: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._gauges: dict[tuple[str, str], float] = {}

    def add(self, metric: str, by: float = 1, /, **labels: str) -> None:
        """Increment a counter.

        Args:
            metric: its name.
            by: 0 or more; 0 makes the counter visible.
            labels: a value for each of its labels.

        Raises:
            KeyError: no such metric is declared, or not with these labels.
        """
        _check(metric, labels)
        self._values[metric, _key(labels)] += by

    def observe(self, metric: str, value: float, /, **labels: str) -> None:
        """Enter a value into a histogram.

        Raises:
            KeyError: no such metric is declared, or not with these labels.
        """
        _check(metric, labels)
        for bound in METRICS[metric].buckets:
            self._values[f"{metric}_bucket", _key({**labels, "le": f"{bound:g}"})] += value <= bound
        self._values[f"{metric}_bucket", _key({**labels, "le": "+Inf"})] += 1
        self._values[f"{metric}_sum", _key(labels)] += value
        self._values[f"{metric}_count", _key(labels)] += 1

    def set(self, metric: str, value: float, /, **labels: str) -> None:
        """Set a gauge.

        Raises:
            KeyError: no such metric is declared, or not with these labels.
        """
        _check(metric, labels)
        self._gauges[metric, _key(labels)] = value

    def write(self, connection: sa.Connection) -> None:
        """Write what was gathered, and forget it."""
        slot = os.getpid() % SLOTS
        _write(connection, self._values, slot, add=True)
        _write(connection, self._gauges, 0, add=False)
        self._values.clear()
        self._gauges.clear()


def _write(connection: sa.Connection, values: Mapping[tuple[str, str], float], slot: int, *, add: bool) -> None:
    if not values:
        return
    statement = insert(counters)
    value = counters.c.value + statement.excluded.value if add else statement.excluded.value
    statement = statement.on_conflict_do_update(index_elements=["metric", "labels", "slot"], set_={"value": value})
    # Sorted: two writers in different orders would deadlock.
    rows = [
        {"metric": metric, "labels": json.loads(labels), "slot": slot, "value": values[metric, labels]}
        for metric, labels in sorted(values)
    ]
    connection.execute(statement, rows)


def samples(connection: sa.Connection) -> Iterator[Sample]:
    """Every counter over all processes, by name."""
    total = sa.func.sum(counters.c.value)
    statement = sa.select(counters.c.metric, counters.c.labels, total).group_by(counters.c.metric, counters.c.labels)
    for metric, labels, value in connection.execute(statement.order_by(counters.c.metric, counters.c.labels)):
        yield Sample(metric, labels, value)


def _check(metric: str, labels: dict[str, str]) -> None:
    declared = METRICS[metric].labels
    if set(declared) != set(labels):
        raise KeyError(f"{metric} has the labels {declared}, found {sorted(labels)}")


def _key(labels: dict[str, str]) -> str:
    return json.dumps(labels, sort_keys=True)
