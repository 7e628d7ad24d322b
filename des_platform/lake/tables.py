"""The lake: one Iceberg table per dataset, partitioned by day, each day replaced whole.

A table's columns are the declared ones and `_day` (the partition), `_file` and `_line` (where a row came from).
Reading and counting take the newest snapshot each time. Importing this module is cheap; the first `Lake` brings in
pyiceberg.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from des_platform.lake.types import DAY
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    import pyarrow as pa
    from pyiceberg.table import Table

    from des_platform.lake.types import Replaced
    from des_platform.settings import Settings

_TABLE_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


class Lake:
    """The platform's tables; safe to share between threads.

    Args:
        settings: the catalogue's database, the object store and the platform's bucket.

    Raises:
        sqlalchemy.exc.OperationalError: the database is not reachable.
    """

    def __init__(self, settings: Settings) -> None:
        from des_platform.lake.warehouse import open_catalog

        self._catalog = open_catalog(settings)

    def close(self) -> None:
        """Give the database connections back."""
        self._catalog.close()

    def table(self, name: str) -> Table:
        """Return the table as it is now, for a reader that knows Iceberg, such as `polars.scan_iceberg`.

        Polars has an S3 client of its own: beside AWS it needs `storage_options` with `aws_endpoint_url`.

        Raises:
            ConfigurationError: not a table's name.
            LookupError: no such table.
        """
        from pyiceberg.exceptions import NoSuchTableError

        try:
            return self._catalog.load_table(_identifier(name))
        except NoSuchTableError:
            raise LookupError(f"the lake has no table {name!r}; ensure_table creates it") from None

    def ensure_table(self, name: str, columns: Mapping[str, str]) -> None:
        """Create the table, or add the columns that it lacks; one no longer declared stays, null from now on.

        Args:
            name: the table; `[a-z][a-z0-9_]*`, at most 63 characters.
            columns: declared columns in order, each with one of `COLUMN_TYPES`.

        Raises:
            ConfigurationError: a wrong table name, or a declaration that no table could have.
            SchemaConflict: the table has such a column with another type.
        """
        from des_platform.lake.schema import check_columns, create_or_evolve

        identifier = _identifier(name)
        check_columns(name, columns)
        create_or_evolve(self._catalog, identifier, columns)

    def replace_day(
        self, name: str, day: date, batches: Iterable[pa.RecordBatch], *, properties: Mapping[str, str]
    ) -> Replaced:
        """Make the batches the rows of the day: all of them in one commit, or none.

        Args:
            name: the table.
            day: the partition, a UTC day.
            batches: declared columns, `_file` and `_line`, by name; an absent one reads null. Streamed: memory stays
                bounded however large the day is.
            properties: written into the snapshot's summary, such as the run that did it.

        Raises:
            LookupError: no such table.
            SchemaConflict: a batch does not fit the table; the table is unchanged.
            pyiceberg.exceptions.ValidationException: other writers of the day won every attempt; it is as they
                left it.
        """
        from des_platform.lake.replace import replace_day

        return replace_day(self.table(name), day, batches, properties)

    def day_rows(self, name: str, day: date) -> int:
        """Count the day's rows, from metadata unless another program deleted single rows.

        Raises:
            LookupError: no such table.
        """
        return self.table(name).scan(row_filter=_on(day)).count()

    def total_rows(self, name: str) -> int:
        """Count the table's rows, from metadata unless another program deleted single rows.

        Raises:
            LookupError: no such table.
        """
        return self.table(name).scan().count()

    def scan_day(self, name: str, day: date, limit: int) -> pa.Table:
        """Return at most `limit` rows of the day, all columns, for a preview.

        Raises:
            LookupError: no such table.
        """
        return self.table(name).scan(row_filter=_on(day), limit=limit).to_arrow()

    def schema_of(self, name: str) -> list[tuple[str, str]]:
        """Return the columns in order with their types, `_day` and the lineage included.

        Raises:
            LookupError: no such table.
        """
        from des_platform.lake.schema import column_types

        return column_types(self.table(name))

    def uri(self, name: str) -> str:
        """Return the URL of the table's folder.

        Raises:
            LookupError: no such table.
        """
        return self.table(name).location()


def _identifier(name: str) -> tuple[str, str]:
    if not _TABLE_NAME.fullmatch(name):
        raise ConfigurationError(f"table {name!r}: expected a letter a-z, then a-z, 0-9 and _, at most 63 characters")
    return "des", name


def _on(day: date) -> str:
    return f"{DAY} == '{day.isoformat()}'"
