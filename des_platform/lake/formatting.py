"""How the lake writes paths, sizes, durations and counts for people and for exports.

The strings are fixed: programs compare them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

_KILO: Final = 1024
_SIZES: Final = ("KB", "MB", "GB", "TB", "PB")
_THOUSAND: Final = 1000
_COUNTS: Final = ("K", "M", "B")


def format_partition_path(values: Mapping[str, object]) -> str:
    """Return `key=value/key=value`, the keys in order: `day=15/month=01/year=2024`.

    Keys and values are escaped as `partition_path` does it, so that nothing in them leads anywhere else.
    """
    from des_platform.lake.partitioning import partition_path

    return partition_path({key: None if value is None else str(value) for key, value in sorted(values.items())})


def format_date(day: date) -> str:
    """Return a day as `2024-01-15`."""
    return day.isoformat()


def format_file_size(size: int) -> str:
    """Return a number of bytes as `0 B`, `1023 B`, `1.00 KB`, `1.50 MB`; a KB is 1,024 bytes."""
    if size < _KILO:
        return f"{size} B"
    scaled, unit = _in_units(size, _KILO, _SIZES, decimals=2)
    return f"{scaled:.2f} {unit}"


def format_duration(seconds: float) -> str:
    """Return `30s`, `1m 30s` or `1h 1m`; parts of the last unit are left out."""
    minutes, rest = divmod(int(seconds), 60)
    if not minutes:
        return f"{rest}s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours}h {minutes_left}m" if hours else f"{minutes}m {rest}s"


def format_record_count(count: int) -> str:
    """Return `999`, `1.5K`, `1.5M` or `1.5B`."""
    if count < _THOUSAND:
        return str(count)
    scaled, unit = _in_units(count, _THOUSAND, _COUNTS, decimals=1)
    return f"{scaled:.1f}{unit}"


def _in_units(amount: int, step: int, units: Sequence[str], *, decimals: int) -> tuple[float, str]:
    """The amount in the smallest unit in which it is written with less than a step."""
    scaled = amount / step
    for unit in units[:-1]:
        if round(scaled, decimals) < step:
            return scaled, unit
        scaled /= step
    return scaled, units[-1]
