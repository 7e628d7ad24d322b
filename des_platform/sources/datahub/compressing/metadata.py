"""What a compressed copy says about itself: everything its original said, and how it came about."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from des_platform.codecs import get_codec
from des_platform.sources.datahub.errors import FileRefused

if TYPE_CHECKING:
    from des_platform.sources.datahub.compressing.ledger import Entry
    from des_platform.sources.datahub.compressing.table import FileRow

UNSTEADY = frozenset({"compression_date"})
"""Properties that are others each time."""

MEDIA_TYPES = {
    "gzip": "application/gzip",
    "zstd": "application/zstd",
    "xz": "application/x-xz",
    "bz2": "application/x-bzip2",
}
_EXTENSION = re.compile(r"[A-Za-z0-9]{1,10}")


def metadata_of(row: FileRow, entry: Entry) -> dict[str, Any]:
    """The metadata of a file's compressed copy.

    Args:
        row: the original; all its properties are kept, but for those that tell of the compression.
        entry: what the compression gave.

    Raises:
        FileRefused: the original's properties are no JSON object, so nothing can be added to them.
    """
    properties = {} if row.properties is None else row.properties
    if not isinstance(properties, dict):
        raise FileRefused(f"file {row.file_id!r}: its properties are a JSON {type(properties).__name__}, no object")
    return {
        "document_id": row.document_id,
        "document_type_nm": row.document_type + get_codec(entry.codec).extension,
        "properties": {
            **properties,
            "original_upload_date": row.uploaded_at.isoformat(),
            "compressed_from": row.file_id,
            "compression_id": entry.mark,
            "compression_codec": entry.codec,
            "is_compressed": True,
            "compression_date": datetime.now(UTC).isoformat(timespec="seconds"),
            "original_size": entry.original_size,
            "compressed_size": entry.compressed_size,
            "compression_ratio": percent(entry.compressed_size, entry.original_size),
            "original_hash": entry.original_sha256,
            "compressed_hash": entry.compressed_sha256,
            "document_type": row.document_type,
        },
    }


def file_name_of(row: FileRow, entry: Entry) -> str:
    """What a copy is called: `<document or file>.<type>.gz`."""
    kind = row.document_type.strip().rpartition("/")[2].lstrip(".")
    extension = f".{kind.lower()}" if _EXTENSION.fullmatch(kind) else ""
    return f"{row.document_id or row.file_id}{extension}{get_codec(entry.codec).extension}"


def percent(compressed: int, original: int) -> float:
    """Compressed bytes in per cent of the original ones."""
    return round(100 * compressed / original, 2) if original else 100.0
