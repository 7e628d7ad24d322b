"""The columns of a table that nobody declared: what its first files hold."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

from des_platform.objectstore import (
    AccessDenied,
    IntegrityError,
    InvalidKey,
    ObjectNotFound,
    PreconditionFailed,
    UnsupportedByStore,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from des_platform.parquet import FileFormat

_LOG = logging.getLogger(__name__)
_SAMPLES: Final = 5
_OF_ONE_FILE: Final = (AccessDenied, IntegrityError, InvalidKey, ObjectNotFound, PreconditionFailed, UnsupportedByStore)

MOST_LOOKED_AT: Final = 100
"""Files that are opened in search of five that tell columns."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A file to look at.

    Attributes:
        name: its name, which tells the format.
        content: hands over its bytes.
        file_format: its format, where the name tells none.
    """

    name: str
    content: Callable[[], Iterable[bytes]]
    file_format: FileFormat | None = None


def infer_from(samples: Iterable[Sample], *, scratch: Path) -> dict[str, str]:
    """Return the columns, name to type, that hold what the first files hold; none if no file tells any.

    Args:
        samples: the files; one that cannot be had, or tells nothing, is passed over.
        scratch: folder for formats that cannot be read as they stream in.

    Raises:
        StoreUnavailable: the store is away.
    """
    from des_platform.lake.reading import format_of, infer_columns
    from des_platform.parquet import NoColumns, merge_columns

    columns: dict[str, str] = {}
    found = 0
    # What has no common type: CSV holds any text, the others any value.
    fallback: Literal["string", "json"] = "json"
    for sample in islice(samples, MOST_LOOKED_AT):
        try:
            told = infer_columns(sample.name, sample.content(), scratch=scratch, file_format=sample.file_format)
        except (NoColumns, *_OF_ONE_FILE) as error:
            _LOG.info("file %s tells no columns: %s", sample.name, error)
            continue
        if "csv" in {sample.file_format, format_of(sample.name)}:
            fallback = "string"
        columns = merge_columns(columns, told, fallback=fallback)
        found += 1
        if found == _SAMPLES:
            break
    return columns
