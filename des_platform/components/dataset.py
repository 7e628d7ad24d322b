"""The Dataset component: ten lines of YAML become assets, checks, jobs and a sensor.

Its attributes are the fields of `des_platform.catalog.dataset.Dataset`, which documents and validates them; a mistake
in a `defs.yaml` is reported by Dagster with file and line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import dagster as dg

from des_platform.catalog.dataset import Dataset as DatasetDefinition
from des_platform.defs.cleanup.assets import originals_removed
from des_platform.defs.cleanup.checks import originals_removed_checks
from des_platform.defs.cleanup.sensors import cleanup_sensor
from des_platform.defs.compression.assets import compressed_objects
from des_platform.defs.compression.checks import compressed_objects_checks
from des_platform.defs.lake.assets import table_asset
from des_platform.defs.lake.checks import table_checks
from des_platform.defs.packing.assets import des_shards
from des_platform.defs.packing.checks import des_shards_checks
from des_platform.defs.sources.assets import raw_files
from des_platform.defs.sources.catalog_sensor import catalog_sensor
from des_platform.defs.sources.checks import raw_files_checks
from des_platform.defs.upkeep.assets import upkeep_definitions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel


class Dataset(dg.Component):
    """A dataset: where its files come from and what becomes of them."""

    def __init__(self, definition: DatasetDefinition) -> None:
        self.definition = definition

    @classmethod
    def get_model_cls(cls) -> type[DatasetDefinition]:
        """The model of the attributes."""
        return DatasetDefinition

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """The component of validated attributes."""
        return cls(DatasetDefinition.model_validate(attributes))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The dataset's assets, checks, jobs and sensor."""
        return dataset_definitions(self.definition)


def dataset_definitions(dataset: DatasetDefinition) -> dg.Definitions:
    """What a dataset yields, for those who would rather write Python than YAML."""
    by_day: list[dg.AssetsDefinition] = [raw_files(dataset), compressed_objects(dataset)]
    checks = [*raw_files_checks(dataset), *compressed_objects_checks(dataset)]
    if dataset.table is not None:
        by_day.append(table_asset(dataset))
        checks += table_checks(dataset)
    shards = des_shards(dataset)
    ingest = dg.define_asset_job(f"{dataset.name}_ingest", _selection(by_day))
    pack = dg.define_asset_job(f"{dataset.name}_pack", _selection([shards]))
    definitions = dg.Definitions(
        assets=[*by_day, shards],
        asset_checks=[*checks, *des_shards_checks(dataset)],
        jobs=[ingest, pack],
        sensors=[catalog_sensor(dataset, ingest, pack)],
    )
    further = []
    if dataset.table is not None:
        further.append(upkeep_definitions(dataset))
    if dataset.originals_after_days is not None:
        further.append(_cleanup(dataset))
    return dg.Definitions.merge(definitions, *further)


def _cleanup(dataset: DatasetDefinition) -> dg.Definitions:
    removed = originals_removed(dataset)
    cleanup = dg.define_asset_job(f"{dataset.name}_cleanup", _selection([removed]))
    return dg.Definitions(
        assets=[removed],
        asset_checks=originals_removed_checks(dataset),
        jobs=[cleanup],
        sensors=[cleanup_sensor(dataset, cleanup)],
    )


def _selection(assets: Sequence[dg.AssetsDefinition]) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*assets)
