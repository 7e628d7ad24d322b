"""The manifest of an S3 inventory: what S3 writes beside the data files once they are all there.

S3 puts `manifest.json` and `manifest.checksum`, the MD5 of the former in hexadecimal, into a folder named by the time
at which it began to look at the bucket, such as `2026-03-01T01-00Z`; the data files lie elsewhere, and the manifest
names each with its size and MD5. Source: "Locating your inventory list" in the Amazon S3 User Guide.

Everything in a manifest may be hostile: one that is not as described is refused with the reason, never half believed.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from des_platform.objectstore import InvalidKey, ObjectTooLarge, check_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.objectstore import ObjectStore

_MAX_BYTES = 64 << 20  # about 300,000 data files
_FOLDER = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}Z")
_CSV_COLUMNS = {
    "Bucket": "bucket",
    "Key": "key",
    "IsLatest": "is_latest",
    "IsDeleteMarker": "is_delete_marker",
    "Size": "size",
    "LastModifiedDate": "last_modified_date",
    "ETag": "e_tag",
}
COLUMNS = tuple(_CSV_COLUMNS.values())
"""The columns that are read, as Parquet and ORC call them. Those on versions are there if all versions are listed."""


class RefusedInventory(Exception):
    """A manifest or data file is not what it should be; the message says how."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One data file: its key in the manifest's bucket, its size in bytes, and its MD5 in lower-case hexadecimal."""

    key: str
    size: int
    md5: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that was checked.

    Attributes:
        key: its own key.
        md5: MD5 of its content, in hexadecimal.
        bucket: the bucket whose objects are listed.
        format: of the data files.
        columns: for CSV, the columns of a row in order, those of `COLUMNS` under these names; else empty.
        files: the data files.
    """

    key: str
    md5: str
    bucket: str
    format: Literal["CSV", "ORC", "Parquet"]
    columns: tuple[str, ...]
    files: tuple[DataFile, ...]


class _File(BaseModel):
    key: str
    size: Annotated[int, Field(ge=0)]
    md5: Annotated[str, Field(alias="MD5checksum", pattern=r"^[0-9a-fA-F]{32}$")]


class _Json(BaseModel):
    model_config = ConfigDict(extra="ignore")

    source_bucket: Annotated[str, Field(alias="sourceBucket")]
    file_format: Annotated[Literal["CSV", "ORC", "Parquet"], Field(alias="fileFormat")]
    file_schema: Annotated[str, Field(alias="fileSchema")]
    files: list[_File]


def manifests(store: ObjectStore, prefix: str, *, after: str) -> Iterator[str]:
    """The keys of complete manifests, newest first.

    Args:
        store: the bucket that S3 writes inventories into.
        prefix: the folder that holds the dated folders, with its '/'.
        after: only manifests newer than the one with this key; '' for all.
    """
    # The data files lie under `data/`, beside the dated folders: millions of them are not listed for one manifest.
    keys = {info.key for info in store.list(f"{prefix}2", start_after=after or None)}
    folders = {key.removeprefix(prefix).split("/")[0] for key in keys}
    for folder in sorted(filter(_FOLDER.fullmatch, folders), reverse=True):
        key = f"{prefix}{folder}/manifest.json"
        if {key, _checksum_key(key)} <= keys and key > after:
            yield key


def _checksum_key(key: str) -> str:
    return key.removesuffix(".json") + ".checksum"


def read_manifest(store: ObjectStore, key: str) -> Manifest:
    """Read a manifest and check it.

    Raises:
        RefusedInventory: it does not fit its checksum, or is not as S3 writes it.
        ObjectNotFound: it is gone.
    """
    try:
        content = store.get(key, max_bytes=_MAX_BYTES)
        checksum = store.get(_checksum_key(key), max_bytes=1024).decode("ascii", "replace").strip().lower()
    except ObjectTooLarge as error:
        raise RefusedInventory(str(error)) from error
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if checksum != md5:
        raise RefusedInventory(f"its MD5 is {md5}, and {_checksum_key(key)} says {checksum!r}: damaged on its way?")
    try:
        read = _Json.model_validate_json(content)
    except ValidationError as error:
        raise RefusedInventory(f"it is not as S3 writes manifests: {_said(error)}") from error
    files = tuple(DataFile(_checked(file.key), file.size, file.md5.lower()) for file in read.files)
    columns = _columns(read.file_schema) if read.file_format == "CSV" else ()
    return Manifest(key, md5, read.source_bucket, read.file_format, columns, files)


def check_columns(columns: set[str]) -> None:
    """Refuse an inventory that leaves out what a file is identified by.

    Raises:
        RefusedInventory: naming what is missing and where it is switched on.
    """
    needed = {"bucket", "key", "size", "last_modified_date", "e_tag"}
    if missing := sorted(needed - columns):
        raise RefusedInventory(
            f"it has no {', '.join(missing)}: switch the optional fields Size, LastModifiedDate and ETag on in the "
            "inventory's configuration"
        )


def _columns(schema: str) -> tuple[str, ...]:
    columns = tuple(_CSV_COLUMNS.get(name.strip(), name.strip()) for name in schema.split(","))
    check_columns(set(columns))
    if len(set(columns)) < len(columns):
        raise RefusedInventory(f"a column stands twice in its schema: {schema[:300]}")
    return columns


def _checked(key: str) -> str:
    try:
        return check_key(key)
    except InvalidKey as error:
        raise RefusedInventory(f"it names a data file that cannot be read: {error}") from error


def _said(error: ValidationError) -> str:
    found = error.errors(include_input=False, include_url=False)
    shown = "; ".join(f"{'.'.join(map(str, problem['loc'])) or 'JSON'}: {problem['msg']}" for problem in found[:3])
    return f"{shown}; {len(found)} mistakes in all"
