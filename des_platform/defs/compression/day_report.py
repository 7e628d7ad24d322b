"""The page that tells what compression made of a day, and where a materialization links it.

Whatever changes a day writes its page anew, from what the catalogue knows then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from des_platform.compression.report import report_link, write_report

if TYPE_CHECKING:
    from datetime import date

    from des_platform.catalog.dataset import Dataset
    from des_platform.defs.resources import PlatformResource


def write_day_report(platform: PlatformResource, dataset: Dataset, day: date) -> dg.UrlMetadataValue:
    """Write a day's page; returns its link.

    Raises:
        StoreUnavailable: the store refused or did not answer.
    """
    settings = platform.settings
    write_report(platform.catalog, platform.buckets, dataset, day, price=settings.storage_price)
    return dg.MetadataValue.url(report_link(settings, dataset.name, day))
