"""The DES archive: writing, reading, proving, mending; `FORMAT.md` describes every byte."""

from __future__ import annotations

from des_platform.archive.batch import BYTES, LATENCY, LOCAL, REQUESTS, ReadPolicy
from des_platform.archive.big_files import ExternalObject, LocalFolder, ObjectFolder
from des_platform.archive.cache import IndexCache, InMemoryIndexCache, NullCache, RedisIndexCache
from des_platform.archive.daily import DailyShardedDesStore, iter_daily_des_files
from des_platform.archive.errors import CorruptArchive, ExternalFile, UnsupportedVersion
from des_platform.archive.models import ArchiveStats, IndexEntry
from des_platform.archive.reader import DesReader
from des_platform.archive.recovery import Recovery, recover
from des_platform.archive.rewriting import Compaction, compact, convert
from des_platform.archive.sink import ByteSink, FileSink
from des_platform.archive.source import ByteSource, FileSource, MemorySource
from des_platform.archive.store import ArchiveStore, S3DesReader
from des_platform.archive.verification import Verification, verify
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
    "Compaction",
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
    "Recovery",
    "RedisIndexCache",
    "S3DesReader",
    "UnsupportedVersion",
    "Verification",
    "compact",
    "convert",
    "iter_daily_des_files",
    "recover",
    "verify",
]
