"""Local files to and from a bucket, each transfer with its proof: uploads, downloads, checks, monthly files, search."""

from __future__ import annotations

from des_platform.objectstore.transfers.check import FileCheck, check_file
from des_platform.objectstore.transfers.file_download import Download, download
from des_platform.objectstore.transfers.file_upload import Upload, upload
from des_platform.objectstore.transfers.months import Month, MonthUpload, months_missing, months_present, upload_month
from des_platform.objectstore.transfers.progress import Pace, logged
from des_platform.objectstore.transfers.search import FOLDERS, Fetched, NothingFetched, candidates, fetch, find_first

__all__ = [
    "FOLDERS",
    "Download",
    "Fetched",
    "FileCheck",
    "Month",
    "MonthUpload",
    "NothingFetched",
    "Pace",
    "Upload",
    "candidates",
    "check_file",
    "download",
    "fetch",
    "find_first",
    "logged",
    "months_missing",
    "months_present",
    "upload",
    "upload_month",
]
