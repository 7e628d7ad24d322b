"""The DES archive format: layout, writer, reader."""

from __future__ import annotations

from des_platform.archive.batch import BYTES, LATENCY, LOCAL, REQUESTS, ReadPolicy
from des_platform.archive.big_files import ExternalObject, LocalFolder, ObjectFolder
from des_platform.archive.cache import IndexCache, InMemoryIndexCache, NullCache, RedisIndexCache
from des_platform.archive.daily import DailyShardedDesStore, iter_daily_des_files
from des_platform.archive.errors import CorruptArchive, ExternalFile, UnsupportedVersion
from des_platform.archive.models import ArchiveStats, IndexEntry
from des_platform.archive.reader import DesReader
from des_platform.archive.sink import ByteSink, FileSink
from des_platform.archive.source import ByteSource, FileSource, MemorySource
from des_platform.archive.store import ArchiveStore, S3DesReader
from des_platform.archive.writer import DesWriter

__all__ = [
    "BYTES",
    "LATENCY",
    "LOCAL",
    "REQUESTS",
    "ArchiveStats",
    "ArchiveStore",
    "ByteSink",
    "ByteSource",
    "CorruptArchive",
    "DailyShardedDesStore",
    "DesReader",
    "DesWriter",
    "ExternalFile",
    "ExternalObject",
    "FileSink",
    "FileSource",
    "InMemoryIndexCache",
    "IndexCache",
    "IndexEntry",
    "LocalFolder",
    "MemorySource",
    "NullCache",
    "ObjectFolder",
    "ReadPolicy",
    "RedisIndexCache",
    "S3DesReader",
    "UnsupportedVersion",
    "iter_daily_des_files",
]
