"""The platform as a Dagster resource: opened once a run or tick, closed at its end.

It adds nothing to the rooms below; they are usable without Dagster.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import PrivateAttr

from des_platform.catalog.database import Catalog
from des_platform.files.reader import FileReader
from des_platform.objectstore import Buckets
from des_platform.packing.pack import Packer
from des_platform.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from des_platform.catalog.dataset import Dataset
    from des_platform.lake.tables import Lake
    from des_platform.sources.recording import Recorder


class PlatformResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Catalogue, object store, sources and lake, as the `DES_*` variables of the process set them."""

    _settings: Settings = PrivateAttr()
    _catalog: Catalog = PrivateAttr()
    _buckets: Buckets = PrivateAttr()
    _lake: Lake | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[PlatformResource]:
        """Open the platform for one run or tick.

        Raises:
            ConfigurationError: a setting is wrong or the catalogue cannot be reached.
        """
        self._settings = load_settings()
        self._buckets = Buckets(self._settings)
        with Catalog.open(self._settings) as self._catalog:
            try:
                yield self
            finally:
                if self._lake is not None:
                    self._lake.close()

    @property
    def settings(self) -> Settings:
        """The settings."""
        return self._settings

    @property
    def catalog(self) -> Catalog:
        """The catalogue."""
        return self._catalog

    @property
    def buckets(self) -> Buckets:
        """The object store."""
        return self._buckets

    @property
    def reader(self) -> FileReader:
        """The reader of originals."""
        return FileReader(self._catalog, self._buckets)

    @property
    def lake(self) -> Lake:
        """The lake; opened when it is first asked for, since most runs need no table."""
        if self._lake is None:
            from des_platform.lake.tables import Lake

            self._lake = Lake(self._settings)
        return self._lake

    @property
    def packer(self) -> Packer:
        """The packer of shards."""
        settings = self._settings
        return Packer(
            self._catalog, self._buckets, self.reader, settings.scratch, settings.lease_seconds, settings.threads
        )

    def recorder(self, datasets: Sequence[Dataset]) -> Recorder:
        """Records what sources tell of the files of some datasets."""
        from des_platform.sources.recording import Recorder

        return Recorder(self._catalog, self._buckets, datasets)


@dg.definitions
def resources() -> dg.Definitions:
    """What the assets and sensors ask, and how runs execute.

    In process: a step in a process of its own costs 2.9 CPU-seconds, and the assets are parallel inside.
    """
    return dg.Definitions(resources={"platform": PlatformResource()}, executor=dg.in_process_executor)
