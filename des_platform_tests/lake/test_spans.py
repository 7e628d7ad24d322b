from __future__ import annotations

from datetime import date

import pytest

from des_platform.lake.spans import date_values, days_of

DAY = (date(2024, 1, 15), date(2024, 1, 15))
MONTH = (date(2024, 2, 1), date(2024, 2, 29))
YEAR = (date(2024, 1, 1), date(2024, 12, 31))


@pytest.mark.parametrize(
    ("values", "days"),
    [
        ({"year": "2024", "month": "01", "day": "15"}, DAY),
        ({"YEAR": 2024, "Month": 1, "dAy": 15}, DAY),
        ({"_day": "2024-01-15"}, DAY),
        ({"dt": "20240115"}, DAY),
        ({"ds": "2024/01/15"}, DAY),
        ({"event_date": "2024-01-15"}, DAY),
        ({"eventDate": "2024-01-15"}, DAY),
        ({"hour": "2024-01-15-07"}, DAY),
        ({"date": "2024-01-15T07:00:00Z"}, DAY),
        ({"_day": "2024-01-15", "_month_traded": "2023-11"}, DAY),
        ({"year": "2024", "month": "02"}, MONTH),
        ({"_month_traded": "2024-02", "symbol": "2020-01-01"}, MONTH),
        ({"year": "2024"}, YEAR),
        ({"_year_seen": "2024"}, YEAR),
        ({"month": "02"}, None),
        ({"year": "2024", "day": "15"}, YEAR),
        ({"year": "2024", "month": "13"}, None),
        ({"date": "2024-02-30"}, None),
        ({"date": "0000-01-01"}, None),
        ({"date": "yesterday"}, None),
        ({"date": None}, None),
        ({"symbol": "2024-01-15"}, None),
        ({"date": "\u0662\u0660\u0662\u0664-01-15"}, None),
        ({"year": "9" * 5000}, None),
    ],
)
def test_values_name_days_however_they_are_spelled(values: dict[str, object], days: tuple[date, date] | None) -> None:
    assert days_of(values) == days


def test_keys_speak_of_dates_or_they_do_not() -> None:
    values = {"year": 2024, "_day": "x", "bucket": 3, "birthplace": "x", "dt": None}

    assert date_values(values) == {"year": "2024", "_day": "x"}
