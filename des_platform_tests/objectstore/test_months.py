"""Monthly data and searches over several keys."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from des_platform.objectstore import AccessDenied, ObjectStore, StoreUnavailable
from des_platform.objectstore.transfers import (
    Month,
    NothingFetched,
    candidates,
    fetch,
    find_first,
    months_missing,
    months_present,
    upload_month,
)
from des_platform.objectstore.transfers.months import monthly_key

if TYPE_CHECKING:
    from pathlib import Path

    from des_platform_tests.objectstore.relay import Relay

MARCH = Month(2026, 3)
WRITTEN = datetime(2026, 4, 1, 6, 30, 5, tzinfo=UTC)
KEY = "processed-data/monthly/2026/03/monthly_2026-03_20260401_063005.parquet"
STATISTICS_KEY = "statistics/monthly_2026-03_20260401_063005_statistics.json"
STATISTICS = {"overall_quality_score": 0.98, "requires_reprocessing": False, "note": "é"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "month"
    path.write_bytes(b"data of a month")
    return path


def test_a_month_is_stored_with_its_statistics_and_metadata(s3_store: ObjectStore, s3_client: Any, path: Path) -> None:
    done = upload_month(s3_store, path, MARCH, statistics=STATISTICS, metadata={"by": "me"}, written_at=WRITTEN)

    assert (done.data.key, done.statistics_key, done.statistics_problem) == (KEY, STATISTICS_KEY, "")
    assert json.loads(s3_store.get(STATISTICS_KEY, max_bytes=1000)) == STATISTICS
    metadata = s3_client.head_object(Bucket="bucket", Key=KEY)["Metadata"]
    assert metadata["month"] == "2026-03"
    assert metadata["processing_date"] == "2026-04-01T06:30:05+00:00"
    assert (metadata["overall_quality_score"], metadata["requires_reprocessing"]) == ("0.98", "false")
    assert (metadata["by"], metadata["data_format"]) == ("me", "parquet")
    assert "total_rollover_events" not in metadata


def test_statistics_that_cannot_be_stored_are_told_and_the_data_stay(
    relayed_store: ObjectStore, relay: Relay, path: Path
) -> None:
    relay.before = lambda _method, target, _headers: 403 if "statistics" in target else None
    for statistics, reason in ((STATISTICS, "access was denied"), ({"score": float("nan")}, "not JSON compliant")):
        done = upload_month(relayed_store, path, MARCH, statistics=statistics, written_at=WRITTEN)
        assert done.statistics_key is None
        assert reason in done.statistics_problem
        assert relayed_store.exists(done.data.key)


def test_data_that_cannot_be_stored_are_an_error_and_no_month(
    relayed_store: ObjectStore, relay: Relay, path: Path
) -> None:
    relay.before = lambda method, _path, _headers: 403 if method == "PUT" else None
    with pytest.raises(AccessDenied):
        upload_month(relayed_store, path, MARCH, statistics=STATISTICS)
    assert list(relayed_store.list()) == []


def test_only_data_make_a_month_present(store: ObjectStore, path: Path) -> None:
    upload_month(store, path, MARCH, statistics=STATISTICS, written_at=WRITTEN)
    later = monthly_key("processed-data/monthly", MARCH, WRITTEN.replace(hour=9))
    for key in (
        later,
        "processed-data/monthly/2026/05/monthly_2026-04_20260401_063005.parquet",
        "processed-data/monthly/2026/06/monthly_2026-06_20260401_063005_statistics.json",
        "processed-data/monthly/2026/13/monthly_2026-13_20260401_063005.parquet",
        "processed-data/monthly-old/2026/07/monthly_2026-07_20260401_063005.parquet",
    ):
        store.put(key, b"data")
    store.put(monthly_key("processed-data/monthly", Month(2026, 8), WRITTEN), b"")

    assert months_present(store) == {MARCH: [KEY, later]}
    assert [str(month) for month in months_missing(store, Month(2025, 12), Month(2026, 4))] == [
        "2025-12",
        "2026-01",
        "2026-02",
        "2026-04",
    ]


@pytest.mark.parametrize("text", ["2026-13", "2026-00", "0000-01", "26-01", "2026-1", "2026-01-01", "", "\uff12026-01"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no month"):
        Month.parse(text)


def test_candidates_are_the_key_and_its_name_in_each_folder_once() -> None:
    assert candidates("raw/es.dbn") == [
        "raw/es.dbn",
        "databento/es.dbn",
        "es-data/es.dbn",
        "raw-data/es.dbn",
        "monthly/es.dbn",
        "dbn/es.dbn",
    ]


def test_each_key_is_asked_for_once_and_a_missing_one_is_no_error(relayed_store: ObjectStore, relay: Relay) -> None:
    assert find_first(relayed_store, [*candidates("file"), "file"]) is None
    assert len(relay.requests) == 7

    relayed_store.put("dbn/file", b"data")
    found = find_first(relayed_store, candidates("file"))
    assert found is not None
    assert (found.key, found.size) == ("dbn/file", 4)


def test_a_refused_key_hides_nothing_and_is_told_where_nothing_else_is_found(
    relayed_store: ObjectStore, relay: Relay
) -> None:
    relay.before = lambda _method, target, _headers: 403 if "raw/" in target else None
    with pytest.raises(AccessDenied, match="raw/file"):
        find_first(relayed_store, candidates("file"))
    relayed_store.put("dbn/file", b"data")
    found = find_first(relayed_store, candidates("file"))
    assert found is not None
    assert found.key == "dbn/file"


def test_a_valid_local_file_is_used_without_a_question(relayed_store: ObjectStore, relay: Relay, path: Path) -> None:
    found = fetch(relayed_store, "key", path, min_bytes=5)
    assert (found.download, found.check.size, relay.requests) == (None, 15, [])


def test_a_local_file_of_no_use_is_replaced_by_the_first_of_use(store: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"tiny")
    store.put("databento/file", b"small")
    store.put("raw/file", b"large enough")

    found = fetch(store, "file", path, min_bytes=10)

    assert found.download is not None
    assert (found.download.key, path.read_bytes()) == ("raw/file", b"large enough")
    assert len(found.refused) == 2
    assert "4 bytes" in found.refused[0]
    assert "'databento/file': it has 5 bytes, expected at least 10" in found.refused[1]


def test_where_nothing_is_of_use_everything_is_named_and_the_local_file_stays(
    relayed_store: ObjectStore, relay: Relay, path: Path
) -> None:
    relayed_store.put("monthly/key", b"is this Parquet?" * 10)
    relay.requests.clear()

    with pytest.raises(NothingFetched, match=r"databento/key.*'monthly/key': it is no whole parquet file"):
        fetch(relayed_store, "key", path, format="parquet")

    assert path.read_bytes() == b"data of a month"
    assert sorted(relay.lines()) == sorted(
        [*(f"HEAD /bucket/{key}" for key in candidates("key")), "GET /bucket/monthly/key"]
    )


def test_a_store_that_is_away_is_no_missing_file(relayed_store: ObjectStore, relay: Relay, path: Path) -> None:
    path.unlink()
    relay.before = lambda *_: 501
    with pytest.raises((StoreUnavailable, RuntimeError)):
        fetch(relayed_store, "key", path)
    assert len(relay.requests) == 1
