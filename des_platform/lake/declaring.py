"""The columns of a dataset's table: declared, or those that the table has, or inferred once from the first files.

What was inferred is pinned by the table: whatever later files hold, its columns stay until somebody declares others.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from des_platform.catalog import files
from des_platform.catalog.table_spec import TableSpec
from des_platform.lake.inferring import Sample, infer_from

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date
    from pathlib import Path

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.dataset import Dataset
    from des_platform.catalog.files import FileRow
    from des_platform.files.reader import FileReader
    from des_platform.lake.tables import Lake


def ensure_declared(
    catalog: Catalog, reader: FileReader, lake: Lake, dataset: Dataset, days: Sequence[date], *, scratch: Path
) -> TableSpec | None:
    """Make the dataset's table be as its definition says, and say what that is.

    Args:
        catalog: names the files, keeps the schema versions.
        reader: gives the files' bytes.
        lake: holds the table.
        dataset: one with a table.
        days: the days that are about to be loaded: where nobody declared columns, their first files tell.
        scratch: folder for what the look at them needs.

    Returns:
        The definition with its columns; None if nobody declared any and no file tells any.

    Raises:
        SchemaConflict: the table cannot become what the definition says; it stays as it is.
    """
    from des_platform.lake.evolution import evolve_declared

    spec = dataset.table or TableSpec()
    if not spec.columns:
        columns = (
            lake.columns(dataset.name)
            if lake.exists(dataset.name)
            else _inferred(catalog, reader, dataset, days, scratch)
        )
        if not columns:
            return None
        spec = TableSpec.model_validate(spec.model_dump() | {"columns": columns})
    evolve_declared(lake, catalog, dataset.name, spec)
    if spec.misfits == "rescue":
        lake.ensure_table(dataset.name, spec.columns, rescue=True)
    if set(lake.partitioning(dataset.name)) != set(spec.partitioning):
        lake.repartition(dataset.name, spec.partitioning)
    return spec


def _inferred(
    catalog: Catalog, reader: FileReader, dataset: Dataset, days: Sequence[date], scratch: Path
) -> dict[str, str]:
    samples = (Sample(file.key, partial(reader.stream, file)) for file in _files(catalog, dataset, days))
    return infer_from(samples, scratch=scratch)


def _files(catalog: Catalog, dataset: Dataset, days: Sequence[date]) -> Iterator[FileRow]:
    with catalog.begin() as connection:
        for day in days:
            for batch in files.of_day(connection, dataset.name, day):
                yield from batch
