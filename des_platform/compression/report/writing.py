"""The report of a day of a dataset as an object in the platform's bucket, and where to find it.

The object lies under `reports/<dataset>/<day>.html`. It is made anew from the catalogue each time; the same catalogue
gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from des_platform.compression.report.day import read_day
from des_platform.compression.report.day_page import day_page
from des_platform.objectstore import Buckets

if TYPE_CHECKING:
    from datetime import date

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.dataset import Dataset
    from des_platform.settings import Settings

REPORTS = "reports/"


@dataclass(frozen=True, slots=True)
class ReportObject:
    """A report that was written: its key in the platform's bucket, its address in the store, its size in bytes."""

    key: str
    uri: str
    bytes: int


def report_key(dataset: str, day: date) -> str:
    """Key of a day's report in the platform's bucket."""
    return f"{REPORTS}{dataset}/{day}.html"


def report_page(catalog: Catalog, dataset: Dataset, day: date, *, price: float) -> str:
    """The report of a day, from what the catalogue knows now.

    Args:
        catalog: what to read; nothing in it is changed.
        dataset: the day's dataset.
        day: the day (UTC).
        price: dollars that a GB (10^9 bytes) of storage costs a month.
    """
    return day_page(read_day(catalog, dataset, day), price=price)


def write_report(catalog: Catalog, buckets: Buckets, dataset: Dataset, day: date, *, price: float) -> ReportObject:
    """Make the report of a day and put it where `report_key` says, in place of an older one.

    Arguments as for `report_page`; the object goes into the platform's own bucket.

    Raises:
        StoreUnavailable: the store refused or did not answer.
    """
    return put_report(buckets, dataset.name, day, report_page(catalog, dataset, day, price=price))


def put_report(buckets: Buckets, name: str, day: date, page: str) -> ReportObject:
    """Put a page where `report_key` says, in place of an older one.

    Raises:
        StoreUnavailable: the store refused or did not answer.
    """
    key = report_key(name, day)
    written = buckets.own.put(key, page.encode(), attributes={"Content-Type": "text/html; charset=utf-8"})
    return ReportObject(key, buckets.own.uri(key), written.size)


def report_link(settings: Settings, dataset: str, day: date) -> str:
    """Where a day's report can be read: its page where reports are served, else its object."""
    if settings.reports_url:
        return f"{settings.reports_url}/{dataset}/{day}.html"
    return Buckets(settings).own.uri(report_key(dataset, day))
