from __future__ import annotations

from datetime import date

import pytest

from des_platform.lake.formatting import (
    format_date,
    format_duration,
    format_file_size,
    format_partition_path,
    format_record_count,
)


def test_a_path_has_its_keys_in_order() -> None:
    assert format_partition_path({"year": "2024", "month": "01", "day": "15"}) == "day=15/month=01/year=2024"


def test_a_path_leads_nowhere_else_and_tells_values_apart() -> None:
    assert format_partition_path({"a/b": "c/../x"}) == "a%2Fb=c%2F..%2Fx"
    paths = {format_partition_path({"a": value}) for value in (None, "", "None", "__HIVE_DEFAULT_PARTITION__", "a=b")}
    assert len(paths) == 5
    assert format_partition_path({"a": 15}) == "a=15"


def test_a_day_is_written_as_people_sort_it() -> None:
    assert format_date(date(2024, 1, 5)) == "2024-01-05"


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KB"),
        (1536, "1.50 KB"),
        (1024**2, "1.00 MB"),
        (1024**2 - 1, "1.00 MB"),
        (5 * 1024**3, "5.00 GB"),
        (1024**4, "1.00 TB"),
        (2**63 - 1, "8192.00 PB"),
    ],
)
def test_a_size_is_written_in_its_unit(size: int, said: str) -> None:
    assert format_file_size(size) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0s"), (30, "30s"), (59.9, "59s"), (60, "1m 0s"), (90, "1m 30s"), (3660, "1h 1m"), (90_000, "25h 0m")],
)
def test_a_duration_is_written_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert format_duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0K"),
        (1500, "1.5K"),
        (999_960, "1.0M"),
        (1_500_000, "1.5M"),
        (1_500_000_000, "1.5B"),
        (2_500_000_000_000, "2500.0B"),
    ],
)
def test_a_count_is_written_in_its_unit(count: int, said: str) -> None:
    assert format_record_count(count) == said
