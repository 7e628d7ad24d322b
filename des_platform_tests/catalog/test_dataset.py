from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from des_platform.catalog import partitions
from des_platform.catalog.dataset import Dataset, dataset_of

if TYPE_CHECKING:
    from des_platform.catalog.database import Catalog

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
VALID: dict[str, Any] = {
    "name": "things",
    "bucket": "landing",
    "prefix": "things/",
    "start": date(2026, 1, 1),
    "end": date(2026, 4, 1),
}


def dataset(**changes: Any) -> Dataset:
    return Dataset(**(VALID | changes))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "", "pattern"),
        ("name", "Things", "pattern"),
        ("name", "1things", "pattern"),
        ("name", "my-things", "pattern"),
        ("name", "../things", "pattern"),
        ("name", "things\n", "pattern"),
        ("name", "t" * 64, "pattern"),
        ("name", "things_rejected", "rejected rows"),
        ("bucket", "ab", "at least 3"),
        ("bucket", "b" * 64, "at most 63"),
        ("bucket", "-landing", "pattern"),
        ("bucket", "Landing", "pattern"),
        ("bucket", "land_ing", "pattern"),
        ("bucket", "landing/", "pattern"),
        ("bucket", "land..ing", "pattern"),
        ("prefix", "/things", "starts with '/'"),
        ("prefix", "things/../other/", "'..'"),
        ("prefix", "..", "'..'"),
        ("end", date(2026, 1, 1), "later than start"),
        ("end", date(2025, 12, 31), "later than start"),
        ("start", "someday", "date"),
        ("profile", "lukewarm", "hot"),
        ("shard_bits", 9, "less than or equal to 8"),
        ("shard_bits", -1, "greater than or equal to 0"),
        ("small_bytes", -1, "greater than or equal to 0"),
        ("small_bytes", (64 << 20) + 1, "less than or equal to 67108864"),
        ("archive_version", 3, "1 or 2"),
        ("table", {"columns": {"price": "double"}, "partition_by": ["weekly(price)"]}, "is no partition rule"),
        ("table", {"columns": {"price": "double"}, "partition_by": ["hash(price, 0)"]}, "number of buckets"),
        ("table", {"columns": {"price": "double"}, "partition_by": ["list(symbol)"]}, "not among the columns"),
        ("table", {"columns": {"price": "decimal(39,2)"}}, "unknown type"),
        ("table", {"columns": {"price": "decimal(2,3)"}}, "unknown type"),
        ("table", {"columns": {"id": "long"}, "tolerance": {"id": 0.01}}, "tolerance is for doubles"),
        ("table", {"columns": {"price": "money"}}, "string"),
        ("table", {"columns": {"drop table": "string"}}, "pattern"),
        ("colour", "red", "not permitted"),
    ],
)
def test_a_wrong_definition_is_refused_by_its_field(field: str, value: object, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        dataset(**{field: value})

    assert caught.value.error_count() == 1
    assert said in str(caught.value)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        dataset(name="Things", bucket="x", prefix="/")

    assert {error["loc"] for error in caught.value.errors()} == {("name",), ("bucket",), ("prefix",)}


@pytest.mark.parametrize("prefix", ["", "things/", "a..b/", "things"])
def test_a_prefix_is_any_plain_start_of_a_key(prefix: str) -> None:
    assert dataset(prefix=prefix).prefix == prefix


def test_a_definition_comes_back_from_the_catalogue_as_it_was(catalog: Catalog) -> None:
    definition = dataset(name="full", table={"columns": {"price": "double"}}, day_in_key=True, shard_bits=0)
    changed = definition.model_copy(update={"end": None})

    with catalog.begin() as connection:
        for version in (definition, definition, changed):
            partitions.register_datasets(connection, [version])
            assert version in partitions.registered_datasets(connection)
        assert len(partitions.registered_datasets(connection)) == 2


@pytest.mark.parametrize(
    "key", ["things/2026-03-02/a.csv", "things/a-2026-03-02.csv", "things/2026-03-02", "things/x2026-03-02y-9999-99-99"]
)
def test_the_day_is_taken_from_the_key(key: str) -> None:
    assert dataset(day_in_key=True).day_of(key, NOON) == date(2026, 3, 2)


def test_a_day_in_the_prefix_is_not_a_files_day() -> None:
    assert dataset(day_in_key=True, prefix="since-2026-01-01/").day_of("since-2026-01-01/2026-03-02/a", NOON) == date(
        2026, 3, 2
    )


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("things/a.csv", "holds no YYYY-MM-DD"),
        ("things/20260302/a.csv", "holds no YYYY-MM-DD"),
        ("things/12026-03-02/a.csv", "holds no YYYY-MM-DD"),
        ("things/2026-03-021/a.csv", "holds no YYYY-MM-DD"),
        ("things/2026-02-30/a.csv", "2026-02-30, which is no day"),
        ("things/2026-13-01/a.csv", "2026-13-01, which is no day"),
        ("things/0000-00-00/a.csv", "0000-00-00, which is no day"),
        ("things/\u0662\u0660\u0662\u0666-\u0660\u0663-\u0660\u0661/a.csv", "which is no day"),
        ("things/2025-12-31/a.csv", "outside dataset things"),
        ("things/2026-04-01/a.csv", "to before 2026-04-01"),
    ],
)
def test_a_key_without_a_day_of_the_dataset_is_refused(key: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        dataset(day_in_key=True).day_of(key, NOON)


def test_the_first_and_the_last_day_belong_to_the_dataset() -> None:
    whole = dataset(day_in_key=True, end=date(2026, 3, 2))

    assert whole.day_of("things/2026-01-01/a", NOON) == date(2026, 1, 1)
    assert whole.day_of("things/2026-03-01/a", NOON) == date(2026, 3, 1)


def test_without_a_day_in_the_key_it_is_the_day_of_arrival_in_utc() -> None:
    late = datetime(2026, 3, 1, 22, 30, tzinfo=timezone(timedelta(hours=-5)))

    assert dataset().day_of("things/2026-01-05.csv", late) == date(2026, 3, 2)
    with pytest.raises(ValueError, match="outside dataset things, which goes from 2026-01-01"):
        dataset().day_of("things/a.csv", datetime(2025, 12, 31, 23, 59, tzinfo=UTC))


@pytest.mark.parametrize("end", [None, date(9999, 1, 1)])
def test_a_day_in_the_future_is_refused(end: date | None) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=2)

    with pytest.raises(ValueError, match="lies in the future"):
        dataset(day_in_key=True, end=end).day_of(f"things/{tomorrow}/a", NOON)


def test_a_file_belongs_to_the_dataset_with_the_longest_prefix_in_its_bucket() -> None:
    everything = dataset(name="everything", prefix="")
    things = dataset(name="things", prefix="things/")
    special = dataset(name="special", prefix="things/special-")
    elsewhere = dataset(name="elsewhere", prefix="things/special-one/", bucket="elsewhere")
    all_of_them = [special, everything, elsewhere, things]

    assert dataset_of(all_of_them, "landing", "things/special-one/a") == special
    assert dataset_of(all_of_them, "landing", "things/specimen") == things
    assert dataset_of(all_of_them, "landing", "other") == everything
    assert dataset_of([special, things], "landing", "thing") is None
    assert dataset_of(all_of_them, "nowhere", "things/a") is None
    assert dataset_of([], "landing", "things/a") is None


@pytest.mark.parametrize(("bits", "shards"), [(0, 1), (4, 16), (8, 256)])
def test_bits_make_shards(bits: int, shards: int) -> None:
    assert dataset(shard_bits=bits).shards == shards
