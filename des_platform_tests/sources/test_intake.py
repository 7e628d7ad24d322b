from __future__ import annotations

import hashlib
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from des_platform.catalog import inbox, partitions
from des_platform.catalog.inbox import InboxEntry
from des_platform.catalog.nodes import LeasedNode, NodeLost
from des_platform.catalog.tables import naming_nodes
from des_platform.naming import parse_name, shard_of, snowflake
from des_platform.objectstore import Digest, StoreUnavailable
from des_platform.objectstore.store import ObjectStore
from des_platform.sources import intake
from des_platform.sources.manifest import listed_names
from des_platform_tests.platform import DAY, LANDING
from des_platform_tests.sources.support import letters, pending, tally

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from des_platform.catalog.partitions import Manifest
    from des_platform_tests.platform import Platform


@pytest.fixture
def two_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_BATCH", 2)


def manifest(platform: Platform) -> Manifest:
    with platform.catalog.begin() as connection:
        found = partitions.manifest_of(connection, platform.dataset.name, DAY)
    assert found is not None
    return found


def claim_size(platform: Platform, name: str, claimed: int | None) -> None:
    """Record a file that is there with a size that its announcer made up."""
    key = f"things/{DAY}/{name}"
    info = platform.buckets.bucket(LANDING).head(key)
    with platform.catalog.begin() as connection:
        partitions.register_datasets(connection, [platform.dataset])
        inbox.record(connection, [InboxEntry("things", DAY, LANDING, key, info.etag, claimed, "s3")])


def break_files(monkeypatch: pytest.MonkeyPatch, broken: Callable[[str], bool]) -> None:
    """Make the store fail at some keys."""
    digest = ObjectStore.digest

    def failing(store: ObjectStore, key: str, **options: Any) -> Digest:
        if broken(key):
            raise StoreUnavailable(f"503 at {key}")
        return digest(store, key, **options)

    monkeypatch.setattr(ObjectStore, "digest", failing)


def test_files_are_catalogued_with_what_they_are(any_platform: Platform) -> None:
    contents = {"empty": b"", "small": b"a", "two chunks": b"x" * (9 << 20)}
    for name, content in contents.items():
        any_platform.put(name, content)
    any_platform.find()

    report = any_platform.take_in()

    assert (report.files, report.bytes) == (3, sum(map(len, contents.values())))
    assert (report.dead, report.postponed) == (0, 0)
    rows = any_platform.rows()
    assert {name: row.size for name, row in rows.items()} == {name: len(content) for name, content in contents.items()}
    assert {name: row.sha256 for name, row in rows.items()} == {
        name: hashlib.sha256(content).hexdigest() for name, content in contents.items()
    }
    for row in rows.values():
        assert parse_name(row.name).day == DAY
        assert row.name.startswith("DES_")
        assert row.shard == shard_of(row.name, any_platform.dataset.shard_bits)
        assert row.state == "catalogued"
    assert len({row.name for row in rows.values()}) == 3
    assert tally(any_platform) == {"pending": 0, "done": 3, "dead": 0}
    assert letters(any_platform) == []


def test_the_manifest_lists_exactly_the_catalogued_files(any_platform: Platform) -> None:
    for name in ("a", "b", "c"):
        any_platform.put(name, name.encode() * 10)
    any_platform.find()
    any_platform.take_in()

    listed = manifest(any_platform)

    rows = any_platform.rows().values()
    own = any_platform.buckets.own
    assert (listed.files, listed.bytes) == (3, 30)
    assert listed_names(own, listed) == {row.name for row in rows}
    table = pq.read_table(io.BytesIO(own.get(listed.key, max_bytes=1 << 20)))
    columns = ("name", "bucket", "key", "etag", "sha256", "size", "shard")
    assert table.to_pylist() == [
        {column: getattr(row, column) for column in columns} for row in sorted(rows, key=lambda row: row.name)
    ]
    assert list(Path(any_platform.scratch).iterdir()) == []


def test_running_again_changes_nothing(platform: Platform) -> None:
    platform.put("a", b"content")
    platform.find()
    platform.take_in()
    rows, listed = platform.rows(), manifest(platform)

    report = platform.take_in()

    assert (report.files, report.bytes, report.dead, report.postponed) == (0, 0, 0, 0)
    assert platform.rows() == rows
    assert manifest(platform) == listed
    assert [info.key for info in platform.buckets.own.list("manifests/")] == [listed.key]


def test_a_day_without_files_has_an_empty_manifest(platform: Platform) -> None:
    platform.find()

    assert platform.take_in().files == 0

    listed = manifest(platform)
    assert (listed.files, listed.bytes) == (0, 0)
    assert listed_names(platform.buckets.own, listed) == set()


def test_late_files_make_a_new_manifest_and_leave_the_old_one_to_its_readers(platform: Platform) -> None:
    platform.put("early", b"content")
    platform.find()
    platform.take_in()
    old, before = manifest(platform), platform.rows()["early"]
    platform.put("late", b"content")
    platform.find()
    platform.take_in()

    new, rows = manifest(platform), platform.rows()

    assert rows["early"] == before
    assert listed_names(platform.buckets.own, old) == {before.name}
    assert listed_names(platform.buckets.own, new) == {before.name, rows["late"].name}


def test_other_days_are_left_alone(platform: Platform) -> None:
    platform.put("a", b"content")
    platform.put("b", b"content", day=DAY.replace(day=2))
    platform.find()

    assert platform.take_in().files == 1

    assert tally(platform)["pending"] == 1
    assert set(platform.rows()) == {"a"}


def test_a_file_that_vanished_is_a_dead_letter(any_platform: Platform) -> None:
    gone = any_platform.put("gone", b"content")
    any_platform.put("here", b"content")
    any_platform.find()
    any_platform.buckets.bucket(LANDING).delete(gone)

    report = any_platform.take_in()

    assert (report.files, report.dead) == (1, 1)
    assert set(any_platform.rows()) == {"here"}
    (letter,) = letters(any_platform)
    assert (letter.stage, letter.dataset, letter.subject) == ("raw_files", "things", f"{LANDING}/{gone}")
    assert "vanished" in letter.reason
    assert manifest(any_platform).files == 1


def test_of_a_file_that_was_replaced_the_version_that_is_there_is_catalogued(any_platform: Platform) -> None:
    any_platform.put("a", b"first")
    any_platform.find()
    any_platform.put("a", b"second version")

    assert any_platform.take_in().dead == 1
    assert any_platform.rows() == {}
    assert "replaced" in letters(any_platform)[0].reason
    assert any_platform.find() == 1
    assert any_platform.take_in().files == 1

    assert any_platform.rows()["a"].sha256 == hashlib.sha256(b"second version").hexdigest()


@pytest.mark.parametrize("claimed", [10_000_000_000, 0])
def test_a_file_that_was_announced_with_another_size_is_catalogued_as_it_is(platform: Platform, claimed: int) -> None:
    platform.put("liar", b"7 bytes")
    claim_size(platform, "liar", claimed)

    report = platform.take_in()

    assert (report.files, report.bytes) == (1, 7)
    assert platform.rows()["liar"].size == 7
    (letter,) = letters(platform)
    assert f"{claimed} bytes" in letter.reason
    assert "holds 7" in letter.reason
    assert tally(platform) == {"pending": 0, "done": 1, "dead": 0}


def test_a_file_that_was_announced_without_a_size_is_catalogued(platform: Platform) -> None:
    platform.put("silent", b"7 bytes")
    claim_size(platform, "silent", None)

    assert platform.take_in().files == 1
    assert letters(platform) == []


def test_a_store_out_of_reach_stops_the_run_and_no_file_is_blamed(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.put("a", b"content")
    platform.put("b", b"content")
    platform.find()

    def unavailable(_store: ObjectStore, *_arguments: Any, **_options: Any) -> None:
        raise StoreUnavailable("no route to host")

    with monkeypatch.context() as patch:
        for verb in ("digest", "head", "list"):
            patch.setattr(ObjectStore, verb, unavailable)
        for _ in range(inbox.MAX_ATTEMPTS + 1):
            with pytest.raises(StoreUnavailable):
                platform.take_in()

    assert letters(platform) == []
    assert tally(platform) == {"pending": 2, "done": 0, "dead": 0}
    assert platform.take_in().files == 2


def test_a_bucket_that_vanished_stops_the_run_and_no_file_is_blamed(s3_platform: Platform, s3_client: Any) -> None:
    key = s3_platform.put("a", b"content")
    s3_platform.find()
    s3_client.delete_object(Bucket=LANDING, Key=key)
    s3_client.delete_bucket(Bucket=LANDING)

    for _ in range(inbox.MAX_ATTEMPTS + 1):
        with pytest.raises(StoreUnavailable, match="bucket does not exist"):
            s3_platform.take_in()

    assert tally(s3_platform) == {"pending": 1, "done": 0, "dead": 0}
    assert letters(s3_platform) == []


def test_one_file_that_cannot_be_read_is_postponed_and_then_given_up(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "broken", "c"):
        platform.put(name, b"content")
    platform.find()
    break_files(monkeypatch, lambda key: key.endswith("broken"))

    reports = [platform.take_in() for _ in range(inbox.MAX_ATTEMPTS)]

    assert [(report.files, report.postponed, report.dead) for report in reports] == [(2, 1, 0), (0, 1, 0), (0, 0, 1)]
    assert set(platform.rows()) == {"a", "c"}
    assert tally(platform) == {"pending": 0, "done": 2, "dead": 1}
    (letter,) = letters(platform)
    assert letter.subject.endswith("/broken")
    assert "503" in letter.reason
    assert manifest(platform).files == 2


def test_a_file_that_can_be_read_again_is_catalogued(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.put("a", b"content")
    platform.find()
    with monkeypatch.context() as patch:
        break_files(patch, lambda _key: True)
        assert platform.take_in().postponed == 1

    assert platform.take_in().files == 1
    assert letters(platform) == []


@pytest.mark.usefixtures("two_a_batch")
def test_a_run_that_is_killed_loses_its_batch_alone_and_a_later_run_completes(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"file-{number}" for number in range(5)]
    for name in names:
        platform.put(name, b"content")
    platform.find()
    settle = inbox.settle
    batches = iter(range(10))

    def dying(*arguments: Any) -> None:
        settle(*arguments)
        if next(batches) == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(inbox, "settle", dying)
        with pytest.raises(KeyboardInterrupt):
            platform.take_in()
    assert pending(platform) == names[2:]
    done = platform.rows()
    assert sorted(done) == names[:2]

    assert platform.take_in().files == 3

    rows = platform.rows()
    assert sorted(rows) == names
    assert done.items() <= rows.items()
    assert listed_names(platform.buckets.own, manifest(platform)) == {row.name for row in rows.values()}


@pytest.mark.usefixtures("two_a_batch")
def test_a_manifest_that_cannot_be_written_undoes_its_batch(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.put("a", b"content")
    platform.find()

    def refusing(_store: ObjectStore, key: str, _path: Path) -> None:
        raise StoreUnavailable(key)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "put_file", refusing)
        with pytest.raises(StoreUnavailable):
            platform.take_in()
    assert pending(platform) == ["a"]
    assert platform.rows() == {}

    assert platform.take_in().files == 1
    assert manifest(platform).files == 1


@pytest.mark.usefixtures("two_a_batch")
def test_runs_at_once_catalogue_each_file_once_and_the_manifest_lists_all(platform: Platform) -> None:
    names = [f"file-{number:02d}" for number in range(20)]
    for name in names:
        platform.put(name, b"content")
    platform.find()
    barrier = threading.Barrier(3, timeout=30)

    def work(_number: int) -> int:
        barrier.wait()
        return platform.take_in().files

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(work, range(3))) == 20

    rows = platform.rows()
    assert sorted(rows) == names
    assert len({row.name for row in rows.values()}) == 20
    assert listed_names(platform.buckets.own, manifest(platform)) == {row.name for row in rows.values()}


def test_files_that_another_run_has_in_hand_are_left_to_it(platform: Platform) -> None:
    for name in ("a", "b"):
        platform.put(name, b"content")
    platform.find()

    with ThreadPoolExecutor(1) as pool, platform.catalog.begin() as other:
        inbox.claim(other, "things", DAY, after=0, limit=9)
        report = pool.submit(platform.take_in).result(timeout=30)

    assert (report.files, report.dead, report.postponed) == (0, 0, 0)
    assert platform.take_in().files == 2


GIVEN = "SRC_20260301_(BF785FEA0100_81)"


def announce_named(platform: Platform, names: dict[str, str | None], day: date = DAY) -> None:
    """Record files that are there with the names that their source has given them."""
    entries = []
    for file, name in names.items():
        key = platform.put(file, file.encode(), day)
        etag = platform.buckets.bucket(LANDING).head(key).etag
        entries.append(InboxEntry("things", day, LANDING, key, etag, None, "orders", name=name))
    with platform.catalog.begin() as connection:
        partitions.register_datasets(connection, [platform.dataset])
        inbox.record(connection, entries)


def test_a_name_that_the_source_has_given_is_kept(platform: Platform) -> None:
    announce_named(platform, {"named": GIVEN, "nameless": None})

    assert platform.take_in().files == 2

    rows = platform.rows()
    assert rows["named"].name == GIVEN
    assert rows["named"].shard == shard_of(GIVEN, platform.dataset.shard_bits)
    assert parse_name(rows["nameless"].name).prefix == "DES"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("SRC_20260301_(BF785FEA0100_82)", "checksum 82"),
        ("../../etc/passwd", "not a snowflake name"),
        ("", "not a snowflake name"),
        ("SRC_20260301_(BF785FEA0100_81)\0", "not a snowflake name"),
        ("\udcff", "not a snowflake name"),
        ("x" * 100_000, "not a snowflake name"),
    ],
)
def test_a_given_name_that_is_none_is_a_dead_letter_and_stops_nobody(
    platform: Platform, name: str, reason: str
) -> None:
    announce_named(platform, {"bad": name, "good": GIVEN})

    report = platform.take_in()

    assert (report.files, report.dead) == (1, 1)
    assert list(platform.rows()) == ["good"]
    letter = letters(platform)[0]
    assert letter.subject == f"{LANDING}/things/{DAY}/bad"
    assert reason in letter.reason
    assert letter.seq is not None
    assert tally(platform) == {"pending": 0, "done": 1, "dead": 1}


def test_of_files_with_one_given_name_the_first_keeps_it(platform: Platform) -> None:
    announce_named(platform, {"a": GIVEN, "b": GIVEN})
    platform.take_in()
    announce_named(platform, {"c": GIVEN})
    report = platform.take_in()

    assert (report.files, report.dead) == (0, 1)
    assert [row.key[-1] for row in platform.rows().values()] == ["a"]
    assert all("another file bears that name" in letter.reason for letter in letters(platform))
    assert tally(platform) == {"pending": 0, "done": 1, "dead": 2}


def test_two_partitions_at_once_that_are_given_one_name_do_not_fail(platform: Platform) -> None:
    days = [DAY + timedelta(days=number) for number in range(4)]
    for day in days:
        announce_named(platform, {"a": GIVEN, "b": None}, day)

    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(platform.take_in, days))

    assert sum(report.files for report in reports) == 5
    assert sum(report.dead for report in reports) == 3


def test_a_name_that_a_file_has_borne_since_the_milliseconds_last_wrapped_is_not_minted_again(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_800_000_000_000
    monkeypatch.setattr(snowflake.NameMinter.__init__, "__kwdefaults__", {"clock_ms": lambda: now, "reserve": None})
    for file in ("a", "b", "c"):
        platform.put(file, b"content")
    platform.find()
    platform.take_in()
    before = platform.rows()
    with platform.catalog.begin() as connection:
        connection.execute(naming_nodes.delete())  # the next holder of node 0 begins where its clock stands
    now += 1 << 32
    for file in ("d", "e"):
        platform.put(file, b"late")
    announce_named(platform, {"f": None})
    platform.find()

    assert platform.take_in().files == 3

    rows = platform.rows()
    assert len({row.name for row in rows.values()}) == 6
    late = {parse_name(row.name).value for name, row in rows.items() if name in {"d", "e", "f"}}
    first = max(parse_name(row.name).value for row in before.values())
    assert late == {first + 1, first + 2, first + 3}


def test_a_run_whose_naming_node_is_lost_leaves_its_files_pending(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.put("a", b"content")
    platform.find()
    monkeypatch.setattr(LeasedNode, "_move_mark", lambda _self, _from_ms: None)

    with pytest.raises(NodeLost):
        platform.take_in()

    assert tally(platform) == {"pending": 1, "done": 0, "dead": 0}
