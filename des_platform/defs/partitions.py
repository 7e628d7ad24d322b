"""Partitions: UTC days, and days times shards. Files are never partitions."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from des_platform.naming import shard_labels

if TYPE_CHECKING:
    from des_platform.catalog.dataset import Dataset


def days(dataset: Dataset) -> dg.DailyPartitionsDefinition:
    """One partition a day, today included: files are catalogued as they arrive, not after midnight."""
    end = None if dataset.end is None else dataset.end.isoformat()
    return dg.DailyPartitionsDefinition(
        start_date=dataset.start.isoformat(), end_date=end, timezone="UTC", end_offset=0 if end else 1
    )


def days_and_shards(dataset: Dataset) -> dg.MultiPartitionsDefinition:
    """One partition a day and shard."""
    shards = dg.StaticPartitionsDefinition(shard_labels(dataset.shard_bits))
    return dg.MultiPartitionsDefinition({"day": days(dataset), "shard": shards})


def day_of(partition_key: str) -> date:
    """The day of a partition key."""
    return date.fromisoformat(partition_key)


def day_and_shard_of(partition_key: str) -> tuple[date, int]:
    """Day and shard of a key such as `2026-03-01|f`."""
    day, shard = partition_key.split("|")
    return date.fromisoformat(day), int(shard, 16)
