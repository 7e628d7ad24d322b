"""The DES archive format: layout, writer, reader."""

from __future__ import annotations

from des_platform.archive.layout import CorruptArchive, ExternalFile, IndexEntry, UnsupportedVersion
from des_platform.archive.reader import ArchiveStats, DesReader
from des_platform.archive.source import ByteSource, FileSource
from des_platform.archive.writer import DesWriter

__all__ = [
    "ArchiveStats",
    "ByteSource",
    "CorruptArchive",
    "DesReader",
    "DesWriter",
    "ExternalFile",
    "FileSource",
    "IndexEntry",
    "UnsupportedVersion",
]
