"""Compressing in the DataHub: what is there afterwards, whatever the DataHub, its table and its files are like."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from des_platform.catalog import leases, source_rows
from des_platform.settings import ConfigurationError
from des_platform.sources.datahub.compressing.audit import audit_month
from des_platform.sources.datahub.compressing.lock import MonthBusy
from des_platform.sources.datahub.compressing.table import FileTable
from des_platform.sources.datahub.errors import DataHubAccessDenied, DataHubUnavailable
from des_platform_tests.datahub_server import KEY, Fault, create_table
from des_platform_tests.platform import DAY
from des_platform_tests.sources.datahub.compressing_support import (
    LEDGER,
    access_of,
    compressor,
    copies,
    ledger,
    originals,
    rows,
    text,
)
from des_platform_tests.sources.datahub.support import NOON

if TYPE_CHECKING:
    from pathlib import Path

    from des_platform.sources.datahub.compressing.report import CompressReport
    from des_platform_tests.sources.datahub.support import DataHub


def test_each_file_is_replaced_by_one_copy_that_gunzips_to_it(hub: DataHub) -> None:
    contents = {f"f{number}": hub.add(f"f{number}", text(f"f{number}")) for number in range(7)}

    report = compressor(hub, batch_size=3).run(2026, 3)

    assert copies(hub) == contents
    assert originals(hub) == set()
    assert set(hub.server.files) == set(rows(hub))
    assert (report.candidates, report.compressed, report.removed, report.failed) == (7, 7, 7, 0)
    assert report.original_bytes == sum(map(len, contents.values()))
    assert report.compressed_bytes == sum(map(len, hub.server.files.values()))
    assert list(hub.platform.scratch.iterdir()) == []


def test_datahub_that_labels_gzip_files_as_encoded_is_read_right(hub: DataHub) -> None:
    hub.server.labels = True
    content = hub.add("f", text("f"))

    assert compressor(hub).run(2026, 3).compressed == 1
    assert copies(hub) == {"f": content}


def test_copy_says_what_its_original_said_and_how_it_came_about(hub: DataHub) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    content = hub.add("f", text("f"), document_id="doc 7", document_type="PDF", properties={"color": "red", "n": [1]})

    compressor(hub).run(2026, 3)

    ((file_id, row),) = rows(hub).items()
    compressed = hub.server.files[file_id]
    properties = row["properties"]
    assert (row["document_id"], row["document_type"], row["size"]) == ("doc 7", "PDF.gz", len(compressed))
    assert before <= datetime.fromisoformat(properties.pop("compression_date")) <= datetime.now(UTC)
    assert len(properties.pop("compression_id")) == 32
    assert properties == {
        "color": "red",
        "n": [1],
        "original_upload_date": "2026-03-01T12:00:00+00:00",
        "compressed_from": "f",
        "compression_codec": "gzip",
        "is_compressed": True,
        "original_size": len(content),
        "compressed_size": len(compressed),
        "compression_ratio": round(100 * len(compressed) / len(content), 2),
        "original_hash": hashlib.sha256(content).hexdigest(),
        "compressed_hash": hashlib.sha256(compressed).hexdigest(),
        "document_type": "PDF",
    }


@pytest.mark.parametrize(
    ("codec", "extension", "opened"),
    [
        ("zstd", ".zst", lambda data: zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()),
        ("xz", ".xz", lzma.decompress),
        ("bz2", ".bz2", bz2.decompress),
    ],
)
def test_codec_and_level_are_as_configured(hub: DataHub, codec: str, extension: str, opened: Any) -> None:
    content = hub.add("f", text("f"))

    compressor(hub, compress={"codec": codec, "level": 1, "threads": 2}).run(2026, 3)

    ((file_id, row),) = rows(hub).items()
    assert opened(hub.server.files[file_id]) == content
    assert row["document_type"] == f"bin{extension}"


def test_second_run_compresses_nothing_again_though_copies_are_above_the_threshold(hub: DataHub) -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    hub.add("f", os.urandom(50_000) + bytes(50_000), now)
    assert compressor(hub).run(now.year, now.month).compressed == 1
    asked = len(hub.server.requests)

    again = compressor(hub).run(now.year, now.month)

    assert (again.candidates, again.processed) == (0, 0)
    assert len(hub.server.requests) == asked


def test_file_that_does_not_shrink_stays_and_is_never_tried_again(hub: DataHub) -> None:
    noise = hub.add("noise", os.urandom(5000))

    report = compressor(hub).run(2026, 3)
    again = compressor(hub).run(2026, 3)

    assert (report.unworthy, report.compressed, report.failed) == (1, 0, 0)
    assert (again.candidates, again.known, again.processed) == (1, 1, 0)
    assert hub.server.files == {"noise": noise}
    assert hub.server.asked_for("noise") == 1


def test_original_may_stay_beside_its_copy(hub: DataHub) -> None:
    content = hub.add("f", text("f"))

    report = compressor(hub, compress={"keep_originals": True}).run(2026, 3)
    again = compressor(hub, compress={"keep_originals": True}).run(2026, 3)

    assert (report.compressed, report.removed) == (1, 0)
    assert (again.known, again.processed) == (1, 0)
    assert originals(hub) == {"f"}
    assert copies(hub) == {"f": content}


def test_originals_kept_before_go_once_they_need_not_stay(hub: DataHub) -> None:
    content = hub.add("f", text("f"))
    compressor(hub, compress={"keep_originals": True}).run(2026, 3)

    report = compressor(hub).run(2026, 3)

    assert (report.compressed, report.resumed, report.removed) == (1, 1, 1)
    assert hub.server.uploads == 1
    assert originals(hub) == set()
    assert copies(hub) == {"f": content}


def test_dry_run_compresses_and_leaves_everything_as_it_is(hub: DataHub) -> None:
    hub.add("f", text("f"))
    hub.add("noise", os.urandom(5000))
    before = rows(hub), dict(hub.server.files)

    report = compressor(hub).run(2026, 3, dry_run=True)

    assert (report.compressed, report.unworthy, report.removed) == (1, 1, 0)
    assert report.statistics()["space_saved_mb"] > 0
    assert (rows(hub), hub.server.files) == before
    assert {request.method for request in hub.server.requests} == {"GET"}
    assert ledger(hub) == {}


def test_statistics_have_every_number(hub: DataHub) -> None:
    content = hub.add("f", text("f", 30_000))
    hub.add("gone", text("gone"))
    del hub.server.files["gone"]

    numbers = compressor(hub).run(2026, 3).statistics()

    (size,) = [len(held) for held in hub.server.files.values()]
    assert numbers.pop("processing_time_seconds") > 0
    assert numbers.pop("average_time_per_file") > 0
    assert numbers.pop("peak_memory_mb") > 1
    assert numbers == {
        "total_files_processed": 2,
        "successful_compressions": 1,
        "failed_compressions": 1,
        "total_original_size_mb": round(len(content) / 1e6, 3),
        "total_compressed_size_mb": round(size / 1e6, 3),
        "space_saved_mb": round((len(content) - size) / 1e6, 3),
        "compression_ratio": round(100 * size / len(content), 2),
        "candidate_files": 2,
        "known_files": 0,
        "files_not_yet_taken": 0,
        "files_that_do_not_shrink": 0,
        "resumed_files": 0,
        "originals_removed": 1,
        "dry_run": False,
    }


def test_progress_is_told_before_the_first_file_and_after_each(hub: DataHub) -> None:
    for number in range(3):
        hub.add(f"f{number}", text("f"))
    told: list[tuple[int, int]] = []

    def progress(report: CompressReport) -> None:
        told.append((report.processed, report.candidates))

    compressor(hub).run(2026, 3, progress=progress)

    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("uploaded_at", ["timestamp", "timestamptz"])
@pytest.mark.parametrize("file_id", ["bigint", "varchar(40)"])
def test_columns_may_have_any_fitting_type(hub: DataHub, file_id: str, uploaded_at: str) -> None:
    hub.database.execute("DROP TABLE fdhdata.dh_file")
    create_table(hub.database, file_id=file_id, uploaded_at=uploaded_at, size="numeric")
    hub.server.numbers = file_id == "bigint"
    contents = {str(number): hub.add(number, text(str(number)), datetime(2026, 3, 1, tzinfo=UTC)) for number in (7, 8)}

    report = compressor(hub).run(2026, 3)

    assert report.failed == 0
    assert copies(hub) == contents


def test_hostile_rows_are_compressed_like_all_others(hub: DataHub) -> None:
    hostile = ['a"b', "a\r\nX-Injected: 1", "ümlaut/..", "sp ace", "x" * 500, "%2e", "'; DROP TABLE x;--"]
    contents = {
        name: hub.add(name, text("x"), document_id=name, document_type=f"../{name}", properties={name: name})
        for name in hostile
    }

    report = compressor(hub).run(2026, 3)

    assert report.failed == 0
    assert copies(hub) == contents
    assert {row["document_id"] for row in rows(hub).values()} == set(hostile)


def test_row_without_document_and_type_is_compressed_too(hub: DataHub) -> None:
    content = hub.add("f", text("f"), document_id=None, document_type=None)

    compressor(hub).run(2026, 3)

    assert copies(hub) == {"f": content}


FAILURES = {
    "refused": ("GET", Fault(401), "HTTP 401"),
    "missing": ("GET", Fault(404), "HTTP 404"),
    "too-many-with-a-pause": ("GET", Fault(429, {"Retry-After": "0"}), "HTTP 429"),
    "too-many": ("GET", Fault(429), "HTTP 429"),
    "broken": ("GET", Fault(500), "HTTP 500"),
    "cut": ("GET", Fault(cut_after=100), "the connection failed"),
    "short": ("GET", Fault(body=b"too few"), "announces"),
    "deletion-refused": ("DELETE", Fault(403), "HTTP 403"),
    "deletion-broken": ("DELETE", Fault(500), "HTTP 500"),
}


def test_files_that_fail_keep_their_originals_and_the_rest_of_the_month_goes_on(hub: DataHub) -> None:
    fine = {f"f{number}": hub.add(f"f{number}", text("f")) for number in range(4)}
    contents = {name: hub.add(name, text(name)) for name in FAILURES}
    hub.server.always |= {f"{method} {name}": fault for name, (method, fault, _) in FAILURES.items()}

    report = compressor(hub).run(2026, 3)

    assert (report.compressed, set(report.failures)) == (4, set(FAILURES))
    assert originals(hub) == set(FAILURES)
    assert {name: hub.server.files[name] for name in FAILURES} == contents
    letters = {letter.reference: letter for letter in hub.letters()}
    assert set(letters) == set(FAILURES)
    for name, (_, _, said) in FAILURES.items():
        assert (letters[name].stage, letters[name].origin) == ("datahub_compress", "hub:compress")
        assert f"'{name}'" in letters[name].reason
        assert said in letters[name].reason

    hub.server.always.clear()
    assert compressor(hub).run(2026, 3).compressed == len(FAILURES)
    assert copies(hub) == fine | contents
    assert originals(hub) == set()
    assert hub.server.uploads == len(fine | contents)
    assert hub.letters() == []


UPLOAD_FAULTS = {
    "refused-key": Fault(401),
    "refused": Fault(422),
    "too-many": Fault(429, {"Retry-After": "0"}),
    "fails": Fault(500),
    "stored-500": Fault(500, does=True),
    "stored-cut": Fault(200, body=b'{"file_id": "x"}', cut_after=3, does=True),
    "stored-no-id": Fault(200, body=b'{"id": 7}', does=True),
    "stored-no-json": Fault(201, body=b"<html>", does=True),
    "stored-odd-id": Fault(201, body=b'{"file_id": [1]}', does=True),
}


@pytest.mark.parametrize("times", [1, 100])
def test_upload_that_fails_in_any_way_never_leaves_two_copies(hub: DataHub, times: int) -> None:
    contents = {name: hub.add(name, text(name), document_id=name) for name in UPLOAD_FAULTS}
    hub.server.faults.update({f"POST {name}": [fault] * times for name, fault in UPLOAD_FAULTS.items()})

    first = compressor(hub, threads=2).run(2026, 3)

    never = {"refused", "refused-key"} | ({"too-many", "fails"} if times > 1 else set())
    assert set(first.failures) == originals(hub) == never
    assert {letter.reference for letter in hub.letters()} == never
    assert all(f"file '{letter.reference}'" in letter.reason for letter in hub.letters())
    hub.server.faults.clear()
    compressor(hub).run(2026, 3)
    assert copies(hub) == contents
    assert originals(hub) == set()
    assert hub.server.uploads == len(contents)
    assert hub.letters() == []


def _spoilt(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


SPOILT = {
    "other-bytes-of-the-same-length": Fault(stores=_spoilt),
    "fewer": Fault(stores=lambda content: content[:-9]),
    "more": Fault(stores=lambda content: content + content),
    "nothing": Fault(stores=lambda _: b""),
    "bomb": Fault(stores=lambda _: gzip.compress(bytes(10_000_000))),
    "another": Fault(stores=lambda _: gzip.compress(text("anothes"))),
    "lost": Fault(drops=("is_compressed",)),
    "colorless": Fault(drops=("color",)),
    "hashless": Fault(drops=("original_hash",)),
}


def test_copy_that_comes_back_otherwise_is_deleted_and_the_original_stays(hub: DataHub) -> None:
    color = {"color": "red"}
    contents = {name: hub.add(name, text(name), document_id=name, properties=color) for name in SPOILT}
    hub.server.faults.update({f"POST {name}": [fault] for name, fault in SPOILT.items()})

    report = compressor(hub).run(2026, 3)

    assert (set(report.failures), report.removed) == (set(SPOILT), 0)
    assert hub.server.files == contents
    assert set(rows(hub)) == set(contents)
    assert all(f"the copy of file '{letter.reference}'" in letter.reason for letter in hub.letters())

    assert compressor(hub).run(2026, 3).compressed == len(SPOILT)
    assert copies(hub) == contents
    assert hub.letters() == []


def test_copy_that_does_not_carry_our_mark_is_never_deleted_and_not_uploaded_again(hub: DataHub) -> None:
    content = hub.add("f", text("f"))
    hub.server.always["POST document"] = Fault(drops=("compression_id", "is_compressed", "compressed_from"))

    for _ in range(2):
        assert compressor(hub).run(2026, 3).failed >= 1

    assert hub.server.files["f"] == content
    assert not [request for request in hub.server.requests if request.method == "DELETE"]


def test_datahub_that_calls_the_original_the_copy_loses_nothing(hub: DataHub) -> None:
    content = hub.add("f", text("f"))
    hub.server.always["POST document"] = Fault(201, body=b'{"file_id": "f"}')

    assert compressor(hub).run(2026, 3).failed == 1

    assert hub.server.files == {"f": content}


def test_first_reading_with_wrong_bytes_of_the_right_length_costs_no_original(hub: DataHub) -> None:
    content = hub.add("f", text("f"))
    hub.server.faults["GET f"] = [Fault(body=_spoilt(content))]

    report = compressor(hub).run(2026, 3)

    assert report.failed == 1
    assert hub.server.files == {"f": content}
    (letter,) = hub.letters()
    assert "file 'f' has changed while it was compressed, or was read wrong" in letter.reason


def test_row_that_changes_meanwhile_keeps_its_original(hub: DataHub) -> None:
    hub.add("f", text("f"))

    def change(content: bytes) -> bytes:
        hub.database.execute("UPDATE fdhdata.dh_file SET properties = '{\"color\": \"blue\"}' WHERE file_id = 'f'")
        return content

    hub.server.faults["POST document"] = [Fault(stores=change)]

    assert compressor(hub).run(2026, 3).failed == 1
    assert originals(hub) == set(rows(hub)) == {"f"}

    assert compressor(hub).run(2026, 3).compressed == 1
    assert [row["properties"]["color"] for row in rows(hub).values()] == ["blue"]


def test_upload_that_arrives_twice_leaves_one_copy(hub: DataHub) -> None:
    content = hub.add("f", text("f"))
    hub.server.faults["POST document"] = [Fault(500, does=True), Fault(500, does=True)]
    compressing = compressor(hub)
    looked: list[list[str]] = []

    def late(self: Any, mark: str) -> list[str]:
        found = real(self, mark)
        looked.append(found)
        return [] if len(looked) == 1 else found  # the first one is not in the table yet

    real = FileTable.marked
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FileTable, "marked", late)
        report = compressing.run(2026, 3)

    assert report.compressed == 1
    assert hub.server.uploads == 2
    assert copies(hub) == {"f": content}


def test_copy_that_somebody_else_uploaded_is_left_alone_and_so_is_its_original(hub: DataHub) -> None:
    content = hub.add("f", text("f"))
    hub.add("other", gzip.compress(content), properties={"is_compressed": True, "compressed_from": "f"})

    assert compressor(hub).run(2026, 3).failed == 1

    assert set(hub.server.files) == {"f", "other"}
    (letter,) = hub.letters()
    assert "file 'other' says that it was compressed from it" in letter.reason


def test_properties_that_are_no_object_are_a_problem_of_their_file(hub: DataHub) -> None:
    hub.add("f", text("f"))
    hub.add("g", text("g"))
    hub.database.execute("UPDATE fdhdata.dh_file SET properties = '[1]' WHERE file_id = 'f'")

    report = compressor(hub).run(2026, 3)

    assert (report.compressed, report.failures) == (1, ["f"])
    assert "no object" in hub.letters()[0].reason


def test_refused_key_ends_the_run_and_blames_no_file(hub: DataHub) -> None:
    for number in range(5):
        hub.add(f"f{number}", text("f"))
    hub.server.key = "another"

    with pytest.raises(DataHubAccessDenied) as raised:
        compressor(hub).run(2026, 3)

    assert KEY not in str(raised.value)
    assert hub.letters() == []
    hub.server.key = KEY
    assert compressor(hub).run(2026, 3).compressed == 5


def test_datahub_that_serves_nobody_ends_the_run_and_blames_no_file(hub: DataHub) -> None:
    hub.add("f", text("f"))
    hub.server.always |= {"f": Fault(503), "health": Fault(503)}

    with pytest.raises(DataHubUnavailable):
        compressor(hub).run(2026, 3)

    assert hub.letters() == []


def test_datahub_that_is_well_and_refuses_everything_ends_the_run_after_some_files(hub: DataHub) -> None:
    for number in range(30):
        hub.add(f"f{number}", text("f"))
        hub.server.always[f"GET f{number}"] = Fault(401)

    with pytest.raises(DataHubAccessDenied):
        compressor(hub).run(2026, 3)

    assert len(hub.letters()) < 20


def test_scratch_folder_that_is_none_is_named(hub: DataHub, tmp_path: Path) -> None:
    hub.add("f", text("f"))
    compressing = compressor(hub)
    compressing._scratch = tmp_path / "none"  # as if it had gone since

    with pytest.raises(ConfigurationError, match="DES_SCRATCH"):
        compressing.run(2026, 3)
    assert originals(hub) == {"f"}


def test_second_run_of_a_month_says_who_is_there(hub: DataHub) -> None:
    hub.add("f", text("f"))
    hub.add("feb", text("f"), NOON.replace(month=2))

    with leases.held(hub.platform.catalog, LEDGER, seconds=1):
        with pytest.raises(MonthBusy, match=rf"hub:compress:2026-03: .*:{os.getpid()} .*is at work there"):
            compressor(hub).run(2026, 3)
        assert compressor(hub).run(2026, 2).compressed == 1
    assert originals(hub) == {"f"}
    assert compressor(hub).run(2026, 3).compressed == 1


def test_run_that_lost_its_month_deletes_nothing_more(hub: DataHub) -> None:
    contents = {f"f{number}": hub.add(f"f{number}", text("f")) for number in range(3)}

    def take_over(content: bytes) -> bytes:
        with hub.platform.catalog.begin() as connection:
            connection.exec_driver_sql("UPDATE des_catalog.leases SET token = token + 1")
        return content

    hub.server.faults["POST document"] = [Fault(stores=take_over)]
    with pytest.raises(MonthBusy, match="taken over"):
        compressor(hub, threads=1).run(2026, 3)
    assert originals(hub) == set(contents)

    with hub.platform.catalog.begin() as connection:
        connection.exec_driver_sql("UPDATE des_catalog.leases SET expires_at = now()")
    assert compressor(hub).run(2026, 3).compressed == 3
    assert copies(hub) == contents


def test_two_at_once_compress_each_file_once(hub: DataHub) -> None:
    contents = {f"f{number}": hub.add(f"f{number}", text(f"f{number}")) for number in range(6)}

    def run(_: int) -> int:
        try:
            return compressor(hub).run(2026, 3).compressed
        except MonthBusy:
            return 0

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(run, range(2)))

    assert sum(done) == 6
    assert copies(hub) == contents
    assert hub.server.uploads == 6


def test_interrupted_run_ends_soon_and_is_gone_on_with(hub: DataHub) -> None:
    contents = {f"f{number}": hub.add(f"f{number}", text(f"f{number}")) for number in range(8)}

    def interrupt(report: CompressReport) -> None:
        if report.processed == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compressor(hub, threads=2).run(2026, 3, progress=interrupt)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("datahub-hub")]
    assert len(originals(hub)) >= 4

    compressor(hub).run(2026, 3)
    assert copies(hub) == contents
    assert originals(hub) == set()


def test_upload_whose_original_vanished_stays_when_it_is_proven(hub: DataHub) -> None:
    content = hub.add("f", text("f"))
    hub.server.always["DELETE f"] = Fault(500)
    compressor(hub).run(2026, 3)
    hub.server.always.clear()
    hub.server.files.pop("f")
    hub.database.execute("DELETE FROM fdhdata.dh_file WHERE file_id = 'f'")

    report = compressor(hub).run(2026, 3)

    assert (report.compressed, report.resumed, report.failed) == (1, 1, 0)
    assert copies(hub) == {"f": content}


def test_copy_that_is_not_proven_is_the_last_thing_to_be_deleted(hub: DataHub) -> None:
    hub.add("f", text("f"))
    hub.server.always["DELETE f"] = Fault(500)
    compressor(hub).run(2026, 3)
    hub.server.always.clear()
    hub.server.files.pop("f")
    hub.database.execute("DELETE FROM fdhdata.dh_file WHERE file_id = 'f'")
    ((copy_id, _),) = rows(hub).items()
    hub.server.files[copy_id] = b"something else"

    assert compressor(hub).run(2026, 3).failed == 1

    assert set(hub.server.files) == {copy_id}
    assert "left there" in hub.letters()[0].reason


def test_month_waits_until_it_was_seen_to_its_end_and_again_when_others_come(hub: DataHub) -> None:
    compressing = compressor(hub)
    assert compressing.waiting(DAY.replace(month=1)) == []
    hub.add("f", text("f"))
    hub.add("noise", os.urandom(3000))
    hub.add("gone", text("gone"))
    del hub.server.files["gone"]
    (month,) = compressing.waiting(DAY.replace(month=1))
    assert (month.first, month.files) == (DAY, 3)

    compressing.run(2026, 3)
    assert compressing.waiting(DAY.replace(month=1)) == []

    with hub.platform.catalog.begin() as connection:
        assert source_rows.forget(connection, "hub:compress", "gone")  # what `dead-letters retry` does
    assert len(compressing.waiting(DAY.replace(month=1))) == 1
    compressing.run(2026, 3)
    hub.add("new", text("new"))
    assert len(compressing.waiting(DAY.replace(month=1))) == 1


def test_file_that_comes_while_the_month_is_compressed_makes_it_wait(hub: DataHub) -> None:
    hub.add("f", text("f"))

    def come(report: CompressReport) -> None:
        if report.processed:
            hub.add("early", text("x"), NOON.replace(day=1, hour=0))

    compressor(hub).run(2026, 3, progress=come)

    assert len(compressor(hub).waiting(DAY)) == 1


def test_audit_tells_a_copy_without_a_proof_and_an_original_without_a_copy(hub: DataHub) -> None:
    for name in ("a", "b"):
        hub.add(name, text(name))
    compressor(hub).run(2026, 3)
    catalog, config = hub.platform.catalog, access_of(hub)
    fine = audit_month(config, catalog, DAY)
    assert (fine.copies, fine.removed, fine.unproven, fine.lost) == (2, 2, [], [])

    (of_a,) = [file_id for file_id, row in rows(hub).items() if row["properties"]["compressed_from"] == "a"]
    properties = rows(hub)[of_a]["properties"] | {"compression_id": "another"}
    hub.database.execute("DELETE FROM fdhdata.dh_file WHERE file_id = %s", [of_a])
    hub.add("stray", gzip.compress(b"x"), properties=properties)

    found = audit_month(config, catalog, DAY)
    assert found.lost == [f"a: its copy {of_a} is not in dh_file"]
    assert found.unproven == [f"stray from a: the ledger has done with the copy {of_a}"]


def test_ledger_keeps_what_was_proven(hub: DataHub) -> None:
    content = hub.add("f", text("f"))

    compressor(hub).run(2026, 3)

    ((copy_id, compressed),) = hub.server.files.items()
    entry = json.loads(ledger(hub)["f"])
    assert (entry["state"], entry["copy_id"], entry["codec"]) == ("done", copy_id, "gzip")
    assert entry["original_sha256"] == hashlib.sha256(content).hexdigest()
    assert entry["compressed_sha256"] == hashlib.sha256(compressed).hexdigest()
