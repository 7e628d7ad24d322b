"""Where the tables live: a catalogue in the platform's PostgreSQL, files below `lake/` in its bucket.

    <bucket>/lake/des/<table>/data/day=YYYY-MM-DD/<writer>-<number>.parquet
    <bucket>/lake/des/<table>/metadata/...

pyiceberg's `SqlCatalog` keeps two tables of its own (`iceberg_tables`, `iceberg_namespace_properties`) beside the
platform's. Several processes may open an empty database at once: who loses the race to create something finds it
created. Object-store credentials are the AWS client's own business (environment, profile, role) and never enter a
property.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pyiceberg.catalog.sql import SqlCatalog
from sqlalchemy.exc import IntegrityError, ProgrammingError

if TYPE_CHECKING:
    from des_platform.settings import Settings


_CATALOG: Final = "des"
NAMESPACE: Final = "des"


def warehouse_url(settings: Settings) -> str:
    """Return the URL below which all tables live, without a trailing slash."""
    root = "s3:/" if settings.store_url == "s3://" else settings.store_url
    return f"{root}/{settings.bucket}/lake"


def open_catalog(settings: Settings) -> SqlCatalog:
    """Open the tables' catalogue and create what is missing of it.

    Raises:
        sqlalchemy.exc.OperationalError: the database is not reachable.
    """
    properties = {
        "uri": settings.catalog_url,
        "pool_pre_ping": "true",
        "warehouse": warehouse_url(settings),
        "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
        "s3.region": settings.s3_region,
    }
    if settings.s3_endpoint:
        properties["s3.endpoint"] = settings.s3_endpoint
    try:
        catalog = SqlCatalog(_CATALOG, **properties)
    except (IntegrityError, ProgrammingError):
        # PostgreSQL's CREATE TABLE fails once the other process has committed the same one, so now it is there.
        catalog = SqlCatalog(_CATALOG, **properties)
    # The engine has it; every table's FileIO, and readers handed such a table, would carry the password along.
    del catalog.properties["uri"]
    with suppress(IntegrityError):
        catalog.create_namespace_if_not_exists(NAMESPACE)
    return catalog
