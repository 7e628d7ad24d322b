"""The clean-up of originals: what goes, what never does, and that nothing is lost whatever happens meanwhile."""

from __future__ import annotations

import threading
from dataclasses import fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from des_platform.catalog import cleanups, containers, copies, dead_letters, inbox, partitions, removals
from des_platform.catalog.files import FileRow
from des_platform.catalog.removals import Removal
from des_platform.catalog.tables import cleanups as cleanups_table
from des_platform.catalog.tables import files as files_table
from des_platform.compression.cleanup.audit import find_copies, read_copies
from des_platform.compression.cleanup.removal import RemovalReport, objection, remove_due, strictest
from des_platform.compression.verify import prove_objects
from des_platform.files.reader import FileReader
from des_platform.objectstore import ObjectStore, StoreUnavailable
from des_platform.packing.verify import prove_shard
from des_platform.sources.listing import list_new
from des_platform_tests.damage import flip, noise, path_of, remove_bucket
from des_platform_tests.platform import DATASET, DAY, LANDING, noon

if TYPE_CHECKING:
    from collections.abc import Callable

    from des_platform.catalog.cleanups import Cleanup
    from des_platform.catalog.dataset import Dataset
    from des_platform_tests.platform import Platform

AT_ONCE = DATASET.model_copy(update={"originals": "after-verify"})
LATER = DATASET.model_copy(update={"originals": "after 30 days"})
LARGE = b"".join(b"%d,%d,some text\n" % (number, number * number) for number in range(3000))
CONTENTS = {
    "empty": b"",
    "small.txt": b"a" * 500,
    "small.bin": noise(1, 300),
    "large.txt": LARGE,
    "other.txt": LARGE[::-1],
    "kept.bin": noise(2, 5000),
}
GO = set(CONTENTS) - {"kept.bin"}


@pytest.fixture
def packed(platform: Platform) -> Platform:
    return arrived(platform)


@pytest.fixture
def any_packed(any_platform: Platform) -> Platform:
    return arrived(any_platform)


def arrived(platform: Platform, contents: dict[str, bytes] = CONTENTS, dataset: Dataset = AT_ONCE) -> Platform:
    """Files that are packed, of a dataset whose originals go as soon as that is proven."""
    platform.dataset = dataset
    for name, content in contents.items():
        platform.put(name, content)
    platform.run_all()
    return platform


def clean_up(platform: Platform) -> RemovalReport:
    return remove_due(platform.catalog, platform.buckets, platform.dataset, DAY, threads=4)


def originals(platform: Platform) -> set[str]:
    return {info.key.rsplit("/", 1)[1] for info in platform.buckets.bucket(LANDING).list("things/")}


def plans(platform: Platform) -> dict[str, Cleanup]:
    with platform.catalog.begin() as connection:
        found = cleanups.of_day(connection, platform.dataset.name, DAY, 1000)
    return {cleanup.key.rsplit("/", 1)[1]: cleanup for cleanup in found}


def states(platform: Platform) -> dict[str, str]:
    return {name: cleanup.state for name, cleanup in plans(platform).items()}


def removed(platform: Platform) -> set[str]:
    """Files that the catalogue knows to have no original any more."""
    with platform.catalog.begin() as connection:
        return {
            row.key.rsplit("/", 1)[1] for row in copies.without_original(connection, platform.dataset.name, DAY, 1000)
        }


def contents_of(platform: Platform) -> dict[str, bytes]:
    reader = FileReader(platform.catalog, platform.buckets)
    return {name: reader.read(row) for name, row in platform.rows().items()}


def register(platform: Platform, *datasets: Dataset) -> None:
    with platform.catalog.begin() as connection:
        partitions.register_datasets(connection, datasets)


def set_files(platform: Platform, name: str, **values: object) -> None:
    with platform.catalog.begin() as connection:
        found = files_table.c.key.endswith(f"/{name}")
        connection.execute(sa.update(files_table).where(found).values(values))


def test_originals_with_a_proven_copy_go_and_every_file_stays(any_packed: Platform) -> None:
    report = clean_up(any_packed)

    assert originals(any_packed) == {"kept.bin"}
    assert states(any_packed) == dict.fromkeys(GO, "removed")
    assert removed(any_packed) == GO
    assert (report.removed, report.refused) == (len(GO), 0)
    assert report.bytes == sum(len(CONTENTS[name]) for name in GO)
    assert contents_of(any_packed) == CONTENTS

    before = plans(any_packed)
    assert clean_up(any_packed) == RemovalReport()
    assert plans(any_packed) == before


def test_members_of_archives_of_version_1_go_too(platform: Platform) -> None:
    arrived(platform, dataset=AT_ONCE.model_copy(update={"archive_version": 1}))
    clean_up(platform)
    assert originals(platform) == {"kept.bin"}
    assert contents_of(platform) == CONTENTS


def test_nothing_is_planned_before_it_is_packed_or_by_default(platform: Platform) -> None:
    platform.dataset = AT_ONCE
    for name, content in CONTENTS.items():
        platform.put(name, content)
    platform.find()
    platform.take_in()
    platform.compress()
    assert clean_up(platform) == RemovalReport()
    platform.dataset = DATASET
    platform.run_all()
    assert clean_up(platform) == RemovalReport()
    assert originals(platform) == set(CONTENTS)
    assert plans(platform) == {}


def test_originals_wait_for_as_many_days_as_the_policy_says(platform: Platform) -> None:
    arrived(platform, dataset=LATER)
    assert clean_up(platform) == RemovalReport()
    assert states(platform) == dict.fromkeys(GO, "planned")
    with platform.catalog.begin() as connection:
        rows = connection.execute(sa.select(files_table)).mappings().all()
    proven = {row["name"]: row["updated_at"] for row in rows}
    assert {plan.due_at - proven[plan.name] for plan in plans(platform).values()} == {timedelta(days=30)}

    platform.dataset = DATASET.model_copy(update={"originals": "after 90 days"})
    register(platform, platform.dataset)
    clean_up(platform)
    assert {plan.due_at - proven[plan.name] for plan in plans(platform).values()} == {timedelta(days=90)}

    with platform.catalog.begin() as connection:
        long_ago = files_table.c.updated_at - timedelta(days=91)
        connection.execute(sa.update(files_table).values(updated_at=long_ago))
    assert clean_up(platform).removed == len(GO)
    assert contents_of(platform) == CONTENTS


def test_everything_can_be_made_again_once_the_originals_are_gone(packed: Platform) -> None:
    clean_up(packed)
    packed.put("late.txt", b"late " * 50)
    packed.put("late_large.txt", LARGE * 2)
    packed.run_all()

    everything = CONTENTS | {"late.txt": b"late " * 50, "late_large.txt": LARGE * 2}
    assert contents_of(packed) == everything
    assert {row.state for row in packed.rows().values()} == {"packed"}
    name = packed.dataset.name
    assert not prove_objects(packed.catalog, packed.reader, name, DAY, threads=2).problems
    for shard in range(packed.dataset.shards):
        assert not prove_shard(packed.catalog, packed.reader, name, DAY, shard).problems
    clean_up(packed)
    assert originals(packed) == {"kept.bin"}
    assert contents_of(packed) == everything


def test_a_removed_file_is_not_found_again_and_its_removal_event_does_no_harm(packed: Platform) -> None:
    rows = packed.rows()
    clean_up(packed)
    with packed.catalog.begin() as connection:
        events = [Removal(LANDING, row.key, noon(), "queue") for row in rows.values()]
        assert removals.record(connection, events) == len(rows)
    found = list_new(packed.catalog, packed.buckets, packed.dataset, [packed.dataset], seconds=30)
    assert (found.seen, found.new, found.dead) == (1, 0, 0)
    packed.run_all()
    with packed.catalog.begin() as connection:
        assert dead_letters.count(connection) == 0
        assert inbox.tally(connection)["done"] == len(rows)
    assert packed.rows() == rows
    assert contents_of(packed) == CONTENTS


def test_a_new_object_under_a_removed_key_is_a_new_file(packed: Platform) -> None:
    before = packed.rows()["small.txt"]
    clean_up(packed)
    packed.put("small.txt", b"something new")
    packed.run_all()
    after = packed.rows()["small.txt"]
    assert after.name != before.name
    assert packed.reader.read(after) == b"something new"
    assert packed.reader.read(before) == CONTENTS["small.txt"]
    assert clean_up(packed).removed == 1
    assert packed.reader.read(after) == b"something new"


def test_an_original_that_was_replaced_is_never_deleted(s3_platform: Platform) -> None:
    arrived(s3_platform)
    landing = s3_platform.buckets.bucket(LANDING)
    rows = s3_platform.rows()
    for name in ("small.txt", "large.txt"):
        landing.put(rows[name].key, b"another file, not catalogued yet")
    clean_up(s3_platform)
    assert originals(s3_platform) == {"kept.bin", "small.txt", "large.txt"}
    for name in ("small.txt", "large.txt"):
        plan = plans(s3_platform)[name]
        assert plan.state == "refused"
        assert "another object stands in its place" in (plan.reason or "")
        assert landing.get(rows[name].key, max_bytes=100) == b"another file, not catalogued yet"


@pytest.mark.parametrize(
    ("name", "damage"),
    [("small.bin", "flipped"), ("small.bin", "gone"), ("large.txt", "flipped"), ("large.txt", "gone")],
)
def test_an_original_whose_copy_is_damaged_stays_and_is_told_of(packed: Platform, name: str, damage: str) -> None:
    own = packed.buckets.own
    row = packed.rows()[name]
    path = path_of(own, row.object_key or archive_of(packed, name))
    if damage == "gone":
        path.unlink()
    else:
        flip(path, path.stat().st_size // 2 if row.object_key else path.read_bytes().index(CONTENTS[name]))
    report = clean_up(packed)
    assert report.refused >= 1
    plan = plans(packed)[name]
    assert plan.state == "refused"
    assert "its copy is not proven" in (plan.reason or "")
    assert name in originals(packed)
    with packed.catalog.begin() as connection:
        letters = dead_letters.newest(connection, stage="originals_removed")
    assert row.subject in {letter.subject for letter in letters}
    # Whatever shares the archive stays too; all the others go.
    together = {other for other, found in packed.rows().items() if found.container_id == row.container_id}
    stay = {name} if row.object_key else together
    assert originals(packed) == stay | {"kept.bin"}


def test_a_file_whose_archive_names_the_originals_place_stays(packed: Platform) -> None:
    set_files(packed, "kept.bin", codec="zstd", object_key="archives/things/elsewhere")
    clean_up(packed)
    assert "kept.bin" in originals(packed)
    assert f"its archive names {LANDING}/" in (plans(packed)["kept.bin"].reason or "")


def test_a_file_that_a_generation_left_out_is_taken_from_the_one_that_has_it(platform: Platform) -> None:
    arrived(platform, {"small.bin": CONTENTS["small.bin"]}, AT_ONCE.model_copy(update={"shard_bits": 0}))
    clean_up(platform)
    path = path_of(platform.buckets.own, archive_of(platform, "small.bin"))
    position = path.read_bytes().index(CONTENTS["small.bin"])
    flip(path, position)
    platform.put("late.txt", b"late")
    platform.run_all()
    assert platform.rows()["small.bin"].attempts == 1
    flip(path, position)
    platform.run_all()
    platform.put("later.txt", b"later")
    platform.run_all()
    rows = platform.rows()
    assert len({row.container_id for row in rows.values()}) == 1
    assert contents_of(platform) == {"small.bin": CONTENTS["small.bin"], "late.txt": b"late", "later.txt": b"later"}


def archive_of(platform: Platform, name: str) -> str:
    with platform.catalog.begin() as connection:
        return containers.by_id(connection, platform.rows()[name].container_id or 0).key


def test_a_copy_is_read_from_the_store_and_not_from_memory(packed: Platform) -> None:
    assert contents_of(packed) == CONTENTS
    for info in packed.buckets.own.list("archives/"):
        path = path_of(packed.buckets.own, info.key)
        flip(path, path.stat().st_size // 2)
    assert clean_up(packed).removed == 0
    assert originals(packed) == set(CONTENTS)


def test_an_archive_is_read_whole_once_for_all_its_files(packed: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    look = FileReader.verify_archive

    def counted(self: FileReader, container: object) -> object:
        read.append(container.key)  # type: ignore[attr-defined]
        return look(self, container)  # type: ignore[arg-type]

    monkeypatch.setattr(FileReader, "verify_archive", counted)
    clean_up(packed)
    assert (
        len(read) == len(set(read)) == len({row.container_id for row in packed.rows().values() if row.codec != "store"})
    )


def refuse(*_: object, **__: object) -> None:
    raise StoreUnavailable("403 Forbidden: AccessDenied")


def test_a_store_that_refuses_every_deletion_fails_the_run_and_nothing_changes(
    packed: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "delete", refuse)
        with pytest.raises(StoreUnavailable, match="AccessDenied"):
            clean_up(packed)
    assert originals(packed) == set(CONTENTS)
    assert states(packed) == dict.fromkeys(GO, "planned")
    assert {plan.reason for plan in plans(packed).values()} == {
        "the store does not let it go: 403 Forbidden: AccessDenied"
    }
    assert clean_up(packed).removed == len(GO)


def test_one_deletion_that_the_store_refuses_stops_no_other(packed: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    delete = ObjectStore.delete

    def refuse_one(self: ObjectStore, key: str, **options: str) -> None:
        if key.endswith("small.txt"):
            refuse()
        delete(self, key, **options)

    monkeypatch.setattr(ObjectStore, "delete", refuse_one)
    with pytest.raises(StoreUnavailable, match="AccessDenied"):
        clean_up(packed)
    assert originals(packed) == {"kept.bin", "small.txt"}
    assert states(packed) == dict.fromkeys(GO - {"small.txt"}, "removed") | {"small.txt": "planned"}
    assert "AccessDenied" in (plans(packed)["small.txt"].reason or "")


@pytest.mark.parametrize("verb", ["head", "delete"])
def test_a_store_that_goes_away_midway_loses_nothing_and_the_next_run_goes_on(
    packed: Platform, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    answered = iter(range(1000))
    real: Callable[..., object] = getattr(ObjectStore, verb)

    def go_away(self: ObjectStore, key: str, **options: str) -> object:
        if self.bucket == LANDING and next(answered) >= 3:
            raise StoreUnavailable("the store does not answer")
        return real(self, key, **options)

    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, verb, go_away)
        with pytest.raises(StoreUnavailable, match="does not answer"):
            clean_up(packed)
    assert contents_of(packed) == CONTENTS
    assert set(states(packed).values()) <= {"planned", "removed"}
    clean_up(packed)
    assert removed(packed) == GO
    assert originals(packed) == {"kept.bin"}
    assert contents_of(packed) == CONTENTS


def test_a_copy_that_the_store_does_not_show_keeps_its_original(
    packed: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(FileReader, "stream", refuse)
        with pytest.raises(StoreUnavailable):
            clean_up(packed)
    assert originals(packed) == {"kept.bin", "large.txt", "other.txt"}
    assert states(packed)["large.txt"] == "planned"


class Killed(BaseException):
    """The process ends here."""


def test_a_kill_between_deletion_and_record_is_repaired_by_the_next_run(
    packed: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = ObjectStore.delete

    def die_after(self: ObjectStore, key: str, **options: str) -> None:
        delete(self, key, **options)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "delete", die_after)
        with pytest.raises(Killed):
            clean_up(packed)
    assert len(originals(packed)) < len(CONTENTS)
    assert states(packed) == dict.fromkeys(GO, "planned")
    assert removed(packed) == set()
    assert contents_of(packed) == CONTENTS

    clean_up(packed)
    assert states(packed) == dict.fromkeys(GO, "removed")
    assert removed(packed) == GO
    assert contents_of(packed) == CONTENTS


def test_a_bucket_that_is_gone_is_not_taken_for_removed_originals(s3_platform: Platform) -> None:
    arrived(s3_platform)
    remove_bucket(s3_platform.settings.s3_endpoint, LANDING)
    with pytest.raises(StoreUnavailable, match="bucket"):
        clean_up(s3_platform)
    assert removed(s3_platform) == set()
    assert states(s3_platform) == dict.fromkeys(GO, "planned")


def test_two_runs_at_once_remove_each_original_once(platform: Platform) -> None:
    contents = CONTENTS | {f"{number}.txt": f"file {number}".encode() for number in range(60)}
    arrived(platform, contents)
    reports: list[RemovalReport] = []
    runs = [threading.Thread(target=lambda: reports.append(clean_up(platform))) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    clean_up(platform)  # what the one had planned while the other had it locked
    assert len(reports) == 3
    assert sum(report.removed for report in reports) <= len(contents) - 1
    assert originals(platform) == {"kept.bin"}
    assert contents_of(platform) == contents


def test_a_run_and_a_packer_at_once_lose_nothing(platform: Platform) -> None:
    contents = {f"{number}.txt": f"file {number}".encode() for number in range(40)}
    arrived(platform, contents)
    late = {f"late{number}.txt": f"late {number}".encode() for number in range(20)}
    for name, content in late.items():
        platform.put(name, content)
    packing = threading.Thread(target=platform.run_all)
    packing.start()
    clean_up(platform)
    packing.join()
    clean_up(platform)
    assert contents_of(platform) == contents | late
    assert originals(platform) == set()


def test_a_policy_changed_to_keep_withdraws_what_is_planned(platform: Platform) -> None:
    arrived(platform, dataset=LATER)
    clean_up(platform)
    register(platform, DATASET)
    assert states(platform) == dict.fromkeys(GO, "withdrawn")
    assert {plan.reason for plan in plans(platform).values()} == {"the dataset's policy is keep"}

    # The policy back again: what was withdrawn stays so.
    register(platform, AT_ONCE)
    platform.dataset = AT_ONCE
    assert clean_up(platform) == RemovalReport()
    assert originals(platform) == set(CONTENTS)


def test_a_run_of_an_older_definition_heeds_the_policy_that_the_catalogue_knows(packed: Platform) -> None:
    with packed.catalog.begin() as connection:
        cleanups.plan(connection, AT_ONCE, DAY, own_bucket="des")
        values = DATASET.model_dump(mode="json")
        connection.execute(
            sa.text("UPDATE des_catalog.datasets SET definition = :d").bindparams(sa.bindparam("d", values, sa.JSON))
        )
    report = clean_up(packed)
    assert (report.removed, report.withdrawn) == (0, len(GO))
    assert originals(packed) == set(CONTENTS)


def test_a_withdrawn_file_stays_until_it_is_reinstated(packed: Platform) -> None:
    with packed.catalog.begin() as connection:
        cleanups.plan(connection, packed.dataset, DAY, own_bucket="des")
        assert cleanups.withdraw(connection, "things", DAY, "somebody said so") == len(GO)
    assert clean_up(packed) == RemovalReport()
    assert originals(packed) == set(CONTENTS)
    with packed.catalog.begin() as connection:
        assert cleanups.reinstate(connection, "things", DAY) == len(GO)
    assert clean_up(packed).removed == len(GO)


def test_a_file_whose_only_copy_is_the_original_stays_even_if_it_was_planned(packed: Platform) -> None:
    with packed.catalog.begin() as connection:
        planned = sa.select(files_table.c.file_id, sa.func.now())
        connection.execute(sa.insert(cleanups_table).from_select(["file_id", "due_at"], planned))
    clean_up(packed)
    assert originals(packed) == {"kept.bin"}
    assert states(packed)["kept.bin"] == "refused"
    assert plans(packed)["kept.bin"].reason == "the original is the file's only copy"


_NOTHING: dict[str, Any] = {column.name: None for column in fields(FileRow)}
FILE = FileRow(
    **_NOTHING | {"dataset": "things", "bucket": LANDING, "key": f"things/{DAY}/a", "etag": "e", "state": "packed"}
)
TAKER = DATASET.model_copy(update={"name": "others", "prefix": "things/2026-03-01/"})


@pytest.mark.parametrize(
    ("changed", "datasets", "said"),
    [
        ({}, [AT_ONCE], None),
        ({"codec": "zstd", "object_key": "archives/x"}, [AT_ONCE], None),
        ({"codec": "store"}, [AT_ONCE], "only copy"),
        ({"state": "failed"}, [AT_ONCE], "failed, not packed"),
        ({"state": "ready"}, [AT_ONCE], "ready, not packed"),
        ({"etag": ""}, [AT_ONCE], "no etag"),
        ({"bucket": "des"}, [AT_ONCE.model_copy(update={"bucket": "des"})], "own bucket"),
        ({"codec": "zstd", "object_key": FILE.key}, [AT_ONCE], "same key"),
        ({}, [AT_ONCE.model_copy(update={"bucket": "elsewhere"})], "no longer one of dataset things's"),
        ({}, [AT_ONCE.model_copy(update={"prefix": "stuff/"})], "no longer one of dataset things's"),
        ({}, [AT_ONCE, TAKER], "no longer one of dataset things's"),
        ({}, [], "no longer one of dataset things's"),
    ],
)
def test_what_speaks_against_a_removal(changed: dict[str, Any], datasets: list[Dataset], said: str | None) -> None:
    found = objection(replace(FILE, **changed), datasets, own_bucket="des", shared=False)
    assert found is None if said is None else said in (found or "")


def test_files_whose_bucket_the_dataset_no_longer_names_stay(packed: Platform) -> None:
    with packed.catalog.begin() as connection:
        cleanups.plan(connection, packed.dataset, DAY, own_bucket="des")
    packed.dataset = AT_ONCE.model_copy(update={"bucket": "elsewhere"})
    register(packed, packed.dataset)
    report = clean_up(packed)
    assert (report.removed, report.refused) == (0, len(GO))
    assert all("no longer" in (plan.reason or "") for plan in plans(packed).values())
    assert originals(packed) == set(CONTENTS)


def test_two_files_under_one_key_both_stay(packed: Platform) -> None:
    packed.put("small.txt", b"a second version")
    packed.run_all()
    clean_up(packed)
    assert "small.txt" in originals(packed)
    assert packed.reader.read(packed.rows()["small.txt"]) == b"a second version"


def test_nothing_in_the_platforms_own_bucket_is_removed(platform: Platform) -> None:
    own = platform.buckets.own
    platform.dataset = AT_ONCE.model_copy(update={"bucket": own.bucket})
    key = f"things/{DAY}/here.txt"
    own.put(key, b"here")
    platform.run_all()
    clean_up(platform)
    assert plans(platform) == {}
    assert own.get(key, max_bytes=10) == b"here"


def test_of_two_policies_the_more_careful_one_holds() -> None:
    assert strictest(AT_ONCE, [LATER]).originals_after_days == 30
    assert strictest(LATER, [AT_ONCE]).originals_after_days == 30
    assert strictest(AT_ONCE, [DATASET]).originals_after_days is None
    assert strictest(DATASET, [AT_ONCE]).originals_after_days is None
    assert strictest(AT_ONCE, []).originals_after_days is None


def test_the_audit_finds_copies_that_are_damaged_or_gone(packed: Platform) -> None:
    clean_up(packed)
    name, own = packed.dataset.name, packed.buckets.own

    def audits() -> tuple[list[str], list[str]]:
        read = read_copies(packed.catalog, packed.buckets, name, DAY, threads=2)
        found = find_copies(packed.catalog, packed.buckets, name, DAY, threads=2)
        assert read.looked_at == len(GO)
        return read.problems, found.problems

    assert audits() == ([], [])
    rows = packed.rows()
    damaged = path_of(own, rows["large.txt"].object_key or "")
    flip(damaged, damaged.stat().st_size // 2)
    own.delete(rows["other.txt"].object_key or "")
    packed.buckets.bucket(LANDING).delete(rows["kept.bin"].key)
    read, found = audits()
    assert {problem.split(": ")[0] for problem in read} == {rows["large.txt"].subject, rows["other.txt"].subject}
    assert len(found) == 2
    assert any(rows["kept.bin"].key in problem for problem in found)
    set_files(packed, "large.txt", object_key=None, container_id=None)
    assert f"{rows['large.txt'].name} has no copy" in audits()[1]
