from __future__ import annotations

import fcntl
import gzip
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from des_platform.catalog import checkpoints, inbox
from des_platform.objectstore.store import ObjectStore
from des_platform.sources.inventories import rows as inventory_rows
from des_platform.sources.inventories import source as inventory
from des_platform.sources.inventories.rows import MAX_BAD_ROWS
from des_platform.sources.inventories.source import InventoryConfig, InventorySource
from des_platform.sources.listing import record_page
from des_platform.sources.source import SourceUnavailable
from des_platform_tests.platform import DAY, LANDING
from des_platform_tests.sources.inventories.made import BUCKET, PREFIX, SCHEMA, Attic, data_file, row

if TYPE_CHECKING:
    from des_platform.catalog.dead_letters import DeadLetterRow
    from des_platform.sources.source import DrainReport
    from des_platform_tests.platform import Platform

FORMATS = ["CSV", "Parquet", "ORC"]
MONDAY, TUESDAY, WEDNESDAY = "2026-03-02T01-00Z", "2026-03-03T01-00Z", "2026-03-04T01-00Z"


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def attic(platform: Platform) -> Attic:
    return Attic(platform)


@pytest.fixture
def two_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "_PAGE", 2)


def things(*names: str) -> list[dict[str, Any]]:
    return [row(f"things/{DAY}/{name}") for name in names]


def drain(attic: Attic, *, seconds: float = 30) -> tuple[int, int, int, int]:
    """How many rows one draining looked at, files new and known, dead letters."""
    report = attic.source.drain(seconds=seconds)
    return report.received, report.new, report.known, report.dead


def pending(attic: Attic) -> list[str]:
    with attic.platform.catalog.begin() as connection:
        rows = inbox.claim(connection, "things", DAY, after=0, limit=10_000)
    return sorted(row.key.removeprefix(f"things/{DAY}/") for row in rows)


def letters(attic: Attic) -> list[DeadLetterRow]:
    from des_platform.catalog import dead_letters

    with attic.platform.catalog.begin() as connection:
        return dead_letters.newest(connection, 1000)


def progress(attic: Attic) -> dict[str, str]:
    with attic.platform.catalog.begin() as connection:
        return checkpoints.positions(connection, "attic")


@pytest.mark.parametrize("file_format", FORMATS)
def test_what_no_message_announced_is_found_once(any_platform: Platform, file_format: str) -> None:
    attic = Attic(any_platform)
    names = [f"file-{number}" for number in range(8)]
    attic.publish(MONDAY, things(*names[:5]), things(*names[5:]), file_format=file_format)

    assert attic.source.backlog() == {"data_files": 2}
    assert drain(attic) == (8, 8, 0, 0)
    assert attic.source.backlog() == {"data_files": 0}
    assert drain(attic) == (0, 0, 0, 0)
    attic.publish(TUESDAY, things(*names, "new"), file_format=file_format)
    assert drain(attic) == (9, 1, 8, 0)
    assert pending(attic) == [*names, "new"]
    assert letters(attic) == []


def test_files_that_an_inventory_tells_of_are_catalogued_as_they_are(any_platform: Platform) -> None:
    attic = Attic(any_platform)
    store = any_platform.buckets.bucket(LANDING)
    keys = [any_platform.put(name, name.encode()) for name in ("a", "with blank", "a+b%20c", "úžas")]
    found = [store.head(key) for key in keys]
    attic.publish(
        MONDAY, [row(info.key, info.etag, info.size, last_modified_date=info.last_modified) for info in found]
    )

    assert drain(attic) == (4, 4, 0, 0)
    assert any_platform.find() == 0
    report = any_platform.take_in()

    assert (report.files, report.dead) == (4, 0)
    assert sorted(any_platform.rows()) == sorted(["a", "with blank", "a+b%20c", "úžas"])
    assert letters(attic) == []


def test_a_file_that_a_listing_found_is_known_to_the_inventory_with_its_etag(any_platform: Platform) -> None:
    attic = Attic(any_platform)
    key = any_platform.put("a", b"content")
    info = any_platform.buckets.bucket(LANDING).head(key)
    assert any_platform.find() == 1
    attic.publish(MONDAY, [row(key, info.etag), row(key + "b", info.etag)])

    assert drain(attic) == (2, 1, 1, 0)


@pytest.mark.parametrize("file_format", FORMATS)
def test_only_the_latest_version_counts_and_no_delete_marker(attic: Attic, file_format: str) -> None:
    key = f"things/{DAY}/a"
    rows = [
        row(key, "old", is_latest=False),
        row(key, "new"),
        row(f"{key}-gone", "", None, is_delete_marker=True),
        row(f"{key}-gone", "once", is_latest=False),
    ]
    attic.publish(MONDAY, rows, file_format=file_format)

    assert drain(attic) == (4, 1, 0, 0)
    with attic.platform.catalog.begin() as connection:
        assert [found.etag for found in inbox.claim(connection, "things", DAY, after=0, limit=9)] == ["new"]


def test_an_inventory_of_current_versions_has_no_columns_on_versions(attic: Attic) -> None:
    versions = {"version_id", "is_latest", "is_delete_marker"}
    rows = [{name: value for name, value in found.items() if name not in versions} for found in things("a", "b")]
    schema = "Bucket, Key, Size, LastModifiedDate, ETag, StorageClass, IsMultipartUploaded"
    attic.put_manifest(MONDAY, [attic.put_data("a.csv.gz", data_file(rows, "CSV"))], fileSchema=schema)

    assert drain(attic) == (2, 2, 0, 0)


def test_objects_of_no_dataset_are_nobodys_business(attic: Attic) -> None:
    attic.publish(MONDAY, [row("elsewhere/a"), row("things"), *things("a")])

    assert drain(attic) == (3, 1, 0, 0)


@pytest.mark.usefixtures("two_a_page")
@pytest.mark.parametrize("file_format", FORMATS)
def test_a_reading_that_runs_out_of_time_goes_on_where_it_ended(attic: Attic, file_format: str) -> None:
    names = [f"file-{number}" for number in range(9)]
    attic.publish(MONDAY, things(*names[:7]), things(*names[7:]), file_format=file_format)

    seen: list[tuple[int, int, int, int]] = []
    while attic.source.backlog()["data_files"] and len(seen) < 20:
        attic.reopen()
        seen.append(drain(attic, seconds=0))

    assert sum(received for received, *_ in seen) == 9
    assert sum(known for _, _, known, _ in seen) == 0
    assert max(received for received, *_ in seen) <= 3
    assert pending(attic) == names


def test_many_small_data_files_stay_inside_the_time(attic: Attic) -> None:
    attic.publish(MONDAY, *(things(name) for name in "abcd"))

    reports = [attic.source.drain(seconds=0) for _ in range(4)]

    assert [(report.received, report.note) for report in reports] == [
        (1, "The time was up in data file 2 of 4."),
        (1, "The time was up in data file 3 of 4."),
        (1, "The time was up in data file 4 of 4."),
        (1, ""),
    ]
    assert attic.source.backlog() == {"data_files": 0}


@pytest.mark.usefixtures("two_a_page")
def test_a_data_file_is_fetched_once_over_all_drainings_and_then_forgotten(
    attic: Attic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "_CHUNK_BYTES", 16)
    fetched = []
    get_range = ObjectStore.get_range

    def counting(store: ObjectStore, key: str, offset: int, length: int, **options: Any) -> bytes:
        fetched.append(offset)
        return get_range(store, key, offset, length, **options)

    monkeypatch.setattr(ObjectStore, "get_range", counting)
    attic.publish(MONDAY, things("a", "b", "c", "d", "e"))

    drainings = 0
    while attic.source.backlog()["data_files"] and drainings < 100:
        attic.reopen()
        drain(attic, seconds=0)
        drainings += 1

    assert fetched == list(range(0, 16 * len(fetched), 16))
    assert drainings >= len(fetched) > 5
    assert pending(attic) == ["a", "b", "c", "d", "e"]
    assert [path.name for path in (attic.platform.scratch / "inventory-attic").iterdir()] == ["lock"]


@pytest.mark.usefixtures("two_a_page")
def test_killed_between_pages_it_reads_no_row_twice_and_none_less(
    attic: Attic, monkeypatch: pytest.MonkeyPatch
) -> None:
    attic.publish(MONDAY, things("a", "b", "c", "d", "e"))
    pages = iter([record_page])

    def dying(*arguments: Any, **options: Any) -> DrainReport:
        recording = next(pages, None)
        if recording is None:
            raise Killed
        return recording(*arguments, **options)

    monkeypatch.setattr(inventory, "record_page", dying)
    with pytest.raises(Killed):
        drain(attic)
    assert pending(attic) == ["a", "b"]
    monkeypatch.undo()
    attic.reopen()

    assert drain(attic) == (3, 3, 0, 0)


@pytest.mark.usefixtures("two_a_page")
def test_an_inventory_that_was_begun_is_finished_before_the_newest_is_read(attic: Attic) -> None:
    attic.publish(MONDAY, things("a", "b", "c", "d"))
    assert drain(attic, seconds=0) == (2, 2, 0, 0)
    attic.publish(TUESDAY, things("never read"))
    attic.publish(WEDNESDAY, things("a", "z"))

    assert drain(attic) == (2, 2, 0, 0)
    assert drain(attic) == (2, 1, 1, 0)
    assert drain(attic) == (0, 0, 0, 0)
    assert pending(attic) == ["a", "b", "c", "d", "z"]


@pytest.mark.usefixtures("two_a_page")
def test_an_inventory_that_was_replaced_while_it_was_read_is_begun_anew(attic: Attic) -> None:
    attic.publish(MONDAY, things("a", "b", "c", "d"))
    drain(attic, seconds=0)
    attic.publish(MONDAY, things("x", "y", "z"))

    assert drain(attic) == (3, 3, 0, 0)
    assert pending(attic) == ["a", "b", "x", "y", "z"]


@pytest.mark.usefixtures("two_a_page")
def test_an_inventory_that_expired_while_it_was_read_gives_way_to_the_newest(attic: Attic) -> None:
    key = attic.publish(MONDAY, things("a", "b", "c"))
    drain(attic, seconds=0)
    attic.store.delete(key)
    attic.publish(TUESDAY, things("a", "b", "c", "d"))

    assert drain(attic) == (4, 2, 2, 0)


def test_a_manifest_without_its_checksum_is_not_complete_yet(attic: Attic) -> None:
    attic.publish(MONDAY, things("a"))
    key = attic.publish(TUESDAY, things("a", "b"))
    checksum = key.replace(".json", ".checksum")
    content = attic.store.get(checksum, max_bytes=99)
    attic.store.delete(checksum)

    assert drain(attic) == (1, 1, 0, 0)
    attic.store.put(checksum, content + b"\n")
    assert drain(attic) == (2, 1, 1, 0)


def test_folders_that_are_no_inventories_are_passed_over(attic: Attic) -> None:
    for folder in ("2026-03-09T01-00Z-copy", "2026", "hive/dt=2026-03-09-01-00", "data/2026-03-09T01-00Z"):
        attic.put_manifest(folder, [])
    attic.store.put(f"{PREFIX}2/2026-03-09T01-00Z/manifest.json", b"another's")

    assert drain(attic) == (0, 0, 0, 0)
    assert letters(attic) == []


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"fileFormat": "XML"}, "fileFormat"),
        ({"fileSchema": "Bucket, Key"}, "has no e_tag, last_modified_date, size: switch the optional fields"),
        ({"fileSchema": SCHEMA + ", Key"}, "a column stands twice"),
        ({"files": [{"key": "a", "size": -1, "MD5checksum": "0" * 32}]}, "files.0.size"),
        ({"files": [{"key": "a", "size": 1, "MD5checksum": "../" * 8}]}, "files.0.MD5checksum"),
        ({"files": [{"key": "../../etc/passwd", "size": 1, "MD5checksum": "0" * 32}]}, "cannot be read"),
        ({"files": {"a": 1}}, "files"),
        ({"sourceBucket": None}, "sourceBucket"),
    ],
)
def test_a_manifest_that_is_none_is_a_dead_letter_and_the_one_before_is_read(
    attic: Attic, other: dict[str, Any], said: str
) -> None:
    attic.publish(MONDAY, things("a"))
    key = attic.put_manifest(TUESDAY, **{"files": []} | other)

    assert drain(attic) == (1, 1, 0, 1)

    kept = letters(attic)
    assert [(letter.subject, letter.origin) for letter in kept] == [(f"{BUCKET}/{key}", "attic")]
    assert said in kept[0].reason


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_a_manifest_that_is_not_json_is_a_dead_letter(attic: Attic, content: bytes) -> None:
    attic.put_manifest_text(MONDAY, content)

    assert drain(attic) == (0, 0, 0, 1)
    assert "not as S3 writes manifests" in letters(attic)[0].reason


def test_a_manifest_that_does_not_fit_its_checksum_is_not_believed(attic: Attic) -> None:
    key = attic.publish(MONDAY, things("a"))
    attic.store.put(key.replace(".json", ".checksum"), b"0" * 32)

    assert drain(attic) == (0, 0, 0, 1)
    assert "MD5" in letters(attic)[0].reason
    attic.publish(TUESDAY, things("a"))
    assert drain(attic) == (1, 1, 0, 0)


def test_damaged_data_files_are_dead_letters_and_the_others_are_read(attic: Attic) -> None:
    good = data_file(things("a", "b"), "CSV")
    files = [
        attic.put_data("good-1.csv.gz", data_file(things("a"), "CSV")),
        attic.put_data("other-md5.csv.gz", good) | {"MD5checksum": "0" * 32},
        attic.put_data("other-size.csv.gz", good) | {"size": len(good) - 1},
        {"key": f"{PREFIX}/data/gone.csv.gz", "size": 9, "MD5checksum": "1" * 32},
        attic.put_data("no-gzip.csv.gz", b"plain text"),
        attic.put_data("cut.csv.gz", good[:-9]),
        attic.put_data("empty.csv.gz", b""),
        attic.put_data("good-2.csv.gz", data_file(things("z"), "CSV")),
    ]
    attic.put_manifest(MONDAY, files)

    received, new, _, dead = drain(attic)

    assert (new, dead) == (len(pending(attic)), 5)
    assert {"a", "z"} <= set(pending(attic))
    assert received >= 2
    names = {letter.subject.rsplit("/", 1)[1].split(".")[0] for letter in letters(attic)}
    assert names == {"other-md5", "other-size", "gone", "no-gzip", "cut"}
    assert drain(attic) == (0, 0, 0, 0)


@pytest.mark.parametrize("file_format", ["Parquet", "ORC"])
@pytest.mark.parametrize("content", [b"", b"PAR1", b"ORC" + bytes(100), b"PAR1" + b"\xff" * 64 + b"PAR1"])
def test_a_file_that_is_not_of_its_format_is_a_dead_letter(attic: Attic, file_format: str, content: bytes) -> None:
    attic.put_manifest(MONDAY, [attic.put_data("a", content)], file_format=file_format)

    assert drain(attic) == (0, 0, 0, 1)
    assert f"cannot be read as {file_format}" in letters(attic)[0].reason


@pytest.mark.parametrize("file_format", ["Parquet", "ORC"])
def test_a_file_without_the_columns_that_are_needed_says_where_to_switch_them_on(
    attic: Attic, file_format: str
) -> None:
    rows = [{name: value for name, value in found.items() if name != "e_tag"} for found in things("a")]
    attic.put_manifest(MONDAY, [attic.put_data("a", data_file(rows, file_format))], file_format=file_format)

    assert drain(attic) == (0, 0, 0, 1)
    assert "has no e_tag: switch the optional fields" in letters(attic)[0].reason


HOSTILE_ROWS = [
    row("things/x", bucket="another"),
    row("things/x", size=-1),
    row("things/x", size=1 << 63),
    row("things/x", size="many"),
    row("things/x", etag=""),
    row("things/x", etag="a\0b"),
    row("things/x", is_latest="perhaps"),
    row("things/x", last_modified_date="yesterday"),
    row("things/x", last_modified_date="0001-01-01T00:00:00+14:00"),
    row(f"things/{DAY}/../../escape"),
    row(f"things/{DAY}/a\0b"),
    row("things/no-day"),
    row("things/2026-02-30/no-such-day"),
]
HOSTILE_LINES = [
    b"",
    b'"landing","things/a"',
    b'"unclosed',
    b"\xff\xfe,\xff",
    b'"landing","things/%FF%FE","v","true","false","7","2026-03-01T00:00:00Z","e","STANDARD","false"',
    b",,,,,,,,,",
    b"\0" * 10,
    b'"landing","' + b"x" * 300_000 + b'","v","true","false","7","2026-03-01T00:00:00Z","e","STANDARD","false"',
]


def test_hostile_rows_are_dead_letters_and_stop_nobody(attic: Attic) -> None:
    content = gzip.decompress(data_file([*HOSTILE_ROWS, *things("good")], "CSV"))
    content += b"".join(line + b"\n" for line in HOSTILE_LINES) + gzip.decompress(data_file(things("last"), "CSV"))
    attic.put_manifest(MONDAY, [attic.put_data("a.csv.gz", gzip.compress(content))])

    received, new, known, dead = drain(attic)

    assert pending(attic) == ["good", "last"]
    assert (received, new, known) == (len(HOSTILE_ROWS) + len(HOSTILE_LINES) + 2, 2, 0)
    assert dead == len(letters(attic)) == len(HOSTILE_ROWS) + len(HOSTILE_LINES)
    assert all(letter.reason and letter.origin == "attic" for letter in letters(attic))


def test_rows_of_parquet_with_values_of_other_types_are_dead_letters(attic: Attic) -> None:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"bucket": LANDING, "key": ["a"], "size": 1.5, "last_modified_date": 3, "e_tag": b"x"}]
    output = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), output)
    attic.put_manifest(MONDAY, [attic.put_data("a.parquet", output.getvalue())], file_format="Parquet")

    assert drain(attic) == (1, 0, 0, 1)


def test_a_file_of_rubbish_is_given_up_after_a_hundred_rows(attic: Attic) -> None:
    bomb = gzip.compress(b"\n" * 5_000_000)
    attic.put_manifest(
        MONDAY, [attic.put_data("a.csv.gz", bomb), attic.put_data("b.csv.gz", data_file(things("b"), "CSV"))]
    )

    _, new, _, dead = drain(attic)

    assert (new, pending(attic)) == (1, ["b"])
    assert dead == len(letters(attic))
    assert dead <= MAX_BAD_ROWS + 1
    assert any("cannot be understood" in letter.reason for letter in letters(attic))


def test_a_line_without_end_is_not_read_into_memory(attic: Attic) -> None:
    bomb = gzip.compress(b"x" * (64 << 20))
    attic.put_manifest(MONDAY, [attic.put_data("a.csv.gz", bomb)])

    assert drain(attic) == (0, 0, 0, 1)
    assert "a line of more than" in letters(attic)[0].reason


@pytest.mark.parametrize(("file_format", "limit"), [("Parquet", "_MAX_GROUP_BYTES"), ("ORC", "_MAX_STRIPE_ROWS")])
def test_a_file_that_unfolds_to_too_much_is_not_decoded(
    attic: Attic, monkeypatch: pytest.MonkeyPatch, file_format: str, limit: str
) -> None:
    monkeypatch.setattr(inventory_rows, limit, 2)
    attic.publish(MONDAY, things("a", "b", "c"), file_format=file_format)

    assert drain(attic) == (0, 0, 0, 1)
    assert "unfolds to" in letters(attic)[0].reason


def test_a_second_reader_on_the_machine_leaves_it_to_the_first(attic: Attic) -> None:
    attic.publish(MONDAY, things("a"))
    folder = attic.platform.scratch / "inventory-attic"
    folder.mkdir()
    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        report = attic.source.drain(seconds=30)
        assert (report.received, report.note) == (0, "Another process on this machine reads this inventory.")

    assert drain(attic) == (1, 1, 0, 0)


def test_progress_takes_one_row_however_many_inventories_were_read(attic: Attic) -> None:
    for stamp in (MONDAY, TUESDAY, WEDNESDAY):
        attic.publish(stamp, things("a"), things("b"))
        drain(attic)

    assert list(progress(attic)) == ["manifest"]
    assert WEDNESDAY in progress(attic)["manifest"]


def test_a_bucket_that_is_not_there_is_named(s3_platform: Platform) -> None:
    attic = Attic(s3_platform)
    config = InventoryConfig(name="attic", manifest_bucket="nowhere", manifest_prefix="a")
    source = InventorySource(config, attic.source._recorder, s3_platform.scratch)

    with pytest.raises(SourceUnavailable, match="attic.*nowhere"):
        source.drain(seconds=1)
    with pytest.raises(SourceUnavailable, match="nowhere"):
        source.backlog()


@pytest.mark.parametrize(
    "wrong",
    [{"manifest_prefix": ""}, {"manifest_prefix": "/"}, {"manifest_prefix": "a//b"}, {"name": "A"}, {"other": 1}],
)
def test_a_configuration_that_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    right: dict[str, Any] = {"name": "attic", "manifest_bucket": BUCKET, "manifest_prefix": f"{PREFIX}/"}
    assert InventoryConfig(**right).manifest_prefix == PREFIX

    with pytest.raises(ValidationError):
        InventoryConfig(**right | wrong)


def test_an_arrival_without_a_day_in_the_key_is_the_objects_last_modification(attic: Attic) -> None:
    attic.platform.dataset = attic.platform.dataset.model_copy(update={"day_in_key": False})
    attic.reopen()
    attic.publish(
        MONDAY, [row("things/a", last_modified_date=datetime(DAY.year, DAY.month, DAY.day, 23, 59, tzinfo=UTC))]
    )

    assert drain(attic) == (1, 1, 0, 0)
    assert pending(attic) == ["things/a"]
