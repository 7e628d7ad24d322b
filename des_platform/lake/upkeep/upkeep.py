"""Every job of upkeep on tables by name, one job at a time on each.

The lease only spares work: two jobs that met all the same would find each other out when they commit.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final

from pyiceberg.exceptions import NoSuchTableError

from des_platform.catalog import leases
from des_platform.lake.upkeep.compaction import compact
from des_platform.lake.upkeep.expiry import expire
from des_platform.lake.upkeep.manifests import merge_manifests
from des_platform.lake.upkeep.orphans import remove_orphans
from des_platform.lake.upkeep.places import claims, folder_of, refuse_if_shared
from des_platform.lake.upkeep.planning import FEWEST_FILES, SMALL_BYTES
from des_platform.lake.upkeep.types import UpkeepRefused
from des_platform.lake.warehouse import NAMESPACE, open_catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import date

    from pyiceberg.table import Table

    from des_platform.catalog.database import Catalog
    from des_platform.lake.upkeep.places import Folder
    from des_platform.lake.upkeep.types import Report
    from des_platform.objectstore import Buckets
    from des_platform.settings import Settings

SNAPSHOT_AGE: Final = timedelta(days=5)
SNAPSHOTS_KEPT: Final = 20
ORPHAN_AGE: Final = timedelta(days=3)


class Upkeep:
    """The upkeep of the lake's tables.

    Args:
        settings: where the tables and the object store are.
        catalog: keeps the leases.
        buckets: the object store that holds the tables.

    Raises:
        sqlalchemy.exc.OperationalError: the tables' catalogue is not reachable.
    """

    def __init__(self, settings: Settings, catalog: Catalog, buckets: Buckets) -> None:
        self._settings = settings
        self._catalog = catalog
        self._buckets = buckets
        self._tables = open_catalog(settings)

    def close(self) -> None:
        """Give the database connections back."""
        self._tables.close()

    def names(self) -> list[str]:
        """Every table of the lake, whoever made it, in alphabetical order."""
        return sorted(name for _, name in self._tables.list_tables(NAMESPACE))

    def table(self, name: str) -> Table:
        """The table as it is now.

        Raises:
            LookupError: no such table.
            UpkeepRefused: it cannot be read.
        """
        try:
            return self._tables.load_table((NAMESPACE, name))
        except NoSuchTableError:
            raise LookupError(f"the lake has no table {name!r}; `des table ls` lists those there are") from None
        except FileNotFoundError as error:
            found = f"the metadata that the catalogue names is not there ({error})"
            raise UpkeepRefused(name, found, "restore the file, or drop the table from the catalogue") from error

    def compact(
        self,
        name: str,
        *,
        apply: bool,
        days: Collection[date] | None = None,
        small_bytes: int = SMALL_BYTES,
        fewest_files: int = FEWEST_FILES,
        properties: Mapping[str, str] | None = None,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> Report:
        """Make large files of a table's small ones; see `compaction.compact`.

        Raises:
            LookupError: no such table.
            LeaseLost: another upkeep is at work on the table.
        """
        with self._alone(name, apply=apply) as table:
            return compact(
                table,
                apply=apply,
                days=days,
                small_bytes=small_bytes,
                fewest_files=fewest_files,
                properties=properties or {},
                progress=progress,
            )

    def expire(
        self, name: str, *, apply: bool, older_than: timedelta = SNAPSHOT_AGE, keep: int = SNAPSHOTS_KEPT
    ) -> Report:
        """Forget a table's old snapshots; see `expiry.expire`.

        Raises:
            LookupError: no such table.
            LeaseLost: another upkeep is at work on the table.
        """
        with self._alone(name, apply=apply) as table:
            self._refuse_if_shared(table)
            return expire(table, self._folder(table), older_than=older_than, keep=keep, apply=apply)

    def orphans(self, name: str, *, apply: bool, older_than: timedelta = ORPHAN_AGE) -> Report:
        """Remove files that nothing names; see `orphans.remove_orphans`.

        Raises:
            LookupError: no such table.
            LeaseLost: another upkeep is at work on the table.
        """
        with self._alone(name, apply=apply) as table:
            self._refuse_if_shared(table)
            return remove_orphans(table, self._folder(table), older_than=older_than, apply=apply)

    def manifests(self, name: str, *, apply: bool, properties: Mapping[str, str] | None = None) -> Report:
        """Make few manifests of many; see `manifests.merge_manifests`.

        Raises:
            LookupError: no such table.
            LeaseLost: another upkeep is at work on the table.
        """
        with self._alone(name, apply=apply) as table:
            return merge_manifests(table, apply=apply, properties=properties or {})

    @contextmanager
    def _alone(self, name: str, *, apply: bool) -> Iterator[Table]:
        if not apply:
            yield self.table(name)
            return
        self.table(name)  # a name without a table gets no lease
        with leases.held(self._catalog, f"table-upkeep:{name}", seconds=self._settings.lease_seconds):
            yield self.table(name)

    def _folder(self, table: Table) -> Folder:
        return folder_of(table, self._buckets, self._settings.store_url)

    def _refuse_if_shared(self, table: Table) -> None:
        refuse_if_shared(table, {name: places for name, places in self._claims.items() if name != table.name()})

    @cached_property
    def _claims(self) -> dict[tuple[str, ...], list[str]]:
        """Which table writes where; looked up once, since it takes reading the metadata of each."""
        found = {}
        for namespace in self._tables.list_namespaces():
            for identifier in self._tables.list_tables(namespace):
                try:
                    found[identifier] = claims(self._tables.load_table(identifier))
                except Exception as error:
                    raise UpkeepRefused(
                        ".".join(identifier),
                        f"it cannot be read ({type(error).__name__}: {error}), so nobody knows which files are its own",
                        "restore the table, or drop it from the catalogue; until then no table's files are removed",
                    ) from error
        return found
