"""Every setting of the platform, typed, with its `DES_*` environment variable and default.

Nothing else in the house reads the environment for a setting of its own (object-store and queue credentials are the
exception: the AWS clients read theirs, `AWS_ACCESS_KEY_ID` and so on, by themselves). A wrong value raises
`ConfigurationError` that names the variable, what was found and what is expected; the value of a secret never appears
in it.
"""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class ConfigurationError(Exception):
    """A setting or a dataset's definition is wrong; the message names it and says what to do."""


# As the object store's own check: starts and ends alphanumeric, no '..'.
BucketName = Annotated[str, Field(min_length=3, max_length=63, pattern=r"^[a-z0-9](\.?[a-z0-9-])*\.?[a-z0-9]$")]


class Settings(BaseSettings):
    """The platform's settings, read from `DES_*` environment variables.

    Attributes:
        store_url: root of the object store, under which buckets are addressed by name: `s3://`, or `file:///folder` (a
            bucket is a folder in it).
        bucket: the platform's own bucket: manifests, compressed objects, archives, lake.
        s3_endpoint: base URL of an S3-compatible server; empty for AWS.
        s3_region: region of the S3 and SQS clients.
        queue_url: SQS queue that announces files; empty where files are found by listing alone.
        queue_endpoint: base URL of an SQS-compatible server; empty for AWS.
        queue_wait_seconds: how long a tick of the queue sensor waits at an empty queue for a message (long polling), so
            that a file is in the inbox at once. Ticks begin every 5 s and cost 0.5 to 1.5 s besides: with 8 s, each
            second one is left out, and nobody waits for a fifth of the time; with 4 s, any delay leaves one out, too.
        landing_bucket: bucket of queue messages that name a file and no bucket.
        sources: file with further queues, streams, source databases, DataHubs and inventories; empty for none.
        workers: how many processes share the source databases.
        worker_index: which of them this one is, from 0; it takes the shards whose number modulo `workers` is its own.
        pg_host: PostgreSQL server of the catalogue, the tables' catalogue and Dagster's storage.
        pg_port: its TCP port.
        pg_user: its user.
        pg_password: its password.
        pg_db: its database.
        name_prefix: first part of every DES name; ASCII letters and digits.
        catalog_wait_seconds: how long a tick of a dataset's catalogue sensor waits for files where there are none: long
            enough for what the queue sensor's tick finds that begins with it, and else must wait for the next one.
        drain_seconds: time budget of one tick of the queue sensor.
        runs_per_tick: most runs of a dataset that its catalogue sensor requests in a tick, and keeps in flight.
        listing_seconds: pause between two listings of the buckets.
        lease_seconds: life of a shard's lease without renewal.
        threads: objects read and written at once inside one asset.
        metrics_port: TCP port of `des metrics`.
        metrics_key: what a scraper must send where the metrics are served to other machines.
        reports_port: TCP port of `des report serve`.
        reports_key: what a reader must send where the reports are served to other machines.
        reports_url: where `des report serve` can be reached, such as `http://127.0.0.1:9102`; assets link their pages
            there. Empty: they name the object.
        lake_catalog: where the tables' catalogue is: `sql`, the platform's PostgreSQL; `rest`, an Iceberg REST server;
            `glue`, AWS Glue.
        lake_catalog_url: base URL of the REST server, or of a Glue-compatible one; empty for AWS Glue itself.
        lake_catalog_token: bearer token of the REST server.
        lake_catalog_credential: `id:secret` with which the REST server gives tokens.
        lake_warehouse: the warehouse's name at the REST server, or the URL of the folder that holds the tables; empty:
            the folder `lake` of the platform's bucket.
        lake_port: TCP port of `des serve lake`.
        storage_price: dollars that a GB (10^9 bytes) costs a month, for what reports say of money.
        scratch: folder for archives while they are built; one shard's small files at a time.
    """

    model_config = SettingsConfigDict(env_prefix="DES_", extra="ignore")

    store_url: str = "s3://"
    bucket: BucketName = "des"
    s3_endpoint: str = ""
    s3_region: str = "us-east-1"
    queue_url: str = ""
    queue_endpoint: str = ""
    queue_wait_seconds: Annotated[int, Field(ge=0, le=20)] = 8
    landing_bucket: BucketName = "landing"
    sources: Path | None = None
    workers: Annotated[int, Field(ge=1, le=65_536)] = 1
    worker_index: Annotated[int, Field(ge=0)] = 0
    pg_host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_-]+$")] = "127.0.0.1"
    pg_port: Annotated[int, Field(ge=1, le=65535)] = 5432
    pg_user: str = "des"
    pg_password: SecretStr = SecretStr("")
    pg_db: str = "des"
    name_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,32}$")] = "DES"
    catalog_wait_seconds: Annotated[float, Field(ge=0, le=10)] = 1.0
    drain_seconds: Annotated[float, Field(gt=0, le=45)] = 20.0
    runs_per_tick: Annotated[int, Field(ge=1, le=500)] = 50
    listing_seconds: Annotated[int, Field(ge=5)] = 60
    lease_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    threads: Annotated[int, Field(ge=1, le=256)] = 8
    metrics_port: Annotated[int, Field(ge=1, le=65535)] = 9101
    metrics_key: SecretStr = SecretStr("")
    reports_port: Annotated[int, Field(ge=1, le=65535)] = 9102
    reports_key: SecretStr = SecretStr("")
    reports_url: Annotated[str, Field(pattern=r"^(https?://[^\s]*[^\s/])?$")] = ""
    lake_catalog: Literal["sql", "rest", "glue"] = "sql"
    lake_catalog_url: Annotated[str, Field(pattern=r"^(https?://[^\s]*[^\s/])?$")] = ""
    lake_catalog_token: SecretStr = SecretStr("")
    lake_catalog_credential: SecretStr = SecretStr("")
    lake_warehouse: str = ""
    lake_port: Annotated[int, Field(ge=1, le=65535)] = 9103
    storage_price: Annotated[float, Field(ge=0)] = 0.023
    scratch: Path = Field(default_factory=lambda: Path(tempfile.gettempdir()))

    @field_validator("store_url")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        folder = value.removeprefix("file:///").strip("/")
        if value != "s3://" and (not value.startswith("file:///") or not folder):
            raise ValueError("expected 's3://' or 'file:///FOLDER'")
        return value if value == "s3://" else f"file:///{folder}"

    @model_validator(mode="after")
    def _a_worker_of_the_workers(self) -> Settings:
        if self.worker_index >= self.workers:
            raise ValueError(f"DES_WORKER_INDEX is {self.worker_index}, but there are {self.workers} DES_WORKERS")
        return self

    @model_validator(mode="after")
    def _a_place_for_the_lake(self) -> Settings:
        if self.lake_catalog == "rest" and not self.lake_catalog_url:
            raise ValueError("DES_LAKE_CATALOG is rest: set DES_LAKE_CATALOG_URL to the server's base URL")
        return self

    @cached_property
    def catalog_url(self) -> str:
        """SQLAlchemy URL of the catalogue; it holds the password, so never print it."""
        password = quote(self.pg_password.get_secret_value(), safe="")
        user = quote(self.pg_user, safe="")
        host = f"[{self.pg_host}]" if ":" in self.pg_host else self.pg_host  # an IPv6 address
        return f"postgresql+psycopg://{user}:{password}@{host}:{self.pg_port}/{self.pg_db}"


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: naming every wrong variable, without the value of a secret.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(_told(problem) for problem in error.errors())
        raise ConfigurationError(problems) from None


def _told(problem: ErrorDetails) -> str:
    if not problem["loc"]:  # about several variables at once: its input would be all of them, secrets included
        return problem["msg"].removeprefix("Value error, ")
    variable = f"DES_{str(problem['loc'][0]).upper()}"
    secret = Settings.model_fields[str(problem["loc"][0])].annotation is SecretStr
    found = "" if secret else f" (found {problem['input']!r})"
    return f"{variable} is wrong: {problem['msg']}{found}"
