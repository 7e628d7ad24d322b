"""The sensors that fill the inbox: the queue's and the listing's."""

from __future__ import annotations

import json
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import dagster as dg
import pytest

from des_platform.catalog import dead_letters, inbox, metrics
from des_platform.defs.resources import PlatformResource
from des_platform.defs.sources import sensors
from des_platform.settings import ConfigurationError
from des_platform.sources.source import SourceUnavailable
from des_platform_tests.defs.daemon import TABLED, Daemon
from des_platform_tests.platform import DAY, LANDING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform_tests.platform import Platform

OTHER = TABLED.model_copy(update={"name": "others", "prefix": "others/", "table": None})


@pytest.fixture
def queue(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty queue that the settings name."""
    sqs: Any = boto3.client("sqs", endpoint_url=moto_endpoint, region_name="us-east-1")
    url = sqs.create_queue(QueueName="arrivals")["QueueUrl"]
    monkeypatch.setenv("DES_QUEUE_URL", url)
    monkeypatch.setenv("DES_QUEUE_ENDPOINT", moto_endpoint)
    monkeypatch.setenv("DES_QUEUE_WAIT_SECONDS", "0")

    def left() -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(value) for value in found.values())

    return SimpleNamespace(url=url, send=lambda body: sqs.send_message(QueueUrl=url, MessageBody=body), left=left)


def announcement(platform: Platform, key: str) -> str:
    """What S3 sends about an object."""
    info = platform.buckets.bucket(LANDING).head(key)
    stored = {"key": key, "size": info.size, "eTag": info.etag}
    return json.dumps(
        {
            "Records": [
                {
                    "eventName": "ObjectCreated:Put",
                    "eventTime": "2026-03-01T12:00:00.000Z",
                    "s3": {"bucket": {"name": LANDING}, "object": stored},
                }
            ]
        }
    )


def pending(platform: Platform, dataset: str = "things") -> int:
    with platform.catalog.begin() as connection:
        return inbox.tally(connection, dataset)["pending"]


def test_queue_sensor_drains_the_queue_into_the_inbox(platform: Platform, queue: Any, daemon: Daemon) -> None:
    keys = [platform.put(f"{number}.csv", b"id,name\n") for number in range(12)]
    for key in keys:
        queue.send(announcement(platform, key))
    queue.send(announcement(platform, keys[0]))
    queue.send("not even JSON")
    queue.send(announcement(platform, keys[1]).replace("ObjectCreated:Put", "ObjectRemoved:Delete"))

    said = daemon.said("files_queue_sensor")

    assert said.startswith("15 messages: 12 new files, 1 known, 1 deletions, 1 dead letters in ")
    assert said.endswith("15 messages so far.")
    assert pending(platform) == 12
    assert queue.left() == 0
    with platform.catalog.begin() as connection:
        assert [letter.body for letter in dead_letters.newest(connection)] == ["not even JSON"]


def test_queue_sensor_counts_on_and_starts_no_runs(platform: Platform, queue: Any, daemon: Daemon) -> None:
    for name in ("a.csv", "b.csv"):
        queue.send(announcement(platform, platform.put(name, b"id,name\n")))
        said = daemon.said("files_queue_sensor")

    assert said.startswith("1 messages: 1 new files")
    assert said.endswith("2 messages so far.")
    assert daemon.instance.get_runs_count() == 0


def test_file_of_no_dataset_is_a_dead_letter_that_says_what_to_add(
    platform: Platform, queue: Any, daemon: Daemon
) -> None:
    platform.buckets.bucket(LANDING).put("unheard/of.csv", b"x")
    queue.send(announcement(platform, "unheard/of.csv"))

    assert "1 dead letters" in daemon.said("files_queue_sensor")
    with platform.catalog.begin() as connection:
        (letter,) = dead_letters.newest(connection)
    assert letter.subject == "landing/unheard/of.csv"
    assert "landing/things/*" in letter.reason


def test_what_the_queue_announced_is_not_new_to_the_listing(platform: Platform, queue: Any, daemon: Daemon) -> None:
    queue.send(announcement(platform, platform.put("a.csv", b"id,name\n")))
    platform.put("b.csv", b"id,name\n")
    daemon.said("files_queue_sensor")

    assert daemon.said("listing_sensor") == "2 objects listed: 1 had not been announced, 0 dead letters."
    assert pending(platform) == 2


def test_listing_sensor_rests_after_a_round_and_then_lists_again(
    platform: Platform, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000_000.0
    monkeypatch.setattr(sensors, "time", SimpleNamespace(time=lambda: now))
    platform.put("a.csv", b"id,name\n")
    assert daemon.said("listing_sensor") == "1 objects listed: 1 had not been announced, 0 dead letters."
    platform.put("b.csv", b"id,name\n")

    now += platform.settings.listing_seconds - 1
    assert daemon.said("listing_sensor") == "Everything is listed; again in 1 s."
    now += 2
    assert daemon.said("listing_sensor") == "2 objects listed: 1 had not been announced, 0 dead letters."


def test_listing_sensor_resumes_where_its_time_ran_out(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DES_DRAIN_SECONDS", "0.000001")
    monkeypatch.setattr("des_platform.sources.listing._PAGE", 2)
    for number in range(5):
        platform.put(f"{number}.csv", b"id,name\n")
    platform.buckets.bucket(LANDING).put(f"others/{DAY}/x", b"x")
    with closing(Daemon(TABLED, OTHER)) as daemon:
        said = [daemon.said("listing_sensor").split(":")[0] for _ in range(4)]

    assert said[:3] == ["3 objects listed", "2 objects listed", "1 objects listed"]
    assert said[3].startswith("Everything is listed")
    assert (pending(platform), pending(platform, "others")) == (5, 1)


def test_file_whose_key_names_no_day_is_one_dead_letter_however_often_it_is_listed(
    platform: Platform, daemon: Daemon
) -> None:
    platform.buckets.bucket(LANDING).put("things/someday.csv", b"x")
    for _ in range(2):
        daemon.cursors.clear()
        assert "1 dead letters" in daemon.said("listing_sensor")

    with platform.catalog.begin() as connection:
        (letter,) = dead_letters.newest(connection)
    assert letter.attempts == 2


def test_bucket_that_is_missing_does_not_keep_others_from_being_listed(s3_platform: Platform) -> None:
    nowhere = OTHER.model_copy(update={"name": "nowhere", "bucket": "no-such-bucket"})
    s3_platform.put("a.csv", b"id,name\n")
    with closing(Daemon(nowhere, TABLED)) as daemon:
        said = daemon.said("listing_sensor")

    assert pending(s3_platform) == 1
    assert "1 objects listed: 1 had not been announced" in said
    assert "nowhere" in said
    assert "no-such-bucket" in said


def test_dataset_that_is_unfinished_and_no_longer_there_is_forgotten(platform: Platform, daemon: Daemon) -> None:
    platform.put("a.csv", b"id,name\n")
    daemon.cursors["listing_sensor"] = json.dumps({"unfinished": {"removed": "removed/key"}, "ended": 0.0})

    assert daemon.said("listing_sensor").startswith("0 objects listed")
    assert json.loads(daemon.cursors["listing_sensor"] or "")["unfinished"] == {}


@pytest.mark.parametrize("name", ["files_queue_sensor", "listing_sensor"])
def test_sensor_without_its_code_location_says_so(platform: Platform, queue: Any, daemon: Daemon, name: str) -> None:
    context = dg.build_sensor_context(resources={"platform": PlatformResource()})
    with context, pytest.raises(RuntimeError, match="needs its code location"):
        daemon.repository.get_sensor_def(name)(context)


@pytest.fixture(params=["files_queue_sensor", "listing_sensor", "things_catalog_sensor"])
def each_sensor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("DES_STORE_URL", "garbage", "expected 's3://' or 'file:///FOLDER'"),
        ("DES_DRAIN_SECONDS", "soon", "valid number"),
        ("DES_PG_PORT", "1", "cannot be reached"),
    ],
)
@pytest.mark.usefixtures("queue")
def test_wrong_setting_fails_the_tick_and_is_named(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, each_sensor: str, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(Exception) as raised:  # noqa: PT011 - Dagster wraps what its resources raise
        daemon.tick(each_sensor)

    (cause,) = (error for error in causes(raised.value) if isinstance(error, ConfigurationError))
    assert variable in str(cause)
    assert said in str(cause)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def test_a_tick_shows_on_the_sources_asset_what_it_took_and_what_is_left(
    platform: Platform, queue: Any, daemon: Daemon
) -> None:
    queue.send(announcement(platform, platform.put("a.csv", b"id,name\n")))

    taken = daemon.tick("files_queue_sensor")
    idle = daemon.tick("files_queue_sensor")

    source, inbox_seen = taken.asset_events
    assert source.asset_key == dg.AssetKey(["sources", "files"])
    shown = {name: value.value for name, value in source.metadata.items()}
    assert {name: shown[name] for name in ("received", "new_files", "known_files", "dead_letters")} == {
        "received": 1,
        "new_files": 1,
        "known_files": 0,
        "dead_letters": 0,
    }
    assert (shown["waiting_before"], shown["waiting_after"], shown["in_flight_after"]) == (1, 0, 0)
    assert inbox_seen.asset_key == dg.AssetKey("inbox")
    assert inbox_seen.metadata["pending"].value == 1
    assert idle.asset_events == []


def test_a_tick_counts_for_prometheus(platform: Platform, queue: Any, daemon: Daemon) -> None:
    queue.send("rubbish")
    daemon.tick("files_queue_sensor")
    with platform.catalog.begin() as connection:
        counted = {sample.metric: sample.value for sample in metrics.samples(connection)}
    assert counted["des_ingest_messages_total"] == 1
    assert counted["des_ingest_dead_letters_total"] == 1
    assert counted["des_ingest_drain_duration_seconds_count"] == 1


def test_a_queue_that_is_gone_fails_the_tick_and_says_so(
    platform: Platform, queue: Any, daemon: Daemon, moto_endpoint: str
) -> None:
    sqs: Any = boto3.client("sqs", endpoint_url=moto_endpoint, region_name="us-east-1")
    sqs.delete_queue(QueueUrl=queue.url)
    with pytest.raises(SourceUnavailable, match="the queue files cannot be reached"):
        daemon.tick("files_queue_sensor")
