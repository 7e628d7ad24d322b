"""How DuckDB, Polars and pyarrow read a table right: every column by its field id, whatever it was called before.

A table's files are as old as their days: what is called `price` today may stand as `cost` in one of them, as a float
where it is a double now, or not at all. Iceberg's answer is the field id in each file. Polars reads by it in
`scan_iceberg`, pyiceberg in `table.scan()`; a pyarrow dataset over the same files reads by name, and would show a
renamed column as null. DuckDB reads by it when it is told the schema, so no extension is needed.

Each function looks at one snapshot: what was handed out reads the table as it was then, as long as upkeep has not
removed that snapshot's files. Credentials are the environment's, and never part of an SQL text or a frame.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import duckdb
    import polars as pl
    import pyarrow as pa
    from pyiceberg.table import Table
    from pyiceberg.types import NestedField

_DUCKDB: Final = {
    "string": "VARCHAR",
    "int": "INTEGER",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "time": "TIME",
    "timestamptz": "TIMESTAMPTZ",
    "timestamp": "TIMESTAMP",
    "binary": "BLOB",
    "uuid": "UUID",
}


def duckdb_sql(table: Table) -> str:
    """Write the query that gives DuckDB the table's rows, for a view or a subquery.

    On S3 the connection needs DuckDB's `httpfs` and a secret, or `duckdb_relation`.

    Args:
        table: as `Lake.table` gives it.

    Raises:
        ValueError: another program deleted single rows, which files alone do not tell, or the table has a column of a
            nested type.
    """
    columns = table.schema().fields
    paths = []
    for task in table.scan().plan_files():
        if task.delete_files:
            raise ValueError(
                f"table {table.name()[-1]!r}: {task.file.file_path} has deleted rows, which DuckDB would show;"
                " read it with Polars or pyarrow, or compact the table"
            )
        paths.append(_literal(_pattern(task.file.file_path)))
    if not paths:
        nothing = ", ".join(f"CAST(NULL AS {_duckdb_type(table, column)}) AS {_name(column)}" for column in columns)
        return f"SELECT {nothing} WHERE false"
    schema = ", ".join(
        f"{column.field_id}: {{name: {_literal(column.name)}, type: {_literal(_duckdb_type(table, column))},"
        " default_value: NULL}"
        for column in columns
    )
    # A folder k=v is a partition's name to us, and would be a column to DuckDB.
    return f"SELECT * FROM read_parquet([{', '.join(paths)}], schema = MAP {{{schema}}}, hive_partitioning = false)"  # noqa: S608 - literals are quoted


def duckdb_relation(table: Table, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    """Give DuckDB the table's rows, through the lake's own access to the object store, so without `httpfs`.

    Args:
        table: as `Lake.table` gives it.
        connection: the connection that the rows are for; object stores of the table's kind are registered with it.

    Raises:
        ValueError: as `duckdb_sql`.
    """
    from urllib.parse import urlsplit

    from pyiceberg.io.pyarrow import PyArrowFileIO

    where = urlsplit(table.location())
    if where.scheme not in {"", "file"} and isinstance(table.io, PyArrowFileIO):
        from fsspec.implementations.arrow import ArrowFSWrapper

        filesystem = ArrowFSWrapper(table.io.fs_by_scheme(where.scheme, where.netloc))
        if not connection.filesystem_is_registered(filesystem.protocol):
            connection.register_filesystem(filesystem)
    return connection.sql(duckdb_sql(table))


def polars_frame(table: Table) -> pl.LazyFrame:
    """Give Polars the table's rows; filters and columns that are asked for later reach the files.

    Args:
        table: as `Lake.table` gives it.
    """
    import polars as pl

    return pl.scan_iceberg(table, reader_override="native", storage_options=polars_storage_options(table))


def polars_storage_options(table: Table) -> dict[str, str]:
    """What Polars, which has an S3 client of its own, must be told of an S3 server that is not Amazon's.

    Args:
        table: as `Lake.table` gives it.

    Returns:
        Options for `polars.scan_iceberg` or `polars.scan_parquet`; empty for a local folder.
    """
    known: dict[str, Any] = table.io.properties
    options = {}
    if region := known.get("s3.region"):
        options["aws_region"] = str(region)
    if endpoint := known.get("s3.endpoint"):
        options |= {"aws_endpoint_url": str(endpoint), "aws_virtual_hosted_style_request": "false"}
        if str(endpoint).startswith("http://"):
            options["aws_allow_http"] = "true"
    return options


def arrow_reader(table: Table) -> pa.RecordBatchReader:
    """Give pyarrow the table's rows, as a stream of batches in the table's own columns and types.

    Args:
        table: as `Lake.table` gives it.
    """
    return table.scan().to_arrow_batch_reader()


def _duckdb_type(table: Table, column: NestedField) -> str:
    kind = str(column.field_type)
    if kind.startswith("decimal"):
        return kind.upper()
    if kind not in _DUCKDB:
        raise ValueError(f"table {table.name()[-1]!r}, column {column.name!r}: DuckDB is not told how to read {kind}")
    return _DUCKDB[kind]


def _pattern(path: str) -> str:
    """The path as a pattern that it alone matches."""
    return re.sub(r"([\[*?])", r"[\1]", path.removeprefix("file://"))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(column: NestedField) -> str:
    return '"' + column.name.replace('"', '""') + '"'
