from __future__ import annotations

import gzip
from contextlib import closing
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from des_platform.catalog import ingestion_jobs, schema_versions
from des_platform.catalog.tables import ingested_files
from des_platform.lake.tables import Lake
from des_platform.objectstore import ObjectStore, StoreUnavailable
from des_platform_tests.catalog.support import at_once
from des_platform_tests.lake.ingesting import PREFIX, TABLE, Ingesting
from des_platform_tests.platform import LANDING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform_tests.platform import Platform


@pytest.fixture
def ingesting(platform: Platform) -> Iterator[Ingesting]:
    with closing(Lake(platform.settings)) as lake:
        yield Ingesting(platform, lake)


def test_every_file_of_the_source_comes_into_the_table_with_its_day_file_and_line(ingesting: Ingesting) -> None:
    first = ingesting.orders("2026-03-01/a.jsonl", 1, 2)
    second = ingesting.put("b.csv", "id,item\n3,item 3\n")

    done = ingesting.run()

    assert (done.status, done.records_processed, done.records_failed, done.error_message) == ("completed", 3, 0, None)
    today = datetime.now(UTC).date()
    assert ingesting.rows() == [
        {"_day": day, "id": number, "item": f"item {number}", "_file": file, "_line": line}
        for day, number, file, line in [
            (date(2026, 3, 1), 1, first, 1),
            (date(2026, 3, 1), 2, first, 2),
            (today, 3, second, 2),
        ]
    ]


def test_the_day_stands_in_the_key_behind_the_prefix_or_in_the_prefix(ingesting: Ingesting) -> None:
    ingesting.orders("2026-03-05/a.jsonl", 1)
    ingesting.orders("2026-03-05/2026-99-99/2026-03-02/b-2026-03-01.jsonl", 2)
    inside = {"bucket": LANDING, "prefix": f"{PREFIX}2026-03-05/"}

    ingesting.run(data_source_id=ingesting.source(name="inside", connection_config=inside))

    assert [(row["id"], row["_day"].day) for row in ingesting.rows()] == [(2, 2), (1, 5)]


def test_a_file_that_the_table_has_is_not_read_again_and_a_new_version_replaces_its_rows(ingesting: Ingesting) -> None:
    ingesting.orders("a.jsonl", 1, 2)
    ingesting.orders("b.jsonl", 3)
    ingesting.run()
    again = ingesting.run()
    assert (again.status, again.records_processed, ingesting.batches(again.job_id)) == ("completed", 0, [])

    ingesting.orders("a.jsonl", 1, 7, 8)
    newer = ingesting.run()

    assert newer.records_processed == 3
    assert ingesting.ids() == [1, 3, 7, 8]
    (batch,) = ingesting.batches(newer.job_id)
    assert len(batch.output_files) == 1


def test_batches_hold_whole_files_and_tell_what_became_of_them(ingesting: Ingesting) -> None:
    urls = [ingesting.orders(f"2026-03-0{day}/x.jsonl", *range(day * 10, day * 10 + 3)) for day in range(1, 5)]
    ingesting.put("2026-03-04/y.jsonl", '{"id":"many","item":"x"}\n{"id":44,"item":"x"}\n')

    done = ingesting.run(batch_size=4)

    found = ingesting.batches(done.job_id)
    assert [(one.batch_number, one.status, one.records_processed, one.records_failed) for one in found] == [
        (1, "completed", 6, 0),
        (2, "completed", 6, 0),
        (3, "completed", 1, 1),
    ]
    assert (done.records_processed, done.records_failed) == (13, 1)
    assert found[0].source_file_path == urls[0].split("2026")[0] + "2026-03-0"
    assert found[2].source_file_path == f"{ingesting.platform.buckets.bucket(LANDING).url}/{PREFIX}2026-03-04/y.jsonl"
    assert found[0].output_partition_path == "_day=2026-03-01, _day=2026-03-02"
    data = {task.file.file_path for task in ingesting.lake.table(TABLE).scan().plan_files()}
    assert sorted(path for one in found for path in one.output_files) == sorted(data)
    assert all(one.record_count == one.records_processed + one.records_failed for one in found)
    assert all(one.processing_time_seconds is not None and one.size_bytes > 0 for one in found)


def test_a_row_that_does_not_fit_and_a_file_that_is_damaged_are_kept_with_the_reason(ingesting: Ingesting) -> None:
    good = ingesting.orders("a.jsonl", 1)
    wrong = ingesting.put("b.jsonl", '{"id":1.7,"item":"x"}\n{"id":2,"item":"y"}\n')
    torn = ingesting.put("c.jsonl.gz", gzip.compress(b'{"id":3,"item":"z"}\n' * 5000)[:-20])
    unknown = ingesting.put("d.exe", b"MZ\0\1")

    done = ingesting.run()

    assert done.status == "completed"
    assert {row["_file"] for row in ingesting.rows()} >= {good, wrong}
    assert [row["id"] for row in ingesting.rows() if row["_file"] in {good, wrong}] == [1, 2]
    rejected = ingesting.rows(f"{TABLE}_rejected")
    assert {row["_file"] for row in rejected} >= {wrong, torn, unknown}
    assert all(row["reason"] for row in rejected)
    assert done.records_failed == len(rejected)
    assert ingesting.run().records_processed == 0


def test_the_first_files_decide_the_columns_which_are_pinned_as_the_first_schema_version(ingesting: Ingesting) -> None:
    source = ingesting.source(name="undeclared", schema_definition=None)
    ingesting.put("a.jsonl", '{"id":1}\n')
    ingesting.put("b.jsonl", '{"id":2.5,"note":"x"}\n')
    ingesting.run(data_source_id=source)

    with ingesting.platform.catalog.begin() as connection:
        version = schema_versions.current(connection, ingesting.table_id)
    assert version is not None
    assert {field["name"]: field["type"] for field in version.schema_definition["fields"]} == {
        "id": "double",
        "note": "string",
    }
    ingesting.put("c.jsonl", '{"id":3,"extra":true}\n')
    job_id = ingesting.job(data_source_id=source)
    report = ingesting.attempt(ingesting.claim())
    assert report is not None
    assert (report.undeclared, ingesting.state(job_id).status) == ({"extra"}, "completed")
    assert [row["id"] for row in ingesting.rows()] == [1, 2.5, 3]


def test_a_source_that_declares_columns_needs_no_guess(ingesting: Ingesting) -> None:
    source = ingesting.source(name="declared", schema_definition={"id": "double", "note": "string"})
    ingesting.orders("a.jsonl", 1)

    ingesting.run(data_source_id=source)

    assert [(row["id"], row["note"]) for row in ingesting.rows()] == [(1.0, None)]


def test_a_source_without_any_readable_column_fails_with_what_to_do(ingesting: Ingesting) -> None:
    ingesting.put("a.bin", b"\0\1\2")

    done = ingesting.run(data_source_id=ingesting.source(name="b", data_format="auto", schema_definition=None))

    assert done.status == "failed"
    assert "schema_definition" in (done.error_message or "")


def test_a_source_of_the_lakes_own_files_is_refused(ingesting: Ingesting) -> None:
    own = ingesting.platform.settings.bucket
    sources = [
        ingesting.source(name=f"s{n}", connection_config={"bucket": own, "prefix": prefix})
        for n, prefix in enumerate(["", "la", "lake/des/orders/"])
    ]

    for source in sources:
        done = ingesting.run(data_source_id=source)
        assert done.status == "failed"
        assert "lake's own files" in (done.error_message or "")


def test_a_cancelled_job_stops_between_batches_and_keeps_what_it_brought(
    ingesting: Ingesting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        ingesting.orders(f"{number}.jsonl", number)
    job_id = ingesting.job(batch_size=1)
    append = Lake.append

    def cancelling(lake: Lake, name: str, *arguments: Any, **options: Any) -> Any:
        with ingesting.platform.catalog.begin() as connection:
            ingestion_jobs.cancel(connection, job_id)
        return append(lake, name, *arguments, **options)

    monkeypatch.setattr(Lake, "append", cancelling)
    ingesting.attempt(ingesting.claim())
    monkeypatch.undo()

    done = ingesting.state(job_id)
    assert (done.status, done.records_processed, ingesting.ids()) == ("cancelled", 1, [0])
    ingesting.again(job_id)
    ingesting.attempt(ingesting.claim())
    assert (ingesting.state(job_id).status, ingesting.ids()) == ("completed", [0, 1, 2])


def test_a_batch_whose_commit_fails_keeps_no_other_from_landing_and_fails_the_job(
    ingesting: Ingesting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        ingesting.orders(f"{number}.jsonl", number)
    job_id = ingesting.job(batch_size=1)
    append = Lake.append
    calls = iter(range(100))

    def failing(lake: Lake, name: str, *arguments: Any, **options: Any) -> Any:
        if next(calls) == 1:
            raise RuntimeError("the disk is full")
        return append(lake, name, *arguments, **options)

    monkeypatch.setattr(Lake, "append", failing)
    ingesting.attempt(ingesting.claim())
    monkeypatch.undo()

    done = ingesting.state(job_id)
    assert (done.status, done.records_processed, done.records_failed) == ("failed", 2, 1)
    assert "the disk is full" in (done.error_message or "")
    assert [one.status for one in ingesting.batches(job_id)] == ["completed", "failed", "completed"]
    ingesting.again(job_id)
    ingesting.attempt(ingesting.claim())
    done = ingesting.state(job_id)
    assert (done.status, done.records_processed, done.records_failed) == ("completed", 1, 0)
    assert ingesting.ids() == [0, 1, 2]


def test_a_job_of_which_every_batch_fails_has_failed(ingesting: Ingesting, monkeypatch: pytest.MonkeyPatch) -> None:
    ingesting.orders("a.jsonl", 1, 2, 3)
    monkeypatch.setattr(Lake, "append", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("no luck")))

    done = ingesting.run()

    assert (done.status, done.records_processed, done.records_failed) == ("failed", 0, 3)


@pytest.mark.parametrize("error", [StoreUnavailable("503 slow down"), RuntimeError("the reader has a bug")])
def test_a_file_that_cannot_be_read_now_is_left_for_the_next_try_and_the_others_land(
    ingesting: Ingesting, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for number, name in enumerate(["a", "b", "c"]):
        ingesting.orders(f"{name}.jsonl", number)
    job_id = ingesting.job()
    stream = ObjectStore.stream

    def flaky(store: ObjectStore, key: str, **options: Any) -> Iterator[bytes]:
        if key.endswith("b.jsonl"):
            raise error
        return stream(store, key, **options)

    monkeypatch.setattr(ObjectStore, "stream", flaky)
    ingesting.attempt(ingesting.claim())
    monkeypatch.undo()

    assert ingesting.ids() == [0, 2]
    assert ingesting.state(job_id).status == "failed"
    assert str(error) in (ingesting.state(job_id).error_message or "")
    ingesting.again(job_id)
    ingesting.attempt(ingesting.claim())
    assert (ingesting.state(job_id).status, ingesting.ids()) == ("completed", [0, 1, 2])


def test_a_file_that_is_gone_since_it_was_listed_is_no_failure(
    ingesting: Ingesting, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingesting.orders("a.jsonl", 1)
    ingesting.orders("b.jsonl", 2)
    stream = ObjectStore.stream

    def deleting(store: ObjectStore, key: str, **options: Any) -> Iterator[bytes]:
        store.delete(f"{PREFIX}a.jsonl")
        return stream(store, key, **options)

    monkeypatch.setattr(ObjectStore, "stream", deleting)
    done = ingesting.run()

    assert (done.status, done.records_processed, ingesting.ids()) == ("completed", 1, [2])


def test_a_store_that_is_away_is_not_asked_for_every_file(
    ingesting: Ingesting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        ingesting.orders(f"{number:02}.jsonl", number)
    stream = ObjectStore.stream
    asked: list[str] = []

    def going(store: ObjectStore, key: str, **options: Any) -> Iterator[bytes]:
        asked.append(key)
        if len(asked) > 2:
            raise StoreUnavailable("nobody answers")
        return stream(store, key, **options)

    monkeypatch.setattr(ObjectStore, "stream", going)
    done = ingesting.run()

    assert (done.status, len(asked), ingesting.ids()) == ("failed", 5, [0, 1])
    assert "nobody answers" in (done.error_message or "")


def test_two_jobs_of_one_table_and_source_at_once_double_nothing(ingesting: Ingesting) -> None:
    for number in range(8):
        ingesting.orders(f"{number}.jsonl", number)
    ingesting.orders("first.jsonl", 100)
    attempts = []
    for run in range(2):
        ingesting.job(batch_size=1)
        attempts.append(partial(ingesting.attempt, ingesting.claim(), f"run-{run}"))

    reports = at_once(attempts)

    assert ingesting.ids() == [*range(8), 100]
    assert sum(report.rows for report in reports if report) == 9


def test_a_file_in_doubt_is_read_again_and_its_rows_replaced_whether_they_landed_or_not(ingesting: Ingesting) -> None:
    landed = ingesting.put("a.jsonl", '{"id":1,"item":"x"}\n{"id":"what","item":"x"}\n')
    ingesting.orders("b.jsonl", 2)
    ingesting.run()
    with ingesting.platform.catalog.begin() as connection:
        connection.execute(ingested_files.update().values(state="writing").where(ingested_files.c.url == landed))
        connection.execute(
            ingested_files.insert().from_select(
                ["table_id", "url", "etag", "state", "batch_id"],
                sa.select(
                    ingested_files.c.table_id,
                    sa.literal(ingesting.orders("c.jsonl", 3)),
                    ingested_files.c.etag,
                    sa.literal("writing"),
                    ingested_files.c.batch_id,
                ).where(ingested_files.c.url == landed),
            )
        )

    ingesting.run()

    assert ingesting.ids() == [1, 2, 3]
    assert [row["_file"] for row in ingesting.rows(f"{TABLE}_rejected")] == [landed]
    with ingesting.platform.catalog.begin() as connection:
        assert set(connection.scalars(sa.select(ingested_files.c.state))) == {"done"}


def test_a_hostile_key_is_one_rejected_row(ingesting: Ingesting) -> None:
    ingesting.orders("a.jsonl", 1)
    folder = ingesting.platform.settings.store_url.removeprefix("file://")
    with open(f"{folder}/{LANDING}/{PREFIX}tab\there.jsonl", "w", encoding="utf-8") as file:  # noqa: PTH123 - as it is
        file.write('{"id":2,"item":"x"}\n')

    done = ingesting.run()

    assert (done.status, done.records_processed, done.records_failed) == ("completed", 1, 1)
    assert "control character" in ingesting.rows(f"{TABLE}_rejected")[0]["reason"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("part-0001", "id,item\n7,x\n"),
        ("part-0001.gz", gzip.compress(b"id,item\n7,x\n", mtime=0)),
        ("part-0001.json", '[{"id":7,"item":"x"}]'),
    ],
)
def test_a_files_name_tells_its_format_and_the_source_where_it_does_not(
    ingesting: Ingesting, name: str, content: str | bytes
) -> None:
    ingesting.put(name, content)

    ingesting.run(data_source_id=ingesting.source(name="csv", data_format="csv"))

    assert ingesting.ids() == [7]


def test_a_source_on_s3_is_read_like_a_folder(s3_platform: Platform) -> None:
    with closing(Lake(s3_platform.settings)) as lake:
        on_s3 = Ingesting(s3_platform, lake)
        on_s3.orders("2026-03-01/a.jsonl", 1, 2)
        on_s3.run()
        assert on_s3.run().records_processed == 0
        url = on_s3.orders("2026-03-01/a.jsonl", 3)

        on_s3.run()

        assert [(row["id"], row["_file"], row["_day"]) for row in on_s3.rows()] == [(3, url, date(2026, 3, 1))]
