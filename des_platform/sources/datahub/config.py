"""What the configuration file says about a DataHub: one entry of its list `datahubs`.

A definition that is wrong raises pydantic's `ValidationError` with one line per mistake. The key is a secret from the
first moment: it is printed nowhere, and where it stands as `${VARIABLE}` it is read when the first request is made.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from des_platform.objectstore import InvalidKey, check_key
from des_platform.settings import BucketName
from des_platform.sources.databases.config import Connection
from des_platform.sources.variables import SourceName

_Seconds = Annotated[float, Field(ge=0, le=86_400)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Retries(_Section):
    """How often and how patiently a request is tried.

    Attributes:
        total: most attempts, the first included.
        base: seconds before the second attempt.
        factor: growth of the pause.
        most: longest pause in seconds, also of one that the DataHub asks for by `Retry-After`.
    """

    total: Annotated[int, Field(ge=1, le=100)] = 5
    base: _Seconds = 1.0
    factor: Annotated[float, Field(ge=1, le=10)] = 2.0
    most: _Seconds = 60.0


class RateLimit(_Section):
    """How many requests a second all threads together may make, and how many at once after a pause."""

    requests_per_second: Annotated[float, Field(gt=0, le=100_000)]
    burst: Annotated[int, Field(ge=1, le=100_000)] = 1


class Landing(_Section):
    """Where downloaded files are put: a place that belongs to a dataset which takes the day from the key."""

    bucket: BucketName
    prefix: str

    @field_validator("prefix")
    @classmethod
    def _a_folder(cls, value: str) -> str:
        try:
            check_key(f"{value}file")
        except InvalidKey as error:
            raise ValueError(str(error)) from None
        if not value.endswith("/"):
            raise ValueError(f"a landing prefix ends with '/' (found {value!r})")
        return value


class DataHubConfig(_Section):
    """One DataHub.

    Attributes:
        name: its name in asset keys, metrics and dead letters.
        url: base URL of its REST interface, such as `https://datahub.example.com/api`; may hold `${VARIABLES}`.
        api_key: the bearer key, usually `${VARIABLE}`.
        connection: its PostgreSQL database, which holds `fdhdata.dh_file`.
        landing: where its files are put.
        start: first month whose files are taken; any day of it.
        size_threshold: only files larger than this many bytes are taken.
        batch_size: rows read from the table at once.
        threads: files downloaded at once.
        rate_limit: requests a second; empty for no limit.
        timeout: seconds without an answer, or without further bytes, after which a request has failed.
        retries: how often and how patiently a request is tried.
        verify_ssl: whether the server's certificate is checked.
    """

    name: SourceName
    url: str
    api_key: SecretStr = Field(min_length=1)
    connection: Connection
    landing: Landing
    start: date
    size_threshold: Annotated[int, Field(ge=0)] = 1_048_576
    batch_size: Annotated[int, Field(ge=1, le=10_000)] = 100
    threads: Annotated[int, Field(ge=1, le=64)] = 4
    rate_limit: RateLimit | None = None
    timeout: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    retries: Retries = Retries()
    verify_ssl: bool = True

    @field_validator("url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        return value if "${" in value else plain_url(value)

    @field_validator("start")
    @classmethod
    def _first_of_the_month(cls, value: date) -> date:
        return value.replace(day=1)

    @model_validator(mode="after")
    def _postgres(self) -> DataHubConfig:
        if self.connection.type != "postgres":
            raise ValueError(f"a DataHub's database is PostgreSQL (connection.type is {self.connection.type!r})")
        return self


def plain_url(value: str) -> str:
    """The base address without a slash at its end.

    Raises:
        ValueError: it is no http(s) address, or more than one; the text does not hold it.
    """
    try:
        parts = urlsplit(value)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError("expected http(s)://HOST[:PORT][/PATH]") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_fits or parts.query or parts.fragment:
        raise ValueError("expected http(s)://HOST[:PORT][/PATH] without a query")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL holds no user or password; the key belongs into api_key")
    return value.rstrip("/")
