"""What all assets of a dataset share: keys, policies, and the definition of the dataset in their metadata.

The definition travels in the metadata of `raw_files` (`des/dataset`), so a sensor finds every dataset of its code
location there, wherever the dataset was defined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from des_platform.catalog.dataset import Dataset

if TYPE_CHECKING:
    from dagster._core.definitions.repository_definition import RepositoryDefinition

DATASET_METADATA = "des/dataset"
INBOX = dg.AssetKey("inbox")
OBJECT_STORE_POOL = "object_store"
# Dagster's daemon looks at its sensors every 5 s. One that asks for 5 s is told at every other look that they are not
# over, by a few milliseconds, and ticks every 10 s; one that asks for less ticks at every look.
EVERY_LOOK_SECONDS = 1
# A range of partitions is one run: Dagster's cost is per run (3 CPU-seconds with its default launcher).
RANGE_IN_ONE_RUN = dg.BackfillPolicy.single_run()
RETRY = dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL)


def asset_key(dataset: Dataset, stage: str) -> dg.AssetKey:
    """Key of one of a dataset's assets, such as `flights/raw_files`."""
    return dg.AssetKey([dataset.name, stage])


def declared_datasets(repository: RepositoryDefinition | None) -> list[Dataset]:
    """Every dataset of the code location.

    Raises:
        RuntimeError: the sensor runs without its code location.
    """
    if repository is None:
        raise RuntimeError("a sensor needs its code location to know the datasets: evaluate it with definitions")
    found = []
    for node in repository.asset_graph.asset_nodes:
        declared = node.metadata.get(DATASET_METADATA)
        if declared is not None:
            found.append(Dataset.model_validate(getattr(declared, "data", declared)))
    return found
