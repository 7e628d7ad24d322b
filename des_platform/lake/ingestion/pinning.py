"""The columns of a table that a job fills: those that it has, or, for its first rows, those that somebody declared.

Declared by a schema version or by the data source; where nobody did, inferred from the first files. Once there are
rows, nothing a file holds changes the table: the columns are pinned as its first schema version, and what a file has
beside them is told of.
"""

from __future__ import annotations

from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

from des_platform.catalog import ingestion_batches, schema_versions
from des_platform.catalog.ingestion_jobs import JobRefused
from des_platform.catalog.table_spec import PartitionRule
from des_platform.lake.inferring import MOST_LOOKED_AT, Sample, infer_from
from des_platform.lake.ingestion.batches import format_beside
from des_platform.lake.rejected import ensure_rejected_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from des_platform.catalog.data_sources import DataSource
    from des_platform.catalog.database import Catalog
    from des_platform.catalog.lake_tables import LakeTable
    from des_platform.lake.ingestion.sources import SourceFile
    from des_platform.lake.tables import Lake
    from des_platform.objectstore import ObjectStore


def ensure_table(
    catalog: Catalog,
    lake: Lake,
    store: ObjectStore,
    source: DataSource,
    table: LakeTable,
    files: Iterator[SourceFile],
    *,
    scratch: Path,
) -> tuple[dict[str, str], Iterator[SourceFile]]:
    """Make the table and the one of its rejected rows, where they are missing.

    Args:
        catalog: knows the schema versions.
        lake: holds the tables.
        store: the source's bucket.
        source: the source.
        table: the table as it is registered.
        files: what is to be read; some of it is looked at.
        scratch: folder for what the look needs.

    Returns:
        Name to type of the table's columns, and the files again, from the first one on.

    Raises:
        StoreUnavailable: the first files cannot be read.
        JobRefused: nobody declared columns, and none of the first files has any.
        ConfigurationError: the declared columns, or the partitioning, are such as no table could have.
    """
    columns: dict[str, str] = {}
    if not lake.exists(table.name):
        columns = _declared(catalog, source, table)
        if not columns:
            columns, files = _inferred(store, source, files, scratch)
    with catalog.begin() as locked:
        ingestion_batches.lock_table(locked, table.table_id)
        if not lake.exists(table.name):
            lake.ensure_table(table.name, columns, tuple(PartitionRule.parse(rule) for rule in table.partition_by))
        ensure_rejected_table(lake, table.name)
        if schema_versions.current(locked, table.table_id) is None:
            from des_platform.lake.evolution.recording import record_version

            description = f"the columns with which the first job, of data source {source.name}, began"
            record_version(
                locked, table.table_id, lake.table(table.name), created_by="ingestion", description=description
            )
    return lake.columns(table.name), files


def _declared(catalog: Catalog, source: DataSource, table: LakeTable) -> dict[str, str]:
    with catalog.begin() as connection:
        version = schema_versions.current(connection, table.table_id)
    if version is None:
        return source.schema_definition or {}
    from des_platform.lake.evolution import parse_definition

    return {field.name: field.type for field in parse_definition(version.schema_definition)}


def _inferred(
    store: ObjectStore, source: DataSource, files: Iterator[SourceFile], scratch: Path
) -> tuple[dict[str, str], Iterator[SourceFile]]:
    looked_at = list(islice(files, MOST_LOOKED_AT))
    samples = (
        Sample(
            file.key,
            partial(store.stream, file.key, if_match=file.etag or None),
            format_beside(file.key, source.data_format),
        )
        for file in looked_at
    )
    columns = infer_from(samples, scratch=scratch)
    if not columns:
        raise JobRefused(
            f"none of the first {len(looked_at)} files of data source {source.name} tells any columns: declare them as"
            " the source's schema_definition, or as the table's first schema version"
        )
    return columns, chain(looked_at, files)
