"""The catalogue's tables, in the schema `des_catalog`.

Invariants that the database itself holds:

* a file is recorded once: `(bucket, key, etag)` is unique in the inbox and among the files, whatever announced it;
* a DES name belongs to one file, and a file to at most one container;
* a shard has at most one published container;
* a fencing token only grows;
* a row of a source database stands in the ledger once, a deletion is recorded once;
* the removal of a file's original is planned once;
* a table of the lake has one schema version of each number and at most one current one, and one row for a partition.

The migrations in `migrations/` create what stands here; a test compares the two.
"""

from __future__ import annotations

from des_platform.catalog.tables.base import SCHEMA, metadata
from des_platform.catalog.tables.files import (
    checkpoints,
    cleanups,
    containers,
    counters,
    datasets,
    dead_letters,
    files,
    inbox,
    leases,
    manifests,
    naming_nodes,
    removals,
    source_rows,
    table_loads,
)
from des_platform.catalog.tables.lake import (
    api_keys,
    data_sources,
    ingested_files,
    ingestion_batches,
    ingestion_jobs,
    lake_partitions,
    lake_tables,
    schema_changes,
    schema_versions,
)

__all__ = [
    "SCHEMA",
    "api_keys",
    "checkpoints",
    "cleanups",
    "containers",
    "counters",
    "data_sources",
    "datasets",
    "dead_letters",
    "files",
    "inbox",
    "ingested_files",
    "ingestion_batches",
    "ingestion_jobs",
    "lake_partitions",
    "lake_tables",
    "leases",
    "manifests",
    "metadata",
    "naming_nodes",
    "removals",
    "schema_changes",
    "schema_versions",
    "source_rows",
    "table_loads",
]
