"""A catalogue of compressed files without the files: rows as the stages leave them, for reports to read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from des_platform.catalog import partitions
from des_platform.catalog.tables import containers, files, inbox
from des_platform_tests.platform import DATASET, DAY, LANDING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from des_platform.catalog.database import Catalog

CHANGED = datetime(2026, 3, 2, 1, 2, 3, tzinfo=UTC)
HOSTILE = """<script>alert(1)</script>"'&</td><img src=x onerror=alert(2)>"""


@dataclass(frozen=True)
class Made:
    """A file as the stages left it; the default is one that waits."""

    key: str
    size: int
    state: str = "catalogued"
    codec: str | None = None
    level: int | None = None
    stored: int | None = None
    seconds: float | None = None
    reason: str | None = None
    error: str | None = None
    removed: bool = False
    attempts: int = field(default=0, kw_only=True)


def compressed(key: str, size: int, stored: int, codec: str = "zstd", level: int = 9, seconds: float = 0.5) -> Made:
    return Made(key, size, "packed", codec, level, stored, seconds, f"{codec}: smallest")


def kept(key: str, size: int) -> Made:
    return Made(key, size, "packed", "store", 0, size, 0.0, "kept as it is")


def packed(key: str, size: int) -> Made:
    return Made(key, size, "packed")


def failed(key: str, size: int, error: str) -> Made:
    return Made(key, size, "failed", error=error, attempts=3)


def catalogue(catalog: Catalog, made: Sequence[Made], day: date = DAY, archives: Sequence[int] = ()) -> None:
    """Catalogue the files, and archives of some sizes."""
    with catalog.begin() as connection:
        partitions.register_datasets(connection, [DATASET])
        for number, file in enumerate(made):
            place = {"dataset": DATASET.name, "day": day, "bucket": LANDING, "key": f"{DATASET.prefix}{day}/{file.key}"}
            [seq] = connection.execute(
                inbox.insert().values(**place, etag="e", source="listing", state="done").returning(inbox.c.seq)
            ).one()
            own_object = file.codec is not None and file.codec != "store"
            connection.execute(
                files.insert().values(
                    **place,
                    seq=seq,
                    etag="e",
                    size=file.size,
                    sha256="0" * 64,
                    name=f"DES_{day:%Y%m%d}_({number:012X}_00)",
                    shard=0,
                    state=file.state,
                    codec=file.codec,
                    codec_level=file.level,
                    codec_reason=file.reason,
                    object_key=f"archives/{number}" if own_object else None,
                    stored_size=file.stored,
                    compress_seconds=file.seconds,
                    compress_cpu_seconds=None if file.seconds is None else file.seconds / 2,
                    prove_seconds=None if file.seconds is None else file.seconds / 5,
                    original_removed_at=CHANGED if file.removed else None,
                    attempts=file.attempts,
                    last_error=file.error,
                    updated_at=CHANGED,
                )
            )
        for shard, size in enumerate(archives):
            connection.execute(
                containers.insert().values(
                    dataset=DATASET.name,
                    day=day,
                    shard=shard,
                    generation=1,
                    key=f"archives/{DATASET.name}/{day}/{shard}",
                    etag="e",
                    size=size,
                    sha256="0" * 64,
                    files=1,
                    external_files=0,
                    fencing_token=1,
                    state="published",
                    archive_version=2,
                    created_at=CHANGED,
                )
            )
