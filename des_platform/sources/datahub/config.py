"""What a configuration file says about a DataHub.

`DataHubConfig` is one entry of the list `datahubs` in the sources file, whose files are taken into the platform.
`DataHubAccess` is the part of it that compressing in the DataHub needs, and a file of its own may hold it alone.

A definition that is wrong raises pydantic's `ValidationError` with one line per mistake. The key is a secret from the
first moment: it is printed nowhere, and where it stands as `${VARIABLE}` it is read when the first request is made.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self
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


class Compress(_Section):
    """How files are compressed in the DataHub itself.

    Attributes:
        codec: what the DataHub's users can open; the file's type gains its extension, such as `.gz`.
        level: the codec's level; empty for its usual one.
        threads: threads that compress one file.
        keep_originals: whether an original stays beside its compressed copy.
        verify: what is read before an original is removed: `both` copy and original, or the `copy` alone, which then
            proves what the first reading of the original gave.
    """

    codec: Literal["gzip", "zstd", "xz", "bz2"] = "gzip"
    level: int | None = None
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    keep_originals: bool = False
    verify: Literal["both", "copy"] = "both"

    @model_validator(mode="after")
    def _a_level_of_the_codec(self) -> Self:
        if self.level is not None:
            from des_platform.codecs import UnknownCodec, get_codec

            try:
                get_codec(self.codec).at_level(self.level)
            except UnknownCodec as error:
                raise ValueError(str(error)) from None
        return self


class Logging(_Section):
    """A log file of the compression command, beside standard error.

    Attributes:
        file: its path.
        level: what is logged, there and on standard error, where the command line does not say.
        max_bytes: size at which a new file is begun.
        backup_count: how many old files are kept.
    """

    file: Path | None = None
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    max_bytes: Annotated[int, Field(ge=1024)] = 10_485_760
    backup_count: Annotated[int, Field(ge=1, le=1000)] = 5


class DataHubAccess(_Section):
    """How to reach a DataHub, and how its files are compressed there.

    Attributes:
        name: its name in asset keys, metrics and dead letters.
        url: base URL of its REST interface, such as `https://datahub.example.com/api`; may hold `${VARIABLES}`.
        api_key: the bearer key, usually `${VARIABLE}`.
        connection: its PostgreSQL database, which holds `fdhdata.dh_file`.
        size_threshold: only files larger than this many bytes are taken or compressed.
        batch_size: rows read from the table at once.
        threads: files that are taken, or compressed, at once.
        rate_limit: requests a second; empty for no limit.
        timeout: seconds without an answer, or without further bytes, after which a request has failed.
        retries: how often and how patiently a request is tried.
        verify_ssl: whether the server's certificate is checked.
        compress: how its files are compressed there; empty: no asset does it, and the command does it as by default.
        logging: the compression command's log file.
    """

    name: SourceName
    url: str
    api_key: SecretStr = Field(min_length=1)
    connection: Connection
    size_threshold: Annotated[int, Field(ge=0)] = 1_048_576
    batch_size: Annotated[int, Field(ge=1, le=10_000)] = 100
    threads: Annotated[int, Field(ge=1, le=64)] = 4
    rate_limit: RateLimit | None = None
    timeout: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    retries: Retries = Retries()
    verify_ssl: bool = True
    compress: Compress | None = None
    logging: Logging = Logging()

    @field_validator("url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        return value if "${" in value else plain_url(value)

    @model_validator(mode="after")
    def _postgres(self) -> Self:
        if self.connection.type != "postgres":
            raise ValueError(f"a DataHub's database is PostgreSQL (connection.type is {self.connection.type!r})")
        return self


class DataHubConfig(DataHubAccess):
    """A DataHub whose files are taken into the platform.

    Attributes:
        landing: where its files are put.
        start: first month whose files are taken; any day of it.
    """

    landing: Landing
    start: date

    @field_validator("start")
    @classmethod
    def _first_of_the_month(cls, value: date) -> date:
        return value.replace(day=1)


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
