"""The page that lists reports: by dataset, and by month, the newest first."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from des_platform.compression.report import units
from des_platform.compression.report.markup import Markup, element, joined
from des_platform.compression.report.page import document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date


def index_page(days: Mapping[str, Sequence[date]]) -> str:
    """The page.

    Args:
        days: of each dataset that has reports. Their links are relative: `<dataset>/<day>.html`.
    """
    number = sum(map(len, days.values()))
    told = (
        f"{units.plural(number, 'report')} of {units.plural(len(days), 'dataset')}."
        if days
        else "There are none yet: each materialization of compressed_objects writes one."
    )
    header = element("header", element("h1", "Compression reports"), element("p", told, class_="summary"))
    return document("Compression reports", joined([header, *(_dataset(name, days[name]) for name in sorted(days))]))


def _dataset(name: str, days: Sequence[date]) -> Markup:
    newest_first = sorted(days, reverse=True)
    months = [
        element(
            "ul",
            element("li", month),
            *(element("li", element("a", str(day.day), href=f"{name}/{day}.html", title=str(day))) for day in of_month),
            class_="days",
        )
        for month, of_month in groupby(newest_first, key=lambda day: f"{day:%B %Y}")
    ]
    return element("section", element("h2", name), *months)
