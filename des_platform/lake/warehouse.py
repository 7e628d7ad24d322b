"""Where the tables live: a catalogue names their newest metadata, files are below `lake/` in the platform's bucket.

    <bucket>/lake/des/<table>/data/_day=YYYY-MM-DD/<writer>-<number>.parquet
    <bucket>/lake/des/<table>/metadata/...

The catalogue is the platform's PostgreSQL (pyiceberg's `SqlCatalog` keeps two tables of its own there), an Iceberg REST
server, or AWS Glue, by `DES_LAKE_CATALOG`. Several processes may open an empty one at once: who loses the race to
create something finds it created.

No secret enters a table: object-store credentials are the AWS client's own business (environment, profile, role), and
the catalogue's are taken out of its properties, which every table's FileIO carries along.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError
from pyiceberg.io import load_file_io
from pyiceberg.typedef import EMPTY_DICT
from sqlalchemy.exc import IntegrityError, ProgrammingError

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.io import FileIO
    from pyiceberg.typedef import Properties

    from des_platform.settings import Settings


_CATALOG: Final = "des"
NAMESPACE: Final = "des"
_SECRETS: Final = ("uri", "token", "credential")


def warehouse_url(settings: Settings) -> str:
    """Return the URL below which all tables live, without a trailing slash."""
    if "://" in settings.lake_warehouse:
        return settings.lake_warehouse.rstrip("/")
    root = "s3:/" if settings.store_url == "s3://" else settings.store_url
    return f"{root}/{settings.bucket}/lake"


def new_tables_url(settings: Settings) -> str | None:
    """Return the URL below which new tables are put; None where a REST server has a warehouse that says so."""
    if settings.lake_catalog == "rest" and settings.lake_warehouse:
        return None
    return f"{warehouse_url(settings)}/{NAMESPACE}"


def open_catalog(settings: Settings) -> Catalog:
    """Open the tables' catalogue and create what is missing of it.

    Raises:
        sqlalchemy.exc.OperationalError: the database is not reachable.
        requests.RequestException, pyiceberg.exceptions.RESTError: the REST server is not, or refuses.
    """
    properties = {
        "warehouse": warehouse_url(settings),
        "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
        "s3.region": settings.s3_region,
    }
    if settings.s3_endpoint:
        properties["s3.endpoint"] = settings.s3_endpoint
    catalog = {"sql": _open_sql, "rest": _open_rest, "glue": _open_glue}[settings.lake_catalog](settings, properties)
    # Its engine or session has them; every table's FileIO, and readers handed such a table, would carry them along.
    for secret in _SECRETS:
        catalog.properties.pop(secret, None)
    with suppress(IntegrityError, NamespaceAlreadyExistsError):
        catalog.create_namespace_if_not_exists(NAMESPACE)
    return catalog


def _open_sql(settings: Settings, properties: dict[str, str]) -> Catalog:
    properties |= {"uri": settings.catalog_url, "pool_pre_ping": "true"}
    try:
        return SqlCatalog(_CATALOG, **properties)
    except (IntegrityError, ProgrammingError):
        # PostgreSQL's CREATE TABLE fails once the other process has committed the same one, so now it is there.
        return SqlCatalog(_CATALOG, **properties)


def _open_rest(settings: Settings, properties: dict[str, str]) -> Catalog:
    from pyiceberg.catalog.rest import RestCatalog

    class Rest(RestCatalog):
        """Does not hand what holds its token to every table's FileIO."""

        def _load_file_io(self, properties: Properties = EMPTY_DICT, location: str | None = None) -> FileIO:
            return load_file_io({**self.properties, **properties}, location)

    if settings.lake_warehouse:
        properties["warehouse"] = settings.lake_warehouse
    else:
        del properties["warehouse"]  # most servers refuse one that they do not know
    given = {
        "token": settings.lake_catalog_token.get_secret_value(),
        "credential": settings.lake_catalog_credential.get_secret_value(),
    }
    where = {"uri": settings.lake_catalog_url, "oauth2-server-uri": f"{settings.lake_catalog_url}/v1/oauth/tokens"}
    return Rest(_CATALOG, **properties, **where, **{key: value for key, value in given.items() if value})


def _open_glue(settings: Settings, properties: dict[str, str]) -> Catalog:
    from pyiceberg.catalog.glue import GlueCatalog

    properties["glue.region"] = settings.s3_region
    if settings.lake_catalog_url:
        properties["glue.endpoint"] = settings.lake_catalog_url
    return GlueCatalog(_CATALOG, **properties)
