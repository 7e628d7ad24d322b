from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from des_platform.catalog import inbox, metrics, source_rows
from des_platform.catalog.tables import source_rows as ledger
from des_platform_tests.platform import DAY, LANDING
from des_platform_tests.sources.databases.support import FILES, announced, drain_of, naive_noon, row_of
from des_platform_tests.sources.support import letters, pending, tally

if TYPE_CHECKING:
    from des_platform_tests.platform import Platform
    from des_platform_tests.sources.databases.support import SourceFiles

NAME = f"DES_{DAY:%Y%m%d}_(BF785FEA0100_81)"


class Crash(Exception):
    """The process dies here."""


def crash(*_arguments: object, **_named: object) -> None:
    raise Crash


def counted(platform: Platform, metric: str) -> float:
    with platform.catalog.begin() as connection:
        return sum(sample.value for sample in metrics.samples(connection) if sample.metric == metric)


def run_stages(platform: Platform) -> None:
    platform.take_in()
    platform.compress()
    platform.pack()


def test_rows_are_recorded_once_and_told_where_their_files_are(platform: Platform, source_files: SourceFiles) -> None:
    names = [f"file-{number:02d}" for number in range(25)]
    source_files.add_files(platform, names)
    drain = drain_of(platform, source_files.source())

    report = drain.drain(seconds=30)

    assert (report.received, report.new, report.known, report.dead) == (25, 25, 0, 0)
    assert pending(platform) == names
    assert drain.backlog() == {"waiting": 0, "in_flight": 25}
    assert drain.drain(seconds=30).received == 0

    run_stages(platform)
    drain.drain(seconds=30)

    catalogued = platform.rows()
    for row, name in zip(source_files.rows(), names, strict=True):
        assert row["status"] == "packed"
        assert row["des_name"] == catalogued[name].name
        assert row["des_container_id"] == str(catalogued[name].container_id)
        assert row["packed_at"] >= row["claimed_at"]
        assert row["claimed_by"] == f"{platform.settings.pg_db}/0"
    assert drain.backlog() == {"waiting": 0, "in_flight": 0}
    assert counted(platform, "des_source_rows_claimed_total") == 25
    assert counted(platform, "des_source_rows_written_back_total") == 25
    assert counted(platform, "des_recovery_stale_claims_total") == 0


def test_without_etag_size_and_time_the_object_store_is_asked(platform: Platform, postgres_files: SourceFiles) -> None:
    platform.dataset = platform.dataset.model_copy(update={"day_in_key": True})
    row = row_of(platform, "a")
    postgres_files.add([{"s3_bucket": row["s3_bucket"], "s3_key": row["s3_key"]}])
    postgres_files.add([{"s3_bucket": LANDING, "s3_key": f"things/{DAY}/not-there"}])
    source = postgres_files.source(columns={"etag": None, "size_bytes": None, "created_at": None})

    report = drain_of(platform, source).drain(seconds=30)

    assert (report.new, report.dead) == (1, 1)
    assert pending(platform) == ["a"]
    assert "not there" in letters(platform)[0].reason


def test_one_bad_row_in_a_hundred_becomes_a_dead_letter_and_its_neighbours_go_on(
    platform: Platform, source_files: SourceFiles
) -> None:
    bad: list[dict[str, Any]] = [
        {"s3_key": None},
        {"s3_key": f"things/{DAY}/../../escape"},
        {"s3_bucket": "Not A Bucket"},
        {"size_bytes": -5},
        {"s3_key": "nobody/takes/this"},
        {"des_name": "DES_20260301_(BF785FEA0100_82)"},
    ]
    rows = [announced(f"file-{number:03d}") for number in range(600)]
    for number, wrong in enumerate(bad):
        rows[number * 100 + 7] |= wrong | {"amount": 12.5, "content": b"\x00\xff"}
    source_files.add(rows)
    source = source_files.source(batch_size=50, columns={"metadata_columns": ["amount", "content"]})

    report = drain_of(platform, source).drain(seconds=60)

    assert (report.received, report.new, report.dead) == (600, 594, 6)
    assert source_files.statuses() == {"claimed": 594, "failed": 6}
    failed = {row["id"]: row["error_message"] for row in source_files.rows() if row["status"] == "failed"}
    assert all(failed.values())
    kept = letters(platform)
    assert {letter.reference for letter in kept} == {str(number) for number in failed}
    assert {letter.origin for letter in kept} == {"erp"}
    body = json.loads(next(letter.body for letter in kept if letter.reference == "8") or "")
    assert (body["s3_key"], body["amount"], body["id"]) == (None, "12.50", "8")


def test_a_bad_row_that_its_owner_has_corrected_is_taken_again(platform: Platform, postgres_files: SourceFiles) -> None:
    postgres_files.add([announced("a") | {"s3_key": None}])
    drain = drain_of(platform, postgres_files.source())
    drain.drain(seconds=30)
    assert postgres_files.statuses() == {"failed": 1}

    postgres_files.set(FILES.c.id == 1, status="pending", s3_key=f"things/{DAY}/a")
    report = drain.drain(seconds=30)

    assert report.new == 1
    assert pending(platform) == ["a"]
    assert postgres_files.statuses() == {"claimed": 1}


def test_rows_that_failed_can_be_made_to_wait_again(platform: Platform, source_files: SourceFiles) -> None:
    source_files.add([announced("a") | {"s3_key": None}, announced("b")])
    drain = drain_of(platform, source_files.source())
    drain.drain(seconds=30)

    assert drain.retry(["1", "2"]) == 1

    assert source_files.statuses() == {"pending": 1, "claimed": 1}
    assert drain.drain(seconds=30).dead == 1
    assert letters(platform)[0].attempts == 2


def test_a_file_that_was_given_up_gets_another_chance_when_its_row_is_pending_again(
    platform: Platform, postgres_files: SourceFiles
) -> None:
    postgres_files.add([announced("vanished")])
    drain = drain_of(platform, postgres_files.source())
    drain.drain(seconds=30)
    run_stages(platform)
    drain.drain(seconds=30)
    assert postgres_files.statuses() == {"failed": 1}
    assert postgres_files.rows()[0]["error_message"]
    assert tally(platform)["dead"] == 1

    postgres_files.set(FILES.c.id == 1, status="pending")
    report = drain.drain(seconds=30)

    assert (report.new, report.known) == (0, 1)
    assert tally(platform) == {"pending": 1, "done": 0, "dead": 0}
    assert postgres_files.statuses() == {"claimed": 1}


def test_killed_between_claim_and_record_the_rows_come_back_when_the_claim_runs_out(
    platform: Platform, source_files: SourceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    source_files.add_files(platform, ["a", "b", "c"])
    drain = drain_of(platform, source_files.source())
    with monkeypatch.context() as patch:
        patch.setattr(inbox, "record", crash)
        with pytest.raises(Crash):
            drain.drain(seconds=30)
    assert source_files.statuses() == {"claimed": 3}
    assert drain.drain(seconds=30).received == 0

    source_files.age_claims()
    report = drain.drain(seconds=30)

    assert (report.received, report.new) == (3, 3)
    assert pending(platform) == ["a", "b", "c"]
    assert counted(platform, "des_recovery_stale_claims_total") == 3


@pytest.mark.parametrize("step", ["settled", "close"])
def test_killed_around_the_write_back_it_is_done_again(
    platform: Platform, source_files: SourceFiles, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    source_files.add_files(platform, ["a", "b"])
    drain = drain_of(platform, source_files.source())
    drain.drain(seconds=30)
    run_stages(platform)
    with monkeypatch.context() as patch:
        patch.setattr(source_rows, step, crash)
        with pytest.raises(Crash):
            drain.drain(seconds=30)

    drain.drain(seconds=30)

    assert source_files.statuses() == {"packed": 2}
    with platform.catalog.begin() as connection:
        assert set(connection.scalars(sa.select(ledger.c.state))) == {"closed"}


def test_a_claim_that_ran_out_after_its_file_was_recorded_records_nothing_twice(
    platform: Platform, postgres_files: SourceFiles
) -> None:
    postgres_files.add_files(platform, ["a", "b"])
    drain = drain_of(platform, postgres_files.source())
    drain.drain(seconds=30)
    postgres_files.age_claims()

    report = drain.drain(seconds=30)

    assert (report.received, report.new, report.known) == (2, 0, 2)
    assert pending(platform) == ["a", "b"]


def test_a_claim_is_renewed_before_it_runs_out(platform: Platform, source_files: SourceFiles) -> None:
    source_files.add_files(platform, ["a", "b"])
    drain = drain_of(platform, source_files.source(claim_timeout_seconds=300))
    drain.drain(seconds=30)
    source_files.age_claims(200)
    before = source_files.rows()[0]["claimed_at"]
    with platform.catalog.begin() as connection:
        connection.execute(ledger.update().values(claimed_at=sa.func.now() - sa.text("interval '200 seconds'")))

    assert drain.drain(seconds=30).received == 0

    assert all(row["claimed_at"] > before for row in source_files.rows())
    assert counted(platform, "des_recovery_stale_claims_total") == 0


def test_what_another_platform_has_claimed_meanwhile_is_neither_renewed_nor_written(
    platform: Platform, source_files: SourceFiles
) -> None:
    source_files.add_files(platform, ["mine", "theirs"])
    drain = drain_of(platform, source_files.source())
    drain.drain(seconds=30)
    source_files.set(FILES.c.id == 2, claimed_by="other/0")
    before = source_files.rows()[1]
    with platform.catalog.begin() as connection:
        connection.execute(ledger.update().values(claimed_at=sa.func.now() - sa.text("interval '1 hour'")))
    drain.drain(seconds=30)
    run_stages(platform)

    drain.drain(seconds=30)

    mine, theirs = source_files.rows()
    assert mine["status"] == "packed"
    assert theirs == before


def test_a_row_that_was_set_to_pending_while_its_file_was_packed_is_told_the_outcome(
    platform: Platform, postgres_files: SourceFiles
) -> None:
    postgres_files.add_files(platform, ["a"])
    drain = drain_of(platform, postgres_files.source())
    drain.drain(seconds=30)
    run_stages(platform)
    postgres_files.set(FILES.c.id == 1, status="pending")

    drain.drain(seconds=30)

    assert postgres_files.statuses() == {"packed": 1}
    assert tally(platform)["done"] == 1


def test_two_rows_of_one_file_are_both_told(platform: Platform, postgres_files: SourceFiles) -> None:
    row = row_of(platform, "a")
    postgres_files.add([row, row])
    drain = drain_of(platform, postgres_files.source(batch_size=1))
    drain.drain(seconds=30)
    run_stages(platform)

    drain.drain(seconds=30)

    assert postgres_files.statuses() == {"packed": 2}
    assert len({row["des_name"] for row in postgres_files.rows()}) == 1


def test_an_outcome_that_the_table_refuses_is_a_dead_letter_and_the_others_are_written(
    platform: Platform, source_files: SourceFiles
) -> None:
    source_files.add_files(platform, ["a", "b", "ccc", "d", "e"])
    source_files.execute(
        sa.text("ALTER TABLE source_files ADD CONSTRAINT no_three CHECK (size_bytes <> 3 OR status <> 'packed')")
    )
    drain = drain_of(platform, source_files.source())
    drain.drain(seconds=30)
    run_stages(platform)

    report = drain.drain(seconds=30)

    assert report.dead == 1
    assert source_files.statuses() == {"packed": 4, "claimed": 1}
    assert "no_three" in letters(platform)[0].reason
    assert letters(platform)[0].reference == "3"
    assert drain.drain(seconds=30).dead == 0


def test_a_name_that_the_row_has_is_the_name_of_the_file(platform: Platform, postgres_files: SourceFiles) -> None:
    postgres_files.add([row_of(platform, "a") | {"des_name": NAME}])
    drain = drain_of(platform, postgres_files.source())
    drain.drain(seconds=30)
    run_stages(platform)
    drain.drain(seconds=30)

    assert platform.rows()["a"].name == NAME
    assert postgres_files.rows()[0]["des_name"] == NAME
    assert postgres_files.statuses() == {"packed": 1}


def test_a_file_written_anew_gets_a_name_of_its_own_though_its_row_still_has_the_old_one(
    platform: Platform, postgres_files: SourceFiles
) -> None:
    postgres_files.add_files(platform, ["a"])
    drain = drain_of(platform, postgres_files.source())
    drain.drain(seconds=30)
    run_stages(platform)
    drain.drain(seconds=30)
    first = postgres_files.rows()[0]
    platform.put("a", b"another content")
    changed = platform.buckets.bucket(LANDING).head(first["s3_key"]).etag
    postgres_files.set(FILES.c.id == 1, status="pending", etag=changed, size_bytes=15)
    drain.drain(seconds=30)
    run_stages(platform)
    drain.drain(seconds=30)

    second = postgres_files.rows()[0]
    assert second["status"] == "packed"
    assert second["des_name"] != first["des_name"]


def test_with_a_marker_rows_wait_until_they_have_a_name(platform: Platform, source_files: SourceFiles) -> None:
    source_files.add([announced("named") | {"des_name": NAME}, announced("nameless")])

    report = drain_of(platform, source_files.source(marker={})).drain(seconds=30)

    assert report.received == 1
    assert pending(platform) == ["named"]
    assert source_files.statuses() == {"claimed": 1, "pending": 1}


@pytest.mark.parametrize("clause", ["s3_key LIKE '%-even' -- the rest another day", "amount % 2 = 0 OR 1 = 2"])
def test_only_rows_that_the_where_clause_lets_through_are_taken(
    platform: Platform, source_files: SourceFiles, clause: str
) -> None:
    source_files.add([announced("1-odd") | {"amount": 1}, announced("2-even") | {"amount": 2}])
    drain = drain_of(platform, source_files.source(where_clause=clause))

    assert drain.drain(seconds=30).received == 1
    assert pending(platform) == ["2-even"]
    assert drain.backlog() == {"waiting": 0, "in_flight": 1}


def test_an_object_that_the_store_refuses_holds_no_neighbour(
    platform: Platform, postgres_files: SourceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    from des_platform.objectstore import StoreUnavailable

    postgres_files.add_files(platform, ["a", "b", "refused"])
    drain = drain_of(platform, postgres_files.source(columns={"etag": None}))
    asked = drain._recorder.entry_of

    def entry_of(event: Any) -> Any:
        if event.key.endswith("refused"):
            raise StoreUnavailable("403")
        return asked(event)

    with monkeypatch.context() as patch:
        patch.setattr(drain._recorder, "entry_of", entry_of)
        report = drain.drain(seconds=30)
    assert (report.new, report.dead) == (2, 0)
    assert report.note == "Rows that wait for the object store: 1 (403)."

    postgres_files.age_claims()
    drain.drain(seconds=30)

    assert pending(platform) == ["a", "b", "refused"]


def test_times_that_no_calendar_has_are_dead_letters_and_stop_nobody(
    platform: Platform, postgres_files: SourceFiles
) -> None:
    postgres_files.add([announced("a"), announced("b"), announced("c")])
    postgres_files.execute(sa.text("UPDATE source_files SET created_at = 'infinity' WHERE id = 2"))

    report = drain_of(platform, postgres_files.source()).drain(seconds=30)

    assert (report.new, report.dead) == (2, 1)
    assert "infinity" in letters(platform)[0].reason


def test_zero_dates_are_dead_letters_and_stop_nobody(platform: Platform, mariadb_files: SourceFiles) -> None:
    mariadb_files.add([announced("a"), announced("b"), announced("c")])
    with mariadb_files.engine.begin() as connection:
        connection.execute(sa.text("SET sql_mode = ''"))
        connection.execute(sa.text("UPDATE source_files SET created_at = '0000-00-00 00:00:00' WHERE id = 2"))

    report = drain_of(platform, mariadb_files.source()).drain(seconds=30)

    assert (report.new, report.dead) == (2, 1)
    assert "0000-00-00" in letters(platform)[0].reason


def test_a_shard_column_decides_which_worker_takes_a_row_and_none_is_left(
    platform: Platform, source_files: SourceFiles
) -> None:
    source_files.add([announced(f"file-{shard}") | {"des_shard": shard} for shard in (0, 1, 2, 3, 4, 5, None)])
    source = source_files.source(columns={"shard": "des_shard"})

    counts = [drain_of(platform, source, worker, 3).drain(seconds=30).received for worker in range(3)]

    assert counts == [3, 2, 2]
    assert source_files.statuses() == {"claimed": 7}


def test_columns_that_the_table_lacks_are_not_written(platform: Platform, postgres_files: SourceFiles) -> None:
    postgres_files.execute(
        sa.text(
            "CREATE TABLE lean (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), s3_bucket text, s3_key text,"
            " status smallint DEFAULT 0, claimed_at timestamptz)"
        )
    )
    key = platform.put("a", b"a")
    postgres_files.execute(sa.text("INSERT INTO lean (s3_bucket, s3_key) VALUES (:b, :k)").bindparams(b=LANDING, k=key))
    values = {"pending": "0", "claimed": 1, "packed": 2, "failed": 3}
    table = {"name": "lean"} | {f"status_{name}_value": value for name, value in values.items()}
    source = postgres_files.source(table=table)
    drain = drain_of(platform, source)

    drain.drain(seconds=30)
    run_stages(platform)
    drain.drain(seconds=30)

    with postgres_files.engine.begin() as connection:
        assert connection.scalar(sa.text("SELECT status FROM lean")) == 2


def test_the_time_budget_ends_a_draining_and_the_next_goes_on(platform: Platform, postgres_files: SourceFiles) -> None:
    postgres_files.add([announced(f"file-{number:02d}") for number in range(30)])
    drain = drain_of(platform, postgres_files.source(batch_size=5))

    assert drain.drain(seconds=0).received == 0
    received = 0
    for _ in range(100):
        received += drain.drain(seconds=0.05).received
        if received == 30:
            break

    assert received == 30
    assert len(pending(platform)) == 30


def test_a_naive_time_of_the_row_is_utc(platform: Platform, source_files: SourceFiles) -> None:
    platform.dataset = platform.dataset.model_copy(update={"day_in_key": False})
    midnight = naive_noon().replace(hour=0, minute=30)
    source_files.add([announced("a") | {"created_at": midnight}])

    drain_of(platform, source_files.source()).drain(seconds=30)

    assert pending(platform) == ["a"]
