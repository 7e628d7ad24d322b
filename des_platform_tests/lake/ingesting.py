"""An ingestion job to begin with: a source `orders/` of the landing bucket, a table `orders`, and who tries it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from des_platform.catalog import data_sources, ingestion_attempts, ingestion_batches, ingestion_jobs, lake_tables
from des_platform.catalog.data_sources import SourceDefinition
from des_platform.catalog.ingestion_attempts import Attempt
from des_platform.catalog.ingestion_jobs import JobDefinition
from des_platform.lake.ingestion.run import run_attempt
from des_platform_tests.platform import LANDING

if TYPE_CHECKING:
    from des_platform.catalog.ingestion_batches import Batch
    from des_platform.catalog.ingestion_jobs import Job
    from des_platform.lake.ingestion.run import IngestionReport
    from des_platform.lake.tables import Lake
    from des_platform_tests.platform import Platform

PREFIX = "orders/"
TABLE = "orders"


@dataclass
class Ingesting:
    """A platform with a source and a table; jobs are made, started and tried by the verbs."""

    platform: Platform
    lake: Lake

    @cached_property
    def source_id(self) -> int:
        return self.source()

    @cached_property
    def table_id(self) -> int:
        with self.platform.catalog.begin() as connection:
            made = lake_tables.create(connection, TABLE)
            assert made is not None
            return made.table_id

    def source(self, **changes: Any) -> int:
        """Record a data source; returns its id."""
        definition: dict[str, Any] = {
            "name": TABLE,
            "source_type": "s3",
            "connection_config": {"bucket": LANDING, "prefix": PREFIX},
            "data_format": "jsonl",
            "schema_definition": {"id": "long", "item": "string"},
        }
        with self.platform.catalog.begin() as connection:
            made = SourceDefinition.model_validate(definition | changes)
            return data_sources.create(connection, made, created_by="test").source_id

    def put(self, name: str, content: str | bytes) -> str:
        """Put a file into the source; returns its URL."""
        store = self.platform.buckets.bucket(LANDING)
        store.put(PREFIX + name, content.encode() if isinstance(content, str) else content)
        return f"{store.url}/{PREFIX}{name}"

    def orders(self, name: str, *numbers: int) -> str:
        """Put a file of so many orders; returns its URL."""
        return self.put(name, "".join(f'{{"id":{number},"item":"item {number}"}}\n' for number in numbers))

    def job(self, **changes: Any) -> int:
        """Make and start a job; returns its id."""
        values = {"job_name": "load", "data_source_id": self.source_id, "table_id": self.table_id, "max_retries": 0}
        with self.platform.catalog.begin() as connection:
            made = ingestion_jobs.create(connection, JobDefinition.model_validate(values | changes))
            ingestion_jobs.start(connection, made.job_id)
        return made.job_id

    def again(self, job_id: int) -> None:
        """Retry a job."""
        with self.platform.catalog.begin() as connection:
            ingestion_jobs.retry(connection, job_id)

    def claim(self) -> Attempt:
        """Claim the one job that waits."""
        with self.platform.catalog.begin() as connection:
            (job,) = ingestion_attempts.claim(connection, 10)
        return Attempt.of(job)

    def attempt(self, attempt: Attempt, run_id: str = "run") -> IngestionReport | None:
        """Do a try."""
        return run_attempt(
            self.platform.catalog, self.platform.buckets, self.lake, self.platform.settings, attempt, run_id=run_id
        )

    def run(self, **changes: Any) -> Job:
        """Make a job, start it and do its first try; returns the job after it."""
        job_id = self.job(**changes)
        self.attempt(self.claim())
        return self.state(job_id)

    def state(self, job_id: int) -> Job:
        with self.platform.catalog.begin() as connection:
            found = ingestion_jobs.get(connection, job_id)
        assert found is not None
        return found

    def batches(self, job_id: int) -> list[Batch]:
        with self.platform.catalog.begin() as connection:
            return list(ingestion_batches.page(connection, job_id, limit=1000, offset=0)[0])

    def rows(self, table: str = TABLE) -> list[dict[str, Any]]:
        """The rows of a table by file and line."""
        if not self.lake.exists(table):
            return []
        found: list[dict[str, Any]] = self.lake.table(table).scan().to_arrow().to_pylist()
        return sorted(found, key=lambda row: (row["_file"], row["_line"]))

    def ids(self) -> list[int]:
        """The ids of the orders in the table, in order."""
        return sorted(row["id"] for row in self.rows())
