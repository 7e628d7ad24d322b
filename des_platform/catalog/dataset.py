"""What a dataset is: the unit a user adds.

The same model is the attributes of a `defs.yaml`, the row of the table `datasets`, and what the assets, sensors and
commands work by. A definition that is wrong raises pydantic's `ValidationError` with one line per mistake.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from des_platform.catalog.table_spec import TableSpec
from des_platform.settings import BucketName

if TYPE_CHECKING:
    from collections.abc import Iterable

KIB = 1024
MAX_SMALL_BYTES = 64 * KIB * KIB
"""No member of an archive is larger: a reader may hold it in memory."""


class Dataset(BaseModel):
    """One dataset: where its files come from and what becomes of them.

    Attributes:
        name: lower-case identifier; first part of every asset key, object key and the table's name.
        bucket: bucket that the files arrive in.
        prefix: start of the keys of its files; the longest prefix that fits decides which dataset a file belongs to.
        start: first day (UTC) that files may belong to.
        end: day after the last one; empty for an open end.
        day_in_key: the day stands in the key as YYYY-MM-DD; otherwise the day is the one on which the file arrived.
        table: columns and partitioning of its table; empty for a dataset without one.
        profile: what the choice of codec aims at.
        small_bytes: a file up to this size goes into its shard; a larger one becomes a compressed object of its own.
        shard_bits: leading bits of SHA-256 of a file's name that choose its shard; 4 bits are 16 shards.
        originals: what becomes of a file where it arrived once its copy here is proven: `keep` it, remove it
            `after-verify`, or remove it `after 30 days`. What a file's only copy is, is never removed.
        archive_version: format of its archives: 2, or 1 for readers that know no other. A change holds for the archives
            that are written from then on; those that stand are read whichever they are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    bucket: BucketName
    prefix: str
    start: date
    end: date | None = None
    day_in_key: bool = False
    table: TableSpec | None = None
    profile: Literal["hot", "warm", "cold", "compatible", "archive"] = "warm"
    small_bytes: Annotated[int, Field(ge=0, le=MAX_SMALL_BYTES)] = 256 * KIB
    shard_bits: Annotated[int, Field(ge=0, le=8)] = 4
    originals: Annotated[str, Field(pattern=r"^(keep|after-verify|after [1-9][0-9]{0,4} days?)$")] = "keep"
    archive_version: Literal[1, 2] = 2

    @field_validator("prefix")
    @classmethod
    def _relative(cls, value: str) -> str:
        if value.startswith("/") or ".." in value.split("/"):
            raise ValueError(f"a prefix neither starts with '/' nor holds '..' (found {value!r})")
        return value

    @model_validator(mode="after")
    def _days_in_order(self) -> Dataset:
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"end ({self.end}) must be later than start ({self.start})")
        return self

    @field_validator("name")
    @classmethod
    def _not_reserved(cls, value: str) -> str:
        if value.endswith("_rejected"):
            raise ValueError(
                f"a name that ends in _rejected is the table of another dataset's rejected rows (found {value!r})"
            )
        return value

    @property
    def originals_after_days(self) -> int | None:
        """Days after the proof on which originals are removed: 0 at once, None never."""
        if self.originals == "keep":
            return None
        return 0 if self.originals == "after-verify" else int(self.originals.split()[1])

    @property
    def shards(self) -> int:
        """Number of shards a day."""
        return 1 << self.shard_bits

    def day_of(self, key: str, arrived: datetime) -> date:
        """The day (UTC) that a file belongs to.

        Args:
            key: the file's key in its bucket.
            arrived: when it arrived; aware.

        Raises:
            ValueError: the key names no day though it should, or the day lies outside the dataset's range.
        """
        day = arrived.astimezone(UTC).date()
        if self.day_in_key:
            found = re.search(r"(?<!\d)(\d{4}-\d{2}-\d{2})(?!\d)", key[len(self.prefix) :])
            if found is None:
                raise ValueError(f"dataset {self.name} takes the day from the key, and {key!r} holds no YYYY-MM-DD")
            try:
                day = date.fromisoformat(found.group(1))
            except ValueError:
                raise ValueError(f"the key {key!r} holds {found.group(1)}, which is no day") from None
        if day < self.start or (self.end is not None and day >= self.end):
            until = f" to before {self.end}" if self.end else " on"
            raise ValueError(
                f"the day {day} of {key!r} is outside dataset {self.name}, which goes from {self.start}{until}"
            )
        if day > datetime.now(UTC).date():
            raise ValueError(f"the day {day} of {key!r} lies in the future")
        return day


def dataset_of(datasets: Iterable[Dataset], bucket: str, key: str) -> Dataset | None:
    """The dataset that a file belongs to: the one with the longest prefix that fits, or None."""
    fitting = [dataset for dataset in datasets if dataset.bucket == bucket and key.startswith(dataset.prefix)]
    return max(fitting, key=lambda dataset: len(dataset.prefix), default=None)
