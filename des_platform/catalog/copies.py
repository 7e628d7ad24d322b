"""Where files are once originals have gone: which originals are gone, and which objects alone hold a file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import sqlalchemy as sa

from des_platform.catalog.files import FileRow
from des_platform.catalog.tables import containers, files

if TYPE_CHECKING:
    from datetime import date

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Place:
    """An object, and how many files of a day it alone holds."""

    bucket: str
    key: str
    files: int


def without_original(connection: sa.Connection, dataset: str, day: date, limit: int) -> list[FileRow]:
    """Files of a day whose originals are gone; where there are more than the limit, any of them, always the same."""
    statement = (
        sa.select(*(files.c[column.name] for column in fields(FileRow)))
        .where(files.c.dataset == dataset, files.c.day == day, files.c.original_removed_at.is_not(None))
        .order_by(files.c.sha256, files.c.file_id)
        .limit(limit)
    )
    return [FileRow(**row) for row in connection.execute(statement).mappings()]


def without_a_place(connection: sa.Connection, dataset: str, day: date) -> list[str]:
    """Names of files of a day that are nowhere: their originals are gone and they have neither object nor archive."""
    statement = sa.select(files.c.name).where(
        files.c.dataset == dataset,
        files.c.day == day,
        files.c.original_removed_at.is_not(None),
        files.c.object_key.is_(None),
        files.c.container_id.is_(None),
    )
    return list(connection.scalars(statement.order_by(files.c.name).limit(_SHOWN)))


def only_places(connection: sa.Connection, dataset: str, day: date, *, own_bucket: str, limit: int) -> list[Place]:
    """The objects that alone hold files of a day: ours where the original is gone, else the originals without a copy.

    Files that were given up are left out: they stand in the dead letters.
    """
    gone = files.c.original_removed_at.is_not(None)
    has_object = files.c.object_key.is_not(None)
    bucket = sa.case((gone, own_bucket), else_=files.c.bucket)
    key = sa.case((~gone, files.c.key), (has_object, files.c.object_key), else_=containers.c.key)
    no_copy = sa.and_(~has_object, sa.or_(files.c.container_id.is_(None), files.c.codec.is_not(None)))
    statement = (
        sa.select(bucket, key, sa.func.count())
        .select_from(files.outerjoin(containers, files.c.container_id == containers.c.container_id))
        .where(files.c.dataset == dataset, files.c.day == day)
        .where(sa.or_(gone, sa.and_(no_copy, files.c.state != "failed")), key.is_not(None))
        .group_by(bucket, key)
        .order_by(sa.func.count().desc(), key)
        .limit(limit)
    )
    return [Place(*row) for row in connection.execute(statement)]
