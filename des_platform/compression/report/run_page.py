"""The page of one run that compresses elsewhere than in a dataset's day: a stream's worker, a month of a DataHub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform.compression.report import units
from des_platform.compression.report.page import Fact, render_page
from des_platform.compression.report.rows import total

if TYPE_CHECKING:
    from collections.abc import Sequence

    from des_platform.compression.report.rows import Row

_GB = 1e9


def run_page(title: str, rows: Sequence[Row], *, failed: int, price: float, notes: Sequence[str] = ()) -> str:
    """A whole page.

    Args:
        title: what ran, and on what.
        rows: what became of the files.
        failed: files that were given up.
        price: dollars that a GB (10^9 bytes) of storage costs a month.
        notes: how to read the numbers.
    """
    whole = total(rows)
    saved = whole.bytes_in - whole.bytes_out
    saved_a_month = saved / _GB * price
    facts = [
        Fact("Came in", units.size_text(whole.bytes_in), units.plural(whole.files, "file")),
        Fact("Is now", units.size_text(whole.bytes_out)),
        Fact("Ratio", units.decimal(whole.ratio), "original over compressed size"),
        Fact("Saved", units.decimal(whole.saving, 1, " %"), units.size_text(saved)),
        Fact("Saves a month", units.dollars(saved_a_month), f"{units.dollars(12 * saved_a_month)} a year"),
        Fact("Failed", units.count(failed), alarming=failed > 0),
    ]
    money = f"Money is storage alone, at ${price:g} for a GB and month."
    return render_page(title, "Compression report", facts, rows, notes=[*notes, money])
