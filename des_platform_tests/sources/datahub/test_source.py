"""From a DataHub's table to the inbox: every candidate once, whatever its row, its bytes or the process do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from des_platform.catalog.tables import inbox as inbox_table
from des_platform.cli.demo.processes import wait_until
from des_platform.settings import ConfigurationError
from des_platform.sources.datahub.errors import DataHubAccessDenied, DataHubUnavailable
from des_platform.sources.datahub.source import DataHubSource
from des_platform.sources.listing import list_new
from des_platform.sources.recording import Recorder
from des_platform.sources.source import SourceUnavailable
from des_platform_tests.datahub_server import Fault, create_table
from des_platform_tests.platform import DAY
from des_platform_tests.sources.datahub.support import NOON, SIZE, DataHub, config_of

if TYPE_CHECKING:
    from des_platform.sources.datahub.report import TakeReport


def inbox_rows(hub: DataHub) -> dict[str, Any]:
    with hub.platform.catalog.begin() as connection:
        return {row.key.rsplit("/", 1)[1]: row for row in connection.execute(sa.select(inbox_table))}


@pytest.mark.parametrize("place", ["hub", "s3_hub"])
def test_files_of_a_month_land_and_are_recorded_once(place: str, request: pytest.FixtureRequest) -> None:
    hub: DataHub = request.getfixturevalue(place)
    contents = {f"f{number}": hub.add(f"f{number}", document_type="PDF") for number in range(10)}

    report = hub.source(batch_size=3).take(2026, 3)

    assert hub.landed() == {f"2026-03-01/{name}-document.pdf": content for name, content in contents.items()}
    assert (report.candidates, report.processed, report.taken, report.new) == (10, 10, 10, 10)
    assert (report.bytes, report.failed, report.complete) == (10 * SIZE, 0, True)
    row = inbox_rows(hub)["f3-document.pdf"]
    assert (row.dataset, row.day, row.claimed_size, row.source) == ("things", DAY, SIZE, "datahub")
    assert row.etag == hub.store.head(row.key).etag
    again = hub.source(batch_size=3).take(2026, 3)
    assert (again.candidates, again.known, again.processed) == (10, 10, 0)
    assert sum(hub.server.asked_for(name) for name in contents) == 10
    assert hub.counters()["des_datahub_files_total-hub-taken"] == 10
    assert hub.counters()["des_datahub_bytes_total-hub"] == 10 * SIZE


def test_recorded_files_go_through_the_stages_behind(hub: DataHub) -> None:
    content = hub.add("f1")
    hub.source().take(2026, 3)

    assert hub.platform.take_in().files == 1

    (row,) = hub.platform.rows().values()
    assert b"".join(hub.platform.reader.stream(row)) == content


def test_only_candidates_are_taken(hub: DataHub) -> None:
    for file_id, row in {
        "small": {"size": 1000},
        "compressed": {"properties": {"is_compressed": True}},
        "before": {"uploaded_at": datetime(2026, 2, 28, 23, 59, 59, 999999)},  # noqa: DTZ001
        "after": {"uploaded_at": datetime(2026, 4, 1)},  # noqa: DTZ001
        "first": {"uploaded_at": datetime(2026, 3, 1)},  # noqa: DTZ001
        "last": {"uploaded_at": datetime(2026, 3, 31, 23, 59, 59, 999999)},  # noqa: DTZ001
        "not said": {"properties": {"is_compressed": None}},
        "other": {"properties": {"color": "red"}},
    }.items():
        hub.add(file_id, **{"document_id": file_id, **row})  # type: ignore[arg-type]

    hub.source().take(2026, 3)

    assert {row.split("-")[-1] for row in inbox_rows(hub)} == {"first.bin", "last.bin", "not_said.bin", "other.bin"}


@pytest.mark.parametrize("uploaded_at", ["timestamp", "timestamptz"])
@pytest.mark.parametrize("file_id", ["bigint", "uuid", "text", "varchar(40)"])
def test_columns_may_have_any_fitting_type(
    hub: DataHub, monkeypatch: pytest.MonkeyPatch, file_id: str, uploaded_at: str
) -> None:
    hub.database.execute("DROP TABLE fdhdata.dh_file")
    create_table(hub.database, file_id=file_id, uploaded_at=uploaded_at, size="numeric")
    ids: list[Any] = [(1 << 60) + number if file_id == "bigint" else str(uuid.UUID(int=number)) for number in range(7)]
    monkeypatch.setenv("PGTZ", "Pacific/Auckland")
    for found in ids:
        hub.add(found, uploaded_at=datetime(2026, 3, 1, tzinfo=UTC))

    report = hub.source(batch_size=2).take(2026, 3)

    assert (report.candidates, report.taken) == (7, 7)
    assert {row.day for row in inbox_rows(hub).values()} == {DAY}


def test_files_uploaded_at_one_moment_are_all_seen_by_pages(hub: DataHub) -> None:
    for number in range(25):
        hub.add(f"f{number}")

    assert hub.source(batch_size=1, threads=1).survey(2026, 3).candidates == 25
    assert hub.source(batch_size=4).take(2026, 3).taken == 25


def test_survey_counts_and_asks_the_datahub_nothing(hub: DataHub) -> None:
    hub.add("f1")
    hub.source().take(2026, 3)
    hub.server.requests.clear()
    hub.add("f2")
    hub.add("f3")

    report = hub.source().survey(2026, 3)

    assert (report.candidates, report.candidate_bytes, report.known, report.processed) == (3, 3 * SIZE, 1, 0)
    assert hub.server.requests == []
    assert len(hub.landed()) == 1


def test_hostile_identifiers_stay_inside_the_landing_prefix(hub: DataHub) -> None:
    hostile = ["../../etc/passwd", "a/b", "a\\b", "x" * 500, "..x", "line\nbreak", "ümlaut", "sp ace", "%2e%2e"]
    for file_id in hostile:
        hub.add(file_id, document_id=f"../{file_id}", document_type=f"../{file_id}")

    report = hub.source().take(2026, 3)

    assert (report.taken, report.failed) == (len(hostile), 0)
    assert sorted(hub.landed().values()) == sorted(hub.server.files.values())
    assert all(key.startswith("2026-03-01/") and key.count("/") == 1 for key in hub.landed())


def test_files_whose_identifiers_look_alike_do_not_share_an_object(hub: DataHub) -> None:
    contents = [
        hub.add("1-2", document_id="3"),
        hub.add("1", document_id="2-3"),
        hub.add("a/b", document_id="c"),
        hub.add("a_b", document_id="c"),
        hub.add("a?b", document_id="c"),
    ]

    assert hub.source().take(2026, 3).taken == 5
    assert sorted(hub.landed().values()) == sorted(contents)


def test_file_that_fails_for_good_is_a_dead_letter_and_its_neighbours_go_on(hub: DataHub) -> None:
    for name in ("a", "b", "c", "d"):
        hub.add(name)
    del hub.server.files["b"]
    hub.server.always["c"] = Fault(500)

    report = hub.source().take(2026, 3)

    assert (report.taken, report.failed, report.processed, sorted(report.failures)) == (2, 2, 4, ["b", "c"])
    found = {letter.reference: letter for letter in hub.letters()}
    assert {reference: letter.origin for reference, letter in found.items()} == {"b": "hub", "c": "hub"}
    assert found["b"].reason == "DataHub hub: file 'b': HTTP 404, there is none"
    assert '"uploaded_at": "2026-03-01T12:00:00+00:00"' in (found["c"].body or "")
    assert hub.counters()["des_datahub_files_total-hub-failed"] == 2


def test_file_given_up_is_left_alone_until_somebody_retries_it(hub: DataHub) -> None:
    hub.add("a")
    hub.server.always["a"] = Fault(500)
    source = hub.source()
    source.take(2026, 3)
    asked = hub.server.asked_for("a")

    assert source.take(2026, 3).processed == 0
    assert source.waiting() == []
    assert hub.server.asked_for("a") == asked

    hub.server.always.clear()
    assert hub.forget("a")
    (month,) = source.waiting()
    assert source.take(month.first.year, month.first.month).taken == 1
    assert source.waiting() == []


def test_month_waits_until_it_was_seen_to_its_end(hub: DataHub) -> None:
    source = hub.source()
    assert source.waiting() == []
    hub.add("a")
    hub.add("b", uploaded_at=NOON - timedelta(days=40))
    before = source.waiting()
    assert [(month.first, month.files) for month in before] == [(date(2026, 1, 1), 1), (date(2026, 3, 1), 1)]

    assert source.take(2026, 3, seconds=0).complete is False
    assert source.waiting() == before
    source.take(2026, 3)
    assert [month.first for month in source.waiting()] == [date(2026, 1, 1)]

    hub.add("c")
    (_, march) = source.waiting()
    assert march.batch not in {month.batch for month in before}


def test_row_that_says_another_size_than_the_file_has_is_not_taken(hub: DataHub) -> None:
    hub.add("a", size=SIZE + 1)

    assert hub.source().take(2026, 3).failed == 1

    (letter,) = hub.letters()
    assert letter.reason == f"DataHub hub: file 'a': the table dh_file announces {SIZE + 1} bytes, {SIZE} came"
    assert hub.landed() == {}


def test_size_that_is_no_number_is_not_compared(hub: DataHub) -> None:
    hub.database.execute("ALTER TABLE fdhdata.dh_file ALTER size_no TYPE numeric")
    hub.add("a", size="NaN")
    hub.add("b", size="1234.5")

    assert hub.source().take(2026, 3).taken == 2


def test_cut_body_leaves_no_object_and_is_mended_by_the_next_attempt(s3_hub: DataHub) -> None:
    large = os.urandom(17 << 20)
    s3_hub.add("large", large)
    s3_hub.server.faults["large"] = [Fault(cut_after=12 << 20)]

    assert s3_hub.source().take(2026, 3).taken == 1
    assert s3_hub.landed() == {"2026-03-01/large-document.bin": large}


@pytest.mark.parametrize("place", ["hub", "s3_hub"])
def test_file_put_by_a_process_that_died_before_its_commit_is_adopted(
    place: str, request: pytest.FixtureRequest
) -> None:
    hub: DataHub = request.getfixturevalue(place)
    content = hub.add("a")
    put = hub.store.put("things/hub/2026-03-01/a-document.bin", content)

    assert hub.source().take(2026, 3).new == 1

    (row,) = inbox_rows(hub).values()
    assert row.etag == put.etag == hub.store.head(row.key).etag


def test_file_that_a_listing_found_first_is_recorded_once(hub: DataHub) -> None:
    content = hub.add("a")
    source = hub.source()
    hub.store.put("things/hub/2026-03-01/a-document.bin", content)
    dataset = hub.platform.dataset
    list_new(hub.platform.catalog, hub.platform.buckets, dataset, [dataset], seconds=10)

    report = source.take(2026, 3)

    assert (report.taken, report.new) == (1, 0)
    assert hub.tally() == {"pending": 1, "done": 0, "dead": 0}
    list_new(hub.platform.catalog, hub.platform.buckets, dataset, [dataset], seconds=10)
    assert hub.tally() == {"pending": 1, "done": 0, "dead": 0}


def test_other_bytes_under_the_key_are_not_replaced(hub: DataHub) -> None:
    hub.add("a")
    hub.store.put("things/hub/2026-03-01/a-document.bin", b"somebody else's")

    assert hub.source().take(2026, 3).failed == 1

    assert hub.landed() == {"2026-03-01/a-document.bin": b"somebody else's"}
    (letter,) = hub.letters()
    assert "holds other bytes" in letter.reason


@pytest.mark.parametrize("place", ["hub", "s3_hub"])
def test_two_that_take_the_same_month_record_each_file_once(place: str, request: pytest.FixtureRequest) -> None:
    hub: DataHub = request.getfixturevalue(place)
    for number in range(30):
        hub.add(f"f{number}")
    sources = [hub.source(batch_size=10), hub.source(batch_size=10)]

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda source: source.take(2026, 3), sources))

    assert sum(report.new for report in reports) == 30
    assert sum(report.failed for report in reports) == 0
    assert hub.tally()["pending"] == 30
    assert hub.letters() == []


def test_no_more_than_the_configured_threads_download_at_once(hub: DataHub) -> None:
    for number in range(12):
        hub.add(f"f{number}", b"x" * 200_000)

    assert hub.source(threads=3).take(2026, 3).taken == 12
    assert hub.server.most_at_once <= 3


def test_progress_is_told_after_each_file(hub: DataHub) -> None:
    for number in range(5):
        hub.add(f"f{number}")
    del hub.server.files["f2"]
    told: list[int] = []

    def progress(report: TakeReport) -> None:
        told.append(report.processed)

    report = hub.source().take(2026, 3, progress=progress)

    assert told[-1] == 5
    assert told == sorted(told)
    numbers = report.statistics()
    assert numbers.pop("processing_time_seconds") > 0
    assert numbers.pop("average_time_per_file") > 0
    assert numbers == {
        "total_files_processed": 5,
        "successful_files": 4,
        "failed_files": 1,
        "known_files": 0,
        "total_size_mb": 0.008,
    }


def test_refused_key_ends_the_run_and_blames_no_file(hub: DataHub) -> None:
    for number in range(20):
        hub.add(f"f{number}")
    hub.server.key = "another"

    with pytest.raises(DataHubAccessDenied):
        hub.source().take(2026, 3)

    assert hub.letters() == []
    assert len(hub.server.requests) < 20
    hub.server.key = "the-key-of-the-tests"
    assert hub.source().take(2026, 3).taken == 20


@pytest.mark.parametrize("fault", [Fault(503), Fault(429)])
def test_datahub_that_serves_nobody_ends_the_run_and_blames_no_file(hub: DataHub, fault: Fault) -> None:
    for number in range(20):
        hub.add(f"f{number}")
        hub.server.always[f"f{number}"] = fault
    if fault.status == 503:
        hub.server.always["health"] = fault

    with pytest.raises(DataHubUnavailable):
        hub.source().take(2026, 3)

    assert hub.letters() == []
    hub.server.always.clear()
    assert hub.source().take(2026, 3).taken == 20


def test_database_that_is_away_is_unavailable_and_its_password_stays_secret(
    hub: DataHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    connection = {
        "type": "postgres",
        "host": "127.0.0.1",
        "port": 1,
        "username": "u",
        "password": "s3cret",
        "database": "d",
    }

    with pytest.raises(SourceUnavailable, match="database of datahub 'hub'") as raised:
        hub.source(connection=connection).take(2026, 3)
    assert "s3cret" not in str(raised.value)


def test_database_without_the_table_says_so(hub: DataHub) -> None:
    hub.database.execute("DROP TABLE fdhdata.dh_file")

    with pytest.raises(ConfigurationError, match="dh_file"):
        hub.source().take(2026, 3)


def test_landing_must_belong_to_a_dataset_that_takes_the_day_from_the_key(hub: DataHub) -> None:
    platform = hub.platform
    with pytest.raises(ConfigurationError, match="belongs to no dataset: known are landing/things/"):
        hub.source(landing={"bucket": "landing", "prefix": "elsewhere/"})

    dataset = platform.dataset.model_copy(update={"day_in_key": False})
    recorder = Recorder(platform.catalog, platform.buckets, [dataset])
    with pytest.raises(ConfigurationError, match="day_in_key"):
        DataHubSource(config_of(hub.server, hub.address), recorder)


def test_month_outside_the_dataset_is_refused_as_a_whole(hub: DataHub) -> None:
    hub.add("a", uploaded_at=NOON - timedelta(days=365))

    with pytest.raises(ConfigurationError, match="2025-03 would land in dataset things, which goes from 2026-01-01"):
        hub.source().take(2025, 3)
    assert hub.letters() == []


def test_interrupted_taking_ends_soon_and_loses_nothing(hub: DataHub) -> None:
    for number in range(8):
        hub.add(f"f{number}")

    def interrupt(report: TakeReport) -> None:
        raise KeyboardInterrupt

    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        hub.source(threads=2).take(2026, 3, progress=interrupt)
    takers = {thread for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name} - before
    wait_until(lambda: not any(thread.is_alive() for thread in takers), 20, "nobody takes files any more")

    done = hub.tally()["pending"]
    assert 0 < done < 8
    assert hub.source().take(2026, 3).taken == 8 - done
    assert hub.tally()["pending"] == 8


KILLED = """
import sys
from des_platform.catalog.database import Catalog
from des_platform.objectstore import Buckets
from des_platform.settings import load_settings
from des_platform.sources.datahub.config import DataHubConfig
from des_platform.sources.datahub.source import DataHubSource
from des_platform.sources.recording import Recorder
from des_platform_tests.platform import DATASET

settings = load_settings()
with Catalog.open(settings) as catalog:
    recorder = Recorder(catalog, Buckets(settings), [DATASET])
    source = DataHubSource(DataHubConfig.model_validate_json(sys.argv[1]), recorder)
    source.take(2026, 3, progress=lambda report: print(report.taken, flush=True))
"""


def test_process_killed_again_and_again_takes_every_file_once(hub: DataHub) -> None:
    for number in range(40):
        hub.add(f"f{number}", os.urandom(100_000))
    hub.source()
    config = config_of(hub.server, hub.address).model_dump(mode="json", by_alias=True)
    config["api_key"] = hub.server.key
    config["connection"]["password"] = hub.address.password
    argument = json.dumps(config, default=str)

    for kill_after in (1, 3, 6, 2):
        with subprocess.Popen([sys.executable, "-c", KILLED, argument], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(kill_after):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
    hub.source().take(2026, 3)

    assert hub.tally() == {"pending": 40, "done": 0, "dead": 0}
    assert sorted(hub.landed().values()) == sorted(hub.server.files.values())
    assert hub.platform.take_in().files == 40
    assert hub.letters() == []
