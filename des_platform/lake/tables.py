"""The lake: Iceberg tables, partitioned by day and by whatever rules a table has, each day replaced whole.

A table's columns are the declared ones and `_day` (the day that brought a row), `_file` and `_line` (where it came
from), in rescue mode `_rescued`. Reading and counting take the newest snapshot each time. Importing this module is
cheap; the first `Lake` brings in pyiceberg.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from des_platform.lake.types import DAY, RESCUED
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date

    import pyarrow as pa
    from pyiceberg.table import Table

    from des_platform.catalog.table_spec import PartitionRule
    from des_platform.lake.types import Exported, Origin, PartitionStatistics, Replaced
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
        from des_platform.lake.warehouse import new_tables_url, open_catalog

        self._catalog = open_catalog(settings)
        self._new_tables = new_tables_url(settings)

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

    def exists(self, name: str) -> bool:
        """Whether there is such a table.

        Raises:
            ConfigurationError: not a table's name.
        """
        return self._catalog.table_exists(_identifier(name))

    def ensure_table(
        self,
        name: str,
        columns: Mapping[str, str],
        partitioning: Sequence[PartitionRule] | None = None,
        *,
        rescue: bool = False,
    ) -> None:
        """Create the table, or add the columns that it lacks; one no longer declared stays, null from now on.

        Args:
            name: the table; `[a-z][a-z0-9_]*`, at most 63 characters.
            columns: declared columns in order, each with one of `COLUMN_TYPES` or `decimal(P,S)`.
            partitioning: rules beside the day, for the rows written from now on; None: as it is, for a new table none.
            rescue: whether it has a column `_rescued`, for values that their columns cannot hold.

        Raises:
            ConfigurationError: a wrong table name, or a declaration that no table could have.
            SchemaConflict: the table has such a column with a type that cannot become the declared one.
        """
        from des_platform.lake.schema import check_columns, create_or_evolve

        identifier = _identifier(name)
        check_columns(name, columns)
        own = {RESCUED: "json"} if rescue else {}
        create_or_evolve(
            self._catalog,
            identifier,
            {**columns, **own},
            partitioning,
            location=self._new_tables and f"{self._new_tables}/{name}",
        )

    def repartition(self, name: str, rules: Sequence[PartitionRule]) -> None:
        """Partition the rows that are written from now on by other rules; what is there stays readable as it is.

        Args:
            name: the table.
            rules: all of them, beside the day.

        Raises:
            LookupError: no such table.
            ConfigurationError: a rule that does not suit the columns; nothing is changed.
        """
        from des_platform.lake.commit import commit
        from des_platform.lake.partitioning import stage_partitioning

        commit(self.table(name), lambda transaction: stage_partitioning(transaction, rules, name))

    def partitioning(self, name: str) -> tuple[PartitionRule, ...]:
        """The rules by which rows are partitioned now, beside the day.

        Raises:
            LookupError: no such table.
        """
        from des_platform.lake.partitioning import rules_of

        return rules_of(self.table(name).metadata)

    def replace_day(
        self,
        name: str,
        day: date,
        batches: Iterable[pa.RecordBatch],
        *,
        properties: Mapping[str, str],
        tolerance: Mapping[str, float] | None = None,
    ) -> Replaced:
        """Make the batches the rows of the day; as `replace_days` for one."""
        return self.replace_days(name, {day: batches}, properties=properties, tolerance=tolerance)[day]

    def replace_days(
        self,
        name: str,
        days: Mapping[date, Iterable[pa.RecordBatch]] | Iterable[tuple[date, Iterable[pa.RecordBatch]]],
        *,
        properties: Mapping[str, str],
        tolerance: Mapping[str, float] | None = None,
    ) -> dict[date, Replaced]:
        """Make the batches the rows of their days: all of them in one commit, or none.

        Args:
            name: the table.
            days: UTC days, the partitions, each with its rows: declared columns, `_file` and `_line`, by name; an
                absent one reads null. Streamed: memory stays bounded however large a day is.
            properties: written into the snapshot's summary and kept in every file, such as the run that did it.
            tolerance: column of doubles to the largest relative error that its values may take for smaller files.

        Raises:
            LookupError: no such table.
            SchemaConflict: a batch does not fit the table; the table is unchanged.
            ValueError: a day comes twice; the table is unchanged.
            pyiceberg.exceptions.ValidationException: other writers of the days won every attempt; they are as those
                left them.
            CommitUnknown: the catalogue's answer is lost.
        """
        from collections.abc import Mapping as AnyMapping

        from des_platform.lake.replace import replace_days

        pairs = days.items() if isinstance(days, AnyMapping) else days
        return replace_days(self.table(name), pairs, properties=properties, tolerance=tolerance)

    def append(
        self,
        name: str,
        batches: Iterable[pa.RecordBatch],
        *,
        replacing_files: Sequence[str] = (),
        properties: Mapping[str, str],
        tolerance: Mapping[str, float] | None = None,
    ) -> Replaced:
        """Add rows in one commit, in place of all rows that came from the same source files before.

        Args:
            name: the table.
            batches: declared columns, `_day`, `_file` and `_line`, by name.
            replacing_files: values of `_file` whose rows go; a look at every manifest, so name them only where there
                may be any.
            properties: as for `replace_days`.
            tolerance: as for `replace_days`.

        Raises:
            LookupError, SchemaConflict, CommitUnknown: as `replace_days`.
        """
        from des_platform.lake.replace import append

        return append(
            self.table(name), batches, replacing_files=replacing_files, properties=properties, tolerance=tolerance
        )

    def partitions(self, name: str) -> list[PartitionStatistics]:
        """Every partition that has rows, by path, with its statistics, from metadata.

        Raises:
            LookupError: no such table.
        """
        from des_platform.lake.contents import partitions

        return partitions(self.table(name))

    def origins(self, name: str, day: date) -> list[Origin]:
        """The commits that brought the rows which the day has now, such as their runs; the largest first.

        Raises:
            LookupError: no such table.
        """
        from des_platform.lake.contents import origins

        return origins(self.table(name), day)

    def export(self, name: str, out: str, days: Sequence[date] | None = None) -> Iterator[Exported]:
        """Write the table's rows as plain Parquet files below `k=v` folders; consume it all.

        Args:
            name: the table.
            out: a folder: its path, or its URL (`file:///...`, `s3://bucket/prefix`).
            days: only these; None: all.

        Yields:
            Each file when it is finished.

        Raises:
            LookupError: no such table.
            FileExistsError: a file is there already; what was written is removed.
        """
        from pathlib import Path

        from des_platform.lake.export import export

        return export(self.table(name), out if "://" in out else f"file://{Path(out).resolve()}", days)

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

        return column_types(self.table(name).schema())

    def columns(self, name: str) -> dict[str, str]:
        """Return the declared columns in order, name to type.

        Raises:
            LookupError: no such table.
        """
        from des_platform.lake.column_rules import is_reserved

        return {column: kind for column, kind in self.schema_of(name) if not is_reserved(column)}

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
